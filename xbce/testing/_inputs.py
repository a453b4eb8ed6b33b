"""What an audit tries: labels and logits by region, special values, and shapes."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from xbce._losses import Loss


class Case(NamedTuple):
    """Labels and logits under a name; a row an input, where a loss has classes."""

    name: str
    labels: Any
    logits: Any


class Format(NamedTuple):
    """What there is to know of a floating dtype."""

    eps: float
    tiny: float  # the smallest normal number
    largest: float


def regions(
    loss: Loss, form: Format, classes: int, samples: int, heaviest: float | None = None
) -> Iterator[Case]:
    """The regions in which errors are measured, `samples` inputs each.

    With a heaviest weight, logits at which exp(-|x|) is a subnormal number, and times that weight
    it is not, are left out: the digits of the product are lost.
    """
    rng = np.random.default_rng(0)
    if loss.over_classes:
        return _class_regions(loss, classes, max(4, samples // classes), rng)
    return _element_regions(form, samples, rng, heaviest)


def _element_regions(
    form: Format, samples: int, rng: Any, heaviest: float | None
) -> Iterator[Case]:
    """Labels by kind and side, logits by size, spread evenly over the exponents."""
    underflow = -np.log(form.tiny)
    lost = np.log(heaviest / form.eps) if heaviest is not None else 0.0
    bounds = {
        "tiny": (max(form.tiny, 1e-30), 1e-3),
        "moderate": (1e-3, 8.0),
        "large": (8.0, underflow),
        "huge": (underflow + lost, form.largest / 4),
    }
    for kind in ("hard", "soft"):
        for side in ("agreeing", "disagreeing"):
            for size, (low, high) in bounds.items():
                logits = np.exp(rng.uniform(np.log(low), np.log(high), samples))
                logits *= rng.choice([-1.0, 1.0], samples)
                certain = (logits > 0) == (side == "agreeing")
                exponents = rng.uniform(np.log2(form.eps), -1, samples)
                doubt = 0.0 if kind == "hard" else np.exp2(exponents)
                labels = np.where(certain, 1 - doubt, doubt)
                yield Case(f"{kind} {side} labels, {size} logits", labels, logits)


def _class_regions(loss: Loss, classes: int, rows: int, rng: Any) -> Iterator[Case]:
    """Labels by kind, logits by scale; one row all tied, and one with classes that are masked."""
    for kind in ("hard",) if loss.class_numbers else ("hard", "soft"):
        for scale in (1e-3, 1.0, 1e2, 1e3):
            logits = scale * rng.normal(size=(rows, classes))
            logits[0] = logits[0, 0]
            numbers = rng.integers(0, classes, rows)
            labels = np.eye(classes)[numbers]
            if kind == "soft":
                labels = 0.9 * labels + 0.1 / classes
            else:
                masked = (labels[1] == 0) & (rng.random(classes) < 0.5)
                logits[1, masked] = -np.inf
            name = f"{kind} labels, {classes} classes, logits of scale {scale:g}"
            yield Case(name, numbers if loss.class_numbers else labels, logits)


def specials(loss: Loss, form: Format, soft: bool = True) -> Case:
    """Zeros, subnormal numbers, infinities and NaN; masked classes and ties."""
    small = form.tiny / 4
    inf, nan = np.inf, np.nan
    if not loss.over_classes:
        labels = (0.0, 1.0, 0.25, 0.5, form.eps, 1 - form.eps) if soft else (0.0, 1.0)
        logits = (0.0, -0.0, small, -small, inf, -inf, nan)
        pairs = [(z, x) for x in logits for z in labels]
        pairs += [(nan, 0.5), (nan, 0.0)] if soft else []
        return Case("special values", *(np.asarray(column) for column in zip(*pairs, strict=True)))
    far = form.largest / 4
    rows = [  # the label's class is the first
        (0.0, 0.0, 0.0),
        (-0.0, 0.0, 0.0),
        (small, -small, 0.0),
        (2.0, -inf, 1.0),  # a masked class
        (0.5, -inf, -inf),  # all other classes masked
        (inf, 1.0, -1.0),  # certain and right
        (1.0, inf, 0.0),  # certain and wrong
        (-inf, 0.0, 1.0),  # a masked class that is the label
        (inf, inf, 0.0),
        (far, -far, 0.0),
        (-far, far, 0.0),
        (nan, 0.0, 1.0),
        (0.0, nan, 1.0),
    ]
    numbers = np.zeros(len(rows), dtype=int)
    return Case(
        "special values", numbers if loss.class_numbers else np.eye(3)[numbers], np.asarray(rows)
    )


SHAPES: tuple[tuple[int, ...], ...] = (
    (),
    (0,),
    (3,),
    (3, 1),
    (2, 3),
    (1, 2, 3),
    (3, 4, 1),
)
"""Of element-wise losses, and of losses over classes without the axis of the classes."""


def shaped(loss: Loss, shape: tuple[int, ...], classes: int) -> Case:
    """Moderate labels and logits of a shape, to which the axis of classes is added."""
    rng = np.random.default_rng(0)
    if not loss.over_classes:
        return Case(str(shape), rng.random(shape).round(), quarters(rng, shape))
    logits = quarters(rng, (*shape, classes))
    numbers = rng.integers(0, classes, shape)
    labels = numbers if loss.class_numbers else np.eye(classes)[numbers]
    return Case(str(logits.shape), labels, logits)


def quarters(rng: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers up to 4 that every dtype holds, and that read well."""
    return np.asarray(rng.integers(-16, 17, shape) / 4)
