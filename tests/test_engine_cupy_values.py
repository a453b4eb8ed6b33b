"""What CuPy's kernels compute: at the sizes and shapes where they change their ways."""

import numpy as np
import pytest
from exact import dtype_name

from xbce import derivatives, losses, nn
from xbce._evaluate import evaluate
from xbce._losses import Loss, Parameter
from xbce.losses import Reduction
from xbce.testing import as_numpy, ulp_error

pytestmark = pytest.mark.backend("cupy")
cupy = pytest.importorskip("cupy")
if not cupy.cuda.is_available():
    pytest.skip("cupy: no CUDA GPU here, and no emulator", allow_module_level=True)

from xbce._engines._cupy_grid import BLOCKS, EACH, THREADS  # noqa: E402

RNG = np.random.default_rng(11)
WHOLE = BLOCKS * THREADS
"""Elements of which each thread has one."""


def both(*arrays):
    return [cupy.asarray(array) for array in arrays]


def close(actual, desired, digits=1e-6):
    actual, desired = np.asarray(as_numpy(actual)), np.asarray(desired)
    assert actual.shape == desired.shape
    np.testing.assert_allclose(actual, desired, digits, digits)


def operands(shape, dtype="float32"):
    x = (4 * RNG.normal(size=shape)).astype(dtype)
    return RNG.random(shape).astype(dtype), x, RNG.integers(0, 3, shape).astype(dtype)


@pytest.mark.parametrize(
    "size", [0, 1, 2, THREADS - 1, THREADS, THREADS + 1, WHOLE - 1, WHOLE, WHOLE + 1]
)
def test_every_number_of_elements(size):
    z, x, w = operands(size)
    on_device = both(z, x, w)
    for reduction in Reduction:
        for found, wanted in zip(
            derivatives.value_and_grad(*on_device, reduction=reduction, where=on_device[1] > -1),
            derivatives.value_and_grad(z, x, w, reduction=reduction, where=x > -1),
            strict=True,
        ):
            close(found, wanted)
        found = losses.sigmoid_cross_entropy(*on_device, reduction=reduction)
        close(found, losses.sigmoid_cross_entropy(z, x, w, reduction=reduction))


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 65])
@pytest.mark.parametrize(
    "classes", [1, 2, 3, 4, 5, 8, 9, 16, 17, 31, 33, 255, 256, 257, 1023, 1025, 2047, 4097]
)
def test_every_number_of_classes(rows, classes):
    z, x, _ = operands((rows, classes))
    w, number = RNG.random(rows).astype("float32"), RNG.integers(0, classes, rows)
    gz, gx, gw, gn = both(z, x, w, number)
    close(
        nn.softmax_cross_entropy_with_logits(labels=gz, logits=gx),
        nn.softmax_cross_entropy_with_logits(labels=z, logits=x),
    )
    close(
        nn.sparse_softmax_cross_entropy_with_logits(labels=gn, logits=gx),
        nn.sparse_softmax_cross_entropy_with_logits(labels=number, logits=x),
    )
    for found, wanted in zip(
        derivatives.softmax_value_and_grad(gz, gx, gw),
        derivatives.softmax_value_and_grad(z, x, w),
        strict=True,
    ):
        close(found, wanted)
    close(
        losses.sparse_softmax_cross_entropy(gn, gx, gw, where=gw > 0.5),
        losses.sparse_softmax_cross_entropy(number, x, w, where=w > 0.5),
    )


def test_elements_enough_for_more_blocks():
    z, x, w = operands(WHOLE * EACH + 4099)
    found = losses.sigmoid_cross_entropy(*both(z, x, w))
    close(found, losses.sigmoid_cross_entropy(z, x, w))


def test_more_rows_than_blocks():
    """So that a block goes on to other rows, with the memory of those before."""
    z, x, w = operands((BLOCKS * THREADS // 4 + 7, 10))
    for found, wanted in zip(
        derivatives.softmax_value_and_grad(*both(z, x, w[:, 0])),
        derivatives.softmax_value_and_grad(z, x, w[:, 0]),
        strict=True,
    ):
        close(found, wanted)


LAYOUTS = {
    "rows": lambda xp, a: a,
    "columns": lambda xp, a: a.T.copy().T,
    "every other": lambda xp, a: xp.repeat(a, 2, axis=1)[:, ::2],
    "backward": lambda xp, a: a[::-1, ::-1].copy()[::-1, ::-1],
    "repeated": lambda xp, a: xp.broadcast_to(a[:1], a.shape),
}


@pytest.mark.parametrize("second", LAYOUTS)
@pytest.mark.parametrize("first", LAYOUTS)
def test_every_layout_in_memory(first, second):
    z, x, w = operands((40, 6))
    gz, gx, gw = both(z, x, w)
    z, x = LAYOUTS[first](np, z), LAYOUTS[second](np, x)
    gz, gx = LAYOUTS[first](cupy, gz), LAYOUTS[second](cupy, gx)
    for call, weights in (
        (losses.sigmoid_cross_entropy, np.s_[:, :1]),
        (derivatives.value_and_grad, np.s_[:1]),
        (losses.softmax_cross_entropy, np.s_[:, 0]),
        (derivatives.softmax_value_and_grad, np.s_[:, 0]),
    ):
        for reduction in (Reduction.NONE, Reduction.MEAN):
            found = call(gz, gx, gw[weights], reduction=reduction)
            wanted = call(z, x, w[weights], reduction=reduction)
            two = isinstance(wanted, tuple)
            for n in range(1 + two):
                close(found[n] if two else found, wanted[n] if two else wanted)


@pytest.mark.parametrize("kind", ["bool", "int8", "uint8", "int16", "uint32", "int64", "uint64"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_labels_of_every_dtype(dtype, kind):
    labels = RNG.integers(0, 2, (33, 5)).astype(kind)
    x = RNG.normal(size=labels.shape).astype(dtype)
    found = nn.sigmoid_cross_entropy_with_logits(
        labels=cupy.asarray(labels), logits=cupy.asarray(x)
    )
    assert dtype_name(found.dtype) == dtype
    close(found, nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=x), 2e-3)
    number = RNG.integers(0, 2, 33).astype(kind)
    if kind != "bool":
        close(
            losses.sparse_softmax_cross_entropy(cupy.asarray(number), cupy.asarray(x)),
            losses.sparse_softmax_cross_entropy(number, x),
            2e-3,
        )


def test_a_result_has_the_shape_of_the_logits_whatever_it_is_made_of():
    """What is known beforehand, as 0 times a comparison is, is no part of a kernel."""

    def known(xp, labels, logits):
        return xp.ones_like(logits)

    def of_classes(xp, labels, logits, number):
        return 0 * xp.astype(logits > 0, logits.dtype) + number

    of_number = Loss(
        "number", of_classes, of_classes, parameters=(Parameter("number", array=True),)
    )
    z, x = both(*operands((4, 3))[:2])
    arrays = {"labels": z, "logits": x}
    for loss, given in (
        (Loss("known", known, known), {}),
        (of_number, {"number": 2.5}),
        (of_number, {"number": cupy.asarray([1.0, 2.0, 3.0], "float32")}),
        (of_number, {"number": cupy.asarray(2.0, "float32")}),
    ):
        wanted = np.ones((4, 3)) * as_numpy(given.get("number", 1.0))
        np.testing.assert_array_equal(evaluate(loss, arrays, **given).get(), wanted)


@pytest.mark.parametrize("classes", [2, 9, 1025])
@pytest.mark.parametrize("kind", ["bool", "int8", "uint8", "int32"])
def test_the_largest_of_a_row_of_any_dtype(kind, classes):
    """The least that a dtype holds may be all there is."""

    def places(xp, labels, logits, class_numbers):
        least = xp.astype(logits, getattr(xp, kind))
        return xp.astype(xp.argmax(least, axis=-1), logits.dtype)

    def of_numbers(xp, labels, logits, class_numbers):
        return logits[..., 0] * 0 + xp.sum(class_numbers, axis=-1)

    lowest = 0 if kind in ("bool", "uint8") else np.iinfo(kind).min
    x = np.full((4, classes), lowest, "float64")
    x[1, -1] = x[2, 0] = x[3, classes // 2] = lowest + 1
    arrays = {"labels": cupy.asarray(x), "logits": cupy.asarray(x)}
    found = evaluate(Loss("places", places, places, over_classes=True), arrays).get()
    np.testing.assert_array_equal(found, np.argmax(x.astype(kind), axis=-1))
    found = evaluate(Loss("numbers", of_numbers, of_numbers, over_classes=True), arrays).get()
    np.testing.assert_array_equal(found, classes * (classes - 1) / 2)


@pytest.mark.parametrize("classes", [1, 2, 5, 9, 40, 1025])
def test_the_largest_of_a_row_is_that_of_numpy(classes):
    """The first of equals, and of NaN, whichever thread has it."""

    def places(xp, labels, logits, class_numbers):
        return xp.astype(xp.argmax(logits, axis=-1), logits.dtype)

    loss = Loss("places", places, places, over_classes=True)
    x = RNG.integers(0, 3, (200, classes)).astype("float32")
    x[RNG.random(x.shape) < 0.01] = np.nan
    x[RNG.random(x.shape) < 0.05] = np.inf
    x[RNG.random(x.shape) < 0.3] = -np.inf
    x[0], x[1] = -np.inf, np.nan
    z, on_device = both(np.zeros_like(x), x)
    found = evaluate(loss, {"labels": z, "logits": on_device}).get()
    np.testing.assert_array_equal(found, np.argmax(x, axis=-1))


@pytest.mark.parametrize("reduction", list(Reduction)[1:], ids=str)
def test_a_sum_is_right_to_4_ulp(reduction):
    z, x, w = operands(3 * WHOLE + 5)
    w = np.abs(w)
    each = losses.sigmoid_cross_entropy(*both(z, x, w), reduction=Reduction.NONE).get()
    exact = each.astype(float).sum()
    exact /= {
        Reduction.SUM: 1.0,
        Reduction.MEAN: w.astype(float).sum(),
        Reduction.SUM_OVER_BATCH_SIZE: w.size,
        Reduction.SUM_BY_NONZERO_WEIGHTS: np.count_nonzero(w),
    }[reduction]
    found = losses.sigmoid_cross_entropy(*both(z, x, w), reduction=reduction).get()
    assert ulp_error(found, np.asarray(exact)) <= 4
