"""`where` of the rank of the logits: classes left out are as if they were deleted."""

import itertools

import numpy as np
import pytest
from by_hand import (
    BAD,
    REDUCING,
    SOFTMAXES,
    close,
    jax_once,  # noqa: F401
    planted_weights,
    reduced,
    softmax,
    some,
    ways,
)
from helpers import by_autodiff, one_hot

# Functions are called through their modules: by name, the jitting variants would compile each.
from xbce import derivatives, losses
from xbce.losses import Reduction
from xbce.testing import as_numpy

ROWS, CLASSES = 6, 4
SHAPE = (ROWS, CLASSES)
MEAN = Reduction.MEAN
EVERY = [*REDUCING, Reduction.NONE]
SECOND = {
    "softmax": derivatives.softmax_gradient_hessian,
    "sparse": derivatives.sparse_softmax_gradient_hessian,
}
FIRST = {
    "softmax": derivatives.softmax_gradient,
    "sparse": derivatives.sparse_softmax_gradient,
}


def masks():
    """Of every shape of this rank; of the full one a row has no class left, and one has one."""
    full = np.random.default_rng(9).random(SHAPE) < 0.6
    full[1], full[2], full[3] = False, [False, False, True, False], True
    return {
        "full": full,
        "a row": np.asarray([[True, False, True, True]]),
        "a column": full.any(axis=-1, keepdims=True) & (np.arange(ROWS)[:, None] != 4),
        "nothing left": np.zeros(SHAPE, bool),
        "one": np.asarray([[True]]),
        "none": np.asarray([[False]]),
    }


MASKS = masks()


def operands(kind, mask, smoothing=0.0):
    """Labels as passed, as of the classes that remain, logits and weights; bad ones elsewhere."""
    rng = np.random.default_rng(4)
    keep = np.broadcast_to(mask, SHAPE)
    x, w = 2 * rng.normal(size=SHAPE), rng.integers(0, 3, ROWS) / 2
    if kind == "sparse":
        z = np.asarray([np.flatnonzero(row)[-1] if row.any() else 99 for row in keep])
        spread = np.zeros(SHAPE)
        spread[keep.any(axis=-1)] = one_hot(z[keep.any(axis=-1)], CLASSES)
    else:
        spread = rng.random(SHAPE)
        z = np.where(keep, spread, np.resize(BAD[::-1], SHAPE))
    if smoothing:
        count = np.maximum(keep.sum(axis=-1, keepdims=True), 1)
        spread = spread * (1 - smoothing) + smoothing / count
    return z, spread, np.where(keep, x, np.resize(BAD, SHAPE)), x, w


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("kind", SOFTMAXES)
def test_classes_left_out_are_as_if_they_were_deleted(xp, array, kind, name):
    function, both, _ = SOFTMAXES[kind]
    mask = MASKS[name]
    keep = np.broadcast_to(mask, SHAPE)
    for reduction, smoothing, axis in some(
        xp, itertools.product(EVERY, (0, 0.2), (None, 0, ())), 10
    ):
        axis = None if reduction == Reduction.NONE else axis
        z, spread, bad, x, w = operands(kind, mask, smoothing)
        values, slopes = softmax(spread, x, keep)
        rows = keep.any(axis=-1)
        want, shares = reduced(values, w, rows, reduction, axis)
        labels = array(z, xp.int32 if kind == "sparse" else xp.float32)
        arguments = labels, array(bad), array(planted_weights(w, rows))
        how = {"where": array(mask, xp.bool), "reduction": reduction, "axis": axis}
        case = (reduction, smoothing, axis)
        for way in ways(xp):
            with way():
                value, slope = both(*arguments, label_smoothing=smoothing, **how)
                alone = function(*arguments, label_smoothing=smoothing, **how)
            close(value, want, case)
            close(alone, want, case)
            close(slope, slopes * shares[:, None], case)
            assert np.all(as_numpy(slope)[~keep] == 0), case


@pytest.mark.parametrize("kind", SOFTMAXES)
def test_columns_that_are_deleted(xp, array, kind):
    """On the same library: with [1, C] nothing else changes."""
    mask = MASKS["a row"]
    z, _, bad, _, w = operands(kind, mask)
    chosen = np.flatnonzero(mask[0])
    fewer = np.searchsorted(chosen, z) if kind == "sparse" else z[:, chosen]
    kind_of = xp.int32 if kind == "sparse" else xp.float32
    value, slope = SOFTMAXES[kind][1](
        array(z, kind_of), array(bad), array(w), where=array(mask, xp.bool), reduction=MEAN
    )
    want, slopes = SOFTMAXES[kind][1](
        array(fewer, kind_of), array(bad[:, chosen]), array(w), reduction=MEAN
    )
    np.testing.assert_allclose(as_numpy(value), as_numpy(want), rtol=1e-6)
    np.testing.assert_allclose(as_numpy(slope)[:, chosen], as_numpy(slopes), rtol=2e-6, atol=1e-8)
    assert np.all(as_numpy(slope)[:, 1] == 0)


@pytest.mark.parametrize("kind", SOFTMAXES)
def test_derivatives_of_each_row(xp, array, kind):
    cases = [("full", 0), ("full", 0.3), ("a row", 0), ("a column", 0.3)]
    for name, smoothing in some(xp, cases, 40):
        mask = MASKS[name]
        keep = np.broadcast_to(mask, SHAPE)
        z, spread, bad, x, w = operands(kind, mask, smoothing)
        _, slopes = softmax(spread, x, keep)
        powers = np.where(keep, np.exp(x), 0)
        p = powers / np.maximum(powers.sum(axis=-1, keepdims=True), 1e-300)
        bends = p * (1 - p) * np.sum(np.where(keep, spread, 0), axis=-1, keepdims=True)
        options = {
            "labels": array(z, xp.int32 if kind == "sparse" else xp.float32),
            "logits": array(bad),
            "weights": array(planted_weights(w, keep.any(axis=-1))),
            "where": array(mask, xp.bool),
            "label_smoothing": smoothing,
        }
        for way in ways(xp):
            with way():
                close(FIRST[kind](**options), slopes * w[:, None], name)
                slope, bend = SECOND[kind](**options)
            close(slope, slopes * w[:, None], name)
            close(bend, bends * w[:, None], name)
            assert np.all(as_numpy(bend)[~keep] == 0)


def test_rows_with_no_class_left_are_in_no_denominator(xp, array):
    x = np.zeros((4, 3))
    mask = np.ones((4, 3), bool)
    mask[1] = mask[3] = False
    w = np.asarray([1.0, 5.0, 3.0, np.nan])
    x[1], x[3] = np.nan, np.inf
    for reduction, want in {
        Reduction.SUM: 4.0,
        MEAN: 1.0,
        Reduction.SUM_OVER_BATCH_SIZE: 2.0,
        Reduction.SUM_BY_NONZERO_WEIGHTS: 2.0,
    }.items():
        for way in ways(xp):
            with way():
                found = losses.sparse_softmax_cross_entropy(
                    array([0, 1, 2, 99], xp.int32),
                    array(x),
                    array(w),
                    where=array(mask, xp.bool),
                    reduction=reduction,
                )
            np.testing.assert_allclose(as_numpy(found), want * np.log(3), rtol=1e-6)


def test_a_class_number_that_is_left_out_gives_nan(xp, array):
    """In its own row, and in the mean; a row that is left out whole gives nothing."""
    mask = np.ones((4, 3), bool)
    mask[0, 1] = mask[1, 2] = False
    mask[3] = False
    labels = array([1, 0, 2, 1], xp.int32)
    for smoothing in (0, 0.1):
        how = {"where": array(mask, xp.bool), "label_smoothing": smoothing}
        for way in ways(xp):
            with way():
                rows, slope = SOFTMAXES["sparse"][1](
                    labels, array(np.zeros((4, 3))), reduction="none", **how
                )
                mean = losses.sparse_softmax_cross_entropy(labels, array(np.zeros((4, 3))), **how)
            np.testing.assert_allclose(as_numpy(rows), [np.nan, np.log(2), np.log(3), 0], rtol=1e-6)
            assert np.isnan(as_numpy(mean))
            assert np.all(np.isfinite(as_numpy(slope)[1:]))
            assert as_numpy(slope)[0, 1] == 0  # it is left out, whatever else


def test_infinite_logits_beside_classes_that_are_left_out(xp, array):
    """A class that is kept and certain, or masked out by its logit, is as ever."""
    inf = np.inf
    x = np.asarray([[inf, inf, 0.0], [-inf, 0, inf], [-inf, 1, 1], [3, -inf, inf]])
    mask = np.asarray([[True, False, True], [True, True, False]] * 2)
    mask[2] = True
    z = np.asarray([[1.0, 0, 0], [0, 1, 0], [0, 0.5, 0.5], [1, 0, 1]])
    value, slope = SOFTMAXES["softmax"][1](
        array(z), array(x), where=array(mask, xp.bool), reduction="none"
    )
    np.testing.assert_allclose(as_numpy(value), [0, 0, np.log(2), 0], rtol=1e-6)
    np.testing.assert_allclose(as_numpy(slope), np.zeros((4, 3)), atol=1e-7)


def test_classes_on_another_axis(xp, array):
    rng = np.random.default_rng(3)
    x, z = rng.normal(size=(2, 3, 4)), rng.random((2, 3, 4))
    full = rng.random((2, 3, 4)) < 0.6
    full[0, :, 1] = False
    numbers = np.argmax(np.moveaxis(full, 1, -1), axis=-1)
    one = np.asarray([[[True], [False], [True]]])
    for mask in some(xp, (full, full[:1], full[:, :, :1], one), 20):
        keep = np.moveaxis(np.broadcast_to(mask, x.shape), 1, -1)
        rows = keep.any(axis=-1)
        numbers = np.argmax(keep, axis=-1)
        bad = np.where(np.broadcast_to(mask, x.shape), x, np.nan)
        how = {"where": array(mask, xp.bool), "class_axis": 1, "axis": 0}
        for kind, labels, spread in (
            ("softmax", array(np.where(np.isnan(bad), bad, z)), np.moveaxis(z, 1, -1)),
            ("sparse", array(numbers, xp.int32), one_hot(numbers, 3)),
        ):
            values, slopes = softmax(spread, np.moveaxis(x, 1, -1), keep)
            want, shares = reduced(values, 1.0, rows, MEAN, 0)
            value, slope = SOFTMAXES[kind][1](labels, array(bad), **how)
            close(value, want, mask.shape)
            close(slope, np.moveaxis(slopes * shares[..., None], -1, 1), mask.shape)


def test_a_mask_of_one_row(xp, array):
    """Logits of rank 1: the losses have rank 0, and a mask of rank 1 is over classes."""
    x, mask = np.asarray([1.0, np.nan, 2.0]), np.asarray([True, False, True])
    found = losses.sparse_softmax_cross_entropy(
        array(2, xp.int32), array(x), where=array(mask, xp.bool)
    )
    np.testing.assert_allclose(as_numpy(found), np.log1p(np.exp(-1)), rtol=1e-6)


@pytest.mark.parametrize("name", ["float32", "float64", "float16"])
def test_large_arrays(xp, device, name):
    if not xp.__name__.endswith(("compat.numpy", "torch")):
        pytest.skip("large arrays are for NumPy and PyTorch")
    rng = np.random.default_rng(4)
    x = rng.normal(size=(2**15, 9)).astype(name).astype(float)
    z, mask = rng.random(x.shape).astype(name).astype(float), rng.random(x.shape) < 0.5
    rows = mask.any(axis=-1)
    powers = np.where(mask, np.exp(x), 0)
    p = powers / np.maximum(powers.sum(axis=-1, keepdims=True), 1e-300)
    label = np.where(mask, z, 0)
    logs = np.log(np.where(mask, p, 1))
    want = -np.sum(label * logs, axis=-1)
    slopes = np.where(mask, p * label.sum(axis=-1, keepdims=True) - label, 0)
    x[~mask] = np.nan
    arguments = [xp.asarray(a, dtype=getattr(xp, name), device=device) for a in (z, x)]
    where = xp.asarray(mask, device=device)
    near = {"rtol": 3e-3, "atol": 3e-3} if name == "float16" else {"rtol": 1e-5, "atol": 1e-6}
    value, slope = SOFTMAXES["softmax"][1](*arguments, where=where, reduction="none")
    np.testing.assert_allclose(as_numpy(value), want, **near)
    np.testing.assert_allclose(as_numpy(slope), slopes, **near)
    mean = losses.softmax_cross_entropy(*arguments, where=where)
    np.testing.assert_allclose(as_numpy(mean), want[rows].mean(), rtol=near["rtol"])
    numbers = xp.asarray(np.argmax(mask, axis=-1), device=device)
    hard = -logs[np.arange(len(rows)), np.argmax(mask, axis=-1)]
    mean = losses.sparse_softmax_cross_entropy(numbers, arguments[1], where=where)
    np.testing.assert_allclose(as_numpy(mean), hard[rows].mean(), rtol=near["rtol"])


# --- derivatives --------------------------------------------------------------------


@pytest.mark.needs("autodiff")
@pytest.mark.parametrize("smoothing", [0, 0.2])
@pytest.mark.parametrize("kind", SOFTMAXES)
def test_autodiff_is_the_closed_form_and_never_nan(xp, array, kind, smoothing):
    function, both, _ = SOFTMAXES[kind]
    mask = MASKS["full"]
    z, spread, bad, x, w = operands(kind, mask, smoothing)
    how = {"where": array(mask, xp.bool), "label_smoothing": smoothing}
    labels = array(z, xp.int32 if kind == "sparse" else xp.float32)
    weights = array(planted_weights(w, mask.any(axis=-1)))

    def loss(z, x):
        return function(z, x, weights, reduction="none", **how)

    closed = as_numpy(both(labels, array(bad), weights, reduction="none", **how)[1])
    if "torch" in xp.__name__:
        import torch

        logits = array(bad).requires_grad_()
        (slope,) = torch.autograd.grad(loss(labels, logits).sum(), logits, create_graph=True)
        (second,) = torch.autograd.grad(slope[:, 2].sum(), logits)
    else:
        import jax

        slope = jax.grad(lambda x: loss(labels, x).sum())(array(bad))
        second = jax.jit(
            jax.grad(lambda x: jax.grad(lambda x: loss(labels, x).sum())(x)[:, 2].sum())
        )(array(bad))
    close(as_numpy(slope), closed)
    powers = np.where(mask, np.exp(x), 0)
    p = powers / np.maximum(powers.sum(axis=-1, keepdims=True), 1e-300)
    total = np.sum(np.where(mask, spread, 0), axis=-1, keepdims=True)
    close(as_numpy(second), w[:, None] * total * (one_hot([2] * ROWS, CLASSES) - p) * p[:, 2:3])


@pytest.mark.needs("autodiff")
def test_derivatives_by_labels_and_weights_are_never_nan(xp, array):
    mask = MASKS["full"]
    rows = mask.any(axis=-1)
    z, _, bad, _, w = operands("softmax", mask)
    arrays = array(z), array(bad), array(planted_weights(w, rows))
    for n, kept in ((0, mask), (2, rows)):

        def loss(_, changed, n=n):
            a = [*arrays[:n], changed, *arrays[n + 1 :]]
            return losses.softmax_cross_entropy(*a, where=array(mask, xp.bool))

        (slope,) = by_autodiff(loss, None, arrays[n], second=False)
        assert np.all(np.isfinite(as_numpy(slope)))
        assert np.all(as_numpy(slope)[~kept] == 0)
        assert np.any(as_numpy(slope) != 0)


# --- libraries ----------------------------------------------------------------------


@pytest.mark.backend("jax")
@pytest.mark.parametrize("kind", SOFTMAXES)
def test_jax_jits_and_maps_it(kind):
    jax = pytest.importorskip("jax")
    mask = MASKS["full"]
    z, spread, bad, x, _ = operands(kind, mask)
    values, _ = softmax(spread, x, mask)
    labels = jax.numpy.asarray(z.astype("i4" if kind == "sparse" else "f4"))
    logits = jax.numpy.asarray(bad.astype("f4"))

    def loss(z, x, where):
        return SOFTMAXES[kind][0](z, x, where=where, reduction="none")

    close(jax.jit(loss)(labels, logits, jax.numpy.asarray(mask)), values)
    close(jax.jit(jax.vmap(loss))(labels, logits, jax.numpy.asarray(mask)), values)


@pytest.mark.backend("torch")
@pytest.mark.parametrize("kind", SOFTMAXES)
def test_pytorch_compiles_and_maps_it(kind):
    torch = pytest.importorskip("torch")
    torch._dynamo.reset()
    mask = torch.from_numpy(MASKS["full"].copy())
    z, spread, bad, x, _ = operands(kind, MASKS["full"])
    labels, logits = torch.from_numpy(z), torch.from_numpy(bad)

    def call(z, x, where):
        return SOFTMAXES[kind][1](z, x, where=where, label_smoothing=0.1)

    compiled = torch.compile(call, fullgraph=True, backend="eager")
    found, want = compiled(labels, logits, mask), call(labels, logits, mask)
    for actual, desired in zip(found, want, strict=True):
        torch.testing.assert_close(actual, desired, rtol=1e-12, atol=1e-12)
    values, _ = softmax(spread, x, MASKS["full"])
    if kind == "softmax":  # class numbers of rank 0 beside logits of rank 1
        mapped = torch.vmap(lambda z, x, m: SOFTMAXES[kind][0](z, x, where=m, reduction="none"))(
            labels, logits, mask
        )
        close(mapped, values)


@pytest.mark.backend("dask")
@pytest.mark.parametrize("kind", SOFTMAXES)
def test_dask_computes_nothing_and_minds_no_unknown_sizes(kind):
    dask, da = pytest.importorskip("dask"), pytest.importorskip("dask.array")

    def scheduler(*args, **kwargs):
        raise AssertionError("computed")

    mask = MASKS["full"]
    z, spread, bad, x, w = operands(kind, mask)
    chosen = np.asarray([True, True, False, True, True, False])
    values, slopes = softmax(spread, x, mask)
    want, shares = reduced(values[chosen], w[chosen], mask.any(axis=-1)[chosen], MEAN)
    for chunks in ((6, 4), (2, 1), (4, 3)):
        with dask.config.set(scheduler=scheduler):
            rows = da.from_array(chosen, chunks=chunks[0])
            lazy = [da.from_array(a, chunks=chunks[: a.ndim])[rows] for a in (z, bad, w, mask)]
            found = SOFTMAXES[kind][1](*lazy[:3], where=lazy[3], reduction=MEAN)
        np.testing.assert_allclose(found[0].compute(), want, rtol=1e-12)
        np.testing.assert_allclose(
            found[1].compute(), (slopes[chosen] * shares[:, None]), rtol=1e-12, atol=1e-15
        )


# --- errors -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [(ROWS, 2), (2, CLASSES), (1, ROWS, CLASSES), (CLASSES,)], ids=str
)
@pytest.mark.parametrize("kind", SOFTMAXES)
def test_masks_of_other_shapes(xp, array, kind, shape):
    z, _, _, x, _ = operands(kind, MASKS["one"])
    labels = array(z, xp.int32 if kind == "sparse" else xp.float32)
    for function in SOFTMAXES[kind][:2]:
        with pytest.raises(ValueError, match=r"where.*in 'xyz'"):
            function(labels, array(x), where=array(np.ones(shape, bool), xp.bool), scope="xyz")


@pytest.mark.parametrize("kind", SOFTMAXES)
def test_masks_of_classes_are_bool(xp, array, kind):
    z, _, _, x, _ = operands(kind, MASKS["one"])
    labels = array(z, xp.int32 if kind == "sparse" else xp.float32)
    for function in SOFTMAXES[kind][:2]:
        with pytest.raises(TypeError, match="`where`"):
            function(labels, array(x), where=array(np.ones(SHAPE)))
