"""Numbers that other libraries hold their own losses to, in their tests and docs."""

import numpy as np
import pytest

from xbce import losses, nn
from xbce.testing import as_numpy

INF = np.inf
ROWS = [[10.0, 1.0, -2.0], [1.0, 4.0, 0.2]]  # of optax, as the next two
MASKED = [[-INF, 0.0, 0.0], [-INF, 0.0, 0.0], [-INF, 0.0, -INF]]
FAR = [
    ([-1e9, -1e-9], [1, 0], 5e8),
    ([-1e9, -1e-9], [0, 1], 0.3465736),
    ([1e9, 1e-9], [1, 0], 0.3465736),
    ([1e9, 1e-9], [0, 1], 5e8),
    ([0.0, 0.0], [0, 1], 0.6931472),
]
FOUR, ONE = [-18.6, 0.51, 2.94, -12.8], [0, 1, 0, 0]  # of Keras


def test_softmax_of_optax(array):
    softmax = nn.softmax_cross_entropy_with_logits
    labels = array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    found = softmax(labels=labels, logits=array(ROWS))
    np.testing.assert_allclose(as_numpy(found), [9.00013, 3.0696733], rtol=2e-6)
    labels = array([[0.0, 0.5, 0.5], [0.4, 0.3, 0.3], [0.0, 1.0, 0.0]])
    found = softmax(labels=labels, logits=array(MASKED))
    np.testing.assert_allclose(as_numpy(found), [0.693147, INF, 0.0], rtol=2e-6)


@pytest.mark.parametrize(("logits", "labels", "mean"), FAR)
def test_sigmoid_of_optax(xp, array, logits, labels, mean):
    found = losses.sigmoid_cross_entropy(array(labels, xp.int32), array(logits))
    np.testing.assert_allclose(float(found), mean, rtol=1e-6)


def test_binary_losses_of_keras(xp, array):
    labels, logits = array(ONE, xp.int32), array(FOUR)
    for found, value in (
        (losses.sigmoid_cross_entropy(labels, logits), 0.865),
        (losses.sigmoid_focal_loss(labels, logits, gamma=2.0), 0.691),
        (losses.sigmoid_focal_loss(labels, logits, alpha=0.25, gamma=2.0), 0.51),
    ):
        assert abs(float(found) - value) < 1e-3


def test_weights_a_row_of_keras(xp, array):
    """Its mean over the samples of weighted means over the classes."""
    labels, logits = array([[0, 1], [0, 0]], xp.int32), array([FOUR[:2], FOUR[2:]])
    weights = array([[0.8], [0.2]])
    found = losses.sigmoid_cross_entropy(
        labels, logits, weights, reduction="weighted_sum_over_batch_size"
    )
    assert abs(float(found) - 0.243) < 1e-3
    each = losses.sigmoid_cross_entropy(labels, logits, axis=1)
    np.testing.assert_allclose(as_numpy(each), [0.2354, 1.4959], atol=1e-3)
