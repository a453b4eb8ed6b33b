"""Known ways of being wrong of an unreduced loss and its gradient, recognised by their figures.

A hypothesis computes, in float64, what an implementation with a fault would give.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from xbce._losses import Loss
from xbce._typing import Array
from xbce.testing import _loss_faults
from xbce.testing._arrays import UPSTREAM, Maker
from xbce.testing._inputs import quarters
from xbce.testing._oracle import in_float64
from xbce.testing._ulp import as_numpy

SINGLE = 2.0**-23
"""The distance between numbers of float32."""
Hypotheses = dict[str, Callable[[], np.ndarray]]


def of_losses(
    functions: dict[str, Callable[[Array, Array], Array]],
    make: Maker,
    loss: Loss,
    parameters: dict[str, float],
    classes: int,
    soft_labels: bool,
) -> Iterator[str]:
    """What a loss is instead; or what its gradient is, where the loss is right."""
    eps = make.format.eps
    z, x = _moderate(loss, classes, soft_labels)
    for quantity, of_quantity in (("loss", _of_value), ("gradient", _of_gradient)):
        if quantity not in functions:
            continue
        try:
            with np.errstate(all="ignore"):
                came = as_numpy(functions[quantity](make(z), make(x)))
                right, hypotheses = of_quantity(loss, parameters, z, x)
                if _alike(came, right, eps):
                    continue
                if eps < SINGLE and _alike(came, right, SINGLE):
                    has = "has" if in_float32(came) else "is right to"
                    found = [f"the {quantity} {has} the digits of float32"]
                else:
                    found = [n for n, value in hypotheses.items() if _alike(came, value(), eps)]
        except Exception:  # which a rule says
            return
        yield from (f"{make.name}: {name}" for name in found[:1])
        return


def in_float32(values: np.ndarray) -> bool:
    """Whether float32 holds all these numbers."""
    return bool(np.array_equal(values, values.astype(np.float32), equal_nan=True))


def _moderate(loss: Loss, classes: int, soft_labels: bool) -> tuple[np.ndarray, np.ndarray]:
    """Labels and logits that every dtype holds."""
    rng = np.random.default_rng(3)
    x = quarters(rng, (6, classes))
    if not loss.over_classes:
        return rng.choice([0.0, 1.0, 0.25] if soft_labels else [0.0, 1.0], x.shape), x
    numbers, others = rng.integers(0, classes, (2, 6))
    if loss.class_numbers:
        return numbers, x
    rows = np.eye(classes)
    return (0.75 * rows[numbers] + 0.25 * rows[others] if soft_labels else rows[numbers]), x


def _alike(actual: np.ndarray, values: np.ndarray, eps: float) -> bool:
    close = 64 * eps * (1 + np.abs(values))
    return values.shape == actual.shape and bool(np.all(np.abs(actual - values) <= close))


def _of_value(
    loss: Loss, parameters: dict[str, float], z: np.ndarray, x: np.ndarray
) -> tuple[np.ndarray, Hypotheses]:
    """The loss, and what it may be instead, the likeliest first."""
    right = _loss_faults.values(loss, parameters, z, x)
    found: Hypotheses = {
        "this is the mean over the last axis only": lambda: right.mean(axis=-1),
        "this is the sum over the last axis": lambda: right.sum(axis=-1),
        "this is the mean over all elements": lambda: right.mean(),
        "this is the sum over all elements": lambda: right.sum(),
    }
    faults = _loss_faults.faults(loss, parameters)
    return right, found | {name: partial(fault, z, x) for name, fault in faults.items()}


def _of_gradient(
    loss: Loss, parameters: dict[str, float], z: np.ndarray, x: np.ndarray
) -> tuple[np.ndarray, Hypotheses]:
    """The gradient, and what that of a right loss may be instead, the likeliest first."""

    def slopes(**changed: float | None) -> np.ndarray:
        given = {n: v for n, v in (parameters | changed).items() if v is not None}
        return np.asarray(in_float64(loss, loss.gradient, z, x, given))

    right = slopes()
    losses = x.shape[:-1] if loss.over_classes else x.shape
    upstream = np.resize(UPSTREAM, losses).reshape(losses + (1,) * (x.ndim - len(losses)))
    found: Hypotheses = {
        "the gradient is 0: nothing comes through": lambda: 0 * right,
        "the gradient has the opposite sign": lambda: -right,
        "the gradient is half of what it should be": lambda: right / 2,
        "the gradient is twice what it should be": lambda: right * 2,
        "the gradient forgets what comes in from behind": lambda: right / upstream,
        "the gradient is that of the mean": lambda: right / np.prod(losses),
        "the gradient is that of the mean over rows": lambda: right / len(x),
    }
    if not loss.over_classes:
        found |= {
            "the gradient is by the labels": lambda: -x,
            "the gradient is by the probabilities, not the logits": (
                lambda: right * (1 + np.exp(-x)) * (1 + np.exp(x))
            ),
        }
    found |= {
        f"the gradient is that without `{name}`": partial(slopes, **_loss_faults.without(name))
        for name in parameters
    }
    if "gamma" in parameters:
        found["the gradient takes the factor that `gamma` makes for a constant"] = lambda: (
            slopes(gamma=0.0)
            * _loss_faults.values(loss, parameters, z, x)
            / _loss_faults.values(loss, parameters, z, x, gamma=0.0)
        )
    return right, found
