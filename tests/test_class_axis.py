"""Classes on any axis: `class_axis`, and `axis` in `xbce.nn`, are the axis moved to the end."""

import numpy as np
import pytest
from arguments import parameters_of, with_parameter
from by_hand import (
    REDUCING,
    close,
    jax_once,  # noqa: F401
    reduced,
    softmax,
    some,
    ways,
)
from helpers import by_autodiff, one_hot

# Functions are called through their modules: by name, the jitting variants would compile each.
from xbce import derivatives, losses, nn
from xbce.losses import Reduction
from xbce.testing import as_numpy

MEAN = Reduction.MEAN
PLACES = [
    ((3,), 0),
    ((3,), -1),
    ((4, 3), 0),
    ((4, 3), 1),
    ((4, 3), -2),
    ((2, 3, 4), 0),
    ((2, 3, 4), 1),
    ((2, 3, 4), -1),
    ((2, 3, 2, 4), 1),
    ((2, 3, 2, 4), -2),
    ((2, 3, 2, 4), -4),
]
EVERY = [*REDUCING, Reduction.NONE]
DENSE = {
    "loss": losses.softmax_cross_entropy,
    "both": derivatives.softmax_value_and_grad,
    "gradient": derivatives.softmax_gradient,
    "hessian": derivatives.softmax_gradient_hessian,
    "nn": nn.softmax_cross_entropy_with_logits,
}
SPARSE = {
    "loss": losses.sparse_softmax_cross_entropy,
    "both": derivatives.sparse_softmax_value_and_grad,
    "gradient": derivatives.sparse_softmax_gradient,
    "hessian": derivatives.sparse_softmax_gradient_hessian,
    "nn": nn.sparse_softmax_cross_entropy_with_logits,
}
KINDS = {"dense": DENSE, "sparse": SPARSE}


def last(a, axis):
    return np.moveaxis(a, axis, -1)


def back(a, axis):
    return np.moveaxis(a, -1, axis)


def operands(kind, shape, axis):
    """Labels as they are passed, the same with classes last, logits, weights and a mask."""
    rng = np.random.default_rng(5)
    x = 2 * rng.normal(size=shape)
    rows = last(x, axis).shape[:-1]
    if kind == "sparse":
        z = rng.integers(0, shape[axis], rows)
        spread = one_hot(z, shape[axis])
    else:
        z = rng.random(shape)
        spread = last(z, axis)
    return z, spread, x, rng.integers(1, 4, rows) / 2, rng.random(rows) < 0.7


def test_the_functions_that_have_a_class_axis():
    found = set(with_parameter("class_axis"))
    tested = {f for names in KINDS.values() for name, f in names.items() if name != "nn"}
    assert tested == found
    assert {DENSE["nn"], SPARSE["nn"]} == {
        f for f in with_parameter("axis") if "name" in parameters_of(f)
    }


@pytest.mark.parametrize("kind", KINDS)
def test_losses_and_gradients_with_classes_anywhere(xp, array, kind):
    """Weighted, masked, smoothed and reduced, by the definition with the axis moved by hand."""
    calls = KINDS[kind]
    cases = [(place, n) for place in PLACES for n in range(len(EVERY))]
    for (shape, axis), n in some(xp, cases, 50):
        reduction = EVERY[n]
        z, spread, x, w, mask = operands(kind, shape, axis)
        smooth = spread * 0.9 + 0.1 / shape[axis]
        values, slopes = softmax(smooth, last(x, axis))
        want, shares = reduced(values, w, mask, reduction)
        labels = array(z, xp.int32 if kind == "sparse" else xp.float32)
        how = {"reduction": reduction, "where": array(mask, xp.bool), "class_axis": axis}
        arguments = labels, array(x), array(w)
        for way in ways(xp):
            with way():
                value, slope = calls["both"](*arguments, label_smoothing=0.1, **how)
                alone = calls["loss"](*arguments, label_smoothing=0.1, **how)
            close(value, want, (shape, axis, reduction))
            close(alone, want, (shape, axis, reduction))
            close(slope, back(slopes * shares[..., None], axis), (shape, axis, reduction))


@pytest.mark.parametrize("kind", KINDS)
def test_element_by_element_with_classes_anywhere(xp, array, kind):
    calls = KINDS[kind]
    for shape, axis in some(xp, PLACES, 40):
        z, spread, x, w, mask = operands(kind, shape, axis)
        labels, logits = array(z, xp.int32 if kind == "sparse" else xp.float32), array(x)
        moved = last(x, axis)
        values, slopes = softmax(spread, moved)
        p = np.exp(moved) / np.exp(moved).sum(axis=-1, keepdims=True)
        bends = p * (1 - p) * spread.sum(axis=-1, keepdims=True)
        scale = np.where(mask, w, 0)[..., None]
        options = {"labels": labels, "logits": logits, "class_axis": axis}
        weighted = {"weights": array(w), "where": array(mask, xp.bool)}
        for way in ways(xp):
            with way():
                close(calls["nn"](labels=labels, logits=logits, axis=axis), values)
                for how, factor in (({}, 1.0), (weighted, scale)):
                    close(calls["gradient"](**options, **how), back(slopes * factor, axis))
                    slope, bend = calls["hessian"](**options, **how)
                    close(slope, back(slopes * factor, axis))
                    close(bend, back(bends * factor, axis))


def test_a_picture_of_class_numbers(xp, array):
    """Labels [N, 1, H, W] beside logits [N, C, H, W]; weights and a mask may be as the labels."""
    z, spread, x, w, mask = operands("sparse", (2, 3, 2, 4), 1)
    values, slopes = softmax(spread, last(x, 1))
    picture = [array(z[:, None], xp.int32), array(w[:, None]), array(mask[:, None], xp.bool)]
    for axis, reduction in ((None, MEAN), ((1, 2), Reduction.SUM), (0, MEAN)):
        want, shares = reduced(values, w, mask, reduction, axis)
        gradient = back(slopes * shares[..., None], 1)
        how = {"class_axis": 1, "axis": axis, "reduction": reduction}
        for weights in (picture[1], array(w)):
            for where in (picture[2], array(mask, xp.bool)):
                value, slope = SPARSE["both"](picture[0], array(x), weights, where=where, **how)
                close(value, want, (axis, reduction))
                close(slope, gradient, (axis, reduction))
    close(SPARSE["gradient"](labels=picture[0], logits=array(x), class_axis=1), back(slopes, 1))


def test_axes_to_reduce_are_those_of_the_losses(xp, array):
    """Which lack the axis of the classes: of [N, C, H, W] axis 1 is H."""
    z, spread, x, w, mask = operands("dense", (2, 3, 2, 4), 1)
    values, slopes = softmax(spread, last(x, 1))
    for axis in (0, 1, 2, -1, (0, 2)):
        want, shares = reduced(values, w, mask, MEAN, axis)
        value, slope = DENSE["both"](
            array(z),
            array(x),
            array(w),
            where=array(mask, xp.bool),
            class_axis=1,
            axis=axis,
            reduction=MEAN,
        )
        close(value, want, axis)
        close(slope, back(slopes * shares[..., None], 1), axis)


def test_results_have_the_layout_and_dtype_of_the_logits(xp, array, dtype):
    z, _, x, *_ = operands("dense", (2, 3, 4), 1)
    logits = array(x, dtype)
    value, slope = DENSE["both"](array(z), logits, class_axis=1)
    first, second = DENSE["hessian"](labels=array(z), logits=logits, class_axis=1)
    for found in (slope, first, second):
        assert tuple(found.shape) == (2, 3, 4)
        assert found.dtype == dtype
    assert value.dtype == dtype


@pytest.mark.parametrize("kind", KINDS)
def test_large_arrays_with_classes_in_the_middle(xp, device, kind):
    if not xp.__name__.endswith(("compat.numpy", "torch")):
        pytest.skip("large arrays are for NumPy and PyTorch")
    rng = np.random.default_rng(5)
    x = rng.normal(size=(70, 11, 500))
    z = rng.integers(0, 11, (70, 500))
    moved, hot = last(x, 1), one_hot(z, 11)
    p = np.exp(moved) / np.exp(moved).sum(axis=-1, keepdims=True)
    want = -np.log(np.sum(p * hot, axis=-1))
    labels = z if kind == "sparse" else back(hot, 1)
    arguments = (
        xp.asarray(labels, device=device),
        xp.asarray(x, dtype=xp.float32, device=device),
    )
    value, slope = KINDS[kind]["both"](*arguments, class_axis=1, axis=0)
    np.testing.assert_allclose(as_numpy(value), want.mean(axis=0), rtol=1e-6)
    close(slope, back((p - hot) / 70, 1))
    losses_ = KINDS[kind]["loss"](*arguments, class_axis=1, reduction="none")
    np.testing.assert_allclose(as_numpy(losses_), want, rtol=1e-5)


@pytest.mark.needs("autodiff")
@pytest.mark.parametrize("kind", KINDS)
def test_autodiff_is_the_closed_form(xp, array, kind):
    z, _, x, w, mask = operands(kind, (2, 3, 4), 1)
    labels = array(z, xp.int32 if kind == "sparse" else xp.float32)
    how = {"where": array(mask, xp.bool), "class_axis": 1, "reduction": MEAN}
    closed = as_numpy(KINDS[kind]["both"](labels, array(x), array(w), **how)[1])
    assert np.count_nonzero(closed) == 3 * np.count_nonzero(mask)

    def loss(z, x):
        return KINDS[kind]["loss"](z, x, array(w), **how)

    (slope,) = by_autodiff(loss, labels, array(x), second=False)
    close(slope, closed)

    def one(z, x):
        return KINDS[kind]["nn"](labels=z, logits=x, axis=1)

    (slope,) = by_autodiff(one, labels, array(x), second=False)
    close(slope, as_numpy(KINDS[kind]["gradient"](labels=labels, logits=array(x), class_axis=1)))


@pytest.mark.backend("torch")
@pytest.mark.parametrize("kind", KINDS)
def test_pytorch_compiles_and_maps_it(kind):
    torch = pytest.importorskip("torch")
    torch._dynamo.reset()
    z, _, x, *_ = operands(kind, (2, 3, 4), 1)
    labels, logits = torch.from_numpy(z), torch.from_numpy(x)

    def call(z, x):
        return *KINDS[kind]["both"](z, x, class_axis=1), KINDS[kind]["nn"](
            labels=z, logits=x, axis=-2
        )

    compiled = torch.compile(call, fullgraph=True, backend="eager")
    for actual, want in zip(compiled(labels, logits), call(labels, logits), strict=True):
        torch.testing.assert_close(actual, want, rtol=1e-12, atol=1e-12)
    mapped = torch.vmap(lambda z, x: KINDS[kind]["loss"](z, x, class_axis=0))(labels, logits)
    want = KINDS[kind]["loss"](labels, logits, class_axis=1, axis=1)
    torch.testing.assert_close(mapped, want)


@pytest.mark.backend("dask")
@pytest.mark.parametrize("kind", KINDS)
def test_dask_minds_no_chunks_of_classes(kind):
    da = pytest.importorskip("dask.array")
    z, _, x, *_ = operands(kind, (4, 3, 5), 1)
    want = KINDS[kind]["both"](z, x, class_axis=1, axis=0)
    for chunks in ((4, 3, 5), (2, 1, 2), (1, 2, 5)):
        own = chunks if z.ndim == 3 else (chunks[0], chunks[2])
        lazy = da.from_array(z, chunks=own), da.from_array(x, chunks=chunks)
        found = KINDS[kind]["both"](*lazy, class_axis=1, axis=0)
        for one, other in zip(found, want, strict=True):
            assert one.shape == other.shape
            np.testing.assert_allclose(one.compute(), other, rtol=1e-12, atol=1e-15)


# --- errors -------------------------------------------------------------------------

ALL = [
    pytest.param(kind, name, id=f"{kind}-{name}") for kind, names in KINDS.items() for name in names
]


def called(array, xp, kind, name, shape, **how):
    z, _, x, *_ = operands(kind, shape, -1)
    labels, logits = array(z, xp.int32 if kind == "sparse" else xp.float32), array(x)
    function = KINDS[kind][name]
    argument = "axis" if name == "nn" else "class_axis"
    how = {argument: how["axis"]}
    if name in ("loss", "both"):
        return function(labels, logits, **how)
    return function(labels=labels, logits=logits, **how)


@pytest.mark.parametrize("axis", [2, -3, 100])
@pytest.mark.parametrize(("kind", "name"), ALL)
def test_an_axis_that_is_not_there(xp, array, kind, name, axis):
    argument = "`axis`" if name == "nn" else "`class_axis`"
    with pytest.raises(ValueError, match=argument):
        called(array, xp, kind, name, (3, 3), axis=axis)


@pytest.mark.parametrize("axis", [1.0, "1", None, (1,), [0]], ids=repr)
@pytest.mark.parametrize(("kind", "name"), ALL)
def test_an_axis_that_is_no_integer(xp, array, kind, name, axis):
    argument = "`axis`" if name == "nn" else "`class_axis`"
    with pytest.raises(TypeError, match=f"{argument} must be an integer"):
        called(array, xp, kind, name, (3, 3), axis=axis)


@pytest.mark.parametrize("kind", KINDS)
def test_scalars_have_no_classes(xp, array, kind):
    x = array(np.asarray(0.5))
    labels = array(np.asarray(0), xp.int32) if kind == "sparse" else x
    for axis in (0, -1):
        with pytest.raises(ValueError, match=r"`class_axis`|`logits`"):
            KINDS[kind]["loss"](labels, x, class_axis=axis)


def test_labels_that_fit_another_axis_only(xp, array):
    x = array(np.zeros((2, 3, 4)))
    wrong = array(np.zeros((2, 3)), xp.int32)  # as with classes last
    assert losses.sparse_softmax_cross_entropy(wrong, x) is not None
    for labels in (wrong, array(np.zeros((2, 4, 1)), xp.int32)):
        with pytest.raises(ValueError, match="labels"):
            losses.sparse_softmax_cross_entropy(labels, x, class_axis=1)
    with pytest.raises(ValueError, match="weights can not be broadcast to values"):
        losses.sparse_softmax_cross_entropy(
            array(np.zeros((2, 4)), xp.int32), x, array(np.ones((2, 3))), class_axis=1
        )
