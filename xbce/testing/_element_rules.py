"""The rules of unreduced losses that hold whatever the numbers: shape, dtype, device, strides."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from xbce._losses import Loss
from xbce._typing import Array
from xbce.testing import _inputs
from xbce.testing._arrays import Maker, every_other, transposed
from xbce.testing._inputs import Case
from xbce.testing._report import Rule, told
from xbce.testing._ulp import as_numpy

Function = Callable[[Array, Array], Array]

CALLS = "the {} takes every shape"
SHAPE = "the {} has the shape that it must have"
DTYPE = "the {} has the dtype of the logits"
DEVICE = "the {} is on the device of the logits"
UNWRITTEN = "the {} leaves inputs as they were"
NEW = "the {} stays as it is when another is computed"
WHOLE = "the {} of labels that are whole numbers is that of floats, or an error"
ALIKE = "the shape changes no value of the {}"
SIZES = "the length of a batch changes no value of the {}"
STRIDES = "strides change no value of the {}"
LONG = 4099
"""Rows of a long batch: more than there are in a block, and a prime number."""
REASONS = {
    CALLS: "a batch may be empty, and a loss may be of rank 0",
    SHAPE: "another one is broadcast in silence where it is added or multiplied",
    DTYPE: "another one changes the digits of all that is computed from it, or its memory",
    DEVICE: "arrays of two devices can not be added, and a move takes long",
    UNWRITTEN: "the caller goes on using them",
    NEW: "losses are kept, for a mean or a plot",
    WHOLE: "minus an unsigned 1 is 255",
    ALIKE: "an axis of size 1 is an axis, and no element knows its neighbours",
    SIZES: "a kernel works in blocks, and the last one is seldom full",
    STRIDES: "a slice or a transposed array holds the same numbers",
}


class Rules:
    """The rules of one dtype, and what breaks them: the first, and so the smallest, batch."""

    def __init__(self, make: Maker, loss: Loss, classes: int) -> None:
        self.make, self.loss, self.classes = make, loss, classes

    def of(self, functions: dict[str, Function]) -> Iterator[Rule]:
        """Each rule for the loss, its gradient and its Hessian."""
        for quantity, function in functions.items():
            found: dict[str, tuple[str, str]] = {}
            # Some libraries compile a function anew for each shape: derivatives are tried in few.
            for shape in _inputs.SHAPES if quantity == "loss" else _inputs.SHAPES[::3]:
                case = _inputs.shaped(self.loss, shape, self.classes)
                try:
                    for rule, broken in self._broken(quantity, function, case):
                        found.setdefault(rule, (broken, f"logits of shape {case.name}"))
                except Exception as error:  # whatever the implementation raises is its finding
                    found.setdefault(CALLS, (told(error), f"logits of shape {case.name}"))
            for rule, reason in REASONS.items():
                broken, example = found.get(rule, ("", ""))
                yield Rule(self.make.name, rule.format(quantity), broken, reason, example)

    def _broken(self, quantity: str, function: Function, case: Case) -> Iterator[tuple[str, str]]:
        """The rules that one batch breaks, and how."""
        make = self.make
        z, x = make(case.labels), make(case.logits)
        before = as_numpy(z).copy(), as_numpy(x).copy()
        result = function(z, x)
        if any(not np.array_equal(a, as_numpy(b)) for a, b in zip(before, (z, x), strict=True)):
            yield UNWRITTEN, "an input was written to"
        over_classes = quantity == "loss" and self.loss.over_classes
        shape = case.logits.shape[:-1] if over_classes else case.logits.shape
        if tuple(result.shape) != shape:
            yield SHAPE, f"the result has shape {tuple(result.shape)}, not {shape}"
            return
        if result.dtype != make.dtype:
            yield DTYPE, f"the result has dtype {result.dtype}, not {make.name}"
        there, here = (getattr(array, "device", None) for array in (x, result))
        if there != here:
            yield DEVICE, f"the result is on {here}, not {there}"
        values = as_numpy(result).copy()
        function(z, make(-case.logits))
        if not np.array_equal(values, as_numpy(result), equal_nan=True):
            yield NEW, "it has changed"
        for rule, layout, rows, arrays in self._otherwise(case):
            try:
                others = as_numpy(function(*arrays)).ravel()
            except Exception as error:
                if rule != WHOLE:
                    yield rule, f"{layout}: {told(error)}"
                continue
            differs = self._difference(values[rows].ravel(), others)
            if differs:
                yield rule, f"{layout}, {differs}"

    def _otherwise(self, case: Case) -> Iterator[tuple[str, str, Any, list[Array]]]:
        """The same numbers in another shape, of some rows, and with other strides."""
        ends = case.logits.shape[-1:] if self.loss.over_classes else ()
        flat = [
            case.labels.reshape(-1, *(() if self.loss.class_numbers else ends)),
            case.logits.reshape(case.logits[..., 0].size if ends else -1, *ends),
        ]
        if flat[0].size:
            yield ALIKE, "flat", ..., [self.make(array) for array in flat]
        arrays = case.labels, case.logits
        if case.labels.shape[:2] == (3, 1):  # in one shape, since each dtype may be compiled anew
            for name in ("bool", "uint8") if case.labels.dtype.kind == "f" else ("int8", "int16"):
                labels = self.make(case.labels, getattr(self.make.xp, name))
                yield WHOLE, f"of labels of {name}", ..., [labels, self.make(case.logits)]
            rows = np.arange(LONG) % 3
            yield SIZES, f"of {LONG} rows", rows, [self.make(array[rows]) for array in arrays]
        yield STRIDES, "of every other row", ..., [every_other(self.make, a) for a in arrays]
        yield STRIDES, "transposed", ..., [transposed(self.make, a) for a in arrays]

    def _difference(self, values: np.ndarray, others: np.ndarray) -> str:
        """Where two ways to compute the same are more than 16 ulp apart; empty if nowhere."""
        if values.shape != others.shape:
            return f"it has {others.size} numbers, not {values.size}"
        form = self.make.format
        with np.errstate(invalid="ignore"):
            near = np.abs(values - others) <= 16 * form.eps * np.abs(values) + form.tiny
        near |= (values == others) | np.isnan(values) & np.isnan(others)
        if np.all(near):
            return ""
        first = int(np.argmin(near))
        return f"at place {first}, it is {others[first]:.6g}, not {values[first]:.6g}"
