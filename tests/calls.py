"""Calls of the public functions by name, and the arrays that they take: for tests of tracers."""

from typing import Any

import numpy as np
import pytest

from xbce import derivatives, losses, nn
from xbce.losses import Reduction

CLASSES = 3
FIXED = ("top", "q", "alpha", "smoothing")
"""Operands that have no batch."""

SIGMOID = losses.sigmoid_cross_entropy
SOFTMAX = losses.softmax_cross_entropy
SPARSE = losses.sparse_softmax_cross_entropy
WEIGHTED = losses.compute_weighted_loss
FOCAL = losses.sigmoid_focal_loss
ASYMMETRIC = losses.asymmetric_sigmoid_loss
SIGMOID_GRAD = derivatives.value_and_grad
SOFTMAX_GRAD = derivatives.softmax_value_and_grad
SPARSE_GRAD = derivatives.sparse_softmax_value_and_grad


def along(axis: int, how: dict[str, Any]) -> dict[str, Any]:
    """The same, reduced along an axis if at all."""
    return how if how.get("reduction") is Reduction.NONE else how | {"axis": axis}


# The names say which operands stand beside labels and logits; `a` holds them all.
CALLS = {
    "sigmoid": lambda a, **how: SIGMOID(a["z"], a["x"], **how),
    "sigmoid-integers": lambda a, **how: SIGMOID(a["hard"], a["x"], a["column"], **how),
    "sigmoid-weights[batch,1]": lambda a, **how: SIGMOID(a["z"], a["x"], a["column"], **how),
    "sigmoid-weights[batch,classes]": lambda a, **how: SIGMOID(a["z"], a["x"], a["full"], **how),
    "sigmoid-weights[1,classes]": lambda a, **how: SIGMOID(a["z"], a["x"], a["top"], **how),
    "sigmoid-where": lambda a, **how: SIGMOID(a["z"], a["x"], where=a["mask"], **how),
    "sigmoid-where-number": lambda a, **how: SIGMOID(a["z"], a["x"], 2.0, where=a["mask"], **how),
    "sigmoid-where[batch,1]-weights[1,classes]": lambda a, **how: SIGMOID(
        a["z"], a["x"], a["top"], where=a["mask_column"], **how
    ),
    "sigmoid-smoothing[]": lambda a, **how: SIGMOID(
        a["z"], a["x"], a["column"], a["smoothing"], **how
    ),
    "sigmoid-pos_weight": lambda a, **how: SIGMOID(a["z"], a["x"], pos_weight=2.0, **how),
    "sigmoid-pos_weight[classes]": lambda a, **how: SIGMOID(
        a["z"], a["x"], a["column"], pos_weight=a["q"], **how
    ),
    "sigmoid-all": lambda a, **how: SIGMOID(
        a["z"], a["x"], a["column"], 0.1, pos_weight=a["q"], where=a["mask"], **how
    ),
    "focal": lambda a, **how: WEIGHTED(
        nn.sigmoid_focal_loss(labels=a["z"], logits=a["x"], alpha=0.25, gamma=1.5),
        a["column"],
        where=a["mask"],
        **how,
    ),
    "sigmoid-axis": lambda a, **how: SIGMOID(a["z"], a["x"], a["full"], **along(1, how)),
    "sigmoid-axis-where": lambda a, **how: SIGMOID(
        a["z"], a["x"], a["top"], where=a["mask_column"], **along(-1, how)
    ),
    "sigmoid-axis-plain": lambda a, **how: SIGMOID(a["z"], a["x"], **along(0, how)),
    "sigmoid-ignored": lambda a, **how: SIGMOID(a["hard"], a["x"], ignore_index=0, **how),
    "focal-all": lambda a, **how: FOCAL(
        a["z"], a["x"], a["column"], a["smoothing"], where=a["mask"], alpha=0.25, gamma=1.5, **how
    ),
    "focal-gamma[classes]": lambda a, **how: FOCAL(
        a["z"], a["x"], alpha=a["alpha"], gamma=a["q"], **how
    ),
    "asymmetric-all": lambda a, **how: ASYMMETRIC(
        a["z"], a["x"], a["column"], 0.1, pos_weight=a["q"], where=a["mask"], **how
    ),
    "asymmetric-gamma[classes]": lambda a, **how: ASYMMETRIC(
        a["z"], a["x"], gamma_positive=a["q"], gamma_negative=a["q"], clip=0.0, **how
    ),
    "softmax": lambda a, **how: SOFTMAX(a["z"], a["x"], **how),
    "softmax-where[batch,classes]": lambda a, **how: SOFTMAX(
        a["z"], a["x"], a["rows"], 0.1, where=a["mask"], **how
    ),
    "softmax-axis": lambda a, **how: SOFTMAX(a["z"], a["x"], a["rows"], **along(0, how)),
    "softmax-weights[batch]": lambda a, **how: SOFTMAX(a["z"], a["x"], a["rows"], **how),
    "softmax-where": lambda a, **how: SOFTMAX(a["z"], a["x"], where=a["mask_rows"], **how),
    "softmax-smoothing": lambda a, **how: SOFTMAX(a["z"], a["x"], 2.0, 0.1, **how),
    "softmax-all": lambda a, **how: SOFTMAX(
        a["z"], a["x"], a["rows"], a["smoothing"], where=a["mask_rows"], **how
    ),
    "sparse": lambda a, **how: SPARSE(a["number"], a["x"], **how),
    "sparse-weights[batch]": lambda a, **how: SPARSE(a["number"], a["x"], a["rows"], **how),
    "sparse-all": lambda a, **how: SPARSE(
        a["number"], a["x"], a["rows"], where=a["mask_rows"], **how
    ),
    "sparse-smoothing": lambda a, **how: SPARSE(
        a["number"], a["x"], label_smoothing=a["smoothing"], **how
    ),
    "sparse-ignored": lambda a, **how: SPARSE(
        a["number"], a["x"], a["rows"], where=a["mask_rows"], ignore_index=1, **how
    ),
    "weighted-weights[batch,1]": lambda a, **how: WEIGHTED(a["x"], a["column"], **how),
    "weighted-axis": lambda a, **how: WEIGHTED(a["x"], a["full"], **along(1, how)),
    "weighted-all": lambda a, **how: WEIGHTED(a["x"], a["full"], where=a["mask_column"], **how),
    "value_and_grad": lambda a, **how: SIGMOID_GRAD(a["z"], a["x"], **how),
    "value_and_grad-all": lambda a, **how: SIGMOID_GRAD(
        a["z"],
        a["x"],
        a["top"],
        a["smoothing"],
        pos_weight=a["q"],
        where=a["mask_column"],
        **how,
    ),
    "value_and_grad-axis": lambda a, **how: SIGMOID_GRAD(
        a["z"], a["x"], a["column"], gamma=2.0, where=a["mask"], **along(1, how)
    ),
    "sparse_softmax_value_and_grad": lambda a, **how: SPARSE_GRAD(
        a["number"], a["x"], a["rows"], label_smoothing=0.1, where=a["mask_rows"], **how
    ),
    "softmax_value_and_grad": lambda a, **how: SOFTMAX_GRAD(a["z"], a["x"], **how),
    "softmax_value_and_grad-all": lambda a, **how: SOFTMAX_GRAD(
        a["z"], a["x"], a["rows"], 0.1, where=a["mask_rows"], **how
    ),
}

ELEMENTS = {
    "nn-sigmoid": lambda a: nn.sigmoid_cross_entropy_with_logits(labels=a["z"], logits=a["x"]),
    "nn-integers": lambda a: nn.sigmoid_cross_entropy_with_logits(labels=a["hard"], logits=a["x"]),
    "nn-pos_weight": lambda a: nn.weighted_cross_entropy_with_logits(
        labels=a["hard"], logits=a["x"], pos_weight=a["q"]
    ),
    "nn-pos_weight-number": lambda a: nn.weighted_cross_entropy_with_logits(
        labels=a["z"], logits=a["x"], pos_weight=2.0
    ),
    "nn-focal": lambda a: nn.sigmoid_focal_loss(labels=a["hard"], logits=a["x"], alpha=0.25),
    "nn-focal-gamma": lambda a: nn.sigmoid_focal_loss(labels=a["z"], logits=a["x"], gamma=1.5),
    "nn-focal-gamma[classes]": lambda a: nn.sigmoid_focal_loss(
        labels=a["z"], logits=a["x"], alpha=a["alpha"], gamma=a["q"]
    ),
    "nn-asymmetric": lambda a: nn.asymmetric_sigmoid_loss(labels=a["z"], logits=a["x"]),
    "nn-softmax": lambda a: nn.softmax_cross_entropy_with_logits(labels=a["hard"], logits=a["x"]),
    "nn-sparse": lambda a: nn.sparse_softmax_cross_entropy_with_logits(
        labels=a["number"], logits=a["x"]
    ),
}
"""Calls of `xbce.nn`, which neither weigh nor reduce."""

SECOND = {
    "hessian": lambda a: derivatives.gradient_hessian(labels=a["hard"], logits=a["x"]),
    "weighted-hessian": lambda a: derivatives.gradient_hessian(
        labels=a["z"], logits=a["x"], weights=a["column"], where=a["mask"]
    ),
    "asymmetric-hessian": lambda a: derivatives.asymmetric_sigmoid_gradient_hessian(
        labels=a["z"], logits=a["x"]
    ),
    "softmax-hessian": lambda a: derivatives.softmax_gradient_hessian(
        labels=a["z"], logits=a["x"], weights=a["rows"]
    ),
    "sparse-hessian": lambda a: derivatives.sparse_softmax_gradient_hessian(
        labels=a["number"], logits=a["x"], where=a["mask_rows"]
    ),
    "focal-hessian": lambda a: derivatives.gradient_hessian(
        labels=a["hard"], logits=a["x"], alpha=0.25, gamma=2.0
    ),
}
"""Calls that give second derivatives."""

WHOLE = (
    "sigmoid-all",
    "focal",
    "softmax-all",
    "sparse-all",
    "weighted-all",
    "value_and_grad-all",
    "softmax_value_and_grad-all",
)
"""One call of each loss, with all that it takes."""

DEFAULT = (Reduction.SUM_BY_NONZERO_WEIGHTS,)
EVERY = tuple(Reduction)


def each_of(*names: str) -> Any:
    """A decorator: run the test with each of these calls."""
    return pytest.mark.parametrize("call", [CALLS[name] for name in names], ids=names)


def arrays(batch: int, floating: str = "float64") -> dict[str, np.ndarray]:
    """The operands of all calls, for a batch of this size."""
    rng = np.random.default_rng(batch)
    x = 3 * rng.normal(size=(batch, CLASSES))
    made = {
        "x": x,
        "z": rng.random(x.shape),
        "column": rng.integers(0, 3, (batch, 1)) / 2,  # zeros among them, for the counts
        "rows": rng.integers(0, 3, batch) / 2,
        "full": rng.integers(0, 3, x.shape) / 2,
        "top": np.array([[0.0, 0.5, 2.0]]),
        "q": np.array([0.5, 1.0, 3.0]),
        "alpha": np.array([0.25, 0.5, 1.0]),
        "smoothing": np.array(0.1),
    }
    made = {name: array.astype(floating) for name, array in made.items()}
    return made | {
        "hard": (x > 0).astype("int32"),
        "number": rng.integers(0, CLASSES, batch),
        "mask": rng.random(x.shape) < 0.7,
        "mask_column": rng.random((batch, 1)) < 0.7,
        "mask_rows": rng.random(batch) < 0.7,
    }


def tensors(batch: int, floating: str = "float64") -> dict[str, Any]:
    """The same as tensors of PyTorch."""
    torch = pytest.importorskip("torch")
    made = {name: torch.from_numpy(np.array(array)) for name, array in arrays(batch).items()}
    wide = {name: tensor for name, tensor in made.items() if tensor.is_floating_point()}
    return made | {name: tensor.to(getattr(torch, floating)) for name, tensor in wide.items()}


def results(call: Any, a: dict[str, Any], reductions: tuple[Reduction, ...]) -> tuple[Any, ...]:
    """What a call gives by each reduction, flat."""
    made = []
    for reduction in reductions:
        result = call(a, reduction=reduction, loss_collection=None)
        made += result if isinstance(result, tuple) else [result]
    return tuple(made)
