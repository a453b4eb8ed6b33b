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
from importlib.util import find_spec
from itertools import product
from math import prod
from shutil import which
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xbce._execution import _options
from xbce._execution._kernel import Kernel

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


def run(kernel: Kernel, operands: tuple[Any, ...]) -> Any:
    """``kernel(*operands)``, in blocks where there is more than one."""
    for operand in operands:  # a loop, and first of all: small arrays are to cost little Python
        if isinstance(operand, np.ndarray) and operand.size > SMALL:
            break
    else:
        return _at_once(kernel, operands)
    fuse = _options.current().fuse
    if fuse is False:
        return kernel(*operands)
    if fuse is True and not kernel.classes and _can_compile():
        from xbce._execution import _tensors

        if _tensors.borrows(operands):
            return _tensors.run_borrowed(kernel, operands)
    arrays = [operand for operand in operands if isinstance(operand, np.ndarray)]
    largest = max(arrays, key=lambda array: (array.ndim, array.size))
    shape, rank = largest.shape, largest.ndim
    loop = np.broadcast_shapes(
        *(a.shape[:-1] if kernel.classes and a.ndim == rank else a.shape for a in arrays)
    )
    if loop != (shape[:-1] if kernel.classes else shape) or not prod(loop):
        return kernel(*operands)  # the result is larger than any array, or empty
    threads = max(1, min(_options.threads(), largest.size // PARALLEL, SHARED // BLOCK))
    itemsize = max(array.itemsize for array in arrays)
    block = (SHARED // threads if threads > 1 else BLOCK) // itemsize
    parts = _parts(loop, block * prod(loop) // largest.size)
    return _run_parts(kernel, operands, largest, parts, threads)


def _run_parts(
    kernel: Kernel,
    operands: tuple[Any, ...],
    like: NDArray[Any],
    parts: list[_Slices],
    threads: int,
) -> Any:
    """``kernel(*operands)``, part by part, with results as `like` lies in memory."""
    loop = like.shape[: len(parts[0])]
    sums = np.empty(len(parts), dtype=kernel.summed)
    results: list[Any] = [None] * kernel.outputs

    def compute(number: int, part: _Slices) -> None:
        block = kernel.formula(_large, *(_cut(operand, part, loop) for operand in operands))
        for output, array in enumerate(block if kernel.outputs > 1 else (block,)):
            if output == 0 and kernel.summed is not None:
                sums[number] = _add(array, kernel.summed)
                continue
            if results[output] is None:  # at the first block, before there are threads
                shape = like.shape if array.ndim == like.ndim else loop
                results[output] = np.empty_like(like, array.dtype, subok=False, shape=shape)
            results[output][part] = array

    def compute_all() -> None:
        with np.errstate(all="ignore"):  # a thread has warnings of its own
            for number, part in _taken(todo):
                compute(number, part)

    todo = deque(enumerate(parts))
    compute(*todo.popleft())
    helpers = []
    with suppress(RuntimeError):  # where the interpreter is ending, no more threads begin
        helpers += [_pool(threads - 1).submit(compute_all) for _ in range(threads - 1)]
    try:
        compute_all()
    finally:
        todo.clear()  # where a block failed
        for helper in helpers:
            if not helper.cancel():  # it has not begun, and there is nothing left to do
                helper.result()
    if kernel.summed is not None:
        results[0] = sums.sum()
    return results[0] if kernel.outputs == 1 else tuple(results)


def _at_once(kernel: Kernel, operands: tuple[Any, ...]) -> Any:
    """``kernel(*operands)``, by functions that are quicker to call than the standard's."""
    return kernel.on_summed(kernel.formula(_small, *operands), _add)


def _add(array: NDArray[Any], dtype: Any) -> Any:
    return np.add.reduce(array, axis=None, dtype=dtype)


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
    first = max(len(loop) - operand.ndim, 0)
    own = zip(part[first:], operand.shape, loop[first:], strict=False)
    return operand[tuple(cut if size == whole else slice(None) for cut, size, whole in own)]


def _where(condition: Any, a: Any, b: Any) -> NDArray[Any]:
    """``where``, without a pass where the condition, as nearly always here, holds nowhere."""
    if not condition.any() and np.broadcast(condition, a, b).shape == np.shape(b):
        return b
    return np.where(condition, a, b)


def _astype(array: NDArray[Any], dtype: Any) -> NDArray[Any]:
    return array.astype(dtype)


_small = SimpleNamespace(**vars(np) | {"astype": _astype})
_large = SimpleNamespace(**vars(_small) | {"where": _where})


@cache
def _can_compile() -> bool:
    """Whether PyTorch is installed, and the C++ compiler that it needs."""
    return find_spec("torch") is not None and any(map(which, ("c++", "g++", "clang++", "cl")))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="xbce")


if hasattr(os, "register_at_fork"):  # a child process has the pool, but not its threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
