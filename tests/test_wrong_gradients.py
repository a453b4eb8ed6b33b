"""The audits find what automatic differentiation and compilers make wrong."""

import numpy as np
import pytest

from xbce.derivatives import value_and_grad
from xbce.losses import Reduction, sigmoid_cross_entropy
from xbce.nn import sigmoid_cross_entropy_with_logits
from xbce.testing import audit, audit_modes, audit_reduction

DTYPES = ["float32"]
LIBRARIES = [
    pytest.param(name, marks=pytest.mark.backend(name.partition(".")[0]))
    for name in ("torch", "jax.numpy")
]


@pytest.fixture(params=LIBRARIES)
def library(request):
    return pytest.importorskip(request.param)


def stable(xp, labels, logits):
    """The formula of many libraries, with a `where` for the maximum."""
    positive = xp.where(logits > 0, logits, xp.zeros_like(logits))
    return positive - logits * labels + xp.log1p(xp.exp(-xp.abs(logits)))


def found(report, what):
    with pytest.raises(AssertionError, match="breaks") as raised:
        report.check(max_ulp=4)
    assert what in str(raised.value)


def test_a_mask_after_the_loss_is_found_by_its_gradient(library):
    def where_after(labels, logits, where=None):
        losses = stable(library, labels, logits)
        ones = library.ones_like(losses)
        keep = ones > 0 if where is None else where
        kept = library.where(keep, losses, 0 * ones)
        return kept.sum() / library.clip((0 * ones + keep).sum(), 1)

    report = audit_reduction(where_after, library, DTYPES, rows=0)
    found(report, "the mask is applied after the loss: its gradient there is 0*NaN")
    assert {rule.name for rule in report.rules if rule.broken} == {
        "what a mask leaves out changes no gradient",
        "all left out gives 0, with a gradient of 0",
    }


@pytest.mark.backend("torch")
def test_a_gradient_that_is_wrong_at_0_is_found():
    torch = pytest.importorskip("torch")

    def loss(labels, logits):
        return stable(torch, labels, logits)

    found(audit(loss, torch, DTYPES, samples=20), "gradient at label 1.0, logit 0.0: got -1.")


def test_a_mask_before_the_loss_passes(library):
    def masked_first(labels, logits, weights=None, where=None):
        ones = library.ones_like(logits)
        keep = ones > 0 if where is None else (ones > 0) & where
        labels, logits = (library.where(keep, a, 0 * ones) for a in (labels, logits))
        weights = ones if weights is None else ones * weights
        weights = library.where(keep, weights, 0 * ones)
        losses = sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
        return (losses * weights).sum() / library.clip((0 * ones + (weights != 0)).sum(), 1)

    audit_reduction(masked_first, library, DTYPES).check()


@pytest.mark.backend("torch")
def test_a_rule_that_forgets_the_gradient_that_comes_in_is_found():
    torch = pytest.importorskip("torch")

    class Forgets(torch.autograd.Function):
        @staticmethod
        def forward(ctx, labels, logits):
            ctx.save_for_backward(labels, logits)
            return sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)

        @staticmethod
        def backward(ctx, upstream):
            labels, logits = ctx.saved_tensors
            return None, torch.sigmoid(logits) - labels

    report = audit(Forgets.apply, torch, DTYPES, samples=20)
    found(report, "float32 gradient, hard disagreeing labels, moderate logits")
    assert report.largest("loss") < 4

    def total(labels, logits):
        return Forgets.apply(labels, logits).sum()

    options = {"reduction": "weighted_sum", "rows": 0}
    found(audit_reduction(total, torch, DTYPES, **options), "the gradient is that of the reduction")

    def mean(labels, logits):
        return Forgets.apply(labels, logits).mean()

    def by_row(labels, logits):
        return Forgets.apply(labels, logits).mean(-1)

    means = {"reduction": "weighted_mean"}
    for function, options in (
        (mean, means),
        (by_row, {"axis": -1, **means}),
        (Forgets.apply, {"reduction": "none"}),
    ):
        report = audit_reduction(function, torch, DTYPES, rows=0, **options)
        (named,) = report.diagnoses
        assert named.startswith("float32: the gradient forgets what comes in from behind")


@pytest.mark.parametrize("axis", [0, -2])
def test_a_loss_a_column_passes_with_its_gradient(library, axis):
    def means(labels, logits):
        return sigmoid_cross_entropy_with_logits(labels=labels, logits=logits).mean(axis)

    reduction = Reduction.SUM_OVER_BATCH_SIZE
    audit_reduction(means, library, DTYPES, reduction=reduction, axis=axis, rows=0).check()


@pytest.mark.backend("torch")
def test_a_gradient_along_the_wrong_axis_is_found():
    torch = pytest.importorskip("torch")

    class AlongRows(torch.autograd.Function):
        @staticmethod
        def forward(ctx, labels, logits):
            ctx.save_for_backward(labels, logits)
            return stable(torch, labels, logits).sum(0)

        @staticmethod
        def backward(ctx, upstream):
            labels, logits = ctx.saved_tensors
            square = logits.shape[0] == logits.shape[-1]
            upstream = upstream[:, None] if square else upstream
            return None, upstream * (torch.sigmoid(logits) - labels)

    options = {"reduction": Reduction.SUM, "axis": 0, "rows": 0}
    found(
        audit_reduction(AlongRows.apply, torch, DTYPES, **options),
        "the gradient is that of the reduction",
    )


WRONG_SLOPES = {  # name: change of the gradient of a weighted mean, what is said of it
    "none": (lambda slope, n: 0 * slope, "the gradient is 0: nothing comes through"),
    "sign": (lambda slope, n: -slope, "the gradient has the opposite sign"),
    "twice": (lambda slope, n: 2 * slope, "the gradient is twice what it should be"),
    "elements": (
        lambda slope, n: slope / n,
        "the gradient is divided by the number of elements once more",
    ),
    "rows": (
        lambda slope, n: slope / len(slope),
        "the gradient is divided by the number of rows once more",
    ),
    "sum": (lambda slope, n: slope * n, "the gradient is that of the sum"),
    "sum by rows": (
        lambda slope, n: slope * n / len(slope),
        "the gradient is that of the sum over the number of rows",
    ),
    "weights": (None, "the gradient forgets the weights"),
}


@pytest.mark.backend("numpy")
@pytest.mark.parametrize("name", WRONG_SLOPES)
def test_a_wrong_gradient_of_a_reduction_is_named(name):
    change, what = WRONG_SLOPES[name]
    reduction = Reduction.SUM_OVER_BATCH_SIZE

    def loss(labels, logits, weights=1.0):
        return sigmoid_cross_entropy(labels, logits, weights, reduction=reduction)

    def gradient(labels, logits, weights=1.0):
        weights = weights if change else 1.0
        slope = value_and_grad(labels, logits, weights, reduction=reduction)[1]
        return change(slope, slope.size).astype(logits.dtype) if change else slope

    report = audit_reduction(
        loss, np, DTYPES, gradient_fn=gradient, reduction=reduction, rows=0, name=name
    )
    assert report.diagnoses == [f"float32: {what}"]


@pytest.mark.backend("numpy")
def test_a_gradient_without_smoothing_is_named_beside_digits_of_float32():
    def narrow(labels, logits, label_smoothing):
        arrays = labels.astype(np.float32), logits.astype(np.float32)
        results = value_and_grad(*arrays, label_smoothing=label_smoothing)
        return [result.astype(logits.dtype) for result in results]

    report = audit_reduction(
        lambda labels, logits: narrow(labels, logits, 0.2)[0],
        np,
        ["float64"],
        gradient_fn=lambda labels, logits: narrow(labels, logits, 0.0)[1],
        label_smoothing=0.2,
        rows=0,
    )
    assert report.diagnoses == [
        "float64: it has the digits of float32",
        "float64: the gradient is that of labels that are not smoothed",
    ]


@pytest.mark.backend("jax")
def test_a_jitted_loss_that_differs_is_found():
    jax = pytest.importorskip("jax")

    def loss(labels, logits):
        compiled = isinstance(logits, jax.core.Tracer)
        return sigmoid_cross_entropy_with_logits(labels=labels, logits=logits) * (
            1 + 1e-5 * compiled
        )

    def gradient(labels, logits):
        return 0 * logits

    jitted = jax.jit(loss)
    report = audit(jitted, jax.numpy, DTYPES, samples=20, gradient_fn=gradient)
    assert report.largest("loss") > 50
    report = audit_modes(loss, jitted, jax.numpy, DTYPES, samples=20)
    found(report, "float32 loss, hard agreeing labels")
    assert report.largest("loss") > 50


@pytest.mark.backend("jax")
def test_modes_that_agree_pass():
    jax = pytest.importorskip("jax")

    def loss(labels, logits):
        return sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)

    audit_modes(loss, jax.jit(loss), jax.numpy, DTYPES, samples=40).check()


@pytest.mark.backend("torch")
def test_a_loss_that_torch_compiles_otherwise_is_found():
    torch = pytest.importorskip("torch")

    def loss(labels, logits):
        losses = stable(torch, labels, logits)
        return losses.to(torch.float64) if torch.compiler.is_compiling() else losses

    compiled = torch.compile(loss, backend="eager")
    report = audit_modes(loss, compiled, torch, DTYPES, samples=20)
    found(report, "the result has dtype torch.float64, not float32")
    assert np.isfinite(report.largest("loss"))
