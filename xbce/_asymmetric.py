"""The asymmetric loss: a focal loss in which positives and negatives fade at their own pace.

With σ(x) the probability of a positive, z the label, and p what a clip m leaves of σ(x),

    p    = max(σ(x) - m, 0)
    loss = -z*σ(-x)^γ₊*log σ(x) - (1 - z)*p^γ₋*log(1 - p)

(Ridnik et al. 2021, https://arxiv.org/abs/2009.14119). Both parts are focal losses of a hard label
where m is 0. Else σ(x) - m would cancel near x₀, the logit of m, so that

    p     = (1 - m)*σ(x)*(1 - exp(-(x - x₀)))      1 - p = σ(-x) + m      where x > x₀
          = (1 - m)*σ(x) - m*σ(-x)
    l     = -log(1 - p)                            p' = σ(x)*σ(-x)
    loss' = p'*p^γ*g                               g = γ*l/p + 1/(1 - p)
    loss'' = p'^2*p^γ*(γ*(γ - 1)*l/p^2 + 2γ/(p*(1 - p)) + 1/(1 - p)^2) + (σ(-x) - σ(x))*loss'

and 0 on the left of it.
"""

from decimal import Context, Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from xbce._focal import (
    focal_gradient,
    focal_gradient_and_hessian,
    focal_loss,
    focal_terms,
    focal_value_and_gradient,
)
from xbce._formula import product, scaled_by
from xbce._tracing import constant
from xbce._typing import Array, Formula, Namespace


def asymmetric_loss(
    xp: Namespace,
    z: Array,
    x: Array,
    pos_weight: Any = None,
    gamma_positive: Any = 1.0,
    gamma_negative: Any = 4.0,
    clip: float = 0.05,
) -> Array:
    """The focal loss of a positive and the clipped one of a negative, weighed by the label."""
    positive, negative = _sides(xp, x, gamma_positive, gamma_negative, clip, focal_loss, _value)
    return product(xp, scaled_by(pos_weight, z), positive) + product(xp, 1 - z, negative)


def asymmetric_gradient(
    xp: Namespace,
    z: Array,
    x: Array,
    pos_weight: Any = None,
    gamma_positive: Any = 1.0,
    gamma_negative: Any = 4.0,
    clip: float = 0.05,
) -> Array:
    """The derivative of the loss by x."""
    positive, negative = _sides(xp, x, gamma_positive, gamma_negative, clip, focal_gradient, _slope)
    return scaled_by(pos_weight, z) * positive + (1 - z) * negative


def asymmetric_value_and_gradient(
    xp: Namespace,
    z: Array,
    x: Array,
    pos_weight: Any = None,
    gamma_positive: Any = 1.0,
    gamma_negative: Any = 4.0,
    clip: float = 0.05,
) -> tuple[Array, Array]:
    """The loss and its derivative by x."""
    positive, negative = _sides(
        xp, x, gamma_positive, gamma_negative, clip, focal_value_and_gradient, _value_and_slope
    )
    one, other = scaled_by(pos_weight, z), 1 - z
    loss = product(xp, one, positive[0]) + product(xp, other, negative[0])
    return loss, one * positive[1] + other * negative[1]


def asymmetric_gradient_and_hessian(
    xp: Namespace,
    z: Array,
    x: Array,
    pos_weight: Any = None,
    gamma_positive: Any = 1.0,
    gamma_negative: Any = 4.0,
    clip: float = 0.05,
) -> tuple[Array, Array]:
    """The first and second derivative of the loss by x."""
    return _mixed(
        z,
        pos_weight,
        *_sides(xp, x, gamma_positive, gamma_negative, clip, focal_gradient_and_hessian, _slopes),
    )


def asymmetric_terms(
    xp: Namespace,
    z: Array,
    x: Array,
    pos_weight: Any = None,
    gamma_positive: Any = 1.0,
    gamma_negative: Any = 4.0,
    clip: float = 0.05,
) -> tuple[Array, Array]:
    """Gradient and Hessian with each of their terms taken as positive."""
    return _mixed(
        z, pos_weight, *_sides(xp, x, gamma_positive, gamma_negative, clip, focal_terms, _terms)
    )


def _sides(
    xp: Namespace,
    x: Array,
    gamma_positive: Any,
    gamma_negative: Any,
    clip: float,
    focal: Formula,
    clipped: Formula,
) -> tuple[Any, Any]:
    """Of a positive and a negative what one formula gives of the focal loss, one of the clipped."""
    positive = focal(xp, xp.ones_like(x), x, gamma=gamma_positive)
    if clip == 0:
        return positive, focal(xp, xp.zeros_like(x), x, gamma=gamma_negative)
    return positive, clipped(_clipped(xp, x, gamma_negative, clip), gamma_negative)


def _mixed(
    z: Array, pos_weight: Any, positive: tuple[Array, Array], negative: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Of each pair the mean by the label."""
    one, other = scaled_by(pos_weight, z), 1 - z
    return one * positive[0] + other * negative[0], one * positive[1] + other * negative[1]


class _Clipped(NamedTuple):
    """What the loss of a negative is made of; `power` is 0 where the clip leaves nothing."""

    power: Array  # p^γ
    loss: Array  # l
    p: Array
    rest: Array  # 1 - p
    up: Array  # σ(x)
    down: Array  # σ(-x)


def _clipped(xp: Namespace, x: Array, gamma: Any, clip: float) -> _Clipped:
    high, middle, low = _logit(clip, float(xp.finfo(x.dtype).eps))
    zeros = xp.zeros_like(x)
    # The rest is taken off where it counts only: a compiler would add constants up beforehand.
    distance = x - high
    near = distance < 1e4
    distance = distance - xp.where(near, zeros + middle, zeros)
    distance = distance - xp.where(near, zeros + low, zeros)
    # On the left of x₀ is a constant, so that autodiff meets no power or logarithm of 0 there.
    left = distance <= 0
    x = xp.where(left, zeros + (high + 1), x)
    distance = xp.where(left, zeros + 1, distance)
    positive = x >= 0
    e = xp.exp(xp.where(positive, -x, x))
    up, down = 1 / (1 + e), e / (1 + e)
    up, down = xp.where(positive, up, down), xp.where(positive, down, up)
    m = zeros + clip  # so that 1 - m is as exact as the arrays are
    # Near x₀ the first cancels nothing. Elsewhere autodiff would: it has exp(-distance) as
    # expm1(-distance) + 1.
    most, rest = (1 - m) * up, down + m
    p = xp.where(distance < 1, most * -xp.expm1(-distance), most - m * down)
    gone = left | (p == 0)
    p = xp.where(gone, zeros + 0.5, p)
    # The log1p of XLA is up to 129 ulp off between -0.53 and -0.28 (jax-ml/jax#39707).
    loss = xp.where(p < 0.25, -xp.log1p(-p), -xp.log(rest))
    return _Clipped(xp.where(gone, zeros, p**gamma), loss, p, rest, up, down)


def _value(parts: _Clipped, gamma: Any) -> Array:
    """p^γ*l."""
    return parts.power * parts.loss


def _slope(parts: _Clipped, gamma: Any) -> Array:
    """The derivative of p^γ*l by x."""
    each = gamma * (parts.loss / parts.p) + 1 / parts.rest
    return parts.power * each * (parts.up * parts.down)


def _bend(parts: _Clipped, gamma: Any) -> Array:
    """The second derivative of p^γ*l by p, times that of p by x squared."""
    share, own = 1 / parts.p, 1 / parts.rest
    each = gamma * share * ((gamma - 1) * (parts.loss * share) + 2 * own) + own * own
    return parts.power * each * (parts.up * parts.down) ** 2


def _value_and_slope(parts: _Clipped, gamma: Any) -> tuple[Array, Array]:
    """The two of them."""
    return _value(parts, gamma), _slope(parts, gamma)


def _slopes(parts: _Clipped, gamma: Any) -> tuple[Array, Array]:
    """The first and second derivative of p^γ*l by x."""
    slope = _slope(parts, gamma)
    return slope, _bend(parts, gamma) + (parts.down - parts.up) * slope


def _terms(parts: _Clipped, gamma: Any) -> tuple[Array, Array]:
    """The same with each term taken as positive."""
    slope = _slope(parts, gamma)
    return slope, abs(_bend(parts, gamma)) + slope


@constant
def _logit(clip: float, eps: float) -> tuple[float, float, float]:
    """The logit of the clip as the sum of three numbers that a dtype of this precision holds."""
    return _logit_in_parts(float(clip), eps > 1e-10)


@lru_cache(maxsize=1024)
def _logit_in_parts(clip: float, short: bool) -> tuple[float, float, float]:
    """The same; of float32, whose numbers have 24 bits, where they are to be short."""
    context = Context(prec=80)
    m = Decimal(clip)
    rest = context.subtract(context.ln(m), context.ln(context.subtract(Decimal(1), m)))
    parts = []
    for _ in range(3):
        number = float(rest)
        if short:
            moved = number * (2.0**29 + 1)
            number = moved - (moved - number)
        parts.append(number)
        rest = context.subtract(rest, Decimal(number))
    return parts[0], parts[1], parts[2]
