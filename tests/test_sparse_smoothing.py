"""`label_smoothing` of class numbers is that of the probabilities that they stand for."""

import itertools
import tracemalloc

import numpy as np
import pytest
from by_hand import (
    REDUCING,
    close,
    jax_once,  # noqa: F401
    planted_weights,
    reduced,
    softmax,
    some,
    ways,
)
from exact import exact_softmax, ulps
from helpers import by_autodiff, one_hot, promise

import xbce

# Functions are called through their modules: by name, the jitting variants would compile each.
from xbce import derivatives, losses
from xbce.losses import Reduction
from xbce.testing import as_numpy

ROWS, CLASSES = 5, 4
SPARSE = derivatives.sparse_softmax_value_and_grad
DENSE = derivatives.softmax_value_and_grad
EVERY = [*REDUCING, Reduction.NONE]
MIB = 2**20


def operands():
    rng = np.random.default_rng(5)
    x = 2 * rng.normal(size=(ROWS, CLASSES))
    return rng.integers(0, CLASSES, ROWS), x, rng.integers(0, 3, ROWS) / 2, rng.random(ROWS) < 0.7


def smoothed(labels, smoothing):
    """Labels moved towards equal probabilities, where there is a smoothing."""
    return one_hot(labels, CLASSES) * (1 - smoothing) + smoothing / CLASSES


@pytest.mark.parametrize("smoothing", [0.1, 0.9, 1, 1e-6])
def test_it_is_the_dense_loss_of_smoothed_labels(xp, array, smoothing):
    labels, x, w, mask = operands()
    values, slopes = softmax(smoothed(labels, smoothing), x)
    z, logits = array(labels, xp.int32), array(x)
    for weighted, masked, reduction in some(
        xp, itertools.product((False, True), (False, True), EVERY), 20
    ):
        keep = mask if masked else np.ones(ROWS, bool)
        weights = w if weighted else np.ones(ROWS)
        want, shares = reduced(values, weights, keep, reduction)
        how = {"reduction": reduction, "label_smoothing": smoothing}
        if masked:
            how["where"] = array(mask, xp.bool)
        given = array(planted_weights(w, keep)) if weighted else 1.0
        for way in ways(xp):
            with way():
                value, slope = SPARSE(z, logits, given, **how)
                alone = losses.sparse_softmax_cross_entropy(z, logits, given, **how)
                dense, by_dense = DENSE(array(one_hot(labels, CLASSES)), logits, given, **how)
            for found in (value, alone, dense):
                close(found, want, reduction)
            for found in (slope, by_dense):
                close(found, slopes * shares[:, None], reduction)


@pytest.mark.parametrize("smoothing", [0.1, 1.0, 1e-3])
def test_it_keeps_the_digits_of_the_dense_loss(xp, device, dtype, smoothing):
    name = "float32" if "32" in str(dtype) else "float64" if "64" in str(dtype) else "float16"
    if name == "float16":
        name = "bfloat16" if "bfloat16" in str(dtype) else name
    rng = np.random.default_rng(3)
    x = np.concatenate([scale * rng.normal(size=(3, 7)) for scale in (1e-3, 1, 10, 100)])
    labels = np.concatenate([x.argmax(axis=-1)[:6], rng.integers(0, 7, 6)])
    logits = xp.asarray(x, dtype=dtype, device=device)
    z = one_hot(labels, 7) * (1 - smoothing) + smoothing / 7
    want, slopes, _, terms = exact_softmax(z, as_numpy(logits))
    numbers = xp.asarray(labels, dtype=xp.int32, device=device)
    # In 16 and in 32 bits the smoothed labels are rounded once more.
    limit = promise(name, 24)
    value, slope = SPARSE(numbers, logits, label_smoothing=smoothing, reduction="none")
    assert ulps(value, want) <= limit
    assert ulps(slope, slopes, terms) <= limit


@pytest.mark.parametrize("smoothing", [0, -0.5, -1e30, False, 0.0])
def test_none_or_less_does_nothing(xp, array, smoothing):
    labels, x, *_ = operands()
    z, logits = array(labels, xp.int32), array(x)
    plain, slope = SPARSE(z, logits)
    for given in (smoothing, array(float(smoothing))):
        found, gradient = SPARSE(z, logits, label_smoothing=given)
        np.testing.assert_allclose(as_numpy(found), as_numpy(plain), rtol=1e-6)
        np.testing.assert_allclose(as_numpy(gradient), as_numpy(slope), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("smoothing", [1e-30, 1e-10])
def test_next_to_nothing_does_next_to_nothing(xp, array, smoothing):
    labels, x, *_ = operands()
    z, logits = array(labels, xp.int32), array(x)
    plain, found = (
        SPARSE(z, logits, label_smoothing=amount, reduction="none") for amount in (0, smoothing)
    )
    for one, other in zip(found, plain, strict=True):
        np.testing.assert_allclose(as_numpy(one), as_numpy(other), rtol=2e-6, atol=1e-8)


@pytest.mark.parametrize("smoothing", [np.nan, np.inf, -np.inf])
def test_it_is_finite(xp, array, smoothing):
    labels, x, *_ = operands()
    with pytest.raises(ValueError, match=r"`label_smoothing`.*in 'xyz'"):
        SPARSE(array(labels, xp.int32), array(x), label_smoothing=smoothing, scope="xyz")


@pytest.mark.parametrize("name", ["int8", "int16", "int32", "int64", "uint8", "uint16"])
def test_labels_of_any_dtype(xp, array, name):
    if name == "int64" and xp.asarray([1]).dtype == xp.int32:
        name = "int32"  # JAX with 64 bits switched off
    labels, x, *_ = operands()
    values, slopes = softmax(smoothed(labels, 0.3), x)
    for shape in ((ROWS,), (ROWS, 1)):
        z = array(labels.reshape(shape), getattr(xp, name))
        value, slope = SPARSE(z, array(x), label_smoothing=0.3)
        close(value, values.mean())
        close(slope, slopes / ROWS)


def test_a_number_that_is_no_class_gives_nan(xp, array):
    """In its own row only; also with everything smoothed away."""
    x = array(np.zeros((5, 3)))
    labels = array([0, 3, 2, -1, 100], xp.int32)
    for smoothing in (0.1, 1.0):
        for way in ways(xp):
            with way():
                rows = losses.sparse_softmax_cross_entropy(
                    labels, x, label_smoothing=smoothing, reduction="none"
                )
            want = [np.log(3), np.nan, np.log(3), np.nan, np.nan]
            np.testing.assert_allclose(as_numpy(rows), want, rtol=1e-6)


def test_a_logit_of_minus_infinity_is_infinitely_wrong(xp, array):
    """Since smoothed labels give each class its share; without smoothing it is a masked class."""
    x = array([[1.0, -np.inf, 0.0], [1.0, 0.0, 0.0]])
    labels = array([0, 0], xp.int32)
    plain = losses.sparse_softmax_cross_entropy(labels, x, reduction="none")
    rows = losses.sparse_softmax_cross_entropy(labels, x, label_smoothing=0.1, reduction="none")
    assert np.isfinite(as_numpy(plain)).all()
    np.testing.assert_array_equal(as_numpy(rows) == np.inf, [True, False])


def test_derivatives_take_it_too(xp, array):
    labels, x, w, mask = operands()
    z = smoothed(labels, 0.2)
    _, slopes = softmax(z, x)
    p = np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)
    scale = np.where(mask, w, 0)[:, None]
    options = {
        "labels": array(labels, xp.int32),
        "logits": array(x),
        "weights": array(w),
        "where": array(mask, xp.bool),
        "label_smoothing": 0.2,
    }
    for way in ways(xp):
        with way():
            close(derivatives.sparse_softmax_gradient(**options), slopes * scale)
            slope, bend = derivatives.sparse_softmax_gradient_hessian(**options)
        close(slope, slopes * scale)
        close(bend, p * (1 - p) * scale)


@pytest.mark.needs("autodiff")
@pytest.mark.parametrize("smoothing", [0.1, 1])
def test_autodiff_is_the_closed_form(xp, array, smoothing):
    labels, x, *_ = operands()
    z = array(labels, xp.int32)

    def loss(z, x):
        return losses.sparse_softmax_cross_entropy(
            z, x, label_smoothing=smoothing, reduction="none"
        )

    slope, second = by_autodiff(loss, z, array(x))
    _, slopes = softmax(smoothed(labels, smoothing), x)
    p = np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)
    close(slope, slopes)
    close(second, (one_hot([0] * ROWS, CLASSES) - p) * p[:, :1])


@pytest.mark.needs("autodiff")
def test_the_smoothing_itself_has_a_derivative(xp, array):
    labels, x, *_ = operands()

    def loss(_, smoothing):
        return losses.sparse_softmax_cross_entropy(
            array(labels, xp.int32), array(x), label_smoothing=smoothing
        )

    (slope,) = by_autodiff(loss, None, array(0.25), second=False)
    step = [softmax(smoothed(labels, s), x)[0].mean() for s in (0.0, 1.0)]
    close(slope, step[1] - step[0])  # the loss is linear in it


# --- libraries ----------------------------------------------------------------------


@pytest.mark.backend("jax")
def test_jax_traces_the_smoothing():
    jax = pytest.importorskip("jax")
    labels, x, *_ = operands()
    z, logits = jax.numpy.asarray(labels), jax.numpy.asarray(x.astype("f4"))
    call = jax.jit(lambda z, x, s: SPARSE(z, x, label_smoothing=s))
    for smoothing in (0.0, 0.1, 1.0, -0.5):
        values, slopes = softmax(smoothed(labels, max(smoothing, 0)), x)
        value, slope = call(z, logits, smoothing)
        close(value, values.mean())
        close(slope, slopes / ROWS)
    many = jax.vmap(lambda s: losses.sparse_softmax_cross_entropy(z, logits, label_smoothing=s))
    found = many(jax.numpy.asarray([0.0, 0.5]))
    close(found, [softmax(smoothed(labels, s), x)[0].mean() for s in (0.0, 0.5)])


@pytest.mark.backend("torch")
def test_pytorch_compiles_it_whole():
    torch = pytest.importorskip("torch")
    torch._dynamo.reset()
    labels, x, *_ = operands()
    z, logits = torch.from_numpy(labels), torch.from_numpy(x)

    def call(z, x, smoothing):
        return *SPARSE(z, x, label_smoothing=0.2), *SPARSE(z, x, label_smoothing=smoothing)

    compiled = torch.compile(call, fullgraph=True, backend="eager")
    smoothing = torch.tensor(0.2, dtype=torch.float64)
    for actual, want in zip(
        compiled(z, logits, smoothing), call(z, logits, smoothing), strict=True
    ):
        torch.testing.assert_close(actual, want, rtol=1e-12, atol=1e-12)
    own = torch.nn.functional.cross_entropy(logits, z, label_smoothing=0.2)
    torch.testing.assert_close(call(z, logits, smoothing)[0], own)


@pytest.mark.backend("dask")
def test_dask_minds_no_chunks_and_no_unknown_sizes():
    dask, da = pytest.importorskip("dask"), pytest.importorskip("dask.array")

    def scheduler(*args, **kwargs):
        raise AssertionError("computed")

    labels, x, *_ = operands()
    values, slopes = softmax(smoothed(labels, 0.2), x)
    rows = labels > 0
    for chunks in ((5, 4), (2, 1), (3, 3)):
        with dask.config.set(scheduler=scheduler):
            z, logits = da.from_array(labels, chunks=chunks[0]), da.from_array(x, chunks=chunks)
            known = SPARSE(z, logits, label_smoothing=0.2)
            unknown = SPARSE(z[z > 0], logits[z > 0], label_smoothing=da.asarray(0.2))
        np.testing.assert_allclose(known[0].compute(), values.mean(), rtol=1e-12)
        np.testing.assert_allclose(known[1].compute(), slopes / ROWS, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(unknown[0].compute(), values[rows].mean(), rtol=1e-12)
        np.testing.assert_allclose(
            unknown[1].compute(), slopes[rows] / rows.sum(), rtol=1e-12, atol=1e-15
        )


@pytest.mark.backend("numpy")
@pytest.mark.parametrize("threads", [None, 8], ids=["default", "8-threads"])
@pytest.mark.parametrize("name", ["float32", "float16"])
def test_no_array_of_smoothed_labels_is_made(name, threads):
    """Logits of 2^15 rows and 100 classes are 12.5 MiB in float32, and so would be the labels."""
    rng = np.random.default_rng(7)
    x = rng.standard_normal((2**15, 100), dtype="float32").astype(name)
    z, w, mask = rng.integers(0, 100, 2**15), rng.random(2**15), rng.random(2**15) < 0.7
    for how in ({}, {"where": mask}, {"ignore_index": 7}, {"where": mask[:, None]}):
        for weights in (1.0, w):
            with xbce.options(threads=threads):
                tracemalloc.start()
                try:
                    losses.sparse_softmax_cross_entropy(z, x, weights, label_smoothing=0.1, **how)
                    peak = tracemalloc.get_traced_memory()[1]
                finally:
                    tracemalloc.stop()
            assert peak < 8 * MIB, (how, peak / MIB)


@pytest.mark.backend("numpy")
@pytest.mark.parametrize("name", ["float32", "float16"])
def test_large_arrays_are_right(name):
    rng = np.random.default_rng(7)
    x = rng.standard_normal((2**13, 50), dtype="float32").astype(name)
    z = rng.integers(0, 50, 2**13)
    wide = x.astype(float)
    logs = wide - np.log(np.exp(wide).sum(axis=-1, keepdims=True))
    want = -0.9 * logs[np.arange(2**13), z] - 0.1 * logs.mean(axis=-1)
    value, slope = SPARSE(z, x, label_smoothing=0.1)
    np.testing.assert_allclose(value, want.mean(), rtol=1e-3 if name == "float16" else 1e-6)
    slopes = (np.exp(logs) - 0.9 * one_hot(z, 50) - 0.1 / 50) / 2**13
    near = 2e-7 if name == "float16" else 1e-10
    np.testing.assert_allclose(slope, slopes, rtol=1e-3 if name == "float16" else 1e-5, atol=near)
