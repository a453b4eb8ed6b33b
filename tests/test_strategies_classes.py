"""Labels of classes, weights and masks that hypothesis draws."""

import numpy as np
import pytest
from helpers import examples, smallest
from hypothesis import given, settings
from hypothesis import strategies as st

from xbce import _arguments
from xbce.losses import (
    sigmoid_cross_entropy,
    softmax_cross_entropy,
    sparse_softmax_cross_entropy,
)
from xbce.testing import as_numpy
from xbce.testing.strategies import labels_and_logits, masks, weights

few = settings(max_examples=10)
numpy_only = pytest.mark.backend("numpy")


def rows(**options):
    """Rows of labels and of logits, 5 classes each, from fixed seeds."""
    pairs = [
        pair
        for i in range(3)
        for pair in examples(labels_and_logits(np, classes=5, **options), 100, i)
    ]
    return tuple(np.concatenate([pair[k].reshape(-1, 5) for pair in pairs]) for k in (0, 1))


# --- classes ------------------------------------------------------------------------------


@few
@given(data=st.data())
def test_rows_of_labels_sum_to_1_and_have_the_classes_last(xp, dtype, data):
    labels, logits = data.draw(labels_and_logits(xp, dtype=dtype, classes=5))
    for array in (labels, logits):
        assert _arguments.namespace_of(array).__name__ == xp.__name__
        assert array.dtype == dtype
        assert array.shape[-1] == 5
        assert array.ndim <= 3
    assert tuple(labels.shape) == tuple(logits.shape)
    labels = as_numpy(labels)
    assert np.all(labels >= 0)
    np.testing.assert_array_equal(labels.sum(-1), np.ones(labels.shape[:-1]))
    assert np.all(np.isfinite(as_numpy(logits)))


@few
@given(data=st.data())
def test_numbers_of_classes_have_no_axis_of_them(xp, dtype, data):
    strategy = labels_and_logits(xp, dtype=dtype, classes=3, class_numbers=True, shape=(2, 4))
    labels, logits = data.draw(strategy)
    assert _arguments.name_of(labels.dtype) in ("int32", "int64")
    assert logits.dtype == dtype
    assert (tuple(labels.shape), tuple(logits.shape)) == ((2, 4), (2, 4, 3))
    assert set(as_numpy(labels).ravel()) <= {0, 1, 2}


@few
@given(data=st.data())
def test_losses_take_what_is_drawn(xp, dtype, data):
    finite = {"dtype": dtype, "max_logit": 1e3}
    labels, logits = data.draw(labels_and_logits(xp, classes=4, **finite))
    numbers, of_numbers = data.draw(labels_and_logits(xp, classes=4, class_numbers=True, **finite))
    singles = data.draw(labels_and_logits(xp, **finite))
    for loss, z, x, shape in (
        (softmax_cross_entropy, labels, logits, logits.shape[:-1]),
        (sparse_softmax_cross_entropy, numbers, of_numbers, numbers.shape),
        (sigmoid_cross_entropy, *singles, singles[0].shape),
    ):
        weighting = {
            "weights": data.draw(weights(xp, tuple(shape), dtype=dtype)),
            "where": data.draw(masks(xp, tuple(shape))),
        }
        each = loss(z, x, reduction="none", **weighting)
        assert tuple(each.shape) == tuple(shape)
        assert np.all(np.isfinite(as_numpy(each))) or _arguments.name_of(dtype) == "float16"
        assert as_numpy(loss(z, x, **weighting)) >= 0
    left_out = data.draw(masks(xp, tuple(logits.shape)))
    assert as_numpy(softmax_cross_entropy(labels, logits, where=left_out)).shape == ()


@numpy_only
@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_half_of_the_rows_are_one_hot_and_the_others_soft(name):
    labels, _ = rows(dtype=name)
    labels = labels.astype(float)
    hard = labels.max(-1) == 1
    assert 0.4 < hard.mean() < 0.75
    assert set(labels[hard].argmax(-1)) == set(range(5))
    others = labels[~hard]
    assert np.any((others > 0.99) & (others < 1))
    assert np.any((others > 0) & (others < 0.01))
    assert np.all(np.any((others > 0.1) & (others < 0.9), axis=0))
    assert np.all(rows(dtype=name, soft=False)[0].max(-1) == 1)


@numpy_only
def test_classes_are_masked_but_never_the_label_in_a_row_of_them():
    labels, logits = rows(specials=True)
    masked = logits == -np.inf
    only = (
        masked.any(-1) & (masked | np.isfinite(logits)).all(-1) & ~(masked & (labels > 0)).any(-1)
    )
    assert only.mean() > 0.1
    assert np.any(only & (masked | (labels > 0)).all(-1))  # all that are not the label
    assert np.any(np.isnan(logits))
    assert np.any(logits == np.inf)
    assert not np.any(~np.isfinite(rows()[1]))


@numpy_only
def test_numbers_of_classes_are_of_both_dtypes_and_their_class_may_be_masked_for_others():
    pairs = examples(labels_and_logits(np, classes=3, class_numbers=True, specials=True), 200)
    assert {labels.dtype.name for labels, _ in pairs} == {"int32", "int64"}
    for number in range(3):
        assert any(np.any(labels == number) for labels, _ in pairs)
    found = 0
    for labels, logits in pairs:
        of_label = np.take_along_axis(logits, labels[..., None], -1)[..., 0]
        found += np.sum(np.isfinite(of_label) & (logits == -np.inf).any(-1))
    assert found > 20


@numpy_only
@pytest.mark.parametrize("start", range(3))
def test_one_bad_row_is_found_in_the_smallest_shape(start):
    labels, logits = smallest(
        labels_and_logits(np, classes=3),
        lambda pair: np.any((pair[0][..., 2] == 1) & (pair[1][..., 1] > 3)),
        start,
    )
    np.testing.assert_array_equal(labels, [0, 0, 1])
    np.testing.assert_array_equal(logits, [0, 4, 0])
    labels, logits = smallest(
        labels_and_logits(np, classes=3, class_numbers=True),
        lambda pair: np.any((pair[0] == 2) & (pair[1][..., 1] > 3)),
        start,
    )
    assert labels.shape == ()
    assert labels == 2
    np.testing.assert_array_equal(logits, [0, 4, 0])
    labels, logits = smallest(
        labels_and_logits(np, classes=3),
        lambda pair: np.any((pair[0][..., 1] > 0) & (pair[0][..., 1] < 1)),
        start,
    )
    assert labels.shape == (3,)
    np.testing.assert_array_equal(logits, np.zeros(3))


@numpy_only
@pytest.mark.parametrize(("classes", "shape"), [(1, (3,)), (1000, (8,)), (7, (300,)), (4, (0, 2))])
def test_one_class_and_many_classes_and_rows_are_drawn_too(classes, shape):
    for labels, logits in examples(labels_and_logits(np, classes=classes, shape=shape), 20):
        assert labels.shape == logits.shape == (*shape, classes)
        np.testing.assert_array_equal(labels.sum(-1), np.ones(shape))
    for labels, _ in examples(
        labels_and_logits(np, classes=classes, shape=shape, class_numbers=True), 20
    ):
        assert np.all((labels >= 0) & (labels < classes))


# --- weights and masks --------------------------------------------------------------------

LEGAL = {(), (1, 1), (1, 2), (3, 1), (3, 2)}


@few
@given(data=st.data())
def test_weights_are_of_the_dtype_and_not_negative(xp, dtype, data):
    found = data.draw(weights(xp, (3, 2), dtype=dtype, max_weight=5.0))
    assert _arguments.namespace_of(found).__name__ == xp.__name__
    assert found.dtype == dtype
    assert tuple(found.shape) in LEGAL
    assert np.all((as_numpy(found) >= 0) & (as_numpy(found) <= 5))


@few
@given(data=st.data())
def test_masks_are_bool(xp, data):
    found = data.draw(masks(xp, (3, 2)))
    assert _arguments.namespace_of(found).__name__ == xp.__name__
    assert found.dtype == xp.bool
    assert tuple(found.shape) in LEGAL


@numpy_only
def test_every_legal_shape_and_kind_of_weight_and_mask_is_drawn():
    found = examples(weights(np, (3, 2)), 200)
    assert {array.shape for array in found} == LEGAL
    assert {array.shape for array in found if not array.any()} == LEGAL
    full = [array for array in found if array.size > 1]
    assert np.mean([np.any(array == 0) and np.any(array) for array in full]) > 0.2
    assert np.mean([np.any(array == 1) for array in full]) > 0.2
    assert any(np.any(array > 32) for array in found)
    assert any(np.any((array > 0) & (array < 1)) for array in found)
    assert not any(np.any(array > 64) for array in found)
    found = examples(masks(np, (3, 2)), 200)
    assert {array.shape for array in found} == LEGAL
    assert {array.shape for array in found if not array.any()} == LEGAL
    assert any(array.all() for array in found)
    assert any(array.any() and not array.all() for array in found)
    for shape in ((), (1,), (0,), (0, 2), (100, 3)):
        assert {array.shape for array in examples(masks(np, shape), 50)} >= {(), shape}


@numpy_only
def test_weights_and_masks_shrink_to_what_changes_nothing():
    assert smallest(weights(np, (3, 2)), lambda found: True) == np.ones(())
    assert smallest(masks(np, (3, 2)), lambda found: True) == np.ones(())
    zero = smallest(weights(np, (3, 2)), lambda found: np.any(found == 0) and found.shape == (3, 1))
    assert sorted(zero.ravel()) == [0, 1, 1]
    mask = smallest(masks(np, (3, 2)), lambda found: not np.all(found))
    assert mask.shape == ()


@numpy_only
@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (lambda: labels_and_logits(np, class_numbers=True), ValueError, "needs `classes`"),
        (lambda: labels_and_logits(np, classes=0), ValueError, "at least 1; got 0"),
        (lambda: labels_and_logits(np, classes=2.0), TypeError, "must be an int; got 2.0"),
        (lambda: labels_and_logits(np, classes=True), TypeError, "must be an int; got True"),
        (lambda: weights(np, (2,), max_weight=-1.0), ValueError, "`max_weight` must be at least 0"),
        (lambda: weights(np, (2,), dtype="int32"), ValueError, "`dtype` must be one of"),
        (lambda: weights(np, 2), TypeError, "`shape` must be a tuple of int.* got 2"),
        (lambda: masks(np, (2, -1)), TypeError, "`shape` must be a tuple of int"),
    ],
)
def test_what_can_not_be_drawn_is_told(draw, error, message):
    with pytest.raises(error, match=message):
        draw()
