"""Dask: one task a chunk, computed by the chunk's own engine.

Sizes that Dask does not know when it builds the graph are compared when the chunk is there.
"""

from dataclasses import replace
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np

from xbce import _arrays
from xbce._arrays import is_number
from xbce._execution import _options
from xbce._execution._kernel import Formula, Kernel
from xbce._formula import Array

_Dimensions = list[dict[int, bool]]
"""Of each operand: its axes, and along which of them it is stretched."""


def run(kernel: Kernel, operands: tuple[Any, ...]) -> Any:
    """``kernel(*operands)`` as a graph; a sum is one of chunks first, then of their sums."""
    xp, outputs, classes = kernel.xp, kernel.outputs, kernel.classes
    arrays = [operand for operand in operands if not is_number(operand)]
    rank = max(array.ndim for array in arrays)
    axes = tuple(range(rank))
    loop = axes[:-1] if classes else axes
    dimensions: _Dimensions = []
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
    like = next((array for array in arrays[::-1] if array.dtype.kind == "f"), arrays[0])
    options = {"align_arrays": known, "concatenate": True, "dtype": like.dtype, "meta": like._meta}
    run_chunk = partial(_run_chunk, kernel, _options.current().fuse, len(loop), dimensions)
    summed = options if kernel.summed is None else options | {"dtype": kernel.summed}
    # The sum of a chunk is an array of one element, which has the chunk's place among the others.
    small = {} if kernel.summed is None else {"adjust_chunks": dict.fromkeys(loop, 1)}
    if outputs == 1:
        results = [xp.blockwise(run_chunk, loop, *pairs, **summed, **small)]
    elif classes:  # the outputs have different axes, which one task can not give
        first, second = (partial(_nth, run_chunk, n) for n in range(2))
        results = [
            xp.blockwise(first, loop, *pairs, **summed, **small),
            xp.blockwise(second, axes, *pairs, **options),
        ]
    else:
        # Dask knows tasks of one result: with more, a chunk is a tuple until it is taken apart.
        chunks = xp.blockwise(run_chunk, loop, *pairs, **options)
        take = {"dtype": like.dtype, "meta": like._meta}
        results = [xp.map_blocks(itemgetter(n), chunks, **take) for n in range(1, outputs)]
        if kernel.summed is not None:
            ones = tuple((1,) * number for number in chunks.numblocks)
            take = {"dtype": kernel.summed, "meta": like._meta, "chunks": ones}
        results.insert(0, xp.map_blocks(itemgetter(0), chunks, **take))
    if kernel.summed is not None:
        add = partial(_sum_chunk, dtype=kernel.summed)
        results[0] = xp.reduction(results[0], add, add, dtype=kernel.summed)
    return results[0] if outputs == 1 else tuple(results)


def _run_chunk(
    kernel: Kernel, fuse: _options.Fuse, rank: int, dimensions: _Dimensions, *operands: Any
) -> Any:
    from xbce._execution import run_kernel  # the chunk's library has an engine too

    _check_sizes(dimensions, operands)
    kernel = replace(kernel, xp=_arrays.of(*operands))
    # Dask has threads of its own, one a chunk.
    with _options.options(fuse=fuse, threads=1), np.errstate(all="ignore"):
        results = run_kernel(kernel, operands)
    return kernel.on_summed(results, lambda total, dtype: total[(None,) * rank])


def _check_sizes(dimensions: _Dimensions, operands: tuple[Any, ...]) -> None:
    sizes: dict[int, set[int]] = {}
    for operand, own in zip(operands, dimensions, strict=True):
        for (axis, stretched), size in zip(own.items(), getattr(operand, "shape", ()), strict=True):
            if not stretched:
                sizes.setdefault(axis, set()).add(size)
    if any(len(found) > 1 for found in sizes.values()):
        shapes = ", ".join(str(getattr(operand, "shape", ())) for operand in operands)
        raise ValueError(f"Chunks that belong together must have the same shape; got {shapes}.")


def _sum_chunk(chunk: Array, axis: Any, keepdims: bool, dtype: Any) -> Array:
    with np.errstate(all="ignore"):
        return chunk.sum(axis=axis, keepdims=keepdims, dtype=dtype)


def _nth(function: Formula, n: int, *operands: Any) -> Any:
    return function(*operands)[n]
