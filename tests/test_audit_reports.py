"""What an audit found is Markdown, plain data, and a plot; single numbers are compared in ulp."""

import json
import re

import numpy as np
import pytest

import xbce
from xbce.testing import Report, as_numpy, assert_ulp, audit, exact_loss

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
    assert lines[0] == "### naive: wrong (promise: 4 ulp)"
    assert lines[2:4] == ["| largest error in ulp | float32 | float64 |", "| --- | ---: | ---: |"]
    assert lines[4].startswith("| loss | ")
    assert lines[-1] == "</details>"
    assert sum(line == "```" for line in lines) == 2
    right = audit(ours, np, ["float32"], samples=20, name="ours")
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
