"""Losses of labels that are independent of each other."""

from typing import Any

from xbce import _losses
from xbce._evaluate import evaluate
from xbce._typing import Array


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
    alpha: Any = None,
    gamma: Any = 2.0,
    name: str | None = None,
) -> Array:
    r"""Sigmoid cross entropy in which examples that are right already count less.

    Parameters
    ----------
    labels, logits : array
        As for `sigmoid_cross_entropy_with_logits`.
    alpha : float or array, optional
        From 0 to 1: weighs positives by `alpha` and negatives by ``1 - alpha``. None does
        not weigh them. An array broadcasts to `logits`, as one number a class does, and its
        values are not checked; likewise of `gamma`.
    gamma : float or array
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
        Likewise, and if `alpha` or `gamma` is no real number or array.

    See Also
    --------
    weighted_cross_entropy_with_logits : Weighs the positive class only.
    asymmetric_sigmoid_loss : Has another gamma for negatives.
    xbce.losses.sigmoid_focal_loss : Weighs and reduces these losses.
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


def asymmetric_sigmoid_loss(
    *,
    labels: Array,
    logits: Array,
    gamma_positive: Any = 1.0,
    gamma_negative: Any = 4.0,
    clip: float = 0.05,
    name: str | None = None,
) -> Array:
    r"""Sigmoid cross entropy in which negatives that are right already count next to nothing.

    For examples with many labels, of which few hold at once: positives fade by one focusing
    parameter, negatives by a larger one, and those of a probability up to `clip` are left out.

    Parameters
    ----------
    labels, logits : array
        As for `sigmoid_cross_entropy_with_logits`.
    gamma_positive, gamma_negative : float or array
        The focusing parameters, 0 or more and finite. An array broadcasts to `logits`, as one
        number a class does, and its values are not checked.
    clip : float
        From 0 to 0.99: what is taken off the probability of a negative. It is a number of
        Python, no array.
    name : str, optional
        Stands in error messages.

    Returns
    -------
    array
        The losses in nats, as from `sigmoid_cross_entropy_with_logits`.

    Raises
    ------
    ValueError
        As for `sigmoid_cross_entropy_with_logits`, and if a number is out of bounds.
    TypeError
        Likewise, and if `clip` is no number of Python.

    See Also
    --------
    sigmoid_focal_loss : Has one gamma for both, and weighs the classes by alpha.
    xbce.losses.asymmetric_sigmoid_loss : Weighs and reduces these losses.
    xbce.derivatives.asymmetric_sigmoid_gradient : The derivative in closed form.

    Notes
    -----
    With :math:`p = \sigma(x)`, :math:`m` the `clip` and :math:`p_m = \max(p - m, 0)`,

    .. math:: -z (1 - p)^{\gamma_+} \log p - (1 - z) \, p_m^{\gamma_-} \log(1 - p_m)

    Up to a gamma of 5 it is within 32 ulp in float64 and 48 in float32, next to the clip too, where
    the power is a normal number. Ridnik et al., Asymmetric Loss For Multi-Label Classification,
    2021, https://arxiv.org/abs/2009.14119.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.nn import asymmetric_sigmoid_loss
    >>> asymmetric_sigmoid_loss(labels=np.array([1, 0, 0]), logits=np.array([0.0, 0.0, -4.0]))
    array([0.34657359, 0.02451505, 0.        ])
    """
    return evaluate(
        _losses.ASYMMETRIC,
        {"labels": labels, "logits": logits},
        name=name,
        gamma_positive=gamma_positive,
        gamma_negative=gamma_negative,
        clip=clip,
    )
