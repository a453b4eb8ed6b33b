"""Dask: one task a chunk, computed by the chunk's own engine; sums are trees of chunks' sums.

Sizes that Dask does not know when it builds the graph are compared when the chunk is there.
"""

from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np

from xbce import _arguments
from xbce._engines import _options
from xbce._numbers import is_number
from xbce._recipe import Recipe, Results, Step, StepName, dtype_of
from xbce._typing import Array, Namespace, Operands

_Axes = dict[str, dict[int, bool]]
"""Of each operand: its axes among those of the losses, and along which of them it is stretched."""


def run(recipe: Recipe, xp: Namespace, operands: Operands) -> Results:
    """``recipe(xp, operands)`` as a graph; nothing is computed."""
    return recipe.compose(xp, operands, partial(_execute, recipe, xp))


def _execute(recipe: Recipe, xp: Namespace, name: StepName, operands: Operands) -> Results:
    """One step: a task a chunk, and a tree for its sum."""
    step = Step(recipe, name)
    if step.of_rank_0:
        names = ("total", "denominator", *(("weights",) if recipe.weights == "number" else ()))
        operands = {key: operands[key] for key in names if key in operands}
    arrays = {key: o for key, o in operands.items() if not is_number(o)}
    rank = max(array.ndim for array in arrays.values())
    over_classes = recipe.loss.over_classes and rank > 0
    axes = tuple(range(rank))
    loop = axes[:-1] if over_classes else axes
    pairs: list[Any] = []
    stretched: _Axes = {}
    for key, array in arrays.items():
        if over_classes and array.ndim == rank:
            array, own = array.rechunk({rank - 1: -1}), axes
        else:
            own = loop[len(loop) - array.ndim :]
        stretched[key] = {a: size == 1 for a, size in zip(own, array.shape, strict=True)}
        pairs += [array, own]
    known = all(size == size for array in arrays.values() for size in array.shape)
    like = next(iter(arrays.values())) if "logits" not in arrays else arrays["logits"]
    numbers = {key: o for key, o in operands.items() if is_number(o)}
    chunk = partial(
        _run_chunk, step, _options.current().fuse, len(loop), tuple(arrays), numbers, stretched
    )
    wide, result = dtype_of(np, recipe.sums_in), dtype_of(np, recipe.result)
    dtypes = [result] * (2 if recipe.output in _TWO and name in ("terms", "sums") else 1)
    if step.summed:
        dtypes[0] = wide
    elif name == "share":
        dtypes = [dtype_of(np, recipe.dtype)]
    options: dict[str, Any] = {"align_arrays": known, "concatenate": True, "meta": like._meta}
    # The sum of a chunk is an array of one element, which has the chunk's place among the others.
    small = {"adjust_chunks": dict.fromkeys(loop, 1)} if step.summed else {}
    if len(dtypes) == 1:
        where = axes if recipe.output == "gradient" and name == "terms" else loop
        take = partial(_nth, chunk, 0)
        results = [xp.blockwise(take, where, *pairs, dtype=dtypes[0], **options, **small)]
    elif over_classes:  # the outputs have different axes, which one task can not give
        first, second = (partial(_nth, chunk, n) for n in range(2))
        results = [
            xp.blockwise(first, loop, *pairs, dtype=dtypes[0], **options, **small),
            xp.blockwise(second, axes, *pairs, dtype=dtypes[1], **options),
        ]
    else:
        # Dask knows tasks of one result: with more, a chunk is a tuple until it is taken apart.
        both = xp.blockwise(chunk, loop, *pairs, dtype=result, **options)
        take = {"meta": like._meta}
        if step.summed:
            take |= {"chunks": tuple((1,) * number for number in both.numblocks)}
        results = [
            xp.map_blocks(itemgetter(0), both, dtype=dtypes[0], **take),
            xp.map_blocks(itemgetter(1), both, dtype=dtypes[1], meta=like._meta),
        ]
    if step.summed:
        add = partial(_sum_chunk, dtype=wide)
        results[0] = xp.reduction(results[0], add, add, dtype=wide)
    return tuple(results)


_TWO = ("value_and_gradient", "gradient_and_hessian")


def _run_chunk(
    step: Step,
    fuse: _options.Fuse,
    rank: int,
    names: tuple[str, ...],
    numbers: Operands,
    stretched: _Axes,
    *chunks: Array,
) -> Results:
    _check_sizes(stretched, dict(zip(names, chunks, strict=True)))
    operands = {**numbers, **dict(zip(names, chunks, strict=True))}
    xp = _arguments.namespace_of(chunks[0])
    # Dask has threads of its own, one a chunk.
    with _options.options(fuse=fuse, threads=1), np.errstate(all="ignore"):
        execute = getattr(_options.engine_of(xp), "execute", Step.__call__)
        results = execute(step, xp, operands)
    if not step.summed:
        return results
    total = xp.asarray(results[0])
    return total[(None,) * rank], *results[1:]


def _check_sizes(stretched: _Axes, chunks: Operands) -> None:
    sizes: dict[int, set[int]] = {}
    for name, chunk in chunks.items():
        for (axis, is_stretched), size in zip(stretched[name].items(), chunk.shape, strict=True):
            if not is_stretched:
                sizes.setdefault(axis, set()).add(size)
    if any(len(found) > 1 for found in sizes.values()):
        shapes = ", ".join(str(chunk.shape) for chunk in chunks.values())
        raise ValueError(f"Chunks that belong together must have the same shape; got {shapes}.")


def _sum_chunk(chunk: Array, axis: Any, keepdims: bool, dtype: Any) -> Array:
    with np.errstate(all="ignore"):
        return chunk.sum(axis=axis, keepdims=keepdims, dtype=dtype)


def _nth(function: Any, n: int, *chunks: Any) -> Any:
    return function(*chunks)[n]
