"""The promises in ulp: against 400 digits, and against float64 for millions of float32."""

import numpy as np
import pytest
from array_api_extra.testing import lazy_xp_function
from exact import dtype_name, exact_loss, gradient_ulps, ulps

from xbce import sigmoid_cross_entropy_with_logits
from xbce.derivatives import value_and_grad
from xbce.losses import Reduction
from xbce.testing import as_numpy

lazy_xp_function(sigmoid_cross_entropy_with_logits)
lazy_xp_function(value_and_grad)

RANGE = {"float16": (2.0**-14, 60000), "bfloat16": (1e-6, 1e4), "float32": (1e-6, 300)}
PROMISE = {"float16": 1, "bfloat16": 1}


def samples(name, count, labels):
    """Logits of both signs spread over the exponents, with labels beside them."""
    rng = np.random.default_rng(4)
    low, high = RANGE.get(name, (1e-6, 700))
    x = np.exp(rng.uniform(np.log(low), np.log(high), count)) * rng.choice([-1, 1], count)
    if labels == "hard":
        return rng.integers(0, 2, count).astype(float), x
    nearly = 1 - 2.0 ** -rng.uniform(1, 24, count)
    return np.choose(
        rng.integers(0, 4, count), [rng.random(count), nearly, 1 - nearly, x * 0 + 0.5]
    ), x


@pytest.mark.parametrize("labels", ["hard", "soft"])
def test_loss_and_gradient(array, dtype, labels):
    name = dtype_name(dtype)
    z, x = samples(name, 400, labels)
    z, x = array(z, dtype), array(x, dtype)
    exact_z, exact_x = as_numpy(z), as_numpy(x)
    promise = PROMISE.get(name, 4)
    loss = sigmoid_cross_entropy_with_logits(labels=z, logits=x)
    assert ulps(loss, exact_loss(exact_z, exact_x)) <= promise
    _, gradient = value_and_grad(z, x, reduction=Reduction.NONE)
    assert gradient_ulps(gradient, exact_z, exact_x) <= promise


def test_every_float16_logit():
    x = np.arange(2**16, dtype=np.uint16).view(np.float16)
    wide = x.astype(np.float64)
    for label in (0, 1):
        actual = sigmoid_cross_entropy_with_logits(labels=np.full(x.shape, label), logits=x)
        with np.errstate(all="ignore"):
            exact = np.logaddexp(0, wide if label == 0 else -wide)
            exact = np.where(np.isinf(exact), np.inf, exact)
        assert ulps(actual, exact) <= 1


@pytest.mark.parametrize("labels", ["hard", "soft"])
def test_a_million_float32_against_float64(labels):
    z, x = (a.astype(np.float32) for a in samples("float32", 1_000_000, labels))
    actual = sigmoid_cross_entropy_with_logits(labels=z, logits=x)
    exact = sigmoid_cross_entropy_with_logits(
        labels=z.astype(np.float64), logits=x.astype(np.float64)
    )
    assert ulps(actual, exact) <= 4
