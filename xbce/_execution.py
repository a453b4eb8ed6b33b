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
from xbce._formula import Array, Namespace

Formula = Callable[..., Any]


def compiling() -> bool:
    """Whether torch.compile is tracing this call: it can read neither contexts nor error states."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.compiler.is_compiling())


def quiet() -> AbstractContextManager[Any]:
    """Without NumPy's warnings: infinite logits are legal, and 0*inf is an answer here."""
    return nullcontext() if compiling() else np.errstate(all="ignore")


def run(
    formula: Formula, xp: Namespace, *operands: Any, outputs: int = 1, classes: bool = False
) -> Any:
    """``formula(xp, *operands)``, chunk by chunk where arrays come in chunks.

    Operands are Python numbers, and arrays that broadcast: against each other, or
    with `classes` those of the highest rank, whose last axis is not part of the first
    output, and the others against the rest of their axes.
    """
    if _backends.of(xp.__name__).name == "dask":
        return _run_chunks(formula, xp, operands, outputs, classes)
    return formula(xp, *operands)


def total(xp: Namespace, array: Array, dtype: Any) -> Array:
    """The sum of all elements, accumulated in `dtype`."""
    if _backends.of(xp.__name__).name == "dask":
        add = partial(_sum_chunk, dtype=dtype)
        return xp.reduction(array, add, add, dtype=dtype)
    return xp.sum(array, dtype=dtype)


# --- arrays in chunks ---------------------------------------------------------
# One task a chunk, computed by the chunk's own library. Sizes that Dask does not
# know when it builds the graph are compared when the chunk is there.


def _run_chunks(
    formula: Formula, xp: Namespace, operands: tuple[Any, ...], outputs: int, classes: bool
) -> Any:
    arrays = [operand for operand in operands if not is_number(operand)]
    rank = max(array.ndim for array in arrays)
    axes = tuple(range(rank))
    loop = axes[:-1] if classes else axes
    dimensions: list[dict[int, bool]] = []  # of each operand: its axes, and which are stretched
    pairs: list[Any] = []
    for operand in operands:
        if is_number(operand):
            dimensions.append({})
            pairs += [operand, None]
            continue
        if classes and operand.ndim == rank:
            operand, own = operand.rechunk({rank - 1: -1}), axes
        else:
            own = loop[len(loop) - operand.ndim :]
        dimensions.append({a: size == 1 for a, size in zip(own, operand.shape, strict=True)})
        pairs += [operand, own]
    known = all(size == size for array in arrays for size in array.shape)
    like = next(array for array in arrays if array.dtype.kind == "f")
    options = {"align_arrays": known, "concatenate": True, "dtype": like.dtype, "meta": like._meta}
    run_chunk = partial(_run_chunk, formula, dimensions)
    if outputs == 1:
        return xp.blockwise(run_chunk, loop, *pairs, **options)
    if classes:  # the outputs have different axes, which one task can not give
        return tuple(
            xp.blockwise(partial(_nth, run_chunk, n), shape, *pairs, **options)
            for n, shape in enumerate((loop, axes))
        )
    # Dask knows tasks of one result only: with more, a chunk is a tuple until it is taken apart.
    chunks = xp.blockwise(run_chunk, loop, *pairs, **options)
    take = {"dtype": like.dtype, "meta": like._meta}
    return tuple(xp.map_blocks(itemgetter(n), chunks, **take) for n in range(outputs))


def _run_chunk(formula: Formula, dimensions: list[dict[int, bool]], *operands: Any) -> Any:
    sizes: dict[int, set[int]] = {}
    for operand, own in zip(operands, dimensions, strict=True):
        for (axis, stretched), size in zip(own.items(), getattr(operand, "shape", ()), strict=True):
            if not stretched:
                sizes.setdefault(axis, set()).add(size)
    if any(len(found) > 1 for found in sizes.values()):
        shapes = ", ".join(str(getattr(operand, "shape", ())) for operand in operands)
        raise ValueError(f"Chunks that belong together must have the same shape; got {shapes}.")
    with quiet():
        return formula(_arrays.of(*operands), *operands)


def _sum_chunk(chunk: Array, axis: Any, keepdims: bool, dtype: Any) -> Array:
    with quiet():
        return chunk.sum(axis=axis, keepdims=keepdims, dtype=dtype)


def _nth(function: Formula, n: int, *operands: Any) -> Any:
    return function(*operands)[n]
