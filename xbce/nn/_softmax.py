"""Losses of classes that exclude each other."""

from xbce import _losses
from xbce._evaluate import evaluate
from xbce._typing import Array


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
    return evaluate(
        _losses.SOFTMAX, {"labels": labels, "logits": logits}, class_axis=axis, name=name
    )


def sparse_softmax_cross_entropy_with_logits(
    *, labels: Array, logits: Array, axis: int = -1, name: str | None = None
) -> Array:
    r"""Cross entropy of the softmax with the number of the right class.

    Parameters
    ----------
    labels : array
        Class numbers of any integer dtype, of the shape of `logits` without `axis`.
        One that is no class gives NaN: values are never checked.
    logits : array
        As for `softmax_cross_entropy_with_logits`.
    axis : int
        The axis of the classes of `logits`.
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
    arrays = {"labels": labels, "logits": logits}
    return evaluate(_losses.SPARSE_SOFTMAX, arrays, class_axis=axis, name=name)
