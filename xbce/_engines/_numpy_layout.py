"""How the operands of a call lie beside each other in NumPy's memory, and how they are cut up."""

from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xbce._recipe import Recipe
from xbce._typing import Operands, Shape

Part = tuple[slice, ...]


class Layout(NamedTuple):
    """Operands whose axes are those of the losses, in the order that these lie in memory.

    Attributes
    ----------
    arrays : dict
        Arrays of the rank of the losses, or with the axis of classes behind.
    others : dict
        Numbers, and arrays of rank 0.
    loop : tuple of int
        The sizes of the axes of losses; one of all, where the arrays can be taken as flat.
    unflat : tuple of int
        The sizes before they were taken as one.
    order : tuple of int
        Where each axis of losses was in the arguments.
    """

    arrays: dict[str, NDArray[Any]]
    others: dict[str, Any]
    loop: tuple[int, ...]
    unflat: tuple[int, ...]
    order: tuple[int, ...]

    def shape(self, name: str) -> Shape:
        """The shape of an array for a recorder: only whether axes are stretched is told."""
        array, rank = self.arrays[name], len(self.loop)
        pairs = enumerate(zip(array.shape, self.loop, strict=False))
        own = [1 if size == 1 != whole else -1 - axis for axis, (size, whole) in pairs]
        return (*own, *array.shape[rank:])

    def sizes(self, shape: Shape, loop: tuple[int, ...]) -> tuple[int, ...]:
        """What a recorded shape is in a part of the loop that is so large."""
        return tuple([size if size > 0 else loop[-1 - size] for size in shape])

    def restored(self, result: NDArray[Any]) -> NDArray[Any]:
        """A result with the axes of the arguments."""
        rest = result.shape[len(self.loop) :]
        if self.unflat != self.loop:
            result = result.reshape(self.unflat + rest)
        rank = len(self.order)
        if self.order == tuple(range(rank)):
            return result
        return result.transpose(*np.argsort(self.order), *range(rank, result.ndim))


def laid_out(recipe: Recipe, operands: Operands, loop: tuple[int, ...]) -> Layout | None:
    """The layout of operands for losses of this shape; None where they do not stretch to it."""
    rank, arrays, others = len(loop), {}, {}
    for name, operand in operands.items():
        if not isinstance(operand, np.ndarray) or operand.ndim == 0:
            others[name] = operand
            continue
        missing = rank + recipe.has_classes(name) - operand.ndim
        if missing < 0:
            return None
        array = operand.reshape((1,) * missing + operand.shape) if missing else operand
        if any(m not in (n, 1) for m, n in zip(array.shape, loop, strict=False)):
            return None
        arrays[name] = array
    order = tuple(range(rank))
    if rank > 1:
        largest = max(arrays.values(), key=lambda array: array.size)
        order = tuple(sorted(order, key=lambda axis: -abs(largest.strides[axis])))
        if order != tuple(range(rank)):
            arrays = {name: a.transpose(*order, *range(rank, a.ndim)) for name, a in arrays.items()}
            loop = tuple([loop[axis] for axis in order])
    unflat = loop
    if rank > 1 and all(
        array.flags.c_contiguous and array.shape[:rank] == loop for array in arrays.values()
    ):
        arrays = {name: a.reshape(-1, *a.shape[rank:]) for name, a in arrays.items()}
        loop = (int(np.prod(loop)),)
    return Layout(arrays, others, loop, unflat, order)


def parts(shape: tuple[int, ...], block: int, at_least: int) -> list[Part]:
    """Slices that divide a shape into blocks of at most so many elements, the last axis first.

    So many of them, if they can be, that as many threads have equally much to do.
    """
    axes: list[list[slice]] = []
    for size in reversed(shape):
        pieces = -(-size // max(block, 1))
        if len(axes) == len(shape) - 1 and pieces % at_least:
            pieces = min(size, pieces + at_least - pieces % at_least)
        step = -(-size // pieces)
        axes.insert(0, [slice(start, min(start + step, size)) for start in range(0, size, step)])
        block //= step
    return list(product(*axes))


def cut(layout: Layout, part: Part) -> dict[str, Any]:
    """The share of a part that each operand has: all of an axis along which it is stretched."""
    found = dict(layout.others)
    for name, array in layout.arrays.items():
        if array.shape[: len(part)] != layout.loop:
            pairs = zip(part, array.shape, layout.loop, strict=False)
            own = [a if size == whole else slice(None) for a, size, whole in pairs]
            found[name] = array[tuple(own)]
        else:
            found[name] = array[part]
    return found
