"""Wrong losses of many kinds, element by element, and what the audit must say of each."""

import numpy as np

from xbce.derivatives import gradient
from xbce.nn import sigmoid_cross_entropy_with_logits


def right(labels, logits):
    return sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)


def textbook(labels, logits):
    chance = 1 / (1 + np.exp(-logits))
    return -labels * np.log(chance) - (1 - labels) * np.log(1 - chance)


def clipped(labels, logits):
    chance = np.clip(1 / (1 + np.exp(-logits)), 1e-7, 1 - 1e-7).astype(logits.dtype)
    return -labels * np.log(chance) - (1 - labels) * np.log(1 - chance)


def maximum(labels, logits):
    return np.maximum(logits, 0) - logits * labels + np.log1p(np.exp(-np.abs(logits)))


def written_to(labels, logits):
    logits *= 1 - 2 * labels
    return right(0 * labels, logits)


def squeezed(labels, logits):
    return right(labels.squeeze(), logits.squeeze())


def flattened(labels, logits):
    return right(labels.ravel(), logits.ravel())


def by_strides(labels, logits):
    """What a kernel does that takes every array for contiguous."""
    whole = logits if logits.base is None else logits.base
    x = np.resize(whole.ravel(), logits.shape).astype(logits.dtype)
    return right(labels, x) if logits.size else right(labels, logits)


def neighbours(labels, logits):
    """A softmax's shift, which element-wise losses have no use for."""
    return (
        right(labels, logits - logits.max(axis=-1, keepdims=True))
        if logits.ndim > 1
        else right(labels, logits)
    )


class SameArray:
    """A loss that returns one and the same array for each shape."""

    def __init__(self):
        self.arrays = {}

    def __call__(self, labels, logits):
        array = self.arrays.setdefault(logits.shape, np.zeros(logits.shape, np.float32))
        array[...] = right(labels, logits)
        return array


def last_block_lost(labels, logits):
    losses = right(labels, logits)
    whole = len(logits) // 1024 * 1024 if logits.ndim else 0
    return np.concatenate([losses[:whole], 0 * losses[whole:]]) if whole else losses


def noisy_at_large(labels, logits):
    losses = right(labels, logits)
    return np.where(np.abs(logits) > 20, losses * (1 + 30 * np.finfo(losses.dtype).eps), losses)


ELEMENTS = {  # name: function, what is said of it
    "the textbook's formula": (textbook, "hard agreeing labels, large logits: inf ulp"),
    "clipped probabilities": (clipped, "hard disagreeing labels, large logits"),
    "cancels with soft labels": (maximum, "soft agreeing labels, large logits"),
    "NaN at infinity": (maximum, "at label 1.0, logit inf: got nan, should be 0"),
    "swapped": (lambda z, x: right(x, z), "diagnosis: float32: labels and logits are swapped"),
    "sigmoid twice": (
        lambda z, x: right(z, 1 / (1 + np.exp(-x))),
        "diagnosis: float32: the sigmoid is applied twice",
    ),
    "bits": (
        lambda z, x: (right(z, x) / np.log(2)).astype(x.dtype),
        "diagnosis: float32: logarithms are of base 2",
    ),
    "negative": (lambda z, x: -right(z, x), "this is the negative of the loss"),
    "half": (lambda z, x: right(z, x) / 2, "this is half the loss"),
    "mean": (lambda z, x: right(z, x).mean(), "this is the mean over all elements"),
    "mean over the last axis": (
        lambda z, x: right(z, x).mean(axis=-1),
        "this is the mean over the last axis only",
    ),
    "float64": (
        lambda z, x: right(z, x).astype(np.float64),
        "the loss has the dtype of the logits: the result has dtype float64",
    ),
    "float16": (
        lambda z, x: right(z, x).astype(np.float16),
        "the loss has the dtype of the logits: the result has dtype float16",
    ),
    "written to": (written_to, "the loss leaves inputs as they were: an input was written to"),
    "squeezed": (
        squeezed,
        "has shape (3,), not (3, 1) (with logits of shape (3, 1))",
    ),
    "flattened": (flattened, "has shape (1,), not () (with logits of shape ())"),
    "strides": (by_strides, "strides change no value of the loss: of every other row, at place"),
    "neighbours": (neighbours, "the shape changes no value of the loss: flat, at place"),
    "the same array": (SameArray(), "the loss stays as it is when another is computed"),
    "minus an unsigned label": (
        lambda z, x: np.logaddexp(0, x) + (-z * x).astype(x.dtype),
        "the loss of labels that are whole numbers is that of floats, or an error: of labels of",
    ),
    "the last block": (
        last_block_lost,
        "the length of a batch changes no value of the loss: of 4099 rows, at place 4096, it is 0",
    ),
    "no rank 0": (
        lambda z, x: right(z, x) if x.ndim else 1 / 0,
        "the loss takes every shape: ZeroDivisionError: division by zero",
    ),
    "30 ulp at large logits": (noisy_at_large, "hard agreeing labels, large logits: 60.4 ulp"),
}


def slopes(change):
    """The right loss with a gradient that is changed."""

    def gradient_fn(labels, logits):
        return change(gradient(labels=labels, logits=logits), labels, logits)

    return gradient_fn


GRADIENTS = {  # name: gradient, what is said of it
    "1 - p_t by subtraction": (
        lambda z, x: (1 / (1 + np.exp(-x)) - z).astype(x.dtype),
        "gradient, hard agreeing labels, large logits",
    ),
    "double at 0": (
        slopes(lambda slope, z, x: np.where(x == 0, 2 * slope, slope)),
        "gradient at label 0.0, logit 0.0: got 1.0, should be 0.5",
    ),
    "sign": (
        slopes(lambda slope, z, x: -slope),
        "diagnosis: float32: the gradient has the opposite sign",
    ),
    "none": (
        slopes(lambda slope, z, x: 0 * x),
        "diagnosis: float32: the gradient is 0: nothing comes through",
    ),
    "by the labels": (
        slopes(lambda slope, z, x: -x),
        "diagnosis: float32: the gradient is by the labels",
    ),
    "by the probabilities": (
        slopes(lambda slope, z, x: slope * (2 + np.exp(x) + np.exp(-x))),
        "diagnosis: float32: the gradient is by the probabilities, not the logits",
    ),
    "of the mean": (
        slopes(lambda slope, z, x: slope / np.float32(max(x.size, 1))),
        "diagnosis: float32: the gradient is that of the mean",
    ),
    "NaN at infinity": (
        slopes(lambda slope, z, x: np.where(np.isinf(x), np.nan, slope).astype(x.dtype)),
        "gradient at label 0.0, logit inf: got nan, should be 1",
    ),
    "float64": (
        slopes(lambda slope, z, x: slope.astype(float)),
        "the gradient has the dtype of the logits",
    ),
    "shape": (
        slopes(lambda slope, z, x: slope.ravel()),
        "the gradient has the shape that it must have",
    ),
}
