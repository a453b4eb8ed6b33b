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
