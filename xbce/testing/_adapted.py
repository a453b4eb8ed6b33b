"""What the adapters share: the signature of an adapted loss, and other libraries' arrays."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from xbce._typing import Array

LossFn = Callable[..., Array]


def of_probabilities(loss: LossFn) -> LossFn:
    """A loss of hard labels and probabilities, with weights of the shape of the labels."""

    def call(labels: Any, logits: Any, weights: Any = None) -> Any:
        if weights is not None:
            weights = np.broadcast_to(weights, labels.shape).ravel()
        probabilities = 1 / (1 + np.exp(-logits.ravel()))
        found = loss(
            labels.ravel().astype(int), probabilities, sample_weight=weights, labels=[0, 1]
        )
        return np.asarray(found)

    return call


def adapted(call: LossFn, loss: Any, takes: Sequence[str], **attributes: Any) -> LossFn:
    """The call, under the name of the loss, and with a signature that says what it takes."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind) for name in ("labels", "logits")]
    parameters += [inspect.Parameter(name, kind, default=None) for name in takes]
    changed: Any = call
    changed.__signature__ = inspect.Signature(parameters)
    module = str(getattr(loss, "__module__", "")).partition(".")[0]
    own = getattr(loss, "__qualname__", type(loss).__qualname__)
    changed.library = module  # an audit asks for its arrays
    changed.__qualname__ = f"{module}: {own}" if module else own
    for name, value in attributes.items():
        setattr(changed, name, value)
    return call


def parameters(function: Any) -> dict[str, inspect.Parameter]:
    """The parameters of a function, or module of PyTorch, by name; none where it does not tell."""
    try:
        return dict(inspect.signature(getattr(function, "forward", function)).parameters)
    except (TypeError, ValueError):
        return {}


def through_tensorflow(call: LossFn, loss: LossFn, takes: Sequence[str]) -> LossFn:
    """The loss and its gradient of NumPy arrays, computed by TensorFlow."""

    def tensors(arrays: Sequence[Any], options: dict[str, Any]) -> tuple[Any, Any]:
        import tensorflow as tf

        return [*map(tf.constant, arrays)], {n: tf.constant(a) for n, a in options.items()}

    def value(labels: Any, logits: Any, **options: Any) -> Any:
        arrays, given = tensors((labels, logits), options)
        return np.asarray(call(*arrays, **given))

    def gradient(labels: Any, logits: Any, **options: Any) -> Any:
        import tensorflow as tf

        (z, x), given = tensors((labels, logits), options)
        with tf.GradientTape() as tape:
            tape.watch(x)
            losses = call(z, x, **given)
        return np.asarray(tape.gradient(losses, x))

    return adapted(value, loss, takes, gradient=gradient)
