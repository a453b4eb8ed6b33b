"""The focal loss, against its definition."""

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


@pytest.mark.parametrize(("gamma", "alpha"), [(0.5, None), (1, 0.25), (2, None), (5, 0.75)])
def test_the_focal_loss_keeps_the_digits(large, dtype, gamma, alpha):
    name = dtype_name(dtype)
    z, x = (large(values, dtype) for values in points(name))
    loss, slope, curve = exact_family(as_numpy(z), as_numpy(x), 1.0, alpha, gamma)
    options = {"labels": z, "logits": x, "alpha": alpha, "gamma": gamma}
    limit = promise(name, 16 if name == "float64" else 24)
    assert ulps(nn.sigmoid_focal_loss(**options), loss) <= limit
    rough = {"float64": 1e-13, "float32": 1e-5, "float16": 1e-3, "bfloat16": 8e-3}[name]
    for actual, exact in zip(derivatives.gradient_hessian(**options), (slope, curve), strict=True):
        actual, hard = as_numpy(actual), np.isin(as_numpy(z), [0, 1])
        np.testing.assert_allclose(actual, exact, rtol=rough, atol=rough / 8)
        if exact is slope:  # with hard labels nothing cancels in it
            tiny = {"float64": 1e-306, "float16": 1e-4}.get(name, 1e-36)
            np.testing.assert_allclose(actual[hard], exact[hard], rtol=rough, atol=tiny)


@pytest.mark.needs("autodiff")
@pytest.mark.parametrize("gamma", [0, 0.5, 1, 2, 5])
def test_autodiff_is_the_closed_form_of_the_focal_loss(xp, array, gamma):
    z, x = (array(a.reshape(-1, 1)) for a in np.meshgrid([0, 1, 0.25], FAR))
    options = {"gamma": gamma, "alpha": 0.25}

    def loss(z, x):
        return nn.sigmoid_focal_loss(labels=z, logits=x, **options)

    closed = derivatives.gradient_hessian(labels=z, logits=x, **options)
    for actual, desired in zip(by_autodiff(loss, z, x), closed, strict=True):
        assert not np.any(np.isnan(as_numpy(desired)))
        np.testing.assert_allclose(as_numpy(actual), as_numpy(desired), rtol=1e-5, atol=1e-7)


@search
@given(data=st.data())
def test_the_focal_loss_contains_the_plain_loss(array, data):
    z, x = array(drawn(data, (4,), 0, 1)), array(drawn(data, (4,), -80, 80))
    plain = nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x)
    close(nn.sigmoid_focal_loss(labels=z, logits=x, gamma=0.0), plain)
    close(2 * nn.sigmoid_focal_loss(labels=z, logits=x, gamma=0, alpha=0.5), plain)


@pytest.mark.parametrize("gamma", [-1.0, np.inf, np.nan])
def test_gamma_must_be_a_number_from_0_on(gamma):
    with pytest.raises(ValueError, match="`gamma` must be 0 or more"):
        nn.sigmoid_focal_loss(labels=np.ones(2), logits=np.ones(2), gamma=gamma)
