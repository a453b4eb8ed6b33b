"""What the tests that go through the table of losses share: cases, operands, and right numbers."""

from typing import Any

import numpy as np
import pytest

from xbce._losses import LOSSES, Loss
from xbce.losses import Reduction

ROWS, CLASSES = 5000, 8  # more elements than `_engines._numpy.SMALL`

CASES = [
    pytest.param(loss, parameters, id="-".join([loss.name, *map(str, parameters.values())]))
    for loss in LOSSES
    for parameters in loss.examples()
]
"""Each loss with each of the examples of its parameters."""

ELEMENT_WISE = [case for case in CASES if not case.values[0].over_classes]
EACH_LOSS = [pytest.param(loss, loss.examples()[0], id=loss.name) for loss in LOSSES]
OUTPUTS = ("value", "gradient", "value_and_gradient", "gradient_and_hessian")


def has(loss: Loss, output: str) -> bool:
    """Whether the loss gives this output; only second derivatives may be missing."""
    return output != "gradient_and_hessian" or loss.gradient_and_hessian is not None


def operands(loss: Loss, rows: int = ROWS, classes: int = CLASSES) -> dict[str, np.ndarray]:
    """Labels, logits, weights, a mask, and an array for each parameter that may be one."""
    rng = np.random.default_rng(3)
    x = 6 * rng.normal(size=(rows, classes))
    found = {"labels": rng.random(x.shape), "logits": x, "weights": rng.random((rows, 1))}
    found["weights"][::5] = 0
    found["mask"] = rng.random(x.shape) < 0.7
    if loss.over_classes:
        found["weights"], found["mask"] = found["weights"][:, 0], found["mask"][:, 0]
    if loss.class_numbers:
        found["labels"] = rng.integers(0, classes, rows, dtype=np.int32)
    for parameter in loss.parameters:
        if parameter.array:
            found[parameter.name] = rng.random(classes) + 0.5
    return found


def expected(
    loss: Loss,
    output: str,
    labels: Any,
    logits: Any,
    *,
    weights: Any = 1.0,
    smoothing: float = 0.0,
    mask: Any = True,
    reduction: Reduction = Reduction.NONE,
    **parameters: Any,
) -> tuple[np.ndarray, ...]:
    """What the plain formula gives in float64, weighted and reduced by its definition."""
    z, x = (a if a.dtype.kind == "i" else a.astype(np.float64) for a in (labels, logits))
    if smoothing and loss.class_numbers:
        z, loss = np.eye(x.shape[-1])[z], loss.spread
    shape = x.shape[:-1] if loss.over_classes else x.shape
    if smoothing:
        z = z * (1 - smoothing) + smoothing / (x.shape[-1] if loss.over_classes else 2)
    if loss.over_classes:
        parameters["class_numbers"] = np.arange(x.shape[-1])
    with np.errstate(all="ignore"):
        if output == "gradient_and_hessian":
            return loss.gradient_and_hessian(np, z, x, **parameters)
        slopes = loss.gradient(np, z, x, **parameters)
        if output == "gradient":
            return (slopes,)
        value = loss.value(np, z, x, **parameters)
    rest = [slopes] if output == "value_and_gradient" else []
    keep = np.broadcast_to(mask, shape)
    w = np.where(keep, np.asarray(weights, dtype=np.float64), 0.0)
    value = np.where(keep, w * value, 0.0)
    denominator = {
        Reduction.NONE: lambda: 1,
        Reduction.SUM: lambda: 1,
        Reduction.MEAN: lambda: w.sum(),
        Reduction.SUM_OVER_BATCH_SIZE: lambda: keep.sum(),
        Reduction.SUM_BY_NONZERO_WEIGHTS: lambda: np.count_nonzero(w),
    }[reduction]()
    if reduction != Reduction.NONE:
        value = value.sum() / denominator
    if loss.over_classes:
        keep, w = keep[..., None], w[..., None]
    return value, *(np.where(keep, w * slope, 0.0) / denominator for slope in rest)


def as_tuple(results: Any) -> tuple[Any, ...]:
    """One result or two as a tuple."""
    return results if isinstance(results, tuple) else (results,)
