"""The audits cover every loss of the table, pass it, and say clearly what they do not take."""

import numpy as np
import pytest
from table import CASES

import xbce
from xbce._evaluate import Weighting, evaluate
from xbce._losses import LOSSES
from xbce.losses import Reduction
from xbce.testing import audit, audit_modes, audit_reduction

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
    assert len(report.rules) == 10 * len(measured)


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
        (lambda labels, logits, *, weights=None: 0, ("weights",)),
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
def test_a_function_that_takes_its_arguments_by_name_is_called_so():
    audit(xbce.sigmoid_cross_entropy_with_logits, np, ["float32"], samples=20).check()


@numpy_only
@pytest.mark.parametrize("result", [None, (1, 2), {}, "x", 1.0])
def test_a_result_that_is_no_array_is_a_broken_rule(result):
    report = audit(lambda z, x: result, np, ["float32"], samples=20)
    assert report.failures() != []
    reduced = audit_reduction(lambda z, x: result, np, ["float32"], rows=0)
    assert reduced.failures() != []


@numpy_only
def test_a_loss_that_raises_at_a_special_value_is_measured_elsewhere():
    def loss(labels, logits):
        if np.isnan(logits).any():
            raise ValueError("no NaN, please")
        return xbce.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)

    report = audit(loss, np, ["float32"], samples=20)
    assert report.largest("loss") < 4
    (line,) = report.failures()
    assert "the loss of special values is an array of its shape: ValueError: no NaN, please" in line


@pytest.mark.backend("jax")
def test_a_dtype_that_is_switched_off_is_an_error():
    jax = pytest.importorskip("jax")
    with jax.enable_x64(False), pytest.raises(TypeError, match="jax makes no float64 here: pass"):
        audit(lambda z, x: x, jax.numpy, ["float64"])


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
    assert report.diagnoses == [
        "float32: the mask is applied after the loss, or multiplies: 0*NaN is NaN"
    ]


@numpy_only
def test_weights_and_masks_are_passed_by_the_names_that_a_loss_has_for_them():
    def mean(labels, logits, sample_weight=1.0, mask=None):
        return xbce.losses.sigmoid_cross_entropy(labels, logits, sample_weight, where=mask)

    def twice(labels, logits, weight=1.0):
        return xbce.losses.sigmoid_cross_entropy(labels, logits, weight * weight)

    report = audit_reduction(mean, np, ["float32"], rows=0, name="mean")
    report.check()
    assert report.notes[:2] == [
        "`weights` is passed as `sample_weight`",
        "`where` is passed as `mask`",
    ]
    report = audit_reduction(twice, np, ["float32"], rows=0, name="twice")
    assert report.diagnoses == ["float32: weights are applied twice"]


@numpy_only
def test_a_function_without_a_name_of_its_own_is_called_by_its_line():
    report = audit_reduction(lambda z, x: x.sum(), np, ["float32"], rows=0)
    assert report.name.startswith("<lambda> of test_audits.py, line ")
    assert audit_reduction(report_of, np, ["float32"], rows=0).name == "report_of"


def report_of(labels, logits):
    return logits.sum()


@numpy_only
@pytest.mark.parametrize("number", [0, 1, 2, -1])
@pytest.mark.parametrize("loss", ["sigmoid_cross_entropy", "sparse_softmax_cross_entropy"])
def test_any_label_may_be_the_one_that_is_ignored(loss, number):
    def ignoring(labels, logits, weights=1.0):
        return getattr(xbce.losses, loss)(labels, logits, weights, ignore_index=number)

    def counting(labels, logits, weights=1.0):
        other = np.where(labels == number, 0 if number else 1, labels).astype(labels.dtype)
        return getattr(xbce.losses, loss)(other, logits, weights)

    audit_reduction(ignoring, np, loss=loss, ignore_index=number, rows=0).check()
    report = audit_reduction(counting, np, loss=loss, ignore_index=number, rows=0)
    assert "a mask leaves elements out" in str(report.failures())


@pytest.mark.backend("torch")
@pytest.mark.parametrize("compiled", [False, True])
def test_a_module_is_asked_what_its_forward_takes(compiled):
    torch = pytest.importorskip("torch")

    class Mean(torch.nn.Module):
        def forward(self, labels, logits, weights=None):
            weights = 1.0 if weights is None else weights
            return xbce.sigmoid_cross_entropy(labels, logits, weights)

    class Turned(torch.nn.Module):
        def forward(self, logits, target):
            return xbce.sigmoid_cross_entropy(target, logits)

    def made(module):
        return torch.compile(module, backend="eager") if compiled else module

    report = audit_reduction(made(Mean()), torch, ["float32"], rows=0)
    report.check()
    assert any("weights multiply" in rule.name for rule in report.rules)
    assert not any("mask" in rule.name for rule in report.rules)
    if not compiled:
        with pytest.raises(TypeError, match="its first parameter is `logits`"):
            audit_reduction(Turned(), torch)


@numpy_only
def test_options_that_a_function_of_any_keywords_refuses_are_not_passed():
    def logged(*arguments, **options):
        return mean(*arguments, **options)

    def mean(labels, logits, weights=1.0):
        return xbce.sigmoid_cross_entropy(labels, logits, weights)

    def gradient(labels, logits, weights=1.0):
        return xbce.derivatives.value_and_grad(labels, logits, weights)[1]

    report = audit_reduction(logged, np, ["float32"], gradient_fn=gradient, rows=0)
    report.check()
    assert "its signature has no `where`" in report.notes
    assert any("weights multiply" in rule.name for rule in report.rules)
