"""Exact test vectors: inputs, and the numbers that a right implementation gives, in any language.

``docs/vectors.md`` explains the file. Losses and their derivatives are those of the oracle. What a
reduction is stands here once more, in fractions, and uses nothing of `xbce.losses`.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from math import inf, isfinite
from typing import Any

import numpy as np

from xbce import __version__
from xbce._losses import LOSSES, SIGMOID, SOFTMAX, SPARSE_SOFTMAX, WEIGHTED, Loss
from xbce._reduction import Reduction
from xbce.testing import exact_gradient, exact_hessian, exact_loss
from xbce.testing._vector_inputs import held, inputs, situations

VERSION = 1
"""Of the format: another one where a reader of this one would read something wrong."""
DIGITS = {"finite": 100, "special": 400}
"""To compute with: a gradient of 1e-309, of a subnormal logit, may be a difference of halves."""
SURE = Fraction(1, 10**60)
"""More than the relative error of any number: what it would round otherwise is refused."""
REDUCED = (SIGMOID, WEIGHTED, SOFTMAX, SPARSE_SOFTMAX)
"""The losses that `xbce.losses` reduces."""
ZERO: Any = Fraction(0)

Case = dict[str, Any]


def vectors() -> Case:
    """Return all vectors, as plain lists, dicts and strings."""
    found: Case = {"format": "xbce-vectors", "version": VERSION, "xbce": __version__}
    with np.errstate(all="ignore"):  # NumPy warns of infinity and NaN among objects too
        return found | {"losses": [*_loss_cases()], "reductions": [*_reduction_cases()]}


def text(found: Case) -> str:
    """Return them as JSON, with each array on a line of its own."""
    lines = []
    for key, value in found.items():
        written = json.dumps(value, allow_nan=False)
        if isinstance(value, list):
            written = "[\n" + ",\n".join(map(_block, value)) + "\n  ]"
        lines.append(f"  {json.dumps(key)}: {written}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _block(case: Case) -> str:
    """One case as JSON."""
    pairs = (f"{json.dumps(k)}: {json.dumps(v, allow_nan=False)}" for k, v in case.items())
    return "    {\n      " + ",\n      ".join(pairs) + "\n    }"


# --- numbers ------------------------------------------------------------------


def _fraction(number: Any) -> Any:
    """A number of mpmath or of Python as a fraction; infinity and NaN as they are."""
    if not isfinite(number):
        return float(number)
    if isinstance(number, (int, float)):
        return Fraction(number)
    mantissa, exponent = (int(part) for part in number.man_exp)
    if mantissa.bit_length() + exponent < -1200:
        return Fraction(0)  # the nearest float64, where a fraction might need 1e300 digits
    return (-1 if number < 0 else 1) * abs(mantissa) * Fraction(2) ** exponent


def _fractions(array: Any) -> Any:
    """Exact numbers of the oracle, or floats, as fractions."""
    numbers = np.asarray(getattr(array, "_data", array)).astype(object)
    return np.frompyfunc(_fraction, 1, 1)(numbers)


def _rounded(number: Any) -> float:
    """The nearest float64: mpmath's own float() would round a subnormal number twice."""
    if not isinstance(number, Fraction):
        return float(number)
    try:
        below, above = (float(number * (1 + error)) + 0.0 for error in (-SURE, SURE))
    except OverflowError:
        return inf if number > 0 else -inf
    if below != above:
        raise ArithmeticError(
            f"{above!r} may be half way between two float64: choose other inputs, or more digits."
        )
    return above  # where it is 0 it is not negative


def _written(array: Any) -> Any:
    """Nested lists of hex floats; strings, and whole numbers and booleans, as they are."""
    array = np.asarray(array)
    if array.dtype.kind in "biU":
        return array.tolist()
    if array.dtype == object:
        array = np.vectorize(_rounded, otypes=[np.float64])(array)
    return np.vectorize(_hex, otypes=[object])(array).tolist()


def _hex(number: float) -> str:
    """The number as C99 writes it, without zeros at the end: ``0x1.8p+1``."""
    digits, point, exponent = number.hex().partition("p")
    return digits.rstrip("0").rstrip(".") + point + exponent if point else digits


def _named(loss: Loss, parameters: dict[str, float], **rest: Any) -> Case:
    """A case as it is written: which loss, of which parameters, and the rest."""
    written = {name: _written(value) for name, value in parameters.items()}
    others = {key: _written(value) for key, value in rest.items()}
    return {"loss": loss.name, "parameters": written, **others}


# --- losses ---------------------------------------------------------------------


def _loss_cases() -> Iterator[Case]:
    """Each loss with each of its examples, in each dtype, at finite inputs and at special ones."""
    for loss in LOSSES:
        for example in loss.examples():
            for dtype in ("float32", "float64"):
                parameters = {name: float(held(value, dtype)) for name, value in example.items()}
                for about in ("finite", "special"):
                    labels, logits = inputs(loss, about, dtype)
                    given = {"about": about, "dtype": dtype, "labels": labels, "logits": logits}
                    exact = _exact(loss, labels, logits, parameters, DIGITS[about])
                    yield _named(loss, parameters, **given, **exact)


def _exact(
    loss: Loss, labels: np.ndarray, logits: np.ndarray, parameters: dict[str, float], digits: int
) -> dict[str, Any]:
    """The exact numbers, by the names that they have in the file."""
    options: Any = {"labels": labels, "logits": logits, "digits": digits, **parameters}
    found = {"value": exact_loss(loss=loss, **options)}
    found["gradient"] = exact_gradient(loss=loss, **options)
    if loss.gradient_and_hessian is not None:
        found["hessian"] = exact_hessian(loss=loss, **options)
    numbers = {name: _fractions(array) for name, array in found.items()}
    derivatives = [name for name in numbers if name != "value"]
    sizes = [abs(numbers[name]) for name in derivatives]
    if loss.terms is not None:
        terms = _fractions(exact_gradient(loss=_of_terms(loss), **options))
        # At infinity, where they are no numbers, the derivative has the size that it has.
        sizes = [np.where(t < inf, t, size) for t, size in zip(terms, sizes, strict=False)]
    scales = {f"{name}_scale": size for name, size in zip(derivatives, sizes, strict=True)}
    return numbers | scales


def _of_terms(loss: Loss) -> Loss:
    """The loss with the sums of the terms of its derivatives in place of its gradient."""

    def terms(xp: Any, *arrays: Any, **parameters: Any) -> Any:
        assert loss.terms is not None
        return xp.stack(loss.terms(xp, *arrays, **parameters))

    return replace(loss, gradient=terms)


# --- reductions -----------------------------------------------------------------


def _reduction_cases() -> Iterator[Case]:
    """Each reduction of each loss, with weights, masks and smoothed labels."""
    for loss in REDUCED:
        parameters = loss.examples()[0]
        loss = replace(loss, gradient_and_hessian=None)  # of which nothing is written
        for about, given in situations(loss):
            labels = _smoothed(loss, given["labels"], given["label_smoothing"])
            exact = _exact(loss, labels, given["logits"], parameters, DIGITS["finite"])
            keep = np.broadcast_to(given["where"], exact["value"].shape)
            weights = np.where(keep, _fractions(given["weights"]), ZERO)
            stretch = (..., None) if loss.over_classes else ()  # by the axis of the classes
            for reduction in Reduction:
                value, share = _reduced(reduction, exact["value"], weights, keep)
                shares = {"gradient": share[stretch], "gradient_scale": abs(share[stretch])}
                slopes = {k: np.where(keep[stretch], s * exact[k], ZERO) for k, s in shares.items()}
                case = {"about": about, "dtype": "float32", "reduction": str(reduction), **given}
                yield _named(loss, parameters, **case, value=value, **slopes)


def _reduced(
    reduction: Reduction, losses: Any, weights: Any, keep: np.ndarray
) -> tuple[Any, np.ndarray]:
    """The reduced loss, and what each loss counts for in it; weights are 0 where none is kept."""
    weighted = np.where(keep, weights * losses, ZERO)
    if reduction == Reduction.NONE:
        return weighted, weights
    divisor = {
        Reduction.SUM: 1,
        Reduction.MEAN: weights.sum(),
        Reduction.SUM_OVER_BATCH_SIZE: int(keep.sum()),
        Reduction.SUM_BY_NONZERO_WEIGHTS: int((weights != 0).sum()),
    }[reduction]
    if divisor == 0:
        return ZERO, 0 * weights
    return weighted.sum() / divisor, weights / divisor


def _smoothed(loss: Loss, labels: np.ndarray, smoothing: float) -> np.ndarray:
    """Labels mixed with equal shares of the classes: of few digits, so that none is lost."""
    if smoothing == 0:
        return labels
    mixed, classes = Fraction(smoothing), labels.shape[-1] if loss.over_classes else 2
    exact = _fractions(labels) * (1 - mixed) + mixed / classes
    rounded = exact.astype(np.float64)
    if np.any(_fractions(rounded) != exact):
        raise ValueError("Smoothed labels must be float64.")
    return rounded
