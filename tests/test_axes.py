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
    labels_and_logits,
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
MEAN = Reduction.MEAN


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
    z, x = labels_and_logits(kind, shape)
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
        z, x = labels_and_logits(kind, SHAPE)
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
        z, x = labels_and_logits(kind, shape)
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
    z, x = labels_and_logits(kind, (4, 2))
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
    z, x = labels_and_logits("sigmoid", (3, 4))
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
    z, x = labels_and_logits("sigmoid", (3, 4))
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
    z, x = labels_and_logits("sigmoid", (3, 4))
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
    z, x = labels_and_logits(kind, (2, 2))
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
    z, x = labels_and_logits(kind, (2, 2))
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


def test_no_function_that_reduces_is_left_out_here():
    found = {f for f in with_parameter("axis") if "reduction" in parameters_of(f)}
    assert found == {*FUNCTIONS, compute_weighted_loss}
