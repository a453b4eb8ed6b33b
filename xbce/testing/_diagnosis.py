"""Known ways of being wrong of an unreduced loss and its gradient, recognised by their figures.

A hypothesis computes, in float64, what an implementation with a fault would give.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from xbce._losses import Loss
from xbce._typing import Array, Output
from xbce.testing._arrays import UPSTREAM, Maker
from xbce.testing._inputs import quarters
from xbce.testing._oracle import in_float64
from xbce.testing._ulp import as_numpy

SINGLE = 2.0**-23
"""The distance between numbers of float32."""
Hypotheses = dict[str, Callable[[], np.ndarray]]


class _Exact:
    """What a loss and its gradient are, in float64, at labels and logits that every dtype holds."""

    def __init__(
        self, loss: Loss, parameters: dict[str, float], classes: int, soft_labels: bool
    ) -> None:
        rng = np.random.default_rng(3)
        x = quarters(rng, (6, classes))
        z = rng.choice([0.0, 1.0, 0.25] if soft_labels else [0.0, 1.0], x.shape)
        if loss.over_classes:
            z = rng.integers(0, classes, 6) if loss.class_numbers else np.eye(classes)[[0, 1] * 3]
        self.loss, self.parameters, self.z, self.x = loss, parameters, z, x

    def __call__(
        self, output: Output, z: Any = None, x: Any = None, **changed: float | None
    ) -> np.ndarray:
        """One of its formulas, with other labels, logits or parameters where they are given."""
        given = {n: v for n, v in (self.parameters | changed).items() if v is not None}
        arrays = self.z if z is None else z, self.x if x is None else x
        return np.asarray(in_float64(self.loss, self.loss.formula(output), *arrays, given))

    def without(self, output: Output) -> Hypotheses:
        """One of its formulas without one of its parameters, by the parameter's name."""
        return {
            name: partial(self, output, **{name: 0.0 if name == "gamma" else None})
            for name in self.parameters
        }


def of_losses(
    functions: dict[str, Callable[[Array, Array], Array]],
    make: Maker,
    loss: Loss,
    parameters: dict[str, float],
    classes: int,
    soft_labels: bool,
) -> Iterator[str]:
    """What a loss is instead; or what its gradient is, where the loss is right."""
    exact, eps = _Exact(loss, parameters, classes, soft_labels), make.format.eps
    hypotheses: dict[str, tuple[Output, Callable[[_Exact, np.ndarray], Hypotheses]]]
    hypotheses = {"loss": ("value", _of_value), "gradient": ("gradient", _of_gradient)}
    for quantity, (output, faults) in hypotheses.items():
        if quantity not in functions:
            continue
        try:
            with np.errstate(all="ignore"):
                came = as_numpy(functions[quantity](make(exact.z), make(exact.x)))
                right = exact(output)
                if _alike(came, right, eps):
                    continue
                if eps < SINGLE and _alike(came, right, SINGLE):
                    found = [f"the {quantity} has the digits of float32"]
                else:
                    found = [n for n, f in faults(exact, right).items() if _alike(came, f(), eps)]
        except Exception:  # which a rule says
            return
        yield from (f"{make.name}: {name}" for name in found[:1])
        return


def _alike(actual: np.ndarray, values: np.ndarray, eps: float) -> bool:
    close = 64 * eps * (1 + np.abs(values))
    return values.shape == actual.shape and bool(np.all(np.abs(actual - values) <= close))


def _of_value(exact: _Exact, right: np.ndarray) -> Hypotheses:
    """What the loss may be instead, the likeliest first."""
    z, x = exact.z, exact.x
    found: Hypotheses = {
        "this is the negative of the loss": lambda: -right,
        "this is half the loss": lambda: right / 2,
        "this is twice the loss": lambda: right * 2,
        "logarithms are of base 2": lambda: right / np.log(2),
        "this is the mean over the last axis only": lambda: right.mean(axis=-1),
        "this is the sum over the last axis": lambda: right.sum(axis=-1),
        "this is the mean over all elements": lambda: right.mean(),
        "this is the sum over all elements": lambda: right.sum(),
    }
    if exact.loss.over_classes:
        found["this is the mean over the classes, not the sum"] = lambda: right / x.shape[-1]
    else:
        found |= {
            "labels and logits are swapped": lambda: exact("value", x, z),
            "the sigmoid is applied twice: these are probabilities, not logits": (
                lambda: exact("value", z, 1 / (1 + np.exp(-x)))
            ),
            "positives and negatives are exchanged": lambda: exact("value", 1 - z),
            "negatives are left out": lambda: z * exact("value", 0 * z + 1),
        }
    found |= {f"`{n}` is left out": values for n, values in exact.without("value").items()}
    if {"pos_weight", "alpha"} & exact.parameters.keys():
        found["weights of positives and negatives are exchanged"] = lambda: exact(
            "value", 1 - z, -x
        )
    return found


def _of_gradient(exact: _Exact, right: np.ndarray) -> Hypotheses:
    """What the gradient of a right loss may be instead, the likeliest first."""
    x = exact.x
    losses = x.shape[:-1] if exact.loss.over_classes else x.shape
    upstream = np.resize(UPSTREAM, losses).reshape(losses + (1,) * (x.ndim - len(losses)))
    found: Hypotheses = {
        "the gradient is 0: nothing comes through": lambda: 0 * right,
        "the gradient has the opposite sign": lambda: -right,
        "the gradient is half of what it should be": lambda: right / 2,
        "the gradient is twice what it should be": lambda: right * 2,
        "the gradient forgets what comes in from behind": lambda: right / upstream,
        "the gradient is that of the mean": lambda: right / np.prod(losses),
        "the gradient is that of the mean over rows": lambda: right / len(x),
    }
    if not exact.loss.over_classes:
        found |= {
            "the gradient is by the labels": lambda: -x,
            "the gradient is by the probabilities, not the logits": (
                lambda: right * (1 + np.exp(-x)) * (1 + np.exp(x))
            ),
        }
    found |= {
        f"the gradient is that without `{n}`": slopes
        for n, slopes in exact.without("gradient").items()
    }
    if "gamma" in exact.parameters:
        found["the gradient takes the factor that `gamma` makes for a constant"] = lambda: (
            exact("gradient", gamma=0.0) * exact("value") / exact("value", gamma=0.0)
        )
    return found
