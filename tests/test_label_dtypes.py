"""Labels of another floating dtype than the logits: cast everywhere but in `nn`."""

import numpy as np
import pytest
from arguments import ARRAYS, flat, good, message, parameters_of, with_parameter

from xbce import derivatives

numpy_only = pytest.mark.backend("numpy")


@pytest.mark.parametrize(
    "function",
    [
        derivatives.gradient,
        derivatives.gradient_hessian,
        derivatives.value_and_grad,
        derivatives.softmax_value_and_grad,
    ],
)
def test_derivatives_cast_labels_of_another_floating_dtype(xp, array, function):
    (labels_argument,) = (one for one in parameters_of(function) if one in ARRAYS[:3])
    # Cast to float32, the second label is 1; a gradient with it uncast would be -1e-9.
    values = np.array([[0.3, 1 - 1e-9], [0.7, 1e-50]])
    try:
        labels = array(values, xp.float64)
    except Exception:
        pytest.skip("no float64 here")
    if "float64" not in str(labels.dtype):
        pytest.skip("no float64 here")
    logits = array(np.array([[2.0, 30.0], [-2.0, -30.0]]), xp.float32)
    result = function(**{labels_argument: labels, "logits": logits})
    cast = array(values, xp.float32)
    expected = function(**{labels_argument: cast, "logits": logits})
    parts = result if isinstance(result, tuple) else (result,)
    assert all(part.dtype == xp.float32 for part in parts)
    np.testing.assert_allclose(flat(result), flat(expected), rtol=1e-6)


@numpy_only
@pytest.mark.parametrize(("wide", "narrow"), [("float64", "float16"), ("float32", "float64")])
@pytest.mark.parametrize("parameters", [{}, {"pos_weight": 2.0}, {"alpha": 0.25, "gamma": 2.0}])
def test_the_gradient_has_the_dtype_of_the_logits_whatever_that_of_the_labels(
    wide, narrow, parameters
):
    labels, logits = np.array([0.1, 0.9]).astype(wide), np.array([2.0, -3.0]).astype(narrow)
    found = derivatives.gradient(labels=labels, logits=logits, **parameters)
    cast = derivatives.gradient(labels=labels.astype(narrow), logits=logits, **parameters)
    assert found.dtype == logits.dtype
    np.testing.assert_array_equal(found, cast)


@numpy_only
@pytest.mark.parametrize(
    "function", [one for one in with_parameter("name") if "sparse" not in one.__name__]
)
def test_nn_takes_labels_of_no_other_floating_dtype(function):
    arguments = good(function)
    arguments["labels"] = arguments["labels"].astype("f8")
    text = message(TypeError, function, **arguments)
    assert "`labels` must be of the dtype of `logits`, float32" in text
    assert "float64" in text
