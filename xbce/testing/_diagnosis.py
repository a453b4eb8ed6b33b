"""Known ways of being wrong of an unreduced loss, recognised by its figures.

A hypothesis computes, in float64, what an implementation with a fault would give.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from xbce._losses import Loss
from xbce._typing import Array
from xbce.testing._arrays import Maker
from xbce.testing._inputs import quarters
from xbce.testing._oracle import in_float64
from xbce.testing._ulp import as_numpy

SINGLE = 2.0**-23
"""The distance between numbers of float32."""


def of_losses(
    loss_fn: Callable[[Array, Array], Array],
    make: Maker,
    loss: Loss,
    parameters: dict[str, float],
    classes: int,
    soft_labels: bool,
) -> list[str]:
    """What a loss is instead, where moderate logits tell."""
    rng = np.random.default_rng(3)
    x = quarters(rng, (6, classes))
    z = rng.choice([0.0, 1.0, 0.25] if soft_labels else [0.0, 1.0], x.shape)
    if loss.over_classes:
        z = rng.integers(0, classes, 6) if loss.class_numbers else np.eye(classes)[[0, 1] * 3]
    try:
        with np.errstate(all="ignore"):
            actual = as_numpy(loss_fn(make(z), make(x)))
            found = _named(actual, loss, z, x, parameters, make.format.eps)
    except Exception:  # which a rule says
        return []
    return [f"{make.name}: {found}"] if found else []


def _named(
    actual: np.ndarray, loss: Loss, z: Any, x: Any, parameters: dict[str, float], eps: float
) -> str:
    """The first hypothesis that gives what came; nothing where that is right."""

    def values(z: Any, x: Any, **changed: Any) -> np.ndarray:
        given = {n: v for n, v in (parameters | changed).items() if v is not None}
        return np.asarray(in_float64(loss, loss.value, z, x, given))

    right = values(z, x)

    def is_what_came(values: np.ndarray, eps: float = eps) -> bool:
        close = 64 * eps * (1 + np.abs(values))
        return values.shape == actual.shape and bool(np.all(np.abs(actual - values) <= close))

    if is_what_came(right):
        return ""
    if eps < SINGLE and is_what_came(right, SINGLE):
        return "it has the digits of float32"
    hypotheses: dict[str, Callable[[], np.ndarray]] = {
        "this is the negative of the loss": lambda: -right,
        "this is half the loss": lambda: right / 2,
        "this is twice the loss": lambda: right * 2,
        "logarithms are of base 2": lambda: right / np.log(2),
        "this is the mean over the last axis only": lambda: right.mean(axis=-1),
        "this is the sum over the last axis": lambda: right.sum(axis=-1),
        "this is the mean over all elements": lambda: right.mean(),
        "this is the sum over all elements": lambda: right.sum(),
    }
    if loss.over_classes:
        hypotheses["this is the mean over the classes, not the sum"] = lambda: right / x.shape[-1]
    else:
        hypotheses |= {
            "labels and logits are swapped": lambda: values(x, z),
            "the sigmoid is applied twice: these are probabilities, not logits": (
                lambda: values(z, 1 / (1 + np.exp(-x)))
            ),
            "positives and negatives are exchanged": lambda: values(1 - z, x),
            "negatives are left out": lambda: z * values(0 * z + 1, x),
        }
    for parameter in loss.parameters:
        if parameter.name in parameters:
            left_out = {parameter.name: 0.0 if parameter.name == "gamma" else None}
            hypotheses[f"`{parameter.name}` is left out"] = partial(values, z, x, **left_out)
    if {"pos_weight", "alpha"} & parameters.keys():
        hypotheses["weights of positives and negatives are exchanged"] = lambda: values(1 - z, -x)
    for name, hypothesis in hypotheses.items():
        if is_what_came(hypothesis()):
            return name
    return ""
