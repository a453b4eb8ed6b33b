"""The exact loss: xbce's own formulas on numbers of as many digits as one likes."""

from functools import lru_cache
from typing import Any

import numpy as np

from xbce import _losses
from xbce._losses import Loss
from xbce._typing import Array, Formula, Output
from xbce.testing._ulp import TwoFloats, as_numpy, in_digits, two_floats


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
        ``"sigmoid_focal"``, ``"asymmetric_sigmoid"``, ``"softmax_cross_entropy"`` or
        ``"sparse_softmax_cross_entropy"``. By default the sigmoid loss, or where there is an
        `alpha` or `gamma` the focal one. A record like those in ``xbce/_losses.py`` passes too.
    digits : int
        Decimal digits to compute with.
    **parameters : float or array
        Those of the loss, as the functions of it explain them, but without their checks:
        `pos_weight`, `alpha` and `gamma`, or `gamma_positive`, `gamma_negative` and `clip`. None
        leaves one out.

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
        As for `exact_loss`. Of softmax losses it is the diagonal of the Hessian; a record without
        a Hessian is a NotImplementedError.
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


def exactly(
    loss: Loss, quantity: str, labels: np.ndarray, logits: np.ndarray, parameters: dict[str, Any]
) -> TwoFloats:
    """The exact loss, gradient or Hessian, kept for the next audit of the same inputs."""
    given = tuple(sorted(parameters.items()))
    shapes = labels.shape, logits.shape
    formula: Output = "value" if quantity == "loss" else "gradient_and_hessian"
    if quantity == "gradient" and loss.gradient_and_hessian is None:
        formula = "gradient"
    results = _kept(loss, formula, given, shapes, labels.tobytes(), logits.tobytes())
    return results[quantity == "hessian"]


@lru_cache(maxsize=1024)
def _kept(
    loss: Loss, formula: Output, parameters: Any, shapes: Any, labels: bytes, logits: bytes
) -> tuple[TwoFloats, ...]:
    z, x = np.frombuffer(labels).reshape(shapes[0]), np.frombuffer(logits).reshape(shapes[1])
    return tuple(map(two_floats, _exact(formula, z, x, loss, 50, dict(parameters))))


def sizes(
    loss: Loss, quantity: str, labels: np.ndarray, logits: np.ndarray, parameters: dict[str, Any]
) -> np.ndarray | None:
    """What the terms of a derivative add up to, in float64; None where the loss does not say."""
    if loss.terms is None or quantity == "loss":
        return None
    return in_float64(loss, loss.terms, labels, logits, parameters)[quantity == "hessian"]


def in_float64(
    loss: Loss, formula: Formula, labels: Any, logits: Any, parameters: dict[str, Any]
) -> Any:
    """What a formula of a loss gives in NumPy, without a warning."""
    if loss.over_classes:
        parameters = parameters | {"class_numbers": np.arange(logits.shape[-1])}
    with np.errstate(all="ignore"):
        return formula(np, labels, logits, **parameters)


def _exact(
    formula: Output,
    labels: Array,
    logits: Array,
    loss: str | Loss | None,
    digits: int,
    parameters: dict[str, Any],
) -> tuple[Array, ...]:
    try:
        import mparray
    except ImportError as error:
        raise ImportError("The oracle needs mparray: pip install xbce[testing].") from error
    loss, parameters = loss_of(loss, parameters)
    with in_digits(digits):
        for name, value in parameters.items():
            if not isinstance(value, (int, float)):
                parameters[name] = mparray.asarray(as_numpy(value))
        z, x = (mparray.asarray(as_numpy(array)) for array in (labels, logits))
        if loss.over_classes:
            parameters["class_numbers"] = mparray.arange(x.shape[-1])
        results = loss.formula(formula)(mparray, z, x, **parameters)
        return results if isinstance(results, tuple) else (results,)
