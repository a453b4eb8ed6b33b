"""What goes beside labels and logits: weights, masks, scalars, and the parameters of a loss.

A number of Python or NumPy becomes a Python float, which suits any library; an array must go with
the logits.
"""

from math import isfinite
from numbers import Number
from typing import Any, NamedTuple

import numpy as np

from xbce import _arguments, _axes, _backends
from xbce._losses import Parameter
from xbce._numbers import unknown
from xbce._typing import Array, Namespace, Scalar, Shape


class Values(NamedTuple):
    """What weights, masks and parameters must go with.

    `array` are the logits, or losses, that came as `argument`; `shape` is that of the losses, which
    lack the axis of classes, `class_axis`, if there is one. With `columns` one of size 1 may stand
    in its place, and is left out.
    """

    argument: str
    array: Array
    xp: Namespace
    shape: Shape
    class_axis: int | None = None
    columns: bool = False


def scalar(values: Values, argument: str, value: Any) -> Scalar:
    """A real scalar as a Python float, or as a rank-0 array that goes with the values."""
    value = _float_or_array(argument, value)
    if isinstance(value, float):
        if not isfinite(value):
            _arguments.fail(
                ValueError, f"`{argument}` must be finite; got {value}. Pass a number from 0 to 1."
            )
        return value
    if tuple(getattr(value, "shape", ())) != ():
        _arguments.fail(
            ValueError,
            f"`{argument}` must be a scalar; got shape {tuple(value.shape)}. "
            "Pass a number, or an array of rank 0.",
        )
    return _companion(values, argument, value)


def weights(values: Values, value: Any) -> Scalar:
    """Weights as a Python float, or as an array that stretches to the losses."""
    value = _float_or_array("weights", value)
    if isinstance(value, float):
        return value
    array = _companion(values, "weights", value)
    if values.columns:
        array = without_column(array, values)
    _check_stretches("weights", array, values)
    return array


def mask(values: Values, where: Any) -> Array | None:
    """A mask as a bool array that stretches to the losses, or over the classes to the logits.

    That has the classes on the last axis. None where it leaves nothing out.
    """
    if isinstance(where, np.ndarray) and where.ndim == 0:
        where = where.item()
    if isinstance(where, (int, float)) and not isinstance(where, bool):
        kind = type(where).__name__
        _arguments.fail(TypeError, f"`where` must be of dtype bool; got {kind}. Compare it.")
    if isinstance(where, (bool, np.bool_)):
        if where:
            return None
        array = values.array if values.class_axis is None else values.array[_first(values)]
        return array < array  # nowhere, NaN included, in whatever way the library keeps arrays
    _arguments.namespace({values.argument: values.array, "where": where})
    if where.dtype != values.xp.bool:
        _arguments.fail(TypeError, f"`where` must be of dtype bool; got {where.dtype}. Compare it.")
    _arguments.check_devices(
        _backends.of(values.xp), {values.argument: values.array, "where": where}
    )
    if values.class_axis is not None:
        where = without_column(where, values)
        if where.ndim == values.array.ndim:
            return _over_classes(values, where, values.class_axis)
    _check_stretches("where", where, values)
    return where


def _over_classes(values: Values, where: Array, class_axis: int) -> Array:
    """A mask of the rank of the logits, its classes on the last axis."""
    shape, target = tuple(where.shape), tuple(values.array.shape)
    if not _stretches(shape, target):
        _arguments.fail(
            ValueError,
            f"`where` must broadcast to the losses, or to `{values.argument}` to leave classes "
            f"out; got {shape} beside {values.shape} and {target}.",
        )
    return _axes.moved(values.xp, where, class_axis, -1)


def counted(values: Values, labels: Array, ignore_index: Any) -> Array | None:
    """Where labels are not this integer; None where their dtype can not hold it."""
    xp, number = values.xp, _axes.integer("ignore_index", ignore_index)
    if labels.dtype == xp.bool:
        return labels != bool(number) if number in (0, 1) else None
    if _arguments.is_of(xp, labels.dtype, "integral"):
        held = xp.iinfo(labels.dtype)
        return labels != number if held.min <= number <= held.max else None
    info = xp.finfo(labels.dtype)
    digits = abs(number) // (number & -number) if number else 0  # in binary, without zeros behind
    held = digits < 2 / float(info.eps) and abs(number) <= float(info.max)
    return labels != float(number) if held else None


def without_column(array: Array, values: Values) -> Array:
    """The array without a dimension of 1 in the place of the classes, as TensorFlow has labels."""
    one = array.ndim == values.array.ndim and array.shape[values.class_axis] == 1
    return array[_first(values)] if one else array


def _first(values: Values) -> tuple[Any, ...]:
    """The index of the first class, which leaves no axis of classes."""
    behind = -1 - values.class_axis if values.class_axis is not None else 0
    return (..., 0, *[slice(None)] * behind)


def parameter(values: Values, expected: Parameter, value: Any) -> Scalar:
    """A parameter of a loss as a Python float, or as an array that broadcasts to the logits."""
    value = _float_or_array(expected.name, value)
    if isinstance(value, float):
        check_bounds(expected, value)
        return value
    if not expected.array:
        advice = "pass float(...) of it"
        if "Tracer" in type(value).__name__:
            advice = f'name it in static_argnames=("{expected.name}",) of jax.jit'
        kind = type(value).__name__
        _arguments.fail(
            TypeError, f"`{expected.name}` must be a Python number; got {kind}: {advice}."
        )
    array = _companion(values, expected.name, value)
    shape, target = tuple(array.shape), tuple(values.array.shape)
    if len(shape) > len(target) or not _stretches(shape, target[len(target) - len(shape) :]):
        _arguments.fail(
            ValueError,
            f"`{expected.name}` must broadcast to `{values.argument}` and not enlarge it; "
            f"got {shape} beside {target}. {_of_classes(expected.name, shape, target)}",
        )
    return array


def check_bounds(expected: Parameter, value: float) -> None:
    """Raise ValueError where a number is out of the bounds of a parameter."""
    # NaN is a number that an array might hold too.
    outside = value < expected.low or value > expected.high
    if outside or (expected.constant and not isfinite(value)):
        bounds = f"{expected.low:g} or more" if isfinite(expected.low) else "a number"
        if isfinite(expected.high):
            bounds = f"from {expected.low:g} to {expected.high:g}"
        finite = "" if isfinite(expected.high) else ", and finite"
        _arguments.fail(
            ValueError,
            f"`{expected.name}` must be {bounds}{finite}; got {value}. {expected.advice}",
        )


def _of_classes(argument: str, shape: Shape, target: Shape) -> str:
    """What to pass in place of a parameter of this shape."""
    if len(shape) == 1 and len(target) > 2 and shape[0] == target[1]:
        stretched = ", ".join([":", *["None"] * (len(target) - 2)])
        return f"Pass {argument}[{stretched}] for one number a class, on axis 1."
    return "Pass a scalar, or one number a class."


_NO_NUMBERS = (np.ma.MaskedArray, np.datetime64, np.timedelta64, np.void, np.character)


def _float_or_array(argument: str, value: Any) -> Any:
    """A Python float for a scalar of Python or NumPy, which suits any library; else the value."""
    if type(value) is float:
        return value
    if type(value) is int and -(2**53) <= value <= 2**53:
        return float(value)
    if value is None:
        _arguments.fail(ValueError, f"Argument `{argument}` must not be None; pass a number.")
    if isinstance(value, (np.generic, np.ndarray)) and not isinstance(value, _NO_NUMBERS):
        value = value.item() if value.ndim == 0 else value
    kind = type(value).__name__
    if isinstance(value, (str, bytes)):
        _arguments.fail(
            TypeError, f"`{argument}` must be an array or a number; got {kind}: pass a number."
        )
    if isinstance(value, complex):
        _arguments.fail(TypeError, f"`{argument}` must be real; got {value}. Pass a real number.")
    if not isinstance(value, (bool, int, float)):
        if isinstance(value, Number) and not isinstance(value, np.generic):
            _arguments.fail(
                TypeError,
                f"`{argument}` must be a number of Python or NumPy, or an array; got {kind}: "
                f"pass float({argument}).",
            )
        return value
    try:
        return float(value)
    except OverflowError:
        _arguments.fail(ValueError, f"`{argument}` must be a number that a float can hold.")


def _companion(values: Values, argument: str, array: Array) -> Array:
    """An array of the library and the device of the values, and of a real dtype."""
    both = {values.argument: values.array, argument: array}
    _arguments.namespace(both)
    if not _arguments.is_of(values.xp, array.dtype, "bool", "integral", "real floating"):
        _arguments.fail(
            TypeError, f"`{argument}` must be of a real dtype; got {array.dtype}. Cast it."
        )
    _arguments.check_devices(_backends.of(values.xp), both)
    return array


def _check_stretches(argument: str, array: Array, values: Values) -> None:
    shape, target = tuple(array.shape), values.shape
    problem = f"{argument} can not be broadcast to values."
    if shape and len(shape) != len(target):
        _arguments.fail(
            ValueError,
            f"{problem} values.rank={len(target)}. {argument}.rank={len(shape)}. "
            f"values.shape={target}. {argument}.shape={shape}. "
            f"Pass a scalar, or {argument} of the values' rank.{_hint(argument, shape, values)}",
        )
    if shape and not _stretches(shape, target):
        _arguments.fail(
            ValueError,
            f"{problem} values.shape={target}. {argument}.shape={shape}. "
            f"Each dimension of {argument} must be 1 or the values' own."
            f"{_hint(argument, shape, values)}",
        )


def _hint(argument: str, shape: Shape, values: Values) -> str:
    """What may have been meant by weights, or a mask, of this shape."""
    target, axis = values.shape, values.class_axis
    if axis is not None and len(shape) == values.array.ndim and shape[axis] == 1:
        index = ", ".join("0" if n == len(shape) + axis else ":" for n in range(len(shape)))
        return f" The losses have no axis of classes: pass {argument}[{index}]."
    if len(shape) != 1:
        return ""
    if axis is not None and argument == "weights" and shape[0] == values.array.shape[axis]:
        each = "weights[labels]" if values.columns else "(labels * weights).sum(-1)"
        return f" To weigh each class by its number pass {each}."
    meant = []
    for n, size in enumerate(target):
        if size == shape[0] and len(target) > 1:
            index = ", ".join(":" if n == m else "None" for m in range(len(target)))
            what = {0: "each row", 1: "each class"}.get(n, f"axis {n}")
            meant.append(f"{argument}[{index}] for {what}")
    return f" Pass {' or '.join(meant)}." if meant else ""


def _stretches(shape: Shape, target: Shape) -> bool:
    """Whether each size is 1 or the target's; an unknown one matches anything."""
    return all(
        m == n or m == 1 or unknown(m) or unknown(n) for m, n in zip(shape, target, strict=True)
    )
