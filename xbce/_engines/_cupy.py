"""CuPy: a step as one kernel by `cupy.fuse`, and its sum as one more.

`cupy.fuse` runs the step once on stand-ins that know operators, ufuncs and `astype`, but no
shape: losses over classes, which gather, run operation by operation.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import cupy

from xbce._numbers import is_number, is_one
from xbce._recipe import Recipe, dtype_of
from xbce._steps import Results, Step, compose
from xbce._typing import Namespace, Operands


def run(recipe: Recipe, xp: Namespace, operands: Operands) -> Results:
    """The results, the element-wise work of all in one kernel."""
    return compose(recipe, xp, operands, lambda name, found: execute(Step(recipe, name), xp, found))


def execute(step: Step, xp: Namespace, operands: Operands) -> Results:
    """One step."""
    recipe = step.recipe
    rank = max((0 if is_number(o) else o.ndim for o in operands.values()), default=0)
    if step.name not in ("terms", "sums") or recipe.loss.over_classes or rank == 0:
        return step(xp, operands)
    # A number is an array of rank 0 here: as a constant each value would need a kernel of its own,
    # and as an argument CuPy takes it for a float64. 1 is a constant, which formulas leave out.
    fixed = tuple(name for name, operand in operands.items() if is_one(operand))
    dtype = dtype_of(xp, recipe.dtype)
    free = {
        name: cupy.full((), operand, dtype=dtype) if is_number(operand) else operand
        for name, operand in operands.items()
        if name not in fixed
    }
    results: Results = _fused(step, xp, fixed, tuple(free))(*free.values())
    return results


@lru_cache(maxsize=256)
def _fused(
    step: Step, xp: Namespace, fixed: tuple[str, ...], names: tuple[str, ...]
) -> Callable[..., Any]:
    """The step as kernels of CuPy's, of the operands of these names; the fixed ones are 1."""
    recipe, constants = step.recipe, dict.fromkeys(fixed, 1.0)
    wide = dtype_of(xp, recipe.sums_in)

    def terms(*free: Any) -> Any:
        operands = constants | dict(zip(names, free, strict=True))
        results = Step(recipe, "terms")(xp, operands)
        return results if len(results) > 1 else results[0]

    def total(*free: Any) -> Any:
        return cupy.sum(terms(*free).astype(wide))  # cast first: it accumulates in that

    if recipe.output == "value" and step.summed:
        fused = cupy.fuse(kernel_name="xbce_total")(total)
        return lambda *free: (fused(*free),)
    fused = cupy.fuse(kernel_name="xbce_terms")(terms)
    if not step.summed:
        return lambda *free: results if isinstance(results := fused(*free), tuple) else (results,)

    def summed(*free: Any) -> Results:
        losses, *rest = fused(*free)  # CuPy fuses a sum with no output beside it
        return cupy.sum(losses, dtype=wide), *rest

    return summed
