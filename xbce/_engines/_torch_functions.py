"""PyTorch's functions, as a program calls them, on memory that NumPy's arrays share.

PyTorch's own threads share the work of each: they are ready at once where threads of Python would
wait for the interpreter, and for processors on which PyTorch's are still busy waiting for more.
What works on bools and whole numbers stays NumPy's, which is quicker at it on one thread.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xbce._engines import _numpy_functions
from xbce._engines._replay import Call
from xbce._program import VIEWS, Value, broadcast
from xbce._typing import Shape


def call(values: tuple[Value, ...], value: Value) -> Call:
    """What computes a value, from its operands and the target that it writes to."""
    function, operands = _numpy_functions.call(values, value)
    kinds = {values[number].dtype for number in operands}
    if value.operation in VIEWS:
        return function, operands
    if value.dtype.kind == "f" and (kinds == {value.dtype} or value.operation == "sum"):
        if value.operation == "sum":
            return _sum(value.option, _DTYPES[value.dtype.name]), operands
        own = _FUNCTIONS.get(getattr(function, "__name__", ""))
        if own is not None:
            # PyTorch does not stretch a result to its target.
            stretched = broadcast([_shape(values[number]) for number in operands]) != value.shape
            return (_stretched if stretched else _into_target)(own), operands
    return _by_numpy(function), operands


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": torch.add,
    "subtract": torch.sub,
    "multiply": torch.mul,
    "divide": torch.div,
    "exp": torch.exp,
    "log1p": torch.log1p,
    "negative": torch.neg,
    "square": torch.square,
    "sqrt": torch.sqrt,
}
_DTYPES = {"float32": torch.float32, "float64": torch.float64}


def _shape(value: Value) -> Shape:
    """The shape that the value has in fact."""
    return () if value.operation == "constant" else value.shape


def _stretched(function: Callable[..., Any]) -> Callable[..., Any]:
    def computed(*arguments: Any) -> torch.Tensor:
        return arguments[-1].copy_(function(*arguments[:-1]))

    return computed


def _into_target(function: Callable[..., Any]) -> Callable[..., Any]:
    def computed(*arguments: Any) -> torch.Tensor:
        return function(*arguments[:-1], out=arguments[-1])

    return computed


def _by_numpy(function: Callable[..., Any]) -> Callable[..., Any]:
    def computed(*arguments: Any) -> torch.Tensor:
        target = arguments[-1]
        found = function(*[None if a is None else a.numpy() for a in arguments])
        return torch.from_numpy(np.asarray(found)) if target is None else target

    return computed


def _sum(axis: int | None, dtype: torch.dtype) -> Callable[..., Any]:
    def of_all(tensor: torch.Tensor, target: None) -> float:
        return torch.sum(tensor, dtype=dtype).item()

    def of_rows(tensor: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return torch.sum(tensor, dim=-1, dtype=dtype, out=target)

    return of_all if axis is None else of_rows


def constant(value: Value) -> torch.Tensor:
    """What is no operation: a number, or the numbers from 0 on."""
    return own(np.asarray(_numpy_functions.constant(value)))


def own(array: NDArray[Any]) -> torch.Tensor:
    """The array as a tensor, in the same memory."""
    return torch.from_numpy(np.asarray(array))


def holds(condition: torch.Tensor) -> bool:
    """Whether a condition holds anywhere."""
    return _numpy_functions.holds(condition.numpy())
