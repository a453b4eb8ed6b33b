"""Alpha and the gammas as arrays: each element is as with its own numbers."""

import numpy as np
import pytest
from arguments import CLIPPED, FOCAL, good, message
from by_hand import (
    SIGMOIDS,
    asymmetric,
    close,
    focal,
    jax_once,  # noqa: F401
    some,
    ways,
)
from exact import dtype_name, exact_asymmetric, exact_family, ulps
from helpers import FAR, by_autodiff, promise

# Functions are called through their modules: by name, the jitting variants would compile each.
from xbce import _losses, derivatives, losses, nn
from xbce.testing import as_numpy

INF, NAN = np.inf, np.nan
ROWS = 6
GAMMAS = np.asarray([0.0, 0.5, 2.0, 5.0, 1.0])
OTHERS = np.asarray([2.0, 5.0, 0.0, 0.5, 3.0])
ALPHAS = np.asarray([0.25, 0.0, 1.0, 0.5, 0.75])
CLASSES = len(GAMMAS)
CLIP = 0.1


def focal_at(z, x, alpha, gamma):
    return nn.sigmoid_focal_loss(labels=z, logits=x, alpha=alpha, gamma=gamma)


def asymmetric_at(z, x, positive, negative):
    return nn.asymmetric_sigmoid_loss(
        labels=z, logits=x, gamma_positive=positive, gamma_negative=negative, clip=CLIP
    )


def focal_slopes(z, x, alpha, gamma):
    return derivatives.gradient_hessian(labels=z, logits=x, alpha=alpha, gamma=gamma)


def asymmetric_slopes(z, x, positive, negative):
    return derivatives.asymmetric_sigmoid_gradient_hessian(
        labels=z, logits=x, gamma_positive=positive, gamma_negative=negative, clip=CLIP
    )


RECORDS = {"focal": _losses.FOCAL, "asymmetric": _losses.ASYMMETRIC}
KINDS = {
    "focal": (focal_at, focal_slopes, ALPHAS, GAMMAS, exact_family),
    "asymmetric": (asymmetric_at, asymmetric_slopes, GAMMAS, OTHERS, exact_asymmetric),
}


def exactly(kind, z, x, first, second):
    if kind == "focal":
        return exact_family(z, x, 1.0, first, second)
    return exact_asymmetric(z, x, first, second, CLIP)


def operands(far=4.0):
    """Hard labels and logits; where p**5 is far from the smallest numbers."""
    rng = np.random.default_rng(6)
    return (rng.random((ROWS, CLASSES)) < 0.5).astype(float), far * rng.normal(size=(ROWS, CLASSES))


def shapes(values):
    """One number a class, in every shape that one may give them."""
    yield values
    yield values[None]
    yield np.broadcast_to(values, (ROWS, CLASSES)).copy()


@pytest.fixture
def large(xp, device):
    """As `array`, in one chunk."""
    return lambda values, dtype: xp.asarray(values, dtype=dtype, device=device)


# --- the digits -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_one_number_a_class_keeps_the_digits(large, xp, dtype, kind):
    call, _, first, second, _ = KINDS[kind]
    name = dtype_name(dtype)
    z, x = operands(1.5 if name == "float16" else 4.0)
    arrays = large(z, dtype), large(x, dtype)
    logits = as_numpy(arrays[1]).astype(float)
    columns = [
        exactly(kind, z[:, n], logits[:, n], float(first[n]), float(second[n]))[0]
        for n in range(CLASSES)
    ]
    want = np.stack(columns, axis=1)
    wide = "float64" if name == "float64" else "float32"
    limit = promise(name, RECORDS[kind].promised(wide))
    for ones, others in some(xp, zip(shapes(first), shapes(second), strict=True), 20):
        for way in ways(xp):
            with way():
                found = call(*arrays, large(ones, dtype), large(others, dtype))
            assert found.dtype == dtype
            assert ulps(found, want) <= limit, ones.shape


@pytest.mark.parametrize("kind", KINDS)
def test_a_loop_over_numbers_gives_the_same(large, xp, kind):
    """And so do the derivatives; at infinity too, where 0**0 would be NaN."""
    call, slopes, first, second, _ = KINDS[kind]
    z, x = (a.ravel() for a in np.meshgrid([0, 1, 0.25], [*FAR[:9], INF, -INF, 30, -30]))
    wide = [np.repeat(a[:, None], CLASSES, axis=1) for a in (z, x)]
    arrays = [large(a, xp.float32) for a in wide]
    for ones, others in some(
        xp, zip((first, first[None]), (second, second[None]), strict=True), 20
    ):
        given = large(ones, xp.float32), large(others, xp.float32)
        for way in ways(xp):
            with way():
                found = [call(*arrays, *given), *slopes(*arrays, *given)]
            for n in some(xp, range(CLASSES), 40):
                one = [large(a[:, n], xp.float32) for a in wide]
                numbers = float(first[n]), float(second[n])
                loop = [call(*one, *numbers), *slopes(*one, *numbers)]
                for part, want in zip(found, loop, strict=True):
                    assert not np.any(np.isnan(as_numpy(want)))
                    np.testing.assert_allclose(
                        as_numpy(part)[:, n],
                        as_numpy(want),
                        rtol=48 * 2**-23,
                        atol=1e-7,
                        err_msg=str(numbers),
                    )


@pytest.mark.parametrize("kind", KINDS)
def test_an_array_beside_a_number(array, xp, kind):
    """One of two may be either, of any rank up to that of the logits."""
    call, slopes, first, second, _ = KINDS[kind]
    z, x = operands(1.5)
    arrays = array(z), array(x)
    column = np.linspace(0.5, 1, ROWS)[:, None]
    pairs = [
        (array(first), 2.0, first, 2.0),
        (0.5, array(second), 0.5, second),
        (array(0.5), array(2.0), 0.5, 2.0),
        (array(column), array(second), column, second),
    ]
    for ones, others, by_hand, other_by_hand in some(xp, pairs, 40):
        if kind == "focal":
            value, slope = focal(z, x, by_hand, np.asarray(other_by_hand))
        else:
            value, slope = asymmetric(z, x, by_hand, other_by_hand, CLIP)
        for way in ways(xp):
            with way():
                close(call(*arrays, ones, others), value)
                close(slopes(*arrays, ones, others)[0], slope)


@pytest.mark.parametrize("kind", KINDS)
def test_second_derivatives_too(array, xp, kind):
    _, slopes, first, second, _ = KINDS[kind]
    z, x = operands(1.5)
    want = [
        exactly(kind, z[:, n], x[:, n], float(first[n]), float(second[n])) for n in range(CLASSES)
    ]
    for way in ways(xp):
        with way():
            found = slopes(array(z), array(x), array(first), array(second))
        for part, at in zip(found, (1, 2), strict=True):
            close(part, np.stack([column[at] for column in want], axis=1))


@pytest.mark.parametrize("kind", ["focal", "asymmetric"])
def test_weighted_and_reduced(array, xp, kind):
    function, both, _ = SIGMOIDS[kind]
    z, x = operands(1.5)
    w, mask = np.random.default_rng(1).random((ROWS, 1)), np.random.default_rng(2).random(z.shape)
    keep = mask < 0.7
    names = ("alpha", "gamma") if kind == "focal" else ("gamma_positive", "gamma_negative")
    first, second = KINDS[kind][2:4]
    given = {names[0]: array(first), names[1]: array(second)}
    if kind == "asymmetric":
        given["clip"] = CLIP
    formula = focal if kind == "focal" else lambda *a: asymmetric(*a, CLIP)
    values, slopes = formula(z, x, first, second)
    total = np.sum(w * keep, axis=0)
    how = {"where": array(keep, xp.bool), "axis": 0, "reduction": "weighted_mean", **given}
    for way in ways(xp):
        with way():
            value, slope = both(array(z), array(x), array(w), **how)
            close(function(array(z), array(x), array(w), **how), (values * w * keep).sum(0) / total)
        close(value, (values * w * keep).sum(0) / total)
        close(slope, slopes * w * keep / total)


def test_what_is_masked_out_of_an_array_does_no_harm(array, xp):
    """NaN among parameters, where the loss is left out by a mask or an ignored label."""
    z, x = operands(1.5)
    keep = np.random.default_rng(2).random(z.shape) < 0.6
    bad = np.resize([NAN, INF, -INF, -1.0], z.shape)

    def planted(values):
        return array(np.where(keep, np.broadcast_to(values, z.shape), bad))

    ignored = array(np.where(keep, z, -1), xp.int32)
    cases = [
        (
            "focal",
            {"alpha": planted(ALPHAS), "gamma": planted(GAMMAS)},
            focal(z, x, ALPHAS, GAMMAS),
        ),
        (
            "asymmetric",
            {
                "gamma_positive": planted(GAMMAS),
                "gamma_negative": planted(OTHERS),
                "clip": CLIP,
            },
            asymmetric(z, x, GAMMAS, OTHERS, CLIP),
        ),
    ]
    for kind, parameters, (values, slopes) in cases:
        _, both, _ = SIGMOIDS[kind]
        for way in ways(xp):
            with way():
                found = [
                    both(array(z), array(x), where=array(keep, xp.bool), **parameters),
                    both(ignored, array(x), ignore_index=-1, **parameters),
                ]
            for value, slope in found:
                close(value, values[keep].mean(), kind)
                close(slope, slopes * keep / keep.sum(), kind)
    gradient = derivatives.gradient(
        labels=array(z), logits=array(x), where=array(keep, xp.bool), **cases[0][1]
    )
    close(gradient, cases[0][2][1] * keep)


def test_arrays_of_integers_and_other_floats(array, xp):
    z, x = operands(1.5)
    want = focal(z, x, None, np.asarray([0, 1, 2, 3, 5]))[0]
    gammas = array([0, 1, 2, 3, 5], xp.int32)
    close(nn.sigmoid_focal_loss(labels=array(z), logits=array(x), gamma=gammas), want)
    found = nn.sigmoid_focal_loss(labels=array(z), logits=array(x), gamma=gammas)
    assert found.dtype == xp.float32


# --- autodiff -----------------------------------------------------------------------


@pytest.mark.needs("autodiff")
@pytest.mark.parametrize("kind", KINDS)
def test_autodiff_is_the_closed_form(xp, array, kind):
    call, slopes, first, second, _ = KINDS[kind]
    labels, logits = (a.ravel() for a in np.meshgrid([0, 1, 0.25], FAR))
    z, x = (array(np.repeat(a[:, None], CLASSES, axis=1)) for a in (labels, logits))
    given = array(first), array(second)

    def loss(z, x):
        return call(z, x, *given)

    slope, _ = slopes(z, x, *given)
    (found,) = by_autodiff(loss, z, x, second=False)
    np.testing.assert_allclose(as_numpy(found), as_numpy(slope), rtol=1e-4, atol=1e-6)
    for n in some(xp, range(3), 20):  # the second derivative, of each class
        column = [array(np.repeat(a[:, None], 1, axis=1)) for a in (labels, logits)]
        own = array(first[n : n + 1]), array(second[n : n + 1])
        _, bend = slopes(*column, *own)
        _, found = by_autodiff(lambda z, x, own=own: call(z, x, *own), *column)
        np.testing.assert_allclose(as_numpy(found), as_numpy(bend), rtol=1e-4, atol=1e-6)


@pytest.mark.needs("autodiff")
def test_masked_parameters_leak_into_no_gradient(array, xp):
    z, x = operands(1.5)
    keep = np.random.default_rng(2).random(z.shape) < 0.6
    gamma = array(np.where(keep, GAMMAS, NAN))

    def loss(z, x):
        return losses.sigmoid_focal_loss(z, x, gamma=gamma, where=array(keep, xp.bool))

    (slope,) = by_autodiff(loss, array(z), array(x), second=False)
    close(slope, focal(z, x, None, GAMMAS)[1] * keep / keep.sum())


# --- libraries ----------------------------------------------------------------------


@pytest.mark.backend("jax")
@pytest.mark.parametrize("kind", KINDS)
def test_jax_traces_and_maps_them(kind):
    jax = pytest.importorskip("jax")
    call, slopes, first, second, _ = KINDS[kind]
    z, x = operands(1.5)
    formula = focal if kind == "focal" else lambda *a: asymmetric(*a, CLIP)
    value, slope = formula(z, x, first, second)
    arrays = [jax.numpy.asarray(a.astype("f4")) for a in (z, x, first, second)]
    close(jax.jit(call)(*arrays), value)
    close(jax.jit(slopes)(*arrays)[0], slope)
    close(
        jax.jit(jax.vmap(call, in_axes=1, out_axes=1))(*arrays[:2], *(a[None] for a in arrays[2:])),
        value,
    )
    alone = formula(z, x, np.asarray(0.5), np.asarray(2.0))[0]
    close(jax.jit(call)(*arrays[:2], 0.5, 2.0), alone)  # of rank 0


@pytest.mark.backend("torch")
@pytest.mark.parametrize("kind", KINDS)
def test_pytorch_compiles_and_maps_them(kind):
    torch = pytest.importorskip("torch")
    torch._dynamo.reset()
    call, _, first, second, _ = KINDS[kind]
    z, x = operands(1.5)
    formula = focal if kind == "focal" else lambda *a: asymmetric(*a, CLIP)
    value, slope = formula(z, x, first, second)
    arrays = [torch.from_numpy(a) for a in (z, x, first, second)]
    close(torch.vmap(call, in_dims=(1, 1, 0, 0), out_dims=1)(*arrays), value)
    close(torch.func.grad(lambda x: call(arrays[0], x, *arrays[2:]).sum())(arrays[1]), slope)
    compiled = torch.compile(call, fullgraph=True, backend="eager")
    close(compiled(*arrays), value)
    logits = arrays[1].clone().requires_grad_()
    compiled(arrays[0], logits, *arrays[2:]).sum().backward()
    close(logits.grad, slope)


@pytest.mark.backend("dask")
@pytest.mark.parametrize("kind", KINDS)
def test_dask_cuts_them_with_the_logits(kind):
    dask, da = pytest.importorskip("dask"), pytest.importorskip("dask.array")

    def scheduler(*args, **kwargs):
        raise AssertionError("computed")

    call, slopes, first, second, _ = KINDS[kind]
    z, x = operands(1.5)
    rows = x[:, 0] > 0
    for chunks in ((6, 5), (2, 2), (4, 1)):
        for full in (False, True):
            given = [np.broadcast_to(a, z.shape).copy() if full else a for a in (first, second)]
            with dask.config.set(scheduler=scheduler):
                lazy = [da.from_array(a, chunks=chunks[-a.ndim :]) for a in (z, x, *given)]
                found = [call(*lazy), *slopes(*lazy)]
                unknown = [a[lazy[1][:, 0] > 0] if a.ndim == 2 else a for a in lazy]
                some_rows = call(*unknown)
            want = [call(z, x, *given), *slopes(z, x, *given)]
            for one, other in zip(found, want, strict=True):
                np.testing.assert_allclose(one.compute(), other, rtol=1e-11, atol=1e-14)
            np.testing.assert_allclose(some_rows.compute(), want[0][rows], rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_large_arrays(xp, large, kind):
    if not xp.__name__.endswith(("compat.numpy", "torch")):
        pytest.skip("large arrays are for NumPy and PyTorch")
    call, slopes, first, second, _ = KINDS[kind]
    rng = np.random.default_rng(6)
    x = 2 * rng.normal(size=(2**16, CLASSES))
    z = (rng.random(x.shape) < 0.5).astype(float)
    formula = focal if kind == "focal" else lambda *a: asymmetric(*a, CLIP)
    value, slope = formula(z, x, first, second)
    for given in (
        (first, second),
        tuple(np.broadcast_to(a, x.shape).copy() for a in (first, second)),
    ):
        arrays = [large(a, xp.float64) for a in (z, x, *given)]
        np.testing.assert_allclose(as_numpy(call(*arrays)), value, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(as_numpy(slopes(*arrays)[0]), slope, rtol=1e-9, atol=1e-12)


# --- errors -------------------------------------------------------------------------

ARRAYS = [
    *((function, argument) for function in FOCAL for argument in ("alpha", "gamma")),
    *(
        (function, argument)
        for function in CLIPPED
        for argument in ("gamma_positive", "gamma_negative")
    ),
]


@pytest.mark.parametrize("shape", [(3,), (3, 3), (1, 3, 2), (2, 3, 2)], ids=str)
@pytest.mark.parametrize(("function", "argument"), ARRAYS)
def test_arrays_that_do_not_broadcast_to_the_logits(function, argument, shape, array):
    text = message(
        ValueError, function, **good(function, array), **{argument: array(np.ones(shape))}
    )
    assert f"`{argument}` must broadcast" in text


@pytest.mark.backend("torch")
@pytest.mark.parametrize(("function", "argument"), ARRAYS)
def test_arrays_of_another_library(function, argument):
    torch = pytest.importorskip("torch")
    arguments = good(function, torch.from_numpy) | {argument: np.ones(2)}
    assert f"`{argument}`" in message(TypeError, function, **arguments)
