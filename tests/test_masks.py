"""`where`: what it leaves out is as if it were not there, whatever is in its place."""

import numpy as np
import pytest
from exact import exact_softmax
from helpers import by_autodiff, one_hot

# Functions are called through their modules: by name, the jitting variants would compile each.
from xbce import derivatives, losses
from xbce.losses import Reduction
from xbce.testing import as_numpy

INF, NAN = np.inf, np.nan
REDUCTIONS = list(Reduction)


def planted(values, keep):
    """The values where kept, and NaN and infinities in turn elsewhere."""
    keep = np.broadcast_to(keep if keep.ndim == values.ndim else keep[..., None], values.shape)
    return np.where(keep, values, np.resize([NAN, INF, -INF], values.shape))


def masks(shape):
    """Of every legal shape, with nothing and with everything left out among them."""
    rng = np.random.default_rng(5)
    for dims in [(), *np.unique([shape, (1, *shape[1:]), (*shape[:-1], 1)], axis=0).tolist()]:
        yield rng.random(dims) < 0.6 if dims else np.asarray(True)
    yield np.zeros(shape, dtype=bool)
    yield np.asarray(False)


@pytest.mark.parametrize("reduction", REDUCTIONS, ids=str)
@pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
def test_what_is_masked_is_as_if_it_were_not_there(xp, array, kind, reduction):
    rng = np.random.default_rng(4)
    x, z = 3 * rng.normal(size=(4, 3)), rng.integers(0, 2, size=(4, 3))
    function = losses.sigmoid_cross_entropy
    both = derivatives.value_and_grad
    shape = (4, 3)
    if kind == "softmax":
        function, both, shape = (
            losses.softmax_cross_entropy,
            derivatives.softmax_value_and_grad,
            (4,),
        )
    w = np.asarray([0.5, 0.0, 2.0, 1.0, 3.0])
    w = np.resize(w, shape)
    for mask in masks(shape):
        keep = np.broadcast_to(mask, shape)
        bad = [array(planted(values.astype(float), keep)) for values in (z, x, w)]
        kept = [values[keep].astype(float) for values in (z, x, w)]  # in float64, of NumPy
        value, slope = both(*kept, 0.1, reduction=reduction)
        wanted, slopes = as_numpy(value), np.zeros(x.shape)
        slopes[keep] = as_numpy(slope)
        if reduction == Reduction.NONE:
            wanted = np.zeros(shape)
            wanted[keep] = as_numpy(value)
        where = array(mask, xp.bool) if mask.ndim else bool(mask)
        found, gradient = both(*bad, 0.1, reduction=reduction, where=where)
        alone = function(*bad, 0.1, reduction=reduction, where=where)
        for actual, desired in ((found, wanted), (alone, wanted), (gradient, slopes)):
            np.testing.assert_allclose(as_numpy(actual), desired, rtol=1e-5, atol=1e-6)


def test_a_mask_hides_class_numbers_too(xp, array):
    x, keep = np.asarray([[1.0, 2, 3], [NAN, INF, 0], [0, 0, 1]]), [True, False, True]
    labels = array([2, 99, 0], xp.int32)
    actual = losses.sparse_softmax_cross_entropy(labels, array(x), where=array(keep, xp.bool))
    desired = exact_softmax(one_hot([2, 0], 3), x[keep])[0].mean()
    np.testing.assert_allclose(as_numpy(actual), desired, rtol=1e-6)
    column = array([[True], [False], [True]], xp.bool)
    labels = array([[2], [99], [0]], xp.int32)
    actual = losses.sparse_softmax_cross_entropy(labels, array(x), where=column)
    np.testing.assert_allclose(as_numpy(actual), desired, rtol=1e-6)


def test_a_mask_hides_the_weight_of_positives(xp, array):
    q, keep = array([[NAN, 1.0], [2.0, INF]]), array([[False, True], [True, False]], xp.bool)
    z, x = array([[1.0, 1.0], [1.0, 0.0]]), array([[1.0, 1.0], [1.0, 1.0]])
    value, gradient = derivatives.value_and_grad(z, x, pos_weight=q, where=keep)
    np.testing.assert_allclose(as_numpy(value), 1.5 * np.log1p(np.exp(-1)), rtol=1e-6)
    slope = 1 / (1 + np.e)
    np.testing.assert_allclose(as_numpy(gradient), [[0, -slope / 2], [-slope, 0]], rtol=1e-6)


@pytest.mark.needs("autodiff")
@pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
def test_nothing_masked_leaks_into_gradients(xp, array, kind):
    keep = np.asarray([True, False, True, False])
    x = planted(np.linspace(-2.0, 3, 12).reshape(4, 3), keep)
    z, w = planted(np.full((4, 3), 0.3), keep), planted(np.ones(4), keep)
    function = losses.sigmoid_cross_entropy if kind == "sigmoid" else losses.softmax_cross_entropy
    where = array(keep[:, None] if kind == "sigmoid" else keep, xp.bool)
    arrays = array(z), array(x), array(w[:, None] if kind == "sigmoid" else w)

    for n in range(3):  # by labels, logits, weights

        def loss(_, changed, n=n):
            return function(*arrays[:n], changed, *arrays[n + 1 :], where=where)

        for gradient in by_autodiff(loss, None, arrays[n], second=n == 1):
            assert np.all(np.isfinite(as_numpy(gradient))), n
            assert np.all(as_numpy(gradient)[~keep] == 0), n
