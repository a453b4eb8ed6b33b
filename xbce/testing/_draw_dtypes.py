"""The dtypes that `xbce.testing.strategies` draws in, and what of them a library takes for 0."""

import warnings
from typing import Any, NamedTuple

import numpy as np

from xbce import _arguments, _backends
from xbce._typing import Array, DType, Namespace

_HELD_IN = {"float16": "float16", "bfloat16": "float32", "float32": "float32", "float64": "float64"}
"""The dtypes, and those of NumPy that hold their numbers."""
_DIGITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}
"""The bits of a number: one below 1 is 2**-digits away from it."""


class Kind(NamedTuple):
    """A floating dtype of a library."""

    xp: Namespace
    name: str
    own: DType
    flushes: bool
    """Whether the library takes subnormal numbers of this dtype for 0."""

    @property
    def info(self) -> Any:
        """The limits of the numbers, in the dtype of NumPy that holds them."""
        return np.finfo(_HELD_IN[self.name])

    @property
    def digits(self) -> int:
        """The bits of a number."""
        return _DIGITS[self.name]

    @property
    def least(self) -> float:
        """The smallest number above 0: one that is subnormal."""
        return float(self.info.smallest_normal) * 2.0 ** (1 - self.digits)

    def array(self, numbers: np.ndarray) -> Array:
        """An array of the library of these numbers."""
        held = np.asarray(numbers, dtype=self.info.dtype)
        if self.name == "bfloat16":  # the digits that it lacks are cut off
            bits = np.asarray(held, order="C").view(np.uint32) & np.uint32(0xFFFF0000)
            held = bits.view(np.float32)
        return self.xp.asarray(held, dtype=self.own)


def kind_of(xp: Namespace, dtype: Any) -> Kind:
    """The dtype of this name, float32 where there is none; an error tells what can't be drawn."""
    xp = _arguments.namespace_of(xp.asarray([0.0]))
    row = _backends.of(xp)
    dtype = xp.float32 if dtype is None else dtype
    name = dtype if isinstance(dtype, str) else _arguments.name_of(dtype)
    if name not in _HELD_IN:
        raise ValueError(f"`dtype` must be one of {', '.join(_HELD_IN)}; got {dtype}.")
    own = getattr(xp, name, None)
    if own is None and name in row.dtypes:
        own = np.dtype(name)  # Dask takes NumPy's dtypes, but names only the standard's
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX warns where it makes float32 of float64
        if own is None or _arguments.name_of(xp.zeros(1, dtype=own).dtype) != name:
            raise TypeError(f"{row.name} has no {name} here.")
    # 16 bits are computed in float32, where numbers of float16 are normal, but those of bfloat16,
    # which has the exponents of float32, are not.
    flushes = ("float32" if name == "bfloat16" else name) in row.flushes
    return Kind(xp, name, own, flushes)


def integers_of(xp: Namespace) -> list[DType]:
    """The dtypes that numbers of classes are drawn in: those of 32 and 64 bits that there are."""
    names = "int32", "int64"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX warns where it makes int32 of int64
        made = [xp.zeros(1, dtype=getattr(xp, name)).dtype for name in names]
    return [own for own, name in zip(made, names, strict=True) if _arguments.name_of(own) == name]


def largest(kind: Kind, argument: str, bound: float | None) -> float:
    """The largest number of the dtype within a bound, given as this argument."""
    info = kind.info
    if bound is None:
        return float(info.max)
    if not bound >= 0:
        raise ValueError(f"`{argument}` must be at least 0; got {bound}.")
    bound = min(float(bound), float(info.max))
    rounded = np.asarray(bound, dtype=info.dtype)
    if float(rounded) > bound:
        rounded = np.nextafter(rounded, 0, dtype=info.dtype)
    return 0.0 if kind.flushes and rounded < info.smallest_normal else float(rounded)
