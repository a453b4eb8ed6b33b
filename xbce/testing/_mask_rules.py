"""The checks of masks: what is left out may be anything, and is as if it were not there."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice, product

import numpy as np

from xbce._reduction import Reduction
from xbce.testing._batches import OF_CLASSES, Call
from xbce.testing._run import Comparison, Run

GARBAGE = (3.0, np.inf, -np.inf, np.nan)
"""What a mask leaves out may hold."""
WITHOUT = "and {} without what is left out"
NO_CLASS = -100
"""The class number there, which other libraries have for it."""
SLOPES = 2
"""Of how many kinds of shapes a gradient is tried: those take long to compile."""


def _dirty(run: Run, batch: Call, kinds: int | None = None) -> Iterator[tuple[Call, Call, float]]:
    """Calls, and the same with garbage where their masks leave out."""
    for call in (*islice(run.masked(batch), kinds), *islice(run.both(batch), kinds)):
        out = ~run.expected.kept(call)
        if out.any():
            for garbage in GARBAGE:
                yield call, _filled(run, call, out, garbage), garbage


def _filled(run: Run, call: Call, out: np.ndarray, garbage: float) -> Call:
    """The call with garbage at these places of its logits, and in the labels and weights there."""
    loss = run.expected.loss
    rows = out.all(axis=-1) if loss.over_classes else out
    if loss.class_numbers:
        labels = np.where(rows, NO_CLASS, call.labels)
    else:
        labels = np.where(out, garbage, call.labels)
    weights = call.weights
    if weights is not None and weights.shape == rows.shape:
        weights = np.where(rows, garbage, weights)
    return replace(call, labels=labels, logits=np.where(out, garbage, call.logits), weights=weights)


def anything(run: Run, batch: Call) -> Iterator[Comparison]:
    """The loss is the same with garbage there."""
    after = "the mask is applied after the loss, or multiplies: 0*NaN is NaN"
    return _same(run, run.value, _dirty(run, batch), "loss", after)


def anything_gradient(run: Run, batch: Call) -> Iterator[Comparison]:
    """The gradient is."""
    after = (
        "the mask is applied after the loss: its gradient there is 0*NaN; mask labels and "
        "logits before it"
    )
    return _same(run, run.slopes, _dirty(run, batch, SLOPES), "gradient", after)


def _same(
    run: Run,
    computed: Callable[[Call], np.ndarray],
    pairs: Iterator[tuple[Call, Call, float]],
    quantity: str,
    after: str,
) -> Iterator[Comparison]:
    """What is computed is the same with garbage; and what it says of a mask where it is NaN."""
    for clean, dirty, garbage in pairs:
        actual, expected = computed(dirty), computed(clean)
        if actual.shape == expected.shape:  # what is NaN without garbage too is another rule's
            actual, expected = (np.where(np.isnan(expected), 0.0, a) for a in (actual, expected))
        symptom = f"what the mask leaves out changes the {quantity}"
        if np.isnan(actual).any() and not np.isfinite(garbage):
            symptom = _passed_on(run, dirty) or after
        yield Comparison(dirty, actual, expected, np.abs(expected), symptom, WITHOUT)


def _passed_on(run: Run, call: Call) -> str:
    """What NaN says of a mask of classes, or of weights, since calls without those come first."""
    assert call.where is not None
    if run.expected.loss.over_classes and call.where.ndim == call.logits.ndim:
        return "NaN and infinity that the mask leaves out come through"
    if call.weights is not None and not np.isfinite(call.weights).all():
        return "weights that the mask leaves out come through: 0*NaN is NaN"
    return ""


def rows_left_out(run: Run, batch: Call) -> Iterator[Comparison]:
    """The loss without a row is that of the other rows."""
    size = batch.labels.shape[0]
    kept = np.arange(size) != size // 2
    rank = len(run.expected.shape(batch))
    column = kept.reshape((size,) + (1,) * (rank - 1))
    masks = [column] if ("full" if rank == 1 else "rows") in run.kinds else []
    if OF_CLASSES in run.kinds:
        masks.append(np.broadcast_to(column[..., None], batch.logits.shape))
    for call, where in product((batch, *run.weighted(batch)), masks if size > 1 else ()):
        left = replace(call, where=where)
        actual, expected = run.value(left), run.value(call.rows(kept))
        if not run.expected.reduces_rows(rank):
            actual = actual[kept]
        yield Comparison(left, actual, expected, np.abs(expected))


def nothing(run: Run, batch: Call) -> Iterator[Comparison]:
    """Loss and gradient are 0 where all is left out, whatever that holds."""
    for number, call in enumerate(run.masked(batch)):
        assert call.where is not None
        empty = replace(call, where=np.zeros_like(call.where))
        out = np.ones(call.logits.shape, dtype=bool)
        for tried in (empty, _filled(run, empty, out, np.nan)):
            zero = np.zeros_like(run.expected.value(empty)[0])
            actual = run.value(tried)
            divides = run.expected.reduction not in (Reduction.NONE, Reduction.SUM)
            by_zero = divides and np.isnan(actual).any()
            symptom = "0 is divided by 0 where all is left out" if by_zero else ""
            yield Comparison(tried, actual, zero, zero, symptom if tried is empty else "")
            if run.gradient_fn is not None and number < SLOPES:
                zero = np.zeros(call.logits.shape)
                yield Comparison(tried, run.slopes(tried), zero, zero)


def counts(run: Run, batch: Call) -> Iterator[Comparison]:
    """A NaN that counts makes the loss NaN; an error is as good."""
    for call in (batch, *islice(run.masked(batch), 1)):
        keep = run.expected.counted(call)
        first = np.zeros(keep.shape, bool)
        first.flat[int(np.argmax(keep))] = True
        over_classes = run.expected.loss.over_classes
        out = np.broadcast_to(first[..., None] if over_classes else first, call.logits.shape)
        filled = _filled(run, call, out, np.nan)
        tried = [replace(call, logits=filled.logits)]
        if not run.expected.loss.class_numbers:
            tried.append(replace(call, labels=filled.labels))
        for bad in tried:
            try:
                actual = run.value(bad)
            except Exception:
                continue
            unreduced = run.expected.reduction == Reduction.NONE
            hit = first if unreduced else np.asarray(np.any(first, axis=run.expected.axis))
            if actual.shape == hit.shape and not np.all(np.isnan(actual[hit])):
                yield Comparison(bad, actual, np.where(hit, np.nan, actual), 0)
