"""The focal loss at infinite logits, at any gamma, and at the labels closest to 0 and 1."""

from functools import cache

import mpmath
import numpy as np
import pytest
from formulas import as_tuple, by, by_jax, by_torch, by_torch_jvp, formulas_of, on_every_library

from xbce import derivatives, nn
from xbce._focal import (
    focal_gradient,
    focal_gradient_and_hessian,
    focal_loss,
    focal_value_and_gradient,
)
from xbce._formula import sigmoid_cross_entropy
from xbce._losses import FOCAL
from xbce.testing import as_numpy

INF = np.inf
numpy_only = pytest.mark.backend("numpy")
every_dtype = pytest.mark.parametrize("name", ["float32", "float64"])

LABELS = {
    "float32": [0, 1, 1e-45, 1e-38, 1e-30, 6e-8, 1 - 6e-8, 0.25, 0.5, 0.999],
    "float64": [0, 1, 5e-324, 1e-308, 1e-30, 1e-16, 1 - 1.2e-16, 0.25, 0.5, 0.999],
}
FAR = [0.0, -0.0, 1e-30, -1e-30, 1e-3, 1, -1, 20, -20, 60, -60, 85, -85, 500, -500]
FAR += [1e4, -1e4, 1e10, -1e10, 1e38, -1e38, 3e38, -3e38, INF, -INF]


def exact(z, x, q=1.0, alpha=None, gamma=2.0):
    """The focal loss, its gradient and its Hessian in 60 digits: limits at infinity included."""

    def one(z, x):
        z = mpmath.mpf(float(z))
        weight = mpmath.mpf(1) if alpha is None else alpha * z + (1 - mpmath.mpf(alpha)) * (1 - z)
        g = mpmath.mpf(gamma)
        if np.isinf(x):
            b, t = (1 - z, 1 - z) if x > 0 else (z, -q * z)
            return (INF if t * weight else 0.0), float(weight * t * b**g), 0.0
        x = mpmath.mpf(float(x))
        p, r = 1 / (1 + mpmath.exp(-x)), 1 / (1 + mpmath.exp(x))
        # log1p of numbers below 10^-60 needs no more digits: mpmath's is exact there.
        l0 = mpmath.log1p(mpmath.exp(-abs(x))) + max(x, 0)
        l1 = mpmath.log1p(mpmath.exp(-abs(x))) + max(-x, 0)
        loss, first = q * z * l1 + (1 - z) * l0, (1 - z) * p - q * z * r
        second = ((1 - z) + q * z) * p * r
        small = z * p + (1 - z) * r  # 1 - u
        u = z * r + (1 - z) * p
        f = mpmath.exp(g * (mpmath.log1p(-small) if small < 0.5 else mpmath.log(u)))
        rho = (1 - 2 * z) * p * r / u
        pull = g * rho
        both = first + pull * loss
        bend = second + 2 * pull * first + pull * ((g - 1) * rho + r - p) * loss
        return tuple(float(weight * f * value) for value in (loss, both, bend))

    with mpmath.workdps(60):
        return np.vectorize(one, otypes=[np.float64] * 3)(z, x)


def crossed(labels, logits, name):
    """Each of the labels with each of the logits."""
    return tuple(a.ravel().astype(name) for a in np.meshgrid(labels, logits))


def labels_for(name, gamma):
    """Labels of every kind; not those that 1 - z rounds away where it is raised to a large γ."""
    return LABELS[name] if gamma < 1e3 else [z for z in LABELS[name] if z in (0, 1) or 1e-3 < z < 1]


# --- infinite logits ----------------------------------------------------------------


@numpy_only
@every_dtype
@pytest.mark.parametrize("alpha", [None, 0.25, 0.0, 1.0])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1, 2, 50, 1e30, 1e305])
@pytest.mark.parametrize("q", [None, 2.5, 0.0])
def test_limits_at_infinity(name, alpha, gamma, q):
    z, x = crossed(labels_for(name, gamma), [INF, -INF], name)
    options = {"pos_weight": q, "alpha": alpha, "gamma": gamma}
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        loss = focal_loss(np, z, x, **options)
        slope, curve = focal_gradient_and_hessian(np, z, x, **options)
    want, gradient, _ = exact(z, x, 1.0 if q is None else q, alpha, gamma)
    np.testing.assert_array_equal(loss, want)
    tiny = np.finfo(name).smallest_normal
    np.testing.assert_allclose(slope, gradient, rtol=1e-5, atol=2 * tiny)
    np.testing.assert_array_equal(curve, 0)
    sure = z == (x > 0)
    assert np.all(loss[sure] == 0)
    assert np.all(slope[sure] == 0)


@pytest.mark.parametrize("gamma", [0.5, 2.0, 50.0])
def test_limits_at_infinity_on_every_backend(array, gamma):
    """No label makes NaN, and of those at the ends it is 1 - 1e-7 that once did."""
    z, x = crossed([0, 1, 6e-8, 1 - 6e-8, 0.25], [INF, -INF], "float32")
    options = {"alpha": 0.25, "gamma": gamma}
    want, gradient, _ = exact(z, x, **options)
    arrays = {"labels": array(z), "logits": array(x)}
    np.testing.assert_array_equal(as_numpy(nn.sigmoid_focal_loss(**arrays, **options)), want)
    slope, curve = map(as_numpy, derivatives.gradient_hessian(**arrays, **options))
    np.testing.assert_allclose(slope, gradient, rtol=1e-5, atol=1e-37)
    np.testing.assert_array_equal(curve, 0)


# --- any gamma ----------------------------------------------------------------------


@numpy_only
@every_dtype
@pytest.mark.parametrize("gamma", [0.5, 2, 50, 1e3, 1e10, 1e30, 1e38, 1e100, 1e305, 1.7e308])
def test_any_gamma_is_right_and_quiet(gamma, name):
    logits = [*FAR, 1e-9, 3e-37, 10, -30, 50, 69.5, -80, 103, -104, 650, 702, 710, -740, 745]
    z, x = crossed([0, 1, 0.25], logits, name)
    want = exact(z, x, gamma=gamma)
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        loss = focal_loss(np, z, x, gamma=gamma)
        slope, curve = focal_gradient_and_hessian(np, z, x, gamma=gamma)
    for actual, value in zip((loss, slope, curve), want, strict=True):
        np.testing.assert_allclose(actual, value, rtol=2e-3, atol=1e-30)


@cache
def at_all_points(name, gamma):
    """Labels, logits, and the first and second derivative of their focal loss."""
    z, x = crossed(labels_for(name, gamma), FAR, name)
    return z, x, *exact(z, x, 1.0, alpha=0.25, gamma=gamma)[1:]


GAMMAS = [0.5, 1, 2, 50, 1e10, 3e38, 1e305, 1.7e308]


@by(by_torch, by_torch_jvp, by_jax)
@every_dtype
@pytest.mark.parametrize("gamma", GAMMAS)
def test_autodiff_is_right_at_every_point(way, gamma, name):
    z, x, *derivatives = at_all_points(name, gamma)
    found = way(lambda xp, z, x: focal_loss(xp, z, x, alpha=0.25, gamma=gamma), z, x)
    for actual, want in zip(found, derivatives, strict=True):
        np.testing.assert_allclose(actual, want, rtol=1e-4, atol=1e-7)


@numpy_only
@every_dtype
@pytest.mark.parametrize("gamma", GAMMAS)
def test_closed_forms_are_right_at_every_point(gamma, name):
    z, x, *derivatives = at_all_points(name, gamma)
    with np.errstate(all="ignore"):
        found = focal_gradient_and_hessian(np, z, x, alpha=0.25, gamma=gamma)
    for actual, want in zip(found, derivatives, strict=True):
        np.testing.assert_allclose(actual, want, rtol=1e-4, atol=1e-7)


# --- digits -------------------------------------------------------------------------


@numpy_only
@pytest.mark.parametrize(("name", "limit"), [("float32", 24), ("float64", 16)])
@pytest.mark.parametrize("gamma", [0.25, 0.5, 1.5, 3, 5, 8])
@pytest.mark.parametrize("hard", [True, False])
def test_the_digits_that_are_promised(name, limit, gamma, hard):
    x = (700.0 if name == "float64" else 80.0) * np.asarray(
        [0, 1e-6, 1e-3, 0.004, 0.01, 0.03, 0.2, 0.5, 0.9, 1]
    )
    labels = [0, 1] if hard else [0.5, 0.001, 0.999, 0.3]
    z, x = crossed(labels, np.concatenate([x, -x]), name)
    want = exact(z, x, gamma=gamma)[0]
    smallest = np.finfo(name).smallest_normal
    error = np.abs(focal_loss(np, z, x, gamma=gamma) - want)
    spacing = np.spacing(np.maximum(want, smallest).astype(name)).astype(float)
    assert np.max(np.maximum(error - 2 * float(smallest), 0) / spacing) <= limit


# --- one loss in several formulas ----------------------------------------------------


@numpy_only
@pytest.mark.parametrize("alpha", [None, 0.25])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_the_formulas_agree(gamma, alpha):
    rng = np.random.default_rng(0)
    x, z = 5 * rng.normal(size=1000), rng.integers(0, 3, 1000) / 2
    options = {"gamma": gamma, "alpha": alpha, "pos_weight": 2.5}
    loss, slope = focal_value_and_gradient(np, z, x, **options)
    np.testing.assert_array_equal(loss, focal_loss(np, z, x, **options))
    np.testing.assert_array_equal(slope, focal_gradient(np, z, x, **options))
    np.testing.assert_array_equal(slope, focal_gradient_and_hessian(np, z, x, **options)[0])
    if gamma == 0 and alpha is None:
        np.testing.assert_array_equal(loss, sigmoid_cross_entropy(np, z, x, pos_weight=2.5))


@on_every_library
@pytest.mark.parametrize(
    "parameters",
    [{}, {"pos_weight": 2.0, "alpha": 0.25, "gamma": 1.5}, {"alpha": 0.25, "gamma": 1e40}],
    ids=str,
)
def test_every_library_gives_the_numbers_of_numpy(library, parameters):
    z, x = np.asarray([[0.0, 0, 1], [0.25, 0.5, 0.25]]), np.asarray([[0.5, -INF, 3], [2, 2, -1]])
    call = library()
    with np.errstate(all="ignore"), mpmath.workdps(50):
        for formula in formulas_of(FOCAL, **parameters):
            wanted = as_tuple(formula(np, z, x))
            for one, other in zip(as_tuple(call(formula, z, x)), wanted, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-13)
