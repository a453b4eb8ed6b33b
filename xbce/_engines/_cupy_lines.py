"""The values of a recorded program as lines of CUDA C."""

from collections.abc import Callable, Iterable, Sequence
from math import copysign, isinf, isnan

import numpy as np

from xbce._program import VIEWS, Program, Value
from xbce._typing import DType

_TYPES = {
    "bool": "bool",
    "int8": "signed char",
    "int16": "short",
    "int32": "int",
    "int64": "long long",
    "uint8": "unsigned char",
    "uint16": "unsigned short",
    "uint32": "unsigned int",
    "uint64": "unsigned long long",
    "float16": "float16",  # a class of CuPy's
    "float32": "float",
    "float64": "double",
}

_ARITHMETIC = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}
_ARITHMETIC |= {"bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "^"}
_COMPARISONS = {"equal": "==", "not_equal": "!=", "less": "<", "less_equal": "<="}
_COMPARISONS |= {"greater": ">", "greater_equal": ">="}
_FUNCTIONS = {"pow": "pow", "power": "pow", "abs": "fabs", "absolute": "fabs", "fabs": "fabs"}
for _name in (
    *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "hypot", "copysign"),
    *("sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "asinh"),
    *("acosh", "atanh", "floor", "ceil", "trunc", "rint", "isinf", "isnan", "isfinite"),
):
    _FUNCTIONS[_name] = _name  # of floats, which C knows by the same name


def type_of(dtype: DType) -> str:
    """The type of C of a dtype."""
    if dtype.name not in _TYPES:
        raise NotImplementedError(f"No kernel computes with {dtype.name}.")
    return _TYPES[dtype.name]


class Lines:
    """The lines of a program.

    Each value is a variable, constants and arguments aside. `element_of` says what the kernel calls
    an element of an operand.
    """

    def __init__(self, program: Program, element_of: Callable[[str, Value], str]) -> None:
        self.program, self._element_of = program, element_of

    def reference(self, number: int) -> str:
        """A value, where it is used."""
        value = self.program.values[number]
        if value.operation in (*VIEWS, "copy"):
            return self.reference(value.operands[0])
        if value.operation == "constant":
            return _literal(value)
        return f"argument{number}" if value.operation == "argument" else f"v{number}"

    def of(self, numbers: Iterable[int]) -> list[str]:
        """The lines that compute these values, each of which needs those before it."""
        lines = []
        for number in numbers:
            value = self.program.values[number]
            if value.operation not in (*VIEWS, "copy", "constant", "argument"):
                text = self._expression(value)
                lines.append(f"const {type_of(value.dtype)} v{number} = {text};")
        return lines

    def stores(self, results: Sequence[int], place: str) -> list[str]:
        """The lines that put values at a place of the kernel's results."""
        return [f"out{n}{place} = {self.reference(r)};" for n, r in enumerate(results)]

    def adds(self, summed: Sequence[int]) -> list[str]:
        """The lines that add values to the totals of a thread."""
        return [f"total{n} += {self.reference(number)};" for n, number in enumerate(summed)]

    def _expression(self, value: Value) -> str:
        name, operands = value.operation, value.operands
        if name == "input":
            return self._element_of(value.option, value)
        if name == "total":
            return f"total{value.option}"
        if name == "arange":
            return f"({type_of(value.dtype)}){'k' if value.option > 1 else 0}"
        if name in ("sum", "argmax"):  # of a single class
            (operand,) = self._cast(operands, value.dtype)
            return operand if name == "sum" else "0"
        dtypes = [self.program.values[operand].dtype for operand in operands]
        if name == "where":
            condition, a, b = self.reference(operands[0]), *self._cast(operands[1:], value.dtype)
            return f"{condition} ? {a} : {b}"
        if name in _COMPARISONS:
            return f" {_COMPARISONS[name]} ".join(self._cast(operands, np.result_type(*dtypes)))
        if name in _ARITHMETIC:
            return f" {_ARITHMETIC[name]} ".join(self._cast(operands, value.dtype))
        if name in ("astype", "negative", "bitwise_invert", "invert"):
            (operand,) = self._cast(operands, value.dtype)
            if name == "astype":
                return operand
            inverted = "!" if value.dtype == np.bool_ else "~"
            return f"{'-' if name == 'negative' else inverted}{operand}"
        if name in ("maximum", "minimum"):  # of NaN and a number: NaN
            a, b = self._cast(operands, value.dtype)
            return f"{a} != {a} || {a} {'>' if name == 'maximum' else '<'} {b} ? {a} : {b}"
        if name in _FUNCTIONS and all(dtype.kind == "f" for dtype in dtypes):
            return f"{_FUNCTIONS[name]}({', '.join(self._cast(operands, np.result_type(*dtypes)))})"
        raise NotImplementedError(f"There is no line of C for {name} of {dtypes}.")

    def _cast(self, operands: Iterable[int], dtype: DType) -> list[str]:
        """The references to values, in this dtype."""
        found = []
        for operand in operands:
            text = self.reference(operand)
            same = self.program.values[operand].dtype == dtype
            found.append(text if same else f"({type_of(dtype)}){text}")
        return found


def _literal(value: Value) -> str:
    """A constant in its own type, to the last digit."""
    number, kind = value.option, value.dtype
    if kind == np.bool_:
        return "true" if number else "false"
    if kind.kind in "iu":
        if number == np.iinfo(np.int64).min:  # C has no literal for it
            return f"({number + 1}LL - 1)"
        suffix = {"int64": "LL", "uint64": "ULL", "uint32": "U"}.get(kind.name, "")
        return f"({type_of(kind)}){number}{suffix}" if number >= 0 else f"({number}{suffix})"
    if isnan(number) or isinf(number):
        sign = "-" if copysign(1, number) < 0 else ""
        text = "nan" if isnan(number) else "inf"
        return f"({sign}xbce_{text}<{type_of(kind)}>())"
    suffix = {"float32": "f", "float16": "f"}.get(kind.name, "")
    text = f"{float(number)!r}{suffix}"
    return f"({text})" if number < 0 or kind.name != "float16" else f"(float16){text}"


NUMBERS = """
template <typename T> __device__ T xbce_inf() { return (T)__int_as_float(0x7f800000); }
template <typename T> __device__ T xbce_nan() { return (T)__int_as_float(0x7fffffff); }
"""
"""What C has no literals for."""
