"""Distances in units in the last place, of computed numbers from exact ones."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from xbce import _arguments, _backends

_precision = threading.RLock()
ROW = 8
"""So many numbers of a row stand in a message."""


@contextmanager
def in_digits(digits: int) -> Iterator[None]:
    """Compute with so many decimal digits: mpmath keeps them in one place for all threads."""
    import mpmath

    with _precision, mpmath.workdps(digits), np.errstate(all="ignore"):
        yield


class TwoFloats(NamedTuple):
    """Numbers as sums of two float64: 106 bits, enough to tell fractions of an ulp."""

    high: np.ndarray
    low: np.ndarray


def ulp_error(actual: Any, exact: Any, scale: Any = None) -> np.ndarray:
    """Return the distance of computed numbers from exact ones, in units in the last place.

    Parameters
    ----------
    actual : array or float
        What was computed, of any library; its dtype says how long an ulp is. A float of Python is
        of float64.
    exact : MPArray or array
        The exact numbers, as `exact_loss` gives them, or as float64.
    scale : array, optional
        The numbers whose last place is the unit, if it is not that of `exact`: for a
        difference, the size of what is subtracted.

    Returns
    -------
    numpy.ndarray of float64
        ``|actual - exact|`` over the spacing that the dtype of `actual` has at `exact`.
        Where `exact` is below the normal numbers the unit is half the smallest normal:
        4 ulp are two of the smallest normal there. Infinity counts as right for whatever
        is beyond the largest number; NaN where a number belongs, or the reverse, is
        an error of infinitely many ulp.

    Raises
    ------
    TypeError
        If `actual` is no array, or not of a floating dtype of 16, 32 or 64 bits.

    See Also
    --------
    exact_loss, exact_gradient, exact_hessian : The exact numbers.
    audit : Measures a whole implementation.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.testing import ulp_error
    >>> ulp_error(np.float32([1.0, 1.0000001]), np.array([1.0, 1.0]))
    array([0., 1.])
    """
    actual, info = _measured(actual)
    eps, tiny, largest = (float(v) for v in (info.eps, info.smallest_normal, info.max))
    high, low = two_floats(exact)
    computed = as_numpy(actual)
    with np.errstate(all="ignore"):
        scale = np.abs(high if scale is None else as_numpy(scale))
        unit = np.where(scale < tiny, tiny / 2, np.exp2(np.frexp(scale)[1] - 1.0) * eps)
        error = np.abs((computed - high) - low) / unit
        beyond = np.isinf(computed) & (np.abs(high) > largest) & (computed * high > 0)
    error = np.where(beyond | (computed == high) & (low == 0), 0.0, error)
    both_nan = np.isnan(computed) & np.isnan(high)
    return np.where(both_nan, 0.0, np.where(np.isnan(error), np.inf, error))


def assert_ulp(
    actual: Any, exact: Any, max_ulp: float = 4, *, scale: Any = None, **inputs: Any
) -> None:
    """Raise AssertionError unless computed numbers are within `max_ulp` of the exact ones.

    Parameters
    ----------
    actual : array or float
        What was computed, as for `ulp_error`.
    exact : MPArray or array
        The exact numbers, of the shape of `actual`: those of `exact_loss`, or float64.
    max_ulp : float
        The largest error allowed, in units in the last place of the dtype of `actual`: a finite
        number, 0 or more.
    scale : array, optional
        As for `ulp_error`.
    **inputs : array
        What it was computed from, by name: their values at the worst place stand in the message.
        Their shapes broadcast to that of `actual`, or have one more axis, of classes, behind it.

    Raises
    ------
    AssertionError
        If a number is further off, or `actual` and `exact` differ in their shape. The message has
        the place of the worst, its inputs, both numbers in decimal and hex, how many are off, and
        the dtype.
    ValueError
        If an input has another shape, or `max_ulp` is negative, infinite or NaN.
    TypeError
        As for `ulp_error`.

    See Also
    --------
    ulp_error : The errors themselves.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.testing import assert_ulp, exact_loss
    >>> labels, logits = np.float32([1, 0]), np.float32([0, 20])
    >>> exact = exact_loss(labels=labels, logits=logits)
    >>> assert_ulp(np.float32([0.6931472, 20.0]), exact, 1)
    >>> assert_ulp(np.float32([0.6931472, 20.0001]), exact, labels=labels, logits=logits)
    Traceback (most recent call last):
    AssertionError: 1 of 2 numbers are more than 4 ulp of float32 off, the worst by 52 ulp, at (1,):
      got        20.000099182128906 = 0x1.4000680000000p+4
      exact is   20.000000002061153 = 0x1.400000008da43p+4
      labels     0.0 = 0x0.0p+0
      logits     20.0 = 0x1.4000000000000p+4
    """
    if not 0 <= max_ulp < np.inf:
        raise ValueError(f"`max_ulp` must be a finite number, 0 or more; got {max_ulp}.")
    actual, _ = _measured(actual)
    found, wanted = as_numpy(actual), two_floats(exact).high
    if found.shape != wanted.shape:
        raise AssertionError(
            f"`actual` has shape {found.shape}, and `exact` shape {wanted.shape}: "
            "pass exact numbers of the same shape."
        )
    values = {name: _spread(name, as_numpy(value), found.shape) for name, value in inputs.items()}
    error = ulp_error(actual, exact, scale)
    off = int(np.sum(~(error <= max_ulp)))
    if not off:
        return
    worst = tuple(int(i) for i in np.unravel_index(np.argmax(error), error.shape))
    values = {"got": found, "exact is": wanted} | values
    listed = "".join(f"\n  {name:10} {_shown(value[worst])}" for name, value in values.items())
    raise AssertionError(
        f"{off} of {error.size} numbers are more than {max_ulp:g} ulp of "
        f"{_arguments.name_of(actual.dtype)} off, "
        f"the worst by {error[worst]:.3g} ulp, at {worst}:{listed}"
    )


def _measured(actual: Any) -> tuple[Any, Any]:
    """What was computed, as an array, and the limits of its dtype."""
    if type(actual) is float:
        actual = np.float64(actual)
    xp = _arguments.namespace({"actual": actual})
    floating = _arguments.is_of(xp, actual.dtype, "real floating")
    info = xp.finfo(actual.dtype) if floating else None
    if info is None or info.bits not in (16, 32, 64):
        raise TypeError(
            "`actual` must be of a real floating dtype of 16, 32 or 64 bits, which says how long "
            f"an ulp is; got {_arguments.name_of(actual.dtype)}: pass it as it was computed, or "
            "cast it to the dtype that errors are to be measured in."
        )
    return actual, info


def _spread(name: str, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """An input for each number that was computed, or a row of it."""
    classes = value.shape[-1:] if value.ndim > len(shape) else ()
    try:
        return np.broadcast_to(value, shape + classes)
    except ValueError:
        raise ValueError(
            f"`{name}` has shape {value.shape}, and `actual` shape {shape}: pass what broadcasts "
            "to that shape, or has one more axis, of classes, behind it."
        ) from None


def _shown(value: Any) -> str:
    """A number in decimal and hex, or the first numbers of a row."""
    if value.ndim == 0:
        return f"{float(value)!r} = {float(value).hex()}"
    first = ", ".join(repr(number) for number in value[:ROW].tolist())
    return f"[{first}]" if len(value) <= ROW else f"[{first}, ...], {len(value)} numbers"


def as_numpy(array: Any) -> np.ndarray:
    """Return the numbers of an array of any library in NumPy, computed and moved to the CPU.

    Parameters
    ----------
    array : array
        Of any library and real dtype, exact numbers of `exact_loss` among them; or a number.

    Returns
    -------
    numpy.ndarray of float64
        The same numbers; exact ones are rounded.

    See Also
    --------
    ulp_error : Compares arrays of any library.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.testing import as_numpy
    >>> as_numpy(np.float32([0.5, 2.0]))
    array([0.5, 2. ])
    """
    if type(array).__module__.startswith("mparray"):
        array = array._data
    elif not isinstance(array, (np.ndarray, np.generic, int, float, list, tuple)):
        array = _backends.of(_arguments.namespace_of(array)).to_numpy(array)
    with np.errstate(all="ignore"):  # older NumPy warns of a NaN among exact numbers
        return np.asarray(array, dtype=np.float64)


def two_floats(exact: Any) -> TwoFloats:
    """Exact numbers, of any kind, as sums of two float64."""
    if isinstance(exact, TwoFloats):
        return exact
    numbers, high = getattr(exact, "_data", exact), as_numpy(exact)
    if getattr(numbers, "dtype", None) != np.dtype(object):
        return TwoFloats(high, np.zeros_like(high))
    import mpmath

    with in_digits(50):
        rest = [number - mpmath.mpf(h) for number, h in zip(numbers.flat, high.flat, strict=True)]
        low = np.asarray([float(r) for r in rest], dtype=np.float64).reshape(high.shape)
    return TwoFloats(high, np.where(np.isfinite(high), low, 0.0))
