"""How a formula runs, whatever it computes: one engine a file, and no engine knows a loss.

_kernel   what an engine is given: a formula, and what must be known to run it
_options  what the user chose
_blocks   NumPy: blocks that stay in the cache, on threads
_tensors  PyTorch: blocks, torch.compile, and a rule for autograd that saves only the operands
_jit      JAX: jax.jit
_fuse     CuPy: one kernel by cupy.fuse
_chunks   Dask: one task a chunk, each by its own engine

Any other library runs the formula as it stands. An engine is a function ``run(kernel, operands)``
that returns what ``kernel(*operands)`` would; to add one, write it and give it a line in
`run_kernel`.
"""

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from xbce import _backends
from xbce._execution import _blocks
from xbce._execution._kernel import Formula, Kernel
from xbce._execution._options import options
from xbce._formula import Namespace

__all__ = ["Formula", "compiling", "options", "quiet", "run", "run_kernel"]


def compiling() -> bool:
    """Whether torch.compile is tracing this call: it can read neither contexts nor error states."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.compiler.is_compiling())


def quiet() -> AbstractContextManager[Any]:
    """Without NumPy's warnings: infinite logits are legal, and 0*inf is an answer here."""
    return nullcontext() if compiling() else np.errstate(all="ignore")


def run(formula: Formula, xp: Namespace, *operands: Any, **how: Any) -> Any:
    """``formula(xp, *operands)`` by the engine of its library; see `Kernel` for what says how."""
    return run_kernel(Kernel(formula, xp, **how), operands)


def run_kernel(kernel: Kernel, operands: tuple[Any, ...]) -> Any:
    """``kernel(*operands)`` by the engine of its library."""
    # Engines are imported where they are needed: each imports the library it is for.
    match _backends.of(kernel.xp.__name__).name:
        case "numpy":
            return _blocks.run(kernel, operands)
        case "torch" if not compiling():
            from xbce._execution import _tensors

            return _tensors.run(kernel, operands)
        case "jax":
            from xbce._execution import _jit

            return _jit.run(kernel, operands)
        case "cupy":
            from xbce._execution import _fuse

            return _fuse.run(kernel, operands)
        case "dask":
            from xbce._execution import _chunks

            return _chunks.run(kernel, operands)
        case _:
            return kernel(*operands)
