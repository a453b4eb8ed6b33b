"""The inputs of the test vectors: a small grid, chosen rather than drawn."""

from collections.abc import Iterator
from math import inf, nan
from typing import Any

import numpy as np

from xbce._losses import Loss

Pair = tuple[np.ndarray, np.ndarray]


def held(values: Any, dtype: str) -> np.ndarray:
    """Numbers as this dtype holds them, in float64."""
    return np.asarray(values, dtype=dtype).astype(np.float64)


def inputs(loss: Loss, about: str, dtype: str) -> Pair:
    """Labels and logits of a loss, ``"finite"`` ones or ``"special"`` ones, exact in this dtype."""
    if not loss.over_classes:
        return _elements(about, dtype)
    labels, logits = _finite_rows(dtype) if about == "finite" else _special_rows(dtype)
    if loss.class_numbers:
        hard = np.max(labels, axis=-1) == 1
        labels, logits = np.argmax(labels[hard], axis=-1), logits[hard]
    return labels, logits


def _sizes(dtype: str) -> list[float]:
    """Tiny, moderate, large and huge logits; those of float64 are no float32."""
    if dtype == "float32":
        return [1e-20, 1e-3, 0.7, 3.7, 20.0, 85.0, 12345.6789, 1e38]
    return [1e-20, 1e-3, 0.7, 3.7, 36.7, 700.1, 12345.6789, 1e300]


def _subnormal(dtype: str) -> float:
    return float(np.finfo(dtype).smallest_normal) / 4


def _far(dtype: str) -> float:
    """A logit x with a subnormal exp(-x)."""
    return 103.0 if dtype == "float32" else 740.1


def _elements(about: str, dtype: str) -> Pair:
    """Every label with every logit of either sign, so that they agree and disagree."""
    middle, low = (0.5, 1e-6) if dtype == "float32" else (0.71, 1e-20)
    labels = [0.0, 1.0, middle]
    if about == "finite":
        labels += [low, 1 - 2 * float(np.finfo(dtype).eps)]
        sizes, others = _sizes(dtype), []
    else:
        sizes, others = [0.0, _subnormal(dtype), _far(dtype), inf], [nan]
    logits = [*sizes, *(-size for size in sizes), *others]
    z, x = np.meshgrid(held(labels, dtype), held(logits, dtype), indexing="ij")
    return z.ravel(), x.ravel()


def _finite_rows(dtype: str) -> Pair:
    """Three classes: logits of each size, ties and almost ties; hard and soft labels."""
    eps = float(np.finfo(dtype).eps)
    rows = [[size, -0.3 * size, 0.6 * size] for size in _sizes(dtype)]
    rows += [[0.7, 0.7, 0.7], [-3.7, 2.1, 2.1], [3.7 * (1 - 2 * eps), 3.7, 3.7]]
    labels = [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.25, 0.5, 0.25], [1 - eps, 0.0, eps]]
    pairs = [(label, row) for row in rows for label in labels]
    z, x = zip(*pairs, strict=True)
    return np.asarray(z), held(x, dtype)


def _special_rows(dtype: str) -> Pair:
    """Zeros, subnormal numbers, masked classes, infinities that agree and disagree, and NaN."""
    tiny, far = _subnormal(dtype), _far(dtype)
    first, second, last = np.eye(3).tolist()
    pairs = [
        (first, [0.0, -0.0, 0.0]),
        (first, [tiny, -tiny, 0.0]),
        (first, [far, 0.0, -far]),
        (last, [1.0, -inf, 2.0]),
        ([0.5, 0.0, 0.5], [1.0, -inf, 2.0]),
        (second, [1.0, -inf, 2.0]),
        (first, [0.0, -inf, -inf]),
        (first, [inf, 0.0, 1.0]),
        (second, [inf, 0.0, 1.0]),
        ([0.5, 0.5, 0.0], [inf, 0.0, 1.0]),
        (last, [inf, -inf, 0.0]),
        (first, [inf, inf, 0.0]),  # this and what follows means nothing: NaN
        (first, [-inf, -inf, -inf]),
        (first, [nan, 0.0, 1.0]),
    ]
    z, x = zip(*pairs, strict=True)
    return np.asarray(z), held(x, dtype)


# --- of reductions ---------------------------------------------------------------


def situations(loss: Loss) -> Iterator[tuple[str, dict[str, Any]]]:
    """What losses are reduced with: names, and arguments, all of them exact in float32."""
    if loss.over_classes:
        logits = [[0.75, -2.5, 1.0, 0.0], [3.0, 0.125, 3.0, -4.0], [-1.25, 6.0, 2.0, 1.5]]
        labels = [[1.0, 0.0, 0.0, 0.0], [0.0, 0.25, 0.25, 0.5], [0.0, 0.0, 1.0, 0.0]]
    else:
        logits = [[0.75, -2.5], [3.0, 0.125], [-1.25, 6.0]]
        labels = [[1.0, 0.0], [0.25, 1.0], [1.0, 0.5]]
    x, z = np.asarray(logits), np.asarray([0, 1, 2] if loss.class_numbers else labels)
    whole = np.asarray([True, True, True, False, True, False]).reshape(3, 2)

    def rows(*values: Any) -> np.ndarray:
        return np.asarray(values) if loss.over_classes else np.asarray(values)[:, None]

    def planted(values: np.ndarray, *bad: float) -> np.ndarray:
        """The array, but for its second row."""
        return np.stack([values[0], np.resize(bad, values[1].shape), values[2]])

    some = rows(True, False, True)
    left_out = {"logits": planted(x, nan, inf), "where": some}
    left_out |= {} if loss.class_numbers else {"labels": planted(z, inf, nan)}
    lost = planted(x, -inf, 0.0), planted(x, nan, 0.0)
    wrong = {} if loss.class_numbers else {"labels": planted(z, 1.0, 0.0)}
    if loss.class_numbers:
        lost = planted(x, 0.0, -inf), planted(x, 0.0, nan)
    found: dict[str, dict[str, Any]] = {
        "plain": {},
        "a weight for all": {"weights": 2.5},
        "a weight of 0 for all": {"weights": 0.0},
        "a weight a row": {"weights": rows(0.5, 2.0, 1.25)},
        "a weight a row, zeros among them": {"weights": rows(0.5, 0.0, 3.0)},
        "a weight a row, all zero": {"weights": rows(0.0, 0.0, 0.0)},
        "a weight a row, whose sum is 0": {"weights": rows(1.0, -1.0, 0.0)},
        "a mask a row": {"where": some},
        "a mask a row, and weights": {"weights": rows(0.5, 2.0, 0.0), "where": some},
        "all left out": {"weights": 2.5, "where": rows(False, False, False)},
        "NaN and infinity left out": left_out,
        "NaN and infinity left out, in weights too": left_out | {"weights": rows(0.5, nan, 3.0)},
        "an infinite loss": wrong | {"logits": lost[0]},
        "an infinite loss of weight 0": wrong | {"logits": lost[0], "weights": rows(1.0, 0.0, 2.0)},
        "an infinite loss, all weights 0": wrong | {"logits": lost[0], "weights": 0.0},
        "a loss of NaN": wrong | {"logits": lost[1], "weights": rows(0.5, 0.0, 3.0)},
    }
    if not loss.over_classes:
        full = np.asarray([[0.5, 1.0], [0.0, 2.0], [3.0, 0.25]])
        found["a weight a class"] = {"weights": np.asarray([[0.5, 2.0]])}
        found["a weight each"] = {"weights": full}
        found["a mask and a weight each"] = {"weights": full, "where": whole}
    if not loss.class_numbers:
        smooth = {"label_smoothing": 0.25}
        found["smoothed labels"] = smooth
        found["smoothed labels, weights and a mask"] = found["a mask a row, and weights"] | smooth
    plain = {"labels": z, "logits": x, "weights": 1.0, "label_smoothing": 0.0, "where": True}
    for about, given in found.items():
        yield about, plain | given
