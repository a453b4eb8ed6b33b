"""Weighted, smoothed and reduced losses, named and argued as in ``tf.compat.v1.losses``."""

from typing import Any

from xbce import _formula
from xbce._collection import (
    GraphKeys,
    LossCollection,
    add_loss,
    collect_losses,
    get_losses,
    get_total_loss,
)
from xbce._formula import Array, Namespace
from xbce._weighted import weighted_loss
from xbce._weighting import Reduction

__all__ = [
    "GraphKeys",
    "LossCollection",
    "Reduction",
    "add_loss",
    "collect_losses",
    "compute_weighted_loss",
    "get_losses",
    "get_total_loss",
    "sigmoid_cross_entropy",
]


def sigmoid_cross_entropy(
    multi_class_labels: Array,
    logits: Array,
    weights: Any = 1.0,
    label_smoothing: Any = 0,
    scope: str | None = None,
    loss_collection: str | None = GraphKeys.LOSSES,
    reduction: Reduction | str = Reduction.SUM_BY_NONZERO_WEIGHTS,
) -> Array:
    r"""Sigmoid cross entropy, weighted and reduced.

    Parameters
    ----------
    multi_class_labels : array
        Labels in [0, 1], of the shape of `logits` and of any real dtype; cast to
        that of `logits`.
    logits : array
        Real numbers of any shape, usually ``[batch, classes]``, of dtype float16,
        bfloat16, float32 or float64.
    weights : float or array
        Coefficients of the losses: a scalar, or an array of the rank of `logits`
        whose every dimension is 1 or that of `logits`. For a weight a row, pass
        ``weights[:, None]``. A weight of 0 does not hide NaN.
    label_smoothing : float or array of rank 0
        Where it is greater than 0, labels are moved towards 1/2:
        ``labels*(1 - label_smoothing) + 0.5*label_smoothing``.
    scope : str, optional
        Stands in error messages, and in the loss collection.
    loss_collection : str or None
        The collection to which the result is added inside a block of
        `collect_losses`; None adds nothing.
    reduction : Reduction or str
        How the weighted losses become one number; see `Reduction`.

    Returns
    -------
    array
        Of rank 0, or of the shape of `logits` with ``Reduction.NONE``; of the
        dtype, namespace and device of `logits`. float32 is summed in float64 where
        the device has it.

    Raises
    ------
    ValueError
        If `multi_class_labels`, `logits` or `weights` is None or of a wrong shape,
        or `reduction` is unknown.
    TypeError
        If an argument is no array or of another library, or of a wrong dtype.

    Notes
    -----
    With :math:`l` the element-wise losses of
    `xbce.nn.sigmoid_cross_entropy_with_logits`, :math:`W` the weights broadcast to
    them, the default reduction is :math:`\sum l W` divided by the number of non-zero
    weights, and 0 where there is none. Name and meaning are those of
    `tf.compat.v1.losses.sigmoid_cross_entropy
    <https://www.tensorflow.org/api_docs/python/tf/compat/v1/losses/sigmoid_cross_entropy>`__.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce import sigmoid_cross_entropy
    >>> labels, logits = np.array([[1, 0], [0, 1]]), np.array([[2.0, -1.0], [0.0, 3.0]])
    >>> float(round(sigmoid_cross_entropy(labels, logits), 6))
    0.295481
    >>> weights = np.array([[1.0], [0.0]])
    >>> float(round(sigmoid_cross_entropy(labels, logits, weights), 6))
    0.220095
    """
    return weighted_loss(
        _formula.sigmoid_cross_entropy,
        {"multi_class_labels": multi_class_labels, "logits": logits},
        weights=weights,
        label_smoothing=label_smoothing,
        scope=scope,
        default_scope="sigmoid_cross_entropy_loss",
        loss_collection=loss_collection,
        reduction=reduction,
    )


def compute_weighted_loss(
    losses: Array,
    weights: Any = 1.0,
    scope: str | None = None,
    loss_collection: str | None = GraphKeys.LOSSES,
    reduction: Reduction | str = Reduction.SUM_BY_NONZERO_WEIGHTS,
) -> Array:
    """Weigh and reduce element-wise losses of your own.

    Parameters
    ----------
    losses : array
        Element-wise losses of any shape, of dtype float16, bfloat16, float32 or
        float64.
    weights : float or array
        Coefficients: a scalar, or an array of the rank of `losses` whose every
        dimension is 1 or that of `losses`.
    scope : str, optional
        Stands in error messages, and in the loss collection.
    loss_collection : str or None
        The collection to which the result is added inside a block of
        `collect_losses`; None adds nothing.
    reduction : Reduction or str
        How the weighted losses become one number; see `Reduction`.

    Returns
    -------
    array
        Of rank 0, or of the shape of `losses` with ``Reduction.NONE``; of the
        dtype, namespace and device of `losses`.

    Raises
    ------
    ValueError
        If `losses` or `weights` is None or of a wrong shape, or `reduction` is
        unknown.
    TypeError
        If an argument is no array or of another library, or of a wrong dtype.

    Notes
    -----
    Name and meaning are those of `tf.compat.v1.losses.compute_weighted_loss
    <https://www.tensorflow.org/api_docs/python/tf/compat/v1/losses/compute_weighted_loss>`__.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.losses import Reduction, compute_weighted_loss
    >>> losses, weights = np.array([1.0, 2.0, 3.0]), np.array([1.0, 0.5, 0.0])
    >>> float(compute_weighted_loss(losses, weights))
    1.0
    >>> float(compute_weighted_loss(losses, weights, reduction=Reduction.SUM))
    2.0
    """
    return weighted_loss(
        _itself,
        {"losses": losses},
        weights=weights,
        scope=scope,
        default_scope="weighted_loss",
        loss_collection=loss_collection,
        reduction=reduction,
    )


def _itself(xp: Namespace, losses: Array) -> Array:
    return losses
