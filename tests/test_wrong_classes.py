"""The audits find wrong losses over classes, and name what is wrong with labels and weights."""

from functools import partial

import numpy as np
import pytest
from wrong_classes import (
    CLASS_WEIGHTS,
    SMOOTHED,
    SOFTMAX,
    WEIGHTED,
    each,
    mean,
    of_numbers,
    smoothed,
    without_class_1,
)

from xbce.losses import Reduction
from xbce.nn import sigmoid_focal_loss
from xbce.testing import audit, audit_reduction

pytestmark = [
    pytest.mark.backend("numpy"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]
DTYPES = ["float32"]


@pytest.mark.parametrize("name", SOFTMAX)
def test_a_wrong_softmax_loss_is_named(name):
    function, what = SOFTMAX[name]
    report = audit(function, np, DTYPES, classes=5, samples=20, name=name)
    assert report.diagnoses == [f"float32: {what}"]
    with pytest.raises(AssertionError):
        report.check()


@pytest.mark.parametrize("name", [*SOFTMAX])
def test_its_mean_is_named_too(name):
    function, what = SOFTMAX[name]
    options = {"loss": "softmax_cross_entropy", "rows": 0, "name": name}
    report = audit_reduction(lambda z, x: mean(function(z, x)), np, DTYPES, **options)
    assert report.diagnoses == [f"float32: {what}"]


@pytest.mark.parametrize("name", SMOOTHED)
def test_labels_that_are_smoothed_otherwise_are_named(name):
    change, what = SMOOTHED[name]
    options = {"loss": "softmax_cross_entropy", "label_smoothing": 0.2, "rows": 0, "name": name}
    report = audit_reduction(partial(smoothed, change), np, DTYPES, **options)
    assert report.diagnoses == [f"float32: {what}"]
    uniform = partial(smoothed, lambda z, c: 0.8 * z + 0.2 / c)
    audit_reduction(uniform, np, DTYPES, **options).check()


@pytest.mark.parametrize("name", WEIGHTED)
def test_wrong_weights_of_classes_are_named(name):
    weights, what = WEIGHTED[name]

    def weighted(weights, labels, logits):
        losses = of_numbers(labels, logits)
        return np.sum(losses * weights[labels]).astype(logits.dtype) / len(losses.ravel())

    options = {
        "loss": "sparse_softmax_cross_entropy",
        "reduction": Reduction.SUM_OVER_BATCH_SIZE,
        "class_weights": CLASS_WEIGHTS,
        "rows": 0,
        "name": name,
    }
    report = audit_reduction(partial(weighted, weights), np, DTYPES, **options)
    assert report.diagnoses == [f"float32: {what}"]
    audit_reduction(partial(weighted, CLASS_WEIGHTS), np, DTYPES, **options).check()


def test_a_class_that_is_left_out_is_named():
    options = {"loss": "sparse_softmax_cross_entropy", "rows": 0, "name": "without"}
    report = audit_reduction(without_class_1, np, DTYPES, **options)
    assert report.diagnoses == ["float32: labels of class 1 are left out"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda z, x: each(z, x), "`pos_weight` is left out"),
        (lambda z, x: 3 * each(z, x), "`pos_weight` multiplies negatives too"),
        (lambda z, x: (z / 3 + 1 - z) * each(z, x), "`pos_weight` divides"),
        (
            lambda z, x: (z + 3 * (1 - z)) * each(z, x),
            "weights of positives and negatives are exchanged",
        ),
    ],
)
def test_wrong_weights_of_positives_are_named(change, what):
    options = {"pos_weight": 3.0, "soft_labels": False, "name": "weighted"}
    report = audit(change, np, DTYPES, samples=20, **options)
    assert report.diagnoses == [f"float32: {what}"]
    report = audit_reduction(lambda z, x: change(z, x).mean(), np, DTYPES, rows=0, **options)
    assert report.diagnoses == [f"float32: {what}"]


def test_alpha_of_the_other_class_is_named():
    def focal(labels, logits):
        return sigmoid_focal_loss(labels=labels, logits=logits, alpha=0.75, gamma=2.0)

    report = audit(focal, np, DTYPES, alpha=0.25, gamma=2.0, samples=20)
    assert report.diagnoses == ["float32: weights of positives and negatives are exchanged"]
