"""NumPy's functions, as a program calls them: the target is the last argument, and the result."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xbce._program import Value

_Array = NDArray[Any]


def call(values: tuple[Value, ...], value: Value) -> tuple[Callable[..., Any], tuple[int, ...]]:
    """What computes a value, from its operands and the target that it writes to."""
    operands = value.operands
    if value.operation == "sum":
        return _sum(value.option, value.dtype), operands
    if value.operation in _OF_OPTION:
        return _OF_OPTION[value.operation](value.option), operands
    if value.operation == "pow":
        base, power = (values[operand] for operand in operands)
        # As the operator of NumPy does it, with a number as the exponent.
        number = power.operation == "constant" and power.shape == () and base.dtype == value.dtype
        if number and power.option in _POWERS:
            return _POWERS[power.option], operands[:1]
        if number and power.option < 0:  # which it does in its own way from version to version
            return _power(power.option), operands[:1]
    function = _FUNCTIONS.get(value.operation)
    return function or getattr(np, value.operation), operands


def constant(value: Value) -> Any:
    """What is no operation: a number, or the numbers from 0 on."""
    if value.operation == "arange":
        return np.arange(value.option, dtype=value.dtype).reshape(value.shape)
    return value.dtype.type(value.option)


# --- one of two ---------------------------------------------------------------------

RARE = 5
"""Of how many elements, as a power of 2, one must be chosen for bits to be quicker."""
PIECE = 2**14
"""Elements whose bits are chosen at a time."""
ROWS = 32
"""Rows that are few enough to choose in one after the other, where one is to stretch to all."""
_INTEGERS = {2: np.int16, 4: np.int32, 8: np.int64}


def _where(condition: _Array, a: Any, b: Any, target: _Array | None) -> _Array:
    if target is None:
        return np.where(condition, a, b)
    rare = np.count_nonzero(condition) << RARE < condition.size
    if rare or not _choose(condition, a, b, target):
        if b is not target:
            np.copyto(target, b)
        np.copyto(target, a, where=condition)
    return target


def _choose(condition: _Array, a: Any, b: Any, target: _Array) -> bool:
    """Choose bit by bit, where arrays lie so that it is quick.

    A branch for each element is guessed wrong where the condition is random, as hard labels make
    it. This needs none: b ^ ((a ^ b) & -1) is a, and with 0 in the place of -1 it is b.
    """
    integer = _INTEGERS.get(target.itemsize)
    if target.ndim == 2 and any(o.ndim == 2 and len(o) < len(target) <= ROWS for o in (a, b)):
        rows = (np.broadcast_to(o, target.shape) if o.ndim else o for o in (condition, a, b))
        condition, a, b = rows
        for number, place in enumerate(target):
            chosen, first, second = (o[number] if o.ndim else o for o in (condition, a, b))
            if not _choose(chosen, first, second, place):
                return False
        return True
    flat = []
    for array in (condition, a, b, target):
        if array.ndim and not (array.shape == target.shape and array.flags.c_contiguous):
            return False
        if integer is None or (array is not condition and array.dtype != target.dtype):
            return False
        array = array.view(np.int8 if array is condition else integer)
        flat.append(array.reshape(-1) if array.ndim else array)
    ones_of, first, second, result = flat
    if ones_of.ndim == 0:
        return False
    mask, bits = np.empty(PIECE, integer), np.empty(PIECE, integer)
    for start in range(0, result.size, PIECE):
        part = slice(start, start + PIECE)
        one, other = (o[part] if o.ndim else o for o in (first, second))
        place = result[part]
        ones, differ = mask[: place.size], bits[: place.size]
        np.copyto(ones, ones_of[part])
        np.negative(ones, out=ones)
        np.bitwise_xor(one, other, out=differ)
        np.bitwise_and(differ, ones, out=differ)
        np.bitwise_xor(other, differ, out=place)
    return True


# --- one of each row ------------------------------------------------------------------


def _pick(number: _Array, a: Any, b: _Array, target: _Array) -> _Array:
    if b is not target:
        np.copyto(target, b)
    known = (number >= 0) & (number < target.shape[-1])
    if target.ndim == 2 and known.all():
        target[np.arange(target.shape[0])[:, None], number] = a
    else:
        rows = np.nonzero(known[..., 0])
        a = np.broadcast_to(a, known.shape)[..., 0]
        target[(*rows, number[..., 0][rows])] = a[rows]
    return target


def _take(array: _Array, number: _Array, target: _Array) -> _Array:
    known = (number >= 0) & (number < array.shape[-1])
    place = np.where(known, number, 0)
    if array.ndim == 2:
        found = array[np.arange(array.shape[0])[:, None], place]
    else:
        found = np.take_along_axis(array, place, axis=-1)
    np.copyto(target, np.where(known, found, 0)[..., 0])
    return target


# --- the others -----------------------------------------------------------------------

_POWERS = {0.5: np.sqrt, 1.0: np.positive, 2.0: np.square}


def _power(exponent: float) -> Callable[..., Any]:
    def raised(array: _Array, target: _Array) -> _Array:
        np.copyto(target, array**exponent)
        return target

    return raised


def _sum(axis: int | None, dtype: Any) -> Callable[..., Any]:
    def add(array: _Array, target: _Array) -> Any:
        return np.add.reduce(array, axis=axis, dtype=dtype, out=target)

    return add


def _astype(array: _Array, target: _Array) -> _Array:
    np.copyto(target, array, casting="unsafe")
    return target


def _turn(array: _Array, target: _Array) -> _Array:
    np.copyto(target, array.T)
    return target


def _expand(axis: int) -> Callable[..., Any]:
    key = (..., None) if axis == -1 else (None, ...)
    return _first(key)


def _first(key: Any) -> Callable[..., Any]:
    def look(array: _Array, target: None) -> _Array:
        return array[key]

    return look


def _argmax(axis: int) -> Callable[..., Any]:
    def find(array: _Array, target: _Array) -> _Array:
        if axis == 0:
            return _argmax_of_few(array, target)
        return np.argmax(array, axis=axis, out=target)

    return find


def _argmax_of_few(array: _Array, target: _Array) -> _Array:
    """Along the first axis, by operations on whole rows: NumPy takes column after column."""
    most = np.maximum.reduce(array, axis=0)
    if np.isnan(most).any():
        return np.argmax(array, axis=0, out=target)
    number = array.shape[0]
    places = np.equal(array, most).view(np.uint8)
    places *= np.arange(number, 0, -1, dtype=np.uint8)[:, None]
    return np.subtract(number, np.maximum.reduce(places, axis=0), out=target, dtype=target.dtype)


_OF_OPTION: dict[str, Callable[[Any], Callable[..., Any]]] = {
    "argmax": _argmax,
    "expand": _expand,
    "first": _first,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "astype": _astype,
    "copy": _astype,
    "where": _where,
    "pick": _pick,
    "take": _take,
    "turn": _turn,
}
