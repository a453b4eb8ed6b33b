"""Wrong losses a row, unreduced ones, ignored labels, class weights; what is said of each."""

from functools import partial

import numpy as np
from wrong_losses import right
from wrong_reductions import by_row, parts, reduced, right_reduction

from xbce.losses import Reduction


def of_the_batch(labels, logits, weights=None, where=None):
    return right_reduction(labels, logits, weights, where)


ROWS = {  # name: function of a loss a row, what is said of it
    "over all elements": (
        partial(by_row, lambda w, keep: w.shape[-1]),
        "this is the mean over all elements, not over those with weight",
    ),
    "over the mask": (
        partial(by_row, lambda w, keep: keep.sum(axis=-1)),
        "this is the mean over the elements that the mask keeps, not over those with weight",
    ),
    "over the batch": (
        partial(by_row, lambda w, keep: np.count_nonzero(w)),
        "this is the sum over the number of those with weight in the whole batch, not the mean",
    ),
    "weights ignored": (
        lambda labels, logits, weights=None, where=None: by_row(
            lambda w, keep: keep.sum(axis=-1), labels, logits, None, where
        ),
        "weights are ignored",
    ),
    "all axes": (of_the_batch, "this is reduced over all axes"),
    "no axis": (
        lambda *arrays, **options: np.prod(parts(*arrays, **options)[:2], axis=0),
        "this is not reduced",
    ),
}
UNREDUCED = {  # name: function of unreduced losses, what is said of it
    "weights twice": (
        lambda labels, logits, weights=None, where=None: np.prod(
            parts(labels, logits, None if weights is None else weights**2, where)[:2], axis=0
        ),
        "weights are applied twice",
    ),
    "reduced": (of_the_batch, "this is reduced over all axes"),
}


def ignoring(number, counted, labels, logits, weights=None):
    """The mean over labels that are not this number, or over all that are `counted`."""
    kept = labels != number
    total = reduced(lambda w, keep: 1, np.where(kept, labels, 0), logits, weights, kept)
    weighted = parts(labels, logits, weights, kept if counted == "kept" else None)[1]
    return total / np.asarray(max(np.count_nonzero(weighted), 1), logits.dtype)


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
