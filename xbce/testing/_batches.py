"""What an audit of a reduction tries, and what must come of it by definition."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from xbce._formula import smooth
from xbce._losses import SOFTMAX, Loss
from xbce._reduction import Reduction
from xbce.testing._inputs import quarters
from xbce.testing._oracle import exactly

CLASSES = 3
SIZES = ((2,), (3, 3), (2, 3, 4))
"""Of the losses, smallest first: the first that breaks a rule is reported. They are few, since some
libraries compile a function anew for each."""
LENGTHS = (257, 1009)
"""Of batches that are longer: one more than a block has, and primes."""
KINDS = ("full", "rows", "columns", "one", "scalar")
"""The shapes of weights and masks: that of the losses; 1 but for the first axis, or the last; 1 in
each axis; and rank 0."""
OF_CLASSES = "classes"
"""The shape of the logits: a mask leaves out classes, where a loss over classes has such masks."""


@dataclass(frozen=True)
class Call:
    """The arguments of one call, in NumPy."""

    labels: np.ndarray
    logits: np.ndarray
    weights: np.ndarray | None = None
    where: np.ndarray | None = None

    def given(self) -> dict[str, np.ndarray]:
        """Weights and mask, where there are any."""
        found = {"weights": self.weights, "where": self.where}
        return {name: array for name, array in found.items() if array is not None}

    def rows(self, chosen: Any) -> "Call":
        """The call with some of its rows only."""
        size = self.labels.shape[0]

        def cut(array: np.ndarray | None) -> np.ndarray | None:
            if array is None or array.ndim == 0 or array.shape[0] != size:
                return array  # it is stretched over the rows
            return array[chosen]

        weights, where = cut(self.weights), cut(self.where)
        return Call(self.labels[chosen], self.logits[chosen], weights, where)

    def __str__(self) -> str:
        """The call in one line, as a user may repeat it; not a long one."""
        if self.logits.size > 100:
            return f"logits of shape {self.logits.shape}"
        arrays = {"labels": self.labels, "logits": self.logits} | self.given()
        return ", ".join(f"{name} {array.tolist()}" for name, array in arrays.items())


@dataclass(frozen=True)
class Expected:
    """The loss that is audited, and how it is weighted and reduced.

    Attributes
    ----------
    loss : Loss
        The loss, with its `parameters`.
    reduction : Reduction
        How the weighted losses become one number, or one for each place that `axis` leaves.
    smoothing : float
        How far labels are moved to the uniform distribution, before the loss.
    class_weights : tuple of float, optional
        Weights of the classes, multiplied with the weights, by the label before it is smoothed.
    soft : bool
        Whether there are labels between 0 and 1.
    ignored : int, optional
        The label by which the loss is told what a mask leaves out. No other has it.
    """

    loss: Loss
    parameters: dict[str, float]
    reduction: Reduction
    axis: int | tuple[int, ...] | None = None
    smoothing: float = 0.0
    class_weights: tuple[float, ...] | None = None
    soft: bool = True
    ignored: int | None = None

    @property
    def classes(self) -> int:
        """How many numbers a label is smoothed over."""
        return CLASSES if self.loss.over_classes else 2

    def shape(self, call: Call) -> tuple[int, ...]:
        """The shape of the losses of a call."""
        return call.logits.shape[:-1] if self.loss.over_classes else call.logits.shape

    def kept(self, call: Call) -> np.ndarray:
        """Which logits of a call its mask keeps."""
        where = np.asarray(True if call.where is None else call.where)
        if self.loss.over_classes and 0 < where.ndim < call.logits.ndim:
            where = where[..., None]
        return np.broadcast_to(where, call.logits.shape)

    def counted(self, call: Call) -> np.ndarray:
        """Which losses of a call its mask keeps: of a row those that have a class left."""
        kept = self.kept(call)
        return np.any(kept, axis=-1) if self.loss.over_classes else kept

    def smoothed(self, call: Call) -> np.ndarray:
        """The labels that the losses are of; those of class numbers as rows of all classes."""
        rows = np.eye(CLASSES)[call.labels] if self.loss.class_numbers else call.labels
        if not self.loss.over_classes:
            return smooth(np, rows, self.smoothing)
        left = self._classes_left(call)
        count = left.sum(axis=-1, keepdims=True)
        return np.where(left, smooth(np, np.where(left, rows, 0.0), self.smoothing, count), 0.0)

    def logits(self, call: Call) -> np.ndarray:
        """The logits that the losses are of: -inf for a class that is as if it were not there."""
        if not self.loss.over_classes:
            return call.logits
        return np.where(self._classes_left(call), call.logits, -np.inf)

    def _classes_left(self, call: Call) -> np.ndarray:
        """The classes of each row that count; all of a row that does not, so that it has a loss."""
        return self.kept(call) | ~self.counted(call)[..., None]

    def numbers(self, quantity: str, call: Call) -> np.ndarray:
        """The exact losses of a call, or their gradient, before weights and masks."""
        return self.of(quantity, self.smoothed(call), self.logits(call))

    def of(self, quantity: str, labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """The exact losses of these labels, not smoothed any more, or their gradient."""
        loss = SOFTMAX if self.loss.class_numbers else self.loss
        z, x = (np.ascontiguousarray(array, dtype=float) for array in (labels, logits))
        return exactly(loss, quantity, z, x, self.parameters).high

    def by_class(self, labels: np.ndarray) -> np.ndarray | float:
        """The weight of each loss by the class of its label."""
        if self.class_weights is None:
            return 1.0
        weights = np.asarray(self.class_weights)
        if labels.dtype.kind == "i":
            return weights[labels]
        if self.loss.over_classes:
            return (labels * weights).sum(axis=-1)
        return weights[0] * (1 - labels) + weights[1] * labels

    def weights(self, call: Call) -> tuple[np.ndarray, np.ndarray]:
        """Weights of the shape of the losses, 0 where the mask leaves out, and the mask."""
        keep = self.counted(call)
        weights = (1.0 if call.weights is None else call.weights) * self.by_class(call.labels)
        return np.where(keep, np.broadcast_to(weights, keep.shape), 0.0), keep

    def denominator(self, weights: np.ndarray, keep: np.ndarray) -> np.ndarray:
        """What the sum over the axes is divided by."""
        counted = {
            Reduction.MEAN: weights,
            Reduction.SUM_OVER_BATCH_SIZE: keep,
            Reduction.SUM_BY_NONZERO_WEIGHTS: weights != 0,
        }.get(self.reduction)
        if counted is None:
            return np.asarray(1.0)
        return np.asarray(np.sum(counted, axis=self.axis, dtype=float))

    def value(self, call: Call) -> tuple[np.ndarray, np.ndarray]:
        """The right result, and the size of what is added up in it."""
        losses = self.numbers("loss", call)
        weights, keep = self.weights(call)
        terms = np.where(keep, losses, 0.0) * weights
        if self.reduction == Reduction.NONE:
            return terms, np.abs(terms) + np.abs(weights)  # single losses may lose some digits
        below = self.denominator(weights, keep)
        total, size = (np.sum(array, axis=self.axis) for array in (terms, np.abs(terms)))
        return _divided(total, below), _divided(size, np.abs(below))

    def gradient(self, call: Call) -> tuple[np.ndarray, np.ndarray]:
        """The right derivative of the sum of the results by the logits, and its terms' size."""
        slopes = self.numbers("gradient", call)
        weights, keep = self.weights(call)
        if self.reduction != Reduction.NONE:
            below = self.denominator(weights, keep)
            if self.axis is not None:
                below = np.expand_dims(below, self.axis)
            weights = _divided(weights, below)
        if self.loss.over_classes:
            weights, keep = weights[..., None], keep[..., None]
        heaviest = max(1.0, self.parameters.get("pos_weight", 1.0))
        return weights * np.where(keep, slopes, 0.0), np.abs(weights) * heaviest + 0 * slopes

    def reduces_rows(self, rank: int) -> bool:
        """Whether the rows are summed over, so that no place of the result is one row's."""
        if self.reduction == Reduction.NONE:
            return False
        axes = (self.axis,) if isinstance(self.axis, int) else self.axis
        return axes is None or any(axis % rank == 0 for axis in axes)


def _divided(total: np.ndarray, below: np.ndarray) -> np.ndarray:
    """The quotient, and 0 where the denominator is 0."""
    return np.where(below == 0, 0.0, total / np.where(below == 0, 1.0, below))


def batches(expected: Expected) -> Iterator[Call]:
    """Labels and logits, small ones first."""
    rng = np.random.default_rng(1)
    hard = expected.class_weights is not None or not expected.soft
    for shape in SIZES:
        if expected.axis is not None and len(shape) < 2:
            continue
        yield _batch(expected, rng, shape, hard)


def _batch(expected: Expected, rng: Any, shape: tuple[int, ...], hard: bool) -> Call:
    """A batch whose losses have this shape."""
    loss = expected.loss
    if not loss.over_classes:
        labels = rng.choice([0.0, 1.0] if hard else [0.0, 1.0, 0.25, 0.75], shape)
        labels[labels == expected.ignored] = 1.0 - (expected.ignored or 0)
        return Call(labels, quarters(rng, shape))
    numbers, others = rng.integers(0, CLASSES, (2, *shape))
    numbers[numbers == expected.ignored] = (1 + (expected.ignored or 0)) % CLASSES
    logits, rows = quarters(rng, (*shape, CLASSES)), np.eye(CLASSES)
    if loss.class_numbers:
        return Call(numbers, logits)
    return Call(rows[numbers] if hard else (rows[numbers] + rows[others]) / 2, logits)


def weighted(call: Call, shape: tuple[int, ...], kinds: Sequence[str]) -> Iterator[Call]:
    """The call with weights of each kind of shape; 0 is among them where they are several."""
    for kind in kinds:
        of_kind = _shape(kind, shape, kinds)
        if of_kind is not None:
            size = prod(of_kind)
            values = np.resize([2.0, 0.0, 0.5, 3.0, 1.5, 0.25], size).reshape(of_kind)
            yield replace(call, weights=values)


def masked(call: Call, shape: tuple[int, ...], kinds: Sequence[str]) -> Iterator[Call]:
    """The call with masks of each kind of shape, which leave out where they can keep as well."""
    for kind in kinds:
        of_kind = call.logits.shape if kind == OF_CLASSES else _shape(kind, shape, kinds)
        if of_kind is not None:
            where = np.resize([True, False, True, True, False], prod(of_kind)).reshape(of_kind)
            yield replace(call, where=~where | _labelled(call) if kind == OF_CLASSES else where)


def _labelled(call: Call) -> np.ndarray:
    """Which classes a mask of classes keeps in any case: those with the largest label of a row."""
    if call.labels.dtype.kind == "i":
        return np.eye(CLASSES, dtype=bool)[call.labels]
    return call.labels == call.labels.max(axis=-1, keepdims=True)


def _shape(kind: str, shape: tuple[int, ...], kinds: Sequence[str]) -> tuple[int, ...] | None:
    """The shape of weights of this kind; None if there is none, or an earlier kind has the same."""
    ones = (1,) * len(shape)
    found = {
        "full": shape,
        "rows": shape[:1] + ones[1:],
        "columns": ones[:-1] + shape[-1:],
        "one": ones,
        "scalar": (),
    }
    own = found.get(kind)
    earlier = kinds[: kinds.index(kind)]
    return None if any(found.get(other) == own for other in earlier) else own


def long(expected: Expected, length: int, weighted: bool) -> Call:
    """A batch whose losses have this length along the first axis that is reduced."""
    rng = np.random.default_rng(2)
    shape = _long_shape(expected, length)
    call = _batch(expected, rng, shape, hard=True)
    if weighted:
        call = replace(call, weights=rng.choice([0.0, 0.5, 1.0, 2.0], shape))
    return call


def repeated(expected: Expected, call: Call, times: int) -> Call:
    """A long batch, so many times one after the other; of numbers that float32 holds."""
    by = _long_shape(expected, times, 1)

    def many(array: np.ndarray) -> np.ndarray:
        narrow = array.astype(np.float32) if array.dtype.kind == "f" else array
        return np.tile(narrow, by + (1,) * (array.ndim - len(by)))

    weights = None if call.weights is None else many(call.weights)
    return Call(many(call.labels), many(call.logits), weights)


def _long_shape(expected: Expected, length: int, others: int = 2) -> tuple[int, ...]:
    """A shape of losses that is long along the first axis that is reduced."""
    if expected.axis is None or expected.reduction == Reduction.NONE:
        return (length,)
    first = expected.axis if isinstance(expected.axis, int) else expected.axis[0]
    return (length, others) if first % 2 == 0 else (others, length)
