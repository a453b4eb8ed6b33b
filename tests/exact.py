"""Numbers for the tests: arrays of any library as NumPy's, distances in ulp, exact losses."""

from typing import Any

import array_api_compat
import mpmath
import numpy as np

DIGITS = {
    "float16": (10, -14),
    "bfloat16": (7, -126),
    "float32": (23, -126),
    "float64": (52, -1022),
}
"""Stored digits of the significand and the smallest normal exponent, both binary."""


def to_numpy(array: Any) -> np.ndarray:
    """An array of any library, moved to the CPU and computed; floats as float64."""
    if array_api_compat.is_dask_array(array):
        array = array.compute()
    if array_api_compat.is_torch_array(array):
        array = array.detach().cpu()
        array = array.double() if array.is_floating_point() else array
    elif type(array).__module__.startswith("array_api_strict"):
        array = array._array
    elif array_api_compat.is_cupy_array(array):
        array = array.get()
    array = np.asarray(array)
    return array if array.dtype.kind in "biu" else array.astype(np.float64)


def dtype_name(dtype: Any) -> str:
    """The plain name of any library's dtype: ``float32``."""
    name = str(getattr(dtype, "__name__", dtype))
    return name.rpartition(".")[2].removesuffix("'>")


def ulps(actual: Any, exact: Any, dtype: Any) -> float:
    """The largest distance of `actual` from `exact`, in ulp of the exact value in `dtype`.

    Below the normal numbers an ulp is taken as two of the smallest normal, as promised.
    """
    digits, lowest = DIGITS[dtype_name(dtype)]
    actual, exact = np.asarray(actual, dtype=np.float64), np.asarray(exact, dtype=np.float64)
    same = (actual == exact) | (np.isnan(actual) & np.isnan(exact))
    with np.errstate(all="ignore"):
        exponent = np.floor(np.log2(np.abs(exact)))
        spacing = np.where(
            exponent < lowest, 2.0 ** (lowest + 1), np.exp2(np.clip(exponent - digits, -1074, None))
        )
        distance = np.where(same, 0.0, np.abs(actual - exact) / spacing)
    return float(np.max(np.where(np.isnan(distance), np.inf, distance), initial=0.0))


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


def gradient_ulps(actual: Any, labels: Any, logits: Any, dtype: Any) -> float:
    """The largest error of a gradient in ulp of |(1-z)σ(x)| + |zσ(-x)|, as it is promised.

    That is the gradient itself with a hard label; with a soft one it is what cancels in it.
    """
    exact = exact_gradient(labels, logits)
    probability = exact_gradient(np.zeros_like(labels), logits)
    terms = (1 - labels) * probability - labels * exact_gradient(np.ones_like(labels), logits)
    return ulps(terms + np.abs(actual - exact), terms, dtype)
