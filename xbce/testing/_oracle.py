"""The exact loss: xbce's own formulas on numbers of as many digits as one likes."""

import threading
from typing import Any

import numpy as np

from xbce import _arguments, _backends, _losses
from xbce._losses import Loss
from xbce._typing import Array, Output

# mpmath keeps its precision in one global context, and mparray computes in it.
_precision = threading.RLock()


def exact_loss(
    *,
    labels: Array,
    logits: Array,
    loss: str | Loss | None = None,
    digits: int = 50,
    **parameters: Any,
) -> Array:
    """Return the losses of float inputs, exact to `digits` decimal digits.

    Runs the formulas of `xbce.nn` on arrays of arbitrary precision (mparray, over
    mpmath): the same code, without rounding. About 8,000 elements a second.

    Parameters
    ----------
    labels, logits : array
        Arrays of one shape, of any library and of any floating dtype; taken as
        the exact numbers they hold. Labels of a sparse loss are class numbers.
    loss : str or Loss, optional
        Which loss: ``"sigmoid_cross_entropy"``, ``"weighted_cross_entropy"``,
        ``"sigmoid_focal"``, ``"softmax_cross_entropy"`` or ``"sparse_softmax_cross_entropy"``.
        By default the sigmoid loss, or where there is an `alpha` or `gamma` the focal one.
        A record like those in ``xbce/_losses.py`` passes too.
    digits : int
        Decimal digits to compute with.
    **parameters : float or array
        Those of the loss, `pos_weight`, `alpha` and `gamma`, as `xbce.nn` explains them, but
        without its checks. None leaves one out.

    Returns
    -------
    mparray.MPArray
        The losses, over the last axis where the loss has classes. Compare them with `ulp_error`;
        `as_numpy` rounds them to float64.

    Raises
    ------
    ImportError
        If mparray is not installed.
    TypeError
        If the loss has no such parameter.
    ValueError
        If there is no such loss.

    See Also
    --------
    exact_gradient, exact_hessian : Its derivatives.
    ulp_error : How far a result is from it.

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
    return _exact("value", labels, logits, loss, digits, parameters)[0]


def exact_gradient(
    *,
    labels: Array,
    logits: Array,
    loss: str | Loss | None = None,
    digits: int = 50,
    **parameters: Any,
) -> Array:
    """Return the derivative of `exact_loss` by each logit, computed with `digits` digits.

    Parameters
    ----------
    labels, logits : array
        As for `exact_loss`.
    loss : str or Loss, optional
        As for `exact_loss`.
    digits : int
        Decimal digits to compute with. With a soft label the derivative is a difference and
        loses some of them, so ask for a few more than you need.
    **parameters : float or array
        As for `exact_loss`.

    Returns
    -------
    mparray.MPArray
        The derivative by each logit, of the shape of `logits`.

    See Also
    --------
    exact_loss : The loss, with the errors that this raises too.
    exact_hessian : The second derivative.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.testing import exact_gradient
    >>> print(exact_gradient(labels=np.array([1.0, 0.5]), logits=np.array([40.0, 0.0])))
    [-4.24835426e-18  0.00000000e+00]
    """
    return _exact("gradient", labels, logits, loss, digits, parameters)[0]


def exact_hessian(
    *,
    labels: Array,
    logits: Array,
    loss: str | Loss | None = None,
    digits: int = 50,
    **parameters: Any,
) -> Array:
    """Return the second derivative of `exact_loss` by each logit, computed with `digits` digits.

    Parameters
    ----------
    labels, logits : array
        As for `exact_loss`.
    loss : str or Loss, optional
        As for `exact_loss`; a softmax loss is a NotImplementedError.
    digits : int
        Decimal digits to compute with.
    **parameters : float or array
        As for `exact_loss`.

    Returns
    -------
    mparray.MPArray
        The second derivative by each logit, of the shape of `logits`.

    See Also
    --------
    exact_loss : The loss, with the errors that this raises too.
    exact_gradient : The first derivative.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.testing import exact_hessian
    >>> print(exact_hessian(labels=np.array([1.0, 0.5]), logits=np.array([0.0, 0.0])))
    [0.25 0.25]
    """
    return _exact("gradient_and_hessian", labels, logits, loss, digits, parameters)[1]


def exact_softmax_loss(*, labels: Array, logits: Array, digits: int = 50) -> Array:
    """Return softmax cross entropy over the last axis, exact to `digits` decimal digits.

    Parameters
    ----------
    labels, logits : array
        As for `exact_loss`.
    digits : int
        Decimal digits to compute with.

    Returns
    -------
    mparray.MPArray
        The losses, of the shape of `logits` without its last axis.

    See Also
    --------
    exact_loss : The same of any loss, with ``loss="softmax_cross_entropy"``.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.testing import exact_softmax_loss
    >>> print(exact_softmax_loss(labels=np.array([[1.0, 0.0]]), logits=np.array([[0.0, 0.0]])))
    [0.69314718]
    """
    return exact_loss(labels=labels, logits=logits, loss=_losses.SOFTMAX, digits=digits)


def loss_of(loss: str | Loss | None, parameters: dict[str, Any]) -> tuple[Loss, dict[str, Any]]:
    """Which loss is meant, and its parameters without those that are not given."""
    given = {name: value for name, value in parameters.items() if value is not None}
    if loss is None:
        own = {name: given.pop(name) for name in ("pos_weight", "alpha", "gamma") if name in given}
        loss, parameters = _losses.sigmoid_of(**own)
        parameters |= given
    loss = _losses.named(loss)
    known = [parameter.name for parameter in loss.parameters]
    for name in parameters:
        if name not in known:
            raise TypeError(f"{loss.name} has no parameter `{name}`; it has {known or 'none'}.")
    return loss, {name: value for name, value in parameters.items() if value is not None}


def _exact(
    output: Output,
    labels: Array,
    logits: Array,
    loss: str | Loss | None,
    digits: int,
    parameters: dict[str, Any],
) -> tuple[Array, ...]:
    try:
        import mparray
        import mpmath
    except ImportError as error:
        raise ImportError("The oracle needs mparray: pip install xbce[testing].") from error
    loss, parameters = loss_of(loss, parameters)
    with _precision, mpmath.workdps(digits), np.errstate(all="ignore"):
        for name, value in parameters.items():
            if not isinstance(value, (int, float)):
                parameters[name] = mparray.asarray(as_numpy(value))
        z, x = (mparray.asarray(as_numpy(array)) for array in (labels, logits))
        if loss.over_classes:
            parameters["class_numbers"] = mparray.arange(x.shape[-1])
        results = loss.formula(output)(mparray, z, x, **parameters)
        return results if isinstance(results, tuple) else (results,)


def ulp_error(actual: Any, exact: Any, scale: Any = None) -> np.ndarray:
    """Return the distance of computed numbers from exact ones, in units in the last place.

    Parameters
    ----------
    actual : array
        What was computed, of any library; its dtype says how long an ulp is.
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
    info = _arguments.namespace_of(actual).finfo(actual.dtype)
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
