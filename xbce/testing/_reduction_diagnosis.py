"""Known ways of being wrong of a reduction, recognised by its figures.

A hypothesis computes, in float64, what a reduction with one fault or several would give. The one
with the fewest faults that fits all that was seen is named.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from xbce._reduction import Reduction
from xbce.testing._batches import Call, Expected
from xbce.testing._diagnosis import SINGLE
from xbce.testing._run import Run

PHRASES = {
    Reduction.NONE: "not reduced",
    Reduction.SUM: "the sum",
    Reduction.MEAN: "the mean by the sum of the weights, which normalises them",
    Reduction.SUM_OVER_BATCH_SIZE: "the mean over the elements that the mask keeps",
    Reduction.SUM_BY_NONZERO_WEIGHTS: "the mean over those with weight",
}


class Weights(NamedTuple):
    """What a hypothesis makes a denominator, or other weights, of."""

    kept: np.ndarray
    """The weights, 0 where the mask leaves out."""
    all: np.ndarray
    """The weights before the mask."""
    mask: np.ndarray
    axis: int | tuple[int, ...] | None
    """Over which it is reduced: all where it is None, and none where it is empty."""
    call: Call

    def count(self, array: np.ndarray) -> Any:
        """How many are not 0, along the axis, which stays."""
        return np.count_nonzero(array, axis=self.axis, keepdims=True)


Denominator = Callable[[Weights], Any]
"""What the terms are divided by, each or all."""


def _as_given(array: np.ndarray | None, weights: np.ndarray) -> int:
    return weights.size if array is None else int(np.count_nonzero(array))


def _of_rows(weights: np.ndarray) -> Any:
    """The number of rows, times that of the elements with weight in each."""
    others = tuple(range(1, weights.ndim))
    return len(weights) * np.count_nonzero(weights, axis=others, keepdims=True)


DENOMINATORS: dict[str, Denominator] = {
    PHRASES[Reduction.SUM_BY_NONZERO_WEIGHTS]: lambda w: w.count(w.kept),
    "the mean over all elements": lambda w: w.count(np.ones_like(w.kept)),
    PHRASES[Reduction.SUM_OVER_BATCH_SIZE]: lambda w: w.count(w.mask),
    PHRASES[Reduction.MEAN]: lambda w: w.kept.sum(w.axis, keepdims=True),
    PHRASES[Reduction.SUM]: lambda w: 1,
    "the sum over the number of those with weight before the mask": lambda w: w.count(w.all),
    "the sum over the sum of the weights before the mask": (
        lambda w: w.all.sum(w.axis, keepdims=True)
    ),
}
WHOLE: dict[str, Denominator] = {
    "the sum over the number of rows": lambda w: len(w.kept),
    "the sum over the number of columns": lambda w: w.kept.shape[-1],
    "the mean of the rows' means": lambda w: _of_rows(w.kept),
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
MASKS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "": lambda keep: keep,
    "the mask is ignored": np.ones_like,
    "the mask is taken the other way round: True leaves out": np.logical_not,
}
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
    "weights are applied twice": lambda w: w.kept * w.kept,
    "weights are taken for a mask: any but 0 counts 1": lambda w: (w.kept != 0).astype(float),
}


def of_reduction(run: Run) -> list[str]:
    """What a reduction is instead, and the faults that its rules have named."""
    with np.errstate(all="ignore"):
        eps = run.make.format.eps
        if _is_right(run, eps):
            found = []
        elif eps < SINGLE and _is_right(run, SINGLE):
            found = ["it has the digits of float32"]
        else:
            found = _reduced_otherwise(run)
    return [f"{run.make.name}: {text}" for text in dict.fromkeys([*found, *run.symptoms])]


def _is_right(run: Run, eps: float) -> bool:
    return all(_fits(run, actual, *run.expected.value(call), eps) for call, actual in run.seen)


def _fits(run: Run, actual: np.ndarray, value: Any, size: Any, eps: float | None = None) -> bool:
    close = run.max_ulp * (eps or run.make.format.eps) * size + run.make.format.tiny
    return np.shape(value) == actual.shape and bool(np.all(np.abs(actual - value) <= close))


def _reduced_otherwise(run: Run) -> list[str]:
    """The faults of the first hypothesis, those with fewest faults first, that fits all calls."""
    expected = run.expected
    of_shape = [*_misshapen(run)]
    if of_shape:
        return of_shape
    if run.ignore_index is not None and not expected.loss.class_numbers:
        counted = [(run.as_called(call), came) for call, came in run.seen]
        if all(_fits(run, came, *expected.value(call)) for call, came in counted):
            return [f"labels of {run.ignore_index} are not left out"]
    own = PHRASES[expected.reduction]
    denominators = DENOMINATORS | (WHOLE if expected.axis is None else PLACES)
    if expected.reduction == Reduction.NONE:
        denominators = {own: denominators[PHRASES[Reduction.SUM]]}
    masks = MASKS if "where" in run.takes else {"": MASKS[""]}
    weights = WEIGHTS if "weights" in run.takes else {"": WEIGHTS[""]}
    kinds = _kinds(expected)
    hypotheses = product(kinds, masks, weights, denominators)
    for kind, mask, weigh, below in sorted(
        hypotheses, key=lambda h: sum(map(bool, h[:3])) + (h[3] != own)
    ):
        parts = kinds[kind], masks[mask], weights[weigh], denominators[below]
        if all(_fits(run, came, *_guess(expected, call, *parts)) for call, came in run.seen):
            faults = [fault for fault in (kind, mask, weigh) if fault]
            alike = below.startswith("the mean ") and own.startswith("the mean over")
            other = own.removeprefix("the mean ") if alike else own
            return faults + ([f"this is {below}, not {other}"] if below != own else [])
    return []


def _guess(
    expected: Expected,
    call: Call,
    losses: Callable[[Call], tuple[np.ndarray, np.ndarray]],
    mask: Callable[[np.ndarray], np.ndarray],
    weigh: Weigh,
    below: Denominator,
) -> tuple[Any, Any]:
    """What a hypothesis gives for a call, and the size of what it sums."""
    axis = () if expected.reduction == Reduction.NONE else expected.axis
    values, by_class = losses(call)
    shape = values.shape
    keep = np.broadcast_to(True if call.where is None else mask(call.where), shape)
    given = np.broadcast_to((1.0 if call.weights is None else call.weights) * by_class, shape)
    right = Weights(np.where(keep, given, 0.0), given, keep, axis, call)
    weights = weigh(right)
    denominator = np.asarray(below(right._replace(kept=weights)), dtype=float)
    terms = values * weights / np.where(denominator == 0, np.inf, denominator)
    sizes = np.abs(terms) + (np.abs(weights) if axis == () else 0)  # as in `Expected.value`
    return terms.sum(axis), sizes.sum(axis)


def _kinds(
    expected: Expected,
) -> dict[str, Callable[[Call], tuple[np.ndarray, np.ndarray]]]:
    """Element-wise losses and class weights, right and with one fault each."""

    def of(changed: Expected, labels_of: Any = None) -> Any:
        def losses(call: Call) -> tuple[np.ndarray, np.ndarray]:
            values = changed.numbers("loss", call)
            labels = call.labels if labels_of is None else labels_of(call)
            return values, np.broadcast_to(changed.by_class(labels), values.shape)

        return losses

    found = {"": of(expected)}
    found["this is the negative of the loss"] = partial(_negative, expected)
    if not expected.loss.over_classes:
        found["labels and logits are swapped"] = partial(_swapped, expected)
    if expected.smoothing > 0:
        found["labels are not smoothed"] = of(replace(expected, smoothing=0.0))
        found["labels are smoothed by twice the number"] = of(
            replace(expected, smoothing=2 * expected.smoothing)
        )
        found["labels are smoothed by half the number"] = of(
            replace(expected, smoothing=expected.smoothing / 2)
        )
    if expected.class_weights is not None:
        found["class weights are ignored"] = of(replace(expected, class_weights=None))
        backwards = expected.class_weights[::-1]
        found["class weights are in the opposite order"] = of(
            replace(expected, class_weights=backwards)
        )
        if expected.smoothing > 0:
            found["labels are smoothed before class weights are chosen by them"] = of(
                expected, expected.smoothed
            )
            found["class weights multiply each class's term of the smoothed label"] = lambda call: (
                _by_terms(expected, call)
            )
    for parameter in expected.parameters:
        rest = {n: v for n, v in expected.parameters.items() if n != parameter}
        found[f"`{parameter}` is left out"] = of(replace(expected, parameters=rest))
        if parameter == "pos_weight" and expected.smoothing > 0:
            found["`pos_weight` is chosen by the label before that is smoothed"] = partial(
                _weighed_before, expected, rest
            )
    return found


def _negative(expected: Expected, call: Call) -> tuple[np.ndarray, np.ndarray]:
    """Minus the losses."""
    values = expected.numbers("loss", call)
    return -values, np.broadcast_to(expected.by_class(call.labels), values.shape)


def _swapped(expected: Expected, call: Call) -> tuple[np.ndarray, np.ndarray]:
    """Losses of labels for logits."""
    values = expected.numbers("loss", replace(call, labels=call.logits, logits=call.labels))
    return values, np.broadcast_to(expected.by_class(call.labels), values.shape)


def _by_terms(expected: Expected, call: Call) -> tuple[np.ndarray, np.ndarray]:
    """Losses whose terms are weighted class by class, over the weight of the label's class."""
    smoothed, weights = expected.smoothed(call), np.asarray(expected.class_weights)
    by_class = np.asarray(expected.by_class(call.labels))
    if expected.loss.over_classes:
        return expected.of("loss", smoothed * weights, call.logits) / by_class, by_class
    up = replace(expected, parameters={"pos_weight": weights[1] / weights[0]})
    return weights[0] * up.of("loss", smoothed, call.logits) / by_class, by_class


def _weighed_before(
    expected: Expected, rest: dict[str, float], call: Call
) -> tuple[np.ndarray, np.ndarray]:
    """Losses of smoothed labels, times the weight of the class that they were of."""
    values = replace(expected, parameters=rest).numbers("loss", call)
    weight = 1 - call.labels + expected.parameters["pos_weight"] * call.labels
    return values * weight, np.ones(values.shape)


def _misshapen(run: Run) -> Iterator[str]:
    """What the shapes of the results say, where they are not what they should be."""
    found = [
        (shape, actual.shape, run.expected.value(call)[0].shape)
        for call, actual in run.seen
        if len(shape := run.shape(call)) > 1
    ]
    if all(came == wanted for _, came, wanted in found):
        return
    if all(came == shape for shape, came, _ in found):
        yield "this is not reduced"
    elif all(came == () for _, came, _ in found):
        yield "this is reduced over all axes"
    elif all(came == shape[:-1] for shape, came, _ in found):
        yield "this is the mean over the last axis only"
    elif all(came == shape[1:] for shape, came, _ in found):
        yield "this is reduced over the first axis only"
