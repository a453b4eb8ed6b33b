"""The maths of xbce, and nothing else.

Every function here is pure and takes the namespace ``xp`` of its arrays first,
so the same few lines run on every array library, inside every compiler, and in
arbitrary precision. The sigmoid's use operators, ``astype``, ``exp``, ``log1p``,
``where`` and ``isinf`` only: what every fuser and tracer understands.

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

from typing import Any

# An array of any library, and the namespace it belongs to: the standard's own
# idea of a type, which no annotation can state more closely today.
Array = Any
Namespace = Any


# --- sigmoid ------------------------------------------------------------------


def sigmoid_cross_entropy(xp: Namespace, z: Array, x: Array, q: Any = None) -> Array:
    """-q*z*log σ(x) - (1 - z)*log σ(-x), element by element."""
    slope, curve, _, e = _tangent(xp, z, x, q)
    return _product(xp, slope, x) + _scaled(curve, xp.log1p(e))


def sigmoid_gradient(xp: Namespace, z: Array, x: Array, q: Any = None) -> Array:
    """The derivative of the loss by x; σ(x) - z without q."""
    slope, curve, sign, e = _tangent(xp, z, x, q)
    return slope + sign * _scaled(curve, e / (1 + e))


def sigmoid_gradient_and_hessian(
    xp: Namespace, z: Array, x: Array, q: Any = None
) -> tuple[Array, Array]:
    """The first and second derivative of the loss by x, from one exponential."""
    slope, curve, sign, e = _tangent(xp, z, x, q)
    share = _scaled(curve, e / (1 + e))
    return slope + sign * share, share / (1 + e)


def sigmoid_value_and_gradient(
    xp: Namespace, z: Array, x: Array, q: Any = None
) -> tuple[Array, Array]:
    """The loss and its derivative by x, from one exponential."""
    slope, curve, sign, e = _tangent(xp, z, x, q)
    loss = _product(xp, slope, x) + _scaled(curve, xp.log1p(e))
    return loss, slope + sign * _scaled(curve, e / (1 + e))


# The derivative by x where it is a formula of its own: what autograd may run without a graph.
GRADIENTS = {sigmoid_cross_entropy: sigmoid_gradient}


def _tangent(xp: Namespace, z: Array, x: Array, q: Any) -> tuple[Array, Any, Array, Array]:
    """t, the slope far from 0; c, which scales the curve near 0; 1 - 2s, the sign of -x; e."""
    s = xp.astype(x >= 0, x.dtype)
    sign = 1 - 2 * s
    e = xp.exp(x * sign)
    if q is None:
        return s - z, None, sign, e
    positive, negative = q * z, 1 - z  # 1 + (q - 1)*z for c would cancel
    return s * negative - (1 - s) * positive, negative + positive, sign, e


def _scaled(curve: Any, y: Array) -> Array:
    """c*y, without a pass over the array where there is no q and c is 1."""
    return y if curve is None else curve * y


def _product(xp: Namespace, slope: Array, x: Array) -> Array:
    """slope*x, and 0 where an infinite x meets slope 0: a logit that is certain and right.

    What is replaced is the factor, not the product, so that autodiff never
    multiplies 0 by infinity either.
    """
    return slope * xp.where((slope == 0) & xp.isinf(x), slope, x)


# --- focal --------------------------------------------------------------------
# The loss times u^γ (and times α for positives, 1 - α for negatives), with u = 1 - p_t the
# probability given to what is not the label (Lin et al. 2017, https://arxiv.org/abs/1708.02002;
# soft labels mix both):
#
#     u  = z*σ(-x) + (1 - z)*σ(x) = (a*e + b)/(1 + e)    a, b = z, 1 - z where x >= 0, else 1 - z, z
#     u' = (1 - 2z)*e/(1 + e)^2                          ρ = u'/u, finite even where u underflows
#
#     loss     = α u^γ l
#     gradient = α u^γ (l' + γ ρ l)
#     hessian  = α u^γ (l'' + 2γ ρ l' + γ ρ ((γ - 1) ρ + σ(-x) - σ(x)) l)


def focal_loss(
    xp: Namespace, z: Array, x: Array, q: Any = None, alpha: float | None = None, gamma: float = 2.0
) -> Array:
    """α u^γ times the sigmoid cross entropy."""
    slope, curve, sign, e = _tangent(xp, z, x, q)
    loss = _product(xp, slope, x) + _scaled(curve, xp.log1p(e))
    if gamma != 0:
        # Far out u is b, which is constant there: autodiff must not multiply 0 by infinity.
        power, _, b = _modulation(xp, z, x, sign, e, gamma)
        far, zeros = xp.isinf(x), 0 * z
        limit = xp.where(far, b, zeros + 1) ** gamma
        loss = xp.where(far, limit * loss, power * xp.where(far, zeros, loss))
    return _balanced(loss, z, alpha)


def focal_gradient_and_hessian(
    xp: Namespace, z: Array, x: Array, q: Any = None, alpha: float | None = None, gamma: float = 2.0
) -> tuple[Array, Array]:
    """The first and second derivative of the focal loss by x."""
    slope, curve, sign, e = _tangent(xp, z, x, q)
    loss = _product(xp, slope, x) + _scaled(curve, xp.log1p(e))
    share = _scaled(curve, e / (1 + e))
    first, second = slope + sign * share, share / (1 + e)
    if gamma != 0:
        power, rate, _ = _modulation(xp, z, x, sign, e, gamma)
        middle = sign * ((1 - e) / (1 + e))  # σ(-x) - σ(x)
        pull = _product(xp, gamma * rate, loss)
        bend = 2 * gamma * rate * first + pull * ((gamma - 1) * rate + middle)
        first, second = power * (first + pull), power * (second + bend)
    return _balanced(first, z, alpha), _balanced(second, z, alpha)


def _modulation(
    xp: Namespace, z: Array, x: Array, sign: Array, e: Array, gamma: float
) -> tuple[Array, Array, Array]:
    """u^γ, ρ = u'/u, and b."""
    s = (1 - sign) / 2
    a, b = s * z + (1 - s) * (1 - z), s * (1 - z) + (1 - s) * z
    certain, ones = b == 0, 0 * z + 1
    rate = (1 - 2 * z) * xp.where(certain, ones, e)
    rate = rate / (xp.where(certain, a, a * e + b) * (1 + e))
    # Where b is 0, u^γ = e^γ/(1 + e)^γ, and e^γ is taken as exp(-γ|x|): derivatives of a power
    # would pass through u^(γ - 2), which is not finite where u is small.
    power = xp.where(certain, ones, (a * e + b) / (1 + e)) ** gamma
    return xp.where(certain, _decay(xp, x * sign, e, gamma) / (1 + e) ** gamma, power), rate, b


def _decay(xp: Namespace, y: Array, e: Array, gamma: float) -> Array:
    """exp(γ*y), with the rounding error of the product, found by splitting both factors."""
    eps = xp.finfo(y.dtype).eps
    bits, rest = (12, 41) if eps > 1e-10 else (27, 27)  # of the halves of y, and off those of γ
    shifted = gamma * (2.0**rest + 1)
    gamma_high = shifted - (shifted - gamma)
    gamma_low = gamma - gamma_high
    moved = y * (2.0**bits + 1)
    high = moved - (moved - y)
    low = y - high
    product = y * gamma
    error = (high * gamma_high - product + low * gamma_high + high * gamma_low) + low * gamma_low
    return xp.exp(product) * (1 + xp.where(e == 0, 0 * e, error))


def _balanced(loss: Array, z: Array, alpha: float | None) -> Array:
    """The loss times α for positives and 1 - α for negatives."""
    return loss if alpha is None else loss * (alpha * z + (1 - alpha) * (1 - z))


# --- softmax ------------------------------------------------------------------
# Over the classes on the last axis, with m the logit of the argmax (gathered, so that autodiff is
# right at ties), d = x - m, r its rounding error, and S the sum of exp(d + r) over the other
# classes:
#
#     loss     = Σ_j z_j*(log1p(S) - d_j)
#     gradient = (Σz)*p - z,  p = exp(d + r)/(1 + S), and for the argmax ((Σz - z) - z*S)/(1 + S)


def softmax_cross_entropy(xp: Namespace, z: Array, x: Array, classes: Array) -> Array:
    """-Σ_j z_j*log softmax(x)_j; a class of label 0 counts nothing, whatever its logit."""
    _, d, _, rest = _powers(xp, x, classes)
    return xp.sum(_product(xp, z, xp.log1p(rest) - d), axis=-1)


def softmax_value_and_gradient(
    xp: Namespace, z: Array, x: Array, classes: Array
) -> tuple[Array, Array]:
    """The loss and its derivative by each logit."""
    top, d, powers, rest = _powers(xp, x, classes)
    loss = xp.sum(_product(xp, z, xp.log1p(rest) - d), axis=-1)
    total = xp.sum(z, axis=-1, keepdims=True)
    others = xp.sum(xp.where(top, xp.zeros_like(z), z), axis=-1, keepdims=True)
    of_top = (others - z * rest) / (1 + rest)  # others is Σz - z without its rounding
    return loss, xp.where(top, of_top, total * (powers / (1 + rest)) - z)


def sparse_softmax_cross_entropy(xp: Namespace, labels: Array, x: Array, classes: Array) -> Array:
    """-log softmax(x) at the label's class; NaN where the label is none of the classes."""
    z = xp.astype(classes == xp.astype(labels, classes.dtype)[..., None], x.dtype)
    return softmax_cross_entropy(xp, z, x, classes) / xp.sum(z, axis=-1)


def _powers(xp: Namespace, x: Array, classes: Array) -> tuple[Array, Array, Array, Array]:
    """Where the argmax is, d, exp(d + r), and S; `classes` are the numbers 0, 1, 2 and so on."""
    top = classes == xp.argmax(x, axis=-1)[..., None]
    zeros = xp.zeros_like(x)
    m = xp.sum(xp.where(top, x, zeros), axis=-1, keepdims=True)
    d = xp.where(top, zeros, x - m)
    moved = d - x  # -m as d knows it: the two-sum of x and -m
    error = (x - (d - moved)) + (-m - moved)
    error = xp.where(top | xp.isinf(d), zeros, error)
    powers = xp.exp(d) * (1 + error)
    return top, d, powers, xp.sum(xp.where(top, zeros, powers), axis=-1, keepdims=True)


# --- labels and masks ---------------------------------------------------------


def smooth(xp: Namespace, z: Array, smoothing: Any, classes: int = 2) -> Array:
    """Labels mixed with the uniform distribution: z*(1 - L) + L/classes where L > 0."""
    if isinstance(smoothing, (int, float)):
        return z * (1 - smoothing) + smoothing / classes if smoothing > 0 else z
    return xp.where(smoothing > 0, z * (1 - smoothing) + smoothing / classes, z)


def masked(xp: Namespace, array: Array, mask: Array | None = None, fill: float = 0) -> Array:
    """The array, and `fill` where the mask, which may lack the axis of classes, leaves it out."""
    if mask is None:
        return array
    if 0 < mask.ndim < array.ndim:
        mask = mask[..., None]
    # An array of its value, from the mask: fusers know no zeros_like.
    return xp.where(mask, array, 0 * xp.astype(mask, array.dtype) + fill)
