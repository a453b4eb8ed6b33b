"""`ignore_index`: labels equal to it are as if they were not there, whatever their logits are."""

import itertools

import numpy as np
import pytest
from arguments import parameters_of, with_parameter
from by_hand import (
    BAD,
    KINDS,
    REDUCING,
    SIGMOIDS,
    close,
    element_wise,
    jax_once,  # noqa: F401
    planted_weights,
    reduced,
    softmax,
    some,
    stretched,
    ways,
)
from helpers import by_autodiff

# Functions are called through their modules: by name, the jitting variants would compile each.
from xbce import losses
from xbce.losses import Reduction
from xbce.testing import as_numpy

ROWS, CLASSES = 5, 3
EVERY = [*REDUCING, Reduction.NONE]
TAKING = [*SIGMOIDS, "sparse"]


def numbers(index, rows=ROWS):
    """Class numbers, some of which are the index; and which are not."""
    rng = np.random.default_rng(6)
    labels = rng.integers(0, CLASSES, rows)
    labels[1::2] = index
    return labels, labels != index


def hard(index, shape=(ROWS, CLASSES)):
    """Labels of 0 and 1, some of which are the index; and which are not."""
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 2, shape)
    if index not in (0, 1):
        labels[rng.random(shape) < 0.4] = index
    return labels, labels != index


def logits_of(keep):
    """Logits, which are bad ones where a label is ignored; and good ones."""
    x = 2 * np.random.default_rng(8).normal(size=(ROWS, CLASSES))
    at = keep if keep.ndim == 2 else keep[:, None]
    return np.where(at, x, np.resize(BAD, x.shape)), x


def weights_of(shape):
    values = itertools.cycle([0.5, 0.0, 2.0, 1.0, 3.0, 0.25])
    for dims in stretched(shape):
        yield np.reshape([next(values) for _ in range(int(np.prod(dims)))], dims)
    yield 0.5


def test_the_functions_that_ignore_labels():
    assert set(with_parameter("ignore_index")) == {f for kind in TAKING for f in KINDS[kind][:2]}
    assert all("reduction" in parameters_of(f) for f in with_parameter("ignore_index"))


@pytest.mark.parametrize("kind", TAKING)
def test_ignored_labels_are_in_no_loss_denominator_or_gradient(xp, array, kind):
    """With every reduction, axis, mask and shape of weights; 0 is the first class, if asked for."""
    function, both, parameters = KINDS[kind]
    shape = (ROWS,) if kind == "sparse" else (ROWS, CLASSES)
    masks = [None, *(np.random.default_rng(3).random(dims) < 0.7 for dims in stretched(shape))]
    cases = itertools.product((-1, 7, 1, 0), EVERY, weights_of(shape), masks, (None, 0))
    for index, reduction, weights, mask, axis in some(xp, cases, 40):
        axis = None if reduction == Reduction.NONE else axis
        labels, keep = numbers(index) if kind == "sparse" else hard(index)
        keep = keep & (True if mask is None else mask)
        bad, x = logits_of(keep)
        safe = np.where(keep, labels, 0)
        w = weights
        if isinstance(w, np.ndarray):
            w = array(planted_weights(w, keep) if reduction != Reduction.NONE else w)
        how = {"ignore_index": index, "reduction": reduction, "axis": axis, **parameters}
        if mask is not None:
            how["where"] = array(mask, xp.bool)
        values, slopes = element_wise(kind, safe, x, **parameters)
        want, shares = reduced(values, weights, keep, reduction, axis)
        slope = slopes * (shares[..., None] if kind == "sparse" else shares)
        case = (index, reduction, np.shape(weights), np.shape(mask), axis)
        for way in ways(xp):
            with way():
                value, gradient = both(array(labels, xp.int32), array(bad), w, **how)
                alone = function(array(labels, xp.int32), array(bad), w, **how)
            close(alone, want, case, 10)
            close(value, want, case, 10)
            close(gradient, slope, case, 3)
        dropped = np.broadcast_to(keep[..., None] if kind == "sparse" else keep, x.shape)
        assert np.all(as_numpy(gradient)[~dropped] == 0), case


@pytest.mark.parametrize("kind", TAKING)
def test_it_is_the_same_as_a_mask(xp, array, kind):
    """Digit by digit: what is computed is the same."""
    function, both, parameters = KINDS[kind]
    labels, keep = numbers(-1) if kind == "sparse" else hard(-1)
    x = array(logits_of(keep)[0])
    z, where = array(labels, xp.int32), array(keep, xp.bool)
    for reduction in some(xp, EVERY, 10):
        how = {"reduction": reduction, **parameters}
        found = [function(z, x, ignore_index=-1, **how), *both(z, x, ignore_index=-1, **how)]
        masked = [function(z, x, where=where, **how), *both(z, x, where=where, **how)]
        for one, other in zip(found, masked, strict=True):
            np.testing.assert_allclose(as_numpy(one), as_numpy(other), rtol=1e-6, atol=1e-8)


def test_with_smoothing_the_label_that_came_is_looked_at(xp, array):
    labels, keep = hard(-1)
    bad, x = logits_of(keep)
    z = array(np.where(keep, labels, -1), xp.float32)
    z_smooth = np.where(keep, labels, 0) * 0.8 + 0.1
    values, slopes = element_wise("sigmoid", z_smooth, x)
    want, shares = reduced(values, 1.0, keep, Reduction.MEAN)
    for way in ways(xp):
        with way():
            value, slope = KINDS["sigmoid"][1](
                z, array(bad), 1.0, 0.2, reduction="weighted_mean", ignore_index=-1
            )
        close(value, want)
        close(slope, slopes * shares)
    labels, keep = numbers(-1)
    bad, x = logits_of(keep)
    z = 0.7 * np.eye(CLASSES)[np.where(keep, labels, 0)] + 0.1
    values, slopes = softmax(z, x)
    want, shares = reduced(values, 1.0, keep, Reduction.MEAN)
    for way in ways(xp):
        with way():
            value, slope = KINDS["sparse"][1](
                array(labels, xp.int32), array(bad), ignore_index=-1, label_smoothing=0.3
            )
        close(value, want)
        close(slope, slopes * shares[:, None])


def test_a_column_of_class_numbers_may_be_ignored_too(xp, array):
    labels, keep = numbers(-1)
    bad, x = logits_of(keep)
    w = np.asarray([0.5, 1.0, 2.0, 3.0, 0.0])
    values, slopes = element_wise("sparse", np.where(keep, labels, 0), x)
    want, shares = reduced(values, w, keep, Reduction.MEAN)
    for weights in (w, w[:, None]):
        value, slope = KINDS["sparse"][1](
            array(labels[:, None], xp.int32),
            array(bad),
            array(weights),
            ignore_index=-1,
            reduction="weighted_mean",
        )
        close(value, want)
        close(slope, slopes * shares[:, None])


def test_a_mask_of_classes_beside_ignored_labels(xp, array):
    labels, keep = numbers(-1)
    labels[keep] = [0, 2, 0]
    classes = np.ones((ROWS, CLASSES), bool)
    classes[0, 1] = classes[4, 2] = False
    for mask in (classes, np.asarray([[True, False, True]]), keep[:, None], classes[:, :1]):
        left = keep[:, None] & np.broadcast_to(mask, classes.shape)
        bad, x = logits_of(left)
        values, slopes = softmax(np.eye(CLASSES)[np.where(keep, labels, 0)], x, left)
        want, shares = reduced(values, 1.0, left.any(axis=-1), Reduction.MEAN)
        for way in ways(xp):
            with way():
                value, slope = KINDS["sparse"][1](
                    array(labels, xp.int32),
                    array(bad),
                    where=array(mask, xp.bool),
                    ignore_index=-1,
                )
            close(value, want, mask.shape)
            close(slope, slopes * shares[:, None], mask.shape)


def test_labels_with_class_axis_may_be_ignored(xp, array):
    labels, keep = numbers(-1, 6)
    x = np.random.default_rng(1).normal(size=(2, CLASSES, 3))
    labels, keep = labels.reshape(2, 3), keep.reshape(2, 3)
    bad = np.where(keep[:, None], x, np.nan)
    values, slopes = element_wise("sparse", np.where(keep, labels, 0), np.moveaxis(x, 1, -1))
    want, shares = reduced(values, 1.0, keep, Reduction.MEAN, 0)
    value, slope = KINDS["sparse"][1](
        array(labels, xp.int32), array(bad), class_axis=1, axis=0, ignore_index=-1
    )
    close(value, want)
    close(slope, np.moveaxis(slopes * shares[..., None], -1, 1))


# --- dtypes -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["uint8", "int8", "int16", "int32", "int64"])
def test_class_numbers_of_any_dtype(xp, array, name):
    if name == "int64" and xp.asarray([1]).dtype == xp.int32:
        name = "int32"  # JAX with 64 bits switched off
    index = 255 if name == "uint8" else -1
    labels, keep = numbers(index)
    bad, x = logits_of(keep)
    values, _ = element_wise("sparse", np.where(keep, labels, 0), x)
    found = losses.sparse_softmax_cross_entropy(
        array(labels, getattr(xp, name)), array(bad), ignore_index=index
    )
    close(found, values[keep].mean())


@pytest.mark.parametrize(
    "name", ["bool", "uint8", "int8", "int64", "float32", "float64", "float16"]
)
def test_sigmoid_labels_of_any_dtype(xp, array, name):
    kind = getattr(xp, name, None)
    if kind is None or (xp.asarray([1]).dtype == xp.int32 and name.endswith("64")):
        pytest.skip("no such dtype here")
    for index in {"bool": (0, 1, 2, -1), "uint8": (255, 0, 1)}.get(name, (-1, 0, 1)):
        if name == "bool":
            labels = np.random.default_rng(7).random((ROWS, CLASSES)) < 0.5
            keep = labels != index
        else:
            labels, keep = hard(index)
        bad, x = logits_of(keep)
        values, slopes = element_wise("sigmoid", np.where(keep, labels, 0).astype(float), x)
        want, shares = reduced(values, 1.0, keep, Reduction.MEAN)
        try:
            z = array(labels, kind)
        except ValueError:  # a device without float64
            pytest.skip("no such dtype here")
        for way in ways(xp):
            with way():
                value, slope = KINDS["sigmoid"][1](z, array(bad), ignore_index=index)
            close(value, want, index)
            close(slope, slopes * shares, index)


@pytest.mark.parametrize(
    ("name", "index", "labels"),
    [
        ("uint8", -100, [0, 156, 2]),
        ("uint8", 256, [0, 1, 2]),
        ("int8", 255, [0, -1, 2]),
        ("int16", 2**16 - 1, [0, -1, 2]),
        ("int32", 2**32 - 1, [0, -1, 2]),
        ("int32", 2**70, [0, 1, 2]),
        ("uint8", -(2**70), [0, 1, 2]),
    ],
)
def test_an_index_that_the_dtype_can_not_hold_leaves_nothing_out(xp, array, name, index, labels):
    """It does not wrap around: 156 is no -100."""
    x = np.random.default_rng(1).normal(size=(3, CLASSES))
    z = array(labels, getattr(xp, name))
    found = losses.sparse_softmax_cross_entropy(z, array(x), ignore_index=index, reduction="none")
    plain = losses.sparse_softmax_cross_entropy(z, array(x), reduction="none")
    np.testing.assert_array_equal(as_numpy(found), as_numpy(plain))
    column = array(np.reshape(labels, (3, 1)), getattr(xp, name))
    for reduction in some(xp, REDUCING, 10):
        how = {"reduction": reduction}
        one = losses.sigmoid_cross_entropy(column, array(x[:, :1]), ignore_index=index, **how)
        other = losses.sigmoid_cross_entropy(column, array(x[:, :1]), **how)
        np.testing.assert_allclose(as_numpy(one), as_numpy(other), rtol=1e-6)


def test_labels_are_compared_before_they_are_cast(xp, array):
    """As float32, 2**24 + 1 is 2**24, which is another label."""
    labels, x = array([2**24 + 1, 2**24, 1], xp.int32), array([1e-3, 1e-3, 1e-3])
    found = losses.sigmoid_cross_entropy(
        labels, x, ignore_index=2**24, reduction="weighted_sum_over_batch_size"
    )
    kept = losses.sigmoid_cross_entropy(array([2**24 + 1, 1], xp.int32), array([1e-3, 1e-3]))
    np.testing.assert_allclose(as_numpy(found), as_numpy(kept), rtol=1e-6)


def test_an_index_that_floats_round_is_equal_to_no_label(xp, array):
    """2**24 + 1 is no float32."""
    labels, x = array([2.0**24, 1.0]), array([1e-3, 1e-3])
    found = losses.sigmoid_cross_entropy(labels, x, ignore_index=2**24 + 1)
    np.testing.assert_allclose(
        as_numpy(found), as_numpy(losses.sigmoid_cross_entropy(labels, x)), rtol=1e-6
    )


@pytest.mark.backend("numpy")
def test_unsigned_labels_of_64_bits():
    x = np.zeros((3, 2))
    labels = np.asarray([0, 2**64 - 1, 1], np.uint64)
    how = {"reduction": "none"}
    found = losses.sparse_softmax_cross_entropy(labels, x, ignore_index=2**64 - 1, **how)
    np.testing.assert_allclose(found, [np.log(2), 0, np.log(2)])
    found = losses.sparse_softmax_cross_entropy(labels, x, ignore_index=-1, **how)
    np.testing.assert_allclose(found, [np.log(2), np.nan, np.log(2)])


# --- all of them, and large arrays ---------------------------------------------------


@pytest.mark.parametrize("kind", TAKING)
def test_all_ignored_gives_0_with_no_gradient(xp, array, kind):
    function, both, parameters = KINDS[kind]
    shape = (ROWS,) if kind == "sparse" else (ROWS, CLASSES)
    z = array(np.full(shape, 1), xp.int32)
    x = array(np.resize(BAD, (ROWS, CLASSES)))
    for reduction in some(xp, EVERY, 10):
        for way in ways(xp):
            with way():
                value, slope = both(z, x, ignore_index=1, reduction=reduction, **parameters)
                alone = function(z, x, ignore_index=1, reduction=reduction, **parameters)
            for found in (value, slope, alone):
                assert np.all(as_numpy(found) == 0), reduction


@pytest.mark.parametrize("name", ["float32", "float16"])
def test_large_arrays(xp, device, name):
    if not xp.__name__.endswith(("compat.numpy", "torch")):
        pytest.skip("large arrays are for NumPy and PyTorch")
    rng = np.random.default_rng(2)
    x, labels = rng.normal(size=(2**16, 5)), rng.integers(0, 5, 2**16)
    labels[::3] = -100
    keep = labels != -100
    x[~keep, 2] = np.nan
    rounded = x.astype(name).astype(float)[keep]
    z = labels[keep]
    rows = np.log(np.exp(rounded).sum(axis=-1)) - rounded[np.arange(len(z)), z]
    logits = xp.asarray(x, dtype=getattr(xp, name), device=device)
    value, slope = KINDS["sparse"][1](xp.asarray(labels, device=device), logits, ignore_index=-100)
    tolerance = 1e-5 if name == "float32" else 1e-3
    np.testing.assert_allclose(as_numpy(value), rows.mean(), rtol=tolerance)
    assert np.all(as_numpy(slope)[~keep] == 0)
    assert np.all(np.isfinite(as_numpy(slope)))
    hard = xp.asarray(np.where(x > 0, 1, np.where(np.isnan(x), -1, 0)), device=device)
    value, slope = KINDS["sigmoid"][1](hard, logits, ignore_index=-1)
    known = ~np.isnan(x)
    want = np.log1p(np.exp(-np.abs(x.astype(name).astype(float)[known]))).mean()
    np.testing.assert_allclose(as_numpy(value), want, rtol=tolerance)
    assert np.all(as_numpy(slope)[~known] == 0)


# --- derivatives, and libraries ------------------------------------------------------


@pytest.mark.needs("autodiff")
@pytest.mark.parametrize("kind", TAKING)
def test_autodiff_is_the_closed_form_and_never_nan(xp, array, kind):
    function, both, parameters = KINDS[kind]
    labels, keep = numbers(-1) if kind == "sparse" else hard(-1)
    x = array(logits_of(keep)[0])
    z = array(labels, xp.int32)

    def loss(z, x):
        return function(z, x, ignore_index=-1, **parameters)

    closed = both(z, x, ignore_index=-1, **parameters)[1]
    (slope,) = by_autodiff(loss, z, x, second=False)
    assert np.all(np.isfinite(as_numpy(slope)))
    close(slope, as_numpy(closed))


@pytest.mark.backend("torch")
def test_pytorch_compiles_it_whole():
    torch = pytest.importorskip("torch")
    torch._dynamo.reset()
    labels, keep = numbers(-100)
    x = torch.from_numpy(logits_of(keep)[0])
    z = torch.from_numpy(labels)

    def call(z, x):
        return KINDS["sparse"][1](z, x, ignore_index=-100, label_smoothing=0.1)

    compiled = torch.compile(call, fullgraph=True, backend="eager")
    for actual, want in zip(compiled(z, x), call(z, x), strict=True):
        torch.testing.assert_close(actual, want, rtol=1e-12, atol=1e-12)


@pytest.mark.backend("torch")
def test_pytorch_has_the_same_argument():
    torch = pytest.importorskip("torch")
    labels, _ = numbers(-100)
    x = torch.from_numpy(logits_of(np.ones(ROWS, bool))[0])
    z = torch.from_numpy(labels)
    own = torch.nn.functional.cross_entropy(x, z, ignore_index=-100, label_smoothing=0.1)
    found = losses.sparse_softmax_cross_entropy(z, x, ignore_index=-100, label_smoothing=0.1)
    torch.testing.assert_close(found, own)


@pytest.mark.backend("dask")
def test_dask_computes_nothing():
    dask, da = pytest.importorskip("dask"), pytest.importorskip("dask.array")

    def scheduler(*args, **kwargs):
        raise AssertionError("computed")

    labels, keep = numbers(-1)
    bad, x = logits_of(keep)
    with dask.config.set(scheduler=scheduler):
        z, logits = da.from_array(labels, chunks=2), da.from_array(bad, chunks=2)
        rows = z < 2  # whose number is not known
        lazy = [losses.sparse_softmax_cross_entropy(z, logits, ignore_index=-1)]
        lazy += [losses.sparse_softmax_cross_entropy(z[rows], logits[rows], ignore_index=-1)]
    values, _ = element_wise("sparse", np.where(keep, labels, 0), x)
    np.testing.assert_allclose(lazy[0].compute(), values[keep].mean(), rtol=1e-12)
    np.testing.assert_allclose(lazy[1].compute(), values[keep & (labels < 2)].mean(), rtol=1e-12)


# --- errors -------------------------------------------------------------------------


@pytest.mark.parametrize("index", [1.0, -100.0, np.float32(1), "1", [1], (1,), 1j], ids=repr)
@pytest.mark.parametrize("kind", TAKING)
def test_an_index_that_is_no_integer(xp, array, kind, index):
    labels, _ = numbers(0) if kind == "sparse" else hard(0)
    x = array(np.zeros((ROWS, CLASSES)))
    for function in KINDS[kind][:2]:
        with pytest.raises(TypeError, match=r"`ignore_index`.*integer.*in 'xyz'"):
            function(array(labels, xp.int32), x, ignore_index=index, scope="xyz")


@pytest.mark.backend("jax")
def test_a_traced_index_is_an_error_that_names_it():
    jax = pytest.importorskip("jax")
    labels, _ = numbers(1)

    def loss(index):
        return losses.sparse_softmax_cross_entropy(
            jax.numpy.asarray(labels), jax.numpy.zeros((ROWS, CLASSES)), ignore_index=index
        )

    with pytest.raises(TypeError, match="`ignore_index`"):
        jax.jit(loss)(1)
    assert jax.jit(loss, static_argnums=0)(1) > 0


def test_integers_of_numpy_are_integers(xp, array):
    labels, keep = numbers(2)
    x = array(logits_of(keep)[0])
    z = array(labels, xp.int32)
    one = losses.sparse_softmax_cross_entropy(z, x, ignore_index=np.int64(2))
    other = losses.sparse_softmax_cross_entropy(z, x, ignore_index=2)
    assert as_numpy(one) == as_numpy(other)
