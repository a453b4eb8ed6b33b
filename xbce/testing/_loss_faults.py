"""Losses with one fault each, in float64: what wrong figures are held against, to name them."""

from collections.abc import Callable
from functools import partial

import numpy as np

from xbce._losses import SIGMOID, SOFTMAX, Loss
from xbce.testing._oracle import in_float64

Losses = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Of (labels, logits), in NumPy."""


def values(
    loss: Loss,
    parameters: dict[str, float],
    labels: np.ndarray,
    logits: np.ndarray,
    **changed: float | None,
) -> np.ndarray:
    """The losses themselves, with some of their parameters changed, or left out where None."""
    given = {n: v for n, v in (parameters | changed).items() if v is not None}
    return np.asarray(in_float64(loss, loss.value, labels, logits, given))


def without(name: str) -> dict[str, float | None]:
    """What leaves a parameter out."""
    return {name: 0.0 if name == "gamma" else None}


def faults(loss: Loss, parameters: dict[str, float]) -> dict[str, Losses]:
    """Losses with one fault, by what it is in words, the likeliest first."""
    right = partial(values, loss, parameters)
    found: dict[str, Losses] = {
        "this is the negative of the loss": lambda z, x: -right(z, x),
        "this is half the loss": lambda z, x: right(z, x) / 2,
        "this is twice the loss": lambda z, x: right(z, x) * 2,
        "logarithms are of base 2": lambda z, x: right(z, x) / np.log(2),
    }
    found |= _over_classes(loss, right) if loss.over_classes else _of_elements(right)
    found |= {f"`{name}` is left out": partial(right, **without(name)) for name in parameters}
    if {"pos_weight", "alpha"} & parameters.keys():
        found["weights of positives and negatives are exchanged"] = lambda z, x: right(1 - z, -x)
    if "pos_weight" in parameters:
        weight = parameters["pos_weight"]
        found["`pos_weight` multiplies negatives too"] = lambda z, x: (
            weight * right(z, x, pos_weight=None)
        )
        found["`pos_weight` divides"] = partial(right, pos_weight=1 / weight)
    return found


def _of_elements(right: Callable[..., np.ndarray]) -> dict[str, Losses]:
    return {
        "labels and logits are swapped": lambda z, x: right(x, z),
        "the sigmoid is applied twice: these are probabilities, not logits": (
            lambda z, x: right(z, 1 / (1 + np.exp(-x)))
        ),
        "positives and negatives are exchanged": lambda z, x: right(1 - z, x),
        "negatives are left out": lambda z, x: z * right(0 * z + 1, x),
    }


def _over_classes(loss: Loss, right: Callable[..., np.ndarray]) -> dict[str, Losses]:
    def rows(z: np.ndarray, x: np.ndarray) -> np.ndarray:
        return np.eye(x.shape[-1])[z] if loss.class_numbers else z

    def each(z: np.ndarray, x: np.ndarray) -> np.ndarray:
        return values(SIGMOID, {}, rows(z, x), x)

    def of_probabilities(z: np.ndarray, x: np.ndarray) -> np.ndarray:
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return right(z, e / e.sum(axis=-1, keepdims=True))

    def of_largest(z: np.ndarray, x: np.ndarray) -> np.ndarray:
        return values(SOFTMAX, {}, np.eye(x.shape[-1])[rows(z, x).argmax(axis=-1)], x)

    def along_rows(z: np.ndarray, x: np.ndarray) -> np.ndarray:
        """The loss of each place, normalised over the axis before the classes."""
        logs = x - np.log(np.exp(x).sum(axis=-2, keepdims=True))
        return -(rows(z, x) * logs).sum(axis=-1)

    return {
        "this is the mean over the classes, not the sum": lambda z, x: right(z, x) / x.shape[-1],
        "the softmax is applied twice: these are probabilities, not logits": of_probabilities,
        "the softmax is over the axis before the classes": along_rows,
        "the largest label is taken for the only one": of_largest,
        "this is the sum of the sigmoid cross entropy of each class": lambda z, x: each(z, x).sum(
            axis=-1
        ),
        "this is the mean of the sigmoid cross entropy of each class": lambda z, x: each(z, x).mean(
            axis=-1
        ),
    }
