"""Types, and nothing else."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

Array: TypeAlias = Any
"""An array of any library: the standard's own idea of a type, which Python can not state today."""
Namespace: TypeAlias = Any
"""The module of an array library that follows the standard, or what stands in for one."""
DType: TypeAlias = Any
"""A dtype of any library; each has its own class for them."""
Device: TypeAlias = Any
"""A device of any library, likewise."""
Size: TypeAlias = Any
"""Of a dimension: an int, a tracer's symbol, or NaN or None where it is not known yet."""
Shape: TypeAlias = tuple[Size, ...]
Scalar: TypeAlias = float | Array
"""A number of Python, or an array of rank 0."""
Operands: TypeAlias = Mapping[str, Any]
"""Arrays and numbers by name."""
Results: TypeAlias = tuple[Any, ...]
"""What a call, or a step of one, gives: one array or two."""
Formula: TypeAlias = Callable[..., Any]
"""A pure function of (xp, *arrays, **parameters)."""
Output: TypeAlias = Literal["value", "gradient", "value_and_gradient", "gradient_and_hessian"]
"""Which of a loss's formulas is asked for."""
