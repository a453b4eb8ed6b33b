"""Dask: one task a chunk, computed by the chunk's own engine; sums are trees of chunks' sums.

Sizes that Dask does not know when it builds the graph are compared when the chunk is there.
"""

from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np

from xbce import _arguments, _backends
from xbce._engines import _options
from xbce._numbers import is_number
from xbce._recipe import Recipe, dtype_of
from xbce._reduction import Reduction
from xbce._steps import Step, StepName, compose
from xbce._typing import Array, Namespace, Operands, Results

_Axes = dict[str, dict[int, bool]]
"""Of each operand: its axes among those of the losses, and along which of them it is stretched."""


def run(recipe: Recipe, xp: Namespace, operands: Operands) -> Results:
    """The results as a graph; nothing is computed."""
    return compose(recipe, xp, operands, partial(_execute, recipe, xp))


def _execute(recipe: Recipe, xp: Namespace, name: StepName, operands: Operands) -> Results:
    """One step: a task a chunk, and a tree for its sum."""
    step = Step(recipe, name)
    if step.of_rank_0:  # it looks at no others
        operands = {key: o for key, o in operands.items() if is_number(o) or o.ndim == 0}
    arrays = {key: o for key, o in operands.items() if not is_number(o)}
    numbers = {key: o for key, o in operands.items() if is_number(o)}
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
    chunk = partial(
        _run_chunk, step, _options.current().fuse, len(loop), tuple(arrays), numbers, stretched
    )
    meta = arrays.get("logits", array)._meta
    known = all(size == size for array in arrays.values() for size in array.shape)
    build: Any = partial(xp.blockwise, align_arrays=known, concatenate=True, meta=meta)
    dtypes = _dtypes(step)
    # The sum of a chunk is an array of one element, which has the chunk's place among the others.
    small = {"adjust_chunks": dict.fromkeys(loop, 1)} if step.summed else {}
    if len(dtypes) == 1 or over_classes:
        # Outputs over the classes have axes of their own, which one task can not give.
        first = loop if recipe.output.startswith("value") else axes
        results = [build(partial(_nth, chunk, 0), first, *pairs, dtype=dtypes[0], **small)]
        for n, dtype in enumerate(dtypes[1:], 1):
            results.append(build(partial(_nth, chunk, n), axes, *pairs, dtype=dtype))
    else:
        # Dask knows tasks of one result: with two, a chunk is a tuple until it is taken apart.
        both = build(chunk, loop, *pairs, dtype=dtypes[1])
        ones = tuple((1,) * number for number in both.numblocks) if step.summed else None
        results = [
            xp.map_blocks(itemgetter(0), both, dtype=dtypes[0], meta=meta, chunks=ones),
            xp.map_blocks(itemgetter(1), both, dtype=dtypes[1], meta=meta),
        ]
    if step.summed:
        add = partial(_sum_chunk, dtype=dtypes[0])
        results[0] = xp.reduction(results[0], add, add, dtype=dtypes[0])
    return tuple(results)


def _dtypes(step: Step) -> list[Any]:
    """Those of the results of a step, in NumPy's words, which Dask takes for any library."""
    recipe = step.recipe
    wide, own, result = (dtype_of(np, d) for d in (recipe.sums_in, recipe.dtype, recipe.result))
    if step.name == "denominator":
        return [wide]
    if step.name == "share":
        return [own]
    two = step.name != "quotient" and recipe.output in (
        "value_and_gradient",
        "gradient_and_hessian",
    )
    first = wide if step.summed else result
    if step.name == "terms" and recipe.reduction is not Reduction.NONE:
        first = own  # losses that are still to be summed
    return [first, result][: 1 + two]


def _run_chunk(
    step: Step,
    fuse: _options.Fuse,
    rank: int,
    names: tuple[str, ...],
    numbers: Operands,
    stretched: _Axes,
    *chunks: Array,
) -> Results:
    """A step of the operands of one chunk, by the engine of its own library."""
    operands = dict(zip(names, chunks, strict=True))
    _check_sizes(stretched, operands)
    xp = _arguments.namespace_of(chunks[0])
    device = _backends.of(xp).at(chunks[0])
    # Dask has threads of its own, one a chunk.
    with device, _options.options(fuse=fuse, threads=1), np.errstate(all="ignore"):
        execute = getattr(_options.engine_of(xp), "execute", Step.__call__)
        results: Results = execute(step, xp, {**operands, **numbers})
    if not step.summed:
        return results
    return xp.asarray(results[0])[(None,) * rank], *results[1:]


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
