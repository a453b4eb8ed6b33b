"""`axis`: each place that remains is reduced for itself, as a loop over the places would."""

import itertools

import numpy as np
import pytest
from arguments import parameters_of, with_parameter
from by_hand import (
    KINDS,
    REDUCING,
    SOFTMAXES,
    close,
    element_wise,
    jax_once,  # noqa: F401
    left,
    places,
    planted,
    planted_weights,
    reduced,
    some,
    stretched,
    ways,
)
from helpers import by_autodiff

# Functions are called through their modules: by name, the jitting variants would compile each.
from xbce import derivatives, losses
from xbce.losses import Reduction, compute_weighted_loss
from xbce.testing import as_numpy

SHAPE = (2, 4, 3)
AXES = [None, (), 0, 1, -1, (0, 2), (-1, -2), (2, 0, 1), [1]]
CLASSES = 3
MEAN = Reduction.MEAN


def operands(kind, shape, seed=3):
    """Labels and logits whose losses are of this shape, in float64."""
    rng = np.random.default_rng(seed)
    x = 2 * rng.normal(size=(*shape, CLASSES) if kind in SOFTMAXES else shape)
    if kind == "sparse":
        return rng.integers(0, CLASSES, shape), x
    return (rng.random(x.shape) < 0.5).astype(float), x


def weights_of(shape):
    """Of every shape that may be, with zeros among them, and numbers."""
    values = itertools.cycle([0.5, 0.0, 2.0, 1.0, 3.0, 0.0, 0.25])
    for dims in stretched(shape):
        yield np.reshape([next(values) for _ in range(int(np.prod(dims)))], dims)
    yield from (1.0, 0.5, np.asarray(2.0), np.asarray(0.0))


def masks_of(shape):
    """Of every shape that may be, with whole places left out, and no mask at all."""
    rng = np.random.default_rng(8)
    yield None
    for dims in stretched(shape):
        mask = rng.random(dims) < 0.6
        if dims == shape:
            mask[0] = False
            mask[:, 1] = False
        yield mask
    yield np.zeros(shape, bool)
    yield np.asarray(True)


def prepared(xp, array, kind, shape, weights, mask):
    """The arguments, with NaN and infinities in all that is left out, and what is kept."""
    z, x = operands(kind, shape)
    keep = np.broadcast_to(True if mask is None else mask, shape)
    labels = (
        array(planted(z, keep, [99, -1]), xp.int32) if kind == "sparse" else array(planted(z, keep))
    )
    w = weights
    if isinstance(w, np.ndarray):
        w = array(planted_weights(w, keep) if w.ndim else w)
    how = {} if mask is None else {"where": array(mask, xp.bool)}
    return (labels, array(planted(x, keep)), w), how, (z, x, keep)


@pytest.mark.parametrize("kind", KINDS)
def test_each_place_has_a_loss_and_a_denominator_of_its_own(xp, array, kind):
    function, both, parameters = KINDS[kind]
    cases = itertools.product(AXES, REDUCING, weights_of(SHAPE), masks_of(SHAPE))
    for axis, reduction, weights, mask in some(xp, cases, 40):
        arguments, how, (z, x, keep) = prepared(xp, array, kind, SHAPE, weights, mask)
        how |= {"reduction": reduction, "axis": axis, **parameters}
        values, slopes = element_wise(kind, z, x, **parameters)
        want, shares = reduced(values, weights, keep, reduction, axis)
        gradient = slopes * (shares[..., None] if kind in SOFTMAXES else shares)
        case = (axis, reduction, np.shape(weights), np.shape(mask))
        for way in ways(xp):
            with way():
                value, slope = both(*arguments, **how)
                close(function(*arguments, **how), want, case, 10)
            close(value, want, case, 10)
            close(slope, gradient, case, 3)
            keeps = keep[..., None] if kind in SOFTMAXES else keep
            assert np.all(as_numpy(slope)[~np.broadcast_to(keeps, gradient.shape)] == 0), case


def test_losses_of_ones_own(xp, array):
    rng = np.random.default_rng(2)
    terms = rng.random(SHAPE)
    cases = itertools.product(AXES, REDUCING, weights_of(SHAPE), masks_of(SHAPE))
    for axis, reduction, weights, mask in some(xp, cases, 40):
        keep = np.broadcast_to(True if mask is None else mask, SHAPE)
        w = weights
        if isinstance(w, np.ndarray):
            w = array(planted_weights(w, keep) if w.ndim else w)
        how = {} if mask is None else {"where": array(mask, xp.bool)}
        found = compute_weighted_loss(
            array(planted(terms, keep)), w, reduction=reduction, axis=axis, **how
        )
        want = reduced(terms, weights, keep, reduction, axis)[0]
        close(found, want, (axis, reduction, np.shape(weights), np.shape(mask)))


def test_every_axis_is_a_loop_of_calls_without_one(xp, array):
    """With all that a call takes, of every kind; the loop is over arrays of NumPy."""
    for kind, (function, both, parameters) in KINDS.items():
        z, x = operands(kind, SHAPE)
        rng = np.random.default_rng(5)
        weights, mask = rng.integers(0, 3, SHAPE) / 2, rng.random(SHAPE) < 0.7
        labels = array(z, xp.int32 if kind == "sparse" else xp.float32)
        extra = {"label_smoothing": 0.1, **parameters}
        if kind == "sigmoid":
            extra["pos_weight"] = 2.5
        how = {"where": array(mask, xp.bool), "axis": (0, 2), "reduction": MEAN}
        value, slope = both(labels, array(x), array(weights), **how, **extra)
        alone = function(labels, array(x), array(weights), **how, **extra)
        for index, at in places(SHAPE, (0, 2)):
            one, gradient = both(z[at], x[at], weights[at], reduction=MEAN, where=mask[at], **extra)
            for actual in (value, alone):
                close(as_numpy(actual)[index], one, kind)
            close(as_numpy(slope)[at], gradient, kind)


RANKS = [((), None), ((), ()), ((5,), 0), ((5,), -1), ((5,), ()), ((5,), None), ((1,), (0,))]
EMPTY = [((0,), 0), ((0, 3), 0), ((0, 3), 1), ((3, 0), 1), ((3, 0), 0), ((2, 0, 3), (0, 1))]


@pytest.mark.parametrize("kind", KINDS)
def test_any_rank_and_empty_batches(xp, array, kind):
    function, both, parameters = KINDS[kind]
    for (shape, axis), reduction in some(xp, itertools.product(RANKS + EMPTY, REDUCING), 50):
        z, x = operands(kind, shape)
        values, slopes = element_wise(kind, z, x, **parameters)
        labels = array(z, xp.int32 if kind == "sparse" else xp.float32)
        how = {"axis": axis, "reduction": reduction, **parameters}
        want, shares = reduced(values, 2.0, True, reduction, axis)
        found, slope = both(labels, array(x), 2.0, **how)
        close(found, want, (shape, axis))
        close(function(labels, array(x), 2.0, **how), want, (shape, axis))
        close(slope, slopes * (shares[..., None] if kind in SOFTMAXES else shares), (shape, axis))


@pytest.mark.parametrize("kind", KINDS)
def test_a_place_that_divides_by_nothing_gives_0(xp, array, kind):
    """Weights that cancel, weights of 0 on infinite losses, and a place that is left out."""
    function, both, parameters = KINDS[kind]
    z, x = operands(kind, (4, 2))
    weights = np.asarray([[1.0, -1.0], [0.0, -0.0], [2.0, 1.0], [1.0, 2.0]])
    keep = np.asarray([[True, True], [True, True], [False, False], [True, True]])
    values, slopes = element_wise(kind, z, x, **parameters)
    x = planted(x, keep)
    labels = array(z, xp.int32 if kind == "sparse" else xp.float32)
    how = {"axis": 1, "reduction": MEAN, "where": array(keep, xp.bool), **parameters}
    for way in ways(xp):
        with way():
            value, slope = both(labels, array(x), array(weights), **how)
            alone = function(labels, array(x), array(weights), **how)
        want = np.asarray([0, 0, 0, np.sum(values[3] * weights[3]) / 3])
        close(value, want)
        close(alone, want)
        assert np.all(as_numpy(slope)[:3] == 0)
        last = weights[3, :, None] if kind in SOFTMAXES else weights[3]
        close(as_numpy(slope)[3], slopes[3] * last / 3)


def test_nan_stays_in_its_place(xp, array):
    x = np.zeros((3, 4))
    x[1, 2] = np.nan
    for reduction in REDUCING:
        for way in ways(xp):
            with way():
                value, slope = derivatives.value_and_grad(
                    array(0 * x + 0.5), array(x), axis=1, reduction=reduction
                )
            np.testing.assert_array_equal(np.isnan(as_numpy(value)), [False, True, False])
            np.testing.assert_array_equal(np.isnan(as_numpy(slope)), np.isnan(x))


def test_results_keep_dtype_and_device(xp, array, dtype):
    z, x = operands("sigmoid", (3, 4))
    logits = array(x, dtype)
    value, slope = derivatives.value_and_grad(array(z, dtype), logits, axis=0)
    own = compute_weighted_loss(logits, axis=0)
    for found in (value, slope, own):
        assert found.dtype == dtype
        assert type(found) is type(logits)
    if hasattr(logits, "device"):
        assert own.device == value.device == logits.device


# --- derivatives --------------------------------------------------------------------


@pytest.mark.needs("autodiff")
@pytest.mark.parametrize("kind", KINDS)
def test_autodiff_is_the_closed_form(xp, array, kind):
    function, both, parameters = KINDS[kind]
    arguments, how, _ = prepared(
        xp,
        array,
        kind,
        SHAPE,
        next(weights_of(SHAPE)),
        next(itertools.islice(masks_of(SHAPE), 8, 9)),
    )
    rng = np.random.default_rng(1)
    cases = [((0, 2), Reduction.SUM_BY_NONZERO_WEIGHTS), (1, MEAN), (-1, Reduction.SUM), ((), MEAN)]
    for axis, reduction in some(xp, cases, 20):
        coefficients = rng.normal(size=left(SHAPE, axis))

        def loss(z, x, axis=axis, reduction=reduction, coefficients=coefficients):
            found = function(
                z, x, arguments[2], axis=axis, reduction=reduction, **how, **parameters
            )
            return found * array(coefficients)

        closed = as_numpy(both(*arguments, axis=axis, reduction=reduction, **how, **parameters)[1])
        want = np.zeros(closed.shape)
        for index, at in places(SHAPE, axis):
            want[at] = closed[at] * coefficients[index]
        (slope,) = by_autodiff(loss, *arguments[:2], second=False)
        close(slope, want, (axis, reduction))


@pytest.mark.needs("autodiff")
def test_derivatives_by_labels_and_weights_are_those_of_the_loop(array):
    z, x = operands("sigmoid", (3, 4))
    w = 0.5 + np.random.default_rng(0).random((3, 4))
    given = [array(z), array(x), array(w)]
    for reduction in (MEAN, Reduction.SUM_BY_NONZERO_WEIGHTS):
        for n in range(3):

            def at_once(_, changed, n=n, reduction=reduction):
                a = [*given[:n], changed, *given[n + 1 :]]
                return losses.sigmoid_cross_entropy(*a, axis=0, reduction=reduction)

            def one_by_one(_, changed, n=n, reduction=reduction):
                a = [*given[:n], changed, *given[n + 1 :]]
                columns = [
                    losses.sigmoid_cross_entropy(*(v[:, k] for v in a), reduction=reduction)
                    for k in range(4)
                ]
                return sum(columns)

            (found,) = by_autodiff(at_once, None, given[n], second=False)
            (want,) = by_autodiff(one_by_one, None, given[n], second=False)
            close(found, as_numpy(want), (reduction, n))


@pytest.mark.needs("autodiff")
def test_second_derivatives_by_autodiff(array):
    z, x = operands("sigmoid", (3, 4))
    w = np.random.default_rng(0).random((3, 4))

    def loss(z, x):
        return losses.sigmoid_cross_entropy(z, x, array(w), axis=1, reduction=MEAN)

    _, second = by_autodiff(loss, array(z), array(x))  # of the first slope of each row
    p = 1 / (1 + np.exp(-x))
    want = np.zeros(x.shape)
    want[:, 0] = (p * (1 - p) * w / w.sum(axis=1, keepdims=True))[:, 0]
    close(second, want)


# --- errors -------------------------------------------------------------------------

FUNCTIONS = [function for kind in KINDS.values() for function in kind[:2]]


@pytest.mark.parametrize("axis", [0, -1, (), (0, 1)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_without_a_reduction_there_is_no_axis(array, xp, kind, axis):
    z, x = operands(kind, (2, 2))
    labels = array(z, xp.int32 if kind == "sparse" else xp.float32)
    for function in KINDS[kind][:2]:
        with pytest.raises(ValueError, match=r"`axis`.*`reduction`"):
            function(labels, array(x), axis=axis, reduction="none")


@pytest.mark.parametrize("axis", [2, -3, (0, 2), (0, 0), (1, -1), (-2, 0)], ids=str)
def test_an_axis_that_is_not_there_or_there_twice(array, axis):
    x = array(np.zeros((2, 3)))
    for function in (losses.sigmoid_cross_entropy, derivatives.value_and_grad):
        with pytest.raises(ValueError, match=r"`axis`.*in 'xyz'"):
            function(x, x, axis=axis, scope="xyz")
    with pytest.raises(ValueError, match="`axis`"):
        compute_weighted_loss(x, axis=axis)


@pytest.mark.parametrize("axis", [0.0, "0", (0.5,), (0, None), np.float32(1)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_an_axis_that_is_no_integer(array, xp, kind, axis):
    z, x = operands(kind, (2, 2))
    labels = array(z, xp.int32 if kind == "sparse" else xp.float32)
    for function in KINDS[kind][:2]:
        with pytest.raises(TypeError, match="`axis`"):
            function(labels, array(x), axis=axis)


def test_the_axis_of_the_classes_is_none_of_the_losses(array):
    x = array(np.zeros((2, 3)))
    for function in KINDS["softmax"][:2]:
        with pytest.raises(ValueError, match=r"`axis`.*the losses"):
            function(x, x, axis=1)
        assert function(x, x, axis=0) is not None


def test_scalars_have_no_axis(array):
    x = array(np.asarray(0.5))
    for axis in (0, -1, (0,)):
        with pytest.raises(ValueError, match="`axis`"):
            losses.sigmoid_cross_entropy(x, x, axis=axis)


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

    z, x = operands("sigmoid", (12, 3))
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
    z, x = operands("sigmoid", SHAPE)
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
    z, x = operands("sigmoid", SHAPE)
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
    z, x = operands(kind, SHAPE)
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


def test_no_function_that_reduces_is_left_out_here():
    found = {f for f in with_parameter("axis") if "reduction" in parameters_of(f)}
    assert found == {*FUNCTIONS, compute_weighted_loss}
