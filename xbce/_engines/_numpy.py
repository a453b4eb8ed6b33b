"""NumPy in blocks that stay in the cache, on a few threads: the same formula, never a whole array.

A formula of ten operations on a large array moves nine temporary arrays through memory.
Blocks keep them in the cache, and threads share the blocks, since NumPy lets go of the
interpreter's lock inside an operation. What a block gives depends on no other, so element-wise
results do not depend on the number of blocks or threads.
"""

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from itertools import product
from math import prod
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xbce import _steps
from xbce._engines import _options
from xbce._recipe import Recipe, dtype_of
from xbce._steps import Results, Step, StepName, compose
from xbce._typing import Namespace, Operands

# Chosen from the tables in docs/measurements.md. Between operations threads wait for the
# interpreter's lock, the less the larger their blocks are; but a formula holds five to eleven
# blocks at a time, and those of all threads are to fit into 8 MiB.
BLOCK = 2**17
"""Bytes of a block on one thread, and the fewest on several."""
SHARED = 5 * 2**17
"""Bytes of the blocks of all threads together."""
PARALLEL = 2**17
"""Elements for each thread that make it worth waking."""
SMALL = 2**15
"""Elements up to which one block is as good."""

_Slices = tuple[slice, ...]

# glibc's malloc returns large blocks to the system when they are freed, to fetch them anew, page by
# page, for the next operation, which takes longer than the operation. From the first that it sees
# freed it learns that others of up to its size will be wanted again: here is one.
np.empty(2**22, dtype=np.uint8)


def run(recipe: Recipe, xp: Namespace, operands: Operands) -> Results:
    """The results, in blocks where there is more than one."""
    for operand in operands.values():  # a loop, and first of all: a call on one element takes 10 µs
        if type(operand) is np.ndarray:
            if operand.size > SMALL:
                break
        elif isinstance(operand, np.ndarray):
            break
    else:
        return _steps.run(recipe, _small, operands)
    # Other subclasses than memory maps say themselves what comes of them, at any size.
    if any(_foreign(o) for o in operands.values() if type(o) is not np.memmap):
        return _steps.run(recipe, _small, operands)
    plain = {name: _plain(operand) for name, operand in operands.items()}
    if _options.current().fuse is True and not recipe.loss.over_classes:
        from xbce._engines import _torch_compile

        if _torch_compile.borrows(plain):
            return _torch_compile.run_borrowed(recipe, plain)
    return run_blocks(recipe, plain, _options.threads())


def _foreign(operand: Any) -> bool:
    return isinstance(operand, np.ndarray) and type(operand) is not np.ndarray


def _plain(operand: Any) -> Any:
    """A memory map as a plain array, which is read as it is needed."""
    return operand.view(np.ndarray) if type(operand) is np.memmap else operand


def run_blocks(recipe: Recipe, operands: Operands, threads: int) -> Results:
    """The results of plain arrays, on so many threads at the most."""

    def execute_step(name: StepName, operands: Operands) -> Results:
        return execute(Step(recipe, name), np, operands, threads)

    return compose(recipe, np, operands, execute_step)


def execute(step: Step, xp: Namespace, operands: Operands, threads: int | None = None) -> Results:
    """``step(xp, operands)`` of plain arrays, likewise."""
    recipe, threads = step.recipe, threads or _options.threads()
    arrays = [o for o in operands.values() if isinstance(o, np.ndarray)]
    if step.of_rank_0 or not arrays:
        return step(_small, operands)
    largest = max(arrays, key=lambda array: (array.ndim, array.size))
    shape, work = largest.shape, largest.size
    loop = shape[:-1] if recipe.loss.over_classes else shape
    if step.name == "denominator":  # which asks the logits for their shape only
        counted = [o.shape for key, o in operands.items() if key != "logits" and np.ndim(o)]
        work = prod(map(max, zip(*counted, strict=True)))
    if work <= SMALL or not _stretch(arrays, shape, len(loop)):
        return step(_small, operands)
    itemsize = max(np.dtype(recipe.dtype).itemsize, *(array.itemsize for array in arrays))
    row = largest.size // prod(loop)  # of classes, which stay together
    threads = max(1, min(threads, work // PARALLEL, SHARED // max(BLOCK, row * itemsize)))
    block = (SHARED // threads if threads > 1 else BLOCK) // itemsize
    if recipe.casts:  # each needs an array of a block besides
        block = block * 3 // 4
    return _Blocks(step, operands, largest, loop).run(
        _parts(loop, block * prod(loop) // work), threads
    )


def _stretch(arrays: list[NDArray[Any]], shape: tuple[int, ...], rank: int) -> bool:
    """Whether all stretch to this shape, or to its first `rank` axes, and it is not empty."""
    for array in arrays:
        target = shape if array.ndim == len(shape) else shape[:rank]
        pairs = zip(array.shape[::-1], target[::-1], strict=False)
        if array.ndim > len(target) or any(m not in (n, 1) for m, n in pairs):
            return False
    return prod(shape) > 0


class _Blocks:
    """A step on the way through its blocks."""

    def __init__(
        self, step: Step, operands: Operands, like: NDArray[Any], loop: tuple[int, ...]
    ) -> None:
        self.step, self.operands, self.like, self.loop = step, operands, like, loop
        self.results: list[Any] = []

    def run(self, parts: list[_Slices], threads: int) -> Results:
        """The results, laid out in memory as the largest operand is."""
        self.sums = np.empty(len(parts), dtype=self.step.recipe.sums_in)
        todo = deque(enumerate(parts))
        self.compute(*todo.popleft())  # before there are threads: it makes the arrays of results
        helpers = []
        with suppress(RuntimeError):  # where the interpreter is ending, no more threads begin
            helpers += [
                _pool(threads - 1).submit(self.compute_all, todo) for _ in range(1, threads)
            ]
        try:
            self.compute_all(todo)
        finally:
            todo.clear()  # where a block failed
            for helper in helpers:
                if not helper.cancel():  # it has not begun, and there is nothing left to do
                    helper.result()
        if self.step.summed:
            self.results[0] = self.sums.sum()
        return tuple(r[()] if r.ndim == 0 else r for r in self.results)  # rank 0 is a number

    def compute_all(self, todo: deque[tuple[int, _Slices]]) -> None:
        with np.errstate(all="ignore"):  # a thread has warnings of its own
            for number, part in _taken(todo):
                self.compute(number, part)

    def compute(self, number: int, part: _Slices) -> None:
        cut = {name: _cut(operand, part, self.loop) for name, operand in self.operands.items()}
        found = self.step(_large, cut)
        if not self.results:
            arrays = found[1:] if self.step.summed else found
            self.results = [None] * self.step.summed + [self.made(array) for array in arrays]
        for output, array in enumerate(found):
            if output == 0 and self.step.summed:
                self.sums[number] = array
            else:
                self.results[output][part] = array

    def made(self, block: Any) -> Any:
        """An array for a whole result, of which this is a block."""
        shape = self.like.shape if block.ndim == self.like.ndim else self.loop
        dtype = dtype_of(np, self.step.recipe.result)
        return np.empty_like(self.like, dtype, subok=False, shape=shape)


def _taken(todo: deque[Any]) -> Iterator[Any]:
    """What is left to do, each item once, however many threads ask."""
    while True:
        try:
            item = todo.popleft()
        except IndexError:
            return
        yield item


def _parts(shape: tuple[int, ...], block: int) -> list[_Slices]:
    """Slices that divide a shape into blocks of at most so many elements, the last axis first."""
    axes: list[list[slice]] = []
    for size in reversed(shape):
        pieces = -(-size // max(block, 1))
        step = -(-size // pieces)
        axes.insert(0, [slice(start, start + step) for start in range(0, size, step)])
        block //= step
    return list(product(*axes))


def _cut(operand: Any, part: _Slices, loop: tuple[int, ...]) -> Any:
    """The operand's share of a part: all of an axis along which it is stretched."""
    if not isinstance(operand, np.ndarray) or operand.ndim == 0:
        return operand
    if operand.shape[: len(loop)] == loop:  # most are, and each block asks
        return operand[part]
    first = max(len(loop) - operand.ndim, 0)
    own = zip(part[first:], operand.shape, loop[first:], strict=False)
    return operand[tuple(cut if size == whole else slice(None) for cut, size, whole in own)]


# --- namespaces -----------------------------------------------------------------


def _sum(array: NDArray[Any], axis: Any = None, dtype: Any = None) -> Any:
    return np.add.reduce(array, axis=axis, dtype=dtype)


def _astype(array: NDArray[Any], dtype: Any) -> NDArray[Any]:
    return array.astype(dtype)


def _where(condition: Any, a: Any, b: Any) -> NDArray[Any]:
    """``where``, without a pass where the condition, as nearly always here, holds nowhere."""
    shape = np.shape(b)
    if np.shape(condition) == shape and np.shape(a) in ((), shape) and not condition.any():
        return b
    return np.where(condition, a, b)


# Functions that are quicker to call than the standard's, which check more.
_small = SimpleNamespace(**vars(np) | {"astype": _astype, "sum": _sum})
_large = SimpleNamespace(**vars(_small) | {"where": _where})


# --- threads ----------------------------------------------------------------------


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="xbce")


if hasattr(os, "register_at_fork"):  # a child process has the pool, but not its threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
