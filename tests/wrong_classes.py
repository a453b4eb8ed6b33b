"""Wrong losses over classes, and wrong labels and weights of classes, and what is said of each."""

import numpy as np

from xbce.nn import sigmoid_cross_entropy_with_logits, softmax_cross_entropy_with_logits


def right(labels, logits):
    return softmax_cross_entropy_with_logits(labels=labels, logits=logits)


def each(labels, logits):
    return sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)


def softmax(logits):
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def one_hot(numbers, classes):
    return np.eye(classes)[numbers]


def over_rows(labels, logits):
    if logits.ndim < 2:
        return right(labels, logits)
    logs = logits - np.log(np.exp(logits).sum(axis=-2, keepdims=True, dtype=logits.dtype))
    return -np.sum(labels * logs, axis=-1)


SOFTMAX = {  # name: function, what is said of it
    "twice": (
        lambda z, x: right(z, softmax(x)),
        "the softmax is applied twice: these are probabilities, not logits",
    ),
    "another axis": (over_rows, "the softmax is over the axis before the classes"),
    "one label": (
        lambda z, x: right(one_hot(z.argmax(axis=-1), x.shape[-1]).astype(x.dtype), x),
        "the largest label is taken for the only one",
    ),
    "sigmoids": (
        lambda z, x: each(z, x).sum(axis=-1),
        "this is the sum of the sigmoid cross entropy of each class",
    ),
    "mean of sigmoids": (
        lambda z, x: each(z, x).mean(axis=-1),
        "this is the mean of the sigmoid cross entropy of each class",
    ),
    "mean over classes": (
        lambda z, x: right(z, x) / np.asarray(x.shape[-1], x.dtype),
        "this is the mean over the classes, not the sum",
    ),
    "negative": (lambda z, x: -right(z, x), "this is the negative of the loss"),
}


# --- reduced -----------------------------------------------------------------------


def mean(losses, weights=1):
    w = np.broadcast_to(weights, losses.shape).astype(losses.dtype)
    return np.sum(losses * w) / np.sum(w)


def smoothed(change, labels, logits):
    """The mean, with labels that are smoothed by 0.2 in another way."""
    return mean(right(change(labels, labels.shape[-1]).astype(logits.dtype), logits))


SMOOTHED = {  # name: change of labels and number of classes, what is said of it
    "not": (lambda z, c: z, "labels are not smoothed"),
    "twice": (lambda z, c: 0.6 * z + 0.4 / c, "labels are smoothed by twice the number"),
    "made smaller": (lambda z, c: 0.8 * z, "labels are made smaller, and nothing is added to them"),
    "whole": (
        lambda z, c: 0.8 * z + 0.2,
        "the whole number is added to smoothed labels, not its share of each class",
    ),
    "half": (
        lambda z, c: 0.8 * z + 0.1,
        "half the number is added to smoothed labels, not its share of each class",
    ),
    "others": (
        lambda z, c: 0.8 * z + 0.2 * (1 - z) / (c - 1),
        "smoothed labels share the number among the other classes only",
    ),
}
CLASS_WEIGHTS = np.asarray([1.0, 2.0, 5.0])
WEIGHTED = {  # name: weights of the classes, what is said of them
    "ignored": (CLASS_WEIGHTS**0, "class weights are ignored"),
    "turned": (CLASS_WEIGHTS[::-1], "class weights are in the opposite order"),
    "squared": (CLASS_WEIGHTS**2, "class weights are applied twice"),
    "to 1": (CLASS_WEIGHTS / 8, "class weights are normalised, so that they sum to 1"),
    "to mean 1": (CLASS_WEIGHTS * 3 / 8, "class weights are normalised, so that their mean is 1"),
}


def of_numbers(labels, logits):
    """The losses of class numbers."""
    return right(one_hot(labels, logits.shape[-1]).astype(logits.dtype), logits)


def without_class_1(labels, logits):
    kept = labels != 1
    return np.sum(of_numbers(labels, logits) * kept) / np.asarray(max(kept.sum(), 1), logits.dtype)
