"""Losses of other libraries, adapted in one line, are audited for what they take."""

import inspect

import numpy as np
import pytest

from xbce.losses import Reduction
from xbce.testing import audit, audit_reduction
from xbce.testing.adapters import (
    from_keras,
    from_optax,
    from_sklearn,
    from_tensorflow,
    from_torch,
)

DTYPES = ["float32"]
QUICK = {"rows": 10**5}
OVER_BATCH = Reduction.SUM_OVER_BATCH_SIZE


def takes(loss_fn):
    return list(inspect.signature(loss_fn).parameters)[2:]


# --- PyTorch ----------------------------------------------------------------------


@pytest.fixture
def functional():
    return pytest.importorskip("torch.nn.functional")


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    ("name", "reduction"),
    [("mean", OVER_BATCH), ("sum", Reduction.SUM), ("none", Reduction.NONE)],
)
def test_reductions_of_pytorch_are_what_they_are_said_to_be(torch, functional, name, reduction):
    loss = from_torch(functional.binary_cross_entropy_with_logits, reduction=name)
    assert takes(loss) == ["weights"]
    audit_reduction(loss, torch, DTYPES, reduction=reduction, **QUICK).check()


@pytest.mark.backend("torch")
def test_a_mean_of_pytorch_is_no_other_reduction(torch, functional):
    loss = from_torch(functional.binary_cross_entropy_with_logits)
    report = audit_reduction(loss, torch, DTYPES, rows=0)
    (what,) = report.diagnoses
    assert what == "float32: this is the mean over all elements, not over those with weight"


@pytest.mark.backend("torch")
def test_options_are_bound(torch, functional):
    loss = from_torch(
        functional.binary_cross_entropy_with_logits, pos_weight=torch.tensor(3.0), reduction="sum"
    )
    options = {"reduction": Reduction.SUM, **QUICK}
    audit_reduction(loss, torch, DTYPES, pos_weight=3.0, **options).check()
    report = audit_reduction(loss, torch, DTYPES, pos_weight=2.0, reduction=Reduction.SUM, rows=0)
    assert report.failures() != []
    plain = from_torch(functional.binary_cross_entropy_with_logits, reduction="sum")
    left_out = audit_reduction(plain, torch, DTYPES, pos_weight=3.0, **options)
    assert left_out.diagnoses == ["float32: `pos_weight` is left out"]


@pytest.mark.backend("torch")
def test_modules_of_pytorch_are_taken(torch):
    loss = from_torch(torch.nn.BCEWithLogitsLoss())
    assert takes(loss) == []
    audit_reduction(loss, torch, DTYPES, reduction=OVER_BATCH, **QUICK).check()


@pytest.mark.backend("torch")
def test_the_ignored_index_of_pytorch_is_its_mask(torch, functional):
    loss = from_torch(functional.cross_entropy)
    assert takes(loss) == takes(from_torch(torch.nn.CrossEntropyLoss())) == ["where"]
    report = audit_reduction(
        loss,
        torch,
        DTYPES,
        loss="sparse_softmax_cross_entropy",
        reduction=OVER_BATCH,
        **QUICK,
    )
    broken = {rule.name for rule in report.rules if rule.broken}
    assert broken == {
        "what a mask leaves out changes no gradient",
        "all left out gives 0, with a gradient of 0",
    }


@pytest.mark.backend("torch")
def test_rows_of_labels_of_pytorch_have_no_mask(torch, functional):
    options = {"reduction": Reduction.SUM_OVER_BATCH_SIZE, "rows": 0}
    loss = from_torch(functional.cross_entropy)
    report = audit_reduction(loss, torch, DTYPES, loss="softmax_cross_entropy", **options)
    report.check()
    assert "its signature has no `weights` and no `where`" in report.notes


@pytest.mark.backend("torch")
def test_class_weights_of_pytorch_come_after_smoothing(torch, functional):
    weights = (1.0, 2.0, 4.0)
    options = {"loss": "sparse_softmax_cross_entropy", "class_weights": weights, "rows": 0}

    def adapted(smoothing):
        bound = {"weight": torch.tensor(weights), "label_smoothing": smoothing}
        return from_torch(functional.cross_entropy, takes=(), **bound)

    audit_reduction(adapted(0.0), torch, DTYPES, reduction=Reduction.MEAN, **options).check()
    report = audit_reduction(
        adapted(0.2), torch, DTYPES, reduction=Reduction.MEAN, label_smoothing=0.2, **options
    )
    assert report.diagnoses == [
        "float32: class weights multiply each class's term of the smoothed label"
    ]


@pytest.mark.backend("torch")
def test_soft_labels_of_all_classes_are_moved_to_the_second_axis(torch, functional):
    loss = from_torch(functional.cross_entropy, takes=())
    options = {"loss": "softmax_cross_entropy", "reduction": OVER_BATCH, **QUICK}
    audit_reduction(loss, torch, DTYPES, **options).check()


@pytest.mark.backend("torch")
def test_a_compiled_loss_is_audited_as_it_is(torch, functional):
    compiled = torch.compile(functional.binary_cross_entropy_with_logits, backend="eager")
    report = audit(from_torch(compiled, reduction="none"), torch, DTYPES, samples=20)
    assert report.largest("loss") > 1e6
    assert not any(rule.broken for rule in report.rules)


# --- optax --------------------------------------------------------------------------


@pytest.fixture
def optax():
    return pytest.importorskip("optax")


@pytest.fixture
def jnp():
    return pytest.importorskip("jax.numpy")


@pytest.mark.backend("jax")
def test_losses_of_optax_are_audited(optax, jnp):
    loss = from_optax(optax.sigmoid_binary_cross_entropy)
    report = audit(loss, jnp, DTYPES, samples=20)
    assert report.largest("loss") < 4
    wrong = [case for case in report.specials if not case.right and case.quantity == "loss"]
    assert {(case.label, case.logit) for case in wrong} == {(1.0, np.inf), (0.0, -np.inf)}


@pytest.mark.backend("jax")
def test_what_reduces_losses_of_optax_says_what_they_take(optax, jnp):
    mean, average = (
        from_optax(optax.sigmoid_binary_cross_entropy, reduce) for reduce in (jnp.mean, jnp.average)
    )
    assert (takes(mean), takes(average)) == (["where"], ["weights"])
    report = audit_reduction(mean, jnp, DTYPES, reduction=OVER_BATCH, **QUICK)
    assert {rule.name for rule in report.rules if rule.broken} == {
        "what a mask leaves out changes no gradient",
        "all left out gives 0, with a gradient of 0",
    }
    report = audit_reduction(average, jnp, DTYPES, reduction=Reduction.MEAN, **QUICK)
    assert {rule.name for rule in report.rules if rule.broken} == {"weights that are all 0 give 0"}


# --- scikit-learn -------------------------------------------------------------------


@pytest.fixture
def sklearn():
    return pytest.importorskip("sklearn._loss.loss")


@pytest.mark.backend("torch")
def test_losses_of_scikit_learn_are_audited_with_their_hessian(sklearn):
    report = audit(from_sklearn(sklearn.HalfBinomialLoss()), np, DTYPES, samples=40)
    assert report.largest("loss") > 1e6
    assert report.largest("gradient") < 4
    assert report.largest("hessian") < 6
    broken = {rule.name for rule in report.rules if rule.broken}
    assert broken == {
        f"strides change no value of the {q}" for q in ("loss", "gradient", "hessian")
    }


@pytest.mark.backend("torch")
def test_classes_of_scikit_learn_are_those_of_the_sparse_softmax(sklearn):
    loss = from_sklearn(sklearn.HalfMultinomialLoss(n_classes=4))
    options = {"loss": "sparse_softmax_cross_entropy", "classes": 4, "samples": 40}
    report = audit(loss, np, DTYPES, **options)
    assert not any(rule.broken for rule in report.rules)
    moderate = [r.largest for r in report.regions if r.name.endswith("of scale 1")]
    assert max(moderate) < 1000


@pytest.mark.backend("torch")
def test_the_mean_of_scikit_learn_is_weighted(sklearn):
    loss = from_sklearn(sklearn.HalfBinomialLoss(), reduced=True)
    report = audit_reduction(loss, np, ["float64"], reduction=Reduction.MEAN)
    (broken,) = [rule for rule in report.rules if rule.broken]
    assert broken.broken.startswith("ZeroDivisionError: Weights sum to zero")


@pytest.mark.backend("torch")
def test_log_loss_takes_hard_labels(sklearn):
    metrics = pytest.importorskip("sklearn.metrics")
    loss = from_sklearn(metrics.log_loss)
    options = {"reduction": Reduction.MEAN, "soft_labels": False}
    report = audit_reduction(loss, np, ["float64"], **options)
    (broken,) = [rule for rule in report.rules if rule.broken]
    assert broken.name == "weights that are all 0 give 0"


# --- Keras and TensorFlow, where they are installed -------------------------------------


@pytest.mark.backend("numpy")
def test_losses_of_tensorflow_are_audited_with_their_gradient():
    tf = pytest.importorskip("tensorflow")
    loss = from_tensorflow(tf.nn.weighted_cross_entropy_with_logits, pos_weight=3.0)
    report = audit(loss, np, DTYPES, pos_weight=3.0, samples=20)
    assert report.largest("gradient") == report.largest("gradient")
    whole = from_tensorflow(tf.compat.v1.losses.sigmoid_cross_entropy)
    assert takes(whole) == ["weights"]
    audit_reduction(whole, np, DTYPES, **QUICK).check()


@pytest.mark.backend("torch")
def test_weights_of_keras_are_those_of_samples(torch):
    keras = pytest.importorskip("keras")
    if keras.config.backend() != "torch":
        pytest.skip("Keras runs on another library")
    loss = from_keras(keras.losses.BinaryCrossentropy(from_logits=True))
    assert takes(loss) == ["weights"]
    audit_reduction(loss, torch, DTYPES, reduction=OVER_BATCH, **QUICK).check()
