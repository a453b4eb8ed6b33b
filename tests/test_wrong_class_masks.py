"""Masks that leave out classes, audited: right losses pass, and what is wrong is named."""

import numpy as np
import pytest

from xbce import losses
from xbce.losses import Reduction
from xbce.testing import audit_reduction
from xbce.testing._batches import KINDS, OF_CLASSES

ROWS, NUMBERS = {"loss": "softmax_cross_entropy"}, {"loss": "sparse_softmax_cross_entropy"}
SMOOTHED = {"label_smoothing": 0.2, **ROWS}
OPTIONS = {"shapes": [OF_CLASSES], "rows": 0}
MEAN = {"reduction": Reduction.SUM_OVER_BATCH_SIZE}
quiet = pytest.mark.filterwarnings("ignore::RuntimeWarning")
numpy_only = pytest.mark.backend("numpy")


def of(loss, label_smoothing=0.0, reduction=Reduction.SUM_BY_NONZERO_WEIGHTS):
    """The loss of this library, as the audit calls it."""
    smoothing = {"label_smoothing": label_smoothing} if label_smoothing else {}

    def masked(labels, logits, weights=None, where=None):
        weights = 1.0 if weights is None else weights
        options = smoothing | {"where": where, "reduction": reduction}
        return getattr(losses, loss)(labels, logits, weights, **options)

    return masked


@pytest.mark.parametrize(
    "library",
    [
        pytest.param("jax.numpy", marks=pytest.mark.backend("jax")),
        pytest.param("torch", marks=pytest.mark.backend("torch")),
    ],
)
@pytest.mark.parametrize("loss", [ROWS, NUMBERS], ids=["rows", "numbers"])
def test_it_passes_this_library_with_gradients(library, loss):
    xp = pytest.importorskip(library)
    report = audit_reduction(of(**loss), xp, ["float32"], **OPTIONS, **loss)
    report.check()
    assert any("gradient" in rule.name for rule in report.rules)


@numpy_only
@pytest.mark.parametrize("reduction", list(Reduction), ids=str)
@pytest.mark.parametrize("loss", [ROWS, SMOOTHED, NUMBERS], ids=["rows", "smoothed", "numbers"])
def test_it_passes_every_reduction_beside_masks_of_rows(loss, reduction):
    options = {"reduction": reduction, "shapes": [*KINDS, OF_CLASSES], "rows": 0, **loss}
    audit_reduction(of(reduction=reduction, **loss), np, **options).check()


def log_softmax(x):
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.sum(np.exp(x), axis=-1, keepdims=True))


def mean(labels, logits):
    """The mean over rows of the softmax loss of labels in rows or numbers."""
    if labels.dtype.kind == "i":
        labels = np.eye(logits.shape[-1], dtype=logits.dtype)[labels]
    return np.asarray(-np.sum(labels * log_softmax(logits), axis=-1).mean(), dtype=logits.dtype)


def smoothed(labels, kept):
    return np.where(kept, 0.8 * labels + 0.2 / kept.sum(axis=-1, keepdims=True), 0)


def filled(logits, kept, number):
    return np.where(kept, logits, np.asarray(number, logits.dtype))


STAY = "classes that the mask leaves out stay among the exponentials"
WRONG = {  # name: the mean of (labels, logits, mask), which loss it is, what is said of it
    "ignored": (lambda z, x, m: mean(z, x), ROWS, STAY),
    "after the softmax": (lambda z, x, m: mean(z * m, x), ROWS, STAY),
    "turned": (
        lambda z, x, m: mean(z, filled(x, ~m | m.all(), -1e9)),
        NUMBERS,
        "the mask is taken the other way round: True leaves out",
    ),
    "zeros": (
        lambda z, x, m: mean(z * m, filled(x, m, 0)),
        ROWS,
        "logits of classes that the mask leaves out are taken for 0",
    ),
    "infinite": (
        lambda z, x, m: mean(z, filled(x, m, -np.inf)),
        ROWS,
        "labels of 0 multiply logarithms of 0 in classes that the mask leaves out",
    ),
    "labels alone": (
        lambda z, x, m: mean(smoothed(z, m), x),
        SMOOTHED,
        STAY,
    ),
    "smoothed over all": (
        lambda z, x, m: mean(smoothed(z, m | True) * m, filled(x, m, -1e9)),
        SMOOTHED,
        "labels are smoothed over classes that the mask leaves out too",
    ),
}


@quiet
@numpy_only
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_mask_of_classes_is_named(name):
    function, loss, what = WRONG[name]

    def masked(labels, logits, where=None):
        return function(labels, logits, np.ones(logits.shape, bool) if where is None else where)

    report = audit_reduction(masked, np, **OPTIONS, **MEAN, **loss)
    for dtype in ("float32", "float64"):
        assert f"{dtype}: {what}" in report.diagnoses
    with pytest.raises(AssertionError):
        report.check()


@quiet
@numpy_only
@pytest.mark.parametrize("empty", [0.0, np.nan])
def test_a_row_without_classes_that_counts_is_found(empty):
    def counts_all(labels, logits, where=None):
        """Right but for rows that have no class left, unless that is all of them."""
        kept = np.ones(logits.shape, bool) if where is None else where
        each = losses.softmax_cross_entropy(labels, logits, where=kept, reduction="none")
        counted = kept.any(axis=-1)
        return np.where(counted, each, empty if counted.any() else 0).mean(dtype=logits.dtype)

    report = audit_reduction(counts_all, np, **OPTIONS, **ROWS)
    broken = {rule.name for rule in report.rules if rule.broken}
    assert broken == {"leaving rows out is not having them"}


@quiet
@numpy_only
def test_a_mask_that_is_added_to_logits_lets_infinity_through():
    def added(labels, logits, where=None):
        kept = np.ones(logits.shape, bool) if where is None else where
        return mean(np.where(kept, labels, 0), logits + (kept - np.ones_like(logits)) * 1e9)

    report = audit_reduction(added, np, ["float32"], **OPTIONS, **MEAN, **ROWS)
    assert "float32: NaN and infinity that the mask leaves out come through" in report.diagnoses


@numpy_only
def test_weights_that_no_shape_is_named_for_are_said_not_to_be_tried():
    report = audit_reduction(of(**ROWS), np, **OPTIONS, **ROWS)
    assert "no weights are tried: `shapes` names none that they have" in report.notes
    assert not any("weight" in rule.name for rule in report.rules)


def test_it_is_for_losses_over_classes_alone_and_without_an_ignored_label():
    with pytest.raises(ValueError, match=r"`shapes` must be some of \('full', .*'scalar'\); got"):
        audit_reduction(mean, np, **OPTIONS)
    with pytest.raises(ValueError, match="`shapes` can not have 'classes' where there is an `ign"):
        audit_reduction(mean, np, ignore_index=-1, **OPTIONS, **NUMBERS)
