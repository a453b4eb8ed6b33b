"""Weighted losses of classes that exclude each other."""

from typing import Any

from xbce import _losses
from xbce._collection import GraphKeys
from xbce._evaluate import Weighting, evaluate
from xbce._reduction import Reduction
from xbce._typing import Array


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
    axis: int | tuple[int, ...] | None = None,
    class_axis: int = -1,
) -> Array:
    r"""Softmax cross entropy, weighted and reduced.

    Parameters
    ----------
    onehot_labels : array
        Probabilities of the classes along `class_axis`, of the shape of `logits` (TensorFlow
        broadcasts them; here nothing is) and of any real dtype; cast to that of `logits`.
    logits : array
        Real numbers, ``[batch, classes]`` or of any rank from 1, of dtype float16,
        bfloat16, float32 or float64. A class of label 0 may be masked out with ``-inf``;
        a row of ``-inf`` only gives NaN.
    weights : float or array
        Coefficients of the losses, whose shape is that of `logits` without the axis of classes:
        a scalar, or an array of their rank whose every dimension is 1 or theirs.
    label_smoothing : float or array of rank 0
        Moves labels towards equal probabilities:
        ``labels*(1 - label_smoothing) + label_smoothing/classes``. It must be finite; 0 or
        less does nothing.
    scope, loss_collection : str or None
        As for `sigmoid_cross_entropy`.
    reduction : Reduction or str
        As for `sigmoid_cross_entropy`.
    where : bool or array of bool, optional
        A mask, with a shape that weights may have; as for `sigmoid_cross_entropy`. One of the
        rank of `logits`, whose every dimension is 1 or theirs, leaves classes out: as if they
        had no logit and no label. A row with no class left is left out.
    axis : int or tuple of int, optional
        As for `sigmoid_cross_entropy`: axes of the losses, which lack that of the classes.
    class_axis : int
        The axis of the classes, of `logits` and labels.

    Returns
    -------
    array
        Of rank 0, with `axis` or ``Reduction.NONE`` of the shape that the losses have left;
        otherwise as from `sigmoid_cross_entropy`.

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
    weighting = Weighting(weights, label_smoothing, loss_collection, reduction, where, axis)
    arrays = {"onehot_labels": onehot_labels, "logits": logits}
    return evaluate(_losses.SOFTMAX, arrays, weighting=weighting, class_axis=class_axis, name=scope)


def sparse_softmax_cross_entropy(
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
) -> Array:
    """Softmax cross entropy with the number of the right class, weighted and reduced.

    Parameters
    ----------
    labels : array
        Class numbers of any integer dtype, of the shape of `logits` without the axis of
        classes, or with 1 in its place. One that is no class gives NaN.
    logits : array
        Real numbers, ``[batch, classes]`` or of any rank from 1; as for `softmax_cross_entropy`.
    weights : float or array
        As for `softmax_cross_entropy`. An array may have 1 in the place of the classes too.
    scope, loss_collection : str or None
        As for `sigmoid_cross_entropy`.
    reduction : Reduction or str
        As for `sigmoid_cross_entropy`.
    where : bool or array of bool, optional
        As for `softmax_cross_entropy`. A label whose class is left out gives NaN.
    axis : int or tuple of int, optional
        As for `softmax_cross_entropy`.
    class_axis : int
        The axis of the classes, of `logits`.
    label_smoothing : float or array of rank 0
        As for `softmax_cross_entropy`, with the probabilities that the labels stand for. On
        NumPy, CuPy and Dask no array of these is made but in parts.
    ignore_index : int, optional
        As for `sigmoid_cross_entropy`.

    Returns
    -------
    array
        As from `softmax_cross_entropy`.

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
    weighting = Weighting(
        weights, label_smoothing, loss_collection, reduction, where, axis, ignore_index
    )
    arrays = {"labels": labels, "logits": logits}
    return evaluate(
        _losses.SPARSE_SOFTMAX, arrays, weighting=weighting, class_axis=class_axis, name=scope
    )
