"""torch.compile: a recipe as one program, for PyTorch's tensors and for NumPy's arrays.

Asked for by `fuse=True`, since the first call of a kind takes seconds.
"""

import warnings
from collections.abc import Callable
from functools import cache, lru_cache
from importlib.util import find_spec
from itertools import count
from shutil import which
from types import FunctionType
from typing import Any

import numpy as np

from xbce._numbers import is_number
from xbce._recipe import Recipe
from xbce._steps import Step
from xbce._typing import Array, Namespace, Operands, Results

ROW = 4096
"""Elements that are added one after the other; see `_add`."""


@cache
def can_compile() -> bool:
    """Whether PyTorch is installed, and the C++ compiler that it needs."""
    return find_spec("torch") is not None and any(map(which, ("c++", "g++", "clang++", "cl")))


def execute(step: Step, xp: Namespace, operands: Operands) -> Results:
    """``step(xp, operands)`` of tensors, compiled; nothing of it is recorded for autograd."""
    import torch

    # A number comes as a tensor, so that another value needs no other program.
    arrays = {
        name: torch.tensor(operand, dtype=torch.float64) if is_number(operand) else operand
        for name, operand in operands.items()
    }
    kinds = tuple((name, a.dtype, a.ndim, a.device, a.requires_grad) for name, a in arrays.items())
    results: Results = _compiled(step, xp, kinds)(arrays)
    return results


@lru_cache(maxsize=1024)
def _compiled(step: Step, xp: Namespace, kinds: tuple[Any, ...]) -> Callable[[Operands], Any]:
    """What torch.compile makes of a step, for operands of these kinds and any size."""
    import torch

    adding = _Adding(xp)

    def call(operands: Operands) -> Results:
        return step(adding, operands)

    # By the name of the code torch.compile remembers what changed from call to call, and counts how
    # often it compiled: each step has one of its own.
    code = call.__code__.replace(co_name=f"step_{next(_numbers)}")
    own = FunctionType(code, globals(), code.co_name, None, call.__closure__)
    compiled: Callable[[Operands], Any] = torch.compile(own)
    return compiled


_numbers = count()


class _Adding:
    """A namespace of PyTorch whose sums keep their digits where its compiler adds in a row."""

    def __init__(self, xp: Namespace) -> None:
        self._xp, self.__name__ = xp, xp.__name__

    def __getattr__(self, name: str) -> Any:
        return getattr(self._xp, name)

    def sum(self, array: Array, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
        """Of all elements, rows first where nothing wider than they are adds them.

        What torch.compile makes for the CPU adds one element after the other: of 2**24 numbers of
        float64 the sum is 50 ulp off.
        """
        import torch

        if axis is not None or array.dtype != dtype or array.device.type != "cpu":
            return self._xp.sum(array, axis=axis, dtype=dtype, keepdims=keepdims)
        flat = array.reshape(-1)
        rows = torch.nn.functional.pad(flat, (0, -flat.shape[0] % ROW)).reshape(-1, ROW)
        return rows.sum(-1).sum()


# --- the same memory as NumPy's arrays ------------------------------------------


def borrows(operands: Operands) -> bool:
    """Whether PyTorch is here, and can take these arrays of NumPy as they lie in memory."""
    return can_compile() and all(
        operand.dtype.isnative
        and operand.dtype.char in "?bBhilqefd"
        and all(step >= 0 and step % operand.itemsize == 0 for step in operand.strides)
        for operand in operands.values()
        if isinstance(operand, np.ndarray)
    )


def run_borrowed(recipe: Recipe, operands: Operands) -> Results:
    """The results of NumPy's arrays, compiled by PyTorch on their own memory."""
    import torch
    from array_api_compat import torch as xp

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        tensors = {
            name: torch.from_numpy(operand) if isinstance(operand, np.ndarray) else operand
            for name, operand in operands.items()
        }
    results = execute(Step(recipe, "all"), xp, tensors)
    return tuple(result.numpy()[()] for result in results)
