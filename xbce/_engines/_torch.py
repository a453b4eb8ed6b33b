"""PyTorch: a rule for autograd, and NumPy's blocks on the CPU.

Autograd would keep an array for each operation of a formula. The rule keeps the operands only, and
runs the derivative as a formula of its own; of small tensors it computes and keeps it with the
losses, which is quicker. It saves time and memory and no more: the plain formula is right under
every transform, and runs wherever a tensor is not one of plain numbers, as inside `torch.func`,
in forward mode, and in tracers.
"""

from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from torch.autograd.forward_ad import unpack_dual
from torch.utils._python_dispatch import _get_current_dispatch_mode

from xbce import _steps
from xbce._engines import _numpy, _options, _torch_compile
from xbce._recipe import Recipe, cast
from xbce._steps import Results, Step, StepName, compose
from xbce._typing import Namespace, Operands, Output


def run(recipe: Recipe, xp: Namespace, operands: Operands) -> Results:
    """The results in blocks, compiled or plainly, differentiable in every way."""
    tensors = [operand for operand in operands.values() if isinstance(operand, torch.Tensor)]
    if _traced(tensors):
        return _steps.run(recipe, xp, operands)
    return compose(recipe, xp, operands, partial(_execute, recipe, xp))


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


def _execute(recipe: Recipe, xp: Namespace, name: StepName, operands: Operands) -> Results:
    """One step, by the rule where autograd is to differentiate it."""
    step = Step(recipe, name)
    tensors = [operand for operand in operands.values() if isinstance(operand, torch.Tensor)]
    if step.of_rank_0 or max(tensor.ndim for tensor in tensors) == 0:
        return step(xp, operands)
    if not torch.is_grad_enabled() or not any(tensor.requires_grad for tensor in tensors):
        return _evaluate(step, xp, operands)
    if recipe.output == "value" and name in ("terms", "sums"):
        return (_Rule.apply(step, xp, tuple(operands), *operands.values()),)
    return step(xp, operands)


def _evaluate(step: Step, xp: Namespace, operands: Operands) -> Results:
    """``step(xp, operands)`` of plain numbers, recorded nowhere."""
    # Compiled, the classes would be added up one after the other where they do not lie together.
    if _options.current().fuse is True and not step.recipe.loss.over_classes:
        return _torch_compile.execute(step, xp, operands)
    tensors = [operand for operand in operands.values() if isinstance(operand, torch.Tensor)]
    if any(tensor.device.type != "cpu" or tensor.dtype not in _LENT for tensor in tensors):
        return step(xp, operands)
    if max(tensor.numel() for tensor in tensors) <= _numpy.SMALL:
        return step(xp, operands)
    return _lend(step, xp, operands)


# --- the same memory as NumPy's arrays ------------------------------------------


_LENT = {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
_LENT |= {torch.float16, torch.bfloat16, torch.float32, torch.float64}
"""The dtypes of NumPy, and bfloat16, which is lent as float32."""


def _lend(step: Step, xp: Namespace, operands: Operands) -> Results:
    """``step(xp, operands)`` in NumPy's blocks, on the tensors' own memory."""
    recipe = step.recipe
    unknown = any(getattr(o, "dtype", None) is torch.bfloat16 for o in operands.values())
    if unknown:
        operands = recipe.cast(xp, operands)
        recipe = replace(recipe, casts=(), result=recipe.dtype)
    arrays = {
        name: o.detach().resolve_neg().numpy() if isinstance(o, torch.Tensor) else o
        for name, o in operands.items()
    }
    threads = min(_options.threads(), torch.get_num_threads())
    found = _numpy.execute(Step(recipe, step.name), np, arrays, threads)
    tensors = [torch.as_tensor(array, device="cpu") for array in found]
    first = int(step.summed)  # a sum is as wide as it is
    return (*tensors[:first], *(cast(xp, t, step.recipe.result) for t in tensors[first:]))


# --- autograd -------------------------------------------------------------------


class _Rule(torch.autograd.Function):  # type: ignore[misc]
    """A step that gives losses or their sum, with the derivative by the logits in closed form."""

    @staticmethod
    def forward(ctx: Any, step: Step, xp: Namespace, names: tuple[str, ...], *values: Any) -> Any:
        ctx.step, ctx.xp, ctx.names, ctx.slopes = step, xp, names, None
        ctx.options = _options.current()  # the backward pass may run in another thread
        ctx.numbers = [None if isinstance(v, torch.Tensor) else v for v in values]
        ctx.save_for_backward(*(v if isinstance(v, torch.Tensor) else None for v in values))
        ctx.set_materialize_grads(False)
        operands, recipe = dict(zip(names, values, strict=True)), step.recipe
        at_once = operands["logits"].numel() <= _numpy.SMALL and operands["logits"].requires_grad
        # Not where 16 bits would round the derivative before it is scaled, nor under a mask, where
        # what comes from outside may be infinite.
        if at_once and recipe.result == recipe.dtype and not recipe.masked:
            both = Step(_derived(recipe, "value_and_gradient"), step.name)
            value, ctx.slopes = _evaluate(both, xp, operands)
            return value
        return _evaluate(step, xp, operands)[0]

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor | None) -> Any:
        found: dict[str, Any] = dict.fromkeys(ctx.names)
        if upstream is None:
            return (None, None, None, *found.values())
        saved = zip(ctx.names, ctx.numbers, ctx.saved_tensors, strict=True)
        operands = {name: n if tensor is None else tensor for name, n, tensor in saved}
        pairs = zip(ctx.names, ctx.needs_input_grad[3:], strict=True)
        wanted = [name for name, needed in pairs if needed]
        with _options.options(*ctx.options), np.errstate(all="ignore"):
            if "logits" in wanted and not torch.is_grad_enabled():
                wanted.remove("logits")
                if ctx.slopes is None:
                    found["logits"] = _gradient(ctx.step, ctx.xp, operands, upstream)
                else:
                    classes = 0 < upstream.ndim < ctx.slopes.ndim
                    found["logits"] = ctx.slopes * (upstream[..., None] if classes else upstream)
            # By others there is no closed form; nor is one differentiated again.
            if wanted:
                found |= _pulled_back(ctx.step, ctx.xp, operands, wanted, upstream)
        return (None, None, None, *found.values())


@lru_cache(maxsize=1024)  # a schedule of gammas makes a recipe of each
def _derived(recipe: Recipe, output: Output, **changes: Any) -> Recipe:
    """A recipe of the same loss for another of its formulas."""
    return replace(recipe, output=output, formula=recipe.loss.formula(output), **changes)


def _gradient(
    step: Step, xp: Namespace, operands: Operands, upstream: torch.Tensor
) -> torch.Tensor:
    """The derivative by the logits, times what comes from outside."""
    recipe = step.recipe
    derivative = _derived(
        recipe,
        "gradient",
        casts=(*recipe.casts, ("share", (recipe.dtype,))),
        result=str(operands["logits"].dtype).removeprefix("torch."),
    )
    step, operands = Step(derivative, "terms"), {**operands, "share": upstream}
    # In a vmap over backward passes what comes from outside is no plain tensor.
    evaluate = partial(Step.__call__, step) if _traced([upstream]) else partial(_evaluate, step)
    return evaluate(xp, operands)[0]


def _pulled_back(
    step: Step, xp: Namespace, operands: Operands, wanted: list[str], upstream: torch.Tensor
) -> dict[str, torch.Tensor]:
    """The derivatives by the operands of these names, from the plain formula."""

    def value(*chosen: torch.Tensor) -> Any:
        return step(xp, {**operands, **dict(zip(wanted, chosen, strict=True))})[0]

    _, pull = torch.func.vjp(value, *(operands[name] for name in wanted))
    return dict(zip(wanted, pull(upstream), strict=True))
