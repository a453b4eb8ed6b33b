"""Numbers of Python beside arrays: what a formula may look at, since it is no array."""

from collections.abc import Callable
from typing import Any

import numpy as np

from xbce._typing import Array


def is_number(value: Any) -> bool:
    """Whether it is a number of Python's own, or a symbol of one in a trace.

    NumPy's float64 is a float too, but an array of rank 0 here. Sizes are symbols where
    PyTorch or JAX traces a call for any of them.
    """
    if type(value) is float:
        return True
    if isinstance(value, (int, float)):
        return not isinstance(value, np.generic)
    return type(value).__name__ in ("SymInt", "SymFloat", "_DimExpr")


def is_one(value: Any) -> bool:
    """Whether it is a number, and 1: a factor that changes nothing."""
    return is_number(value) and bool(value == 1)


def times(array: Array, factor: Any) -> Array:
    """The product, without a pass over the array where the factor is the number 1."""
    return array if is_one(factor) else array * factor


def unknown(size: Any) -> bool:
    """Whether a dimension is known only when a lazy array is computed (NaN or None)."""
    return size is None or size != size


# --- numbers that are no part of a program --------------------------------------------


class Argument(float):
    """A number that a formula may look at, but whose value is no part of its program.

    What is made of it by arithmetic is one too: so programs of two gammas differ in their arguments
    only, unless the formula takes another path. What other functions make of it is a plain number,
    and part of the program.

    Attributes
    ----------
    text : str
        How it is made: what is made in another way is another, though it may be equal.
    """

    text: str

    def __new__(cls, value: float, text: str) -> "Argument":
        made = super().__new__(cls, value)
        made.text = text
        return made

    def __neg__(self) -> "Argument":
        return Argument(-float(self), f"-{self.text}")


def _arithmetic(name: str) -> Callable[[Argument, Any], Any]:
    def made(self: Argument, other: Any) -> Any:
        value = getattr(float(self), name)(other)
        if type(value) is not float:  # of a symbol, which does it itself
            return value
        return Argument(value, f"{name}({self.text}, {getattr(other, 'text', repr(other))})")

    return made


for _name in ("add", "sub", "mul", "truediv", "pow"):
    setattr(Argument, f"__{_name}__", _arithmetic(f"__{_name}__"))
    setattr(Argument, f"__r{_name}__", _arithmetic(f"__r{_name}__"))
