"""Values, gradients and errors as TensorFlow gave them: ``data/tensorflow.json`` holds its answers.

``data/record_tensorflow.py`` wrote that file; no TensorFlow is needed here. The losses are
compared with the scale of the terms that TensorFlow adds up, from a few roundings of which
it can not save itself: it computes in the dtype of the logits, 16 bits too, where xbce
rounds once. Weights and sums it takes in float32 even for float64.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from by_hand import jax_once  # noqa: F401
from exact import dtype_name

# Functions are called through their modules: by name, the jitting variants would compile each.
from xbce import derivatives, losses, nn
from xbce.testing import as_numpy

RECORD = json.loads(Path(__file__).with_name("data").joinpath("tensorflow.json").read_text("utf-8"))
ARRAYS = {made["name"]: made for made in RECORD["arrays"]}
FUNCTIONS = {
    "sigmoid_cross_entropy": losses.sigmoid_cross_entropy,
    "compute_weighted_loss": losses.compute_weighted_loss,
    "sigmoid_cross_entropy_with_logits": nn.sigmoid_cross_entropy_with_logits,
}
PRECISION = {  # the spacing of numbers from 1 on, and the smallest normal number
    "float16": (2.0**-10, 2.0**-14),
    "bfloat16": (2.0**-7, 2.0**-126),
    "float32": (2.0**-23, 2.0**-126),
    "float64": (2.0**-52, 2.0**-1022),
}
ROUNDINGS = 2
"""How many ulp TensorFlow may be wrong by, on the scale of the terms that it adds."""
SAME_BEGINNING = ("Argument", "Invalid Reduction Key", "weights can not be broadcast")
"""Messages of TensorFlow whose first sentence is ours too; of others the type alone is."""


def cases_of(function, dtype, reduction=None):
    """The cases of a function, in the dtype under test; some there must be."""
    wanted = {"function": function, "dtype": dtype_name(dtype), "reduction": reduction}
    found = [case for case in RECORD["cases"] if all(case.get(k) == v for k, v in wanted.items())]
    assert found
    return found


def values_of(name):
    return np.reshape(ARRAYS[name]["values"], ARRAYS[name]["shape"])


def arguments_of(case, xp, array, dtype):
    """The arguments of a case: arrays of the backend where it names one of `ARRAYS`."""
    names = ("logits", "losses", "multi_class_labels", "labels")
    names += ("weights", "label_smoothing", "reduction")
    arguments = {name: case[name] for name in names if name in case}
    for argument, name in arguments.items():
        if name in ARRAYS:
            given = ARRAYS[name]["dtype"]
            if "labels" in argument:
                given = case.get("label_dtype", "float32")
            own = argument in ("logits", "losses") or given == case.get("dtype")
            arguments[argument] = array(values_of(name), dtype if own else getattr(xp, given))
    return arguments


def scales(case):
    """Sizes of the terms that TensorFlow adds: those of the value, and of the gradient."""
    if "losses" in case:
        terms = np.abs(values_of(case["losses"]))
        slopes = np.ones_like(terms)
    else:
        x = values_of(case["logits"])
        z = values_of(case.get("multi_class_labels", case.get("labels"))).astype(float)
        smoothing = max(case.get("label_smoothing", 0), 0)
        z = z * (1 - smoothing) + smoothing / 2
        e = np.exp(-np.abs(x))
        terms = np.maximum(x, 0) + np.abs(x * z) + np.log1p(e)
        slopes = (x >= 0) + z + e / (1 + e)
    weights = case.get("weights", 1.0)
    weights = values_of(weights) if isinstance(weights, str) else np.asarray(weights)
    weights = np.broadcast_to(weights, terms.shape).astype(float)
    reduction = case.get("reduction", "none")
    denominator = {
        "weighted_mean": abs(math.fsum(weights.ravel())),
        "weighted_sum_over_batch_size": weights.size,
        "weighted_sum_by_nonzero_weights": np.count_nonzero(weights),
    }.get(reduction, 1)
    shares = np.abs(weights) / (denominator or 1)
    terms = shares * terms
    return terms if reduction == "none" else terms.sum(), shares * slopes


def check(what, actual, case, scale, precision=None):
    """Fail with the case unless what was computed is what TensorFlow recorded."""
    spacing, smallest = PRECISION[precision or case["dtype"]]
    want = np.reshape(case[what], scale.shape)
    allowed = ROUNDINGS * spacing * (scale + smallest)
    actual = as_numpy(actual)
    shown = f"TensorFlow {RECORD['tensorflow']} gave another {what} in\n{case}\n{actual=}"
    assert actual.shape == scale.shape, shown
    assert np.all(np.abs(actual - want) <= allowed), f"{shown}\n{allowed=}"


def precision_of_sums(case):
    return "float32" if case["dtype"] == "float64" else case["dtype"]


@pytest.mark.parametrize("reduction", list(losses.Reduction), ids=str)
def test_sigmoid_cross_entropy(xp, array, dtype, reduction):
    for case in cases_of("sigmoid_cross_entropy", dtype, reduction):
        arguments = arguments_of(case, xp, array, dtype)
        scale, slopes = scales(case)
        actual = losses.sigmoid_cross_entropy(**arguments)
        value, gradient = derivatives.value_and_grad(**arguments)
        for computed, what, size in [
            (actual, "value", scale),
            (value, "value", scale),
            (gradient, "gradient", slopes),
        ]:
            assert computed.dtype == dtype, case
            check(what, computed, case, size, precision_of_sums(case))


@pytest.mark.parametrize("reduction", list(losses.Reduction), ids=str)
def test_compute_weighted_loss(xp, array, dtype, reduction):
    for case in cases_of("compute_weighted_loss", dtype, reduction):
        actual = losses.compute_weighted_loss(**arguments_of(case, xp, array, dtype))
        assert actual.dtype == dtype, case
        check("value", actual, case, scales(case)[0], precision_of_sums(case))


@pytest.mark.needs("autodiff")
def test_autodiff_of_compute_weighted_loss(xp, array):
    for reduction in losses.Reduction:  # in one dtype: JAX traces each case
        for case in cases_of("compute_weighted_loss", xp.float32, reduction):
            arguments = arguments_of(case, xp, array, xp.float32)

            def total(x, arguments=arguments):
                return losses.compute_weighted_loss(**(arguments | {"losses": x})).sum()

            x = arguments["losses"]
            if "torch" in xp.__name__:
                x.requires_grad_()
                total(x).backward()
                gradient = x.grad
            else:
                gradient = pytest.importorskip("jax").grad(total)(x)
            check("gradient", gradient, case, scales(case)[1], precision_of_sums(case))


def test_sigmoid_cross_entropy_with_logits(xp, array, dtype):
    for case in cases_of("sigmoid_cross_entropy_with_logits", dtype):
        arguments = arguments_of(case, xp, array, dtype)
        scale, slopes = scales(case)
        actual = nn.sigmoid_cross_entropy_with_logits(**arguments)
        assert actual.dtype == dtype, case
        check("value", actual, case, scale)
        _, gradient = derivatives.value_and_grad(
            arguments["labels"], arguments["logits"], reduction="none"
        )
        check("gradient", gradient, case, slopes)


def test_errors(xp, array):
    for case in RECORD["errors"]:
        arguments = arguments_of(case, xp, array, xp.float32)
        assert case["error"] == "ValueError", case
        try:
            FUNCTIONS[case["function"]](**arguments)
        except ValueError as error:
            message = str(error)
        else:
            pytest.fail(f"TensorFlow {RECORD['tensorflow']} raised in\n{case}")
        if case["message"].startswith(SAME_BEGINNING):
            sentence = case["message"].partition(". ")[0]
            assert message.startswith(sentence), f"{message}\n{case}"
