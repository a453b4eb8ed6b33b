"""What an audit measures of one dtype: errors by region, and special values."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from xbce._losses import Loss
from xbce._typing import Array
from xbce.testing import _inputs
from xbce.testing._arrays import Maker
from xbce.testing._oracle import exactly, sizes
from xbce.testing._report import Region, Rule, Special, told
from xbce.testing._ulp import TwoFloats, as_numpy, ulp_error

Reference = Callable[[str, Array, Array], TwoFloats]
"""The right numbers of a quantity at (labels, logits)."""


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
        self.raised: list[Rule] = []

    def regions(self, samples: int) -> Iterator[Region]:
        """Errors in ulp, region by region."""
        heaviest = max(1.0, self.parameters.get("pos_weight", 1.0))
        loses = heaviest > 1 or self.make.flushes  # the digits of what is subnormal in between
        cases = _inputs.regions(
            self.loss, self.make.format, self.classes, samples, heaviest if loses else None
        )
        for case in cases:
            if self.soft_labels or case.name.startswith("hard"):
                yield from self._of(case)

    def _of(self, case: _inputs.Case) -> Iterator[Region]:
        """The errors of each quantity over one region."""
        z, x = self.make(case.labels), self.make(case.logits)
        labels, logits = as_numpy(z), as_numpy(x)  # rounded to the dtype
        for quantity in self.functions:
            scale = sizes(self.loss, quantity, labels, logits, self.parameters)
            if scale is None and quantity != "loss" and not case.name.startswith("hard"):
                continue  # its terms may cancel: there is no ulp to measure it in
            exact = self.reference(quantity, z, x)
            actual = self._called(quantity, z, x, case.name, exact.high.shape)
            if actual is None:
                continue
            errors, computed = self._errors(actual, exact, scale)
            worst = tuple(int(i) for i in np.unravel_index(np.argmax(errors), errors.shape))
            inputs = _number(labels[worst[:1]]), _number(logits[worst[:1]])
            places = logits if errors.shape == logits.shape else np.max(logits, axis=-1)
            yield Region(
                self.make.name,
                quantity,
                case.name,
                float(errors[worst]),
                float(np.quantile(errors, 0.99, method="lower")),
                (*inputs, float(computed[worst]), float(exact.high[worst])),
                list(zip(places.ravel().tolist(), errors.ravel().tolist(), strict=True)),
            )

    def _called(
        self, quantity: str, z: Array, x: Array, about: str, shape: tuple[int, ...]
    ) -> Array:
        """What a function gives; None where it raises or has another shape: a broken rule then."""
        try:
            result = self.functions[quantity](z, x)
            found = as_numpy(result).shape
            if found == shape:
                return result
            broken = f"it has shape {found}, not {shape}"
        except Exception as error:  # whatever the implementation raises is its finding
            broken = told(error)
        name = f"the {quantity} of {about} is an array of its shape"
        self.raised.append(Rule(self.make.name, name, broken, "nothing can be compared"))
        return None

    def _errors(
        self, actual: Array, exact: TwoFloats, scale: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Errors in ulp, and what was computed."""
        computed = as_numpy(actual)
        errors = ulp_error(actual, exact, scale)
        if self.make.flushes:
            errors[np.abs(computed - exact.high) <= 4 * self.make.format.tiny] = 0
        return errors, computed

    def specials(self) -> Iterator[Special]:
        """Zeros, subnormal numbers, infinities and NaN, to 32 ulp."""
        form = self.make.format
        case = _inputs.specials(self.loss, form, self.soft_labels)
        z, x = self.make(case.labels), self.make(case.logits)
        inputs = as_numpy(z), as_numpy(x)
        slopes = exactly(self.loss, "gradient", *inputs, self.parameters).high
        for quantity in self.functions:
            exact = self.reference(quantity, z, x).high
            result = self._called(quantity, z, x, case.name, exact.shape)
            if result is None:
                continue
            actual = as_numpy(result)
            scale = sizes(self.loss, quantity, *inputs, self.parameters)
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


def _number(value: np.ndarray) -> Any:
    """A label or a logit: a float, or those of a row."""
    return tuple(value.tolist()) if np.ndim(value) else float(value)
