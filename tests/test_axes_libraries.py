"""`axis` in large arrays, and in the transforms and compilers of one library."""

import numpy as np
import pytest
from by_hand import KINDS, REDUCING, close, element_wise, labels_and_logits, reduced

from xbce import derivatives, losses
from xbce.losses import Reduction, compute_weighted_loss
from xbce.testing import as_numpy

SHAPE = (2, 4, 3)
MEAN = Reduction.MEAN


# --- large arrays -------------------------------------------------------------------


@pytest.fixture
def large(xp, device):
    """As `array`, in one chunk; for libraries whose arrays may be large."""
    if not xp.__name__.endswith(("compat.numpy", "torch")):
        pytest.skip("large arrays are for NumPy and PyTorch")
    return lambda values, dtype: xp.asarray(values, dtype=dtype, device=device)


@pytest.mark.parametrize("axis", [0, 1, (0, 2), 2, (0, 1), (1, 2)], ids=str)
@pytest.mark.parametrize("shape", [(7, 300, 200), (2**17, 3, 1), (2, 1, 2**17 + 3)], ids=str)
def test_large_arrays_are_summed_to_the_last_digits(xp, large, shape, axis):
    rng = np.random.default_rng(4)
    x, z = rng.normal(size=shape), (rng.random(shape) < 0.5)
    w = rng.integers(0, 3, (*shape[:2], 1)) / 2
    mask = rng.random((1, *shape[1:])) < 0.7
    arguments = large(z, xp.bool), large(x, xp.float32), large(w, xp.float32)
    where = large(mask, xp.bool)
    terms = as_numpy(
        losses.sigmoid_cross_entropy(*arguments, where=where, reduction="none")
    ).astype(float)
    numbers = np.broadcast_to((w != 0) & mask, shape).sum(axis=axis)
    total = terms.sum(axis=axis)
    want = np.divide(total, numbers, out=np.zeros(total.shape), where=numbers != 0)
    value, slope = derivatives.value_and_grad(*arguments, where=where, axis=axis)
    alone = losses.sigmoid_cross_entropy(*arguments, where=where, axis=axis)
    own = compute_weighted_loss(
        losses.sigmoid_cross_entropy(*arguments[:2], reduction="none"),
        arguments[2],
        where=where,
        axis=axis,
    )
    for found in (value, alone, own):
        assert found.dtype == xp.float32
        np.testing.assert_allclose(as_numpy(found), want, rtol=4 * 2**-23)
    axes = np.expand_dims(numbers, axis)
    p = 1 / (1 + np.exp(-x))
    gradient = np.where(mask & (axes != 0), (p - z) * w / np.maximum(axes, 1), 0)
    np.testing.assert_allclose(as_numpy(slope), gradient, rtol=1e-5, atol=1e-9)


def test_large_softmaxes(xp, large):
    rng = np.random.default_rng(4)
    x = rng.normal(size=(300, 200, 7))
    numbers = rng.integers(0, 7, (300, 200))
    shifted = np.log(np.exp(x).sum(axis=-1)) - np.take_along_axis(x, numbers[..., None], -1)[..., 0]
    p = np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)
    for kind, labels in (
        ("softmax", large(np.eye(7)[numbers], xp.float32)),
        ("sparse", large(numbers, xp.int64)),
    ):
        value, slope = KINDS[kind][1](labels, large(x, xp.float32), axis=0)
        np.testing.assert_allclose(as_numpy(value), shifted.mean(axis=0), rtol=1e-6)
        close(slope, (p - np.eye(7)[numbers]) / 300)


def test_sums_beyond_float16_on_the_way_to_a_mean(xp, large):
    """1000 losses of 1000 are more than 65504, and their mean is not; nor that of half of them."""
    x, z = np.full((1000, 301), 1000.0), np.zeros((1000, 301))
    mask = np.arange(1000)[:, None] % 2 == 0
    arrays = large(z, xp.float16), large(x, xp.float16)
    for reduction in (MEAN, Reduction.SUM_OVER_BATCH_SIZE, Reduction.SUM_BY_NONZERO_WEIGHTS):
        for where in (None, large(mask, xp.bool)):
            how = {"axis": 0, "reduction": reduction, "where": where}
            value, slope = derivatives.value_and_grad(*arrays, **how)
            for found in (value, compute_weighted_loss(arrays[1], **how)):
                assert found.dtype == xp.float16
                np.testing.assert_array_equal(as_numpy(found), np.full(301, 1000.0))
            share = (1e-3 if where is None else 2e-3 * mask) + 0 * x
            np.testing.assert_allclose(as_numpy(slope), share, rtol=2e-3)
    total = compute_weighted_loss(arrays[1], axis=0, reduction="weighted_sum")
    assert np.all(np.isinf(as_numpy(total)))


# --- one library's ------------------------------------------------------------------


@pytest.mark.backend("dask")
def test_dask_computes_nothing_and_minds_no_unknown_sizes():
    dask, da = pytest.importorskip("dask"), pytest.importorskip("dask.array")

    def scheduler(*args, **kwargs):
        raise AssertionError("computed")

    z, x = labels_and_logits("sigmoid", (12, 3))
    chosen = x[:, 0] > 0
    rows = da.from_array(x, chunks=(4, 2))[:, 0] > 0
    for axis, shape in ((0, (3,)), (1, None), (-1, None), ((0, 1), ()), ((), None)):
        for reduction in REDUCING:
            with dask.config.set(scheduler=scheduler):
                a, b = (da.from_array(v, chunks=(4, 2))[rows] for v in (z, x))
                found = derivatives.value_and_grad(
                    a, b, abs(b), where=b < 2, axis=axis, reduction=reduction
                )
                assert all(isinstance(part, da.Array) for part in found)
                assert shape is None or found[0].shape == shape
            z1, x1 = z[chosen], x[chosen]
            want = derivatives.value_and_grad(
                z1, x1, abs(x1), where=x1 < 2, axis=axis, reduction=reduction
            )
            for one, other in zip(found, want, strict=True):
                np.testing.assert_allclose(one.compute(), other, rtol=1e-12, atol=1e-15)


@pytest.mark.backend("jax")
def test_jax_jits_and_maps_it():
    jax = pytest.importorskip("jax")
    z, x = labels_and_logits("sigmoid", SHAPE)
    w, mask = np.abs(x), x < 1

    def loss(z, x, w, mask):
        return losses.sigmoid_cross_entropy(z, x, w, where=mask, axis=0, reduction=MEAN)

    def both(z, x, w, mask):
        return derivatives.value_and_grad(z, x, w, where=mask, axis=0, reduction=MEAN)

    arrays = [jax.numpy.asarray(a) for a in (z.astype("f4"), x.astype("f4"), w.astype("f4"), mask)]
    values = element_wise("sigmoid", z, x)[0]
    close(jax.jit(loss)(*arrays), reduced(values, w, mask, MEAN, 0)[0])
    mapped = jax.jit(jax.vmap(both))(*arrays)
    for n in range(SHAPE[0]):
        one = both(z[n], x[n], w[n], mask[n])
        for found, want in zip(mapped, one, strict=True):
            close(found[n], want)


@pytest.mark.backend("torch")
def test_pytorch_maps_it():
    torch = pytest.importorskip("torch")
    z, x = labels_and_logits("sigmoid", SHAPE)
    arrays = [torch.from_numpy(a) for a in (z, x, np.abs(x), x < 1)]

    def loss(z, x, w, mask):
        return losses.sigmoid_cross_entropy(z, x, w, where=mask, axis=0, reduction=MEAN)

    want, shares = reduced(element_wise("sigmoid", z, x)[0], np.abs(x), x < 1, MEAN, 1)
    close(torch.vmap(loss)(*arrays), want)
    by_x = torch.func.grad(lambda z, x, w, mask: loss(z, x, w, mask).sum(), argnums=1)
    slopes = element_wise("sigmoid", z, x)[1]
    close(torch.vmap(by_x)(*arrays), slopes * shares)


@pytest.mark.backend("torch")
@pytest.mark.parametrize("kind", KINDS)
def test_pytorch_compiles_it_whole(kind):
    torch = pytest.importorskip("torch")
    torch._dynamo.reset()
    function, both, parameters = KINDS[kind]
    z, x = labels_and_logits(kind, SHAPE)
    labels, logits = torch.from_numpy(z), torch.from_numpy(x)
    mask = torch.from_numpy(np.random.default_rng(0).random(SHAPE) < 0.7)

    def call(z, x, mask):
        how = {"where": mask, **parameters}
        alone = [function(z, x, axis=axis, **how) for axis in (0, (1, -1), None)]
        return *alone, *both(z, x, axis=1, reduction=MEAN, **how)

    compiled = torch.compile(call, fullgraph=True, backend="eager")
    for actual, want in zip(
        compiled(labels, logits, mask), call(labels, logits, mask), strict=True
    ):
        torch.testing.assert_close(actual, want, rtol=1e-12, atol=1e-12)
    logits.requires_grad_()
    compiled(labels, logits, mask)[0].sum().backward()
    closed = both(labels, logits.detach(), axis=0, where=mask, **parameters)[1]
    torch.testing.assert_close(logits.grad, closed, rtol=1e-10, atol=1e-12)
