"""Derivatives of softmax cross entropy with numbers of classes."""

from typing import Any

from xbce import _losses
from xbce._collection import GraphKeys
from xbce._evaluate import Weighting, evaluate
from xbce._reduction import Reduction
from xbce._typing import Array


def sparse_softmax_gradient(
    *,
    labels: Array,
    logits: Array,
    weights: Any = 1.0,
    label_smoothing: Any = 0,
    where: Any = None,
    class_axis: int = -1,
) -> Array:
    """Return the derivative of each sparse softmax cross entropy by the logits of its row.

    Parameters
    ----------
    labels, logits : array
        As for `xbce.losses.sparse_softmax_cross_entropy`.
    weights, label_smoothing : float or array
        As for `xbce.losses.sparse_softmax_cross_entropy`.
    where : bool or array of bool, optional
        As for `xbce.losses.sparse_softmax_cross_entropy`: 0 where it leaves rows or classes out.
    class_axis : int
        The axis of the classes.

    Returns
    -------
    array
        Of the shape of `logits`, otherwise as from `xbce.derivatives.gradient`.

    Raises
    ------
    ValueError, TypeError
        As for `xbce.losses.sparse_softmax_cross_entropy`.

    See Also
    --------
    sparse_softmax_gradient_hessian : The second derivative too.
    sparse_softmax_value_and_grad : The gradient of the weighted and reduced loss.

    Notes
    -----
    The softmax, less 1 at the label; see `softmax_value_and_grad` for the formula.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.derivatives import sparse_softmax_gradient
    >>> sparse_softmax_gradient(labels=np.array([0]), logits=np.array([[0.0, 0.0]]))
    array([[-0.5,  0.5]])
    """
    return evaluate(
        _losses.SPARSE_SOFTMAX,
        {"labels": labels, "logits": logits},
        output="gradient",
        weighting=Weighting.of_each(weights, label_smoothing, where),
        class_axis=class_axis,
    )


def sparse_softmax_gradient_hessian(
    *,
    labels: Array,
    logits: Array,
    weights: Any = 1.0,
    label_smoothing: Any = 0,
    where: Any = None,
    class_axis: int = -1,
) -> tuple[Array, Array]:
    r"""Return the first and second derivative of each sparse softmax cross entropy.

    Parameters
    ----------
    labels, logits : array
        As for `sparse_softmax_gradient`.
    weights, label_smoothing : float or array
        As for `sparse_softmax_gradient`.
    where : bool or array of bool, optional
        As for `sparse_softmax_gradient`.
    class_axis : int
        The axis of the classes.

    Returns
    -------
    gradient : array
        As from `sparse_softmax_gradient`.
    hessian : array
        Of the same kind: the diagonal of the Hessian matrix of each row, the second derivative by
        each logit alone.

    Raises
    ------
    ValueError, TypeError
        As for `sparse_softmax_gradient`.

    See Also
    --------
    sparse_softmax_gradient : The first derivative only.

    Notes
    -----
    With :math:`p` the softmax, the second is :math:`p_k (1 - p_k)`, whatever the label.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.derivatives import sparse_softmax_gradient_hessian
    >>> sparse_softmax_gradient_hessian(labels=np.array([0]), logits=np.zeros((1, 2)))
    (array([[-0.5,  0.5]]), array([[0.25, 0.25]]))
    """
    return evaluate(
        _losses.SPARSE_SOFTMAX,
        {"labels": labels, "logits": logits},
        output="gradient_and_hessian",
        weighting=Weighting.of_each(weights, label_smoothing, where),
        class_axis=class_axis,
    )


def sparse_softmax_value_and_grad(
    labels: Array,
    logits: Array,
    weights: Any = 1.0,
    scope: str | None = None,
    loss_collection: str | None = GraphKeys.LOSSES,
    reduction: Reduction | str = Reduction.SUM_BY_NONZERO_WEIGHTS,
    *,
    where: Any = None,
    axis: int | tuple[int, ...] | None = None,
    class_axis: int = -1,
    label_smoothing: Any = 0,
    ignore_index: int | None = None,
) -> tuple[Array, Array]:
    """Return `xbce.losses.sparse_softmax_cross_entropy` and its gradient by the logits.

    Parameters
    ----------
    labels, logits : array
        As for `xbce.losses.sparse_softmax_cross_entropy`, as are all arguments.
    weights : float or array
        As for that function.
    scope, loss_collection : str or None
        As for that function.
    reduction : Reduction or str
        As for that function.
    where : bool or array of bool, optional
        As for that function.
    axis : int or tuple of int, optional
        As for that function.
    class_axis : int
        As for that function.
    label_smoothing : float or array of rank 0
        As for that function.
    ignore_index : int, optional
        As for that function.

    Returns
    -------
    loss : array
        As from `xbce.losses.sparse_softmax_cross_entropy`.
    gradient : array
        As from `softmax_value_and_grad`.

    Raises
    ------
    ValueError, TypeError
        As for `xbce.losses.sparse_softmax_cross_entropy`.

    See Also
    --------
    xbce.losses.sparse_softmax_cross_entropy : The loss only.
    softmax_value_and_grad : Takes probabilities of the classes as labels.

    Notes
    -----
    The formula is that of `softmax_value_and_grad`, with 1 for the label and 0 for the others.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.derivatives import sparse_softmax_value_and_grad
    >>> sparse_softmax_value_and_grad(np.array([0]), np.array([[40.0, 0.0]]))[1]
    array([[-4.24835426e-18,  4.24835426e-18]])
    """
    weighting = Weighting(
        weights, label_smoothing, loss_collection, reduction, where, axis, ignore_index
    )
    return evaluate(
        _losses.SPARSE_SOFTMAX,
        {"labels": labels, "logits": logits},
        output="value_and_gradient",
        weighting=weighting,
        class_axis=class_axis,
        name=scope,
    )
