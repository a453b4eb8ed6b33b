"""The weight of positives, against its definition."""

import numpy as np
import pytest
from exact import dtype_name, exact_family, ulps
from helpers import FAR, by_autodiff, close, drawn, points, promise
from hypothesis import given, settings
from hypothesis import strategies as st

# Functions are called through their modules: by name, the jitting variants would compile each.
from xbce import derivatives, nn
from xbce.testing import as_numpy

search = settings(max_examples=8)


@pytest.fixture
def large(xp, device):
    """As `array`, in one chunk."""
    return lambda values, dtype: xp.asarray(values, dtype=dtype, device=device)


def test_the_weight_of_positives_keeps_the_digits(large, dtype):
    name = dtype_name(dtype)
    z, x = points(name)
    q = np.resize([1e-6, 1e-3, 0.3, 1, 40, 1e4, 1e6], x.shape)
    if name == "float16":
        q = np.clip(q, 1e-2, 1e2)
    given = [large(values, dtype) for values in (z, x, q)]
    z, x, q = map(as_numpy, given)
    loss, slope, curve = exact_family(z, x, q)
    arguments = dict(zip(("labels", "logits", "pos_weight"), given, strict=True))
    actual = nn.weighted_cross_entropy_with_logits(**arguments)
    assert ulps(actual, loss) <= promise(name, 6)
    by_gradient, hessian = derivatives.gradient_hessian(**arguments)
    terms = (1 - z) / (1 + np.exp(-x)) + q * z / (1 + np.exp(x))
    assert ulps(by_gradient, slope, terms) <= promise(name, 6)
    assert ulps(hessian, curve) <= promise(name, 6)


@pytest.mark.needs("autodiff")
def test_autodiff_is_the_closed_form_with_weighted_positives(xp, array):
    z, x = (array(a.reshape(-1, 1)) for a in np.meshgrid([0, 1, 0.25], FAR))

    def loss(z, x):
        return nn.weighted_cross_entropy_with_logits(labels=z, logits=x, pos_weight=2.5)

    closed = derivatives.gradient_hessian(labels=z, logits=x, pos_weight=2.5)
    for actual, desired in zip(by_autodiff(loss, z, x), closed, strict=True):
        assert not np.any(np.isnan(as_numpy(desired)))
        np.testing.assert_allclose(as_numpy(actual), as_numpy(desired), rtol=1e-5, atol=1e-7)


@search
@given(data=st.data())
def test_a_weight_of_1_is_the_plain_loss(array, data):
    z, x = array(drawn(data, (4,), 0, 1)), array(drawn(data, (4,), -80, 80))
    plain = nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x)
    close(nn.weighted_cross_entropy_with_logits(labels=z, logits=x, pos_weight=1.0), plain)
