"""Derivatives of the asymmetric loss."""

from typing import Any

from xbce import _losses
from xbce._collection import GraphKeys
from xbce._evaluate import Weighting, evaluate
from xbce._reduction import Reduction
from xbce._typing import Array, Output


def asymmetric_sigmoid_gradient(
    *,
    labels: Array,
    logits: Array,
    weights: Any = 1.0,
    label_smoothing: Any = 0,
    gamma_positive: Any = 1.0,
    gamma_negative: Any = 4.0,
    clip: float = 0.05,
    where: Any = None,
) -> Array:
    """Return the derivative of each asymmetric loss by its logit.

    Parameters
    ----------
    labels, logits : array
        As for `xbce.derivatives.gradient`.
    weights, label_smoothing : float or array
        As for that function.
    gamma_positive, gamma_negative : float or array
        As for `xbce.nn.asymmetric_sigmoid_loss`.
    clip : float
        As for `xbce.nn.asymmetric_sigmoid_loss`.
    where : bool or array of bool, optional
        As for `xbce.derivatives.gradient`.

    Returns
    -------
    array
        As from `xbce.derivatives.gradient`.

    Raises
    ------
    ValueError, TypeError
        As for `xbce.nn.asymmetric_sigmoid_loss`.

    See Also
    --------
    asymmetric_sigmoid_gradient_hessian : The second derivative too.
    asymmetric_sigmoid_value_and_grad : The gradient of the weighted and reduced loss.

    Notes
    -----
    The formula is explained in ``xbce/_asymmetric.py``.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.derivatives import asymmetric_sigmoid_gradient
    >>> asymmetric_sigmoid_gradient(labels=np.array([1, 0, 0]), logits=np.array([0.0, 0.0, -4.0]))
    array([-0.4232868,  0.0731171,  0.       ])
    """
    return _asymmetric(
        "gradient",
        {"labels": labels, "logits": logits},
        Weighting.of_each(weights, label_smoothing, where),
        gamma_positive=gamma_positive,
        gamma_negative=gamma_negative,
        clip=clip,
    )


def asymmetric_sigmoid_gradient_hessian(
    *,
    labels: Array,
    logits: Array,
    weights: Any = 1.0,
    label_smoothing: Any = 0,
    gamma_positive: Any = 1.0,
    gamma_negative: Any = 4.0,
    clip: float = 0.05,
    where: Any = None,
) -> tuple[Array, Array]:
    """Return the first and second derivative of each asymmetric loss by its logit.

    Parameters
    ----------
    labels, logits : array
        As for `asymmetric_sigmoid_gradient`, as are all arguments.
    weights, label_smoothing : float or array
        As for that function.
    gamma_positive, gamma_negative : float or array
        As for that function.
    clip : float
        As for that function.
    where : bool or array of bool, optional
        As for that function.

    Returns
    -------
    gradient : array
        As from `asymmetric_sigmoid_gradient`.
    hessian : array
        Of the same kind: the diagonal of the Hessian matrix. It may be negative.

    Raises
    ------
    ValueError, TypeError
        As for `asymmetric_sigmoid_gradient`.

    See Also
    --------
    asymmetric_sigmoid_gradient : The first derivative only.

    Notes
    -----
    Where the probability of a negative falls to `clip`, the second derivative jumps, or with a
    `gamma_negative` below 1 grows without bound.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.derivatives import asymmetric_sigmoid_gradient_hessian
    >>> labels, logits = np.array([1, 0]), np.array([0.0, 0.0])
    >>> asymmetric_sigmoid_gradient_hessian(labels=labels, logits=logits)
    (array([-0.4232868,  0.0731171]), array([0.375     , 0.18210977]))
    """
    return _asymmetric(
        "gradient_and_hessian",
        {"labels": labels, "logits": logits},
        Weighting.of_each(weights, label_smoothing, where),
        gamma_positive=gamma_positive,
        gamma_negative=gamma_negative,
        clip=clip,
    )


def asymmetric_sigmoid_value_and_grad(
    multi_class_labels: Array,
    logits: Array,
    weights: Any = 1.0,
    label_smoothing: Any = 0,
    scope: str | None = None,
    loss_collection: str | None = GraphKeys.LOSSES,
    reduction: Reduction | str = Reduction.SUM_BY_NONZERO_WEIGHTS,
    *,
    pos_weight: Any = None,
    where: Any = None,
    axis: int | tuple[int, ...] | None = None,
    ignore_index: int | None = None,
    gamma_positive: Any = 1.0,
    gamma_negative: Any = 4.0,
    clip: float = 0.05,
) -> tuple[Array, Array]:
    """Return `xbce.losses.asymmetric_sigmoid_loss` and its gradient by the logits.

    Parameters
    ----------
    multi_class_labels, logits : array
        As for `xbce.losses.asymmetric_sigmoid_loss`, as are all arguments.
    weights, label_smoothing : float or array
        As for that function.
    scope, loss_collection : str or None
        As for that function.
    reduction : Reduction or str
        As for that function.
    pos_weight : float or array, optional
        As for that function.
    where : bool or array of bool, optional
        As for that function.
    axis : int or tuple of int, optional
        As for that function.
    ignore_index : int, optional
        As for that function.
    gamma_positive, gamma_negative : float or array
        As for that function.
    clip : float
        As for that function.

    Returns
    -------
    loss : array
        As from `xbce.losses.asymmetric_sigmoid_loss`.
    gradient : array
        As from `xbce.derivatives.value_and_grad`.

    Raises
    ------
    ValueError, TypeError
        As for `xbce.losses.asymmetric_sigmoid_loss`.

    See Also
    --------
    xbce.losses.asymmetric_sigmoid_loss : The loss only.
    asymmetric_sigmoid_gradient : The derivative of each loss, not reduced.

    Notes
    -----
    With `axis` or ``Reduction.NONE`` the gradient is that of the sum of the losses.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.derivatives import asymmetric_sigmoid_value_and_grad
    >>> loss, gradient = asymmetric_sigmoid_value_and_grad(np.array([1, 0]), np.array([0.0, 0.0]))
    >>> gradient
    array([-0.2116434 ,  0.03655855])
    """
    return _asymmetric(
        "value_and_gradient",
        {"multi_class_labels": multi_class_labels, "logits": logits},
        Weighting(weights, label_smoothing, loss_collection, reduction, where, axis, ignore_index),
        name=scope,
        pos_weight=pos_weight,
        gamma_positive=gamma_positive,
        gamma_negative=gamma_negative,
        clip=clip,
    )


def _asymmetric(
    output: Output, arrays: dict[str, Array], weighting: Weighting | None, **how: Any
) -> Any:
    return evaluate(_losses.ASYMMETRIC, arrays, output=output, weighting=weighting, **how)
