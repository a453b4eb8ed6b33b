"""What goes beside labels and logits: weights, masks, scalars, and the parameters of a loss.

A number of Python or NumPy becomes a Python float, which suits any library; an array must go with
the logits.
"""

from math import isfinite
from numbers import Number
from typing import Any, NamedTuple

import numpy as np

from xbce import _arguments, _backends
from xbce._losses import Parameter
from xbce._numbers import unknown
from xbce._typing import Array, Namespace, Scalar, Shape


class Values(NamedTuple):
    """What weights, masks and parameters must go with.

    `array` are the logits, or losses, that came as `argument`; `shape` is that of the losses, which
    lack an axis of classes. With `columns` one of size 1 may stand in its place, and is left out.
    """

    argument: str
    array: Array
    xp: Namespace
    shape: Shape
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
        array = without_column(array, len(values.shape))
    _check_stretches("weights", array, values.shape)
    return array


def mask(values: Values, where: Any) -> Array | None:
    """A mask as a bool array that stretches to the losses; None where it leaves nothing out."""
    if isinstance(where, np.ndarray) and where.ndim == 0:
        where = where.item()
    if isinstance(where, (int, float)) and not isinstance(where, bool):
        kind = type(where).__name__
        _arguments.fail(TypeError, f"`where` must be of dtype bool; got {kind}. Compare it.")
    if isinstance(where, (bool, np.bool_)):
        if where:
            return None
        array = values.array if len(values.shape) == values.array.ndim else values.array[..., 0]
        with _backends.of(values.xp).at(array):
            return array < array  # nowhere, NaN included, in whatever way the library keeps arrays
    _arguments.namespace({values.argument: values.array, "where": where})
    if where.dtype != values.xp.bool:
        _arguments.fail(TypeError, f"`where` must be of dtype bool; got {where.dtype}. Compare it.")
    _arguments.check_devices(
        _backends.of(values.xp), {values.argument: values.array, "where": where}
    )
    if values.columns:
        where = without_column(where, len(values.shape))
    _check_stretches("where", where, values.shape)
    return where


def without_column(array: Array, rank: int) -> Array:
    """The array without a last dimension of 1 beyond this rank: TensorFlow's class numbers."""
    return array[..., 0] if array.ndim == rank + 1 and array.shape[-1] == 1 else array


def parameter(values: Values, expected: Parameter, value: Any) -> Scalar:
    """A parameter of a loss as a Python float, or as an array that broadcasts to the logits."""
    value = _float_or_array(expected.name, value)
    if isinstance(value, float):
        # NaN is a number that an array might hold too.
        outside = value < expected.low or value > expected.high
        if outside or not (expected.array or isfinite(value)):
            bounds = f"{expected.low:g} or more" if isfinite(expected.low) else "a number"
            if isfinite(expected.high):
                bounds = f"from {expected.low:g} to {expected.high:g}"
            finite = "" if isfinite(expected.high) else ", and finite"
            _arguments.fail(
                ValueError,
                f"`{expected.name}` must be {bounds}{finite}; got {value}. {expected.advice}",
            )
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
            f"got {shape} beside {target}. Pass a scalar, or one number a class.",
        )
    return array


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


def _check_stretches(argument: str, array: Array, target: Shape) -> None:
    shape = tuple(array.shape)
    problem = f"{argument} can not be broadcast to values."
    if shape and len(shape) != len(target):
        hint = ""
        if len(shape) == 1 and len(target) == 2 and shape[0] == target[0]:
            hint = f" Pass {argument}[:, None] to weigh each row."
        _arguments.fail(
            ValueError,
            f"{problem} values.rank={len(target)}. {argument}.rank={len(shape)}. "
            f"values.shape={target}. {argument}.shape={shape}. "
            f"Pass a scalar, or {argument} of the values' rank.{hint}",
        )
    if shape and not _stretches(shape, target):
        _arguments.fail(
            ValueError,
            f"{problem} values.shape={target}. {argument}.shape={shape}. "
            f"Each dimension of {argument} must be 1 or the values' own.",
        )


def _stretches(shape: Shape, target: Shape) -> bool:
    """Whether each size is 1 or the target's; an unknown one matches anything."""
    return all(
        m == n or m == 1 or unknown(m) or unknown(n) for m, n in zip(shape, target, strict=True)
    )
