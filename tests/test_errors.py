"""Bad input: each with its exception, and a message that names it and says what to pass."""

from types import SimpleNamespace

import numpy as np
import pytest

import xbce
from xbce import (
    _arguments,
    _backends,
    _numbers,
    sigmoid_cross_entropy,
    sigmoid_cross_entropy_with_logits,
)
from xbce.derivatives import value_and_grad
from xbce.losses import Reduction, compute_weighted_loss

X = np.zeros((3, 2), "f4")
Z = np.zeros((3, 2), "f4")


def nn(labels, logits, **kwargs):
    return sigmoid_cross_entropy_with_logits(labels=labels, logits=logits, **kwargs)


ELEMENT_WISE = [
    (None, X, ValueError, r"^Both labels and logits must be provided"),
    (Z, None, ValueError, r"^Both labels and logits must be provided"),
    (Z[:2], X, ValueError, r"must have the same shape; got \(3, 2\) and \(2, 2\)"),
    (Z[:, :1], X, ValueError, r"must have the same shape"),
    (np.float32(1), X, ValueError, r"must have the same shape"),
    (Z, np.float32(0), ValueError, r"must have the same shape; got \(\) and \(3, 2\)"),
    (Z[:2].astype(complex), X, TypeError, r"`labels` must be of the dtype"),
    (Z[None], X, ValueError, r"must have the same shape"),
    (Z.tolist(), X, TypeError, r"`labels` must be an array.*got builtins.list.*numpy.asarray"),
    (Z, X.tolist(), TypeError, r"`logits` must be an array.*got builtins.list"),
    (1.0, X, TypeError, r"`labels` must be an array.*got builtins.float"),
    (np.ma.masked_array(Z), X, TypeError, r"`labels`.*MaskedArray.*filled"),
    (Z.view(np.matrix), X, TypeError, r"`labels`.*matrix.*asarray"),
    (Z, X.astype(int), TypeError, r"`logits` must be of a real floating dtype.*got int64"),
    (Z, X.astype(bool), TypeError, r"`logits` must be of a real floating dtype.*got bool"),
    (Z, X.astype(complex), TypeError, r"`logits` must be of a real floating dtype.*complex128"),
    (Z, X.astype(np.longdouble), TypeError, r"`logits` must be of a real floating dtype"),
    (Z.astype(complex), X, TypeError, r"`labels` must be of the dtype of `logits`.*complex128"),
]


@pytest.mark.parametrize(("labels", "logits", "error", "message"), ELEMENT_WISE)
def test_element_wise(labels, logits, error, message):
    with pytest.raises(error, match=message):
        nn(labels, logits)


@pytest.mark.parametrize("other", [np.float64, np.float16])
def test_another_float_for_labels_is_an_error_in_nn(other):
    with pytest.raises(TypeError, match=r"`labels` must be of the dtype of `logits`, float32"):
        nn(Z.astype(other), X)
    assert sigmoid_cross_entropy(Z.astype(other), X).dtype == np.float32


LOSSES = [
    ({"multi_class_labels": None}, ValueError, r"^Argument `multi_class_labels` must not be None"),
    ({"logits": None}, ValueError, r"^Argument `logits` must not be None"),
    ({"weights": None}, ValueError, r"^Argument `weights` must not be None"),
    ({"multi_class_labels": Z[:2]}, ValueError, r"must have the same shape"),
    ({"multi_class_labels": Z.tolist()}, TypeError, r"`multi_class_labels` must be an array"),
    ({"multi_class_labels": Z + 0j}, TypeError, r"`multi_class_labels` must be of the dtype"),
    ({"logits": X.astype(int)}, TypeError, r"`logits` must be of a real floating dtype"),
    (
        {"weights": np.ones(3)},
        ValueError,
        r"^weights can not be broadcast to values\. values\.rank=2\. weights\.rank=1\. "
        r"values\.shape=\(3, 2\)\. weights\.shape=\(3,\)\..*weights\[:, None\]",
    ),
    ({"weights": np.ones(2)}, ValueError, r"^weights can not be broadcast.*weights\.rank=1"),
    ({"weights": np.ones((1, 3, 2))}, ValueError, r"^weights can not be broadcast.*rank=3"),
    (
        {"weights": np.ones((2, 2))},
        ValueError,
        r"^weights can not be broadcast to values\. values\.shape=\(3, 2\)\. weights\.shape=\(2,",
    ),
    ({"weights": np.ones((3, 0))}, ValueError, r"^weights can not be broadcast"),
    ({"weights": [1.0, 2.0]}, TypeError, r"`weights` must be an array"),
    ({"weights": "1"}, TypeError, r"`weights` must be an array"),
    ({"weights": 1j}, TypeError, r"`weights` must be real"),
    ({"weights": np.ones((3, 1), complex)}, TypeError, r"`weights` must be of a real dtype"),
    ({"label_smoothing": None}, ValueError, r"^Argument `label_smoothing` must not be None"),
    ({"weights": np.ma.masked}, TypeError, r"`weights`.*Masked"),
    ({"weights": np.timedelta64(5, "ns")}, TypeError, r"`weights` must be of a real dtype"),
    ({"weights": 10**400}, ValueError, r"`weights` must be a number that a float can hold"),
    ({"label_smoothing": [0.1]}, TypeError, r"`label_smoothing`"),
    ({"label_smoothing": np.ones(2)}, ValueError, r"`label_smoothing` must be a scalar"),
    (
        {"reduction": "mean"},
        ValueError,
        r"^Invalid Reduction Key mean\. Key should be one of "
        r"\('none', 'weighted_sum', 'weighted_mean', 'weighted_sum_over_batch_size', "
        r"'weighted_sum_by_nonzero_weights', 'weighted_sum_by_nonzero_weights'\)\.",
    ),
    ({"reduction": None}, ValueError, r"^Invalid Reduction Key None"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), LOSSES)
@pytest.mark.parametrize("function", [sigmoid_cross_entropy, value_and_grad])
def test_losses(function, arguments, error, message):
    with pytest.raises(error, match=message):
        function(**({"multi_class_labels": Z, "logits": X} | arguments))


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (None, ValueError, r"^Argument `losses` must not be None"),
        (X.astype(int), TypeError, r"`losses` must be of a real floating dtype"),
        ([1.0], TypeError, r"`losses` must be an array"),
    ],
)
def test_compute_weighted_loss(given, error, message):
    with pytest.raises(error, match=message):
        compute_weighted_loss(given)


def test_name_and_scope_stand_in_messages():
    with pytest.raises(ValueError, match="in 'clicks'"):
        nn(Z[:1], X, name="clicks")
    with pytest.raises(ValueError, match="in 'clicks'"):
        nn(None, X, name="clicks")
    with pytest.raises(TypeError, match="in 'clicks'"):
        nn(Z.tolist(), X, name="clicks")
    for bad in (
        {"logits": X[:1]},
        {"logits": None},
        {"weights": np.ones(3)},
        {"weights": None},
        {"reduction": "mean"},
        {"label_smoothing": np.ones(2)},
    ):
        with pytest.raises(ValueError, match="in 'clicks'"):
            sigmoid_cross_entropy(**({"multi_class_labels": Z, "logits": X} | bad), scope="clicks")


def test_arguments_of_nn_are_keyword_only():
    with pytest.raises(TypeError):
        sigmoid_cross_entropy_with_logits(Z, X)  # type: ignore[misc]


def test_libraries_do_not_mix(xp, array):
    x = array([0.0, 1.0])
    if isinstance(x, np.ndarray):
        pytest.skip("NumPy itself")
    z = np.zeros(2)
    with pytest.raises(TypeError, match=r"one library; got `labels` of numpy and `logits` of \w+"):
        nn(z, x)
    with pytest.raises(TypeError, match=r"one library; got `multi_class_labels` of numpy"):
        sigmoid_cross_entropy(z, x)
    with pytest.raises(
        TypeError, match=r"one library; got `logits` of [\w-]+ and `weights` of numpy"
    ):
        sigmoid_cross_entropy(x, x, weights=np.ones(2))


def test_devices_do_not_mix():
    strict = pytest.importorskip("array_api_strict")
    x = strict.zeros(2, dtype=strict.float32, device=strict.Device("device1"))
    z = strict.zeros(2, dtype=strict.float32, device=strict.Device("device2"))
    with pytest.raises(
        ValueError, match=r"one device; got `labels` on .*device2.* and `logits` on"
    ):
        nn(z, x)
    with pytest.raises(
        ValueError, match=r"one device; got `logits` on .*device1.* and `weights` on"
    ):
        sigmoid_cross_entropy(x, x, z)


def test_foreign_containers():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(TypeError, match=r"`labels`.*toarray"):
        nn(sparse.csr_matrix(Z), X)


@pytest.mark.parametrize("library", ["torch", "jax.numpy"])
@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2"])
def test_eight_bit_floats(library, name):
    xp = pytest.importorskip(library)
    x = xp.zeros(2, dtype=getattr(xp, name))
    with pytest.raises(
        TypeError, match=r"`logits` must be of a real floating dtype of 16, 32 or 64"
    ):
        nn(x, x)


def test_reduction_has_the_names_and_strings_of_tensorflow():
    assert Reduction.all() == (
        "none",
        "weighted_sum",
        "weighted_mean",
        "weighted_sum_over_batch_size",
        "weighted_sum_by_nonzero_weights",
        "weighted_sum_by_nonzero_weights",
    )
    assert Reduction.SUM_OVER_NONZERO_WEIGHTS is Reduction.SUM_BY_NONZERO_WEIGHTS
    assert f"{Reduction.SUM}" == "weighted_sum"
    Reduction.validate("weighted_mean")
    Reduction.validate(Reduction.NONE)


def test_the_hint_stands_only_where_it_helps():
    for weights in (np.ones(2), np.ones((1, 3, 2))):
        with pytest.raises(ValueError, match=r"^weights can not be broadcast") as raised:
            sigmoid_cross_entropy(Z, X, weights)
        assert "weights[:, None]" not in str(raised.value)


def test_weights_never_enlarge_the_losses():
    with pytest.raises(ValueError, match=r"^weights can not be broadcast"):
        sigmoid_cross_entropy(Z[:, :1], X[:, :1], np.ones((3, 2)))


def test_byte_order_is_no_other_dtype():
    x = X.astype("f8")
    np.testing.assert_array_equal(nn(x.astype(">f8"), x), nn(x, x))


def test_dtypes_of_another_library():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    with pytest.raises(TypeError, match="`logits` must be of a real floating dtype"):
        nn(Z, X.astype(ml_dtypes.bfloat16))


def test_scalars_of_numpy_are_arrays():
    assert nn(np.float64(1), np.float64(0)) == np.log(2)


def test_devices_of_torch_do_not_mix():
    torch = pytest.importorskip("torch")
    here, there = torch.zeros(2), torch.zeros(2, device="meta")
    for call in (
        lambda: nn(here, there),
        lambda: sigmoid_cross_entropy(here, here, there),
        lambda: sigmoid_cross_entropy(here, here, torch.tensor(1.0, device="meta")),
    ):
        with pytest.raises(ValueError, match="one device"):
            call()
    # As in PyTorch, a scalar on the CPU goes with any device.
    assert sigmoid_cross_entropy(there, there, torch.tensor(0.5)).device.type == "meta"


def test_containers_that_are_no_plain_arrays():
    frame = type("DataFrame", (), {"__module__": "pandas.core.frame"})()
    with pytest.raises(TypeError, match=r"`labels`.*labels\.to_numpy\(\)"):
        nn(frame, X)
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"`labels`.*to_dense\(\)"):
        nn(torch.zeros(3, 2).to_sparse(), torch.zeros(3, 2))


def test_a_library_without_a_row_has_one_of_its_own():
    xp = SimpleNamespace(__name__="unheard_of")
    assert _backends.of(xp).name == "unheard_of"


def test_none_is_an_unknown_size():
    lazy = type("Lazy", (), {"shape": (None, 2)})()
    assert _numbers.unknown(lazy.shape[0])
    _arguments.check_shapes({"labels": X, "logits": lazy})


WRONG = [
    (ValueError, xbce.nn.weighted_cross_entropy_with_logits, "pos_weight", lambda a: a((2, 1))),
    (ValueError, xbce.nn.weighted_cross_entropy_with_logits, "pos_weight", lambda a: a((1, 1, 2))),
    (ValueError, xbce.nn.weighted_cross_entropy_with_logits, "pos_weight", lambda a: None),
    (TypeError, xbce.nn.weighted_cross_entropy_with_logits, "pos_weight", lambda a: [1.0, 1.0]),
    (ValueError, xbce.nn.sigmoid_focal_loss, "gamma", lambda a: -1),
    (TypeError, xbce.nn.sigmoid_focal_loss, "gamma", lambda a: "2"),
    (ValueError, xbce.nn.sigmoid_focal_loss, "alpha", lambda a: a((2, 1))),
    (TypeError, xbce.nn.asymmetric_sigmoid_loss, "clip", lambda a: a((1, 2))),
    (ValueError, xbce.nn.asymmetric_sigmoid_loss, "clip", lambda a: 1.0),
    (ValueError, xbce.nn.asymmetric_sigmoid_loss, "gamma_negative", lambda a: -1),
    (ValueError, xbce.nn.sparse_softmax_cross_entropy_with_logits, "axis", lambda a: 2),
    (ValueError, xbce.nn.softmax_cross_entropy_with_logits, "axis", lambda a: 2),
    (TypeError, xbce.nn.softmax_cross_entropy_with_logits, "axis", lambda a: None),
    (TypeError, xbce.nn.sparse_softmax_cross_entropy_with_logits, "labels", lambda a: a((1,))),
    (ValueError, xbce.nn.softmax_cross_entropy_with_logits, "labels", lambda a: a((1,))),
    (TypeError, xbce.losses.sigmoid_cross_entropy, "where", lambda a: a((1, 2))),
    (ValueError, xbce.losses.sigmoid_cross_entropy, "where", lambda a: a((1,)) > 0),
    (TypeError, xbce.losses.softmax_cross_entropy, "where", lambda a: [True]),
]


@pytest.mark.parametrize(("error", "function", "argument", "value"), WRONG)
def test_errors_say_which_argument_and_which_call(array, error, function, argument, value):
    x = array([[1.0, 2.0]])
    arguments = {"labels": x, "logits": x, "name": "this call"}
    if function in (xbce.losses.sigmoid_cross_entropy, xbce.losses.softmax_cross_entropy):
        first = "multi_class_labels" if "sigmoid" in function.__name__ else "onehot_labels"
        arguments = {first: x, "logits": x, "scope": "this call"}
    arguments[argument] = value(lambda shape: array(np.ones(shape)))
    with pytest.raises(error, match=f"\\b{argument}\\b.*'this call'"):
        function(**arguments)
