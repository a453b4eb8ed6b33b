"""A reduced loss as it is audited: how it is called, with what, and when a result is right."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, product
from typing import Any, NamedTuple

import numpy as np

from xbce._typing import Array
from xbce.testing._arrays import Layout, Maker
from xbce.testing._batches import OF_CLASSES, Call, Expected, masked, weighted
from xbce.testing._ulp import as_numpy


class Comparison(NamedTuple):
    """What came of a call, what should have, the size of the sum in it, and what a fault says."""

    call: Call
    actual: np.ndarray
    expected: Any
    size: Any
    symptom: str = ""
    instead: str = "should be {}"

    def told(self) -> str:
        """What came and what should have, in as many digits as tell them apart."""
        got = wanted = ""
        for digits in (6, 9, 17):
            got, wanted = (
                np.array2string(np.asarray(array), precision=digits, threshold=6).replace("\n", "")
                for array in (self.actual, self.expected)
            )
            if got != wanted:
                break
        return f"got {got}, {self.instead.format(wanted)}"


@dataclass
class Run:
    """A reduced loss, as it is audited in one dtype.

    Attributes
    ----------
    loss_fn, gradient_fn, unreduced_fn : callable
        What is audited; the last two may be None.
    seen : list of (Call, array)
        The results of calls without garbage, from which a fault is named.
    symptoms : list of str
        Faults that a rule has named.
    wrong_gradient : bool
        Whether a rule has found that the gradient is not that of the loss.
    written : list of Call
        Calls that wrote to their arguments.
    """

    loss_fn: Callable[..., Array]
    gradient_fn: Callable[..., Array] | None
    unreduced_fn: Callable[..., Array] | None
    make: Maker
    expected: Expected
    takes: Sequence[str]
    kinds: Sequence[str]
    rows: int
    max_ulp: float
    seen: list[tuple[Call, np.ndarray]] = field(default_factory=list)
    symptoms: list[str] = field(default_factory=list)
    wrong_gradient: bool = False
    written: list[Call] = field(default_factory=list)

    @property
    def tried(self) -> set[str]:
        """Which of the options are tried: no weights have the shape of a mask of classes."""
        return {*self.takes} - ({"weights"} if self.kinds == (OF_CLASSES,) else set())

    def as_called(self, call: Call) -> Call:
        """The call as the function takes it: what is left out is marked in its labels."""
        ignored = self.expected.ignored
        if ignored is None or call.where is None:
            return call
        keep = np.broadcast_to(call.where, call.labels.shape)
        return replace(call, labels=np.where(keep, call.labels, ignored), where=None)

    def arrays(
        self, call: Call, layout: Layout = Maker.__call__
    ) -> tuple[list[Array], dict[str, Array]]:
        """The arguments in the library's arrays."""
        call = self.as_called(call)
        options = {name: layout(self.make, array) for name, array in call.given().items()}
        return [layout(self.make, array) for array in (call.labels, call.logits)], options

    def value(self, call: Call, layout: Layout = Maker.__call__) -> np.ndarray:
        """The reduced loss."""
        return as_numpy(self.result(call, layout))

    def result(self, call: Call, layout: Layout = Maker.__call__) -> Array:
        """The reduced loss as it comes."""
        arrays, options = self.arrays(call, layout)
        before = [as_numpy(array).copy() for array in (*arrays, *options.values())]
        result = self.loss_fn(*arrays, **options)
        after = [as_numpy(array) for array in (*arrays, *options.values())]
        same = (np.array_equal(a, b, equal_nan=True) for a, b in zip(before, after, strict=True))
        if not all(same):
            self.written.append(call)
        return result

    def slopes(self, call: Call) -> np.ndarray:
        """Its derivative by the logits."""
        arrays, options = self.arrays(call)
        assert self.gradient_fn is not None
        return as_numpy(self.gradient_fn(*arrays, **options))

    def weighted(self, call: Call) -> Iterator[Call]:
        """The call with weights of every kind, where they are taken."""
        if "weights" in self.takes:
            yield from weighted(call, self.expected.shape(call), self.kinds)

    def masked(self, call: Call) -> Iterator[Call]:
        """The call with masks of every kind, where they are taken."""
        if "where" in self.takes:
            yield from masked(call, self.expected.shape(call), self.kinds)

    def both(self, call: Call) -> Iterator[Call]:
        """The call with weights and a mask, where both are taken: not each with each."""
        weights, masks = [*self.weighted(call)], [*self.masked(call)]
        pairs = [*product(weights[:2], masks[:2]), *zip(weights[2:], masks[2:], strict=False)]
        for with_weights, with_mask in pairs:
            yield replace(with_weights, where=with_mask.where)

    def every(self, call: Call, kinds: int | None = None) -> Iterator[Call]:
        """The call as it is, weighted, masked, and both, with all kinds of shapes or the first."""
        yield call
        for calls in (self.weighted(call), self.masked(call), self.both(call)):
            yield from islice(calls, kinds)

    def is_right(self, eps: float | None = None) -> bool:
        """Whether all that was seen is, to the digits of the dtype or of another one."""
        return all(self.fits(came, *self.expected.value(call), eps) for call, came in self.seen)

    def right(self, comparison: Comparison) -> bool:
        """Whether what came is what should have, to the tolerance."""
        return self.fits(comparison.actual, comparison.expected, comparison.size)

    def fits(self, actual: np.ndarray, value: Any, size: Any, eps: float | None = None) -> bool:
        """Whether a result is this value, to the tolerance, and NaN where that is."""
        if np.shape(value) != actual.shape:
            return False
        form = self.make.format
        unit = self.max_ulp * (eps or form.eps) * np.asarray(size) + form.tiny
        with np.errstate(invalid="ignore"):
            close = np.abs(actual - value) <= unit
        return bool(np.all(close | (np.isnan(actual) & np.isnan(value))))

    def misshapen(self, call: Call, actual: Any) -> str:
        """What is wrong with the kind of a result, if anything."""
        shape = self.expected.value(call)[0].shape
        if not hasattr(actual, "shape"):
            return f"the result is a {type(actual).__name__} of Python, not an array"
        if tuple(actual.shape) != shape:
            return f"the result has shape {tuple(actual.shape)}, not {shape}"
        if actual.dtype != self.make.dtype:
            return f"the result has dtype {actual.dtype}, not {self.make.name}"
        return ""
