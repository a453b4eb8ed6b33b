"""Weighted, smoothed and reduced losses, named and argued as in ``tf.compat.v1.losses``."""

from typing import Any

from xbce import _losses
from xbce._collection import (
    GraphKeys,
    LossCollection,
    add_loss,
    collect_losses,
    get_losses,
    get_total_loss,
)
from xbce._evaluate import Weighting, evaluate
from xbce._reduction import Reduction
from xbce._typing import Array

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
    "softmax_cross_entropy",
    "sparse_softmax_cross_entropy",
]


def sigmoid_cross_entropy(
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
) -> Array:
    r"""Sigmoid cross entropy, weighted and reduced.

    Parameters
    ----------
    multi_class_labels : array
        Labels in [0, 1], of the shape of `logits` (nothing is broadcast) and of any real
        dtype; cast to that of `logits`.
    logits : array
        Real numbers of any shape, usually ``[batch, classes]``, of dtype float16,
        bfloat16, float32 or float64.
    weights : float or array
        Coefficients of the losses: a scalar, or an array of the rank of `logits`
        whose every dimension is 1 or that of `logits`. For a weight a row, pass
        ``weights[:, None]``. A weight of 0 does not hide NaN.
    label_smoothing : float or array of rank 0
        Moves labels towards 1/2: ``labels*(1 - label_smoothing) + 0.5*label_smoothing``.
        It must be finite; 0 or less does nothing.
    scope : str, optional
        Stands in error messages, and in the loss collection; there it is
        "sigmoid_cross_entropy_loss" by default.
    loss_collection : str or None
        The collection to which the result is added inside a block of
        `collect_losses`; None adds nothing.
    reduction : Reduction or str
        How the weighted losses become one number: one of `Reduction`, or its string.
    pos_weight : float or array, optional
        The coefficient of the positive part, as for `xbce.nn.weighted_cross_entropy_with_logits`.
    where : bool or array of bool, optional
        A mask, with a shape that weights may have. What it leaves out is as if it were
        not there, in the result, in the denominator and in every gradient, whatever its
        logits, labels and weights hold, NaN too; with ``Reduction.NONE`` it is 0.

    Returns
    -------
    array
        A new array of rank 0, or of the shape of `logits` with ``Reduction.NONE``; of the
        dtype, namespace and device of `logits`, but float32 under ``torch.autocast`` where
        logits are of 16 bits. Sums of float32 are added up in float64 where the device has it.

    Raises
    ------
    ValueError
        If `multi_class_labels`, `logits` or `weights` is None, a shape or device does not
        fit, `label_smoothing` is not finite, or `reduction` is unknown.
    TypeError
        If an argument is no array or of another library, or of a wrong dtype.

    See Also
    --------
    xbce.nn.sigmoid_cross_entropy_with_logits : The losses, element by element.
    xbce.derivatives.value_and_grad : This loss and its gradient.
    softmax_cross_entropy : Is for classes that exclude each other.
    Reduction : The ways to reduce.

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
    weighting = Weighting(weights, label_smoothing, loss_collection, reduction, where)
    arrays = {"multi_class_labels": multi_class_labels, "logits": logits}
    return evaluate(_losses.SIGMOID, arrays, weighting=weighting, name=scope, pos_weight=pos_weight)


def softmax_cross_entropy(
    onehot_labels: Array,
    logits: Array,
    weights: Any = 1.0,
    label_smoothing: Any = 0,
    scope: str | None = None,
    loss_collection: str | None = GraphKeys.LOSSES,
    reduction: Reduction | str = Reduction.SUM_BY_NONZERO_WEIGHTS,
    *,
    where: Any = None,
) -> Array:
    r"""Softmax cross entropy, weighted and reduced.

    Parameters
    ----------
    onehot_labels : array
        Probabilities of the classes on the last axis, of the shape of `logits` (TensorFlow
        broadcasts them; here nothing is) and of any real dtype; cast to that of `logits`.
    logits : array
        Real numbers, ``[batch, classes]`` or of any rank from 1, of dtype float16,
        bfloat16, float32 or float64. A class of label 0 may be masked out with ``-inf``;
        a row of ``-inf`` only gives NaN.
    weights : float or array
        Coefficients of the losses, whose shape is that of `logits` without the last
        axis: a scalar, or an array of their rank whose every dimension is 1 or theirs.
    label_smoothing : float or array of rank 0
        Moves labels towards equal probabilities:
        ``labels*(1 - label_smoothing) + label_smoothing/classes``. It must be finite; 0 or
        less does nothing.
    scope, loss_collection : str or None
        As for `sigmoid_cross_entropy`.
    reduction : Reduction or str
        As for `sigmoid_cross_entropy`.
    where : bool or array of bool, optional
        A mask, with a shape that weights may have; as for `sigmoid_cross_entropy`.

    Returns
    -------
    array
        Of rank 0, or of the shape of the losses with ``Reduction.NONE``; otherwise as from
        `sigmoid_cross_entropy`.

    Raises
    ------
    ValueError, TypeError
        As for `sigmoid_cross_entropy`.

    See Also
    --------
    xbce.nn.softmax_cross_entropy_with_logits : The losses, row by row.
    xbce.derivatives.softmax_value_and_grad : This loss and its gradient.
    sparse_softmax_cross_entropy : Takes class numbers as labels.
    Reduction : The ways to reduce.

    Notes
    -----
    The element-wise losses are those of `xbce.nn.softmax_cross_entropy_with_logits`. Name and
    meaning are those of `tf.compat.v1.losses.softmax_cross_entropy
    <https://www.tensorflow.org/api_docs/python/tf/compat/v1/losses/softmax_cross_entropy>`__.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.losses import softmax_cross_entropy
    >>> float(softmax_cross_entropy(np.array([[1, 0, 0]]), np.zeros((1, 3))).round(6))
    1.098612
    """
    weighting = Weighting(weights, label_smoothing, loss_collection, reduction, where)
    arrays = {"onehot_labels": onehot_labels, "logits": logits}
    return evaluate(_losses.SOFTMAX, arrays, weighting=weighting, name=scope)


def sparse_softmax_cross_entropy(
    labels: Array,
    logits: Array,
    weights: Any = 1.0,
    scope: str | None = None,
    loss_collection: str | None = GraphKeys.LOSSES,
    reduction: Reduction | str = Reduction.SUM_BY_NONZERO_WEIGHTS,
    *,
    where: Any = None,
) -> Array:
    """Softmax cross entropy with the number of the right class, weighted and reduced.

    Parameters
    ----------
    labels : array
        Class numbers of any integer dtype, of the shape of `logits` without its last
        axis, or with 1 in its place. One that is no class gives NaN.
    logits : array
        Real numbers, ``[batch, classes]`` or of any rank from 1; as for `softmax_cross_entropy`.
    weights : float or array
        As for `softmax_cross_entropy`. An array may have one more dimension, a last one of 1.
    scope, loss_collection : str or None
        As for `sigmoid_cross_entropy`.
    reduction : Reduction or str
        As for `sigmoid_cross_entropy`.
    where : bool or array of bool, optional
        As for `sigmoid_cross_entropy`, with a shape that weights may have.

    Returns
    -------
    array
        Of rank 0, or of the shape of the losses with ``Reduction.NONE``; otherwise as from
        `sigmoid_cross_entropy`.

    Raises
    ------
    ValueError, TypeError
        As for `sigmoid_cross_entropy`.

    See Also
    --------
    xbce.nn.sparse_softmax_cross_entropy_with_logits : The losses, row by row.
    softmax_cross_entropy : Takes probabilities of the classes as labels.
    Reduction : The ways to reduce.

    Notes
    -----
    Name and meaning are those of `tf.compat.v1.losses.sparse_softmax_cross_entropy
    <https://www.tensorflow.org/api_docs/python/tf/compat/v1/losses/sparse_softmax_cross_entropy>`__.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.losses import sparse_softmax_cross_entropy
    >>> float(sparse_softmax_cross_entropy(np.array([0, 2]), np.zeros((2, 3))).round(6))
    1.098612
    """
    weighting = Weighting(weights, 0, loss_collection, reduction, where)
    arrays = {"labels": labels, "logits": logits}
    return evaluate(_losses.SPARSE_SOFTMAX, arrays, weighting=weighting, name=scope)


def compute_weighted_loss(
    losses: Array,
    weights: Any = 1.0,
    scope: str | None = None,
    loss_collection: str | None = GraphKeys.LOSSES,
    reduction: Reduction | str = Reduction.SUM_BY_NONZERO_WEIGHTS,
    *,
    where: Any = None,
) -> Array:
    """Weigh and reduce element-wise losses of your own.

    Parameters
    ----------
    losses : array
        Element-wise losses of any shape, of dtype float16, bfloat16, float32 or float64.
    weights : float or array
        Coefficients: a scalar, or an array of the rank of `losses` whose every
        dimension is 1 or that of `losses`.
    scope : str, optional
        Stands in error messages, and in the loss collection; there it is "weighted_loss"
        by default.
    loss_collection : str or None
        As for `sigmoid_cross_entropy`.
    reduction : Reduction or str
        As for `sigmoid_cross_entropy`.
    where : bool or array of bool, optional
        A mask, with a shape that weights may have; as for `sigmoid_cross_entropy`.

    Returns
    -------
    array
        Of rank 0, or of the shape of `losses` with ``Reduction.NONE``; never `losses`
        itself. Otherwise as from `sigmoid_cross_entropy`.

    Raises
    ------
    ValueError, TypeError
        As for `sigmoid_cross_entropy`.

    See Also
    --------
    sigmoid_cross_entropy, softmax_cross_entropy : Compute the losses too.
    add_loss : Adds a loss to the collection as it is.
    Reduction : The ways to reduce.

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
    weighting = Weighting(weights, 0, loss_collection, reduction, where)
    return evaluate(_losses.GIVEN, {"losses": losses}, weighting=weighting, name=scope)
