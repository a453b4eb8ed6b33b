"""Losses by their definitions, in float64, and reductions as loops over the places that remain."""

import itertools
import math
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest

from xbce import derivatives, losses
from xbce._engines import _numpy
from xbce.losses import Reduction
from xbce.testing import as_numpy

REDUCING = [reduction for reduction in Reduction if reduction is not Reduction.NONE]
BAD = [np.nan, np.inf, -np.inf]

CLASSES = 3
GAMMAS = {"gamma_positive": 1.0, "gamma_negative": 3.0, "clip": 0.1}
FOCAL = {"alpha": 0.25, "gamma": 2.0}
SIGMOIDS = {
    "sigmoid": (losses.sigmoid_cross_entropy, derivatives.value_and_grad, {}),
    "focal": (losses.sigmoid_focal_loss, derivatives.value_and_grad, FOCAL),
    "asymmetric": (
        losses.asymmetric_sigmoid_loss,
        derivatives.asymmetric_sigmoid_value_and_grad,
        GAMMAS,
    ),
}
SOFTMAXES = {
    "softmax": (losses.softmax_cross_entropy, derivatives.softmax_value_and_grad, {}),
    "sparse": (losses.sparse_softmax_cross_entropy, derivatives.sparse_softmax_value_and_grad, {}),
}
KINDS = SIGMOIDS | SOFTMAXES
"""Of each loss: its function, the one that gives its gradient too, and its parameters."""


def sigmoid(z, x):
    """The loss and its slope, in float64: for logits up to about 30."""
    p = 1 / (1 + np.exp(-x))
    return -z * np.log(p) - (1 - z) * np.log1p(-p), p - z


def focal(z, x, alpha=None, gamma=0.0):
    """The same of the focal loss, by the product rule."""
    p = 1 / (1 + np.exp(-x))
    u, slope = z * (1 - p) + (1 - z) * p, (1 - 2 * z) * p * (1 - p)
    share = 1.0 if alpha is None else alpha * z + (1 - alpha) * (1 - z)
    loss, first = sigmoid(z, x)
    by_power = np.where(gamma == 0, 0.0, gamma * u ** (np.asarray(gamma) - 1.0))
    return share * u**gamma * loss, share * (by_power * slope * loss + u**gamma * first)


def asymmetric(z, x, gamma_positive, gamma_negative, clip):
    """The same of the asymmetric loss, of hard labels."""
    p = 1 / (1 + np.exp(-x))
    value, slope = np.zeros(x.shape), np.zeros(x.shape)
    below = p - clip
    for chosen, u, gamma, sign in (
        (z == 1, 1 - p, gamma_positive, -1),
        ((z == 0) & (below > 0), below, gamma_negative, 1),
    ):
        u, g = u[chosen], np.broadcast_to(np.asarray(gamma, float), x.shape)[chosen]
        log, outer = -np.log1p(-u), (p * (1 - p))[chosen] * sign
        value[chosen] = u**g * log
        slope[chosen] = outer * (g * u ** (g - 1) * log + u**g / (1 - u))
    return value, slope


def softmax(z, x, keep=True):
    """The losses of rows and their slopes, with the classes deleted that are not kept."""
    value, slope = np.zeros(x.shape[:-1]), np.zeros(x.shape)
    keep = np.broadcast_to(keep, x.shape)
    for row in np.ndindex(x.shape[:-1]):
        k = keep[row]
        if k.any():
            label, logit = z[row][k], x[row][k]
            power = np.exp(logit - logit.max())
            p = power / power.sum()
            value[row] = -math.fsum(label * np.log(p))
            slope[row][k] = p * math.fsum(label) - label
    return value, slope


def element_wise(kind, z, x, **parameters):
    """The loss and the slope of any kind; class numbers are spread."""
    if kind == "sparse":
        z = np.eye(x.shape[-1])[z]
    if kind in SOFTMAXES:
        return softmax(z, x)
    formula = {"sigmoid": sigmoid, "focal": focal, "asymmetric": asymmetric}[kind]
    return formula(z, x, **parameters)


def reduced_axes(shape, axis):
    """The axes that are reduced, as numbers from 0 on."""
    if axis is None:
        return set(range(len(shape)))
    return {n % len(shape) for n in ((axis,) if isinstance(axis, int) else axis)}


def places(shape, axis):
    """Of each place that remains, its own index, and where its losses are."""
    axes = reduced_axes(shape, axis)
    rest = [n for n in range(len(shape)) if n not in axes]
    for index in np.ndindex(*(shape[n] for n in rest)):
        at = [slice(None)] * len(shape)
        for n, i in zip(rest, index, strict=True):
            at[n] = i
        yield index, tuple(at)


def left(shape, axis):
    """The shape without the axes that are reduced."""
    axes = reduced_axes(shape, axis)
    return tuple(size for n, size in enumerate(shape) if n not in axes)


def reduced(values, weights, keep, reduction, axis=None):
    """The loss at each place that remains, and what one more of each loss would add to it."""
    shape = values.shape
    weights = np.broadcast_to(np.asarray(weights, float), shape)
    keep = np.broadcast_to(keep, shape)
    result, shares = np.zeros(left(shape, axis)), np.zeros(shape)
    if reduction == Reduction.NONE:
        return np.where(keep, values * weights, 0), np.where(keep, weights, 0)
    for index, at in places(shape, axis):
        kept = keep[at]
        w, v = weights[at][kept], values[at][kept]
        denominator = {
            Reduction.SUM: 1.0,
            Reduction.MEAN: math.fsum(w),
            Reduction.SUM_OVER_BATCH_SIZE: w.size,
            Reduction.SUM_BY_NONZERO_WEIGHTS: np.count_nonzero(w),
        }[reduction]
        if denominator:
            result[index] = math.fsum(w * v) / denominator
            shares[at] = np.where(kept, weights[at] / denominator, 0)
    return result, shares


def planted(values, keep, bad=BAD):
    """The values where kept, and bad ones in turn elsewhere."""
    values = np.asarray(values)
    keep = np.asarray(keep)
    keep = np.broadcast_to(keep if keep.ndim == values.ndim else keep[..., None], values.shape)
    return np.where(keep, values, np.resize(bad, values.shape)).astype(values.dtype)


def planted_weights(weights, keep):
    """The weights, with bad ones where all that they weigh is left out."""
    used = np.zeros(weights.shape, bool)
    for index in np.argwhere(keep):
        used[tuple(i if size > 1 else 0 for i, size in zip(index, used.shape, strict=True))] = True
    return np.where(used, weights, np.resize(BAD, weights.shape))


def stretched(shape):
    """Every shape that broadcasts to this one, of its rank."""
    return sorted(set(itertools.product(*({1, size} for size in shape))))


def plain_numpy(xp):
    """Whether the library is NumPy itself."""
    return xp.__name__ == "array_api_compat.numpy"


def some(xp, cases, few):
    """Some of the cases; more of them on NumPy, where a call takes microseconds."""
    cases = list(cases)
    few = -(-few // 20) if "jax" in xp.__name__ else few  # which compiles each
    few = 5 * few if plain_numpy(xp) else few
    order = np.random.default_rng(len(cases)).permutation(len(cases))
    return [cases[n] for n in order[:few]]


@pytest.fixture(autouse=True)
def jax_once(request):
    """JAX compiles each case: once in each dtype is enough, in float64 with 64 bits switched on.

    `jax-jit` would do it again: functions are called through their modules, and are not jitted.
    It is for the modules that import it.
    """
    if "jax-jit" in request.node.name:
        pytest.skip("as on jax")
    if any(f"[jax-{name}" in request.node.name for name in ("float16", "bfloat16", "float32")):
        pytest.skip("as on jax-x32")


@contextmanager
def _in_blocks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_numpy, "SMALL", 1)
        patch.setattr(_numpy, "BLOCK", 256)
        yield


def ways(xp):
    """How small arrays are computed: as they are, and in blocks as large ones."""
    blocks = plain_numpy(xp) or xp.__name__.endswith("torch")
    return [nullcontext, _in_blocks] if blocks else [nullcontext]


def close(actual, desired, case="", scale=1.0):
    """Float32 after a few operations, where terms of this size may cancel."""
    actual, desired = as_numpy(actual), np.asarray(desired)
    assert actual.shape == desired.shape, case
    np.testing.assert_allclose(actual, desired, rtol=1e-5, atol=3e-6 * scale, err_msg=str(case))


def labels_and_logits(kind, shape, seed=3):
    """Labels and logits whose losses are of this shape, in float64."""
    rng = np.random.default_rng(seed)
    x = 2 * rng.normal(size=(*shape, CLASSES) if kind in SOFTMAXES else shape)
    if kind == "sparse":
        return rng.integers(0, CLASSES, shape), x
    return (rng.random(x.shape) < 0.5).astype(float), x
