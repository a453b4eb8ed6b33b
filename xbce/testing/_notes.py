"""What an audit has seen that is no failure, and that a reader of its report should know."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np

from xbce._losses import Loss
from xbce._reduction import Reduction
from xbce._typing import Array
from xbce.testing._arrays import Maker
from xbce.testing._batches import Call
from xbce.testing._run import Run


def of_shapes(function: Callable[[Array, Array], Array], make: Maker, loss: Loss) -> Iterator[str]:
    """Labels of shape (N,) beside logits of shape (N, 1), which broadcast to (N, N)."""
    if loss.over_classes:
        return
    labels, logits = make([1.0, 0.0, 1.0]), make([[0.5], [-2.0], [3.0]])
    with suppress(Exception):  # an error is what is best
        shape = tuple(function(labels, logits).shape)
        yield (
            "labels of shape (3,) beside logits of shape (3, 1) are no error; "
            f"the result has shape {shape}"
        )


def of_reduction(run: Run) -> Iterator[str]:
    """What was not audited, and what an empty batch gives."""
    without = [name for name in ("weights", "where") if name not in run.takes]
    if without:
        yield f"its signature has no {' and no '.join(f'`{name}`' for name in without)}"
    if {*run.takes} - run.tried:
        yield "no weights are tried: `shapes` names none that they have"
    loss = run.expected.loss
    yield from of_shapes(run.loss_fn, run.make, loss)
    if run.expected.reduction == Reduction.NONE or run.expected.axis is not None:
        return
    logits = np.zeros((0, run.expected.classes) if loss.over_classes else (0,))
    labels = np.zeros((0,), dtype=int) if loss.class_numbers else logits
    with suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy warns of a mean of nothing
        if np.isnan(run.value(Call(labels, logits))):
            yield "an empty batch gives nan"
