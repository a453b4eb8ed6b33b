"""What goes beside labels and logits: scalars, weights, masks, the weight of positives."""

from math import inf
from operator import index
from typing import Any

import numpy as np

from xbce import _arrays
from xbce._formula import Array, Namespace


def scalar(
    xp: Namespace, argument: str, value: Any, like: dict[str, Array], name: str | None
) -> Any:
    """A real scalar as a Python float, or as a rank-0 array that goes with the one in `like`."""
    value = _number(argument, value, name)
    if isinstance(value, float):
        return value
    if tuple(getattr(value, "shape", ())) != ():
        _arrays.fail(
            ValueError, f"`{argument}` must be a scalar; got shape {tuple(value.shape)}.", name
        )
    return _as_values(xp, _companion(xp, argument, value, like, name), like)


def weights_for(xp: Namespace, weights: Any, like: dict[str, Array], name: str | None) -> Any:
    """Weights as a Python float, or as an array that goes with the values in `like`.

    An array of another dtype keeps it, for the formula to cast it.
    """
    weights = _number("weights", weights, name)
    if isinstance(weights, float):
        return weights
    weights = _companion(xp, "weights", weights, like, name)
    _check_weighs("weights", weights, like, name)
    return weights if weights.ndim else _as_values(xp, weights, like)


def mask_for(xp: Namespace, where: Any, like: dict[str, Array], name: str | None) -> Array:
    """A mask as a bool array that goes with the values in `like`."""
    ((_, values),) = like.items()
    if isinstance(where, np.ndarray) and where.ndim == 0:
        where = where.item()
    if isinstance(where, (bool, np.bool_)):
        return _arrays.constant(xp, bool(where), xp.bool, values)
    _arrays.namespace(like | {"where": where}, name)
    if where.dtype != xp.bool:
        _arrays.fail(
            TypeError, f"`where` must be of dtype bool; got {where.dtype}. Compare it.", name
        )
    _arrays.same_device(xp, like | {"where": where}, name)
    _check_weighs("where", where, like, name)
    return where


def pos_weight_for(xp: Namespace, pos_weight: Any, like: dict[str, Array], name: str | None) -> Any:
    """The weight of positives, as a Python float or as an array that broadcasts to the logits."""
    pos_weight = _number("pos_weight", pos_weight, name)
    if isinstance(pos_weight, float):
        return pos_weight
    ((argument, logits),) = like.items()
    pos_weight = _as_values(xp, _companion(xp, "pos_weight", pos_weight, like, name), like)
    shape, target = tuple(pos_weight.shape), tuple(logits.shape)
    if len(shape) > len(target) or not _stretches(shape, target[len(target) - len(shape) :]):
        _arrays.fail(
            ValueError,
            f"`pos_weight` must broadcast to `{argument}` and not enlarge it; got {shape} beside "
            f"{target}. Pass a scalar, or one weight a class.",
            name,
        )
    return pos_weight


def number(argument: str, value: Any, name: str | None) -> float:
    """A real scalar as a Python float; arrays of a library are a TypeError."""
    value = _number(argument, value, name)
    if not isinstance(value, float):
        _arrays.fail(
            TypeError, f"`{argument}` must be a Python number; got {type(value).__name__}.", name
        )
    return value


def integer(argument: str, value: Any, name: str | None) -> int:
    """An integer of Python or NumPy."""
    try:
        return index(value)
    except TypeError:
        kind = type(value).__name__
        _arrays.fail(TypeError, f"`{argument}` must be an integer; got {kind}.", name)


def focal(alpha: Any, gamma: Any, name: str | None = None) -> dict[str, Any]:
    """The parameters of the focal loss as Python numbers."""
    focusing = number("gamma", gamma, name)
    if not 0 <= focusing < inf:
        _arrays.fail(ValueError, f"`gamma` must be 0 or more, and finite; got {focusing}.", name)
    return {"alpha": None if alpha is None else number("alpha", alpha, name), "gamma": focusing}


_NO_NUMBERS = (np.ma.MaskedArray, np.datetime64, np.timedelta64, np.void, np.character)


def _number(argument: str, value: Any, name: str | None) -> Any:
    """A Python float for a scalar of Python or NumPy, which suits any library; else the value."""
    if value is None:
        _arrays.fail(ValueError, f"Argument `{argument}` must not be None; pass a number.", name)
    if isinstance(value, (np.generic, np.ndarray)) and not isinstance(value, _NO_NUMBERS):
        value = value.item() if value.ndim == 0 else value
    if isinstance(value, complex):
        _arrays.fail(TypeError, f"`{argument}` must be real; got {value}.", name)
    if not isinstance(value, (bool, int, float)):
        return value
    try:
        return float(value)
    except OverflowError:
        _arrays.fail(ValueError, f"`{argument}` must be a number that a float can hold.", name)


def _companion(
    xp: Namespace, argument: str, array: Array, like: dict[str, Array], name: str | None
) -> Array:
    """An array that goes with the one in `like`: of its library and device, and a real dtype."""
    _arrays.namespace(like | {argument: array}, name)
    if not _arrays.is_of(xp, array.dtype, ("bool", "integral", "real floating")):
        _arrays.fail(
            TypeError, f"`{argument}` must be of a real dtype; got {array.dtype}. Cast it.", name
        )
    _arrays.same_device(xp, like | {argument: array}, name)
    return array


def _as_values(xp: Namespace, array: Array, like: dict[str, Array]) -> Array:
    (values,) = like.values()
    return _arrays.cast(xp, array, values.dtype)


def _check_weighs(argument: str, array: Array, like: dict[str, Array], name: str | None) -> None:
    """TensorFlow's rule: rank 0, or the values' rank with every dimension 1 or the values' own."""
    (values,) = like.values()
    shape, target = tuple(array.shape), tuple(values.shape)
    problem = f"{argument} can not be broadcast to values."
    if shape and len(shape) != len(target):
        hint = ""
        if len(shape) == 1 and len(target) == 2 and shape[0] == target[0]:
            hint = f" Pass {argument}[:, None] to weigh each row."
        _arrays.fail(
            ValueError,
            f"{problem} values.rank={len(target)}. {argument}.rank={len(shape)}. "
            f"values.shape={target}. {argument}.shape={shape}. "
            f"Pass a scalar, or {argument} of the values' rank.{hint}",
            name,
        )
    if shape and not _stretches(shape, target):
        _arrays.fail(
            ValueError,
            f"{problem} values.shape={target}. {argument}.shape={shape}. "
            f"Each dimension of {argument} must be 1 or the values' own.",
            name,
        )


def _stretches(shape: _arrays.Shape, target: _arrays.Shape) -> bool:
    """Whether each size is 1 or the target's; an unknown one matches anything."""
    return all(
        m == n or m == 1 or _arrays.unknown(m) or _arrays.unknown(n)
        for m, n in zip(shape, target, strict=True)
    )
