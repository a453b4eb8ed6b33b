"""The asymmetric loss, against its definition in arbitrary precision."""

from functools import cache

import mpmath
import numpy as np
import pytest
from by_hand import (
    close,
    jax_once,  # noqa: F401
    some,
    ways,
)
from exact import dtype_name, exact_asymmetric, ulps
from helpers import FAR, by_autodiff, promise

# Functions are called through their modules: by name, the jitting variants would compile each.
from xbce import derivatives, losses, nn
from xbce.losses import Reduction
from xbce.testing import as_numpy, ulp_error

INF = np.inf
NAMES = ("gamma_positive", "gamma_negative", "clip")
COMBINATIONS = [
    (1.0, 4.0, 0.05),
    (0.0, 0.0, 0.0),
    (0.0, 0.0, 0.2),
    (0.5, 5.0, 0.5),
    (5.0, 0.5, 0.9),
    (2.0, 2.0, 0.0),
    (5.0, 5.0, 0.05),
    (0.0, 1.0, 0.2),
    (1.5, 3.0, 0.9),
    (4.0, 0.0, 0.05),
    (3.0, 1.0, 0.5),
    (1.0, 0.25, 0.2),
]


def options_of(parameters):
    return dict(zip(NAMES, parameters, strict=True))


@pytest.fixture
def large(xp, device):
    """As `array`, in one chunk."""
    return lambda values, dtype: xp.asarray(values, dtype=dtype, device=device)


def rounded_to(name, values):
    """The values as this dtype has them."""
    if name == "bfloat16":
        bits = np.asarray(values, "f4").view("u4")
        return (bits & 0xFFFF0000).view("f4").astype(float)
    return np.asarray(values).astype(name).astype(float)


@cache
def points(name, clip):
    """Labels and logits of every kind, next to the logit of the clip from both sides."""
    far = {"float16": 9.0, "float64": 600.0}.get(name, 80.0)
    x = far * np.asarray([0, 1e-6, 1e-3, 0.01, 0.03, 0.1, 0.2, 0.5, 0.9, 1])
    near = []
    if clip:
        corner = float(mpmath.log(mpmath.mpf(clip)) - mpmath.log1p(-mpmath.mpf(clip)))
        at = rounded_to(name, [corner])[0]
        ulp = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23}.get(name, 2.0**-52)
        step = max(abs(at), ulp) * ulp
        near = [at + n * step for n in (-1e4, -50, -3, -2, -1, 0, 1, 2, 3, 10, 50, 1e4, 1e5)]
        if not name.endswith("16"):
            near += [at * (1 + s) for s in (-0.1, -1e-3, 1e-3, 0.1)]
    x = rounded_to(name, np.concatenate([x, -x, near]))
    z = rounded_to(name, np.asarray([0, 1, 0.3, 0.999]))
    return tuple(a.ravel() for a in np.meshgrid(z, np.unique(x)))


@cache
def exactly(name, parameters):
    """What is promised at these points: values, derivatives, sizes of their terms, and where."""
    z, x = points(name, parameters[2])
    # 16 bits are computed in float32.
    tiny = np.finfo("float64" if name == "float64" else "float32").smallest_normal
    found = exact_asymmetric(z, x, *parameters)
    return z, x, found, *terms(z, x, *parameters, float(tiny))


def terms(z, x, gamma_positive, gamma_negative, clip, tiny):
    """The terms of both derivatives as if positive, and where all powers, and all terms of the loss
    with them, are normal numbers."""

    def one(z, x):
        z, x = mpmath.mpf(float(z)), mpmath.mpf(float(x))
        p, r = 1 / (1 + mpmath.exp(-x)), 1 / (1 + mpmath.exp(x))
        first = second = mpmath.mpf(0)
        normal = whole = True
        for share, u, g in (
            (z, r, mpmath.mpf(gamma_positive)),
            (1 - z, p - mpmath.mpf(clip), mpmath.mpf(gamma_negative)),
        ):
            if not share or u <= 0:
                continue
            log, rest = -mpmath.log(1 - u), 1 / (1 - u)
            slope = g * u ** (g - 1) * log + u**g * rest
            bend = (
                abs(g * (g - 1)) * u ** (g - 2) * log + 2 * g * u ** (g - 1) * rest + u**g * rest**2
            )
            first += share * slope * p * r
            second += share * (bend * (p * r) ** 2 + slope * p * r)
            normal &= bool(u**g >= tiny)
            whole &= bool(u**g * log * p * r >= tiny)
        return float(first), float(second), normal, normal and whole

    with mpmath.workdps(400):
        return np.vectorize(one, otypes=[float, float, bool, bool])(z, x)


def worst(found, want, normal, scale=None):
    """The largest error in ulp where the powers are normal numbers."""
    assert np.count_nonzero(normal) > 40
    return float(np.max(np.asarray(ulp_error(found, want, scale))[normal]))


# --- digits -------------------------------------------------------------------------


def test_it_keeps_the_digits(xp, large, dtype):
    name = dtype_name(dtype)
    limit = promise(name, 32 if name == "float64" else 48)
    for parameters in some(xp, COMBINATIONS, 30 if name != "bfloat16" else 10):
        z, x, (loss, *_), _, _, normal, _ = exactly(name, parameters)
        for way in ways(xp):
            with way():
                found = nn.asymmetric_sigmoid_loss(
                    labels=large(z, dtype), logits=large(x, dtype), **options_of(parameters)
                )
            assert found.dtype == dtype
            error = worst(found, loss, normal)
            assert error <= limit, (parameters, error)


def test_derivatives_keep_the_digits_of_their_terms(xp, large, dtype):
    """Of the sum of their terms as if these were positive, which is what may cancel."""
    name = dtype_name(dtype)
    limit = promise(name, 32 if name == "float64" else 48)
    for parameters in some(xp, COMBINATIONS, 30 if name != "bfloat16" else 10):
        z, x, (_, slope, bend), first, second, _, normal = exactly(name, parameters)
        arrays = {"labels": large(z, dtype), "logits": large(x, dtype)}
        for way in ways(xp):
            with way():
                alone = derivatives.asymmetric_sigmoid_gradient(**arrays, **options_of(parameters))
                both = derivatives.asymmetric_sigmoid_gradient_hessian(
                    **arrays, **options_of(parameters)
                )
            for found, want, scale in (
                (alone, slope, first),
                (both[0], slope, first),
                (both[1], bend, second),
            ):
                error = worst(found, want, normal, scale)
                assert error <= limit, (parameters, error)


@pytest.mark.backend("numpy")
@pytest.mark.parametrize("parameters", COMBINATIONS[:5], ids=str)
def test_derivatives_are_differences_of_the_definition(parameters):
    """Which owe nothing to a chain rule."""
    gamma_positive, gamma_negative, clip = map(mpmath.mpf, parameters)

    def definition(z, x):
        p = 1 / (1 + mpmath.exp(-x))
        below = max(p - clip, 0)
        power = below**gamma_negative if below else 0
        return -z * (1 - p) ** gamma_positive * mpmath.log(p) - (1 - z) * power * mpmath.log(
            1 - below
        )

    z, x = (a.ravel() for a in np.meshgrid([0, 1, 0.3], [-7.1, -2.5, -0.3, 0.4, 1.9, 3.3, 8.2]))
    want, first, second = [], [], []
    with mpmath.workdps(80):
        step = mpmath.mpf(10) ** -20
        for label, logit in zip(map(mpmath.mpf, z), map(mpmath.mpf, x), strict=True):
            low, middle, high = (definition(label, logit + n * step) for n in (-1, 0, 1))
            want.append(float(middle))
            first.append(float((high - low) / (2 * step)))
            second.append(float((high - 2 * middle + low) / step**2))
    slope, bend = derivatives.asymmetric_sigmoid_gradient_hessian(
        labels=z, logits=x, **options_of(parameters)
    )
    np.testing.assert_allclose(slope, first, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(bend, second, rtol=1e-12, atol=1e-15)
    value = nn.asymmetric_sigmoid_loss(labels=z, logits=x, **options_of(parameters))
    np.testing.assert_allclose(value, want, rtol=1e-12)


# --- infinity, and NaN ----------------------------------------------------------------


def test_certain_and_right_is_0_and_certain_and_wrong_infinite(xp, array, dtype):
    z, x = array([1.0, 0.0, 1.0, 0.0], dtype), array([INF, -INF, -INF, INF], dtype)
    for parameters in some(xp, COMBINATIONS, 30):
        options = options_of(parameters)
        found = as_numpy(nn.asymmetric_sigmoid_loss(labels=z, logits=x, **options))
        slope, bend = map(
            as_numpy,
            derivatives.asymmetric_sigmoid_gradient_hessian(labels=z, logits=x, **options),
        )
        np.testing.assert_array_equal(found[:3], [0, 0, INF])
        np.testing.assert_array_equal(slope[:2], [0, 0])
        np.testing.assert_array_equal(bend[:2], [0, 0])
        np.testing.assert_allclose(slope[2], -1, rtol=4e-3)
        # A clip takes off what is certain too: 1 - p_m is no 0.
        clip, power = parameters[2], (1 - parameters[2]) ** parameters[1]
        wrong = power * -np.log(clip) if clip else INF
        np.testing.assert_allclose(found[3], wrong, rtol=8e-3)
        np.testing.assert_allclose(slope[3], 0 if clip else 1, rtol=4e-3)
        np.testing.assert_array_equal(bend[2:], [0, 0])


def test_nan_comes_out_where_it_went_in_and_nowhere_else(xp, large):
    z, x = (a.ravel() for a in np.meshgrid([0, 1, 0.25, 6e-8, 1 - 6e-8, np.nan], [*FAR, np.nan]))
    arrays = {"labels": large(z, xp.float32), "logits": large(x, xp.float32)}
    wanted = np.isnan(z) | np.isnan(x)
    for parameters in some(xp, COMBINATIONS, 30):
        options = options_of(parameters)
        for way in ways(xp):
            with way():
                found = nn.asymmetric_sigmoid_loss(**arrays, **options)
                both = derivatives.asymmetric_sigmoid_gradient_hessian(**arrays, **options)
            for part in (found, *both):
                # The second derivative at the very corner is infinite for a gamma below 1.
                np.testing.assert_array_equal(
                    np.isnan(as_numpy(part)), wanted, err_msg=str(parameters)
                )
            assert np.all(as_numpy(found)[~wanted] >= 0)


@pytest.mark.backend("numpy")
def test_numpy_never_warns():
    z, x = (a.ravel() for a in np.meshgrid([0, 1, 0.25], [*FAR, -2.9444389791664403, 1e-310]))
    for parameters in COMBINATIONS:
        with np.errstate(all="raise", under="ignore"):
            nn.asymmetric_sigmoid_loss(labels=z, logits=x, **options_of(parameters))
            derivatives.asymmetric_sigmoid_gradient_hessian(
                labels=z, logits=x, **options_of(parameters)
            )


# --- other losses that it contains ----------------------------------------------------


def test_without_gammas_and_clip_it_is_the_plain_loss(xp, large):
    z, x = points("float32", 0.0)
    arrays = {"labels": large(z, xp.float32), "logits": large(x, xp.float32)}
    none = options_of((0.0, 0.0, 0.0))
    found = nn.asymmetric_sigmoid_loss(**arrays, **none)
    assert ulps(found, as_numpy(nn.sigmoid_cross_entropy_with_logits(**arrays))) <= 8
    both = derivatives.asymmetric_sigmoid_gradient_hessian(**arrays, **none)
    for one, other in zip(both, derivatives.gradient_hessian(**arrays), strict=True):
        np.testing.assert_allclose(as_numpy(one), as_numpy(other), rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("gamma", [0.5, 2.0, 5.0])
def test_of_hard_labels_with_equal_gammas_it_is_the_focal_loss(xp, large, gamma):
    z, x = points("float32", 0.0)
    hard = (z == 0) | (z == 1)
    arrays = {"labels": large(z[hard], xp.float32), "logits": large(x[hard], xp.float32)}
    same = options_of((gamma, gamma, 0.0))
    one = as_numpy(nn.asymmetric_sigmoid_loss(**arrays, **same))
    other = as_numpy(nn.sigmoid_focal_loss(**arrays, gamma=gamma))
    np.testing.assert_allclose(one, other, rtol=48 * 2**-23, atol=1e-36)
    both = derivatives.asymmetric_sigmoid_gradient_hessian(**arrays, **same)
    for one, other in zip(both, derivatives.gradient_hessian(**arrays, gamma=gamma), strict=True):
        np.testing.assert_allclose(as_numpy(one), as_numpy(other), rtol=1e-5, atol=1e-7)


def test_the_defaults_are_those_of_the_paper(array):
    z, x = array([1.0, 0.0, 0.0]), array([0.5, 0.5, -4.0])
    found = nn.asymmetric_sigmoid_loss(labels=z, logits=x)
    close(found, exact_asymmetric(as_numpy(z), as_numpy(x), 1.0, 4.0, 0.05)[0])
    assert as_numpy(found)[2] == 0  # its probability is below the clip


def test_weighted_smoothed_and_with_a_weight_of_positives(xp, array):
    rng = np.random.default_rng(3)
    x, z = 2 * rng.normal(size=(4, 3)), (rng.random((4, 3)) < 0.5).astype(float)
    w, q = rng.random((4, 1)), np.asarray([0.5, 1.0, 3.0])
    positive, slope_positive, _ = exact_asymmetric(1 + 0 * z, x, 1.0, 4.0, 0.05)
    negative, slope_negative, _ = exact_asymmetric(0 * z, x, 1.0, 4.0, 0.05)
    for smoothing in (0, 0.2):
        soft = z * (1 - smoothing) + smoothing / 2
        want = np.sum((q * soft * positive + (1 - soft) * negative) * w) / (3 * w.sum())
        slopes = (q * soft * slope_positive + (1 - soft) * slope_negative) * w / (3 * w.sum())
        arguments = array(z), array(x), array(w), smoothing
        how = {"pos_weight": array(q), "reduction": Reduction.MEAN}
        for way in ways(xp):
            with way():
                value, slope = derivatives.asymmetric_sigmoid_value_and_grad(*arguments, **how)
                close(losses.asymmetric_sigmoid_loss(*arguments, **how), want)
            close(value, want)
            close(slope, slopes)


# --- autodiff -----------------------------------------------------------------------


@pytest.mark.needs("autodiff")
def test_autodiff_is_the_closed_form(xp, array):
    labels, logits = (
        a.reshape(-1, 1) for a in np.meshgrid([0, 1, 0.25], [*FAR, -2.944439, -2.9, 1.0, 0.3])
    )
    z, x = array(labels), array(logits)
    for parameters in some(xp, COMBINATIONS, 40):
        options = options_of(parameters)

        def loss(z, x, options=options):
            return nn.asymmetric_sigmoid_loss(labels=z, logits=x, **options)

        closed = derivatives.asymmetric_sigmoid_gradient_hessian(labels=z, logits=x, **options)
        for actual, desired in zip(by_autodiff(loss, z, x), closed, strict=True):
            assert not np.any(np.isnan(as_numpy(desired)))
            np.testing.assert_allclose(
                as_numpy(actual),
                as_numpy(desired),
                rtol=1e-4,
                atol=1e-6,
                err_msg=str(parameters),
            )


@pytest.mark.needs("autodiff")
@pytest.mark.parametrize("parameters", COMBINATIONS[:1] + COMBINATIONS[8:9], ids=str)
def test_value_and_autodiff_keep_the_digits_from_the_corner_to_far_out(
    xp, large, dtype, parameters
):
    """Where libraries have log1p and the derivative of expm1 with fewer digits than near 0."""
    name = dtype_name(dtype)
    if name.endswith("16"):
        pytest.skip("computed in float32")
    limit = 32 if name == "float64" else 48
    x = np.concatenate([np.linspace(-6, 6, 121), np.arange(7, 80, 4), [300, 574.435, 700]])
    x = x[x < (80 if name == "float32" else 701)]
    z, x = (a.ravel() for a in np.meshgrid([0, 1, 0.3], rounded_to(name, x)))
    value, slope, _ = exact_asymmetric(z, x, *parameters)
    terms_of_slope, _, _, normal = terms(z, x, *parameters, float(np.finfo(name).smallest_normal))

    def loss(z, x):
        return nn.asymmetric_sigmoid_loss(labels=z, logits=x, **options_of(parameters))

    z, x = large(z, dtype), large(x, dtype)
    assert worst(loss(z, x), value, normal) <= limit
    (found,) = by_autodiff(loss, z, x, second=False)
    assert worst(found, slope, normal, terms_of_slope) <= limit


@pytest.mark.backend("torch")
@pytest.mark.parametrize("clip", [0.0, 0.05])
def test_pytorch_compiles_it_whole(clip):
    torch = pytest.importorskip("torch")
    torch._dynamo.reset()
    z, x = (torch.from_numpy(a.copy()) for a in points("float64", clip))

    def call(z, x):
        return nn.asymmetric_sigmoid_loss(labels=z, logits=x, clip=clip)

    compiled = torch.compile(call, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(z, x), call(z, x), rtol=1e-12, atol=1e-300)


# --- errors -------------------------------------------------------------------------

OUT_OF_BOUNDS = [
    *(("clip", bad) for bad in (-0.01, 0.991, 1.0, np.nan, INF)),
    *((name, bad) for name in NAMES[:2] for bad in (-1e-9, -1.0, np.nan, INF, -INF)),
]
FUNCTIONS = [
    lambda z, x, **how: nn.asymmetric_sigmoid_loss(labels=z, logits=x, name="xyz", **how),
    lambda z, x, **how: losses.asymmetric_sigmoid_loss(z, x, scope="xyz", **how),
    lambda z, x, **how: derivatives.asymmetric_sigmoid_value_and_grad(z, x, scope="xyz", **how),
]


@pytest.mark.parametrize(("argument", "bad"), OUT_OF_BOUNDS)
def test_numbers_out_of_bounds(array, argument, bad):
    x = array(np.zeros(3))
    for function in FUNCTIONS:
        with pytest.raises(ValueError, match=rf"`{argument}` must be.*in 'xyz'"):
            function(x, x, **{argument: bad})
    for function in (
        derivatives.asymmetric_sigmoid_gradient,
        derivatives.asymmetric_sigmoid_gradient_hessian,
    ):
        with pytest.raises(ValueError, match=rf"`{argument}` must be"):
            function(labels=x, logits=x, **{argument: bad})


@pytest.mark.parametrize("argument", NAMES)
def test_what_is_no_number(array, argument):
    x = array(np.zeros(3))
    for bad in ("1", [1.0], 1j, None):
        for function in FUNCTIONS:
            with pytest.raises((TypeError, ValueError), match=rf"`{argument}`.*in 'xyz'"):
                function(x, x, **{argument: bad})


def test_bounds_are_within(array):
    x = array(np.zeros(3))
    for options in ({"clip": 0.99}, {"clip": 0}, {"gamma_positive": 0, "gamma_negative": 0}):
        found = nn.asymmetric_sigmoid_loss(labels=x, logits=x, **options)
        close(
            found,
            exact_asymmetric(
                np.zeros(3),
                np.zeros(3),
                *(
                    options.get(name, default)
                    for name, default in zip(NAMES, (1.0, 4.0, 0.05), strict=True)
                ),
            )[0],
        )
