"""Wrong masks, weights and denominators: what the figures of a reduction are held against."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from xbce._reduction import Reduction
from xbce.testing._arrays import Axis
from xbce.testing._batches import Call

OVER_ALL = "the mean over all elements"
PHRASES = {
    Reduction.NONE: "not reduced",
    Reduction.SUM: "the sum",
    Reduction.MEAN: "the mean by the sum of the weights, which normalises them",
    Reduction.SUM_OVER_BATCH_SIZE: "the mean over the elements that the mask keeps",
    Reduction.SUM_BY_NONZERO_WEIGHTS: "the mean over those with weight",
}


def phrase(reduction: Reduction, weighted: bool, masked: bool) -> str:
    """What a reduction is in words, where there are weights or masks or neither."""
    if reduction in (Reduction.NONE, Reduction.SUM):
        return PHRASES[reduction]
    if weighted and reduction != Reduction.SUM_OVER_BATCH_SIZE:
        return PHRASES[reduction]
    return PHRASES[Reduction.SUM_OVER_BATCH_SIZE] if masked else OVER_ALL


class Weights(NamedTuple):
    """What a hypothesis makes a denominator, or other weights, of."""

    kept: np.ndarray
    """The weights, 0 where the mask leaves out."""
    all: np.ndarray
    """The weights before the mask."""
    mask: np.ndarray
    axis: Axis
    call: Call

    def count(self, array: np.ndarray) -> Any:
        """How many are not 0, along the axis, which stays."""
        return np.count_nonzero(array, axis=self.axis, keepdims=True)


Denominator = Callable[[Weights], Any]
"""What the terms are divided by, each or all."""


def _as_given(array: np.ndarray | None, weights: np.ndarray) -> int:
    return weights.size if array is None else int(np.count_nonzero(array))


def _each_row(array: np.ndarray) -> Any:
    """The number of rows, times the sum of each."""
    return len(array) * array.sum(axis=tuple(range(1, array.ndim)), keepdims=True)


def _each_last(array: np.ndarray) -> Any:
    """The number of rows along the last axis, times the sum of each."""
    return np.prod(array.shape[:-1]) * array.sum(axis=-1, keepdims=True)


DENOMINATORS: dict[str, Denominator] = {
    OVER_ALL: lambda w: w.count(np.ones_like(w.kept)),
    PHRASES[Reduction.SUM_OVER_BATCH_SIZE]: lambda w: w.count(w.mask),
    PHRASES[Reduction.SUM_BY_NONZERO_WEIGHTS]: lambda w: w.count(w.kept),
    PHRASES[Reduction.MEAN]: lambda w: w.kept.sum(w.axis, keepdims=True),
    PHRASES[Reduction.SUM]: lambda w: 1,
    "the sum over the sum of the weights, or over 1 where that is less": (
        lambda w: np.maximum(w.kept.sum(w.axis, keepdims=True), 1)
    ),
    "the sum over the number of those with weight before the mask": lambda w: w.count(w.all),
    "the sum over the sum of the weights before the mask": (
        lambda w: w.all.sum(w.axis, keepdims=True)
    ),
}
WHOLE: dict[str, Denominator] = {
    "the sum over the number of rows": lambda w: len(w.kept),
    "the sum over the number of columns": lambda w: w.kept.shape[-1],
    "the mean of the rows' means": lambda w: _each_row(w.kept != 0),
    "the mean of the rows' means, each over the elements that the mask keeps": (
        lambda w: _each_row(w.mask)
    ),
    "the mean of the rows' means, each by the sum of its weights": lambda w: _each_row(w.kept),
    "the mean of the means over the last axis": lambda w: _each_last(w.kept != 0),
    "the mean of the means over the last axis, each over the elements that the mask keeps": (
        lambda w: _each_last(w.mask)
    ),
    "the mean of the means over the last axis, each by the sum of its weights": (
        lambda w: _each_last(w.kept)
    ),
    "the sum over one more than the number of elements that the mask keeps": (
        lambda w: w.count(w.mask) + 1
    ),
    "the sum over one more than the sum of the weights": lambda w: w.kept.sum() + 1,
    "the sum over the non-zero weights as they are given, not as they are broadcast": (
        lambda w: _as_given(w.call.weights, w.kept)
    ),
    "the sum over the sum of the weights as they are given, not as they are broadcast": (
        lambda w: w.kept.sum() if w.call.weights is None else np.sum(w.call.weights)
    ),
    "the sum over the places that the mask keeps as it is given, not as it is broadcast": (
        lambda w: _as_given(w.call.where, w.kept)
    ),
}
"""Those of a loss that is reduced to one number."""
PLACES: dict[str, Denominator] = {
    "the sum over the number of those with weight in the whole batch": (
        lambda w: np.count_nonzero(w.kept)
    ),
    "the sum over the number of elements that the mask keeps in the whole batch": (
        lambda w: np.count_nonzero(w.mask)
    ),
    "the sum over the number of all elements in the whole batch": lambda w: w.kept.size,
    "the sum over the sum of the weights in the whole batch": lambda w: w.kept.sum(),
}
"""Those of a loss that is reduced over some axes."""
Mask = Callable[[Call, np.ndarray], tuple[Call, Any]]
"""Of a call and which of its losses count: the call with another mask, and what losses that do not
count add to the sum."""
MASKS: dict[str, Mask] = {
    "": lambda call, kept: (call, 0.0),
    "the mask is ignored": lambda call, kept: (replace(call, where=None), 0.0),
    "the mask is taken the other way round: True leaves out": (
        lambda call, kept: (call if call.where is None else replace(call, where=~call.where), 0.0)
    ),
    "what the mask leaves out adds the loss at logits of 0": (
        lambda call, kept: (call, np.where(kept, 0.0, _at_zero(call, kept.ndim)))
    ),
}


def _at_zero(call: Call, rank: int) -> float:
    """The loss at logits of 0, of labels that sum to 1."""
    return float(np.log(call.logits.shape[-1] if rank < call.logits.ndim else 2))


def without_class(number: int) -> Mask:
    """A mask that leaves out a class too."""
    return lambda call, kept: (replace(call, where=kept & (call.labels != number)), 0.0)


Weigh = Callable[[Weights], np.ndarray]
"""Other weights."""
WEIGHTS: dict[str, Weigh] = {
    "": lambda w: w.kept,
    "weights are ignored": lambda w: w.mask.astype(float),
    "weights are normalised, so that they sum to 1": lambda w: w.kept / w.kept.sum(),
    "weights are normalised, so that their mean is 1": lambda w: w.kept / w.kept.mean(),
    "weights are normalised before the mask, so that they sum to 1": (
        lambda w: w.kept / w.all.sum()
    ),
    "weights are normalised before the mask, so that their mean is 1": (
        lambda w: w.kept / w.all.mean()
    ),
    "weights are normalised, so that the largest is 1": lambda w: w.kept / w.kept.max(),
    "weights are applied twice": lambda w: w.kept * w.kept,
    "weights are taken for a mask: any but 0 counts 1": lambda w: (w.kept != 0).astype(float),
}
