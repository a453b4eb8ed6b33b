"""Element-wise losses on logits, named and argued as in ``tf.nn``."""

from xbce import _formula
from xbce._elementwise import elementwise
from xbce._formula import Array

__all__ = ["sigmoid_cross_entropy_with_logits"]


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
        Probabilities in [0, 1], of the shape of `logits`, and of its dtype or of a
        bool or integer one. Outside [0, 1] the formula is extended linearly; values
        are not checked.
    logits : array
        Real numbers of any shape, of dtype float16, bfloat16, float32 or float64;
        16-bit floats are computed in float32 and rounded once. Infinite logits are
        exact: the loss is 0 where one agrees with a hard label.
    name : str, optional
        Stands in error messages.

    Returns
    -------
    array
        The losses in nats, of the shape, dtype, namespace and device of `logits`.

    Raises
    ------
    ValueError
        If one of them is None, or their shapes or devices differ.
    TypeError
        If they are no arrays or of two libraries, or their dtypes do not fit.

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
    return elementwise(_formula.sigmoid_cross_entropy, labels, logits, name=name)
