"""What an audit measures of one dtype: errors by region, special values, and rules."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from xbce._losses import Loss
from xbce._typing import Array
from xbce.testing import _inputs
from xbce.testing._arrays import Maker
from xbce.testing._oracle import sizes
from xbce.testing._report import Region, Rule, Special
from xbce.testing._ulp import TwoFloats, as_numpy, ulp_error

Reference = Callable[[str, Array, Array], TwoFloats]
"""The right numbers of a quantity at (labels, logits)."""

CALLS = "it takes every shape"
SHAPE = "the {} has the shape of the losses"
SLOPES_SHAPE = "the {} has the shape of the logits"
DTYPE = "the {} has the dtype of the logits"
DEVICE = "the {} is on the device of the logits"
UNWRITTEN = "inputs are left as they were"
ALIKE = "the shape changes no value"
STRIDES = "strides change no value"
REASONS = {
    CALLS: "a batch may be empty, and a loss may be of rank 0",
    SHAPE: "what is added to it or multiplied with it would be broadcast in silence",
    SLOPES_SHAPE: "a step along it would be broadcast in silence",
    DTYPE: "another one changes the digits of all that is computed from it, or its memory",
    DEVICE: "arrays of two devices can not be added, and a move takes long",
    UNWRITTEN: "the caller goes on using them",
    ALIKE: "an axis of size 1 is an axis, and no element knows its neighbours",
    STRIDES: "a slice or a transposed array holds the same numbers",
}


class Measure:
    """One dtype of an audit: functions by quantity, and the right numbers to hold them against."""

    def __init__(
        self,
        functions: dict[str, Callable[[Array, Array], Array]],
        reference: Reference,
        make: Maker,
        loss: Loss,
        parameters: dict[str, float],
        classes: int,
        soft_labels: bool = True,
    ) -> None:
        self.functions = functions
        if loss.gradient_and_hessian is None:
            self.functions = {q: f for q, f in functions.items() if q != "hessian"}
        self.reference, self.make, self.loss = reference, make, loss
        self.parameters, self.classes, self.soft_labels = parameters, classes, soft_labels

    def regions(self, samples: int) -> Iterator[Region]:
        """Errors in ulp, region by region."""
        heaviest = max(1.0, self.parameters.get("pos_weight", 1.0))
        cases = _inputs.regions(self.loss, self.make.format, self.classes, samples, heaviest)
        for case in cases:
            if not self.soft_labels and not case.name.startswith("hard"):
                continue
            z, x = self.make(case.labels), self.make(case.logits)
            labels, logits = as_numpy(z), as_numpy(x)  # rounded to the dtype
            for quantity, function in self.functions.items():
                scale = sizes(self.loss, quantity, labels, logits, self.parameters)
                if scale is None and quantity != "loss" and not case.name.startswith("hard"):
                    continue  # its terms may cancel: there is no ulp to measure it in
                actual, exact = function(z, x), self.reference(quantity, z, x)
                errors = np.full(exact.high.shape, np.inf)
                if tuple(actual.shape) == errors.shape:
                    errors = ulp_error(actual, exact, scale)
                worst = tuple(int(i) for i in np.unravel_index(np.argmax(errors), errors.shape))
                computed = as_numpy(actual)
                got = computed[worst] if computed.shape == errors.shape else np.nan
                row = worst[:1]
                place = _number(labels[row]), _number(logits[row])
                places = logits if errors.shape == logits.shape else np.max(logits, axis=-1)
                yield Region(
                    self.make.name,
                    quantity,
                    case.name,
                    float(errors[worst]),
                    float(np.quantile(errors, 0.99, method="lower")),
                    (*place, float(got), float(exact.high[worst])),
                    list(zip(places.ravel().tolist(), errors.ravel().tolist(), strict=True)),
                )

    def specials(self) -> Iterator[Special]:
        """Zeros, subnormal numbers, infinities and NaN, to 32 ulp."""
        form = self.make.format
        case = _inputs.specials(self.loss, form, self.soft_labels)
        z, x = self.make(case.labels), self.make(case.logits)
        slopes = self.reference("gradient" if "gradient" in self.functions else "loss", z, x).high
        for quantity, function in self.functions.items():
            exact = self.reference(quantity, z, x).high
            result = function(z, x)
            actual = as_numpy(result)
            if actual.shape != exact.shape:
                continue  # which a rule says
            scale = sizes(self.loss, quantity, as_numpy(z), as_numpy(x), self.parameters)
            scale = exact if scale is None else np.where(np.isfinite(scale), scale, exact)
            right = ulp_error(result, exact, scale) <= 32
            if quantity == "loss" and slopes.shape == exact.shape:
                # Where the loss is infinite, a library may give the largest number instead.
                least = form.largest * np.minimum(np.abs(slopes), 1)
                right |= np.isinf(exact) & (actual >= least)
            for place in np.ndindex(exact.shape):
                yield Special(
                    self.make.name,
                    quantity,
                    _number(case.labels[place[:1]]),
                    _number(case.logits[place[:1]]),
                    float(actual[place]),
                    f"{exact[place]:g}",
                    bool(right[place]),
                )

    def rules(self) -> Iterator[Rule]:
        """Shape, dtype and device of the results, strides, and inputs left as they were."""
        found: dict[str, tuple[str, str]] = {CALLS: ("", ""), UNWRITTEN: ("", "")}
        reasons = dict(REASONS)
        for quantity, function in self.functions.items():
            shape_rule = (SHAPE if quantity == "loss" else SLOPES_SHAPE).format(quantity)
            names = [shape_rule, DTYPE.format(quantity), DEVICE.format(quantity), ALIKE, STRIDES]
            kinds = [SHAPE if quantity == "loss" else SLOPES_SHAPE, DTYPE, DEVICE, ALIKE, STRIDES]
            for name, kind in zip(names, kinds, strict=True):
                found.setdefault(name, ("", ""))
                reasons[name] = REASONS[kind]
            for shape in _inputs.SHAPES:
                case = _inputs.shaped(self.loss, shape, self.classes)
                example = f"logits of shape {case.name}"
                try:
                    for name, broken in self._broken(quantity, function, case):
                        if not found[name][0]:
                            found[name] = broken, example
                except Exception as error:  # whatever the implementation raises is its finding
                    first = (str(error).splitlines() or [""])[0]
                    if not found[CALLS][0]:
                        found[CALLS] = f"{quantity}: {type(error).__name__}: {first}", example
        for name, (broken, example) in found.items():
            yield Rule(self.make.name, name, broken, reasons[name], example)

    def _broken(
        self, quantity: str, function: Callable[[Array, Array], Array], case: _inputs.Case
    ) -> Iterator[tuple[str, str]]:
        """The rules that one call breaks, and how."""
        make = self.make
        z, x = make(case.labels), make(case.logits)
        before = as_numpy(z).copy(), as_numpy(x).copy()
        result = function(z, x)
        if any(not np.array_equal(a, as_numpy(b)) for a, b in zip(before, (z, x), strict=True)):
            yield UNWRITTEN, "an input was written to"
            z, x = make(case.labels), make(case.logits)
        of_logits = quantity != "loss" or not self.loss.over_classes
        shape = case.logits.shape if of_logits else case.logits.shape[:-1]
        if tuple(result.shape) != shape:
            rule = SHAPE if quantity == "loss" else SLOPES_SHAPE
            yield rule.format(quantity), f"the result has shape {tuple(result.shape)}, not {shape}"
            return
        if result.dtype != make.dtype:
            yield DTYPE.format(quantity), f"the result has dtype {result.dtype}, not {make.name}"
        there, here = (getattr(array, "device", None) for array in (x, result))
        if there != here:
            yield DEVICE.format(quantity), f"the result is on {here}, not {there}"
        values = as_numpy(result).ravel()
        rows = case.logits.size // case.logits.shape[-1] if self.loss.over_classes else -1
        ends = case.logits.shape[-1:] if self.loss.over_classes else ()
        rows = case.labels.size if self.loss.class_numbers else rows
        flat_labels = case.labels.reshape((-1,) if self.loss.class_numbers else (rows, *ends))
        flat = as_numpy(function(make(flat_labels), make(case.logits.reshape((rows, *ends)))))
        if not self._close(values, flat.ravel()):
            yield ALIKE, f"the {quantity} is {_few(values)}, flat {_few(flat.ravel())}"
        for layout, strided in (("every other row", _every_other), ("transposed", _transposed)):
            moved = function(*(strided(make, array) for array in (case.labels, case.logits)))
            if not self._close(values, as_numpy(moved).ravel()):
                yield STRIDES, f"the {quantity} of {layout} arrays is {_few(as_numpy(moved))}"

    def _close(self, values: np.ndarray, others: np.ndarray) -> bool:
        """Whether two ways to compute the same agree to 16 ulp."""
        if values.shape != others.shape:
            return False
        form = self.make.format
        with np.errstate(invalid="ignore"):
            near = np.abs(values - others) <= 16 * form.eps * np.abs(values) + form.tiny
        return bool(np.all(near | (values == others) | np.isnan(values) & np.isnan(others)))


def _number(value: np.ndarray) -> Any:
    """A label or a logit: a float, or those of a row."""
    return tuple(value.tolist()) if np.ndim(value) else float(value)


def _few(values: np.ndarray) -> str:
    return np.array2string(np.asarray(values).ravel()[:4], precision=4)


def _every_other(make: Maker, values: np.ndarray) -> Array:
    """The values as every other row of an array."""
    return make(np.repeat(values, 2, axis=0))[::2, ...] if values.ndim else make(values)


def _transposed(make: Maker, values: np.ndarray) -> Array:
    """The values as the transposed of an array."""
    axes = tuple(range(values.ndim))[::-1]
    if values.ndim < 2:
        return make(values)
    return make.xp.permute_dims(make(np.ascontiguousarray(values.T)), axes)
