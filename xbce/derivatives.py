"""Closed-form derivatives by the logits, for arrays without autodiff."""

from typing import Any

from xbce import _formula
from xbce._collection import GraphKeys
from xbce._formula import Array
from xbce._weighted import weighted_loss
from xbce._weighting import Reduction

__all__ = ["value_and_grad"]


def value_and_grad(
    multi_class_labels: Array,
    logits: Array,
    weights: Any = 1.0,
    label_smoothing: Any = 0,
    scope: str | None = None,
    loss_collection: str | None = GraphKeys.LOSSES,
    reduction: Reduction | str = Reduction.SUM_BY_NONZERO_WEIGHTS,
) -> tuple[Array, Array]:
    r"""Return `xbce.losses.sigmoid_cross_entropy` and its gradient by the logits.

    Takes the arguments of that function, with the same errors, and computes both
    from one exponential per element.

    Parameters
    ----------
    multi_class_labels, logits, weights, label_smoothing, scope, loss_collection, reduction
        As for `xbce.losses.sigmoid_cross_entropy`.

    Returns
    -------
    loss : array
        As from `xbce.losses.sigmoid_cross_entropy`.
    gradient : array
        The derivative of `loss` by each logit, of the shape and dtype of `logits`;
        that of its sum with ``Reduction.NONE``.

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
    return weighted_loss(
        _formula.sigmoid_value_and_gradient,
        {"multi_class_labels": multi_class_labels, "logits": logits},
        weights=weights,
        label_smoothing=label_smoothing,
        scope=scope,
        default_scope="sigmoid_cross_entropy_loss",
        loss_collection=loss_collection,
        reduction=reduction,
        gradient=True,
    )
