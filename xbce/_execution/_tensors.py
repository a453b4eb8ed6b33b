"""PyTorch: NumPy's blocks on the CPU, torch.compile where asked, and a rule for autograd.

Autograd would keep an array for each operation of a formula. The rule keeps the operands only, and
runs the derivative as a formula of its own. It saves time and memory and no more: the plain formula
is right under every transform, and runs wherever a tensor is not one of plain numbers, as
inside `torch.func`, in forward mode, and in tracers.
"""

import warnings
from dataclasses import replace
from functools import lru_cache, partial
from itertools import count
from types import FunctionType
from typing import Any

import numpy as np
import torch
from torch.autograd.forward_ad import unpack_dual
from torch.utils._python_dispatch import _get_current_dispatch_mode

from xbce._execution import _blocks, _options
from xbce._execution._kernel import Formula, Kernel
from xbce._formula import Array, Namespace


def run(kernel: Kernel, operands: tuple[Any, ...]) -> Any:
    """``kernel(*operands)`` in blocks, compiled or plainly, differentiable in every way."""
    tensors = [operand for operand in operands if isinstance(operand, torch.Tensor)]
    fuse = _options.current().fuse
    if fuse is False or max(tensor.ndim for tensor in tensors) == 0 or _traced(tensors):
        return kernel(*operands)
    if not torch.is_grad_enabled() or not any(tensor.requires_grad for tensor in tensors):
        return _evaluate(kernel, operands)
    # Without a rule the plain formula: what torch.compile makes differentiates once only.
    return kernel(*operands) if kernel.gradient is None else _Rule.apply(kernel, *operands)


def _traced(tensors: list[torch.Tensor]) -> bool:
    """Whether someone follows the operations on these tensors, other than autograd."""
    if torch.jit.is_tracing() or _get_current_dispatch_mode() is not None:
        return True
    for tensor in tensors:
        if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
            return True
        try:
            tensor.untyped_storage()
        except NotImplementedError:  # a wrapper of torch.func
            return True
        if unpack_dual(tensor).tangent is not None:
            return True
    return False


def _evaluate(kernel: Kernel, operands: tuple[Any, ...]) -> Any:
    """``kernel(*operands)`` of plain numbers, recorded nowhere."""
    # Compiled, the classes would be added up one after the other where they do not lie together.
    if _options.current().fuse is True and not kernel.classes:
        arguments = [_argument(operand) for operand in operands]
        kinds = tuple((a.dtype, a.ndim, a.device, a.requires_grad) for a in arguments)
        return _compiled(kernel, kinds)(*arguments)
    tensors = [operand for operand in operands if isinstance(operand, torch.Tensor)]
    if any(t.device.type != "cpu" or t.dtype not in _DTYPES for t in tensors):
        return kernel(*operands)
    if max(tensor.numel() for tensor in tensors) <= _blocks.SMALL:
        return kernel(*operands)
    return _lent(kernel, operands)


# --- compiled -----------------------------------------------------------------


@lru_cache(maxsize=1024)
def _compiled(kernel: Kernel, kinds: tuple[Any, ...]) -> Formula:
    """What torch.compile makes of a kernel, for operands of these kinds and any size."""

    def call(*operands: Any) -> Any:
        return kernel.on_summed(kernel.formula(kernel.xp, *operands), _add)

    # By the name of the code torch.compile remembers what changed from call to call, and counts how
    # often it compiled: each kernel has one of its own.
    code = call.__code__.replace(co_name=f"kernel_{next(_numbers)}")
    own = FunctionType(code, globals(), code.co_name, None, call.__closure__)
    return torch.compile(own)


_numbers = count()
ROW = 4096


def _add(array: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The sum of all elements, of rows first where nothing wider than they are adds them.

    What torch.compile makes for the CPU adds one element after the other: of 2**24 numbers of
    float64 the sum is 50 ulp off.
    """
    if array.dtype != dtype or array.device.type != "cpu":
        return array.sum(dtype=dtype)
    flat = array.reshape(-1)
    rows = torch.nn.functional.pad(flat, (0, -flat.shape[0] % ROW)).reshape(-1, ROW)
    return rows.sum(-1).sum()


def _argument(operand: Any) -> Any:
    """A number as a tensor, so that another value needs no other program."""
    if isinstance(operand, torch.Tensor):
        return operand
    return torch.tensor(operand, dtype=torch.float64, device="cpu")


# --- the same memory as NumPy's arrays ------------------------------------------


_DTYPES = {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
_DTYPES |= {torch.float16, torch.float32, torch.float64}
"""Those that NumPy has too."""


def _lent(kernel: Kernel, operands: tuple[Any, ...]) -> Any:
    """``kernel(*operands)`` in NumPy's blocks, on the tensors' own memory."""
    arrays = (
        operand.detach().resolve_neg().numpy() if isinstance(operand, torch.Tensor) else operand
        for operand in operands
    )
    summed = None if kernel.summed is None else np.dtype(str(kernel.summed).removeprefix("torch."))
    threads = min(_options.threads(), torch.get_num_threads())
    with _options.options(fuse="auto", threads=threads):
        results = _blocks.run(replace(kernel, summed=summed), tuple(arrays))
    if kernel.outputs == 1:
        return torch.as_tensor(results, device="cpu")
    return tuple(torch.as_tensor(result, device="cpu") for result in results)


def borrows(operands: tuple[Any, ...]) -> bool:
    """Whether PyTorch can take these arrays of NumPy as they lie in memory."""
    return all(
        operand.dtype.isnative
        and operand.dtype.char in "?bBhilqefd"
        and all(step >= 0 and step % operand.itemsize == 0 for step in operand.strides)
        for operand in operands
        if isinstance(operand, np.ndarray)
    )


def run_borrowed(kernel: Kernel, operands: tuple[Any, ...]) -> Any:
    """``kernel(*operands)`` of NumPy's arrays, compiled by PyTorch on their own memory."""
    from array_api_compat import torch as xp

    summed = None if kernel.summed is None else getattr(torch, np.dtype(kernel.summed).name)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        tensors = tuple(torch.from_numpy(o) if isinstance(o, np.ndarray) else o for o in operands)
    results = _evaluate(replace(kernel, xp=xp, summed=summed), tensors)
    if kernel.outputs == 1:
        return results.numpy()[()]
    return tuple(result.numpy()[()] for result in results)


# --- autograd -----------------------------------------------------------------


class _Rule(torch.autograd.Function):  # type: ignore[misc]
    """The kernel, with its derivative by the last operand as a formula of its own."""

    generate_vmap_rule = True

    @staticmethod
    def forward(kernel: Kernel, *operands: Any) -> Any:
        return _evaluate(kernel, operands)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.kernel, *operands = inputs
        ctx.options = _options.current()  # the backward pass may run in another thread
        tensors = [o if isinstance(o, torch.Tensor) else None for o in operands]
        ctx.save_for_backward(*tensors)
        ctx.numbers = [None if t is not None else o for o, t in zip(operands, tensors, strict=True)]
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        saved = zip(ctx.numbers, ctx.saved_tensors, strict=True)
        operands = [number if tensor is None else tensor for number, tensor in saved]
        results: list[Any] = [None] * len(operands)
        if gradient is None:
            return (None, *results)
        with _options.options(*ctx.options), np.errstate(all="ignore"):
            *others, by_last = ctx.needs_input_grad[1:]
            if by_last:
                kernel = Kernel(partial(_chained, ctx.kernel.gradient), ctx.kernel.xp)
                outer = gradient.to(operands[-1].dtype)
                results[-1] = run(kernel, (outer, *operands))
            wanted = [number for number, needed in enumerate(others) if needed]
            if wanted:
                by_others = _pulled_back(ctx.kernel, operands, wanted, gradient)
                for number, result in zip(wanted, by_others, strict=True):
                    results[number] = result
        return (None, *results)


def _chained(derivative: Formula, xp: Namespace, outer: Array, *operands: Any) -> Array:
    return derivative(xp, *operands) * outer


def _pulled_back(
    kernel: Kernel, operands: list[Any], wanted: list[int], gradient: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """The derivatives by the operands of these numbers, from the plain formula."""

    def value(*chosen: torch.Tensor) -> Any:
        new = dict(zip(wanted, chosen, strict=True))
        return kernel(*(new.get(number, operand) for number, operand in enumerate(operands)))

    _, pull = torch.func.vjp(value, *(operands[number] for number in wanted))
    return pull(gradient)
