"""What `xbce.testing.strategies` draws: single numbers, rows of classes, and arrays of them.

Each loss has its label and logits drawn together. So all sides of a loss are found alike, and what
is not needed to fail is left out, whatever its shape.
"""

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from xbce.testing._draw_dtypes import Kind

FEW = 64
"""So many elements are drawn one by one; an array of more repeats them."""
OFTEN = 32
"""One time in so many, at most, some elements are not drawn but the simplest ones."""
SEED = st.integers(0, 2**32 - 1)

# --- numbers ------------------------------------------------------------------


def _mix(*parts: tuple[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """One of these strategies, each as often as its number says; shrinks to the first."""
    # Not `one_of`, which takes the same strategy once only.
    table = [strategy for times, strategy in parts for _ in range(times)]
    return st.sampled_from(table).flatmap(lambda strategy: strategy)


def _floats(kind: Kind, low: float, high: float, **options: Any) -> st.SearchStrategy[float]:
    """Numbers from low to high, but no subnormal ones unless all are so.

    Subnormal numbers of hypothesis are those of 64 bits, most of which are 0 in fewer.
    """
    width: Any = int(kind.info.bits)
    none = high >= float(kind.info.smallest_normal)
    return st.floats(low, high, width=width, allow_subnormal=False if none else None, **options)


def _subnormal(kind: Kind, size: float) -> st.SearchStrategy[float]:
    """Subnormal numbers up to this size, of all exponents."""
    most = int(min(size / kind.least, 2 ** (kind.digits - 1) - 1))
    return st.integers(-most, most).map(lambda number: number * kind.least)


def logit(kind: Kind, size: float, specials: bool) -> st.SearchStrategy[float]:
    """Logits up to this size: small, middling, any, and subnormal ones."""
    sizes = [4.0, 64.0, float(kind.info.max)]
    drawn = [_floats(kind, -min(size, own), min(size, own)) for own in sizes]
    if not kind.flushes:
        drawn.append(_subnormal(kind, size))  # else subnormal numbers would be rare
    return st.one_of(drawn + [st.sampled_from([np.inf, -np.inf, np.nan])] * specials)


def label(kind: Kind, soft: bool) -> st.SearchStrategy[float]:
    """Half of the labels 0 or 1; of the others most close to either, at all distances."""
    hard = st.sampled_from([0.0, 1.0])
    if not soft:
        return hard
    most = kind.digits - 1
    near = st.builds(_near, st.integers(-most, most), _floats(kind, 1.0, 2.0, exclude_max=True))
    parts = [(8, hard), (5, near), (2, _floats(kind, 0.0, 1.0))]
    if not kind.flushes:
        parts.append((1, _subnormal(kind, 1.0).map(abs)))
    return _mix(*parts)


def _near(exponent: int, digits: float) -> float:
    """A label whose distance from 0, or from 1, has this exponent: each is as likely."""
    distance = digits * 2.0 ** -(abs(exponent) + 1)
    if exponent == 0:
        return 0.5
    return distance if exponent > 0 else 1 - distance


def weight(kind: Kind, size: float) -> st.SearchStrategy[float]:
    """Weights up to this size: 1, 0 and others."""
    plain = st.sampled_from([min(size, 1.0), 0.0])
    return st.one_of(plain, _floats(kind, 0.0, min(size, 1.0)), _floats(kind, 0.0, size))


# --- losses -------------------------------------------------------------------


def elements(
    kind: Kind, shape: Any, *, soft: bool, size: float, specials: bool
) -> st.SearchStrategy[tuple[np.ndarray, np.ndarray]]:
    """Labels and logits, each of which has a loss."""
    pair = st.tuples(label(kind, soft), logit(kind, size, specials))
    return _arrays(_shapes(shape, 3), pair, (0.0, 0.0), FEW)


def rows(
    kind: Kind,
    shape: Any,
    classes: int,
    *,
    numbers: bool,
    soft: bool,
    size: float,
    specials: bool,
) -> st.SearchStrategy[tuple[np.ndarray, np.ndarray]]:
    """Labels that sum to 1 over the classes, or numbers of the classes; and their logits."""
    labels: Any = st.integers(0, classes - 1).map(np.eye(classes).__getitem__)
    if soft and not numbers:
        labels = st.one_of(labels, _shares(kind, classes))
    row: Any = st.tuples(labels, _line(classes, logit(kind, size, specials)))
    if specials:
        finite = st.tuples(labels, _line(classes, logit(kind, size, False)))
        some = st.lists(st.integers(0, classes - 1))
        row = st.one_of(row, st.builds(_masked, finite, some, st.booleans()))
    if numbers:
        row = row.map(lambda both: (int(np.argmax(both[0])), both[1]))
    simplest = 0 if numbers else np.eye(classes)[0], np.zeros(classes)
    return _arrays(_shapes(shape, 2), row, simplest, max(4, 2 * FEW // classes))


def _line(size: int, one: st.SearchStrategy[float]) -> st.SearchStrategy[np.ndarray]:
    """So many numbers, each drawn by itself; of many, a few of them again and again."""
    few = min(size, FEW)
    drawn = st.lists(one, min_size=few, max_size=few).map(np.asarray)
    return drawn if size == few else st.builds(_repeated, drawn, st.just(size), SEED)


def _repeated(few: np.ndarray, size: int, seed: int) -> np.ndarray:
    """So many of a few elements, at random."""
    return few[np.random.default_rng(seed).integers(0, len(few), size)]


def _masked(row: tuple[Any, Any], some: list[int], others: bool) -> tuple[Any, Any]:
    """The row without some classes of label 0, or without all the others of them."""
    labels, logits = row
    chosen = np.isin(np.arange(len(labels)), some) ^ others
    return labels, np.where(chosen & (labels == 0), -np.inf, logits)


def _shares(kind: Kind, classes: int) -> st.SearchStrategy[np.ndarray]:
    """Soft labels of classes: the pieces of a stick that is cut at labels of two classes.

    They are multiples of the least distance from 1, so that their sum is 1 without an error.
    """
    unit = 2.0**kind.digits
    few = min(classes - 1, FEW)

    def pieces(cuts: list[float]) -> np.ndarray:
        inner = np.sort(np.resize(np.floor(np.asarray(cuts) * unit), classes - 1))
        return np.diff([0.0, *inner, unit])[::-1] / unit

    return st.lists(label(kind, True), min_size=few, max_size=few).map(pieces)


# --- arrays -------------------------------------------------------------------


@st.composite
def _filled(
    draw: st.DrawFn, size: int, one: st.SearchStrategy[Any], simplest: Any, few: int = FEW
) -> Any:
    """An array of so many elements, each drawn by itself; of many, a few of them again and again.

    Of pairs two arrays. Now and then not all are drawn, and the rest is the simplest one: so
    an element that matters can come first as an example shrinks, and is in a smaller array too.
    """
    most = min(size, few)
    number = draw(st.integers(0, OFTEN * most)) + 1
    pool = [draw(one) for _ in range(min(number, most))]
    places = np.arange(size)
    if number < most or size == 0:
        places = np.minimum(places, len(pool))
        pool.append(simplest)
    if size > few:
        places = _repeated(np.arange(len(pool)), size, draw(SEED))
    if isinstance(simplest, tuple):
        return tuple(np.asarray(column)[places] for column in zip(*pool, strict=True))
    return np.asarray(pool)[places]


def _shapes(shape: Any, most: int) -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes as they are given, or of so many dimensions at most."""
    if shape is None:
        return array_shapes(min_dims=0, max_dims=most, max_side=4)
    return shape if isinstance(shape, st.SearchStrategy) else st.just(tuple(shape))


@st.composite
def _arrays(
    draw: st.DrawFn,
    shapes: st.SearchStrategy[tuple[int, ...]],
    one: st.SearchStrategy[Any],
    simplest: tuple[Any, Any],
    few: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and logits of losses of one of these shapes."""
    shape = draw(shapes)
    labels, logits = draw(_filled(math.prod(shape), one, simplest, few))
    return labels.reshape(shape + labels.shape[1:]), logits.reshape(shape + logits.shape[1:])


@st.composite
def beside(
    draw: st.DrawFn, shape: tuple[int, ...], one: st.SearchStrategy[Any], simplest: Any
) -> np.ndarray:
    """What goes with losses of this shape, in one of the shapes that it may have."""
    each = st.tuples(*(st.sampled_from([1, n] if n != 1 else [1]) for n in shape))
    own = draw(st.one_of(st.just(()), each, st.just(shape)))
    found = draw(_filled(math.prod(own), one, simplest)).reshape(own)
    return np.zeros_like(found) if draw(st.sampled_from([False] * 7 + [True])) else found
