"""Known ways of being wrong of a reduction's gradient, recognised by its figures."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from xbce._reduction import Reduction
from xbce.testing._arrays import UPSTREAM
from xbce.testing._batches import Call, batches
from xbce.testing._run import Run

Slopes = Callable[[Call, np.ndarray], np.ndarray]
"""Of a call and its right gradient: another one."""


def of_gradient(run: Run, eps: float) -> list[str]:
    """What the gradient of a right loss is instead, where a rule found that it is wrong."""
    if not run.wrong_gradient:
        return []
    calls = [call for batch in batches(run.expected) for call in run.every(batch, 1)]
    try:
        found = [(call, run.slopes(call), *run.expected.gradient(call)) for call in calls]
    except Exception:  # which a rule says
        return []

    def is_what_came(of: Slopes) -> bool:
        guesses = [(came, of(call, right), size) for call, came, right, size in found]
        return all(
            run.fits(came, guess, size + np.abs(guess), eps) for came, guess, size in guesses
        )

    def of_call(**changed: Any) -> Slopes:
        return lambda call, right: run.expected.gradient(replace(call, **changed))[0]

    def of(**changed: Any) -> Slopes:
        return lambda call, right: replace(run.expected, **changed).gradient(call)[0]

    of_sum = of(reduction=Reduction.SUM)
    hypotheses: dict[str, Slopes] = {
        "the gradient is 0: nothing comes through": lambda call, right: 0 * right,
        "the gradient has the opposite sign": lambda call, right: -right,
        "the gradient forgets what comes in from behind": lambda call, right: right / UPSTREAM[0],
        "the gradient forgets what comes in from behind, the reduction too": (
            lambda call, right: run.expected.numbers("gradient", call) / _upstream(run, call)
        ),
        "the gradient is that of the sum": of_sum,
        "the gradient is that of the sum over the number of rows": (
            lambda call, right: of_sum(call, right) / len(right)
        ),
        "the gradient is that of the sum over the number of all elements": (
            lambda call, right: of_sum(call, right) / np.prod(run.expected.shape(call))
        ),
        "the gradient is that of labels that are not smoothed": of(smoothing=0.0),
        "the gradient is divided by the number of elements once more": (
            lambda call, right: right / np.prod(run.expected.shape(call))
        ),
        "the gradient is divided by the number of rows once more": (
            lambda call, right: right / len(right)
        ),
        "the gradient is half of what it should be": lambda call, right: right / 2,
        "the gradient is twice what it should be": lambda call, right: right * 2,
        "the gradient forgets the weights": of_call(weights=None),
        "the gradient forgets the mask": of_call(where=None),
    }
    return [name for name, of in hypotheses.items() if is_what_came(of)][:1]


def _upstream(run: Run, call: Call) -> Any:
    """What comes in from behind for each logit, where the gradient is found by differentiation."""
    expected = run.expected
    upstream = np.resize(UPSTREAM, expected.value(call)[0].shape)
    if expected.axis is not None:
        upstream = np.expand_dims(upstream, expected.axis)
    return upstream[..., None] if upstream.ndim and expected.loss.over_classes else upstream
