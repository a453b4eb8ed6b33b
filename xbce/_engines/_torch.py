"""PyTorch: on the CPU NumPy's engine, on the tensors' own memory, and a rule for autograd.

Autograd would keep an array for each operation of a formula. The rule computes the gradient with
the losses, in one pass, and keeps it and the arguments. It saves time and memory and no more: the
plain formula is right under every transform, and runs wherever a tensor is not one of plain
numbers, as inside `torch.func`, in forward mode, and in tracers.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch.autograd import forward_ad
from torch.utils._python_dispatch import _get_current_dispatch_mode

from xbce import _formula, _steps
from xbce._engines import _numpy, _options, _torch_compile
from xbce._recipe import Recipe, cast
from xbce._steps import Step
from xbce._typing import Namespace, Operands, Results


def run(recipe: Recipe, xp: Namespace, operands: Operands) -> Results:
    """The results by NumPy's engine, compiled or plainly, differentiable in every way."""
    tensors = [operand for operand in operands.values() if isinstance(operand, torch.Tensor)]
    if _traced(tensors):
        return _steps.run(recipe, xp, operands)
    if not torch.is_grad_enabled() or not any(tensor.requires_grad for tensor in tensors):
        return _evaluate(recipe, xp, operands)
    if recipe.output != "value":  # a derivative that is differentiated
        return _steps.run(recipe, xp, operands)
    return (_Rule.apply(recipe, xp, tuple(operands), *operands.values()),)


def _traced(tensors: Iterable[torch.Tensor]) -> bool:
    """Whether someone follows the operations on these tensors, other than autograd."""
    if torch.jit.is_tracing() or _get_current_dispatch_mode() is not None:
        return True
    # Outside of forward mode no tensor has a tangent.
    forward = getattr(forward_ad, "_current_level", 0) >= 0
    for tensor in tensors:
        if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
            return True
        try:
            tensor.untyped_storage()
        except NotImplementedError:  # a wrapper of torch.func, or of a vmap
            return True
        if forward and forward_ad.unpack_dual(tensor).tangent is not None:
            return True
    return False


def _evaluate(recipe: Recipe, xp: Namespace, operands: Operands) -> Results:
    """The results of plain numbers, recorded nowhere."""
    tensors = [operand for operand in operands.values() if isinstance(operand, torch.Tensor)]
    # Compiled, the classes would be added up one after the other where they do not lie together.
    fused = _options.current().fuse is True and not recipe.loss.over_classes
    if fused and any(tensor.ndim for tensor in tensors):
        return _torch_compile.execute(Step(recipe, "all"), xp, operands)
    if any(not tensor.is_cpu or tensor.dtype not in _LENT for tensor in tensors):
        return _steps.run(recipe, xp, operands)
    return _lend(recipe, xp, operands)


# --- the same memory as NumPy's arrays ------------------------------------------


_LENT = {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
_LENT |= {torch.float16, torch.bfloat16, torch.float32, torch.float64}
"""The dtypes of NumPy, and bfloat16, which is lent as float32."""


def _lend(recipe: Recipe, xp: Namespace, operands: Operands) -> Results:
    """The results by NumPy's engine, on the tensors' own memory."""
    lent = recipe
    if any(getattr(o, "dtype", None) is torch.bfloat16 for o in operands.values()):
        operands = recipe.cast(xp, operands)
        lent = replace(recipe, casts=(), result=recipe.dtype)
    arrays = {
        name: o.numpy(force=True) if isinstance(o, torch.Tensor) else o
        for name, o in operands.items()
    }
    found = _numpy.run_arrays(lent, arrays, _threads, PARALLEL)
    tensors = [torch.from_numpy(np.asarray(array)) for array in found]
    if lent is recipe:
        return tuple(tensors)
    return tuple([cast(xp, tensor, recipe.result) for tensor in tensors])


PARALLEL = 2**21
"""Elements for each thread: PyTorch's own stay busy for 10 ms when their work is done, waiting for
more, and what is shorter is done before a second processor is free."""


def _threads() -> int:
    """How many threads a call may use."""
    return min(_options.threads(), torch.get_num_threads())


# --- autograd -------------------------------------------------------------------


class _Rule(torch.autograd.Function):  # type: ignore[misc]
    """The value of a recipe, with the derivative by the logits in closed form."""

    @staticmethod
    def forward(
        ctx: Any, recipe: Recipe, xp: Namespace, names: tuple[str, ...], *values: Any
    ) -> Any:
        ctx.recipe, ctx.xp, ctx.names, ctx.slopes = recipe, xp, names, None
        ctx.options = _options.current()  # the backward pass may run in another thread
        ctx.dtype = values[names.index("logits")].dtype
        ctx.numbers = [None if isinstance(v, torch.Tensor) else v for v in values]
        ctx.save_for_backward(*[v if isinstance(v, torch.Tensor) else None for v in values])
        ctx.set_materialize_grads(False)
        operands = dict(zip(names, values, strict=True))
        if not operands["logits"].requires_grad:
            return _evaluate(recipe, xp, operands)[0]
        value, slopes = _evaluate(_with_slopes(recipe), xp, operands)
        # It may be written to later, and a formula may give its argument.
        ctx.slopes = slopes.clone() if _shares_memory(slopes, values) else slopes
        return value if recipe.result == recipe.dtype else cast(xp, value, recipe.result)

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor | None) -> Any:
        if upstream is None:
            return (None,) * len(ctx.needs_input_grad)
        found: dict[str, Any] = dict.fromkeys(ctx.names)
        pairs = zip(ctx.names, ctx.needs_input_grad[3:], strict=True)
        wanted = [name for name, needed in pairs if needed]
        if "logits" in wanted and not torch.is_grad_enabled():
            wanted.remove("logits")
            found["logits"] = _gradient(ctx, upstream)
        # By others there is no closed form; nor is one differentiated again.
        if wanted:
            found |= _pulled_back(ctx, wanted, upstream)
        return (None, None, None, *found.values())


def _shares_memory(tensor: torch.Tensor, others: Iterable[Any]) -> bool:
    tensors = [other for other in others if isinstance(other, torch.Tensor)]
    memory = tensor.untyped_storage().data_ptr()
    return any(other.untyped_storage().data_ptr() == memory for other in tensors)


def _saved(ctx: Any) -> Operands:
    """The operands of the forward pass."""
    saved = zip(ctx.names, ctx.numbers, ctx.saved_tensors, strict=True)
    return {name: number if tensor is None else tensor for name, number, tensor in saved}


@lru_cache(maxsize=1024)  # a schedule of gammas makes a recipe of each
def _with_slopes(recipe: Recipe) -> Recipe:
    """The recipe of a value and its gradient, which in 16 bits is rounded when it is scaled."""
    return recipe.giving("value_and_gradient", recipe.dtype)


def _gradient(ctx: Any, upstream: torch.Tensor) -> torch.Tensor:
    """The derivative by the logits, times what comes from outside."""
    recipe, slopes = ctx.recipe, ctx.slopes
    ctx.saved_tensors  # noqa: B018 an error where they have been written to, or are gone
    if slopes is None:  # an earlier backward pass gave it away
        with _options.options(*ctx.options), np.errstate(all="ignore"):
            slopes = _evaluate(_with_slopes(recipe), ctx.xp, _saved(ctx))[1]
    each = upstream
    for axis in recipe.axes or ():
        each = each.unsqueeze(axis)
    each = each[..., None] if 0 < each.ndim < slopes.ndim else each
    if _traced([upstream]):  # a vmap over backward passes
        scaled = slopes * each
    else:
        ctx.slopes = None  # nobody else has it: it may be written to, and be the result
        scaled = slopes if _is_one(upstream) else slopes.mul_(each)
    if recipe.masked:  # what comes from outside may be infinite there
        scaled = _formula.masked(ctx.xp, scaled, _saved(ctx)["mask"])
    return scaled if scaled.dtype == ctx.dtype else scaled.to(ctx.dtype)


def _is_one(upstream: torch.Tensor) -> bool:
    """Whether it is known, without waiting for a device, to change nothing."""
    return upstream.ndim == 0 and upstream.is_cpu and upstream.item() == 1


def _pulled_back(ctx: Any, wanted: list[str], upstream: torch.Tensor) -> dict[str, torch.Tensor]:
    """The derivatives by the operands of these names, from the plain formula."""
    operands = _saved(ctx)

    def value(*chosen: torch.Tensor) -> Any:
        found = {**operands, **dict(zip(wanted, chosen, strict=True))}
        return _steps.run(ctx.recipe, ctx.xp, found)[0]

    _, pull = torch.func.vjp(value, *(operands[name] for name in wanted))
    return dict(zip(wanted, pull(upstream), strict=True))
