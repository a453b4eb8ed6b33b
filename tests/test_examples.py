"""The examples of TensorFlow's documentation give its numbers, on every backend."""

import numpy as np
import pytest
from array_api_extra.testing import lazy_xp_function

from xbce import nn, sigmoid_cross_entropy, sigmoid_cross_entropy_with_logits
from xbce.testing import as_numpy

lazy_xp_function(sigmoid_cross_entropy)
lazy_xp_function(sigmoid_cross_entropy_with_logits)


@pytest.mark.parametrize(
    ("logits", "labels", "losses"),
    [
        (
            [1.0, -1.0, 0.0, 1.0, -1.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.5],
            [1.3132617, 0.3132617, 0.6931472, 0.3132617, 1.3132617, 0.6931472, 0.6931472],
        ),
        ([1.0, -1.0, 0.0], [1.0, 1.0, 0.0], [0.31326166, 1.3132616, 0.6931472]),
    ],
)
def test_element_wise(array, logits, labels, losses):
    actual = sigmoid_cross_entropy_with_logits(labels=array(labels), logits=array(logits))
    np.testing.assert_allclose(as_numpy(actual), losses, rtol=1.2e-7, atol=1e-7)


def test_sigmoid_softmax_and_sparse_softmax_are_equivalent(xp, array):
    logits, labels = np.asarray([1.0, -1.0, 0.0]), np.asarray([1.0, 1.0, 0.0])
    pairs = array(np.stack([logits, np.zeros_like(logits)], axis=-1))
    soft = array(np.stack([labels, 1.0 - labels], axis=-1))
    hard = array([0, 0, 1], xp.int32)
    for losses in (
        nn.sparse_softmax_cross_entropy_with_logits(labels=hard, logits=pairs),
        nn.softmax_cross_entropy_with_logits(labels=soft, logits=pairs),
        sigmoid_cross_entropy_with_logits(labels=array(labels), logits=array(logits)),
    ):
        desired = [0.31326166, 1.3132616, 0.6931472]
        np.testing.assert_allclose(as_numpy(losses), desired, rtol=1.2e-7, atol=1e-7)


def test_smoothing_moves_labels_towards_a_half(array):
    labels, logits = [[1.0, 0.0], [0.0, 1.0]], [[2.0, -1.0], [0.5, 3.0]]
    smoothed = array(labels) * (1 - 0.25) + 0.5 * 0.25
    np.testing.assert_allclose(
        as_numpy(sigmoid_cross_entropy(array(labels), array(logits), label_smoothing=0.25)),
        as_numpy(sigmoid_cross_entropy(smoothed, array(logits))),
        rtol=1e-6,
    )


def test_weights_scale_samples(xp, array):
    labels, logits = array([[1, 0], [0, 1]], xp.int32), array([[2.0, -1.0], [0.5, 3.0]])
    each = np.log1p(np.exp([[-2.0, -1.0], [0.5, -3.0]]))
    np.testing.assert_allclose(
        as_numpy(sigmoid_cross_entropy(labels, logits, 3.0)), 3 * each.mean(), rtol=1e-6
    )
    weights = array([[1.0], [0.0]])
    np.testing.assert_allclose(
        as_numpy(sigmoid_cross_entropy(labels, logits, weights)), each[0].mean(), rtol=1e-6
    )
