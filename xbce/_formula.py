"""The maths of xbce, and nothing else.

Every function here is pure and takes the namespace ``xp`` of its arrays first,
so the same few lines run on every array library, inside every compiler, and in
arbitrary precision. They use operators, ``astype``, ``exp``, ``log1p``,
``where`` and ``isinf`` only: what every fuser and tracer understands.

Below, x is a logit, z its label, σ(x) = 1/(1 + exp(-x)) the probability that
the logit stands for, and

    s = 1 where x >= 0, else 0          (a constant for autodiff)
    e = exp(x*(1 - 2s)) = exp(-|x|)     (never overflows)

The cross entropy of a Bernoulli variable, -z*log σ(x) - (1 - z)*log σ(-x), is
then

    loss     = x*(s - z) + log1p(e)
    gradient = (s - z) + (1 - 2s)*e/(1 + e)
    hessian  = e/(1 + e)^2

For labels in [0, 1] both terms of the loss are non-negative, so nothing
cancels. On either side of 0 the loss is the same analytic function, so autodiff
of these lines is right to every order, at 0 and at infinity too; a formula with
``abs``, ``maximum`` or ``clip`` in it is not.
"""

from typing import Any

# An array of any library, and the namespace it belongs to: the standard's own
# idea of a type, which no annotation can state more closely today.
Array = Any
Namespace = Any


def sigmoid_cross_entropy(xp: Namespace, z: Array, x: Array) -> Array:
    """-z*log σ(x) - (1 - z)*log σ(-x), element by element."""
    slope, _, e = _tangent(xp, z, x)
    return _product(xp, slope, x) + xp.log1p(e)


def sigmoid_gradient(xp: Namespace, z: Array, x: Array) -> Array:
    """σ(x) - z, the derivative of the loss by x."""
    slope, sign, e = _tangent(xp, z, x)
    return slope + sign * (e / (1 + e))


def sigmoid_value_and_gradient(xp: Namespace, z: Array, x: Array) -> tuple[Array, Array]:
    """The loss and its derivative by x, from one exponential."""
    slope, sign, e = _tangent(xp, z, x)
    return _product(xp, slope, x) + xp.log1p(e), slope + sign * (e / (1 + e))


def sigmoid_gradient_and_hessian(xp: Namespace, z: Array, x: Array) -> tuple[Array, Array]:
    """σ(x) - z and σ(x)*σ(-x), the first and second derivative of the loss by x."""
    slope, sign, e = _tangent(xp, z, x)
    share = e / (1 + e)
    return slope + sign * share, share / (1 + e)


def smooth(xp: Namespace, z: Array, smoothing: Array, classes: int = 2) -> Array:
    """Labels mixed with the uniform distribution: z*(1 - L) + L/classes where L > 0."""
    if isinstance(smoothing, (int, float)):
        return z * (1 - smoothing) + smoothing / classes if smoothing > 0 else z
    return xp.where(smoothing > 0, z * (1 - smoothing) + smoothing / classes, z)


def _tangent(xp: Namespace, z: Array, x: Array) -> tuple[Array, Array, Array]:
    """s - z, the slope of the loss far from 0; 1 - 2s, the sign of -x; and e."""
    s = xp.astype(x >= 0, x.dtype)
    sign = 1 - 2 * s
    return s - z, sign, xp.exp(x * sign)


def _product(xp: Namespace, slope: Array, x: Array) -> Array:
    """slope*x, and 0 where an infinite x meets slope 0: a logit that is certain and right.

    What is replaced is the factor, not the product, so that autodiff never
    multiplies 0 by infinity either.
    """
    return slope * xp.where((slope == 0) & xp.isinf(x), slope, x)
