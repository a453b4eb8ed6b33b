"""NumPy: the recorded formula in blocks that stay in the cache, on a few threads.

A formula of ten operations on a large array moves nine temporary arrays through memory. Replayed
block by block into buffers that each thread keeps it moves none, and threads share the blocks,
since NumPy lets go of the interpreter's lock inside an operation. What a block gives depends on no
other, so element-wise results do not depend on the number of blocks or threads.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache, lru_cache
from itertools import count
from math import prod
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xbce import _steps
from xbce._engines import _options
from xbce._engines._numpy_layout import Layout, Part, cut, laid_out, parts
from xbce._engines._numpy_program import Replay
from xbce._numbers import is_number, is_one
from xbce._program import is_total
from xbce._recipe import Recipe
from xbce._recorder import REFUSALS, record
from xbce._steps import Step, StepName, compose
from xbce._typing import Namespace, Operands, Results, Shape

# Chosen from the tables in docs/measurements.md. Between operations threads wait for the
# interpreter's lock, the less the larger their blocks are.
BLOCK = 3 * 2**20
"""Bytes of the buffers of one thread."""
SHARED = 7 * 2**20
"""Bytes of the buffers of all threads together: with what a call needs besides, below 8 MiB."""
BESIDE = 2**18
"""Bytes that an operation may need beside the buffers: `_numpy_functions._choose` does."""
PARALLEL = 2**17
"""Elements for each thread that make it worth waking."""
SMALL = 2**13
"""Elements up to which the plain formula is as quick."""

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
        return _steps.run(recipe, _plainly, operands)
    # Other subclasses than memory maps say themselves what comes of them, at any size.
    if any(_foreign(o) for o in operands.values() if type(o) is not np.memmap):
        return _steps.run(recipe, _plainly, operands)
    plain = {name: _plain(operand) for name, operand in operands.items()}
    if _options.current().fuse is True and not recipe.loss.over_classes:
        from xbce._engines import _torch_compile

        if _torch_compile.borrows(plain):
            return _torch_compile.run_borrowed(recipe, plain)
    return run_arrays(recipe, plain)


def _foreign(operand: Any) -> bool:
    return isinstance(operand, np.ndarray) and type(operand) is not np.ndarray


def _plain(operand: Any) -> Any:
    """A memory map as a plain array, which is read as it is needed."""
    return operand.view(np.ndarray) if type(operand) is np.memmap else operand


def run_arrays(
    recipe: Recipe,
    operands: Operands,
    most: Callable[[], int] | None = None,
    parallel: int | None = None,
) -> Results:
    """The results of plain arrays, on `most()` threads at the most, of `parallel` elements each."""
    for operand in operands.values():
        if isinstance(operand, np.ndarray) and operand.size > SMALL:
            break
    else:
        return _steps.run(recipe, _plainly, operands)
    threads = _options.threads() if most is None else most()

    def execute_step(name: StepName, operands: Operands) -> Results:
        return _execute(Step(recipe, name), operands, threads, parallel or PARALLEL)

    return compose(recipe, np, operands, execute_step)


def execute(step: Step, xp: Namespace, operands: Operands) -> Results:
    """``step(xp, operands)`` of plain arrays, likewise."""
    return _execute(step, operands, _options.threads(), PARALLEL)


def _execute(step: Step, operands: Operands, threads: int, parallel: int) -> Results:
    recipe = step.recipe
    arrays = [o for o in operands.values() if isinstance(o, np.ndarray)]
    if step.of_rank_0 or not arrays:
        return step(_plainly, operands)
    largest = max(arrays, key=lambda array: (array.ndim, array.size))
    shape, work = largest.shape, largest.size
    loop = shape[:-1] if recipe.loss.over_classes else shape
    if step.name == "denominator":  # which asks the logits for their shape only
        counted = [o.shape for key, o in operands.items() if key != "logits" and np.ndim(o)]
        work = prod(map(max, zip(*counted, strict=True)))
    layout = laid_out(recipe, operands, loop) if work > SMALL and loop else None
    if layout is None:
        return step(_plainly, operands)
    return _Blocks(step, layout).run(max(1, min(threads, work // parallel)))


# --- a step, recorded ---------------------------------------------------------------

_Inputs = tuple[tuple[str, Any, Shape], ...]
_Numbers = tuple[tuple[str, float, str], ...]

_CHANGING = ("weights", "share")
"""Numbers that are another with each call, and only factors: no part of a program."""
OFTEN = 2**18
"""Elements up to which a step with numbers that may change is recorded when it comes again."""


def _recorded(step: Step, layout: Layout) -> tuple[Replay | None, dict[str, Any]]:
    """The step as a program, and what it takes beside the arrays."""
    if step.name == "denominator":  # it compares sizes, which no program knows
        return None, layout.others
    inputs = [(name, array.dtype, layout.shape(name)) for name, array in layout.arrays.items()]
    numbers, found, dtype = [], {}, np.dtype(step.recipe.dtype)
    for name, operand in layout.others.items():
        if is_number(operand) and (name not in _CHANGING or is_one(operand)):
            numbers.append((name, operand, str(operand)))  # -0.0 equals 0.0
            continue
        found[name] = dtype.type(operand) if is_number(operand) else np.asarray(operand)
        inputs.append((name, found[name].dtype, ()))
    kind = step, tuple(inputs), tuple(numbers)
    # Over few classes a program adds them in another order, which is to be the same each time.
    changes = bool(numbers or step.recipe.constants) and not step.recipe.loss.over_classes
    first = changes and prod(layout.loop) < OFTEN and next(_times(*kind)) == 0
    replay = None if first else _replay(*kind)
    return replay, layout.others if replay is None else found


@lru_cache(maxsize=1024)
def _times(step: Step, inputs: _Inputs, numbers: _Numbers) -> Iterator[int]:
    """How often it came: what changes with each call, as a gamma may, is not worth recording."""
    return count()


@lru_cache(maxsize=1024)
def _replay(step: Step, inputs: _Inputs, numbers: _Numbers) -> Replay | None:
    """The program of a step; None where it does what can not be recorded."""
    kinds = {name: (dtype, shape) for name, dtype, shape in inputs}
    try:
        return Replay(record(step, kinds, {name: number for name, number, _ in numbers}))
    except REFUSALS:
        return None


# --- in blocks ----------------------------------------------------------------------


class _Blocks:
    """A step on the way through its blocks."""

    def __init__(self, step: Step, layout: Layout) -> None:
        self.step = step
        self.replay, others = _recorded(step, layout)
        self.layout = layout._replace(others=others)
        self.arrays: list[NDArray[Any]] = []  # of the results, those that are no sums

    def run(self, threads: int) -> Results:
        """The results, laid out in memory as the largest operand is."""
        loop, each = self.layout.loop, self._bytes_of_a_loss()
        threads = max(1, min(threads, SHARED // (each + BESIDE)))
        self.block = max(1, min(SHARED // threads - BESIDE, BLOCK) // each)
        if self.replay is not None and threads == 1 and prod(loop) <= self.block:
            return self._run_at_once(self.replay)
        todo = deque(enumerate(parts(loop, self.block, threads)))
        self.sums = np.empty(len(todo), dtype=self.step.recipe.sums_in)
        if self.replay is None:  # only results tell what arrays they need
            self._compute(*todo.popleft(), [])
        else:
            self.arrays = self._empty(self.replay)
        helpers = []
        with suppress(RuntimeError):  # where the interpreter is ending, no more threads begin
            helpers += [_pool(threads - 1).submit(self._take, todo) for _ in range(1, threads)]
        try:
            self._take(todo)
        finally:
            todo.clear()  # where a block failed
            for helper in helpers:
                if not helper.cancel():  # it has not begun, and there is nothing left to do
                    helper.result()
        arrays = [self.layout.restored(array) for array in self.arrays]
        return (self.sums.sum(), *arrays) if self.step.summed else tuple(arrays)

    def _run_at_once(self, replay: Replay) -> Results:
        """The results of a single block."""
        layout, loop = self.layout, self.layout.loop
        buffers = [np.empty(layout.sizes(shape, loop), dtype) for dtype, shape in replay.buffers]
        found = replay.run(layout.arrays | layout.others, self._empty(replay), buffers)
        first = int(self.step.summed)
        return (*found[:first], *[layout.restored(array) for array in found[first:]])

    def _empty(self, replay: Replay) -> list[NDArray[Any]]:
        """An array for each of the results that are no sums."""
        kept = [value for value in replay.results if not is_total(value)]
        return [np.empty(self.layout.sizes(v.shape, self.layout.loop), v.dtype) for v in kept]

    def _bytes_of_a_loss(self) -> int:
        """Of what a thread needs."""
        if self.replay is not None:
            return self.replay.bytes_of_a_loss
        largest = max(self.layout.arrays.values(), key=lambda array: array.size)
        row = prod(largest.shape[len(self.layout.loop) :])
        width = max(array.itemsize for array in self.layout.arrays.values())
        # As many as the usual formula holds, and as wide.
        return 8 * row * max(width, np.dtype(self.step.recipe.dtype).itemsize)

    def _take(self, todo: deque[tuple[int, Part]]) -> None:
        """Compute the blocks that are left, on this thread."""
        buffers = []
        if self.replay is not None and todo:
            for dtype, shape in self.replay.buffers:
                size = self.block * prod(size for size in shape if size > 0)
                buffers.append(np.empty(size, dtype))
        with np.errstate(all="ignore"):  # a thread has warnings of its own
            for number, part in _taken(todo):
                self._compute(number, part, buffers)

    def _compute(self, number: int, part: Part, buffers: list[NDArray[Any]]) -> None:
        operands = cut(self.layout, part)
        if self.replay is None:
            found = list(self.step(_plainly, operands))
            first = int(self.step.summed)
            for array in found[first:] if not self.arrays else ():
                rest = array.shape[len(part) :]
                self.arrays.append(np.empty(self.layout.loop + rest, array.dtype))
            for whole, array in zip(self.arrays, found[first:], strict=True):
                whole[part] = array
        else:
            sizes = tuple([piece.stop - piece.start for piece in part])
            shapes = [self.layout.sizes(shape, sizes) for _, shape in self.replay.buffers]
            views = [b[: prod(s)].reshape(s) for b, s in zip(buffers, shapes, strict=True)]
            found = self.replay.run(operands, [array[part] for array in self.arrays], views)
        if self.step.summed:
            self.sums[number] = found[0]


def _taken(todo: deque[Any]) -> Iterator[Any]:
    """What is left to do, each item once, however many threads ask."""
    while True:
        try:
            item = todo.popleft()
        except IndexError:
            return
        yield item


# --- the namespace of what is not recorded ----------------------------------------------------


def _sum(array: NDArray[Any], axis: Any = None, dtype: Any = None, keepdims: Any = False) -> Any:
    return np.add.reduce(array, axis=axis, dtype=dtype, keepdims=keepdims)


def _astype(array: NDArray[Any], dtype: Any) -> NDArray[Any]:
    return array.astype(dtype)


# Functions that are quicker to call than the standard's, which check more.
_plainly = SimpleNamespace(**vars(np) | {"astype": _astype, "sum": _sum})


# --- threads ----------------------------------------------------------------------


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="xbce")


if hasattr(os, "register_at_fork"):  # a child process has the pool, but not its threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
