"""The oracle agrees with an independent one, and the audit finds what it must."""

import dataclasses
import threading

import exact
import mpmath
import numpy as np
import pytest

import xbce
from xbce import _losses
from xbce.testing import audit, exact_gradient, exact_hessian, exact_loss, ulp_error

LOGITS = [0.0, -0.0, 1e-310, 1e-8, 0.5, -3.0, 37.5, -37.5, 300.0, -300.0, 745.0, 1e300]
LABELS = [0.0, 1.0, 0.5, 1 - 2.0**-53, 2.0**-40]


def grid():
    return (a.ravel() for a in np.meshgrid(LABELS, LOGITS))


@pytest.mark.parametrize("digits", [30, 50, 200])
def test_the_oracle_agrees_with_the_definition_to_all_its_digits(digits):
    labels, logits = grid()
    loss = exact_loss(labels=labels, logits=logits, digits=digits)
    gradient = exact_gradient(labels=labels, logits=logits, digits=digits)
    hessian = exact_hessian(labels=labels, logits=logits, digits=digits)
    for i, (z, x) in enumerate(zip(labels.tolist(), logits.tolist(), strict=True)):
        if abs(x) > 1000:
            continue  # the definition would need as many digits
        with mpmath.workdps(1000):
            z, x = mpmath.mpf(z), mpmath.mpf(x)
            p = 1 / (1 + mpmath.exp(-x))
            definition = -z * mpmath.log(p) - (1 - z) * mpmath.log(1 / (1 + mpmath.exp(x)))
            tolerance = mpmath.mpf(10) ** (2 - digits)
            assert abs(loss._data[i] - definition) <= tolerance * definition
            assert abs(gradient._data[i] - (p - z)) <= tolerance * (p + z)
            assert abs(hessian._data[i] - p * (1 - p)) <= tolerance * p * (1 - p)


def test_the_oracle_takes_any_library_and_dtype(array, dtype):
    z, x = array([1.0, 0.5], dtype), array([0.1, -2.0], dtype)
    wide = xbce.testing.as_numpy(z), xbce.testing.as_numpy(x)
    np.testing.assert_allclose(
        xbce.testing.as_numpy(exact_loss(labels=z, logits=x)), exact.exact_loss(*wide), rtol=1e-15
    )


def test_threads_do_not_change_each_others_precision():
    labels, logits = grid()
    wanted = {d: exact_loss(labels=labels, logits=logits, digits=d)._data for d in (20, 60, 150)}
    wrong = []

    def work(digits):
        for _ in range(10):
            got = exact_loss(labels=labels, logits=logits, digits=digits)._data
            if not np.array_equal(got, wanted[digits]):
                wrong.append(digits)

    before = mpmath.mp.prec
    threads = [threading.Thread(target=work, args=(d,)) for d in (20, 60, 150)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert mpmath.mp.prec == before


@pytest.mark.parametrize(
    ("actual", "true", "error"),
    [
        (1.0, 1.0, 0),
        (1.0 + 2.0**-23, 1.0, 1),
        (1.0 - 2.0**-24, 1.0, 0.5),
        (-2.0, -2.0 + 2.0**-22, 2),
        (np.inf, np.inf, 0),
        (np.inf, 1e39, 0),
        (np.inf, 1e38, np.inf),
        (-np.inf, 1e39, np.inf),
        (np.nan, np.nan, 0),
        (np.nan, 1.0, np.inf),
        (1.0, np.nan, np.inf),
        (2.0**-125, 0.0, 4),  # two of the smallest normal are 4 ulp
        (0.0, 2.0**-140, 2.0**-13),
    ],
)
def test_ulp_error(actual, true, error):
    found = ulp_error(np.asarray([actual], dtype=np.float32), np.asarray([true]))
    np.testing.assert_array_equal(found, [error])


def test_ulp_error_sees_fractions_of_an_ulp_of_float64():
    with mpmath.workdps(50):
        third = np.asarray([mpmath.mpf(1) / 3], dtype=object)
    assert 0.3 < ulp_error(np.asarray([1 / 3]), third)[0] < 0.4


# --- the audit ----------------------------------------------------------------


def ours(labels, logits):
    return xbce.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)


def our_gradient(labels, logits):
    return xbce.derivatives.gradient(labels=labels, logits=logits)


def test_the_audit_passes_this_library(xp):
    from xbce._backends import of

    backend = of(xp)
    dtypes = [name for name in backend.dtypes if hasattr(xp, name)]
    if xp.asarray([0.0], dtype=xp.float32).dtype != xp.float32:  # pragma: no cover
        pytest.skip("no float32")
    if backend.name == "jax" and "float64" not in xp.__array_namespace_info__().dtypes():
        dtypes.remove("float64")
    for gradient_fn in (our_gradient, None):
        audit(ours, xp, dtypes, gradient_fn=gradient_fn, samples=40).check(max_ulp=4)


@pytest.mark.parametrize("pos_weight", [1e-6, 0.3, 20.0, 1e6])
def test_it_passes_weighted_positives(pos_weight):
    def weighted(labels, logits):
        return xbce.nn.weighted_cross_entropy_with_logits(
            labels=labels, logits=logits, pos_weight=pos_weight
        )

    def gradient(labels, logits):
        return xbce.derivatives.gradient(labels=labels, logits=logits, pos_weight=pos_weight)

    audit(weighted, np, gradient_fn=gradient, pos_weight=pos_weight, samples=40).check(max_ulp=6)
    with pytest.raises(AssertionError):
        audit(weighted, np, pos_weight=2 * pos_weight, samples=10).check(max_ulp=6)


@pytest.mark.parametrize(("alpha", "gamma"), [(None, 0.5), (0.25, 2.0), (None, 5.0)])
@pytest.mark.parametrize(("dtype", "max_ulp"), [("float32", 24), ("float64", 16)])
def test_it_passes_the_focal_loss(alpha, gamma, dtype, max_ulp):
    def focal(labels, logits):
        return xbce.nn.sigmoid_focal_loss(labels=labels, logits=logits, alpha=alpha, gamma=gamma)

    audit(focal, np, [dtype], alpha=alpha, gamma=gamma, samples=40).check(max_ulp=max_ulp)


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_it_passes_the_softmax_and_fails_an_error_in_it(classes):
    def softmax(labels, logits):
        return xbce.nn.softmax_cross_entropy_with_logits(labels=labels, logits=logits)

    def planted(labels, logits):
        return softmax(labels, logits) * (1 + 40 * np.finfo(logits.dtype).eps)

    audit(softmax, np, classes=classes, samples=200).check(max_ulp=16)
    with pytest.raises(AssertionError, match=f"loss, (hard|soft) labels, {classes} classes"):
        audit(planted, np, classes=classes, samples=200).check(max_ulp=16)


def test_it_fails_what_cancels():
    torch = pytest.importorskip("torch")

    def peer(labels, logits):
        return torch.nn.functional.binary_cross_entropy_with_logits(
            logits, labels, reduction="none"
        )

    report = audit(peer, torch, samples=60)
    with pytest.raises(AssertionError, match=r"breaks \d+ promises of 4 ulp") as raised:
        report.check(max_ulp=4)
    assert "float32 loss, hard agreeing labels, large logits" in str(raised.value)
    assert "at label 1.0, logit inf: got nan, should be 0" in str(raised.value)
    assert report.largest("loss", "float32") > 1e6
    assert report.largest("gradient", "float64") > 1e6


def test_it_fails_a_wrong_gradient_at_zero():
    torch = pytest.importorskip("torch")

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, labels, logits):
            ctx.save_for_backward(labels, logits)
            return ours(labels, logits)

        @staticmethod
        def backward(ctx, upstream):
            labels, logits = ctx.saved_tensors
            slope = our_gradient(labels, logits)
            return None, upstream * torch.where(logits == 0, slope * 2, slope)

    report = audit(Wrong.apply, torch, ["float32"], samples=40)
    with pytest.raises(AssertionError, match=r"gradient at label 0\.0, logit -?0\.0: got 1\.0"):
        report.check()
    assert all(special.right for special in report.specials if special.quantity == "loss")


REGIONS = {
    "hard agreeing labels, tiny": lambda z, x: (z == (x > 0)) & (abs(x) < 1e-3),
    "hard disagreeing labels, moderate": lambda z, x: (z == (x <= 0)) & (abs(x) > 2) & (abs(x) < 8),
    "soft agreeing labels, moderate": lambda z, x: (
        (abs(z - (x > 0)) < 0.01) & (abs(x) > 0.1) & (abs(x) < 1) & (z % 1 > 0)
    ),
    "hard agreeing labels, large": lambda z, x: (z == (x > 0)) & (abs(x) > 20) & (abs(x) < 40),
}


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_fails_ten_ulp_in_one_region_only(region, dtype):
    def planted(labels, logits):
        losses = ours(labels, logits)
        with np.errstate(over="ignore"):
            inside = REGIONS[region](labels, logits)
        return np.where(inside, losses * (1 + 10 * np.finfo(dtype).eps), losses).astype(dtype)

    report = audit(planted, np, [dtype])
    with pytest.raises(AssertionError, match=region):
        report.check(max_ulp=4)
    assert {found.name for found in report.regions if found.largest > 4} == {region + " logits"}


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda z, x: ours(z, x).astype(np.float64), "the result has dtype float64"),
        (lambda z, x: ours(z, x)[None], r"the result has shape \(1,\), not \(\)"),
        (lambda z, x: ours(z, x) + np.negative(x, out=x) * 0, "an input was written to"),
        (lambda z, x: ours(z, x) if x.ndim else 1 / 0, "ZeroDivisionError"),
    ],
)
def test_it_fails_broken_rules(broken, message):
    with pytest.raises(AssertionError, match=message):
        audit(broken, np, ["float32"], samples=5).check(max_ulp=1e9)


def test_the_report_prints_and_converts():
    report = audit(ours, np, ["float32"], samples=10, name="xbce on NumPy")
    table = str(report)
    assert table.startswith("xbce on NumPy\n")
    assert "float32, hard agreeing labels, large logits" in table
    plain = report.to_dict()
    assert plain["name"] == "xbce on NumPy"
    assert len(plain["regions"]) == 16
    assert {"largest", "percentile_99", "worst", "dtype", "quantity", "name"} == set(
        plain["regions"][0]
    )
    assert report.failures() == []
    assert np.isnan(report.largest("gradient"))


def test_the_oracle_runs_the_library_s_own_formula(monkeypatch):
    def doubled(xp, *arrays, original=_losses.SIGMOID.value, **parameters):
        return 2 * original(xp, *arrays, **parameters)

    one = np.asarray([1.0])
    plain = exact_loss(labels=one, logits=one)._data[0]
    wrong = dataclasses.replace(_losses.SIGMOID, value=doubled)
    with mpmath.workdps(60):
        assert exact_loss(labels=one, logits=one, loss=wrong)._data[0] == 2 * plain
        monkeypatch.setattr(_losses, "SIGMOID", wrong)
        assert exact_loss(labels=one, logits=one)._data[0] == 2 * plain
