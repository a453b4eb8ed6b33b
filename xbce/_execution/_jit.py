"""JAX: each formula compiled once by `jax.jit`, for any values of its operands."""

from functools import lru_cache
from typing import Any

import jax

from xbce._execution import _options
from xbce._execution._kernel import Formula, Kernel


def run(kernel: Kernel, operands: tuple[Any, ...]) -> Any:
    """``kernel(*operands)``, compiled, unless `fuse=False`."""
    if _options.current().fuse is False:
        return kernel(*operands)
    # Numbers are arguments too, so that another value needs no other program. Integers may be
    # counts that 32 bits do not hold.
    return _compiled(kernel)(*(float(o) if isinstance(o, int) else o for o in operands))


@lru_cache(maxsize=256)
def _compiled(kernel: Kernel) -> Formula:
    return jax.jit(kernel.__call__)
