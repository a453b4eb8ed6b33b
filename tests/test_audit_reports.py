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
    ulp_error,
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
        r"2 of 3 numbers are more than 4 ulp of \w+ off, the worst by \S+ ulp, at \(1,\):", first
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
    with pytest.raises(AssertionError, match="1 of 1 numbers are more than 4 ulp of float32 off"):
        assert_ulp(one, np.array([np.nan]))
    assert_ulp(np.float32([1e-7]), np.array([0.0]), scale=np.array([1.0]))
    assert_ulp(np.float32([]), np.array([]))
    assert_ulp(np.float32(2.0), np.array(2.0), weights=np.array(1.0))


def test_assert_ulp_shows_rows_of_classes(array):
    labels = array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    logits = array([[1.0, 2.0, -3.0], [0.5, 0.25, 4.0]])
    exact = exact_loss(labels=labels, logits=logits, loss="softmax_cross_entropy")
    right = xbce.nn.softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    inputs = {"labels": labels, "logits": logits, "weights": array([1.0, 3.0])}
    assert_ulp(right, exact, 16, **inputs)
    with pytest.raises(AssertionError) as raised:
        assert_ulp(right * array([1.0, 1.5]), exact, 16, **inputs)
    _, _, _, *shown = str(raised.value).splitlines()
    assert [line.split(maxsplit=1) for line in shown] == [
        ["labels", "[1.0, 0.0, 0.0]"],
        ["logits", "[0.5, 0.25, 4.0]"],
        ["weights", "3.0 = 0x1.8000000000000p+1"],
    ]


@numpy_only
def test_assert_ulp_shortens_rows_of_many_classes():
    with pytest.raises(AssertionError) as raised:
        assert_ulp(np.ones(2), np.array([1.0, 2.0]), logits=np.arange(2000.0).reshape(2, 1000))
    shown = str(raised.value).splitlines()[-1]
    assert shown.split(maxsplit=1)[1].startswith("[1000.0, 1001.0, ")
    assert shown.endswith(", ...], 1000 numbers")
    assert len(shown) < 100


@numpy_only
@pytest.mark.parametrize("shape", [(3,), (3, 2), (2, 3, 4), (2, 3, 1)])
def test_assert_ulp_names_an_input_of_a_wrong_shape_before_it_compares(shape):
    message = rf"`logits` has shape {re.escape(str(shape))}, and `actual` shape \(2,\)"
    with pytest.raises(ValueError, match=message):
        assert_ulp(np.ones(2), np.ones(2), labels=np.ones((2, 5)), logits=np.ones(shape))


@numpy_only
@pytest.mark.parametrize("compare", [ulp_error, assert_ulp])
@pytest.mark.parametrize(
    ("actual", "message"),
    [
        (np.array([1]), "`actual` must be of a real floating dtype .* got int64: pass it as"),
        (np.array([True]), "`actual` must be of a real floating dtype .* got bool"),
        (np.array([1 + 0j]), "`actual` must be of a real floating dtype .* got complex128"),
        ([1.0], r"`actual` must be an array .* got builtins.list: .* numpy.asarray\(actual\)"),
        (1, r"`actual` must be an array .* got builtins.int: .* numpy.asarray\(actual\)"),
        (None, "`actual` must be an array .* got builtins.NoneType"),
    ],
)
def test_what_has_no_ulp_is_told(compare, actual, message):
    with pytest.raises(TypeError, match=message):
        compare(actual, np.ones(np.shape(actual)))


@numpy_only
@pytest.mark.skipif(np.finfo(np.longdouble).bits == 64, reason="longdouble is float64 here")
def test_longdouble_is_refused():
    with pytest.raises(TypeError, match=f"got {np.dtype(np.longdouble).name}: .* or cast it"):
        assert_ulp(np.ones(1, dtype=np.longdouble), np.ones(1))


@numpy_only
def test_a_float_of_python_is_of_float64():
    assert_ulp(1.0, np.array(1.0))
    assert ulp_error(1 + 2.0**-52, np.array(1.0)) == 1
    with pytest.raises(AssertionError, match="more than 4 ulp of float64 off"):
        assert_ulp(2.0, np.array(1.0))


def test_the_message_has_the_dtype_that_errors_are_measured_in(xp, dtype):
    name = str(dtype).rpartition(".")[2]
    with pytest.raises(AssertionError, match=r"more than 0\.5 ulp of \w+ off") as e:
        assert_ulp(xp.ones(2, dtype=dtype), np.array([1.0, 1.5]), 0.5)
    assert re.search(r"ulp of (\w+) off", str(e.value))[1] in name


@numpy_only
@pytest.mark.parametrize("max_ulp", [-1, -0.1, float("nan"), float("inf")])
def test_a_promise_that_is_none_is_refused(max_ulp):
    with pytest.raises(ValueError, match="`max_ulp` must be a finite number, 0 or more; got"):
        assert_ulp(np.ones(1), np.ones(1), max_ulp)
    assert_ulp(np.ones(1), np.ones(1), 0)
