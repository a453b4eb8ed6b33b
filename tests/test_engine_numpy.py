"""NumPy's engine: blocks and threads give what the formula does, in any layout, at any moment."""

import math
import sys
import threading
import time
import tracemalloc

import numpy as np
import pytest
from exact import ulps
from table import CASES, OUTPUTS, as_tuple, has, operands

import xbce
from xbce import losses, nn
from xbce._engines import _numpy
from xbce._evaluate import Weighting, evaluate
from xbce._losses import Loss
from xbce.derivatives import gradient_hessian, softmax_value_and_grad, value_and_grad
from xbce.losses import Reduction

pytestmark = pytest.mark.backend("numpy")

RNG = np.random.default_rng(3)
X = 6 * RNG.normal(size=(400, 8))
X[::97, 3], X[1::97, 5] = np.inf, -np.inf
SOFT, W = RNG.random(X.shape), RNG.random((400, 1))


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks so small that small arrays have many, and threads at once."""
    monkeypatch.setattr(_numpy, "SMALL", 16)
    monkeypatch.setattr(_numpy, "PARALLEL", 16)
    monkeypatch.setattr(_numpy, "BLOCK", 256)
    monkeypatch.setattr(_numpy, "SHARED", 2048)
    monkeypatch.setattr(_numpy, "BESIDE", 0)


LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=0)[::2],
    "reversed": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "deep": lambda a: np.ascontiguousarray(a).reshape(a.shape[0] // 4, 2, 2, *a.shape[1:]),
}


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_blocks_and_threads_change_nothing(layout, dtype, monkeypatch):
    z, x, w = (layout(a.astype(dtype)) for a in (SOFT, X, W))

    def results():
        yield nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x)
        yield value_and_grad(z, x, w, 0.1, reduction=Reduction.NONE)[1]
        yield gradient_hessian(labels=z, logits=x, pos_weight=2.0)[1]

    def softmax():
        return nn.softmax_cross_entropy_with_logits(labels=z, logits=np.maximum(x, -50))

    def total():
        return losses.sigmoid_cross_entropy(z, np.clip(x, -50, 50), w, reduction="weighted_sum")

    with xbce.options(fuse=False):
        desired, over_classes, exact = list(results()), softmax(), total()
    for block in (64, 256, 10**6):
        monkeypatch.setattr(_numpy, "BLOCK", block)
        for threads in (1, 2, 5):
            with xbce.options(threads=threads):
                for actual, expected in zip(results(), desired, strict=True):
                    np.testing.assert_array_equal(actual, expected)
                    assert actual.flags.f_contiguous == expected.flags.f_contiguous
                # NumPy adds the classes in an order that depends on where they lie.
                np.testing.assert_allclose(softmax(), over_classes, 8 * np.finfo(dtype).eps)
                assert abs(total() - exact) <= 4 * np.spacing(exact)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(("loss", "parameters"), CASES)
def test_blocks_change_nothing_in_any_loss(loss, parameters):
    a = operands(loss, 397, 7)
    arrays = {"labels": a["labels"], "logits": a["logits"]}
    weighting = Weighting(a["weights"], 0.0, None, Reduction.NONE, a["mask"])
    for output in [output for output in OUTPUTS if has(loss, output)]:
        for how in (None, weighting) if output.startswith("value") else (None,):

            def found(output=output, how=how):
                return as_tuple(evaluate(loss, arrays, output=output, weighting=how, **parameters))

            with xbce.options(fuse=False):
                desired = found()
            for threads in (1, 3):
                with xbce.options(threads=threads):
                    for actual, plain in zip(found(), desired, strict=True):
                        np.testing.assert_array_equal(actual, plain, err_msg=output)


@pytest.mark.usefixtures("small_blocks")
def test_blocks_cover_every_shape():
    for shape in [(97,), (1, 97), (97, 1), (2, 97), (97, 2), (3, 5, 7), (1, 1, 64), (2,) * 8]:
        x = RNG.normal(size=shape)
        z, w = (x > 0).astype(float), np.ones((1,) * len(shape))
        loss = nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x)
        np.testing.assert_allclose(loss, np.log1p(np.exp(-np.abs(x))), rtol=1e-14)
        mean = losses.sigmoid_cross_entropy(z, x, w)
        np.testing.assert_allclose(mean, loss.mean(), rtol=1e-14)


@pytest.mark.usefixtures("small_blocks")
def test_blocks_of_parameters_of_fewer_axes():
    x = RNG.normal(size=(5, 6, 90))
    for shape in [(90,), (1,), (6, 90), (6, 1), (1, 90), (5, 1, 90), (5, 6, 1)]:
        q = RNG.random(shape) + 0.5
        results = []
        for fuse in (False, "auto"):
            with xbce.options(fuse=fuse):
                results.append(gradient_hessian(labels=x > 0, logits=x, pos_weight=q))
        np.testing.assert_array_equal(results[0], results[1], err_msg=str(shape))


@pytest.mark.usefixtures("small_blocks")
def test_blocks_of_operands_that_stretch_each_other():
    x, w, mask = RNG.normal(size=(40, 30)), RNG.random((40, 1)), RNG.random((1, 30)) < 0.5
    z = (x > 0).astype(float)
    loss = nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x)
    present = np.broadcast_to(mask, x.shape)
    mean = losses.sigmoid_cross_entropy(z, x, w, reduction="weighted_mean", where=mask)
    weights = np.broadcast_to(w, x.shape)[present]
    np.testing.assert_allclose(mean, (loss[present] * weights).sum() / weights.sum(), rtol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "options",
    [{}, {"weights": "array", "label_smoothing": 0.1}, {"pos_weight": 2.0, "where": "array"}],
    ids=["plain", "weights", "where"],
)
def test_a_reduction_needs_no_array_of_the_losses(dtype, options):
    size = 2**22
    x = RNG.normal(size=size).astype(dtype)
    arrays = {"weights": np.abs(x), "where": x > -1}
    options = {name: arrays[name] if v == "array" else v for name, v in options.items()}
    z = x > 0
    losses.sigmoid_cross_entropy(z, x, **options)
    tracemalloc.start()
    try:
        losses.sigmoid_cross_entropy(z, x, **options)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * 2**20 < x.nbytes


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_are_those_of_the_losses(dtype):
    x = (3 * RNG.normal(size=300_007)).astype(dtype)
    z = (RNG.random(x.shape) < 0.5).astype(dtype)
    terms = nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x)
    total = losses.sigmoid_cross_entropy(z, x, reduction=Reduction.SUM)
    assert ulps(total, np.float64(math.fsum(terms))) <= 4


@pytest.mark.usefixtures("small_blocks")
def test_sums_of_float32_are_added_in_float64():
    x = np.full(4096, 0.5, dtype=np.float32)
    x[0], x[-1] = 2.0**24, -(2.0**24)  # beside which a float32 does not notice the others
    for threads in (1, 2):
        with xbce.options(threads=threads):
            assert losses.compute_weighted_loss(x, reduction="weighted_sum") == 2047
            ones = np.ones_like(x)
            assert losses.compute_weighted_loss(ones, x, reduction="weighted_mean") == 1
            assert losses.compute_weighted_loss(x, ones, reduction="weighted_sum") == 2047


@pytest.mark.usefixtures("small_blocks")
def test_an_error_in_a_block_comes_out():
    def value(xp, x):
        if x[0] > 500:
            raise ZeroDivisionError("in a block")
        return x

    loss = Loss("failing", value, gradient=lambda xp, x: xp.ones_like(x))
    with xbce.options(threads=3), pytest.raises(ZeroDivisionError, match="in a block"):
        evaluate(loss, {"losses": np.arange(1000.0)})
    np.testing.assert_array_equal(evaluate(loss, {"losses": np.arange(400.0)}), np.arange(400.0))


@pytest.mark.usefixtures("small_blocks")
def test_threads_share_the_blocks_and_take_each_once(monkeypatch):
    monkeypatch.setattr(_numpy, "SHARED", 2**16)
    seen = []

    def value(xp, x):
        seen.extend(x[::16].tolist())
        return x * 2

    loss = Loss("seeing", value, gradient=lambda xp, x: 0 * x + 2)
    x, interval = np.arange(16_000.0), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads get into each other's way as often as they can
    try:
        for _ in range(5):
            seen.clear()
            with xbce.options(threads=16):
                np.testing.assert_array_equal(evaluate(loss, {"losses": x}), 2 * x)
            assert len(seen) == len(set(seen))
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.usefixtures("small_blocks")
def test_no_more_threads_run_than_are_asked_for():
    ran = set()

    def value(xp, x):
        ran.add(threading.get_ident())
        time.sleep(0.001)  # so that all have begun before the last block is taken
        return x[:] * 2  # a slice is not recorded: the function itself runs on each block

    loss = Loss("running", value, gradient=lambda xp, x: 0 * x + 2)
    for threads in (1, 2, 4):
        ran.clear()
        with xbce.options(threads=threads):
            evaluate(loss, {"losses": np.zeros(4_000)})
        assert len(ran) <= threads
        assert threading.get_ident() in ran


@pytest.mark.usefixtures("small_blocks")
def test_no_block_is_larger_than_what_threads_share():
    sizes = []

    def value(xp, x):
        sizes.append(x.nbytes)
        return x * 2

    loss = Loss("counting", value, gradient=lambda xp, x: 0 * x + 2)
    for threads in (1, 2, 5):
        sizes.clear()
        with xbce.options(threads=threads):
            evaluate(loss, {"losses": np.zeros((50, 21))})
        assert sum(sizes) == 50 * 21 * 8  # each element once
        assert max(sizes) <= max(256, 2048 // threads)


def test_masks_and_weights_of_any_shape_beside_large_arrays():
    x, z = np.zeros((40_001, 3)), np.full((40_001, 3), 1 / 3)
    assert losses.softmax_cross_entropy(z, x, where=np.array(False)) == 0
    loss = losses.softmax_cross_entropy(z, x, where=np.arange(40_001) == 5)
    np.testing.assert_allclose(loss, np.log(3), rtol=1e-15)
    empty, weights = np.zeros((0, 40_000)), np.ones(40_000)
    terms = nn.weighted_cross_entropy_with_logits(labels=empty, logits=empty, pos_weight=weights)
    assert terms.shape == empty.shape
    value, slopes = softmax_value_and_grad(z, x, 2.0, where=np.arange(40_001) == 5)
    np.testing.assert_allclose(value, 2 * np.log(3), rtol=1e-15)
    assert not slopes.any()
