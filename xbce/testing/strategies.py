"""Labels and logits for property tests, as strategies of hypothesis.

Needs hypothesis: ``pip install xbce[testing]``.
"""

import warnings
from typing import Any, cast

import numpy as np

from xbce import _arguments, _backends
from xbce._typing import Array, DType, Namespace

try:
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as in_numpy
except ImportError as error:
    raise ImportError(
        "xbce.testing.strategies needs hypothesis: pip install xbce[testing]."
    ) from error

__all__ = ["labels_and_logits"]

_HELD_IN = {"float16": "float16", "bfloat16": "float32", "float32": "float32", "float64": "float64"}
"""The dtypes, and those of NumPy that hold their numbers."""
_FEW = 64


def labels_and_logits(
    xp: Namespace,
    *,
    dtype: DType | str | None = None,
    shape: tuple[int, ...] | st.SearchStrategy[tuple[int, ...]] | None = None,
    max_logit: float | None = None,
    soft: bool = True,
    specials: bool = False,
) -> st.SearchStrategy[tuple[Array, Array]]:
    """Draw labels and logits of one shape and dtype.

    Parameters
    ----------
    xp : module
        The array namespace of the arrays: ``numpy``, ``torch``, ``jax.numpy`` or another,
        wrapped by array-api-compat or not.
    dtype : dtype or str, optional
        A floating dtype of 16, 32 or 64 bits, or its name; by default float32.
    shape : tuple of int, or strategy of such tuples, optional
        The shape of both arrays. By default one is drawn, of 3 dimensions at most, each of 1 to 4.
    max_logit : float, optional
        The largest size of a logit; by default the largest number of the dtype.
    soft : bool
        Whether labels are any numbers from 0 to 1. Else they are 0 or 1.
    specials : bool
        Whether logits can be infinite, or NaN.

    Returns
    -------
    SearchStrategy
        It draws pairs of arrays ``(labels, logits)``, and shrinks to zeros in a small shape.

    Raises
    ------
    ImportError
        If hypothesis is not installed, when this module is imported.
    TypeError
        If the library has no such dtype.
    ValueError
        If `dtype` is not a floating one, or `max_logit` is negative or NaN.

    See Also
    --------
    xbce.testing.audit : Measures errors on inputs that are spread over all sizes.
    xbce.testing.as_numpy : The numbers of an array of any library, in NumPy.

    Notes
    -----
    Logits are a mix of sizes: below 4, below 64, any, and subnormal numbers, where the library
    computes with them. JAX takes those of float32, float64 and bfloat16 for 0, and CuPy those of
    float32, so that there none are drawn.

    With the fixtures of `xbce.testing.fixtures`, draw inside of the test, and tell hypothesis that
    they may be the same for all its examples::

        @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
        @given(data=st.data())
        def test_not_negative(xp, dtype, data):
            labels, logits = data.draw(labels_and_logits(xp, dtype=dtype))
            assert xp.all(my_loss(labels, logits) >= 0)

    Examples
    --------
    >>> import numpy as np
    >>> from hypothesis import find
    >>> from xbce.testing.strategies import labels_and_logits
    >>> find(labels_and_logits(np, shape=(2,)), lambda pair: pair[1][0] > 1)
    (array([0., 0.], dtype=float32), array([2., 0.], dtype=float32))
    """
    xp = _arguments.namespace_of(xp.asarray([0.0]))
    name, own = _dtype(xp, dtype)
    labels = _floats(xp, name, 0.0, 1.0) if soft else st.sampled_from([0.0, 1.0])
    largest = _largest(xp, name, max_logit)
    logits = _floats(xp, name, -largest, largest)
    if specials:
        logits |= st.sampled_from([np.inf, -np.inf, np.nan])

    def both(shape: tuple[int, ...]) -> Any:
        return st.tuples(_arrays(name, shape, labels), _arrays(name, shape, logits))

    def made(pair: tuple[Array, Array]) -> tuple[Array, Array]:
        return xp.asarray(pair[0], dtype=own), xp.asarray(pair[1], dtype=own)

    return _shapes(shape).flatmap(both).map(made)


def _arrays(name: str, shape: tuple[int, ...], elements: st.SearchStrategy[float]) -> Any:
    """Arrays of NumPy: each element is drawn, so that each shrinks, unless there are many."""
    fill = st.nothing() if np.prod(shape) <= _FEW else None
    return in_numpy.arrays(np.dtype(_HELD_IN[name]), shape, elements=elements, fill=fill)


def _shapes(shape: Any) -> Any:
    if shape is None:
        return in_numpy.array_shapes(min_dims=0, max_dims=3, max_side=4)
    return shape if isinstance(shape, st.SearchStrategy) else st.just(shape)


def _dtype(xp: Namespace, dtype: Any) -> tuple[str, DType]:
    """The name of the dtype, and the library's own."""
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
    return name, own


def _flushes(xp: Namespace, name: str) -> bool:
    """Whether the library takes subnormal numbers of this dtype for 0.

    16 bits are computed in float32, where numbers of float16 are normal, but those of bfloat16,
    which has the exponents of float32, are not.
    """
    return ("float32" if name == "bfloat16" else name) in _backends.of(xp).flushes


def _largest(xp: Namespace, name: str, max_logit: float | None) -> float:
    """The largest logit to draw: a number of the dtype."""
    info = np.finfo(_HELD_IN[name])
    if max_logit is None:
        return float(info.max)
    if not max_logit >= 0:
        raise ValueError(f"`max_logit` must be at least 0; got {max_logit}.")
    bound = min(float(max_logit), float(info.max))
    rounded = np.asarray(bound, dtype=info.dtype)
    if float(rounded) > bound:
        rounded = np.nextafter(rounded, 0, dtype=info.dtype)
    return 0.0 if _flushes(xp, name) and rounded < info.smallest_normal else float(rounded)


def _floats(xp: Namespace, name: str, low: float, high: float) -> st.SearchStrategy[float]:
    """Numbers of the dtype in these bounds, without those that the library takes for 0."""
    info = np.finfo(_HELD_IN[name])
    flushes, width = _flushes(xp, name), cast("Any", int(info.bits))
    sizes = [4.0, 64.0, float(info.max)]
    if not flushes:
        sizes.append(float(info.smallest_normal))  # else subnormal numbers would be rare
    subnormal = False if flushes else None  # None: as the processor can
    ranges = [
        st.floats(max(low, -size), min(high, size), width=width, allow_subnormal=subnormal)
        for size in sizes
    ]
    drawn = st.one_of(ranges)
    return drawn.map(_bfloat16) if name == "bfloat16" else drawn


def _bfloat16(number: float) -> float:
    """The number in float32, with the digits that bfloat16 has: the others are cut off."""
    bits = np.asarray(number, dtype=np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
    return float(bits.view(np.float32))
