"""CuPy: a formula as one kernel by `cupy.fuse`, and its sum as one more.

`cupy.fuse` runs the formula once on stand-ins that know operators, ufuncs and `astype`, but no
shape: formulas along classes, which gather, run operation by operation.
"""

from functools import lru_cache
from typing import Any

import cupy

from xbce._arrays import is_number, is_one
from xbce._execution import _options
from xbce._execution._kernel import Formula, Kernel


def run(kernel: Kernel, operands: tuple[Any, ...]) -> Any:
    """``kernel(*operands)`` in one kernel, where it works element by element."""
    rank = max(0 if is_number(operand) else operand.ndim for operand in operands)
    if _options.current().fuse is False or kernel.classes or rank == 0:
        return kernel(*operands)
    # A number is an array of rank 0 here: as a constant each value would need a kernel of its own,
    # and as an argument CuPy takes it for a float64. 1 is a constant, which formulas leave out.
    fixed = tuple(1.0 if is_one(o) else None for o in operands)
    free = [
        cupy.full((), o, dtype=operands[-1].dtype) if is_number(o) else o
        for o, constant in zip(operands, fixed, strict=True)
        if constant is None
    ]
    return _fused(kernel, fixed)(*free)


@lru_cache(maxsize=256)
def _fused(kernel: Kernel, fixed: tuple[float | None, ...]) -> Formula:
    """The kernel as one of CuPy's, of the operands that are not fixed."""

    def terms(*free: Any) -> Any:
        rest = iter(free)
        operands = (next(rest) if constant is None else constant for constant in fixed)
        return kernel.formula(kernel.xp, *operands)

    def total(*free: Any) -> Any:
        return cupy.sum(terms(*free).astype(kernel.summed))  # cast first: it accumulates in that

    if kernel.summed is not None and kernel.outputs == 1:
        return cupy.fuse(kernel_name="xbce_total")(total)
    fused = cupy.fuse(kernel_name="xbce_terms")(terms)
    # CuPy fuses a sum with no output beside it.
    return lambda *free: kernel.on_summed(fused(*free), cupy.sum)
