"""The checks of weights that are all 0, that are scaled, and that are negative."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from xbce._reduction import Reduction
from xbce.testing._batches import Call
from xbce.testing._run import Comparison, Run


def none(run: Run, batch: Call) -> Iterator[Comparison]:
    """The loss is 0 where all weights are."""
    for call in run.weighted(batch):
        assert call.weights is not None
        empty = replace(call, weights=np.zeros_like(call.weights))
        zero = np.zeros_like(run.expected.value(empty)[0])
        yield Comparison(empty, run.value(empty), zero, zero)


def scaled(run: Run, batch: Call) -> Iterator[Comparison]:
    """The loss has the weights' scale, or a weighted mean has none."""
    for call in run.weighted(batch):
        assert call.weights is not None
        for factor in (2.0, 2.0**-4 if run.make.format.eps > 1e-5 else 2.0**-20):
            other = replace(call, weights=factor * call.weights)
            before = run.value(call)
            expected = before if run.expected.reduction == Reduction.MEAN else factor * before
            yield Comparison(other, run.value(other), expected, np.abs(expected))


def negative(run: Run, batch: Call) -> Iterator[Comparison]:
    """A weight below 0 is taken with its sign; an error is as good."""
    for call in run.weighted(batch):
        assert call.weights is not None
        signs = np.resize([1.0, -0.5, 1.0], call.weights.shape)
        other = replace(call, weights=signs * (call.weights + 1))
        try:
            actual = run.value(other)
        except Exception:
            continue
        yield Comparison(other, actual, *run.expected.value(other))
