"""At infinity, at zero, and at NaN: exact, and silent."""

import warnings

import numpy as np
import pytest
from array_api_extra.testing import lazy_xp_function

from xbce import sigmoid_cross_entropy, sigmoid_cross_entropy_with_logits
from xbce.derivatives import value_and_grad
from xbce.losses import Reduction
from xbce.testing import as_numpy

lazy_xp_function(sigmoid_cross_entropy_with_logits)
lazy_xp_function(value_and_grad)

INF = np.inf


@pytest.mark.parametrize(
    ("label", "logit", "loss", "slope"),
    [
        (1.0, INF, 0.0, 0.0),
        (0.0, -INF, 0.0, 0.0),
        (0.0, INF, INF, 1.0),
        (1.0, -INF, INF, -1.0),
        (0.25, INF, INF, 0.75),
        (0.25, -INF, INF, -0.25),
        (0.5, 0.0, np.log(2), 0.0),
        (0.5, -0.0, np.log(2), 0.0),
        (1.0, -0.0, np.log(2), -0.5),
        (0.0, 0.0, np.log(2), 0.5),
    ],
)
def test_exact_limits(array, label, logit, loss, slope):
    z, x = array([label, 1.0]), array([logit, 0.0])
    actual = sigmoid_cross_entropy_with_logits(labels=z, logits=x)
    by_none = value_and_grad(z, x, reduction=Reduction.NONE)
    np.testing.assert_allclose(as_numpy(actual)[0], loss, rtol=4e-3)
    np.testing.assert_array_equal(as_numpy(by_none[0]), as_numpy(actual))
    np.testing.assert_array_equal(as_numpy(by_none[1])[0], slope)


@pytest.mark.parametrize("nan", ["label", "logit", "both"])
def test_nan_comes_out_where_it_went_in_and_nowhere_else(array, nan):
    values = [np.nan if nan != "label" else INF, INF, -1.0]
    labels = [np.nan if nan != "logit" else 1.0, 1.0, 0.0]
    loss, slope = value_and_grad(array(labels), array(values), reduction=Reduction.NONE)
    for result in (loss, slope):
        np.testing.assert_array_equal(np.isnan(as_numpy(result)), [True, False, False])


def test_numpy_never_warns():
    extreme = [0.0, -0.0, 1.0, -1.0, 1e-320, 5e-324, 1e308, -1e308, INF, -INF, 0.5, 2.0, -3.0]
    z, x = (a.ravel() for a in np.meshgrid(extreme, extreme))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for dtype in (np.float16, np.float32, np.float64):
            with np.errstate(all="ignore"):
                labels, logits = z.astype(dtype), x.astype(dtype)
            sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
            for weights in (0.0, 1e308, INF, z, -x):
                for reduction in Reduction:
                    sigmoid_cross_entropy(labels, logits, weights, 0.1, reduction=reduction)
                    value_and_grad(labels, logits, weights, reduction=reduction)


def test_the_error_state_of_the_caller_is_left_alone():
    with np.errstate(all="raise"):
        before = np.geterr()
        sigmoid_cross_entropy(np.array([1.0]), np.array([-INF]), 0.0)
        assert np.geterr() == before
