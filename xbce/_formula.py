"""The maths of xbce, and nothing else.

Every function here is pure and takes the namespace ``xp`` of its arrays first,
so the same few lines run on every array library, inside every compiler, and in
arbitrary precision. The sigmoid's use operators, ``astype``, ``exp``, ``log1p``,
``where`` and ``isinf`` only: what every compiler and tracer understands. The focal loss, the
cross entropy times a power, is in `_focal`.

Below, x is a logit, z its label, q the weight of the positive class (1 if none is
given), σ(x) = 1/(1 + exp(-x)) the probability that the logit stands for, and

    s = 1 where x >= 0, else 0          (a constant for autodiff)
    e = exp(x*(1 - 2s)) = exp(-|x|)     (never overflows)
    c = (1 - z) + q*z
    t = s*(1 - z) - (1 - s)*q*z         (s - z without q)

The cross entropy of a Bernoulli variable, -q*z*log σ(x) - (1 - z)*log σ(-x), and
its derivatives by x are then

    loss     = x*t + c*log1p(e)
    gradient = t + (1 - 2s)*c*e/(1 + e)
    hessian  = c*e/(1 + e)^2

For labels in [0, 1] both terms of the loss are non-negative, so nothing
cancels. On either side of 0 the loss is the same analytic function, so autodiff
of these lines is right to every order, at 0 and at infinity too; a formula with
``abs``, ``maximum`` or ``clip`` in it is not.
"""

from math import nan
from typing import Any

from xbce._typing import Array, Namespace

# --- sigmoid ------------------------------------------------------------------


def sigmoid_cross_entropy(xp: Namespace, z: Array, x: Array, pos_weight: Any = None) -> Array:
    """-q*z*log σ(x) - (1 - z)*log σ(-x), element by element."""
    slope, curve, _, e = tangent(xp, z, x, pos_weight)
    return product(xp, slope, x) + scaled_by(curve, xp.log1p(e))


def sigmoid_gradient(xp: Namespace, z: Array, x: Array, pos_weight: Any = None) -> Array:
    """The derivative of the loss by x; σ(x) - z without pos_weight."""
    slope, curve, sign, e = tangent(xp, z, x, pos_weight)
    return slope + sign * scaled_by(curve, e / (1 + e))


def sigmoid_gradient_and_hessian(
    xp: Namespace, z: Array, x: Array, pos_weight: Any = None
) -> tuple[Array, Array]:
    """The first and second derivative of the loss by x, from one exponential."""
    slope, curve, sign, e = tangent(xp, z, x, pos_weight)
    share = scaled_by(curve, e / (1 + e))
    return slope + sign * share, share / (1 + e)


def sigmoid_value_and_gradient(
    xp: Namespace, z: Array, x: Array, pos_weight: Any = None
) -> tuple[Array, Array]:
    """The loss and its derivative by x, from one exponential."""
    slope, curve, sign, e = tangent(xp, z, x, pos_weight)
    loss = product(xp, slope, x) + scaled_by(curve, xp.log1p(e))
    return loss, slope + sign * scaled_by(curve, e / (1 + e))


def sigmoid_terms(xp: Namespace, z: Array, x: Array, pos_weight: Any = None) -> tuple[Array, Array]:
    """(1 - z)*σ(x) + q*z*σ(-x), what is subtracted in the gradient added up; and the Hessian."""
    up, down = sigmoid_gradient(xp, 0 * z, x), -sigmoid_gradient(xp, 0 * z + 1, x, pos_weight)
    _, hessian = sigmoid_gradient_and_hessian(xp, z, x, pos_weight)
    return (1 - z) * up + z * down, hessian


def tangent(xp: Namespace, z: Array, x: Array, q: Any) -> tuple[Array, Any, Array, Array]:
    """t, the slope far from 0; c, which scales the curve near 0; 1 - 2s, the sign of -x; e."""
    s = xp.astype(x >= 0, x.dtype)
    sign = 1 - 2 * s
    e = xp.exp(x * sign)
    if q is None:
        return s - z, None, sign, e
    positive, negative = q * z, 1 - z  # 1 + (q - 1)*z for c would cancel
    return s * negative - (1 - s) * positive, negative + positive, sign, e


def scaled_by(curve: Any, y: Array) -> Array:
    """c*y, without a pass over the array where there is no q and c is 1."""
    return y if curve is None else curve * y


def product(xp: Namespace, slope: Array, x: Array) -> Array:
    """slope*x, and 0 where an infinite x meets slope 0: a logit that is certain and right.

    What is replaced is the factor, not the product, so that autodiff never
    multiplies 0 by infinity either.
    """
    return slope * xp.where((slope == 0) & xp.isinf(x), slope, x)


# --- softmax ------------------------------------------------------------------
# Over the classes on the last axis, with m the logit of the argmax (chosen by a mask, so that
# autodiff is right at ties), d = x - m, r its rounding error, p = exp(d + r) but 0 for the argmax,
# S = Σp, and L = log1p(S):
#
#     loss     = Σ_j z_j*(L - d_j)
#     gradient = p*Σz/(1 + S) - z,         and for the argmax ((Σz - z) - z*S)/(1 + S)
#     hessian  = Σz*p*(1 + S - p)/(1 + S)^2,  and for the argmax Σz*S/(1 + S)^2   (its diagonal)
#
# `class_numbers` are the numbers 0, 1, 2 and so on. What is one of each row keeps an axis of size
# 1. Rows may be long, so few arrays of a row's size are held at a time: each is deleted where it is
# of no more use.


def softmax_cross_entropy(xp: Namespace, z: Array, x: Array, class_numbers: Array) -> Array:
    """-Σ_j z_j*log softmax(x)_j; a class of label 0 counts nothing, whatever its logit."""
    _, top, d, powers, rest = _softmax(xp, x, class_numbers)
    del powers, top
    return _loss(xp, z, d, rest)


def softmax_gradient(xp: Namespace, z: Array, x: Array, class_numbers: Array) -> Array:
    """The derivative of the loss by each logit."""
    _, top, d, powers, rest = _softmax(xp, x, class_numbers)
    del d
    return _slopes(xp, z, top, powers, rest)


def softmax_value_and_gradient(
    xp: Namespace, z: Array, x: Array, class_numbers: Array
) -> tuple[Array, Array]:
    """The loss and its derivative by each logit."""
    _, top, d, powers, rest = _softmax(xp, x, class_numbers)
    loss = _loss(xp, z, d, rest)
    del d
    return loss, _slopes(xp, z, top, powers, rest)


def softmax_gradient_and_hessian(
    xp: Namespace, z: Array, x: Array, class_numbers: Array
) -> tuple[Array, Array]:
    """The derivative of the loss by each logit, and the second one by the same logit."""
    _, top, d, powers, rest = _softmax(xp, x, class_numbers)
    del d
    bends = _bends(xp, top, powers, rest)
    return _slopes(xp, z, top, powers, rest), xp.sum(z, axis=-1)[..., None] * bends


def softmax_terms(xp: Namespace, z: Array, x: Array, class_numbers: Array) -> tuple[Array, Array]:
    """(Σz - z)*p + z*(1 - p), what is subtracted in the gradient added up; and the Hessian."""
    _, top, _, powers, rest = _softmax(xp, x, class_numbers)
    p = xp.where(top, rest * 0 + 1, powers)
    whole = xp.sum(z, axis=-1)[..., None]
    first = ((whole - z) * p + z * xp.where(top, rest, 1 + rest - p)) / (1 + rest)
    return first, whole * _bends(xp, top, powers, rest)


def sparse_softmax_cross_entropy(
    xp: Namespace, labels: Array, x: Array, class_numbers: Array
) -> Array:
    """-log softmax(x) at the label's class; NaN where the label is none of the classes."""
    _, top, d, powers, rest = _softmax(xp, x, class_numbers)
    del powers, top
    label, rest = _checked(xp, labels, class_numbers, rest)
    return _sparse_loss(xp, class_numbers == label, d, rest)


def sparse_softmax_gradient(xp: Namespace, labels: Array, x: Array, class_numbers: Array) -> Array:
    """The derivative of the loss by each logit; NaN where the label is none of the classes."""
    best, top, d, powers, rest = _softmax(xp, x, class_numbers)
    del d
    label, rest = _checked(xp, labels, class_numbers, rest)
    return _sparse_slopes(xp, class_numbers == label, label == best, top, powers, rest)


def sparse_softmax_value_and_gradient(
    xp: Namespace, labels: Array, x: Array, class_numbers: Array
) -> tuple[Array, Array]:
    """The loss and its derivative by each logit; NaN where the label is none of the classes."""
    best, top, d, powers, rest = _softmax(xp, x, class_numbers)
    label, rest = _checked(xp, labels, class_numbers, rest)
    at_label = class_numbers == label
    loss = _sparse_loss(xp, at_label, d, rest)
    del d
    return loss, _sparse_slopes(xp, at_label, label == best, top, powers, rest)


def sparse_softmax_gradient_and_hessian(
    xp: Namespace, labels: Array, x: Array, class_numbers: Array
) -> tuple[Array, Array]:
    """The derivatives of the loss by each logit; NaN where the label is none of the classes."""
    best, top, d, powers, rest = _softmax(xp, x, class_numbers)
    del d
    label, rest = _checked(xp, labels, class_numbers, rest)
    bends = _bends(xp, top, powers, rest)
    return _sparse_slopes(xp, class_numbers == label, label == best, top, powers, rest), bends


def _softmax(
    xp: Namespace, x: Array, class_numbers: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """The argmax, where it is, d, p and S."""
    best = xp.astype(xp.argmax(x, axis=-1), class_numbers.dtype)[..., None]
    top = class_numbers == best
    m = _chosen(xp, top, x)
    zero = xp.zeros_like(m)
    d = xp.where(top, zero, x - m)
    moved = d - x  # -m as d knows it: the two-sum of x and -m
    error = (x - (d - moved)) + (-m - moved)
    del moved
    error = xp.where(xp.isnan(error), zero, error)  # as it is where d is infinite
    powers = xp.where(top, zero, xp.exp(d) * (1 + error))
    del error
    return best, top, d, powers, xp.sum(powers, axis=-1)[..., None]


def _loss(xp: Namespace, z: Array, d: Array, rest: Array) -> Array:
    """Σ_j z_j*(L - d_j)."""
    return xp.sum(product(xp, z, xp.log1p(rest) - d), axis=-1)


def _slopes(xp: Namespace, z: Array, top: Array, powers: Array, rest: Array) -> Array:
    """p*Σz/(1 + S) - z, and the slope of the argmax, where Σz - z is a sum without its rounding."""
    own, others = _chosen(xp, top, z), xp.sum(xp.where(top, 0 * rest, z), axis=-1)[..., None]
    of_top = (others - own * rest) / (1 + rest)
    return xp.where(top, of_top, powers * ((own + others) / (1 + rest)) - z)


def _bends(xp: Namespace, top: Array, powers: Array, rest: Array) -> Array:
    """p*(1 - p) of the probabilities p themselves."""
    share = powers / (1 + rest)
    own, others = 1 / (1 + rest), rest / (1 + rest)
    bends = share * (others + (own - share))
    del share
    return xp.where(top, own * others, bends)


def _sparse_loss(xp: Namespace, at_label: Array, d: Array, rest: Array) -> Array:
    """L - d of the label."""
    return (xp.log1p(rest) - _chosen(xp, at_label, d))[..., 0]


def _sparse_slopes(
    xp: Namespace, at_label: Array, label_is_top: Array, top: Array, powers: Array, rest: Array
) -> Array:
    """The slopes where the label is 1 for one class: p/(1 + S), less 1 for that."""
    of_label = xp.where(label_is_top, -rest, _chosen(xp, at_label, powers) - (1 + rest))
    slopes = xp.where(top, 1 / (1 + rest), powers * (1 / (1 + rest)))
    return xp.where(at_label, of_label / (1 + rest), slopes)


def _chosen(xp: Namespace, mask: Array, array: Array) -> Array:
    """The one element of each row that the mask chooses."""
    zero = xp.zeros_like(array[..., :1])
    return xp.sum(xp.where(mask, array, zero), axis=-1)[..., None]


def _checked(
    xp: Namespace, labels: Array, class_numbers: Array, rest: Array
) -> tuple[Array, Array]:
    """The labels in the dtype of the classes, and S, but NaN where the label is no class."""
    labels = labels[..., None]
    numbers = xp.astype(labels, class_numbers.dtype)
    known = (numbers >= 0) & (numbers < class_numbers.shape[-1])
    held = xp.astype(numbers, labels.dtype) == labels  # what wraps in that dtype is no class
    return numbers, xp.where(known & held, rest, 0 * rest + nan)


# --- labels and masks ---------------------------------------------------------


def smooth(xp: Namespace, z: Array, smoothing: Any, class_count: int = 2) -> Array:
    """Labels mixed with the uniform distribution: z*(1 - L) + L/class_count where L > 0."""
    if isinstance(smoothing, (int, float)):
        return z * (1 - smoothing) + smoothing / class_count if smoothing > 0 else z
    return xp.where(smoothing > 0, z * (1 - smoothing) + smoothing / class_count, z)


def one_hot(
    xp: Namespace, labels: Array, x: Array, class_numbers: Array, counted: Array | None = None
) -> Array:
    """Probabilities from the numbers of classes: 1 for the label, 0 for the others.

    NaN for all of a row whose label is none of the classes, or none of those that are `counted`.
    """
    label, one = _checked(xp, labels, class_numbers, xp.ones_like(x[..., :1]))
    at_label = class_numbers == label
    if counted is not None:
        at_label = at_label & counted
        one = xp.where(
            xp.sum(xp.astype(at_label, x.dtype), axis=-1)[..., None] > 0, one, 0 * one + nan
        )
    # Chosen, not multiplied: a compiler may take 0 times NaN for 0 where it sees a truth value.
    return xp.where(xp.isnan(one), one, xp.astype(at_label, x.dtype))


def masked(xp: Namespace, array: Array, mask: Array | None = None, fill: float = 0) -> Array:
    """The array, and `fill` where the mask, which may lack the axis of classes, leaves it out."""
    if mask is None:
        return array
    if 0 < mask.ndim < array.ndim:
        mask = mask[..., None]
    # An array of its value, since some libraries take no number here.
    return xp.where(mask, array, 0 * xp.astype(mask, array.dtype) + fill)


# --- losses that are given ------------------------------------------------------


def identity(xp: Namespace, x: Array) -> Array:
    """The losses themselves."""
    return x


def ones(xp: Namespace, x: Array) -> Array:
    """Their derivative."""
    return xp.ones_like(x)
