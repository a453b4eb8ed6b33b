"""Element-wise losses on logits, named and argued as in ``tf.nn``."""

from typing import Any

from xbce import _losses
from xbce._evaluate import evaluate
from xbce._typing import Array

__all__ = [
    "sigmoid_cross_entropy_with_logits",
    "sigmoid_focal_loss",
    "softmax_cross_entropy_with_logits",
    "sparse_softmax_cross_entropy_with_logits",
    "weighted_cross_entropy_with_logits",
]


def sigmoid_cross_entropy_with_logits(
    *, labels: Array, logits: Array, name: str | None = None
) -> Array:
    r"""Sigmoid cross entropy of each logit with its label.

    Measures the error of a probability :math:`\sigma(x) = 1/(1 + e^{-x})`, given
    as its logit :math:`x`, where each outcome is independent of the others: binary
    classification, or several labels that may hold at once.

    Parameters
    ----------
    labels : array
        Probabilities in [0, 1], of the shape of `logits` (nothing is broadcast), and of
        its dtype or of a bool or integer one. Under ``torch.autocast`` float32 labels are
        taken too. Outside [0, 1] the formula is extended linearly; values are not checked.
    logits : array
        Real numbers of any shape, of dtype float16, bfloat16, float32 or float64;
        16-bit floats are computed in float32 and rounded once. Infinite logits are
        exact: the loss is 0 where one agrees with a hard label.
    name : str, optional
        Stands in error messages.

    Returns
    -------
    array
        The losses in nats: a new array of the shape, dtype, namespace and device of
        `logits`. Under ``torch.autocast`` losses of 16-bit logits are float32. NumPy memory
        maps give a plain ndarray; other subclasses of ndarray keep their type.

    Raises
    ------
    ValueError
        If `labels` or `logits` is None, or their shapes or devices differ.
    TypeError
        If they are no arrays or of two libraries, or their dtypes do not fit.

    See Also
    --------
    weighted_cross_entropy_with_logits : Weighs the positive class.
    softmax_cross_entropy_with_logits : Is for classes that exclude each other.
    xbce.losses.sigmoid_cross_entropy : Weighs and reduces these losses.
    xbce.derivatives.gradient : The derivative in closed form.

    Notes
    -----
    With :math:`z` the label, and :math:`s = 1` where :math:`x \ge 0`, else 0:

    .. math::
        -z \log \sigma(x) - (1 - z) \log(1 - \sigma(x))
        = x (s - z) + \log(1 + e^{-|x|})

    The form on the right cancels nowhere. The name and the meaning are those of
    `tf.nn.sigmoid_cross_entropy_with_logits
    <https://www.tensorflow.org/api_docs/python/tf/nn/sigmoid_cross_entropy_with_logits>`__.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce import sigmoid_cross_entropy_with_logits
    >>> logits = np.array([1.0, -1.0, 0.0, np.inf])
    >>> labels = np.array([1.0, 1.0, 0.5, 1.0])
    >>> sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
    array([0.31326169, 1.31326169, 0.69314718, 0.        ])
    """
    return evaluate(_losses.SIGMOID, {"labels": labels, "logits": logits}, name=name)


def weighted_cross_entropy_with_logits(
    *, labels: Array, logits: Array, pos_weight: Any, name: str | None = None
) -> Array:
    r"""Sigmoid cross entropy with the positive class weighted.

    A `pos_weight` above 1 makes missed positives dearer, and so raises the recall;
    one below 1 raises the precision.

    Parameters
    ----------
    labels, logits : array
        As for `sigmoid_cross_entropy_with_logits`.
    pos_weight : float or array
        The coefficient of the positive part: a scalar, or an array that broadcasts to
        `logits`, such as one weight a class. It must not enlarge the result.
    name : str, optional
        Stands in error messages.

    Returns
    -------
    array
        The losses in nats, as from `sigmoid_cross_entropy_with_logits`.

    Raises
    ------
    ValueError, TypeError
        As for `sigmoid_cross_entropy_with_logits`, and likewise of `pos_weight`.

    See Also
    --------
    sigmoid_cross_entropy_with_logits : The same with a weight of 1.
    sigmoid_focal_loss : Weighs both classes, and examples by how wrong they are.
    xbce.losses.sigmoid_cross_entropy : Takes a `pos_weight` too, and reduces.

    Notes
    -----
    With :math:`q` the weight,

    .. math:: -q z \log \sigma(x) - (1 - z) \log(1 - \sigma(x))

    Name and meaning are those of `tf.nn.weighted_cross_entropy_with_logits
    <https://www.tensorflow.org/api_docs/python/tf/nn/weighted_cross_entropy_with_logits>`__;
    its gradient at logit 0 is right here.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.nn import weighted_cross_entropy_with_logits
    >>> logits, labels = np.array([1.0, -1.0]), np.array([1.0, 0.0])
    >>> weighted_cross_entropy_with_logits(labels=labels, logits=logits, pos_weight=2.0)
    array([0.62652338, 0.31326169])
    """
    arrays = {"labels": labels, "logits": logits}
    return evaluate(_losses.WEIGHTED, arrays, name=name, pos_weight=pos_weight)


def sigmoid_focal_loss(
    *,
    labels: Array,
    logits: Array,
    alpha: float | None = None,
    gamma: float = 2.0,
    name: str | None = None,
) -> Array:
    r"""Sigmoid cross entropy in which examples that are right already count less.

    Parameters
    ----------
    labels, logits : array
        As for `sigmoid_cross_entropy_with_logits`.
    alpha : float, optional
        From 0 to 1: weighs positives by `alpha` and negatives by ``1 - alpha``. None does
        not weigh them. Like `gamma` it is a number, no array: inside `jax.jit` name both
        in ``static_argnames``.
    gamma : float
        The focusing parameter, 0 or more and finite. The larger it is, the less
        examples count that are right already; 0 counts all alike.
    name : str, optional
        Stands in error messages.

    Returns
    -------
    array
        The losses in nats, as from `sigmoid_cross_entropy_with_logits`.

    Raises
    ------
    ValueError
        As for `sigmoid_cross_entropy_with_logits`, and if `alpha` or `gamma` is out of bounds.
    TypeError
        Likewise, and if `alpha` or `gamma` is no number.

    See Also
    --------
    weighted_cross_entropy_with_logits : Weighs the positive class only.
    xbce.losses.compute_weighted_loss : Weighs and reduces these losses.
    xbce.derivatives.gradient : Takes `alpha` and `gamma` too.

    Notes
    -----
    With :math:`u = z \sigma(-x) + (1 - z) \sigma(x)` the probability given to what is not the
    label, and :math:`l` the sigmoid cross entropy,

    .. math:: (\alpha z + (1 - \alpha) (1 - z)) \, u^\gamma \, l

    Up to a `gamma` of 5 it is within 16 ulp in float64 and 24 in float32, where the power is a
    normal number too; the error grows with `gamma` (``docs/measurements.md``). Lin et al., Focal
    Loss for Dense Object Detection, 2017,
    https://arxiv.org/abs/1708.02002.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.nn import sigmoid_focal_loss
    >>> sigmoid_focal_loss(labels=np.array([1.0, 1.0]), logits=np.array([-3.0, 3.0]))
    array([2.76628044e+00, 1.09283324e-04])
    """
    arrays = {"labels": labels, "logits": logits}
    return evaluate(_losses.FOCAL, arrays, name=name, alpha=alpha, gamma=gamma)


def softmax_cross_entropy_with_logits(
    *, labels: Array, logits: Array, axis: int = -1, name: str | None = None
) -> Array:
    r"""Cross entropy of the softmax over classes that exclude each other.

    Parameters
    ----------
    labels : array
        Probabilities of the classes along `axis`, of the shape of `logits` (TensorFlow
        broadcasts them; here nothing is), and of a dtype as for
        `sigmoid_cross_entropy_with_logits`. They need not sum to 1.
    logits : array
        Real numbers, of dtype float16, bfloat16, float32 or float64. A class of label
        0 may be masked out with a logit of ``-inf``. One class must remain: a row of
        ``-inf`` only gives NaN.
    axis : int
        The axis of the classes.
    name : str, optional
        Stands in error messages.

    Returns
    -------
    array
        The losses in nats, of the shape of `logits` without `axis`; otherwise as from
        `sigmoid_cross_entropy_with_logits`.

    Raises
    ------
    ValueError
        If `labels` or `logits` is None, their shapes or devices differ, there is no such
        axis, or it has no classes.
    TypeError
        If they are no arrays or of two libraries, a dtype does not fit, or `axis` is no integer.

    See Also
    --------
    sparse_softmax_cross_entropy_with_logits : Takes class numbers as labels.
    sigmoid_cross_entropy_with_logits : Is for classes that may hold at once.
    xbce.losses.softmax_cross_entropy : Weighs and reduces these losses.
    xbce.derivatives.softmax_value_and_grad : The reduced loss and its gradient.

    Notes
    -----
    With :math:`m` the largest logit and :math:`d = x - m`,

    .. math:: -\sum_j z_j \log \mathrm{softmax}(x)_j = \sum_j z_j \left(
        \log\Bigl(1 + \sum_{k \ne \mathrm{argmax}} e^{d_k}\Bigr) - d_j \right)

    with the rounding error of each :math:`d_k` carried along. Name and meaning are those of
    `tf.nn.softmax_cross_entropy_with_logits
    <https://www.tensorflow.org/api_docs/python/tf/nn/softmax_cross_entropy_with_logits>`__.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.nn import softmax_cross_entropy_with_logits
    >>> logits = np.array([[1.0, 0.0], [0.0, -np.inf]])
    >>> softmax_cross_entropy_with_logits(labels=np.array([[1, 0], [1, 0]]), logits=logits)
    array([0.31326169, 0.        ])
    """
    return evaluate(_losses.SOFTMAX, {"labels": labels, "logits": logits}, axis=axis, name=name)


def sparse_softmax_cross_entropy_with_logits(
    *, labels: Array, logits: Array, name: str | None = None
) -> Array:
    r"""Cross entropy of the softmax with the number of the right class.

    Parameters
    ----------
    labels : array
        Class numbers of any integer dtype, of the shape of `logits` without its last axis.
        One that is no class gives NaN: values are never checked.
    logits : array
        Real numbers, ``[..., classes]``, as for `softmax_cross_entropy_with_logits`.
    name : str, optional
        Stands in error messages.

    Returns
    -------
    array
        The losses in nats, of the shape of `labels`; otherwise as from
        `sigmoid_cross_entropy_with_logits`.

    Raises
    ------
    ValueError, TypeError
        As for `softmax_cross_entropy_with_logits`.

    See Also
    --------
    softmax_cross_entropy_with_logits : Takes probabilities of the classes as labels.
    xbce.losses.sparse_softmax_cross_entropy : Weighs and reduces these losses.

    Notes
    -----
    The same as `softmax_cross_entropy_with_logits` of one-hot labels. Name and meaning are
    those of `tf.nn.sparse_softmax_cross_entropy_with_logits
    <https://www.tensorflow.org/api_docs/python/tf/nn/sparse_softmax_cross_entropy_with_logits>`__.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.nn import sparse_softmax_cross_entropy_with_logits
    >>> logits = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]])
    >>> sparse_softmax_cross_entropy_with_logits(labels=np.array([0, 0, 1]), logits=logits)
    array([0.31326169, 1.31326169, 0.69314718])
    """
    return evaluate(_losses.SPARSE_SOFTMAX, {"labels": labels, "logits": logits}, name=name)
