"""Numbers that are given to an audit: checked, with an error that says what to pass instead."""

import inspect
import operator
from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np

from xbce import _axes, _companions
from xbce._losses import Loss
from xbce._reduction import Reduction

LEAST_ROWS = 1000
"""Of a long batch: a shorter one says no more than the other rules."""


def came(value: Any) -> str:
    """A value as a message shows it: itself where that is short, else its type."""
    text = repr(value)
    return text if len(text) <= 60 and "\n" not in text else f"a {type(value).__qualname__}"


# --- numbers of any kind --------------------------------------------------------


def whole(name: str, value: Any) -> int:
    """A whole number."""
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise TypeError(
            f"`{name}` must be a whole number; got {came(value)}. Pass an int."
        ) from None


def at_least(least: int, **numbers: Any) -> None:
    """Raise an error for what is no whole number, or too small."""
    for name, number in numbers.items():
        if whole(name, number) < least:
            raise ValueError(f"`{name}` must be at least {least}; got {number}.")


def real(name: str, value: Any) -> float:
    """A real number of Python or NumPy; an audit takes no arrays of them."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"`{name}` must be a single number; got {came(value)}. Pass a float.")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"`{name}` must be a number that a float can hold.") from None


def switches(**values: Any) -> None:
    """Raise TypeError for what is neither True nor False."""
    for name, value in values.items():
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"`{name}` must be True or False; got {came(value)}.")


# --- those of an argument -------------------------------------------------------


def tolerance(max_ulp: Any) -> float:
    """An error in ulp that is allowed, infinity too."""
    number = real("max_ulp", max_ulp)
    if not number >= 0:  # as NaN is not
        raise ValueError(f"`max_ulp` must be 0 or more; got {number}.")
    return number


def smoothing(label_smoothing: Any) -> float:
    """How far labels are moved."""
    number = real("label_smoothing", label_smoothing)
    if not 0 <= number < 1:
        raise ValueError(
            f"`label_smoothing` must be 0 or more, and below 1; got {number}. Pass 0 for none."
        )
    return number


def long_batch(rows: Any) -> int:
    """How many rows the long batch has."""
    at_least(0, rows=rows)
    if 0 < rows < LEAST_ROWS:
        raise ValueError(
            f"`rows` must be 0, for no long batch, or at least {LEAST_ROWS}; got {rows}."
        )
    return operator.index(rows)


def class_weights(weights: Any) -> tuple[float, ...] | None:
    """A weight for each class, or None."""
    if weights is None:
        return None
    listed = weights.tolist() if hasattr(weights, "tolist") else weights  # of an array
    if not isinstance(listed, Sequence) or isinstance(listed, (str, bytes)):
        raise TypeError(
            f"`class_weights` must be a sequence of numbers, one a class; got {came(weights)}."
        )
    found = tuple(real(f"class_weights[{n}]", weight) for n, weight in enumerate(listed))
    if not all(0 <= weight < np.inf for weight in found):
        raise ValueError(f"`class_weights` must be 0 or more, and finite; got {found}.")
    return found


def number_of_classes(classes: Any, loss: Loss) -> int:
    """The number of classes of a loss, 10 by default; none is given where it has none."""
    if classes is None:
        return 10
    at_least(2, classes=classes)
    if not loss.over_classes:
        raise ValueError(
            f"`classes` must be None for {loss.name}, which is not over classes; got {classes}. "
            "Leave it out, or name another `loss`."
        )
    return operator.index(classes)


def axes(axis: Any, reduction: Reduction | str) -> int | tuple[int, ...] | None:
    """The axes to reduce, which losses of two axes have, and those of three."""
    _axes.check_reduces(axis, reduction)
    for rank in (2, 3):
        if _axes.axes(axis, rank, False) == ():
            raise ValueError("`axis` is empty: nothing would be reduced. Pass None for all axes.")
    if axis is None:
        return None
    return tuple(map(int, axis)) if isinstance(axis, (tuple, list)) else int(axis)


def parameters(loss: Loss, given: dict[str, Any]) -> dict[str, float]:
    """The parameters of a loss, within the bounds that the public functions have for them."""
    found = {}
    for expected in loss.parameters:
        name, value = expected.name, given.get(expected.name)
        if value is None:
            if expected.required and not _has_default(loss, name):
                raise TypeError(f"{loss.name} must have a `{name}`: pass a number.")
            continue
        # In arrays the functions let NaN pass, and a weight below 0: no error of these is measured.
        expected = replace(expected, constant=True)
        if name == "pos_weight":
            expected = replace(expected, low=0, advice="Pass None for none.")
        found[name] = real(name, value)
        _companions.check_bounds(expected, found[name])
    return found


def _has_default(loss: Loss, name: str) -> bool:
    """Whether the formulas have a number for a parameter that is left out."""
    parameter = inspect.signature(loss.value).parameters.get(name)
    return parameter is not None and parameter.default not in (None, parameter.empty)
