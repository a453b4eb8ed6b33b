"""The exact loss: xbce's own formula on numbers of as many digits as one likes."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from xbce import _arrays, _formula
from xbce._formula import Array, Namespace

# mpmath keeps its precision in one global context, and mparray computes in it.
_precision = threading.RLock()


def exact_loss(
    *,
    labels: Any,
    logits: Any,
    pos_weight: Any = None,
    alpha: float | None = None,
    gamma: float = 0.0,
    digits: int = 50,
) -> Array:
    """Sigmoid cross entropy of float inputs, exact to `digits` decimal digits.

    Runs the formulas of `xbce.nn` on arrays of arbitrary precision (mparray, over
    mpmath): the same code, without rounding. About 8,000 elements a second.

    Parameters
    ----------
    labels, logits : array
        Arrays of one shape, of any library and of any floating dtype; taken as
        the exact numbers they hold.
    pos_weight : float or array, optional
        As for `xbce.nn.weighted_cross_entropy_with_logits`.
    alpha, gamma : float, optional
        As for `xbce.nn.sigmoid_focal_loss`; the defaults are the plain loss.
    digits : int
        Decimal digits to compute with.

    Returns
    -------
    mparray.MPArray
        Compare it with `ulp_error`; `as_numpy` rounds it to float64.

    Notes
    -----
    Safe to call from several threads. Other code that computes with mpmath in
    another thread at that time sees the changed precision.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.testing import exact_loss
    >>> exact = exact_loss(labels=np.array([1.0, 0.0]), logits=np.array([40.0, 40.0]))
    >>> print(exact)
    [4.24835426e-18 4.00000000e+01]
    """
    formula = _chosen(_formula.sigmoid_cross_entropy, _formula.focal_loss, alpha, gamma)
    return _evaluate(formula, digits, labels, logits, pos_weight)


def exact_gradient(
    *,
    labels: Any,
    logits: Any,
    pos_weight: Any = None,
    alpha: float | None = None,
    gamma: float = 0.0,
    digits: int = 50,
) -> Array:
    """The derivative of `exact_loss` by the logits, exact to `digits` digits of its terms.

    Parameters and result are as for `exact_loss`. With a soft label the derivative
    is a difference, so a few digits more than are wanted of it are in place.
    """
    formula = _chosen(_formula.sigmoid_gradient, _focal_gradient, alpha, gamma)
    return _evaluate(formula, digits, labels, logits, pos_weight)


def exact_hessian(
    *,
    labels: Any,
    logits: Any,
    pos_weight: Any = None,
    alpha: float | None = None,
    gamma: float = 0.0,
    digits: int = 50,
) -> Array:
    """The second derivative of `exact_loss` by the logits, exact to `digits` digits.

    Parameters and result are as for `exact_loss`.
    """
    formula = _chosen(
        _formula.sigmoid_gradient_and_hessian, _formula.focal_gradient_and_hessian, alpha, gamma
    )
    return _evaluate(formula, digits, labels, logits, pos_weight)[1]


def _chosen(
    plain: Callable[..., Any], focal: Callable[..., Any], alpha: float | None, gamma: float
) -> Callable[..., Any]:
    """The plain formula, unless there are focal parameters."""
    if alpha is None and gamma == 0:
        return plain
    return partial(focal, alpha=alpha, gamma=gamma)


def exact_softmax_loss(*, labels: Any, logits: Any, digits: int = 50) -> Array:
    """Softmax cross entropy over the last axis, exact to `digits` decimal digits.

    Parameters and result are as for `exact_loss`; the result lacks the last axis.
    """
    return _evaluate(_softmax, digits, labels, logits)


def _softmax(xp: Namespace, z: Array, x: Array) -> Array:
    return _formula.softmax_cross_entropy(xp, z, x, _arrays.numbers(xp, x))


def ulp_error(actual: Any, exact: Any, scale: Any = None) -> np.ndarray:
    """The distance of computed numbers from exact ones, in units in the last place.

    Parameters
    ----------
    actual : array
        What was computed, of any library; its dtype says how long an ulp is.
    exact : MPArray or array
        The exact numbers, as `exact_loss` gives them, or as float64.
    scale : array, optional
        The numbers whose last place is the unit, if not that of `exact`: for a
        difference, what is subtracted.

    Returns
    -------
    numpy.ndarray of float64
        ``|actual - exact|`` over the spacing that the dtype of `actual` has at `exact`.
        Where `exact` is below the normal numbers the unit is half the smallest normal:
        4 ulp are two of the smallest normal there. Infinity counts as right for whatever
        is beyond the largest number; NaN where a number belongs, or the reverse, is
        an error of infinitely many ulp.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.testing import ulp_error
    >>> ulp_error(np.float32([1.0, 1.0000001]), np.array([1.0, 1.0]))
    array([0., 1.])
    """
    info = _arrays.of(actual).finfo(actual.dtype)
    eps, tiny, largest = (float(v) for v in (info.eps, info.smallest_normal, info.max))
    high, low = _two_floats(exact)
    computed = as_numpy(actual)
    with np.errstate(all="ignore"):
        scale = np.abs(high if scale is None else as_numpy(scale))
        unit = np.where(scale < tiny, tiny / 2, np.exp2(np.frexp(scale)[1] - 1.0) * eps)
        error = np.abs((computed - high) - low) / unit
        beyond = np.isinf(computed) & (np.abs(high) > largest) & (computed * high > 0)
    error = np.where(beyond | (computed == high) & (low == 0), 0.0, error)
    both_nan = np.isnan(computed) & np.isnan(high)
    return np.where(both_nan, 0.0, np.where(np.isnan(error), np.inf, error))


def as_numpy(array: Any) -> np.ndarray:
    """Float64 numbers of an array of any library, computed and moved to the CPU."""
    if hasattr(array, "compute"):  # Dask
        array = array.compute()
    if hasattr(array, "detach"):  # PyTorch, whose bfloat16 NumPy does not know
        array = array.detach().cpu().double().numpy()
    elif hasattr(array, "get"):  # CuPy
        array = array.get()
    elif type(array).__module__.startswith("array_api_strict"):
        array = array._array  # NumPy may not see what is on its other devices
    elif type(array).__module__.startswith("mparray"):
        array = array._data
    with np.errstate(all="ignore"):  # older NumPy warns of a NaN among exact numbers
        return np.asarray(array, dtype=np.float64)


def _evaluate(formula: Callable[..., Any], digits: int, *arrays: Any) -> Any:
    try:
        import mparray
        import mpmath
    except ImportError as error:
        raise ImportError("The oracle needs mparray: pip install xbce[testing].") from error
    with _precision, mpmath.workdps(digits), np.errstate(all="ignore"):
        exact = [mparray.asarray(as_numpy(array)) for array in arrays if array is not None]
        return formula(mparray, *exact)


def _focal_gradient(xp: Namespace, *arrays: Array, **options: Any) -> Array:
    return _formula.focal_gradient_and_hessian(xp, *arrays, **options)[0]


def _two_floats(exact: Any) -> tuple[np.ndarray, np.ndarray]:
    """Exact numbers as sums of two float64: 106 bits, enough to tell fractions of an ulp."""
    numbers, high = getattr(exact, "_data", exact), as_numpy(exact)
    if getattr(numbers, "dtype", None) != np.dtype(object):
        return high, np.zeros_like(high)
    import mpmath

    with _precision, mpmath.workdps(50):
        rest = [number - mpmath.mpf(h) for number, h in zip(numbers.flat, high.flat, strict=True)]
        low = np.asarray([float(r) for r in rest], dtype=np.float64).reshape(high.shape)
    return high, np.where(np.isfinite(high), low, 0.0)
