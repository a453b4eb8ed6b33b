"""A formula, run once on symbols, and noted as a program.

A symbol stands for an array of which only dtype and shape are known. Whatever is done to it is
noted: equal operations once, and none whose result is known beforehand.
"""

from collections.abc import Callable
from math import inf, isfinite
from typing import Any

import numpy as np

from xbce._numbers import Argument
from xbce._program import VIEWS, Program, Value, broadcast, without_unused
from xbce._typing import DType, Shape


def record(
    function: Callable[[Any, dict[str, Any]], tuple[Any, ...]],
    inputs: dict[str, tuple[DType, Shape]],
    numbers: dict[str, float],
) -> Program:
    """The program of ``function(xp, operands)``.

    Parameters
    ----------
    function : callable
        It uses operators and functions that work element by element, and those of `Recorder`.
    inputs : dict
        Dtype and shape of each operand that is an array, or a number that may be another next time.
    numbers : dict
        Operands that are numbers, and part of the program unless they are an `Argument`.

    Raises
    ------
    NotImplementedError
        If the function uses another.
    """
    recorder = Recorder()
    symbols = {
        name: recorder.note("input", (), np.dtype(dtype), shape, name)
        for name, (dtype, shape) in inputs.items()
    }
    results: list[int] = []
    for result in function(recorder, symbols | numbers):
        operation = recorder.values[result.number].operation
        if operation in _IN_MEMORY_OF_OTHERS or result.number in results:
            result = recorder.copy(result)
        results.append(result.number)
    return without_unused(recorder.values, results)


_IN_MEMORY_OF_OTHERS = ("input", "constant", "argument", "arange", *VIEWS)


REFUSALS = (NotImplementedError, AttributeError, TypeError, ValueError, OverflowError)
"""What is raised where a function can not be recorded, or is wrong, which shows where it is run."""


class Symbol:
    """An array to the function that is recorded."""

    __array_ufunc__ = None  # numbers of NumPy leave operators to it
    __hash__ = object.__hash__

    def __init__(self, recorder: "Recorder", number: int) -> None:
        self.recorder, self.number = recorder, number
        value = recorder.values[number]
        self.dtype, self.shape, self.ndim = value.dtype, value.shape, len(value.shape)

    def __bool__(self) -> bool:
        raise NotImplementedError("A recorded formula looks at no value.")

    def __getitem__(self, key: Any) -> "Symbol":
        if type(key) is tuple and len(key) == 2 and key[0] is ...:
            if key[1] is None:
                return self.recorder.expand(self)
            if self.ndim and type(key[1]) in (int, slice) and key[1] in (0, slice(None, 1)):
                return self.recorder.first(self, key)
        raise NotImplementedError("Recorded are the indices [..., None], [..., 0] and [..., :1].")

    def __neg__(self) -> "Symbol":
        return self.recorder.call("negative", self)

    def __invert__(self) -> "Symbol":
        return self.recorder.call("bitwise_invert", self)


def _operator(name: str, turned: bool = False) -> Callable[[Symbol, Any], Symbol]:
    def noted(self: Symbol, other: Any) -> Symbol:
        return self.recorder.call(name, *((other, self) if turned else (self, other)))

    return noted


_TURNED = {"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "pow": "pow"}
_TURNED |= {"and": "bitwise_and", "or": "bitwise_or"}
_COMPARED = {"eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal"}
_COMPARED |= {"gt": "greater", "ge": "greater_equal"}
for _short, _name in (_TURNED | _COMPARED).items():
    setattr(Symbol, f"__{_short}__", _operator(_name))
for _short, _name in _TURNED.items():
    setattr(Symbol, f"__r{_short}__", _operator(_name, turned=True))


class Recorder:
    """The namespace of symbols.

    Functions that work element by element are those of NumPy; the others stand here.
    """

    finfo = staticmethod(np.finfo)

    def __init__(self) -> None:
        self.__name__ = __name__
        self.values: list[Value] = []
        self._known: dict[Any, int] = {}

    def __getattr__(self, name: str) -> Any:
        found = getattr(np, name, None)
        if isinstance(found, np.ufunc):
            return lambda *operands: self.call(name, *operands)
        if name == "bool" or (isinstance(found, type) and issubclass(found, np.number)):
            return np.dtype(found)
        raise AttributeError(f"{name} is not recorded.")

    def where(self, condition: Symbol, a: Any, b: Any) -> Symbol:
        """One of two, element by element."""
        if condition.dtype != np.bool_:
            raise NotImplementedError(f"A condition is a bool; got {condition.dtype}.")
        dtype = np.result_type(_sample(a), _sample(b))
        symbols = [condition, self.symbol(a, dtype), self.symbol(b, dtype)]
        return self._note_element_wise("where", symbols, dtype)

    def astype(self, x: Symbol, dtype: DType) -> Symbol:
        """The same in another dtype."""
        wanted, number = np.dtype(dtype), self._constant(x.number)
        if number is not None:
            return self.symbol(number, wanted, x.shape)
        return x if x.dtype == wanted else self.note("astype", (x.number,), wanted, x.shape)

    def sum(self, x: Symbol, axis: int | None = None, dtype: DType | None = None) -> Symbol:
        """Of all elements, or along the last axis."""
        if axis not in (None, -1):
            raise NotImplementedError(f"Sums are of all, or along axis -1; got {axis}.")
        if self._constant(x.number) is not None:
            x = self.copy(x)
        wanted = np.sum(np.empty(0, x.dtype)).dtype if dtype is None else np.dtype(dtype)
        return self.note("sum", (x.number,), wanted, () if axis is None else x.shape[:-1], axis)

    def argmax(self, x: Symbol, axis: int = -1) -> Symbol:
        """The place of the largest along the last axis."""
        _check_last(axis)
        return self.note("argmax", (x.number,), np.dtype(np.int64), x.shape[:-1], axis)

    def arange(self, stop: int, dtype: DType) -> Symbol:
        """The numbers from 0 on."""
        return self.note("arange", (), np.dtype(dtype), (stop,), stop)

    def zeros_like(self, x: Symbol, dtype: DType | None = None) -> Symbol:
        """Zeros in the shape of a symbol."""
        return self.symbol(0, x.dtype if dtype is None else dtype, x.shape)

    def ones_like(self, x: Symbol, dtype: DType | None = None) -> Symbol:
        """Ones in the shape of a symbol."""
        return self.symbol(1, x.dtype if dtype is None else dtype, x.shape)

    # --- how it is noted

    def copy(self, x: Symbol) -> Symbol:
        """The same in an array of its own, however often it is asked for."""
        self.values.append(Value("copy", (x.number,), x.dtype, x.shape))
        return Symbol(self, len(self.values) - 1)

    def symbol(self, value: Any, dtype: DType | None = None, shape: Shape = ()) -> Symbol:
        """A number of Python as a symbol of this dtype and shape; a symbol in this dtype."""
        if isinstance(value, Symbol):
            return value if dtype is None else self.astype(value, dtype)
        with np.errstate(all="ignore"):  # it may be beyond what the dtype holds
            found = np.asarray(value, dtype)
        if isinstance(value, Argument):
            return self.note("argument", (), found.dtype, shape, value, value.text)
        return self.note("constant", (), found.dtype, shape, found.item())

    def expand(self, x: Symbol) -> Symbol:
        """The symbol with an axis of size 1 at its end."""
        number, shape = self._constant(x.number), (*x.shape, 1)
        if number is not None:
            return self.symbol(number, x.dtype, shape)
        return self.note("expand", (x.number,), x.dtype, shape, -1)

    def first(self, x: Symbol, key: Any) -> Symbol:
        """The first along the last axis, which is kept with a slice as the key."""
        number, shape = self._constant(x.number), x.shape[:-1] + ((1,) if key[1] != 0 else ())
        if number is not None:
            return self.symbol(number, x.dtype, shape)
        return self.note("first", (x.number,), x.dtype, shape, key)

    def call(self, name: str, *operands: Any) -> Symbol:
        """A function of NumPy that works element by element."""
        if any(isinstance(o, np.ndarray) and o.ndim for o in operands):
            raise NotImplementedError("Arrays are recorded where they are operands only.")
        function = getattr(np, name)
        samples = [_sample(operand) for operand in operands]
        with np.errstate(all="ignore"):
            dtype = function(*samples).dtype
        if name == "pow" and any(isinstance(o, Symbol) and o.dtype.kind != "f" for o in operands):
            raise NotImplementedError("Of powers those of floats are recorded.")
        if name == "pow" and isinstance(operands[1], Symbol) and operands[1].shape:
            # An array, be it of one number: NumPy takes powers of a number in another way.
            operands = operands[0], self.copy(operands[1])
        # A number of Python beside an array is of the array's dtype.
        beside = np.result_type(*samples)
        symbols = [self.symbol(o, None if isinstance(o, Symbol) else beside) for o in operands]
        return self._note_element_wise(name, symbols, dtype)

    def _note_element_wise(self, name: str, symbols: list[Symbol], dtype: DType) -> Symbol:
        shape = broadcast([symbol.shape for symbol in symbols])
        numbers = tuple([symbol.number for symbol in symbols])
        known = self._known_result(name, numbers)
        if known is not None:
            return self.symbol(known, dtype, shape)
        return self.note(name, numbers, dtype, shape)

    def note(
        self,
        operation: str,
        operands: tuple[int, ...],
        dtype: DType,
        shape: Shape,
        option: Any = None,
        text: str | None = None,
    ) -> Symbol:
        """The value of an operation; of one that has been noted before, the same again."""
        # 0.0 equals -0.0, and NaN nothing.
        key = operation, operands, dtype, shape, repr(option) if text is None else text
        if key not in self._known:
            self._known[key] = len(self.values)
            self.values.append(Value(operation, operands, dtype, shape, option))
        return Symbol(self, self._known[key])

    def _constant(self, number: int) -> Any:
        value = self.values[number]
        return value.option if value.operation == "constant" else None

    def _known_result(self, name: str, operands: tuple[int, ...]) -> Any:
        """The number that a result is everywhere; None where it is not known."""
        found = [self._constant(number) for number in operands]
        if name == "multiply" and 0 in found:
            other = operands[1 - found.index(0)]
            return 0 if self._bound(other) < inf else None  # 0 times infinity is NaN
        if name in ("add", "subtract", "multiply") and None not in found:
            exact = self.values[operands[0]].dtype.type
            with np.errstate(all="ignore"):
                return getattr(np, name)(*map(exact, found)).item()
        return None

    def _bound(self, number: int) -> float:
        """What no element exceeds in size; infinity where that, or NaN, may be among them."""
        value = self.values[number]
        if value.dtype == np.bool_:
            return 1.0
        if value.operation == "constant":
            return abs(value.option) if isfinite(value.option) else inf
        if value.operation not in ("astype", "add", "subtract", "multiply"):
            return inf
        first, *rest = [self._bound(operand) for operand in value.operands]
        for other in rest:
            first = first * other if value.operation == "multiply" else first + other
        held = np.finfo(value.dtype).max if value.dtype.kind == "f" else 0
        return first if first <= held else inf


def _sample(operand: Any) -> Any:
    """What NumPy promotes as it does the operand: numbers beside arrays are of their dtype."""
    if isinstance(operand, Symbol):
        return np.empty(0, operand.dtype)
    return float(operand) if isinstance(operand, Argument) else operand


def _check_last(axis: int) -> None:
    if axis != -1:
        raise NotImplementedError(f"Only the last axis is recorded; got {axis}.")
