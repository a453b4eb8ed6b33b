"""Independent numbers for the tests: the definitions in 400 digits, and distances in ulp."""

from typing import Any

import mpmath
import numpy as np

from xbce.testing import ulp_error


def dtype_name(dtype: Any) -> str:
    """The plain name of any library's dtype: ``float32``."""
    return str(getattr(dtype, "__name__", dtype)).rpartition(".")[2].removesuffix("'>")


def ulps(actual: Any, exact: Any, scale: Any = None) -> float:
    """The largest error in ulp."""
    return float(np.max(ulp_error(actual, exact, scale), initial=0.0))


def exact_loss(labels: Any, logits: Any) -> np.ndarray:
    """-z*log σ(x) - (1 - z)*log σ(-x), straight from the definition, in 400 digits."""

    def one(z: float, x: float) -> float:
        positive = mpmath.log1p(mpmath.exp(-mpmath.mpf(x)))
        return float(z * positive + (1 - mpmath.mpf(z)) * (positive + mpmath.mpf(x)))

    with mpmath.workdps(400):
        return np.vectorize(one, otypes=[np.float64])(labels, logits)


def exact_gradient(labels: Any, logits: Any) -> np.ndarray:
    """σ(x) - z in 400 digits."""

    def one(z: float, x: float) -> float:
        return float(1 / (1 + mpmath.exp(-mpmath.mpf(x))) - mpmath.mpf(z))

    with mpmath.workdps(400):
        return np.vectorize(one, otypes=[np.float64])(labels, logits)


def gradient_ulps(actual: Any, labels: Any, logits: Any) -> float:
    """The largest error of a gradient in ulp of |(1-z)σ(x)| + |zσ(-x)|, as it is promised.

    That is the gradient itself with a hard label; with a soft one it is what cancels in it.
    """
    probability = exact_gradient(np.zeros_like(labels), logits)
    complement = -exact_gradient(np.ones_like(labels), logits)
    terms = (1 - labels) * probability + labels * complement
    return ulps(actual, exact_gradient(labels, logits), terms)


def exact_family(
    z: Any, x: Any, q: Any = 1.0, alpha: float | None = None, gamma: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Loss, first and second derivative with pos_weight and focal terms, in 400 digits.

    By the product rule from u^γ and the cross entropy, each with its own derivatives.
    """

    def one(z: float, x: float, q: float) -> tuple[float, float, float]:
        z, x, q, g = (mpmath.mpf(float(v)) for v in (z, x, q, gamma))
        p, r = 1 / (1 + mpmath.exp(-x)), 1 / (1 + mpmath.exp(x))
        loss = q * z * mpmath.log1p(mpmath.exp(-x)) + (1 - z) * mpmath.log1p(mpmath.exp(x))
        first, second = (1 - z) * p - q * z * r, ((1 - z) + q * z) * p * r
        u, u1, u2 = z * r + (1 - z) * p, (1 - 2 * z) * p * r, (1 - 2 * z) * p * r * (r - p)
        f, f1 = u**g, g * u ** (g - 1) * u1
        f2 = g * (g - 1) * u ** (g - 2) * u1**2 + g * u ** (g - 1) * u2
        a = mpmath.mpf(1) if alpha is None else alpha * z + (1 - mpmath.mpf(alpha)) * (1 - z)
        values = f * loss, f1 * loss + f * first, f2 * loss + 2 * f1 * first + f * second
        return tuple(float(a * value) for value in values)

    with mpmath.workdps(400):
        return np.vectorize(one, otypes=[np.float64] * 3)(z, x, q)


def exact_asymmetric(
    z: Any, x: Any, gamma_positive: float, gamma_negative: float, clip: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The asymmetric loss, its first and second derivative, in 1000 digits.

    Half of them may cancel. By the chain rule from u^γ*(-log(1 - u)), with u the probability of
    what is not the label, which of negatives is clipped.
    """

    def part(u: Any, g: Any) -> tuple[Any, Any, Any]:
        loss, rest = -mpmath.log(1 - u), 1 / (1 - u)
        first = g * u ** (g - 1) * loss + u**g * rest
        second = g * (g - 1) * u ** (g - 2) * loss + 2 * g * u ** (g - 1) * rest + u**g * rest**2
        return u**g * loss, first, second

    def one(z: float, x: float) -> tuple[float, float, float]:
        z, x = mpmath.mpf(float(z)), mpmath.mpf(float(x))
        p, r = 1 / (1 + mpmath.exp(-x)), 1 / (1 + mpmath.exp(x))
        u1, u2 = p * r, p * r * (r - p)  # of p; those of r are their opposites
        found = [mpmath.mpf(0)] * 3
        for share, u, g, sign in (
            (z, r, mpmath.mpf(gamma_positive), -1),
            (1 - z, p - mpmath.mpf(clip), mpmath.mpf(gamma_negative), 1),
        ):
            if u > 0 and share:
                value, first, second = part(u, g)
                parts = value, sign * first * u1, second * u1**2 + sign * first * u2
                found = [whole + share * own for whole, own in zip(found, parts, strict=True)]
        return tuple(map(float, found))

    with mpmath.workdps(1000):
        return np.vectorize(one, otypes=[np.float64] * 3)(z, x)


def exact_softmax(labels: Any, logits: Any) -> tuple[np.ndarray, ...]:
    """Of each row, in 60 digits, with p the softmax: -Σ z_j*log p_j; its derivatives, which are
    p_k*Σ_j z_j - z_k and p_k*(1 - p_k)*Σ_j z_j; and the size of the terms of the first."""

    def row(z: Any, x: Any) -> tuple[float, list[float], list[float], list[float]]:
        z, x = ([mpmath.mpf(float(v)) for v in values] for values in (z, x))
        top = x.index(max(x))
        powers = [mpmath.exp(v - x[top]) for v in x]
        whole = sum(powers)
        rest = [whole - power for power in powers]
        rest[top] = sum(powers[:top] + powers[top + 1 :])
        loss = sum(
            a * (mpmath.log1p(rest[top]) - (v - x[top])) for a, v in zip(z, x, strict=True) if a
        )
        all_z = sum(z)
        up = [(all_z - a) * power / whole for a, power in zip(z, powers, strict=True)]
        down = [a * other / whole for a, other in zip(z, rest, strict=True)]
        slopes = [float(u - d) for u, d in zip(up, down, strict=True)]
        pairs = zip(powers, rest, strict=True)
        bends = [float(all_z * power * other / whole**2) for power, other in pairs]
        return float(loss), slopes, bends, [float(u + d) for u, d in zip(up, down, strict=True)]

    with mpmath.workdps(60):
        rows = [row(z, x) for z, x in zip(labels, logits, strict=True)]
    return tuple(np.asarray(part) for part in zip(*rows, strict=True))
