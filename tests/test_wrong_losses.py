"""The audits find wrong losses of every kind, and name what is wrong with each."""

from functools import partial

import numpy as np
import pytest
from wrong_losses import ELEMENTS, GRADIENTS, right
from wrong_reductions import REDUCTIONS, by_row
from wrong_rows import CLASS_WEIGHTS, CLASSED, ROWS, UNREDUCED, classed, ignoring

import xbce
from xbce.losses import Reduction
from xbce.testing import audit, audit_reduction

pytestmark = [
    pytest.mark.backend("numpy"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]
DTYPES = ["float32"]


def found(report, what):
    with pytest.raises(AssertionError, match="breaks") as raised:
        report.check(max_ulp=4)
    assert what in str(raised.value)


@pytest.mark.parametrize("name", ELEMENTS)
def test_a_wrong_loss_is_found_and_named(name):
    function, what = ELEMENTS[name]
    found(audit(function, np, DTYPES, samples=40), what)


@pytest.mark.parametrize("name", GRADIENTS)
def test_a_wrong_gradient_is_found_and_named(name):
    function, what = GRADIENTS[name]
    found(audit(right, np, DTYPES, gradient_fn=function, samples=40), what)


@pytest.mark.parametrize("name", REDUCTIONS)
def test_a_wrong_reduction_is_found_and_named(name):
    function, what = REDUCTIONS[name]
    rows = 10**7 if name == "added one by one" else 0
    found(audit_reduction(function, np, DTYPES, rows=rows, name=name), what)


@pytest.mark.parametrize("name", ROWS)
def test_a_wrong_loss_a_row_is_found_and_named(name):
    function, what = ROWS[name]
    found(audit_reduction(function, np, DTYPES, axis=-1, rows=0, name=name), what)


@pytest.mark.parametrize("name", UNREDUCED)
def test_wrong_unreduced_losses_are_found_and_named(name):
    function, what = UNREDUCED[name]
    options = {"reduction": Reduction.NONE, "rows": 0, "name": name}
    found(audit_reduction(function, np, DTYPES, **options), what)


def test_a_right_loss_a_row_passes():
    right = partial(by_row, lambda w, keep: np.count_nonzero(w, axis=-1))
    audit_reduction(right, np, DTYPES, axis=-1, rows=0, name="right").check()


@pytest.mark.parametrize("number", [-1, -100, 255])
def test_labels_that_are_ignored_are_audited_as_a_mask(number):
    options = {"ignore_index": number, "rows": 0, "name": "ignoring"}
    audit_reduction(partial(ignoring, number, "kept"), np, DTYPES, **options).check()
    report = audit_reduction(partial(ignoring, number, "all"), np, DTYPES, **options)
    found(report, "this is the sum over the number of those with weight before the mask, not ")
    rule = next(rule for rule in report.rules if rule.name.startswith("a mask leaves elements"))
    assert rule.example == f"labels [1.0, {number}.0], logits [2.0, 3.75]"
    taken = partial(ignoring, -7, "kept")  # another number
    found(audit_reduction(taken, np, DTYPES, **options), f"labels of {number} are not left out")


@pytest.mark.parametrize("order", CLASS_WEIGHTS)
def test_wrong_class_weights_are_named(order):
    loss = partial(classed, order)
    found(audit_reduction(loss, np, DTYPES, rows=0, name=order, **CLASSED), CLASS_WEIGHTS[order])


def test_right_class_weights_pass():
    loss = partial(classed, "by the label")
    audit_reduction(loss, np, DTYPES, rows=0, name="right", **CLASSED).check()


def test_the_smallest_batch_that_breaks_a_rule_is_shown_with_its_reason():
    over_all = REDUCTIONS["over all elements"][0]
    report = audit_reduction(over_all, np, DTYPES, rows=0, name="mean")
    rule = next(rule for rule in report.rules if rule.name.startswith("weights multiply"))
    assert rule.broken == "got 0.126928, should be 0.253856"
    assert rule.example == "labels [1.0, 0.25], logits [2.0, 3.75], weights [2.0, 0.0]"
    assert rule.reason in str(report)
    assert rule.example in str(report)


@pytest.mark.parametrize("reduction", list(Reduction), ids=str)
def test_no_reduction_passes_for_another(reduction):
    def loss(labels, logits, weights=None, where=None):
        return xbce.losses.sigmoid_cross_entropy(
            labels, logits, 1.0 if weights is None else weights, where=where, reduction=reduction
        )

    for claimed in Reduction:
        report = audit_reduction(loss, np, DTYPES, reduction=claimed, rows=0)
        assert (report.failures() == []) == (claimed == reduction), claimed
