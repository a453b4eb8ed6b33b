"""Wrong reductions of many kinds, and what their audit must say of each.

Each is what people write: a mask after the loss, another denominator, weights that normalise.
"""

from functools import partial

import numpy as np
from wrong_losses import right


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


def of_rows(divide, labels, logits, weights=None, where=None):
    """The mean of the rows' sums, each divided."""
    losses, w, _ = parts(labels, logits, weights, where)
    below = divide(w.reshape(len(w), -1))
    each = (losses * w).reshape(len(w), -1).sum(axis=1) / np.where(below == 0, np.inf, below)
    return each.mean().astype(logits.dtype)


def of_last(labels, logits, weights=None, where=None):
    """The mean of the weighted means over the last axis."""
    losses, w, _ = parts(labels, logits, weights, where)
    below = w.sum(axis=-1)
    each = (losses * w).sum(axis=-1) / np.where(below == 0, np.inf, below)
    return each.mean().astype(logits.dtype)


def weights_by_mask(labels, logits, weights=None, where=None):
    losses, w, keep = parts(labels, logits, None, where)
    w = w if weights is None else w * weights
    return np.sum(losses * w) / np.asarray(max(np.count_nonzero(w * keep), 1), logits.dtype)


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


def right_reduction(labels, logits, weights=None, where=None):
    return reduced(lambda w, keep: np.count_nonzero(w), labels, logits, weights, where)


def turned(labels, logits, weights=None, where=None):
    """Weights a row that are taken for weights a column where the batch is square."""
    if (
        weights is not None
        and weights.shape == (len(logits), 1)
        and logits.shape[-1] == len(logits)
    ):
        weights = weights.reshape(1, -1)
    return right_reduction(labels, logits, weights, where)


def hidden(labels, logits, weights=None, where=None):
    keep = ~np.isnan(logits) & np.broadcast_to(True if where is None else where, logits.shape)
    return right_reduction(labels, logits, weights, keep)


def without_labels(labels, logits, weights=None, where=None):
    keep = ~np.isnan(labels) & np.broadcast_to(True if where is None else where, labels.shape)
    return right_reduction(np.where(keep, labels, 0), logits, weights, keep)


def cleaned(labels, logits, weights=None, where=None):
    labels[np.isnan(labels)] = 0
    return right_reduction(labels, logits, weights, where)


def none_left(labels, logits, weights=None, where=None):
    if where is not None and not np.any(where):
        return np.sum(right(labels, logits) * 0)
    return right_reduction(labels, logits, weights, where)


def by_row(divide, labels, logits, weights=None, where=None):
    """A loss a row: its sum of weighted losses, divided."""
    losses, w, keep = parts(labels, logits, weights, where)
    below = np.asarray(divide(w, keep), logits.dtype)
    return np.sum(losses * w, axis=-1) / np.where(below == 0, np.inf, below).astype(logits.dtype)


def filled(labels, logits, weights=None, where=None):
    """Logits of 0 where the mask leaves out, which cost log(2) each."""
    w, keep = parts(labels, logits, weights, where)[1:]
    losses = right(labels, np.where(keep, logits, 0))
    count = np.asarray(max(np.count_nonzero(w), 1), logits.dtype)
    return np.sum(losses * (1 if weights is None else weights), dtype=logits.dtype) / count


def last_block_lost(labels, logits, weights=None, where=None):
    """What a kernel does with blocks of 128 that forgets the last, of more than one."""
    losses, w, _ = parts(labels, logits, weights, where)
    whole = len(logits) // 128 * 128 or len(logits)
    count = np.asarray(max(np.count_nonzero(w), 1), logits.dtype)
    return np.sum(losses[:whole] * w[:whole]) / count


class SameArray:
    """A reduction that returns one and the same array, with another number each time."""

    def __init__(self):
        self.array = np.zeros((), np.float32)

    def __call__(self, labels, logits, weights=None, where=None):
        self.array[...] = right_reduction(labels, logits, weights, where)
        return self.array


def by_strides(labels, logits, weights=None, where=None):
    """What a kernel does that takes every array for contiguous."""
    whole = logits if logits.base is None else logits.base
    x = np.resize(whole.ravel(), logits.shape).astype(logits.dtype)
    return right_reduction(labels, x, weights, where)


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
    "of the rows' means": (
        partial(of_rows, lambda w: np.count_nonzero(w, axis=1)),
        "this is the mean of the rows' means, not ",
    ),
    "means of the last axis": (
        of_last,
        "this is the mean of the means over the last axis, each by the sum of its weights, not ",
    ),
    "one more": (
        partial(reduced, lambda w, keep: w.sum() + 1),
        "this is the sum over one more than the sum of the weights, not ",
    ),
    "mask by weights": (
        weights_by_mask,
        "weights that the mask leaves out come through: 0*NaN is NaN",
    ),
    "last axis": (last_axis, "this is the mean over the last axis only"),
    "clamped": (
        partial(reduced, lambda w, keep: max(w.sum(), 1)),
        "this is the sum over the sum of the weights, or over 1 where that is less, not the mean",
    ),
    "by rows' weights": (
        partial(of_rows, lambda w: w.sum(axis=1)),
        "this is the mean of the rows' means, each by the sum of its weights, not ",
    ),
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
    "weights without signs": (
        lambda labels, logits, weights=None, where=None: right_reduction(
            labels, logits, None if weights is None else np.abs(weights), where
        ),
        "a negative weight counts as what it is, or is an error",
    ),
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
    "logits of 0": (
        filled,
        "what the mask leaves out adds the loss at logits of 0",
    ),
    "last block": (
        last_block_lost,
        "a long batch is summed as exactly as a short one: got 1.47",
    ),
    "the same array": (
        SameArray(),
        "a result stays as it is when another is computed: got 1.54",
    ),
    "strides": (
        by_strides,
        "strides do not matter, or are an error: got",
    ),
    "mask after the loss": (
        mask_after,
        "the mask is applied after the loss, or multiplies: 0*NaN is NaN",
    ),
    "mask leaks": (mask_leaks, "what the mask leaves out changes the loss"),
    "0/0": (no_guard, "all left out gives 0, with a gradient of 0: got nan, should be 0"),
    "square": (turned, "weights multiply the losses, and count as the reduction says"),
    "hides NaN": (hidden, "a NaN that counts is not hidden"),
    "hides labels of NaN": (without_labels, "a NaN that counts is not hidden"),
    "writes where it is NaN": (cleaned, "inputs are left as they were: an input was written to"),
    "NaN where none is left": (none_left, "all left out gives 0, with a gradient of 0: got nan"),
    "the other way round": (
        lambda labels, logits, weights=None, where=None: right_reduction(
            labels, logits, weights, None if where is None else ~where
        ),
        "the mask is taken the other way round: True leaves out",
    ),
    "negative": (
        lambda *arguments, **options: -right_reduction(*arguments, **options),
        "this is the negative of the loss",
    ),
    "swapped": (
        lambda labels, logits, weights=None, where=None: right_reduction(
            logits, labels, weights, where
        ),
        "labels and logits are swapped",
    ),
    "a number of Python": (
        lambda labels, logits, weights=None, where=None: float(
            right_reduction(labels, logits, weights, where)
        ),
        "the result is a float of Python, not an array",
    ),
    "normalised before the mask": (
        lambda labels, logits, weights=None, where=None: weighed(
            lambda w: w,
            labels,
            logits,
            None if weights is None else weights / (weights.mean() or 1),
            where,
        ),
        "weights are normalised before the mask, so that their mean is 1",
    ),
    "epsilon": (epsilon, "it is the reduction that it says"),
    "float64": (in_float64, "the result has dtype float64, not float32"),
    "added one by one": (added_one_by_one, "a long batch is summed as exactly as a short one"),
    "order": (first_row_only, "the order of rows does not matter"),
}
