"""Axes that a call names: that of the classes, and those that losses are reduced along."""

from operator import index
from typing import Any

from xbce import _arguments
from xbce._reduction import Reduction
from xbce._typing import Array, Namespace, Shape


def without_axis(shape: Shape, axis: int) -> Shape:
    """The shape without an axis, which is counted from the end."""
    place = len(shape) + axis
    return shape[:place] + shape[place + 1 :]


def class_axis(argument: str, array: Array, axis: Any, name: str = "axis") -> int:
    """The axis counted from the end, negative; ValueError where it is none, or has no classes."""
    axis = integer(name, axis)
    shape = tuple(array.shape)
    if len(shape) == 0:
        _arguments.fail(ValueError, f"`{argument}` must have a dimension of classes; got rank 0.")
    if not -len(shape) <= axis < len(shape):
        _arguments.fail(
            ValueError, f"`{name}` must be one of the {len(shape)} of `{argument}`; got {axis}."
        )
    if shape[axis] == 0:
        _arguments.fail(ValueError, f"`{argument}` must have one class at least; got none.")
    return axis - len(shape) if axis >= 0 else axis


def check_reduces(axis: Any, reduction: Reduction | str) -> None:
    """Raise ValueError where there is an axis to reduce along, and no reduction."""
    if axis is not None and reduction == Reduction.NONE:
        _arguments.fail(
            ValueError,
            f"`axis` must be None where `reduction` is 'none', which reduces nothing; got "
            f"{axis}. Pass another reduction, for instance {str(Reduction.SUM)!r}.",
        )


def axes(axis: Any, rank: int, over_classes: bool) -> tuple[int, ...] | None:
    """Some axes of losses of this rank, counted from the first, in order; None for all of them."""
    if axis is None:
        return None
    given = axis if isinstance(axis, (tuple, list)) else (axis,)
    found = [integer("axis", one) for one in given]
    if not all(-rank <= one < rank for one in found):
        hint = " The losses have no axis of classes: that is `class_axis`." if over_classes else ""
        _arguments.fail(
            ValueError, f"`axis` must be among the {rank} axes of the losses; got {axis}.{hint}"
        )
    found = sorted([one % rank for one in found])
    if len(set(found)) < len(found):
        _arguments.fail(ValueError, f"`axis` must name each axis once; got {axis}.")
    return None if len(found) == rank else tuple(found)


def moved(xp: Namespace, array: Array, source: int, target: int) -> Array:
    """The array with an axis in another place; `moveaxis` of PyTorch knows no `torch.vmap`."""
    axes = list(range(array.ndim))
    axes.insert(target % array.ndim, axes.pop(source))
    return xp.permute_dims(array, tuple(axes))


def integer(argument: str, value: Any) -> int:
    """An integer of Python or NumPy."""
    try:
        if not isinstance(value, bool):
            return index(value)
        raise TypeError
    except TypeError:
        _arguments.fail(TypeError, f"`{argument}` must be an integer; got {type(value).__name__}.")
