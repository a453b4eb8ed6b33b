"""Weights and reductions, against an independent computation in plain Python."""

import itertools
import math

import numpy as np
import pytest
from array_api_extra.testing import lazy_xp_function
from exact import exact_gradient, exact_loss, ulps

from xbce import sigmoid_cross_entropy
from xbce._backends import of
from xbce.derivatives import value_and_grad
from xbce.losses import Reduction, compute_weighted_loss
from xbce.testing import as_numpy

lazy_xp_function(sigmoid_cross_entropy)
lazy_xp_function(compute_weighted_loss)
lazy_xp_function(value_and_grad)

REDUCTIONS = list(Reduction)


def expected(losses, weights, reduction):
    """The definition, with Fractions' care: exact sums by math.fsum, element by element."""
    weights = np.broadcast_to(np.asarray(weights, dtype=float), losses.shape)
    if reduction == Reduction.NONE:
        return losses * weights
    total = math.fsum((losses * weights).ravel())
    denominator = {
        Reduction.SUM: lambda: 1,
        Reduction.MEAN: lambda: math.fsum(weights.ravel()),
        Reduction.SUM_OVER_BATCH_SIZE: lambda: losses.size,
        Reduction.SUM_BY_NONZERO_WEIGHTS: lambda: sum(w != 0 for w in weights.ravel().tolist()),
    }[reduction]()
    return total / denominator if denominator else 0.0


def weights_of(shape):
    """Weights of every legal shape, with zeros, negative and whole ones among them."""
    values = itertools.cycle([0.5, 0.0, 2.0, 1.0, 3.0, -0.25, 0.0])
    for dims in itertools.product(*({1, size} for size in shape)):
        yield np.reshape([next(values) for _ in range(math.prod(dims))], dims)


SHAPES = [(), (5,), (4, 3), (2, 1, 3), (1, 3, 2, 2)]
SCALARS = [1.0, 2, 0, -0.0, 0.25, True, np.float64(3), np.int16(2), np.asarray(1.5)]


@pytest.mark.parametrize("reduction", REDUCTIONS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_legal_shape_of_weights(xp, array, shape, reduction):
    rng = np.random.default_rng(2)
    logits, labels = rng.normal(size=shape) * 3, rng.random(shape) < 0.5
    x, z = array(logits), array(labels, xp.bool)
    losses = exact_loss(labels.astype(float), as_numpy(x))
    slopes = exact_gradient(labels.astype(float), as_numpy(x))
    for weights in [*(SCALARS if shape == (4, 3) else ()), *weights_of(shape)]:
        given = weights
        if isinstance(weights, np.ndarray) and weights.shape:
            given = array(weights)
        actual = sigmoid_cross_entropy(z, x, given, reduction=reduction)
        value, gradient = value_and_grad(z, x, given, reduction=reduction)
        want = expected(losses, weights, reduction)
        # Signs may cancel in the sum: compare on the scale of what is summed.
        scale = expected(losses, np.abs(weights), Reduction.SUM)
        tolerance = 1e-6 * (np.abs(want) if reduction == Reduction.NONE else scale + np.abs(want))
        assert np.all(np.abs(as_numpy(actual) - want) <= tolerance), (weights, actual, want)
        np.testing.assert_array_equal(as_numpy(value), as_numpy(actual))
        wide = np.broadcast_to(np.asarray(weights, dtype=float), shape)
        ones = np.ones_like(losses)
        divided = {Reduction.NONE: wide, Reduction.SUM: wide}.get(reduction)
        if divided is None:  # d(sum l*W / D)/dl = W/D, so that one loss of 1 at a time gives it
            share = expected(ones, weights, reduction) if np.any(wide) else 0.0
            total = math.fsum(wide.ravel())
            denominator = total / share if share else 0.0
            divided = wide / denominator if denominator else wide * 0
        np.testing.assert_allclose(
            as_numpy(gradient), slopes * divided, rtol=1e-5, atol=1e-30, err_msg=str(weights)
        )


@pytest.mark.parametrize("reduction", REDUCTIONS, ids=str)
def test_compute_weighted_loss(array, dtype, reduction):
    losses, weights = [[0.5, 1.0], [2.0, 4.0], [8.0, 0.25]], [[1.0], [0.0], [2.0]]
    actual = compute_weighted_loss(array(losses, dtype), array(weights, dtype), reduction=reduction)
    want = expected(np.asarray(losses), weights, reduction)
    assert actual.dtype == dtype
    assert ulps(actual, want) <= 1


@pytest.mark.parametrize("reduction", REDUCTIONS[1:], ids=str)
@pytest.mark.parametrize(
    "weights", [0.0, -0.0, [[0.0], [-0.0]], [[0.0, 0.0], [0.0, 0.0]], [[1.0], [-1.0]]], ids=str
)
def test_zero_denominators_give_zero(array, weights, reduction):
    cancels = weights == [[1.0], [-1.0]]
    if cancels and reduction != Reduction.MEAN:
        pytest.skip("only the mean divides by the sum of the weights")
    x, z = array([[0.5, -1.0], [2.0, 3.0]]), array([[1.0, 0.0], [0.0, 0.5]])
    given = weights if isinstance(weights, float) else array(weights)
    value, gradient = value_and_grad(z, x, given, reduction=reduction)
    assert as_numpy(value) == 0
    np.testing.assert_array_equal(as_numpy(gradient), np.zeros((2, 2)))


@pytest.mark.parametrize("reduction", REDUCTIONS, ids=str)
@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0)], ids=str)
def test_empty_batches_give_zero(xp, array, shape, reduction):
    x = array(np.zeros(shape))
    for weights in (1.0, xp.ones_like(x)):
        value, gradient = value_and_grad(x, x, weights, reduction=reduction)
        assert tuple(gradient.shape) == shape
        if reduction != Reduction.NONE:
            assert as_numpy(value) == 0


def test_weights_do_not_hide_nan(array):
    x, z, w = array([np.nan, 1.0]), array([1.0, 1.0]), array([0.0, 1.0])
    assert np.isnan(as_numpy(sigmoid_cross_entropy(z, x, w)))
    wrong = array([-np.inf, 1.0])  # an infinite loss
    assert np.isnan(as_numpy(sigmoid_cross_entropy(z, wrong, w)))


def test_minus_zero_counts_as_zero_and_nan_as_present(array):
    losses = array([1.0, 2.0, 4.0, 8.0])
    weights = array([1.0, 0.0, -0.0, 1.0])
    assert as_numpy(compute_weighted_loss(losses, weights)) == 4.5
    assert np.isnan(as_numpy(compute_weighted_loss(losses, array([1.0, np.nan, 0.0, 0.0]))))
    assert np.isnan(as_numpy(compute_weighted_loss(losses, float("nan"))))


def test_weights_of_any_real_dtype(xp, array):
    losses = array([[1.0, 2.0], [4.0, 8.0]])
    for kind, weights in {
        "bool": [[True], [False]],
        "int8": [[-3], [2]],
        "int32": [[3], [0]],
        "uint8": [[3], [0]],
    }.items():
        given = array(weights, getattr(xp, kind))
        want = expected(as_numpy(losses), weights, Reduction.SUM)
        actual = compute_weighted_loss(losses, given, reduction=Reduction.SUM)
        assert as_numpy(actual) == want, kind
        assert actual.dtype == losses.dtype


def test_rank_0_weights_of_the_library(array):
    losses = array([[1.0, 2.0], [4.0, 9.0]])
    for reduction, want in {"weighted_sum": 8.0, "weighted_mean": 4.0}.items():
        assert as_numpy(compute_weighted_loss(losses, array(0.5), reduction=reduction)) == want


def test_smoothing_of_zero_or_less_does_nothing(array):
    x, z = array([0.5, -1.0]), array([1.0, 0.25])
    plain = as_numpy(sigmoid_cross_entropy(z, x))
    for smoothing in (0, -0.5, False, np.float32(0), array(0.0), array(-1.0)):
        np.testing.assert_array_equal(as_numpy(sigmoid_cross_entropy(z, x, 1.0, smoothing)), plain)
    by_array = as_numpy(sigmoid_cross_entropy(z, x, label_smoothing=array(0.25)))
    np.testing.assert_allclose(
        by_array, as_numpy(sigmoid_cross_entropy(z, x, label_smoothing=0.25)), rtol=1e-6
    )
    assert by_array != plain


def test_sums_of_float32_are_right_to_an_ulp():
    rng = np.random.default_rng(3)
    losses = rng.exponential(size=1_000_003).astype(np.float32)
    weights = rng.random(losses.size).astype(np.float32)
    want = math.fsum(losses.astype(float) * weights)
    actual = compute_weighted_loss(losses, weights, reduction=Reduction.SUM)
    assert ulps(actual, want) <= 4
    mean = compute_weighted_loss(losses)
    assert ulps(mean, math.fsum(losses.tolist()) / losses.size) <= 4


def test_counts_are_exact_beyond_the_digits_of_float32():
    losses = np.ones(2**24 + 3, dtype=np.float32)
    weights = np.ones_like(losses)
    weights[0] = 0
    mean = compute_weighted_loss(losses.astype(np.float64), weights.astype(np.float64))
    assert mean == 1.0
    total = compute_weighted_loss(losses.astype(np.float64), weights, reduction=Reduction.SUM)
    assert total == 2**24 + 2


def test_sums_are_float64_where_the_device_has_it(xp, device, array):
    x = array([2.0**24, 1.0, 1.0])
    absent = "no_float64" in str(device) or (
        "jax" in xp.__name__ and "float64" not in xp.__array_namespace_info__().dtypes()
    )
    assert of(xp).sums_in(xp, x) == (xp.float32 if absent else xp.float64)
    if not absent:
        assert as_numpy(compute_weighted_loss(x, reduction="weighted_sum")) == 2**24 + 2
        ones = array([1.0, 1.0, 1.0])
        assert as_numpy(compute_weighted_loss(ones, x, reduction="weighted_mean")) == 1


def test_odd_counts_are_exact():
    losses = np.ones(2**24 + 3)
    weights = np.ones_like(losses)
    weights[:2] = 0  # 2^24 + 1 is no float32
    assert compute_weighted_loss(losses, weights) == 1.0


def test_nan_alone_counts_as_present(array):
    assert np.isnan(as_numpy(compute_weighted_loss(array([1.0, 2.0]), array([np.nan, 0.0]))))


@pytest.mark.parametrize("reduction", REDUCTIONS[3:], ids=str)
def test_zero_denominators_hide_even_infinite_losses(array, reduction):
    z, x = array([1.0, 0.0]), array([-np.inf, 1.0])
    for weights in (0.0, array([0.0, 0.0])):
        assert as_numpy(sigmoid_cross_entropy(z, x, weights, reduction=reduction)) == 0


def test_a_mean_over_a_weight_that_is_not_finite(array):
    for weights in (np.inf, np.nan):
        mean = compute_weighted_loss(array([1.0, 2.0]), weights, reduction="weighted_mean")
        assert np.isnan(as_numpy(mean))


def test_weights_of_float64_keep_their_digits():
    weights = np.array([0.1, 0.7])
    assert compute_weighted_loss(np.ones(2), weights, reduction="weighted_sum") == 0.1 + 0.7


def test_the_default_reduction():
    weights = np.array([[2.0], [0.0], [4.0]])  # whose sum is not their number
    x = np.zeros((3, 2))
    assert compute_weighted_loss(np.ones((3, 2)), weights) == 3.0
    want = sigmoid_cross_entropy(x, x, weights, reduction=Reduction.SUM_BY_NONZERO_WEIGHTS)
    assert sigmoid_cross_entropy(x, x, weights) == want == value_and_grad(x, x, weights)[0]


def test_labels_pass_through_the_dtype_of_the_logits():
    x, z = np.array([8.0, 1.0], "f2"), np.array([0.1, 0.3], "f4")
    pairs = (value_and_grad(labels, x, reduction="none") for labels in (z, z.astype("f2")))
    for a, b in zip(*pairs, strict=True):
        np.testing.assert_array_equal(a, b)
