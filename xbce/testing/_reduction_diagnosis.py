"""Known ways of being wrong of a reduction, recognised by its figures.

A hypothesis computes, in float64, what a reduction with one fault or several would give. The one
with the fewest faults that fits all that was seen is named.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from xbce._formula import smooth
from xbce._losses import SOFTMAX
from xbce._reduction import Reduction
from xbce.testing._batches import OF_CLASSES, Call, Expected
from xbce.testing._diagnosis import SINGLE, in_float32
from xbce.testing._gradient_diagnosis import of_gradient
from xbce.testing._loss_faults import faults, values
from xbce.testing._reduction_faults import (
    DENOMINATORS,
    MASKS,
    PHRASES,
    PLACES,
    WEIGHTS,
    WHOLE,
    Denominator,
    Mask,
    Weigh,
    Weights,
    phrase,
    without_class,
)
from xbce.testing._run import Run

EXPONENTIALS = "classes that the mask leaves out stay among the exponentials"
HUGE = 1000.0
"""A loss beyond what logits within 4 of 0 can give: only a label's class that is left out does."""
Kind = Callable[[Call], tuple[np.ndarray, Any]]
"""Of a call: its losses, and the weight of each by the class of its label."""


def of_reduction(run: Run) -> list[str]:
    """What a reduction is instead, and the faults that its rules have named."""
    with np.errstate(all="ignore"):
        eps = run.make.format.eps
        if run.is_right():
            found = of_gradient(run, eps)
        elif eps < SINGLE and run.is_right(SINGLE):
            narrow = all(in_float32(came) for _, came in run.seen)
            found = [f"it {'has' if narrow else 'is right to'} the digits of float32"]
            found += of_gradient(run, SINGLE)
        else:
            found = _reduced_otherwise(run)
    return [f"{run.make.name}: {text}" for text in dict.fromkeys([*found, *run.symptoms])]


def _reduced_otherwise(run: Run) -> list[str]:
    """The faults of the first hypothesis, those with fewest faults first, that fits all calls."""
    expected = run.expected
    of_shape = [*_misshapen(run)]
    if of_shape:
        return of_shape
    numbers = range(expected.classes)
    if expected.ignored is not None and (
        not expected.loss.class_numbers or expected.ignored in numbers
    ):
        counted = [(run.as_called(call), came) for call, came in run.seen]
        if all(run.fits(came, *expected.value(call)) for call, came in counted):
            return [f"labels of {expected.ignored} are not left out"]
    masked = "where" in run.takes
    weighted = "weights" in run.takes or expected.class_weights is not None
    own = phrase(expected.reduction, weighted, masked)
    denominators = DENOMINATORS | (WHOLE if expected.axis is None else PLACES)
    if expected.reduction == Reduction.NONE:
        denominators = {own: denominators[PHRASES[Reduction.SUM]]}
    masks = MASKS if masked else {"": MASKS[""]}
    if expected.loss.class_numbers:
        masks = masks | {f"labels of class {n} are left out": without_class(n) for n in numbers}
    if run.kinds == (OF_CLASSES,) and masked:  # which may be taken off labels, or not be used
        masks = {EXPONENTIALS if "ignored" in name else name: of for name, of in masks.items()}
    weights = WEIGHTS if "weights" in run.takes else {"": WEIGHTS[""]}
    kinds = _kinds(expected, OF_CLASSES in run.kinds)
    hypotheses = product(kinds, masks, weights, denominators)

    @cache
    def terms(kind: str, mask: str, number: int) -> tuple[Any, Any, Weights]:
        return _terms(expected, run.seen[number][0], kinds[kind], masks[mask])

    for kind, mask, weigh, below in sorted(
        hypotheses, key=lambda h: sum(map(bool, h[:3])) + (h[3] != own)
    ):
        if all(
            run.fits(came, *_reduced(*terms(kind, mask, n), weights[weigh], denominators[below]))
            for n, (_, came) in enumerate(run.seen)
        ):
            found = [fault for fault in (kind, mask, weigh) if fault]
            alike = below.startswith("the mean ") and own.startswith("the mean over")
            other = own.removeprefix("the mean ") if alike else own
            follows = mask and not masked  # what is divided by goes with the class that is left out
            same = below == own or follows
            return found + ([] if same else [f"this is {below}, not {other}"])
    return [*_without_classes(run)]


def _without_classes(run: Run) -> Iterator[str]:
    """What no finite result says where a mask leaves out classes, though never a label's."""
    found = [came for call, came in run.seen if not run.expected.kept(call).all()]
    if OF_CLASSES not in run.kinds or not found:
        return
    if all(np.isnan(came).any() for came in found):
        yield "labels of 0 multiply logarithms of 0 in classes that the mask leaves out"
    elif all(np.max(came) > HUGE for came in found):
        yield "the mask is taken the other way round: True leaves out"


def _terms(expected: Expected, call: Call, kind: Kind, mask: Mask) -> tuple[Any, Any, Weights]:
    """A hypothesis's losses of a call, what is added to them, and their weights."""
    axis = () if expected.reduction == Reduction.NONE else expected.axis
    changed, added = mask(call, expected.counted(call))
    losses, by_class = kind(changed)
    given = (1.0 if call.weights is None else call.weights) * by_class
    given = np.broadcast_to(given, losses.shape)
    keep = expected.counted(changed)
    return losses, added * given, Weights(np.where(keep, given, 0.0), given, keep, axis, call)


def _reduced(
    losses: Any, added: Any, right: Weights, weigh: Weigh, below: Denominator
) -> tuple[Any, Any]:
    """What a hypothesis gives for a call, and the size of what it sums."""
    weights = weigh(right)
    denominator = np.asarray(below(right._replace(kept=weights)), dtype=float)
    terms = (losses * weights + added) / np.where(denominator == 0, np.inf, denominator)
    whole = np.abs(weights) if right.axis == () else 0  # as in `Expected.value`
    return terms.sum(right.axis), (np.abs(terms) + whole).sum(right.axis)


def _kinds(expected: Expected, without_classes: bool) -> dict[str, Kind]:
    """Losses and class weights, right and with one fault each."""
    loss = SOFTMAX if expected.loss.class_numbers else expected.loss

    def of(
        losses: Callable[..., np.ndarray],
        labels: Callable[[Call], np.ndarray] = expected.smoothed,
        logits: Callable[[Call], np.ndarray] = expected.logits,
    ) -> Kind:
        return lambda call: (losses(labels(call), logits(call)), expected.by_class(call.labels))

    def right(z: np.ndarray, x: np.ndarray, **changed: float | None) -> np.ndarray:
        return values(loss, expected.parameters, z, x, **changed)

    found = {"": of(right)}
    for name, losses in faults(loss, expected.parameters).items():
        found[name] = of(losses)
    if without_classes:
        found |= {
            EXPONENTIALS: of(right, logits=lambda call: call.logits),
            "logits of classes that the mask leaves out are taken for 0": (
                of(right, logits=lambda call: np.where(expected.kept(call), call.logits, 0.0))
            ),
        }
    if expected.smoothing > 0:
        found |= {name: of(right, labels) for name, labels in _smoothed_otherwise(expected).items()}
        if without_classes:
            found["labels are smoothed over classes that the mask leaves out too"] = of(
                right, lambda call: _smoothed_over_all(expected, call)
            )
        if "pos_weight" in expected.parameters:
            found["`pos_weight` is chosen by the label before that is smoothed"] = lambda call: (
                right(expected.smoothed(call), call.logits, pos_weight=None),
                1 - call.labels + expected.parameters["pos_weight"] * call.labels,
            )
    if expected.class_weights is not None:
        found |= _weighted_otherwise(expected, found[""])
    return found


def _smoothed_otherwise(expected: Expected) -> dict[str, Callable[[Call], np.ndarray]]:
    """Labels that are smoothed with one fault."""
    amount, classes = expected.smoothing, expected.classes

    def rows(call: Call) -> np.ndarray:
        return replace(expected, smoothing=0.0).smoothed(call)

    found: dict[str, Callable[[Call], np.ndarray]] = {
        "labels are not smoothed": rows,
        "labels are smoothed by twice the number": (
            lambda call: smooth(np, rows(call), 2 * amount, classes)
        ),
        "labels are smoothed by half the number": (
            lambda call: smooth(np, rows(call), amount / 2, classes)
        ),
        "labels are made smaller, and nothing is added to them": (
            lambda call: rows(call) * (1 - amount)
        ),
        "the whole number is added to smoothed labels, not its share of each class": (
            lambda call: rows(call) * (1 - amount) + amount
        ),
        "half the number is added to smoothed labels, not its share of each class": (
            lambda call: rows(call) * (1 - amount) + amount / 2
        ),
        "smoothed labels share the number among the other classes only": (
            lambda call: rows(call) * (1 - amount) + (1 - rows(call)) * amount / (classes - 1)
        ),
    }
    return found


def _smoothed_over_all(expected: Expected, call: Call) -> np.ndarray:
    """Labels whose smoothing does not ask which classes are there."""
    smoothed = expected.smoothed(replace(call, where=None))
    return np.where(expected.kept(call), smoothed, 0.0)


def _weighted_otherwise(expected: Expected, right: Kind) -> dict[str, Kind]:
    """The losses with class weights that have one fault."""
    weights = np.asarray(expected.class_weights)

    def by(changed: Any) -> Kind:
        other = replace(expected, class_weights=None if changed is None else tuple(changed))
        return lambda call: (right(call)[0], other.by_class(call.labels))

    found = {
        "class weights are ignored": by(None),
        "class weights are in the opposite order": by(weights[::-1]),
        "class weights are applied twice": by(weights**2),
        "class weights are normalised, so that they sum to 1": by(weights / weights.sum()),
        "class weights are normalised, so that their mean is 1": by(weights / weights.mean()),
    }
    if expected.smoothing > 0:
        found["labels are smoothed before class weights are chosen by them"] = lambda call: (
            right(call)[0],
            expected.by_class(expected.smoothed(call)),
        )
        found["class weights multiply each class's term of the smoothed label"] = lambda call: (
            _by_terms(expected, call)
        )
    return found


def _by_terms(expected: Expected, call: Call) -> tuple[np.ndarray, np.ndarray]:
    """Losses whose terms are weighted class by class, over the weight of the label's class."""
    smoothed, weights = expected.smoothed(call), np.asarray(expected.class_weights)
    by_class = np.asarray(expected.by_class(call.labels))
    if expected.loss.over_classes:
        return expected.of("loss", smoothed * weights, expected.logits(call)) / by_class, by_class
    up = replace(expected, parameters={"pos_weight": weights[1] / weights[0]})
    return weights[0] * up.of("loss", smoothed, call.logits) / by_class, by_class


def _misshapen(run: Run) -> Iterator[str]:
    """What the shapes of the results say, where they are not what they should be."""
    found = [
        (shape, actual.shape, run.expected.value(call)[0].shape)
        for call, actual in run.seen
        if len(shape := run.expected.shape(call)) > 1
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
