"""Habits of other libraries: the error says what to write here, and that is taken."""

import re

import numpy as np
import pytest

from xbce import losses

pytestmark = pytest.mark.backend("numpy")

IMAGES, ROWS_OF_3, NUMBERS = np.zeros((2, 3, 4, 5)), np.zeros((5, 3)), np.zeros(5, int)
HABITS = {
    "weights of rows": (
        (losses.sigmoid_cross_entropy, ROWS_OF_3, ROWS_OF_3, {"weights": np.ones(5)}),
        "weights[:, None] for each row",
    ),
    "weights of classes": (
        (losses.sigmoid_cross_entropy, ROWS_OF_3, ROWS_OF_3, {"weights": np.ones(3)}),
        "weights[None, :] for each class",
    ),
    "weights of rows or classes": (
        (losses.sigmoid_cross_entropy, np.eye(3), np.eye(3), {"weights": np.ones(3)}),
        "weights[:, None] for each row or weights[None, :] for each class",
    ),
    "weights of channels": (
        (losses.sigmoid_cross_entropy, IMAGES, IMAGES, {"weights": np.ones(3)}),
        "weights[None, :, None, None]",
    ),
    "pos_weight of channels": (
        (losses.sigmoid_cross_entropy, IMAGES, IMAGES, {"pos_weight": np.ones(3)}),
        "pos_weight[:, None, None]",
    ),
    "a column beside softmax": (
        (losses.softmax_cross_entropy, ROWS_OF_3, ROWS_OF_3, {"weights": np.ones((5, 1))}),
        "weights[:, 0]",
    ),
    "weights of classes beside softmax": (
        (losses.softmax_cross_entropy, ROWS_OF_3, ROWS_OF_3, {"weights": np.ones(3)}),
        "(labels * weights).sum(-1)",
    ),
    "weights of classes beside sparse softmax": (
        (losses.sparse_softmax_cross_entropy, NUMBERS, ROWS_OF_3, {"weights": np.ones(3)}),
        "weights[labels]",
    ),
    "probabilities": (
        (losses.sparse_softmax_cross_entropy, np.eye(3, dtype=int), np.eye(3), {}),
        "softmax_cross_entropy",
    ),
    "class numbers": (
        (losses.softmax_cross_entropy, NUMBERS, ROWS_OF_3, {}),
        "sparse_softmax_cross_entropy",
    ),
    "labels one rank short": (
        (losses.sigmoid_cross_entropy, NUMBERS, ROWS_OF_3[:, :1], {}),
        "multi_class_labels[..., None]",
    ),
    "labels of one rank more": (
        (losses.sigmoid_cross_entropy, ROWS_OF_3[:, :1], ROWS_OF_3[:, 0], {}),
        "multi_class_labels[..., 0]",
    ),
}


@pytest.mark.parametrize(("call", "advice"), HABITS.values(), ids=HABITS)
def test_a_habit_of_another_library_is_told_what_to_pass(call, advice):
    function, labels, logits, how = call
    with pytest.raises(ValueError, match=re.escape(advice)):
        function(labels, logits, **how)


def test_class_numbers_in_the_place_of_logits_are_labels_that_come_first():
    with pytest.raises(TypeError, match=r"`logits` .* got int64\. Labels come first"):
        losses.sparse_softmax_cross_entropy(ROWS_OF_3, NUMBERS)


@pytest.mark.parametrize("axis", [1, -2, (0, 1)])
def test_an_axis_beyond_the_losses_of_softmax_is_sent_to_class_axis(axis):
    with pytest.raises(ValueError, match=r"`axis` .*`class_axis`"):
        losses.softmax_cross_entropy(ROWS_OF_3, ROWS_OF_3, axis=axis)


def test_what_is_advised_is_taken():
    losses.sigmoid_cross_entropy(ROWS_OF_3, ROWS_OF_3, np.ones(5)[:, None])
    losses.sigmoid_cross_entropy(ROWS_OF_3, ROWS_OF_3, np.ones(3)[None, :])
    losses.sigmoid_cross_entropy(IMAGES, IMAGES, np.ones(3)[None, :, None, None])
    losses.sigmoid_cross_entropy(IMAGES, IMAGES, pos_weight=np.ones(3)[:, None, None])
    losses.softmax_cross_entropy(ROWS_OF_3, ROWS_OF_3, np.ones((5, 1))[:, 0])
    losses.softmax_cross_entropy(ROWS_OF_3, ROWS_OF_3, (ROWS_OF_3 * np.ones(3)).sum(-1))
    losses.sparse_softmax_cross_entropy(NUMBERS, ROWS_OF_3, np.ones(3)[NUMBERS])
