"""Wrong losses of many kinds, and what the audits must say of each.

Each is what people write: the formula of a textbook, a mask after the loss, another denominator.
"""

from functools import partial

import numpy as np

from xbce.derivatives import gradient
from xbce.losses import Reduction
from xbce.nn import sigmoid_cross_entropy_with_logits

# --- element by element, in NumPy ---------------------------------------------------


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
    "strides": (by_strides, "strides change no value of the loss: of every other row, it is"),
    "neighbours": (neighbours, "the shape changes no value of the loss: flat, it is"),
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
    "sign": (slopes(lambda slope, z, x: -slope), "gradient, hard agreeing labels"),
    "by the labels": (slopes(lambda slope, z, x: -x), "gradient, hard agreeing labels"),
    "of the mean": (
        slopes(lambda slope, z, x: slope / np.float32(max(x.size, 1))),
        "gradient, hard agreeing labels",
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

# --- weighted and reduced, in NumPy --------------------------------------------------


def parts(labels, logits, weights, where):
    """Losses, weights and mask of one shape."""
    w = np.broadcast_to(np.asarray(1 if weights is None else weights, logits.dtype), logits.shape)
    keep = np.broadcast_to(True if where is None else where, logits.shape)
    return np.where(keep, right(labels, logits), 0), np.where(keep, w, 0), keep


def reduced(divide, labels, logits, weights=None, where=None):
    """The sum of weighted losses, divided."""
    losses, w, keep = parts(labels, logits, weights, where)
    below = np.asarray(divide(w, keep), logits.dtype)
    total = np.sum(losses * w)
    return total * 0 if below == 0 else total / below


def mask_after(labels, logits, weights=None, where=None):
    losses = right(labels, logits) * (1 if weights is None else weights)
    losses = losses if where is None else losses * where
    count = np.count_nonzero(parts(labels, logits, weights, where)[1])
    return np.sum(losses, dtype=logits.dtype) / np.asarray(max(count, 1), logits.dtype)


def mask_leaks(labels, logits, weights=None, where=None):
    """The batch is normalised before the mask."""
    total = reduced(lambda w, keep: np.count_nonzero(w), labels, logits, weights, where)
    return total + np.asarray(1e-3, logits.dtype) * np.sum(np.clip(logits, -1, 1))


def no_guard(labels, logits, weights=None, where=None):
    losses, w, _ = parts(labels, logits, weights, where)
    return np.sum(losses * w) / np.asarray(np.count_nonzero(w), logits.dtype)


def epsilon(labels, logits, weights=None, where=None):
    losses, w, _ = parts(labels, logits, weights, where)
    return np.sum(losses * w) / np.asarray(np.count_nonzero(w) + 1e-2, logits.dtype)


def weighed(change, labels, logits, weights=None, where=None):
    """The right reduction with weights that are changed before."""
    losses, w, _ = parts(labels, logits, weights, where)
    w = change(w).astype(logits.dtype)
    count = np.asarray(max(np.count_nonzero(w), 1), logits.dtype)
    return np.sum(losses * w) / count


def as_given(labels, logits, weights=None, where=None):
    losses, w, _ = parts(labels, logits, weights, where)
    count = w.size if weights is None else np.count_nonzero(weights)
    return np.sum(losses * w) / np.asarray(max(count, 1), logits.dtype)


def of_rows(labels, logits, weights=None, where=None):
    losses, w, _ = parts(labels, logits, weights, where)
    count = np.count_nonzero(w.reshape(len(w), -1), axis=1)
    each = (losses * w).reshape(len(w), -1).sum(axis=1) / np.maximum(count, 1)
    return each.mean().astype(logits.dtype)


def last_axis(labels, logits, weights=None, where=None):
    losses, w, _ = parts(labels, logits, weights, where)
    return np.mean(losses * w, axis=-1)


def in_float64(labels, logits, weights=None, where=None):
    wide = reduced(lambda w, keep: np.count_nonzero(w), labels, logits, weights, where)
    return wide.astype(np.float64)


def added_one_by_one(labels, logits, weights=None, where=None):
    losses, w, _ = parts(labels, logits, weights, where)
    total = np.cumsum(losses * w, dtype=logits.dtype)[-1]
    return total / np.asarray(max(np.count_nonzero(w), 1), logits.dtype)


def first_row_only(labels, logits, weights=None, where=None):
    """Weights that depend on the order of rows."""
    losses, w, _ = parts(labels, logits, weights, where)
    total = np.sum(losses * w) + np.sum(losses[:1] * w[:1])
    return total / np.asarray(max(np.count_nonzero(w), 1), logits.dtype)


REDUCTIONS = {  # name: function, what is said of it
    "over all elements": (
        partial(reduced, lambda w, keep: w.size),
        "diagnosis: float32: this is the mean over all elements, not over those with weight",
    ),
    "over the mask": (
        partial(reduced, lambda w, keep: keep.sum()),
        "this is the mean over the elements that the mask keeps, not over those with weight",
    ),
    "weighted mean": (
        partial(reduced, lambda w, keep: w.sum()),
        "this is the mean by the sum of the weights, which normalises them",
    ),
    "sum": (
        partial(reduced, lambda w, keep: 1),
        "this is the sum, not the mean over those with weight",
    ),
    "over the rows": (
        partial(reduced, lambda w, keep: len(w)),
        "this is the sum over the number of rows, not the mean over those with weight",
    ),
    "of the rows' means": (of_rows, "this is the mean of the rows' means, not "),
    "last axis": (last_axis, "this is the mean over the last axis only"),
    "weights as they are given": (
        as_given,
        "this is the sum over the non-zero weights as they are given, not as they are broadcast",
    ),
    "weights to 1": (
        partial(weighed, lambda w: w / (w.sum() or 1)),
        "weights are normalised, so that they sum to 1",
    ),
    "weights to mean 1": (
        partial(weighed, lambda w: w / (w.mean() or 1)),
        "weights are normalised, so that their mean is 1",
    ),
    "weights twice": (partial(weighed, lambda w: w * w), "weights are applied twice"),
    "weights for a mask": (
        partial(weighed, lambda w: w != 0),
        "weights are taken for a mask: any but 0 counts 1",
    ),
    "mask ignored": (
        lambda labels, logits, weights=None, where=None: reduced(
            lambda w, keep: np.count_nonzero(w), labels, logits, weights
        ),
        "the mask is ignored",
    ),
    "mask after the loss": (mask_after, "the mask is applied after the loss: 0*NaN is NaN"),
    "mask leaks": (mask_leaks, "what the mask leaves out changes the loss"),
    "0/0": (no_guard, "all left out gives 0, with a gradient of 0: got nan, should be 0"),
    "epsilon": (epsilon, "it is the reduction that it says"),
    "float64": (in_float64, "the result has dtype float64, not float32"),
    "added one by one": (added_one_by_one, "a long batch is summed as exactly as a short one"),
    "order": (first_row_only, "the order of rows does not matter"),
}


def smoothed(labels, amount):
    return labels * (1 - amount) + amount / 2


def classed(order, labels, logits):
    """The mean by the sum of class weights 1 and 3, with labels smoothed by 0.2."""
    z = smoothed(labels, 0.2).astype(logits.dtype)
    chosen = z if order == "smoothing first" else labels
    w = (1 - chosen + 3 * chosen) if order != "none" else np.ones_like(logits)
    losses = right(z, logits)
    if order == "terms":
        w, labelled = 1 + 2 * labels, right(0 * z + 1, logits)
        return np.sum(3 * z * labelled + (1 - z) * right(0 * z, logits)) / np.sum(w)
    return np.sum(losses * w) / np.sum(w)


CLASS_WEIGHTS = {
    "none": "class weights are ignored",
    "smoothing first": "labels are smoothed before class weights are chosen by them",
    "terms": "class weights multiply each class's term of the smoothed label",
}
CLASSED = {"class_weights": (1, 3), "label_smoothing": 0.2, "reduction": Reduction.MEAN}
