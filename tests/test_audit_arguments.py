"""A bad argument of an audit is an error that names it, raised before anything is computed."""

from functools import partial

import numpy as np
import pytest

import xbce
from xbce._losses import LOSSES
from xbce.testing import Report, audit, audit_modes, audit_reduction, exact_hessian, exact_loss
from xbce.testing.adapters import (
    from_keras,
    from_optax,
    from_sklearn,
    from_tensorflow,
    from_torch,
)

numpy_only = pytest.mark.backend("numpy")  # the others compute nothing
NAN, INF = float("nan"), float("inf")
SOFTMAX = {"loss": "softmax_cross_entropy"}
WEIGHTED = {"loss": "weighted_cross_entropy"}
FOCAL = {"loss": "sigmoid_focal"}
ASYMMETRIC = {"loss": "asymmetric_sigmoid"}


def computes(labels, logits, weights=None, where=None):
    raise AssertionError("something is computed")


def modes(function, xp, *arguments, **options):
    return audit_modes(function, computes, xp, *arguments, **options)


AUDITS = {"audit": audit, "audit_modes": modes, "audit_reduction": audit_reduction}


def refused(error, match, called, *arguments, **options):
    """The error is the very one, not that of a class of it, and its message matches."""
    with pytest.raises(error, match=match) as raised:
        called(*arguments, **options)
    assert raised.type is error


# --- what every audit takes -------------------------------------------------------


@pytest.mark.parametrize("audits", AUDITS.values(), ids=AUDITS)
@pytest.mark.parametrize(
    ("error", "match", "options"),
    [
        (ValueError, "`loss` must be one of", {"loss": "hinge"}),
        (TypeError, "has no parameter `epsilon`", {"epsilon": 1.0}),
        (ValueError, r"`dtypes` must be names among \('float16'", {"dtypes": "int32"}),
        (ValueError, r"`dtypes` must be names among \('float16'", {"dtypes": ["float31"]}),
        (ValueError, "`dtypes` is empty", {"dtypes": []}),
        (TypeError, "numpy has no bfloat16: pass `dtypes`", {"dtypes": ["float32", "bfloat16"]}),
        (TypeError, r"`dtypes` must be names .* Pass 'float32'\.", {"dtypes": np.float32}),
        (TypeError, r"`dtypes` must be names .* Pass 'float32'\.", {"dtypes": [np.float32]}),
        (TypeError, r"`dtypes` must be names .* Pass 'float64'\.", {"dtypes": np.dtype("f8")}),
        (TypeError, "`dtypes` must be names .* got None", {"dtypes": None}),
        (TypeError, "`pos_weight` must be a single number; got '3'", {"pos_weight": "3"}),
        (TypeError, "`pos_weight` must be .* Pass a float", {"pos_weight": np.ones(2)}),
        (TypeError, "`pos_weight` must be .* got a ndarray", {"pos_weight": np.ones((9, 9))}),
        (TypeError, "`pos_weight` must be a single number; got True", {"pos_weight": True}),
        (ValueError, "`pos_weight` must be a number that a float", {"pos_weight": 10**400}),
        (ValueError, "`pos_weight` must be 0 or more, and finite; got -1", {"pos_weight": -1}),
        (ValueError, "`pos_weight` must be 0 or more, .* got nan", {"pos_weight": NAN}),
        (ValueError, "`pos_weight` must be 0 or more, .* got -1", {"pos_weight": -1, **WEIGHTED}),
        (ValueError, "`gamma` must be 0 or more, and finite; got -1", {"gamma": -1}),
        (ValueError, "`gamma` .* Pass 0 for the plain loss", {"gamma": INF, **FOCAL}),
        (TypeError, "`gamma` must be a single number; got '2'", {"gamma": "2"}),
        (ValueError, "`alpha` must be from 0 to 1; got 2.0. Pass None", {"alpha": 2}),
        (ValueError, "`clip` must be from 0 to 0.99; got 1.0. Pass 0", {"clip": 1.0, **ASYMMETRIC}),
        (TypeError, "weighted_cross_entropy must have a `pos_weight`", WEIGHTED),
        (TypeError, "weighted_cross_entropy must have a", {"pos_weight": None, **WEIGHTED}),
    ],
)
def test_what_every_audit_takes_is_checked(audits, error, match, options):
    refused(error, match, audits, computes, np, **options)


def asks_for_more(labels, logits, mask):
    raise AssertionError("something is computed")


@pytest.mark.parametrize("audits", AUDITS.values(), ids=AUDITS)
@pytest.mark.parametrize(
    ("match", "function"),
    [
        ("must be a function of .*; got None", None),
        ("must be a function of .*; got 'loss'", "loss"),
        (r"got the class Report\. Pass Report\(\.\.\.\)", Report),
        (r"requires \['labels', 'logits', 'mask'\]\. Give the others", asks_for_more),
        (r"requires \['z', 'x', 'weights'\]\. Give the others", lambda z, x, weights: 0),
        (
            r"requires \['labels', 'logits', 'q'\]\. Give the others",
            lambda *, labels, logits, q: 0,
        ),
        (r"must take labels and logits by place; it takes \['x'\]", lambda x: 0),
        (r"must take labels and logits by place; it takes \['x', 'y'\]", lambda x, *, y=0: 0),
        (r"must be callable as \w+\(labels, logits\)", partial(lambda q, z, x, y: 0, 3.0)),
        ("must take labels first, and logits second; its first", lambda logits, labels: logits),
    ],
)
def test_what_is_no_loss_of_labels_and_logits_is_refused(audits, match, function):
    name = "eager_fn" if audits is modes else "loss_fn"
    refused(TypeError, f"`{name}` .*{match}", audits, function, np)


def test_the_compiled_function_is_checked_by_its_name():
    match = "`compiled_fn` must be a function of .*; got None"
    refused(TypeError, match, audit_modes, computes, None, np)


@pytest.mark.parametrize("audits", AUDITS.values(), ids=AUDITS)
def test_a_namespace_is_no_name(audits):
    match = "`xp` must be the namespace of an array library"
    refused(TypeError, match, audits, computes, "numpy")


@pytest.mark.parametrize(
    ("error", "match", "options"),
    [
        (ValueError, "`samples` must be at least 1; got 0", {"samples": 0}),
        (TypeError, "`samples` must be a whole number; got 1.5. Pass an int", {"samples": 1.5}),
        (TypeError, "`samples` must be a whole number; got '3'", {"samples": "3"}),
        (TypeError, "`samples` must be a whole number; got None", {"samples": None}),
        (TypeError, "`samples` must be a whole number; got True", {"samples": True}),
        (ValueError, "`classes` must be at least 2; got 1", {"classes": 1}),
        (TypeError, "`classes` must be a whole number; got 2.0", {"classes": 2.0}),
        (TypeError, "`classes` must be a whole number; got '3'", {"classes": "3"}),
        (ValueError, "`classes` must be None for sigmoid_focal,", {"classes": 3, **FOCAL}),
    ],
)
@pytest.mark.parametrize("audits", [audit, modes])
def test_samples_and_classes_are_whole_numbers(audits, error, match, options):
    refused(error, match, audits, computes, np, **options)


@numpy_only
def test_classes_are_of_any_loss_over_classes():
    for loss in (None, "softmax_cross_entropy", "sparse_softmax_cross_entropy"):
        assert audit(lambda z, x: 0, np, "float32", loss=loss, classes=np.int64(3), samples=1)


# --- functions and flags ------------------------------------------------------------


@pytest.mark.parametrize("function", ["auto", True, False, 0, Report])
@pytest.mark.parametrize(
    ("audits", "name"),
    [
        (audit, "gradient_fn"),
        (audit, "hessian_fn"),
        (audit_reduction, "gradient_fn"),
        (audit_reduction, "unreduced_fn"),
    ],
)
def test_other_functions_are_functions_or_none(audits, name, function):
    match = f"`{name}` must be a function, or None; got"
    refused(TypeError, match, audits, computes, np, **{name: function})


@pytest.mark.parametrize("name", ["gradient_fn", "unreduced_fn"])
def test_other_functions_take_what_the_loss_takes(name):
    def masked(labels, logits, where=None):
        raise AssertionError("not called")

    match = rf"`{name}` must take `where`, as `loss_fn` does; it takes \['labels', 'logits'\]"
    refused(TypeError, match, audit_reduction, masked, np, **{name: lambda labels, logits: logits})


@pytest.mark.parametrize("soft", ["no", 1, None])
@pytest.mark.parametrize("audits", [audit, audit_reduction])
def test_soft_labels_are_true_or_false(audits, soft):
    match = f"`soft_labels` must be True or False; got {soft!r}"
    refused(TypeError, match, audits, computes, np, soft_labels=soft)


# --- reductions ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "match", "options"),
    [
        (ValueError, "Invalid Reduction Key mean", {"reduction": "mean"}),
        (ValueError, r"`shapes` must be some of \('full', .*; got \['row'\]", {"shapes": ["row"]}),
        (ValueError, r"`shapes` must be some of \('full', .*; got \[\]", {"shapes": []}),
        (TypeError, "`shapes` must be a sequence of names among .*; got 3", {"shapes": 3}),
        (
            TypeError,
            "`shapes` must be a sequence of .*; got 'full'",
            {"shapes": "full"},
        ),
        (TypeError, "`axis` must be an integer; got str", {"axis": "-1"}),
        (TypeError, "`axis` must be an integer; got float", {"axis": 1.0}),
        (TypeError, "`axis` must be an integer; got bool", {"axis": True}),
        (TypeError, "`axis` must be an integer; got str", {"axis": (0, "1")}),
        (ValueError, "`axis` must be among the 2 axes of the losses; got 5", {"axis": 5}),
        (ValueError, "`axis` must be among the 2 axes of the losses; got 2", {"axis": 2}),
        (ValueError, "`axis` must be among the 2 axes of the losses; got -3", {"axis": -3}),
        (ValueError, "`axis` must name each axis once; got", {"axis": (1, -1)}),
        (ValueError, "`axis` is empty: nothing would be reduced", {"axis": ()}),
        (ValueError, "`axis` must be None where `reduction` is", {"axis": 1, "reduction": "none"}),
        (TypeError, "`label_smoothing` must be .* got '0.1'", {"label_smoothing": "0.1"}),
        (TypeError, "`label_smoothing` must be .* got None", {"label_smoothing": None}),
        (ValueError, "`label_smoothing` must be 0 or more, .* got nan", {"label_smoothing": NAN}),
        (ValueError, "`label_smoothing` must be 0 or more, .* got -0.1", {"label_smoothing": -0.1}),
        (ValueError, "`label_smoothing` .* below 1; got 1.0. Pass 0", {"label_smoothing": 1}),
        (ValueError, "`label_smoothing` .* below 1; got 1.5. Pass 0", {"label_smoothing": 1.5}),
        (TypeError, "`class_weights` must be a sequence .* got 2.0", {"class_weights": 2.0}),
        (TypeError, "`class_weights` must be a sequence .* got 'ab'", {"class_weights": "ab"}),
        (TypeError, "`class_weights` must be a sequence", {"class_weights": {0: 1.0, 1: 2.0}}),
        (TypeError, "`class_weights` must be a sequence", {"class_weights": np.array(2.0)}),
        (TypeError, r"`class_weights\[1\]` must be a single", {"class_weights": [1.0, "2"]}),
        (ValueError, "`class_weights` must be 0 or more, and", {"class_weights": [1.0, NAN]}),
        (ValueError, "`class_weights` must be 0 or more, and", {"class_weights": [1.0, INF]}),
        (ValueError, "`class_weights` must be 0 or more, and", {"class_weights": [-1.0, 1.0]}),
        (ValueError, "`class_weights` must be 2 numbers for", {"class_weights": (1, 2, 3)}),
        (ValueError, "`class_weights` must be 3 num", {"class_weights": np.ones(2), **SOFTMAX}),
        (ValueError, "`ignore_index` is for labels that are num", {"ignore_index": -1, **SOFTMAX}),
        (TypeError, "`ignore_index` must be a whole number; got '1'", {"ignore_index": "1"}),
        (TypeError, "`rows` must be a whole number; got 1000000.0", {"rows": 1e6}),
        (TypeError, "`rows` must be a whole number; got 'x'", {"rows": "x"}),
        (ValueError, "`rows` must be at least 0; got -1", {"rows": -1}),
        (ValueError, "`rows` must be 0, .* or at least 1000; got 5", {"rows": 5}),
        (ValueError, "`rows` must be 0, .* or at least 1000; got 999", {"rows": 999}),
        (TypeError, "`max_ulp` must be a single number; got '4'", {"max_ulp": "4"}),
        (TypeError, "`max_ulp` must be a single number; got None", {"max_ulp": None}),
        (ValueError, "`max_ulp` must be 0 or more; got -1.0", {"max_ulp": -1}),
        (ValueError, "`max_ulp` must be 0 or more; got nan", {"max_ulp": NAN}),
    ],
)
def test_what_is_said_of_a_reduction_is_checked(error, match, options):
    refused(error, match, audit_reduction, computes, np, **options)


@numpy_only
@pytest.mark.parametrize(
    "options",
    [
        {"axis": np.int64(-1)},
        {"axis": [-1]},
        {"axis": (np.int64(1),), "max_ulp": np.float32(64), "label_smoothing": np.float64(0)},
        {"axis": 1, "rows": 1000, "max_ulp": INF, "soft_labels": np.True_},
        {"axis": 1, "rows": np.int64(0), "class_weights": np.ones(2), "pos_weight": np.float32(1)},
        {"axis": 1, "class_weights": [1, 1], "pos_weight": None, "alpha": None},
    ],
)
def test_numbers_of_numpy_and_lists_are_as_good(options):
    axis = options["axis"][0] if isinstance(options["axis"], (list, tuple)) else options["axis"]

    def mean(labels, logits):
        losses = xbce.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
        return np.mean(losses, axis=axis)

    audit_reduction(mean, np, ["float32"], **{"rows": 0} | options).check()


# --- reports ------------------------------------------------------------------------


@pytest.mark.parametrize("told", ["check", "failures", "to_markdown", "plot"])
@pytest.mark.parametrize(
    ("error", "match", "max_ulp"),
    [
        (TypeError, "`max_ulp` must be a single number; got '4'", "4"),
        (TypeError, "`max_ulp` must be a single number; got None", {"loss": None}),
        (TypeError, "`max_ulp` must be a single number; got True", True),
        (ValueError, "`max_ulp` must be 0 or more; got nan", NAN),
        (ValueError, "`max_ulp` must be 0 or more; got -4", {"loss": 4, "gradient": -4}),
        (ValueError, "`max_ulp` must have keys among", {"los": 4}),
    ],
)
def test_a_promise_is_of_numbers(told, error, match, max_ulp):
    refused(error, match, getattr(Report("empty"), told), max_ulp=max_ulp)


@pytest.mark.parametrize(
    ("error", "match", "arguments"),
    [
        (ValueError, r"`quantity` must be one of \('loss', .*; got 'grad'", ("grad",)),
        (TypeError, "`quantity` must be a string among .*; got None", (None,)),
        (ValueError, r"`dtype` must be one of \('float16', .*; got 'float31'", ("loss", "float31")),
        (TypeError, "`dtype` must be a string among", ("loss", np.float32)),
    ],
)
def test_the_largest_error_is_that_of_a_quantity_and_a_dtype(error, match, arguments):
    refused(error, match, Report("empty").largest, *arguments)


def test_what_was_not_measured_has_no_largest_error():
    assert np.isnan(Report("empty").largest("hessian", "bfloat16"))


# --- adapters -----------------------------------------------------------------------


def of_logits(input, target, weight=None, reduction="mean"):  # noqa: A002
    raise AssertionError("something is computed")


@pytest.mark.parametrize("adapter", [from_torch, from_optax, from_keras, from_tensorflow])
@pytest.mark.parametrize("loss", [None, "binary_crossentropy", 1.0])
def test_what_is_adapted_can_be_called(adapter, loss):
    refused(TypeError, f"`loss` must be a function, or .*; got {loss!r}", adapter, loss)
    refused(TypeError, "`loss` must be a function, or", from_sklearn, loss)


@pytest.mark.parametrize(
    "adapter", [from_torch, from_optax, from_keras, from_tensorflow, from_sklearn]
)
def test_a_class_is_no_loss_but_an_object_of_it_is(adapter):
    class Loss:
        def __call__(self, first, second):
            return first

    match = r"got the class .*Loss\. Pass .*Loss\(\.\.\.\)"
    refused(TypeError, match, adapter, Loss)
    if adapter is not from_keras:  # which imports Keras
        assert callable(adapter(Loss()))


@pytest.mark.parametrize("adapter", [from_torch, from_optax, from_tensorflow])
def test_an_option_that_the_loss_does_not_have_is_named(adapter):
    match = r"of_logits takes no `reducton`; it takes \['input', .*'reduction'\]"
    refused(TypeError, match, adapter, of_logits, reducton="none")
    assert callable(adapter(of_logits, reduction="none"))
    assert callable(adapter(lambda x, z, **options: x, reducton="none"))


def test_an_option_of_a_module_goes_to_the_module():
    class Module:
        def __call__(self, *arguments, **options):
            return self.forward(*arguments, **options)

        def forward(self, input, target):  # noqa: A002
            return input

    match = r"Module takes no `reduction`; .* Pass it where the object is made\."
    refused(TypeError, match, from_torch, Module(), reduction="none")


@pytest.mark.parametrize(
    ("error", "match", "takes"),
    [
        (TypeError, r"`takes` must be a sequence .* got 'weights'\. Pass \(\"weights", "weights"),
        (TypeError, "`takes` must be a sequence of names among .* got 1", 1),
        (ValueError, r"`takes` must have names among .* got \['weight'\]", ["weight"]),
        (ValueError, "`takes` must have names among", [["weights"]]),
    ],
)
def test_what_a_loss_takes_is_weights_and_where(error, match, takes):
    refused(error, match, from_torch, of_logits, takes=takes)


def test_flags_and_reductions_of_adapters_are_checked():
    refused(TypeError, "`over_classes` must be True or", from_keras, of_logits, over_classes="no")
    refused(TypeError, "`reduced` must be True or False", from_sklearn, of_logits, reduced=1)
    refused(TypeError, "`reduce` must be a function, or None", from_optax, of_logits, "mean")


@pytest.mark.backend("torch")
@pytest.mark.parametrize("audits", AUDITS.values(), ids=AUDITS)
def test_a_loss_of_pytorch_is_not_audited_with_other_arrays(audits):
    torch = pytest.importorskip("torch")
    loss = from_torch(torch.nn.functional.binary_cross_entropy_with_logits, reduction="none")
    match = "`xp` must be torch for a `.*_fn` of torch; got numpy"
    refused(TypeError, match, audits, loss, np)
    match = r"`dtypes` must be names .* got torch.float32\. Pass 'float32'"
    refused(TypeError, match, audits, loss, torch, torch.float32)
    match = r"got the class BCEWithLogitsLoss\. Pass BCEWithLogitsLoss\(\.\.\.\)"
    refused(TypeError, match, from_torch, torch.nn.BCEWithLogitsLoss)


# --- the oracle ---------------------------------------------------------------------


def test_the_oracle_says_which_losses_there_are():
    assert all(f'"{loss.name}"' in (exact_loss.__doc__ or "") for loss in LOSSES)


@numpy_only
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_every_loss_has_an_exact_hessian(loss):
    labels = np.array([0]) if loss.class_numbers else np.array([[1.0, 0.0]])
    logits = np.array([[0.5, -0.5]])
    assert exact_hessian(labels=labels, logits=logits, loss=loss).shape == logits.shape
