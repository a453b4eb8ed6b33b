"""What an audit found is Markdown, plain data, and a plot; single numbers are compared in ulp."""

import json
import re

import numpy as np
import pytest

import xbce
from xbce.testing import (
    Report,
    as_numpy,
    assert_ulp,
    audit,
    audit_modes,
    audit_reduction,
    exact_loss,
)

numpy_only = pytest.mark.backend("numpy")


def ours(labels, logits):
    return xbce.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)


@pytest.fixture(scope="module")
def report():
    def loss(labels, logits):
        return np.log1p(np.exp(-logits)) + (1 - labels) * logits

    return audit(loss, np, ["float32", "float64"], samples=30, name="naive")


@numpy_only
def test_a_report_is_markdown(report):
    lines = report.to_markdown().splitlines()
    assert lines[0] == "### naive: wrong (promise: 4 ulp of the loss)"
    assert lines[2].startswith("sigmoid_cross_entropy, numpy ")
    assert lines[6:8] == ["| largest error in ulp | float32 | float64 |", "| --- | ---: | ---: |"]
    assert lines[8].startswith("| loss | ")
    assert lines[-1] == "</details>"
    assert sum(line == "```" for line in lines) == 2
    right = audit(ours, np, ["float32"], samples=20, name="ours")
    assert right.to_markdown({"loss": 4}).startswith(
        "### ours: all right (promise: 4 ulp of the loss)"
    )
    assert "details" not in right.to_markdown()


@numpy_only
def test_a_report_is_plain_data_without_the_points_of_plots(report):
    plain = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert list(plain)[:6] == ["name", "regions", "specials", "rules", "diagnoses", "notes"]
    assert "points" not in plain["regions"][0]
    assert list(plain["regions"][0]["worst"]) == ["label", "logit", "actual", "expected"]
    assert "inf" in [region["largest"] for region in plain["regions"]]
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
    assert {line.get_label() for line in panel.lines} == {"float32", "float64", "4 ulp"}
    assert "16 ulp" in {line.get_label() for line in report.plot(max_ulp=16).axes[0].lines}
    assert (tmp_path / "errors.png").stat().st_size > 1000
    with pytest.raises(ValueError, match="empty has no errors in ulp to draw"):
        Report("empty").plot()


def softmax(labels, logits):
    return xbce.nn.softmax_cross_entropy_with_logits(labels=labels, logits=logits)


@numpy_only
def test_what_xbce_promises_of_the_loss_is_allowed_by_default():
    def off_by_6_ulp(labels, logits):
        return softmax(labels, logits) * (1 + 6 * np.finfo(logits.dtype).eps)

    report = audit(off_by_6_ulp, np, ["float32"], classes=5, samples=40)
    assert report.promise == {"loss": 16, "gradient": 16, "hessian": 16}
    report.check()
    assert report.failures(max_ulp=4) != []
    modes = audit_modes(softmax, off_by_6_ulp, np, ["float32"], classes=5, samples=40)
    assert modes.promise["loss"] == 32
    assert "eager is" in modes.failures(max_ulp=4)[0]


@numpy_only
def test_a_report_of_a_reduction_says_what_was_audited_and_promises_no_ulp():
    def mean(labels, logits):
        return 2 * np.mean(ours(labels, logits))

    report = audit_reduction(mean, np, ["float32"], rows=0, name="mean")
    with pytest.raises(AssertionError, match=r"mean breaks \d+ rules:"):
        report.check()
    assert (
        str(report)
        .splitlines()[1]
        .startswith("  sigmoid_cross_entropy, reduction=weighted_sum_by_nonzero_weights, numpy ")
    )
    assert report.notes == [
        "its signature has no `weights` and no `where`",
        "an empty batch gives nan",
    ]
    assert "- Note: an empty batch gives nan" in report.to_markdown()


@numpy_only
def test_shapes_that_broadcast_in_silence_are_noted():
    def losses(labels, logits):
        return np.logaddexp(0, logits) - labels * logits

    report = audit(losses, np, ["float32"], samples=20)
    assert report.notes == [
        "labels of shape (3,) beside logits of shape (3, 1) are no error; "
        "the result has shape (3, 3)"
    ]
    assert audit(ours, np, ["float32"], samples=20).notes == []


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
