"""Weighted losses of labels that are independent of each other."""

from typing import Any

from xbce import _losses
from xbce._collection import GraphKeys
from xbce._evaluate import Weighting, evaluate
from xbce._reduction import Reduction
from xbce._typing import Array


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
    axis: int | tuple[int, ...] | None = None,
    ignore_index: int | None = None,
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
    axis : int or tuple of int, optional
        Which axes of the losses to reduce, each remaining place with a denominator of its own;
        by default all. With ``Reduction.NONE`` it must be None.
    ignore_index : int, optional
        Labels equal to it are left out as by `where`, whatever their logits are.

    Returns
    -------
    array
        A new array of rank 0, with `axis` of the shape of `logits` without it, or of the shape
        of `logits` with ``Reduction.NONE``; of the dtype, namespace and device of `logits`, but
        float32 under ``torch.autocast`` where logits are of 16 bits. Sums of float32 are added
        up in float64 where the device has it.

    Raises
    ------
    ValueError
        If `multi_class_labels`, `logits` or `weights` is None, a shape, axis or device does not
        fit, `label_smoothing` is not finite, or `reduction` is unknown.
    TypeError
        If an argument is no array or of another library, or of a wrong dtype.

    See Also
    --------
    xbce.nn.sigmoid_cross_entropy_with_logits : The losses, element by element.
    xbce.derivatives.value_and_grad : This loss and its gradient.
    sigmoid_focal_loss, asymmetric_sigmoid_loss : Count less what is right already.
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

    A loss of each row, which has two classes:

    >>> sigmoid_cross_entropy(labels, logits, axis=1)
    array([0.22009485, 0.37086727])
    """
    weighting = Weighting(
        weights, label_smoothing, loss_collection, reduction, where, axis, ignore_index
    )
    arrays = {"multi_class_labels": multi_class_labels, "logits": logits}
    return evaluate(_losses.SIGMOID, arrays, weighting=weighting, name=scope, pos_weight=pos_weight)


def sigmoid_focal_loss(
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
    gamma: Any = 2.0,
) -> Array:
    r"""Sigmoid focal loss, weighted and reduced.

    Parameters
    ----------
    multi_class_labels, logits : array
        As for `sigmoid_cross_entropy`.
    weights, label_smoothing : float or array
        As for that function.
    scope, loss_collection : str or None
        As for that function; the default scope is "sigmoid_focal_loss".
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
    alpha : float or array, optional
        As for `xbce.nn.sigmoid_focal_loss`.
    gamma : float or array
        As for `xbce.nn.sigmoid_focal_loss`.

    Returns
    -------
    array
        As from `sigmoid_cross_entropy`.

    Raises
    ------
    ValueError, TypeError
        As for `sigmoid_cross_entropy` and `xbce.nn.sigmoid_focal_loss`.

    See Also
    --------
    xbce.nn.sigmoid_focal_loss : The losses, element by element, and their formula.
    xbce.derivatives.value_and_grad : This loss and its gradient, with the same `gamma`.
    asymmetric_sigmoid_loss : Has another gamma for negatives.
    Reduction : The ways to reduce.

    Notes
    -----
    The paper divides the sum by the number of positives: with ``Reduction.SUM`` that is left to
    you. Lin et al., Focal Loss for Dense Object Detection, 2017, https://arxiv.org/abs/1708.02002.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.losses import sigmoid_focal_loss
    >>> labels, logits = np.array([[1, 0], [0, 1]]), np.array([[2.0, -1.0], [0.0, 3.0]])
    >>> float(sigmoid_focal_loss(labels, logits, alpha=0.25).round(6))
    0.036859
    """
    weighting = Weighting(
        weights, label_smoothing, loss_collection, reduction, where, axis, ignore_index
    )
    return evaluate(
        _losses.FOCAL,
        {"multi_class_labels": multi_class_labels, "logits": logits},
        weighting=weighting,
        name=scope,
        pos_weight=pos_weight,
        alpha=alpha,
        gamma=gamma,
    )


def asymmetric_sigmoid_loss(
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
) -> Array:
    r"""Asymmetric loss for several labels at once, weighted and reduced.

    Parameters
    ----------
    multi_class_labels, logits : array
        As for `sigmoid_cross_entropy`.
    weights, label_smoothing : float or array
        As for that function.
    scope, loss_collection : str or None
        As for that function; the default scope is "asymmetric_sigmoid_loss".
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
        As for `xbce.nn.asymmetric_sigmoid_loss`.
    clip : float
        As for `xbce.nn.asymmetric_sigmoid_loss`.

    Returns
    -------
    array
        As from `sigmoid_cross_entropy`.

    Raises
    ------
    ValueError, TypeError
        As for `sigmoid_cross_entropy` and `xbce.nn.asymmetric_sigmoid_loss`.

    See Also
    --------
    xbce.nn.asymmetric_sigmoid_loss : The losses, element by element, and their formula.
    xbce.derivatives.asymmetric_sigmoid_value_and_grad : This loss and its gradient.
    sigmoid_focal_loss : Has one gamma for both.
    Reduction : The ways to reduce.

    Notes
    -----
    Ridnik et al., Asymmetric Loss For Multi-Label Classification, 2021,
    https://arxiv.org/abs/2009.14119, add the losses up: ``Reduction.SUM``.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.losses import asymmetric_sigmoid_loss
    >>> labels, logits = np.array([[1, 0], [0, 1]]), np.array([[2.0, -1.0], [0.0, 3.0]])
    >>> float(asymmetric_sigmoid_loss(labels, logits, reduction="weighted_sum").round(6))
    0.042517
    """
    weighting = Weighting(
        weights, label_smoothing, loss_collection, reduction, where, axis, ignore_index
    )
    return evaluate(
        _losses.ASYMMETRIC,
        {"multi_class_labels": multi_class_labels, "logits": logits},
        weighting=weighting,
        name=scope,
        pos_weight=pos_weight,
        gamma_positive=gamma_positive,
        gamma_negative=gamma_negative,
        clip=clip,
    )
