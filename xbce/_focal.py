"""The focal loss: sigmoid cross entropy that counts what is right already the less.

The loss times u^γ (and times α for positives, 1 - α for negatives), with u = 1 - p_t the
probability given to what is not the label (Lin et al. 2017, https://arxiv.org/abs/1708.02002;
soft labels mix both). With

    u  = z*σ(-x) + (1 - z)*σ(x) = (a*e + b)/(1 + e)   a, b = z, 1 - z where x >= 0, else 1 - z, z
    u' = (1 - 2z)*e/(1 + e)^2                          r = γ*u'/u, finite even where u underflows

and l the cross entropy,

    u^γ      = (a*e + b)^γ * exp(-γ*log1p(e))
    loss     = u^γ l
    gradient = u^γ (l' + r l)
    hessian  = u^γ (l'' + 2 r l' + r (r - r/γ + σ(-x) - σ(x)) l)
"""

from math import inf, log
from typing import Any, NamedTuple

from xbce._formula import (
    product,
    scaled_by,
    sigmoid_cross_entropy,
    sigmoid_gradient,
    sigmoid_terms,
    tangent,
)
from xbce._numbers import is_number
from xbce._typing import Array, Namespace


def focal_loss(
    xp: Namespace,
    z: Array,
    x: Array,
    pos_weight: Any = None,
    alpha: Any = None,
    gamma: Any = 2.0,
) -> Array:
    """α u^γ times the sigmoid cross entropy."""
    slope, curve, sign, e = tangent(xp, z, x, pos_weight)
    if _is_zero(gamma):
        loss = product(xp, slope, x) + scaled_by(curve, xp.log1p(e))
    else:
        loss = _focal_value(xp, x, slope, _focal(xp, z, x, slope, curve, sign, e, gamma), gamma)
    return loss if alpha is None else product(xp, _balance(z, alpha), loss)


def focal_gradient(
    xp: Namespace,
    z: Array,
    x: Array,
    pos_weight: Any = None,
    alpha: Any = None,
    gamma: Any = 2.0,
) -> Array:
    """The derivative of the focal loss by x."""
    slope, curve, sign, e = tangent(xp, z, x, pos_weight)
    first = slope + sign * scaled_by(curve, e / (1 + e))
    if not _is_zero(gamma):
        parts = _focal(xp, z, x, slope, curve, sign, e, gamma)
        first = parts.power * (first + _rate(xp, z, parts, gamma) * parts.inner)
    return first if alpha is None else _balance(z, alpha) * first


def focal_value_and_gradient(
    xp: Namespace,
    z: Array,
    x: Array,
    pos_weight: Any = None,
    alpha: Any = None,
    gamma: Any = 2.0,
) -> tuple[Array, Array]:
    """The focal loss and its derivative by x."""
    slope, curve, sign, e = tangent(xp, z, x, pos_weight)
    first = slope + sign * scaled_by(curve, e / (1 + e))
    if _is_zero(gamma):
        loss = product(xp, slope, x) + scaled_by(curve, xp.log1p(e))
    else:
        parts = _focal(xp, z, x, slope, curve, sign, e, gamma)
        loss = _focal_value(xp, x, slope, parts, gamma)
        first = parts.power * (first + _rate(xp, z, parts, gamma) * parts.inner)
    if alpha is None:
        return loss, first
    balance = _balance(z, alpha)
    return product(xp, balance, loss), balance * first


def focal_gradient_and_hessian(
    xp: Namespace,
    z: Array,
    x: Array,
    pos_weight: Any = None,
    alpha: Any = None,
    gamma: Any = 2.0,
) -> tuple[Array, Array]:
    """The first and second derivative of the focal loss by x."""
    slope, curve, sign, e = tangent(xp, z, x, pos_weight)
    share = scaled_by(curve, e / (1 + e))
    first, second = slope + sign * share, share / (1 + e)
    if not _is_zero(gamma):
        parts = _focal(xp, z, x, slope, curve, sign, e, gamma)
        power, rate = parts.power, _rate(xp, z, parts, gamma)
        middle = sign * ((1 - e) / (1 + e))  # σ(-x) - σ(x)
        pull = rate * parts.inner
        # r/γ, which nobody needs where γ, of an array, is 0
        share = rate / (
            _held(xp, x, gamma) if is_number(gamma) else xp.where(gamma == 0, 0 * gamma + 1, gamma)
        )
        bend = 2 * rate * first + pull * (rate - share + middle)
        first, second = power * (first + pull), power * (second + bend)
    if alpha is None:
        return first, second
    balance = _balance(z, alpha)
    return balance * first, balance * second


def focal_terms(
    xp: Namespace,
    z: Array,
    x: Array,
    pos_weight: Any = None,
    alpha: Any = None,
    gamma: Any = 2.0,
) -> tuple[Array, Array]:
    """Gradient and Hessian with each of their terms, those of l among them, taken as positive."""
    up, down = sigmoid_gradient(xp, 0 * z, x), -sigmoid_gradient(xp, 0 * z + 1, x)
    first, second = sigmoid_terms(xp, z, x, pos_weight)
    loss = sigmoid_cross_entropy(xp, z, x, pos_weight)
    u = z * down + (1 - z) * up
    scale = u**gamma if alpha is None else _balance(z, alpha) * u**gamma
    share = abs(1 - 2 * z) * up * down / u  # r/γ
    bend = gamma * share * (2 * first + (abs(gamma - 1) * share + 1) * loss)
    return scale * (first + gamma * share * loss), scale * (second + bend)


class _Focal(NamedTuple):
    """What the values of a focal loss are made of."""

    power: Array  # u^γ
    inner: Array  # l, but 0 where it is infinite
    far: Array  # where that is
    a: Array
    b: Array
    e: Array
    certain: Array  # where b is 0
    mixed: Array  # a*e + b, but 1 where b is 0
    scaled: Array  # γ*e


def _focal(
    xp: Namespace,
    z: Array,
    x: Array,
    slope: Array,
    curve: Any,
    sign: Array,
    e: Array,
    gamma: Any,
) -> _Focal:
    """What u^γ and its derivatives are made of, from the tangent of the loss."""
    s, zeros = (1 - sign) / 2, 0 * sign
    a, b = s * z + (1 - s) * (1 - z), s * (1 - z) + (1 - s) * z
    # Where e is 0 it is a constant: autodiff must not take its derivative 0 times infinity.
    e = xp.where(e == 0, zeros, e)
    curved = xp.log1p(e)
    line = product(xp, slope, x)
    far = xp.isinf(line)
    inner = xp.where(far, zeros, line) + scaled_by(curve, curved)
    certain, ones = b == 0, zeros + 1
    mixed = xp.where(certain, ones, a * e + b)
    y = x * sign
    if not is_number(gamma) or gamma < float(xp.finfo(x.dtype).eps) ** -2:
        scaled = gamma * e
        power = xp.exp(-gamma * curved) * _power(xp, mixed, ones, gamma)
        power = power * _decay(xp, xp.where(certain, y, zeros), zeros, gamma)
    else:
        # One exponential for γ*e: the dtype may not hold γ, or e. Where u^γ is not 0, log1p(e)
        # is e, and so large a power of a number below 1 is 0.
        y_scaled = y + log(gamma)
        scaled = xp.exp(xp.where(y_scaled < 8, y_scaled, zeros + 8))
        power = xp.exp(-scaled) * xp.astype(a * e + b >= 1, x.dtype)
    return _Focal(power, inner, far, a, b, e, certain, mixed, scaled)


def _focal_value(xp: Namespace, x: Array, slope: Array, parts: _Focal, gamma: Any) -> Array:
    """u^γ l, at infinity too."""
    zeros = 0 * slope
    # Far out u is b, whose derivative by x is no 0 to be multiplied by infinity, but none.
    limit = slope * xp.where(parts.far, parts.b, zeros + 1) ** _held(xp, x, gamma)
    # An infinite logit loses infinitely much, even where u^γ underflows.
    lost = (limit == 0) & xp.isinf(x)
    outer = limit * xp.where(lost, zeros, x) + xp.where(lost, zeros + inf, zeros)
    return xp.where(parts.far, outer, parts.power * parts.inner)


def _rate(xp: Namespace, z: Array, parts: _Focal, gamma: Any) -> Array:
    """r; 0 where u^γ is 0, as its derivatives are, though the square of r may overflow."""
    zeros = 0 * parts.a
    most = zeros + _held(xp, parts.e, gamma)
    rate = (1 - 2 * z) * xp.where(parts.certain, most, parts.scaled)
    rate = rate / (xp.where(parts.certain, parts.a, parts.mixed) * (1 + parts.e))
    return xp.where(parts.power == 0, zeros, rate)


def _power(xp: Namespace, u: Array, ones: Array, gamma: Any) -> Array:
    """u^γ, such that autodiff finds its first two derivatives finite down to the smallest u."""
    if is_number(gamma) and gamma >= 2:
        return u**gamma
    # They pass through u^(γ - 2), which overflows where u is tiny: there u is scaled up.
    low, scale = (2.0**-60, 2.0**90) if xp.finfo(u.dtype).eps > 1e-10 else (2.0**-500, 2.0**640)
    tiny = u < low if is_number(gamma) else (u < low) & (gamma < 2)
    scaled = u * xp.where(tiny, ones * scale, ones)
    return scaled**gamma * xp.where(tiny, ones * scale**-gamma, ones)


def _decay(xp: Namespace, y: Array, zeros: Array, gamma: Any) -> Array:
    """exp(γ*y), with the rounding error of the product, found by splitting both factors."""
    # The bits of half of y, and those to split off γ: a number has 53, an array those of its dtype.
    bits = 12 if xp.finfo(y.dtype).eps > 1e-10 else 27
    if is_number(gamma):
        rest, slowest = (41 if bits == 12 else 27), max(gamma, 1.0)
    else:
        rest, slowest = bits, xp.where(gamma > 1, gamma, 0 * gamma + 1)
    lowest = -1e3 / slowest  # below, the power is 0, or the loss that it stands before
    y = xp.where(y > lowest, y, zeros + lowest)
    small = gamma * 2.0**-64  # so that the largest γ can be split
    shifted = small * (2.0**rest + 1)
    gamma_high = (shifted - (shifted - small)) * 2.0**64
    gamma_low = gamma - gamma_high
    moved = y * (2.0**bits + 1)
    high = moved - (moved - y)
    low = y - high
    product = y * gamma
    error = (high * gamma_high - product + low * gamma_high + high * gamma_low) + low * gamma_low
    return xp.exp(product) * (1 + error)


def _balance(z: Array, alpha: Any) -> Array:
    """α for positives and 1 - α for negatives."""
    return alpha * z + (1 - alpha) * (1 - z)


def _is_zero(gamma: Any) -> bool:
    """Whether nothing is left of u^γ; of an array some may be 0, and others not."""
    return is_number(gamma) and gamma == 0


def _held(xp: Namespace, x: Array, gamma: Any) -> Any:
    """γ as the dtype of x can hold it."""
    return min(gamma, float(xp.finfo(x.dtype).max) / 2) if is_number(gamma) else gamma
