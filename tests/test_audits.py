"""The audits cover every loss of the table, pass it, and say clearly what they do not take."""

import json
import re

import numpy as np
import pytest
from table import CASES

import xbce
from xbce._evaluate import Weighting, evaluate
from xbce._losses import LOSSES
from xbce.losses import Reduction
from xbce.testing import (
    Report,
    as_numpy,
    assert_ulp,
    audit,
    audit_modes,
    audit_reduction,
    exact_loss,
)

QUANTITIES = ("loss", "gradient", "hessian")
numpy_only = pytest.mark.backend("numpy")


def of(loss, output, parameters):
    def function(labels, logits):
        arrays = {"labels": labels, "logits": logits}
        results = evaluate(loss, arrays, output=output, **parameters)
        return results[1] if isinstance(results, tuple) else results

    return function


@numpy_only
@pytest.mark.parametrize(("loss", "parameters"), CASES)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_every_loss_passes_with_its_derivatives(loss, parameters, dtype):
    if parameters.get("pos_weight") == 1e6 and dtype == "float16":
        pytest.skip("beyond the largest number of float16")
    second = None
    if loss.gradient_and_hessian is not None:
        second = of(loss, "gradient_and_hessian", parameters)
    report = audit(
        of(loss, "value", parameters),
        np,
        [dtype],
        loss=loss,
        gradient_fn=of(loss, "gradient", parameters),
        hessian_fn=second,
        samples=30,
        **parameters,
    )
    report.check({quantity: loss.promised(dtype, quantity) for quantity in QUANTITIES})
    measured = {region.quantity for region in report.regions}
    assert measured == set(QUANTITIES if second else QUANTITIES[:2])
    assert {special.quantity for special in report.specials} == measured
    assert len(report.rules) == 7 * len(measured)


@numpy_only
@pytest.mark.parametrize("quantity", ["gradient", "hessian"])
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_an_error_of_40_ulp_in_a_derivative_of_any_loss_is_found(loss, quantity):
    parameters = loss.examples()[0]
    if quantity == "hessian" and loss.gradient_and_hessian is None:
        return
    output = "gradient" if quantity == "gradient" else "gradient_and_hessian"
    right = of(loss, output, parameters)

    def wrong(labels, logits):
        return right(labels, logits) * (1 + 40 * np.finfo(logits.dtype).eps)

    given = {f"{quantity}_fn": wrong}
    report = audit(
        of(loss, "value", parameters), np, ["float64"], loss=loss, samples=40, **given, **parameters
    )
    assert report.largest(quantity) > 30
    assert report.largest("loss") <= loss.promised("float64")


@pytest.mark.parametrize("loss", ["sigmoid", "softmax", "sparse_softmax"])
@pytest.mark.parametrize(
    "library", [pytest.param(n, marks=pytest.mark.backend(n)) for n in ("numpy", "torch")]
)
@pytest.mark.parametrize("reduction", list(Reduction), ids=str)
def test_every_reduction_of_every_weighted_loss_passes(loss, library, reduction):
    xp = pytest.importorskip(library)
    function = getattr(xbce.losses, f"{loss}_cross_entropy")

    def reduced(labels, logits, weights=None, where=None):
        given = 1.0 if weights is None else weights
        return function(labels, logits, given, where=where, reduction=reduction)

    def unreduced(labels, logits, weights=None, where=None):
        given = 1.0 if weights is None else weights
        return function(labels, logits, given, where=where, reduction=Reduction.NONE)

    audit_reduction(
        reduced,
        xp,
        reduction=reduction,
        loss=f"{loss}_cross_entropy",
        unreduced_fn=unreduced,
        rows=10**6,
    ).check()


@numpy_only
@pytest.mark.parametrize("smoothing", [0.0, 0.25])
def test_smoothed_and_weighted_positives_pass_with_the_closed_gradient(smoothing):
    options = {"label_smoothing": smoothing, "pos_weight": 3.0}

    def loss(labels, logits, weights=1.0, where=None):
        return xbce.losses.sigmoid_cross_entropy(labels, logits, weights, where=where, **options)

    def gradient(labels, logits, weights=1.0, where=None):
        both = xbce.derivatives.value_and_grad(labels, logits, weights, where=where, **options)
        return both[1]

    report = audit_reduction(loss, np, gradient_fn=gradient, rows=0, **options)
    report.check()
    assert sum("gradient" in rule.name for rule in report.rules) == 2 * 3


@numpy_only
def test_a_loss_a_row_passes_and_one_that_divides_by_all_does_not():
    def rows(labels, logits, weights=None, where=None, over=None):
        w = np.broadcast_to(1 if weights is None else weights, logits.shape)
        keep = np.broadcast_to(True if where is None else where, logits.shape)
        z, x, w = (np.where(keep, a, 0).astype(logits.dtype) for a in (labels, logits, w))
        losses = xbce.sigmoid_cross_entropy_with_logits(labels=z, logits=x) * w
        count = over or np.count_nonzero(w, axis=-1)
        return np.sum(losses, axis=-1) / np.maximum(count, 1).astype(logits.dtype)

    def by_all(labels, logits, weights=None, where=None):
        return rows(labels, logits, weights, where, over=logits.shape[-1])

    audit_reduction(rows, np, axis=-1).check()
    report = audit_reduction(by_all, np, ["float32"], axis=-1)
    broken = [rule.name for rule in report.rules if rule.broken]
    assert "a mask leaves elements out of the sum and of the denominator" in broken
    assert "it is the reduction that it says" not in broken


@numpy_only
@pytest.mark.parametrize(
    ("loss_fn", "names"),
    [
        (lambda labels, logits: 0, ()),
        (lambda labels, logits, weights: 0, ("weights",)),
        (lambda labels, logits, where=None: 0, ("where",)),
        (lambda labels, logits, **options: 0, ("weights", "where")),
        (lambda labels, logits, scope=None, weights=1, where=None: 0, ("weights", "where")),
        (lambda *arguments, where: 0, ("where",)),
    ],
)
def test_a_loss_is_called_with_what_it_takes(loss_fn, names):
    calls = []

    def recorded(labels, logits, **options):
        calls.append(set(options))
        return np.float32(0)

    recorded.__signature__ = __import__("inspect").signature(loss_fn)
    audit_reduction(recorded, np, ["float32"], rows=0)
    assert set().union(*calls) == set(names)


@numpy_only
def test_what_is_not_taken_is_said_clearly():
    with pytest.raises(TypeError, match=r"requires \['z', 'x', 'mask'\] too\. Bind them"):
        audit_reduction(lambda z, x, mask: 0, np)
    with pytest.raises(ValueError, match=r"`shapes` must be of \('full', .*; got 'row'"):
        audit_reduction(lambda z, x: 0, np, shapes=["row"])
    with pytest.raises(ValueError, match="Invalid Reduction Key mean"):
        audit_reduction(lambda z, x: 0, np, reduction="mean")
    for function in (audit, audit_reduction):
        with pytest.raises(ValueError, match="`loss` must be one of"):
            function(lambda z, x: x, np, loss="hinge")
        with pytest.raises(TypeError, match="has no parameter `epsilon`"):
            function(lambda z, x: x, np, epsilon=1.0)


# --- reports --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report():
    def loss(labels, logits):
        return np.log1p(np.exp(-logits)) + (1 - labels) * logits

    return audit(loss, np, ["float32", "float64"], samples=30, name="naive")


@numpy_only
def test_a_report_is_markdown(report):
    lines = report.to_markdown().splitlines()
    assert lines[0] == "### naive: wrong (promise: 4 ulp)"
    assert lines[2:4] == ["| largest error in ulp | float32 | float64 |", "| --- | ---: | ---: |"]
    assert lines[4].startswith("| loss | ")
    assert lines[-1] == "</details>"
    assert sum(line == "```" for line in lines) == 2
    right = audit(of(LOSSES[0], "value", {}), np, ["float32"], samples=20, name="ours")
    assert right.to_markdown({"loss": 4}).startswith(
        "### ours: all right (promise: 4 ulp of the loss)"
    )
    assert "details" not in right.to_markdown()


@numpy_only
def test_a_report_is_plain_data_without_the_points_of_plots(report):
    plain = json.loads(json.dumps(report.to_dict()))
    assert list(plain) == ["name", "regions", "specials", "rules", "diagnoses"]
    assert "points" not in plain["regions"][0]
    assert {"dtype", "name", "broken", "reason", "example"} == set(plain["rules"][0])


@numpy_only
def test_a_promise_may_be_one_of_each_quantity(report):
    assert report.failures({"gradient": 4}) != report.failures({"loss": 4})
    only_rules = report.failures({})
    assert not any("ulp at label" in line for line in only_rules)
    with pytest.raises(AssertionError, match=r"breaks \d+ promises of 4 ulp of the loss"):
        report.check({"loss": 4})


def test_a_report_is_drawn(report, tmp_path):
    pytest.importorskip("matplotlib")
    figure = report.plot(tmp_path / "errors.png")
    (panel,) = figure.axes
    assert panel.get_title() == "loss"
    assert {line.get_label() for line in panel.lines[:2]} == {"float32", "float64"}
    assert (tmp_path / "errors.png").stat().st_size > 1000
    assert Report("empty").plot() is not None


# --- single numbers -----------------------------------------------------------------


def test_assert_ulp_shows_the_worst_input_in_decimal_and_hex(array):
    labels, logits = array([1.0, 0.0, 1.0]), array([0.5, 0.25, -3.0])
    exact = exact_loss(labels=labels, logits=logits)
    right = xbce.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
    assert_ulp(right, exact, labels=labels, logits=logits)
    wrong = right * array([1.0, 1 + 2.0**-19, 1 + 2.0**-20])
    with pytest.raises(AssertionError) as raised:
        assert_ulp(wrong, exact, labels=labels, logits=logits)
    first, got, wanted, label, logit = str(raised.value).splitlines()
    assert re.fullmatch(
        r"2 of 3 numbers are more than 4 ulp off\. The worst, by \S+ ulp, at \(1,\):", first
    )
    number = float(as_numpy(wrong)[1])
    assert got.split() == ["got", repr(number), "=", number.hex()]
    assert wanted.split()[:2] == ["exact", "is"]
    assert label.split() == ["labels", "0.0", "=", "0x0.0p+0"]
    assert logit.split() == ["logits", "0.25", "=", "0x1.0000000000000p-2"]
    assert_ulp(wrong, exact, max_ulp=40)


def test_assert_ulp_compares_shapes_and_scales():
    one = np.float32([1.0])
    with pytest.raises(
        AssertionError, match=r"`actual` has shape \(1,\), and `exact` shape \(2,\)"
    ):
        assert_ulp(one, np.array([1.0, 1.0]))
    with pytest.raises(AssertionError, match="1 of 1 numbers are more than 4 ulp off"):
        assert_ulp(one, np.array([np.nan]))
    assert_ulp(np.float32([1e-7]), np.array([0.0]), scale=np.array([1.0]))
    assert_ulp(np.float32([]), np.array([]))
    assert_ulp(np.float32(2.0), np.array(2.0), weights=np.array(1.0))


@numpy_only
def test_modes_are_compared_whatever_they_are_worth():
    def wrong(labels, logits):
        return 2 * of(LOSSES[0], "value", {})(labels, logits)

    audit_modes(wrong, wrong, np, samples=20).check(max_ulp=0)
    report = audit_modes(wrong, of(LOSSES[0], "value", {}), np, ["float32"], samples=20)
    assert report.largest("loss") > 1e6


@numpy_only
def test_weighting_is_what_the_audit_of_a_reduction_checks():
    """The road that the public functions go, with a mask that is multiplied."""

    def masked_after(labels, logits, weights=1.0, where=True):
        arrays = {"labels": labels, "logits": logits}
        weights = np.broadcast_to(weights, logits.shape) * np.where(where, 1, 0)
        return evaluate(LOSSES[0], arrays, weighting=Weighting(weights.astype(logits.dtype)))

    report = audit_reduction(masked_after, np, ["float32"], rows=0)
    assert report.diagnoses == ["float32: the mask is applied after the loss: 0*NaN is NaN"]
