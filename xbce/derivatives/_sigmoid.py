"""Derivatives of losses of labels that are independent of each other."""

from typing import Any

from xbce import _losses
from xbce._collection import GraphKeys
from xbce._evaluate import Weighting, evaluate
from xbce._reduction import Reduction
from xbce._typing import Array


def gradient(
    *,
    labels: Array,
    logits: Array,
    weights: Any = 1.0,
    label_smoothing: Any = 0,
    pos_weight: Any = None,
    alpha: Any = None,
    gamma: Any = 0.0,
    where: Any = None,
) -> Array:
    r"""Return the derivative of each loss by its logit.

    Parameters
    ----------
    labels, logits : array
        As for `xbce.nn.sigmoid_cross_entropy_with_logits`. But labels of another floating
        dtype are cast, where `xbce.nn` refuses them.
    weights : float or array
        What each derivative is multiplied by: as for `xbce.losses.sigmoid_cross_entropy`.
    label_smoothing : float or array of rank 0
        As for `xbce.losses.sigmoid_cross_entropy`.
    pos_weight : float or array, optional
        As for `xbce.nn.weighted_cross_entropy_with_logits`.
    alpha, gamma : float or array, optional
        As for `xbce.nn.sigmoid_focal_loss`. The defaults are the plain loss.
    where : bool or array of bool, optional
        A mask, as for `xbce.losses.sigmoid_cross_entropy`: 0 where it leaves elements out.

    Returns
    -------
    array
        Of the shape, dtype, namespace and device of `logits`. Under ``torch.autocast`` it
        is float32 where logits are of 16 bits.

    Raises
    ------
    ValueError, TypeError
        As for the functions named above.

    See Also
    --------
    gradient_hessian : The second derivative too.
    value_and_grad : The gradient of the weighted and reduced loss.
    xbce.nn.sigmoid_cross_entropy_with_logits : The losses.

    Notes
    -----
    For the plain loss, :math:`\sigma(x) - z = (s - z) \pm e/(1 + e)` with
    :math:`e = \exp(-|x|)`, :math:`s = 1` and the minus sign where :math:`x \ge 0`: with a hard
    label nothing cancels, at any logit. The other formulas are explained in ``xbce/_formula.py``
    and ``xbce/_focal.py``.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.derivatives import gradient
    >>> gradient(labels=np.array([1.0, 1.0, 0.0]), logits=np.array([0.0, 40.0, np.inf]))
    array([-5.00000000e-01, -4.24835426e-18,  1.00000000e+00])
    """
    loss, parameters = _losses.sigmoid_of(pos_weight, alpha, gamma)
    return evaluate(
        loss,
        {"labels": labels, "logits": logits},
        output="gradient",
        weighting=Weighting.of_each(weights, label_smoothing, where),
        **parameters,
    )


def gradient_hessian(
    *,
    labels: Array,
    logits: Array,
    weights: Any = 1.0,
    label_smoothing: Any = 0,
    pos_weight: Any = None,
    alpha: Any = None,
    gamma: Any = 0.0,
    where: Any = None,
) -> tuple[Array, Array]:
    r"""Return the first and second derivative of each loss by its logit.

    Parameters
    ----------
    labels, logits : array
        As for `gradient`.
    weights, label_smoothing : float or array
        As for `gradient`.
    pos_weight : float or array, optional
        As for `gradient`.
    alpha, gamma : float or array, optional
        As for `gradient`.
    where : bool or array of bool, optional
        As for `gradient`.

    Returns
    -------
    gradient : array
        As from `gradient`.
    hessian : array
        Of the same kind. The losses are independent, so this is the diagonal of the
        Hessian matrix.

    Raises
    ------
    ValueError, TypeError
        As for `gradient`.

    See Also
    --------
    gradient : The first derivative only.
    value_and_grad : The loss and its gradient, weighted and reduced.

    Notes
    -----
    For the plain loss the second is :math:`\sigma(x) \sigma(-x) = e/(1 + e)^2`, with
    :math:`e = \exp(-|x|)`. Both come from one exponential, as gradient boosting wants them.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.derivatives import gradient_hessian
    >>> gradient_hessian(labels=np.array([1.0, 0.0]), logits=np.array([0.0, 2.0]))
    (array([-0.5       ,  0.88079708]), array([0.25      , 0.10499359]))
    """
    loss, parameters = _losses.sigmoid_of(pos_weight, alpha, gamma)
    return evaluate(
        loss,
        {"labels": labels, "logits": logits},
        output="gradient_and_hessian",
        weighting=Weighting.of_each(weights, label_smoothing, where),
        **parameters,
    )


def value_and_grad(
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
    alpha: Any = None,
    gamma: Any = 0.0,
) -> tuple[Array, Array]:
    r"""Return `xbce.losses.sigmoid_cross_entropy` and its gradient by the logits.

    Takes the arguments of that function, and computes both from one exponential per element.

    Parameters
    ----------
    multi_class_labels, logits : array
        As for `xbce.losses.sigmoid_cross_entropy`, as are all arguments.
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
    alpha, gamma : float or array, optional
        As for `xbce.losses.sigmoid_focal_loss`. The defaults are the plain loss.

    Returns
    -------
    loss : array
        As from `xbce.losses.sigmoid_cross_entropy`.
    gradient : array
        The derivative of `loss` by each logit, of the shape of `logits` and the dtype of
        `loss`; that of its sum with `axis` or ``Reduction.NONE``.

    Raises
    ------
    ValueError, TypeError
        As for `xbce.losses.sigmoid_cross_entropy`.

    See Also
    --------
    xbce.losses.sigmoid_cross_entropy : The loss only.
    softmax_value_and_grad, asymmetric_sigmoid_value_and_grad : The same of other losses.
    gradient : The derivative of each loss, neither weighted nor reduced.

    Notes
    -----
    With smoothed labels :math:`z`, weights :math:`W` and :math:`D` the denominator
    of the reduction,

    .. math:: \frac{\partial L}{\partial x} = \frac{W}{D} (\sigma(x) - z)

    and 0 where :math:`D = 0`.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.derivatives import value_and_grad
    >>> loss, gradient = value_and_grad(np.array([[1, 0]]), np.array([[0.0, 0.0]]))
    >>> gradient
    array([[-0.25,  0.25]])
    """
    loss, parameters = _losses.sigmoid_of(pos_weight, alpha, gamma)
    weighting = Weighting(
        weights, label_smoothing, loss_collection, reduction, where, axis, ignore_index
    )
    return evaluate(
        loss,
        {"multi_class_labels": multi_class_labels, "logits": logits},
        output="value_and_gradient",
        weighting=weighting,
        name=scope,
        **parameters,
    )
