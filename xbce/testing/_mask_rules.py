"""The checks of masks: what is left out may be anything, and is as if it were not there."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np

from xbce.testing._batches import Call
from xbce.testing._run import Comparison, Run

GARBAGE = (3.0, np.inf, -np.inf, np.nan)
"""What a mask leaves out may hold."""
SLOPES = 2
"""Of how many kinds of shapes a gradient is tried: those take long to compile."""


def _dirty(run: Run, batch: Call, kinds: int | None = None) -> Iterator[tuple[Call, Call, float]]:
    """Calls, and the same with garbage where their masks leave out."""
    for call in (*islice(run.masked(batch), kinds), *islice(run.both(batch), kinds)):
        assert call.where is not None
        shape = run.shape(call)
        out = ~np.broadcast_to(call.where, shape)
        if not out.any():
            continue
        for garbage in GARBAGE:
            rows = (
                out[..., None] & np.ones(call.logits.shape, bool)
                if (run.expected.loss.over_classes)
                else out
            )
            logits = np.where(rows, garbage, call.logits)
            labels = call.labels
            if not run.expected.loss.class_numbers:
                labels = np.where(rows, garbage, labels)
            weights = call.weights
            if weights is not None and weights.shape == shape:
                weights = np.where(out, garbage, weights)
            yield call, replace(call, labels=labels, logits=logits, weights=weights), garbage


def anything(run: Run, batch: Call) -> Iterator[Comparison]:
    for clean, dirty, garbage in _dirty(run, batch):
        actual, expected = run.value(dirty), run.value(clean)
        symptom = "what the mask leaves out changes the loss"
        if np.isnan(actual).any() and not np.isfinite(garbage):
            symptom = "the mask is applied after the loss: 0*NaN is NaN"
        yield Comparison(dirty, actual, expected, np.abs(expected), symptom)


def anything_gradient(run: Run, batch: Call) -> Iterator[Comparison]:
    for clean, dirty, garbage in _dirty(run, batch, SLOPES):
        actual, expected = run.slopes(dirty), run.slopes(clean)
        symptom = "what the mask leaves out changes the gradient"
        if np.isnan(actual).any() and not np.isfinite(garbage):
            symptom = (
                "the mask is applied after the loss: its gradient there is 0*NaN; mask labels and "
                "logits before it"
            )
        yield Comparison(dirty, actual, expected, np.abs(expected), symptom)


def rows_left_out(run: Run, batch: Call) -> Iterator[Comparison]:
    size = batch.labels.shape[0]
    kept = np.arange(size) != size // 2
    if size < 2 or ("rows" not in run.kinds and batch.labels.ndim > 1):
        return
    rank = len(run.shape(batch))
    for call in (batch, *run.weighted(batch)):
        left = replace(call, where=kept.reshape((size,) + (1,) * (rank - 1)))
        actual, expected = run.value(left), run.value(call.rows(kept))
        if not run.expected.reduces_rows(rank):
            actual = actual[kept]
        yield Comparison(left, actual, expected, np.abs(expected))


def nothing(run: Run, batch: Call) -> Iterator[Comparison]:
    for number, call in enumerate(run.masked(batch)):
        assert call.where is not None
        empty = replace(call, where=np.zeros_like(call.where))
        zero = np.zeros_like(run.expected.value(empty)[0])
        yield Comparison(empty, run.value(empty), zero, zero)
        if run.gradient_fn is not None and number < SLOPES:
            zero = np.zeros(call.logits.shape)
            yield Comparison(empty, run.slopes(empty), zero, zero)
