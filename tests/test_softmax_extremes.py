"""Softmax losses of logits that are infinite, or further apart than the largest number."""

import tracemalloc

import mpmath
import numpy as np
import pytest
from exact import exact_softmax
from formulas import as_tuple, by, by_jax, by_torch, formulas_of, on_every_library

from xbce import derivatives, losses
from xbce._formula import (
    softmax_cross_entropy,
    softmax_gradient,
    softmax_value_and_gradient,
    sparse_softmax_cross_entropy,
    sparse_softmax_gradient,
    sparse_softmax_value_and_gradient,
)
from xbce._losses import SOFTMAX, SPARSE_SOFTMAX
from xbce.testing import as_numpy

INF, NAN = np.inf, np.nan
numpy_only = pytest.mark.backend("numpy")

# Logits, labels, the loss (at least, where it is huge), and the gradient.
BIG = 3e38
SPREAD = [
    ([BIG, -BIG, 0], [1, 0, 0], 0, [0, 0, 0]),
    ([BIG, -BIG, 0], [0, 0, 1], BIG, [1, 0, -1]),
    ([BIG, -BIG, 0], [0, 1, 0], BIG, [1, -1, 0]),
    ([BIG, -BIG, 0], [0.5, 0.5, 0], BIG / 2, [0.5, -0.5, 0]),
    ([-BIG, -BIG, BIG], [0, 0, 1], 0, [0, 0, 0]),
    ([BIG, BIG, -BIG], [1, 0, 0], np.log(2), [-0.5, 0.5, 0]),
    ([BIG, BIG, -BIG], [0.5, 0.25, 0.25], BIG / 4, [0, 0.25, -0.25]),
    ([INF, -BIG, 0], [1, 0, 0], 0, [0, 0, 0]),
    ([INF, -INF, 0], [0, 0, 1], BIG, [1, 0, -1]),
    ([BIG, -INF, -BIG], [1, 0, 0], 0, [0, 0, 0]),
    ([0, -INF, -INF], [1, 0, 0], 0, [0, 0, 0]),
    ([1, -INF, 1], [0, 1, 0], BIG, [0.5, -1, 0.5]),
]
X, Z, LOSS, SLOPES = (np.asarray(a, dtype="float32") for a in zip(*SPREAD, strict=True))
HARD = np.max(Z, axis=-1) == 1
NUMBERS = np.argmax(Z, axis=-1)
COUNT = np.arange(3)


def check(loss, slopes, rows=slice(None)):
    want = LOSS[rows]
    small = want < 1e30
    np.testing.assert_allclose(loss[small], want[small], rtol=1e-6)
    assert np.all(loss[~small] >= want[~small])
    np.testing.assert_allclose(slopes, SLOPES[rows], atol=1e-7)


# --- too far apart ------------------------------------------------------------------


@numpy_only
def test_softmax_of_logits_too_far_apart():
    with np.errstate(all="ignore"):
        check(*softmax_value_and_gradient(np, Z, X, COUNT))
        check(softmax_cross_entropy(np, Z, X, COUNT), softmax_gradient(np, Z, X, COUNT))


@numpy_only
def test_sparse_softmax_of_logits_too_far_apart():
    arrays = NUMBERS[HARD], X[HARD], COUNT
    with np.errstate(all="ignore"):
        check(*sparse_softmax_value_and_gradient(np, *arrays), HARD)
        loss = sparse_softmax_cross_entropy(np, *arrays)
        check(loss, sparse_softmax_gradient(np, *arrays), HARD)


def test_logits_too_far_apart_on_every_backend(xp, array):
    loss, slopes = derivatives.softmax_value_and_grad(array(Z), array(X), reduction="none")
    check(as_numpy(loss), as_numpy(slopes))
    labels = array(NUMBERS[HARD], xp.int32)
    loss = losses.sparse_softmax_cross_entropy(labels, array(X[HARD]), reduction="none")
    check(as_numpy(loss), SLOPES[HARD], HARD)


def hessian(z, x):
    """The first row of each: the derivatives of the first slope, in exact limits."""
    with np.errstate(all="ignore"):
        d = x.astype(float) - np.max(x, axis=-1, keepdims=True)
        p = np.exp(np.where(np.isnan(d), 0, d))
        p /= p.sum(axis=-1, keepdims=True)
    unit = np.asarray([1.0, 0, 0])
    return z.sum(axis=-1, keepdims=True) * (unit - p) * p[:, :1]


@by(by_torch, by_jax)
def test_autodiff_of_logits_too_far_apart(way):
    def counted(formula):
        return lambda xp, z, x: formula(xp, z, x, xp.cumsum(xp.ones_like(x[0]), 0) - 1)

    found = way(counted(softmax_cross_entropy), Z, X)
    for actual, want in zip(found, (SLOPES, hessian(Z, X)), strict=True):
        np.testing.assert_allclose(actual, want, atol=1e-6)
    found = way(counted(sparse_softmax_cross_entropy), NUMBERS[HARD], X[HARD])
    for actual, want in zip(found, (SLOPES[HARD], hessian(Z[HARD], X[HARD])), strict=True):
        np.testing.assert_allclose(actual, want, atol=1e-6)


@pytest.mark.backend("torch")
def test_reverse_over_forward_in_torch():
    torch = pytest.importorskip("torch")
    from array_api_compat import torch as xp

    x, z = torch.asarray(X), torch.asarray(Z)
    tangent = torch.zeros(x.shape)
    tangent[:, 0] = 1

    def loss(x):
        return softmax_cross_entropy(xp, z, x, torch.arange(3)).sum()

    def along(x):
        return torch.func.jvp(loss, (x,), (tangent,))[1]

    np.testing.assert_allclose(float(along(x)), float(SLOPES[:, 0].sum()), atol=1e-5)
    np.testing.assert_allclose(torch.func.grad(along)(x).numpy(), hessian(Z, X), atol=1e-6)


# --- what means nothing ---------------------------------------------------------------


@numpy_only
@pytest.mark.parametrize("row", [[INF, INF, 0], [-INF, -INF, -INF], [NAN, 0, 1], [0, NAN, INF]])
def test_rows_that_mean_nothing_are_nan(row):
    x, z = np.asarray([row], dtype="float32"), np.asarray([[1, 0, 0]], dtype="float32")
    first = np.asarray([0])
    with np.errstate(all="ignore"):
        assert np.isnan(softmax_cross_entropy(np, z, x, COUNT))
        assert np.isnan(sparse_softmax_cross_entropy(np, first, x, COUNT))
        assert np.any(np.isnan(softmax_gradient(np, z, x, COUNT)))
        assert np.any(np.isnan(sparse_softmax_gradient(np, first, x, COUNT)))


@numpy_only
def test_a_label_that_is_no_class_is_nan():
    x = np.zeros((4, 3))
    for labels in (np.asarray([-1, 0, 2, 3]), np.asarray([200, 0, 2, 3], dtype="uint8")):
        for loss in (
            sparse_softmax_cross_entropy(np, labels, x, COUNT),
            sparse_softmax_gradient(np, labels, x, COUNT).sum(axis=-1),
            sparse_softmax_value_and_gradient(np, labels, x, COUNT)[0],
        ):
            np.testing.assert_array_equal(np.isnan(loss), [True, False, False, True])


@numpy_only
def test_without_infinities_it_is_quiet():
    x = np.asarray([[1, 2, 3], [1e38, -1e38, 0], [1e4, 0, -1e4]], dtype="float32")
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        softmax_value_and_gradient(np, np.eye(3, dtype="float32"), x, COUNT)
        sparse_softmax_value_and_gradient(np, COUNT, x, COUNT)


# --- digits and memory ----------------------------------------------------------------


@numpy_only
@pytest.mark.parametrize("scale", [1e-3, 1, 30, 300])
@pytest.mark.parametrize("name", ["float32", "float64"])
def test_the_digits_that_are_promised(scale, name):
    rng = np.random.default_rng(0)
    x = (scale * rng.normal(size=(6, 50))).astype(name)
    z = np.eye(50, dtype=name)[np.argmax(x, axis=-1)]
    z[1::3] = 0.9 * z[1::3] + 0.1 / 50
    z[2::3] = rng.dirichlet(np.ones(50), 2)
    labels, count = np.arange(6), np.arange(50)
    eps, tiny = np.finfo(name).eps, np.finfo(name).smallest_normal
    loss, slopes, *_ = exact_softmax(z, x)
    found, gradient = softmax_value_and_gradient(np, z, x, count)
    np.testing.assert_allclose(found, loss, rtol=16 * eps, atol=2 * tiny)
    np.testing.assert_allclose(found, softmax_cross_entropy(np, z, x, count), rtol=2 * eps)
    np.testing.assert_array_equal(gradient, softmax_gradient(np, z, x, count))
    np.testing.assert_allclose(gradient, slopes, rtol=16 * eps, atol=8 * eps)
    gradient = sparse_softmax_value_and_gradient(np, labels, x, count)[1]
    slopes = exact_softmax(np.eye(50)[labels], x)[1]
    np.testing.assert_allclose(gradient, slopes, rtol=16 * eps, atol=8 * eps)


@numpy_only
@pytest.mark.parametrize("loss", [SOFTMAX, SPARSE_SOFTMAX], ids=lambda loss: loss.name)
def test_a_formula_holds_five_long_rows_at_most(loss):
    size = 2**20
    x = np.random.default_rng(0).normal(size=(1, size)).astype("float32")
    z = np.asarray([7]) if loss.class_numbers else np.full_like(x, 1 / size)
    numbers = np.arange(size)
    for formula in formulas_of(loss):
        tracemalloc.start()
        formula(np, z, x, numbers)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak / x.nbytes <= 5


@on_every_library
@pytest.mark.parametrize("loss", [SOFTMAX, SPARSE_SOFTMAX], ids=lambda loss: loss.name)
def test_every_library_gives_the_numbers_of_numpy(library, loss):
    x, z = np.asarray([[0.5, -INF, 3], [2, 2, -1]]), np.asarray([[0.0, 0, 1], [0.25, 0.5, 0.25]])
    z = np.asarray([2, 0]) if loss.class_numbers else z
    call = library()
    with np.errstate(all="ignore"), mpmath.workdps(50):
        for formula in formulas_of(loss):
            wanted = as_tuple(formula(np, z, x, COUNT))
            for one, other in zip(as_tuple(call(formula, z, x, COUNT)), wanted, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-13)
