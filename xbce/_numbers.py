"""Numbers of Python beside arrays: what a formula may look at, since it is no array."""

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
