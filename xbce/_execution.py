"""How a formula runs, whatever it computes: the place for engines.

A formula is a pure function of (xp, *arrays) that works element by element,
lets its arrays broadcast, and returns one array, or a tuple of `outputs` arrays.
"""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np

from xbce import _arrays, _backends
from xbce._arrays import is_number
from xbce._formula import Namespace

Formula = Callable[..., Any]


def compiling() -> bool:
    """Whether torch.compile is tracing this call: it can read neither contexts nor error states."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.compiler.is_compiling())


def quiet() -> AbstractContextManager[Any]:
    """Without NumPy's warnings: infinite logits are legal, and 0*inf is an answer here."""
    return nullcontext() if compiling() else np.errstate(all="ignore")


def run(formula: Formula, xp: Namespace, *operands: Any, outputs: int = 1) -> Any:
    """``formula(xp, *operands)``, chunk by chunk where arrays come in chunks.

    Operands are arrays that broadcast, and Python numbers.
    """
    if _backends.of(xp.__name__).name == "dask":
        return _run_chunks(formula, xp, operands, outputs)
    return formula(xp, *operands)


# --- arrays in chunks ---------------------------------------------------------
# One task a chunk, computed by the chunk's own library. Sizes that Dask does not
# know when it builds the graph are compared when the chunk is there.


def _run_chunks(formula: Formula, xp: Namespace, operands: tuple[Any, ...], outputs: int) -> Any:
    arrays = [operand for operand in operands if not is_number(operand)]
    axes = tuple(range(-max(array.ndim for array in arrays), 0))
    stretched: list[tuple[bool, ...]] = []
    pairs: list[Any] = []
    for operand in operands:
        number = is_number(operand)
        stretched.append(() if number else tuple(size == 1 for size in operand.shape))
        pairs += [operand, None if number else axes[len(axes) - operand.ndim :]]
    # Dask knows tasks of one result only: with more, a chunk is a tuple until it is taken apart.
    like: Any = {"dtype": arrays[0].dtype, "meta": arrays[0]._meta}
    known = all(size == size for array in arrays for size in array.shape)
    run_chunk = partial(_run_chunk, formula, stretched)
    chunks = xp.blockwise(run_chunk, axes, *pairs, align_arrays=known, **like)
    if outputs == 1:
        return chunks
    return tuple(xp.map_blocks(itemgetter(output), chunks, **like) for output in range(outputs))


def _run_chunk(formula: Formula, stretched: list[tuple[bool, ...]], *operands: Any) -> Any:
    sizes: dict[int, set[int]] = {}
    for operand, stretches in zip(operands, stretched, strict=True):
        for axis in range(-len(stretches), 0):
            if not stretches[axis]:
                sizes.setdefault(axis, set()).add(operand.shape[axis])
    if any(len(found) > 1 for found in sizes.values()):
        shapes = ", ".join(str(getattr(operand, "shape", ())) for operand in operands)
        raise ValueError(f"Chunks that belong together must have the same shape; got {shapes}.")
    with quiet():
        return formula(_arrays.of(*operands), *operands)
