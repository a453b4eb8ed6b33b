"""What holds numbers but is no array: the error says how to make one of it."""

import importlib
import re
import warnings

import numpy as np
import pytest
from arguments import ARRAYS, BESIDE, FUNCTIONS, PLACES, flat, good, message, parameters_of

from xbce import losses, nn

numpy_only = pytest.mark.backend("numpy")
torch_only = pytest.mark.backend("torch")


# --- TensorFlow and Keras -------------------------------------------------------

EAGER = {
    "EagerTensor": "tensorflow.python.framework.ops",
    "ResourceVariable": "tensorflow.python.ops.resource_variable_ops",
}
SYMBOLIC = {
    "SymbolicTensor": "tensorflow.python.framework.ops",
    "Tensor": "tensorflow.python.framework.ops",
    "KerasTensor": "keras.src.backend.common.keras_tensor",
}


def stand_in(name, module, **attributes):
    """An object of a class of that name, so that its library need not be installed."""
    return type(name, (), {"__module__": module, **attributes})()


def of_unknown_rank(self):
    raise ValueError("Cannot take the length of shape with unknown rank.")


@numpy_only
@pytest.mark.parametrize(("function", "argument"), PLACES)
def test_an_eager_tensor_of_tensorflow_is_sent_to_tf_nn_or_through_numpy(function, argument):
    for name, module in EAGER.items():
        tensor = stand_in(name, module, shape=(3, 1), numpy=lambda self: np.ones((3, 1)))
        text = message(TypeError, function, **{**good(function), argument: tensor})
        assert f"`{argument}`" in text
        assert name in text
        assert "tf.nn" in text
        assert f"{argument}.numpy()" in text


@numpy_only
@pytest.mark.parametrize("shape", [(3, 1), property(of_unknown_rank)], ids=["known", "unknown"])
@pytest.mark.parametrize(("function", "argument"), PLACES)
def test_a_symbolic_tensor_of_tensorflow_is_sent_to_tf_nn_only(function, argument, shape):
    for name, module in SYMBOLIC.items():
        tensor = stand_in(name, module, shape=shape)
        text = message(TypeError, function, **{**good(function), argument: tensor})
        assert f"`{argument}`" in text
        assert name in text
        assert "tf.nn" in text
        assert ".numpy()" not in text  # it has no values yet
        assert "asarray" not in text


@numpy_only
def test_the_tensors_of_an_installed_tensorflow_are_known():
    tf = pytest.importorskip("tensorflow")
    function = nn.sigmoid_cross_entropy_with_logits
    texts = []

    def note(tensor):
        texts.append(message(TypeError, function, labels=tensor, logits=tensor))
        return tensor

    note(tf.zeros((3, 2)))
    note(tf.Variable(tf.zeros((3, 2))))
    tf.function(note, autograph=False)(tf.zeros((3, 2)))
    assert all("`labels`" in text and "tf.nn" in text for text in texts)
    assert ["labels.numpy()" in text for text in texts] == [True, True, False]


# --- lists ----------------------------------------------------------------------

ALIASES = {"np": "numpy", "jnp": "jax.numpy", "da": "dask.array", "cp": "cupy"}
CALL = re.compile(r"(?:\w+\.)+(?:asarray|from_array)\([^()]*\)")


def follow(text, **arguments):
    """What the advice in an error message gives, run as it stands."""
    found = CALL.search(text)
    assert found, text
    module = found[0].partition("(")[0].rpartition(".")[0]
    namespace = importlib.import_module(ALIASES.get(module, module))
    root = module.partition(".")[0]
    known = {root: namespace if root in ALIASES else importlib.import_module(root)}
    return eval(found[0], known, arguments)


LISTED = [
    pytest.param(function, argument, id=f"{function.__name__}-{argument}")
    for function in (
        nn.weighted_cross_entropy_with_logits,
        losses.sigmoid_cross_entropy,
        losses.sparse_softmax_cross_entropy,
    )
    for argument in (*ARRAYS, *BESIDE)
    if argument in parameters_of(function)
]


def listed(function, argument):
    """A list that would do for the argument, were it an array."""
    if argument in ("weights", "where"):
        value = [True, False, True] if argument == "where" else [1.0, 2.0, 0.5]
        return value if "softmax" in function.__name__ else [[one] for one in value]
    return [1.0, 3.0] if argument == "pos_weight" else good(function)[argument].tolist()


@pytest.mark.parametrize("kind", [list, tuple])
@pytest.mark.parametrize(("function", "argument"), LISTED)
def test_a_list_beside_an_array_becomes_one_of_the_same_library(
    xp, array, function, argument, kind
):
    def make(values):
        return array(values, xp.int32 if values.dtype.kind == "i" else xp.float32)

    arguments = good(function, make)
    value = listed(function, argument)
    expected = flat(function(**{**good(function), argument: np.asarray(value)}))
    arguments[argument] = kind(value)
    text = message(TypeError, function, **arguments)
    assert f"`{argument}`" in text
    assert kind.__name__ in text
    made = follow(text, **arguments)
    beside = next(arguments[other] for other in arguments if other != argument)
    assert type(made) is type(beside)
    result = function(**{**arguments, argument: made})
    np.testing.assert_allclose(flat(result), expected, rtol=1e-5)


@numpy_only
@pytest.mark.parametrize("function", FUNCTIONS)
def test_where_all_are_lists_numpy_will_do(function):
    arguments = {
        argument: value.tolist() if isinstance(value, np.ndarray) else value
        for argument, value in good(function).items()
    }
    assert "numpy.asarray(" in message(TypeError, function, **arguments)


@pytest.mark.parametrize(
    "library", [pytest.param(name, marks=pytest.mark.backend(name)) for name in ("numpy", "torch")]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_soft_labels_in_a_list_get_the_dtype_that_nn_wants(library, dtype):
    xp = pytest.importorskip(library)
    logits = xp.zeros((2,), dtype=getattr(xp, dtype))
    function = nn.sigmoid_cross_entropy_with_logits
    text = message(TypeError, function, labels=[0.25, 0.5], logits=logits)
    labels = follow(text, labels=[0.25, 0.5], logits=logits)
    assert function(labels=labels, logits=logits).dtype == logits.dtype


# --- tensors of PyTorch that are not dense --------------------------------------


def torch_array(array):
    return pytest.importorskip("torch").asarray(np.asarray(array))


def quietly(make):
    """What `make` gives of a tensor of ones; PyTorch warns that some layouts are new."""
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make(torch, torch.ones(3, 2))


LAYOUTS = {
    "COO": lambda torch, ones: ones.to_sparse(),
    "CSR": lambda torch, ones: ones.to_sparse_csr(),
    "CSC": lambda torch, ones: ones.to_sparse_csc(),
    "BSR": lambda torch, ones: ones.to_sparse_bsr((1, 1)),
    "MKLDNN": lambda torch, ones: ones.to_mkldnn(),
}


@torch_only
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("function", "argument"), PLACES)
def test_a_tensor_that_is_not_dense_is_to_be_made_so(function, argument, layout):
    torch = pytest.importorskip("torch")
    if layout == "MKLDNN" and not torch.backends.mkldnn.is_available():
        pytest.skip("PyTorch was built without MKLDNN")
    bad = quietly(LAYOUTS[layout])
    text = message(TypeError, function, **{**good(function, torch_array), argument: bad})
    assert f"`{argument}`" in text
    assert f"{argument}.to_dense()" in text


@torch_only
@pytest.mark.parametrize("layout", ["strided", "jagged"])
@pytest.mark.parametrize(("function", "argument"), PLACES)
def test_a_nested_tensor_is_to_be_padded_and_masked(function, argument, layout):
    def nested(torch, ones):
        rows = [torch.ones(2), torch.ones(3)]
        return torch.nested.nested_tensor(rows, layout=getattr(torch, layout))

    bad = quietly(nested)
    text = message(TypeError, function, **{**good(function, torch_array), argument: bad})
    assert f"`{argument}`" in text
    assert "torch.nested.to_padded_tensor" in text
    assert "where=" in text


@torch_only
def test_labels_and_logits_that_are_both_nested_are_refused():
    def nested(torch, ones):
        return torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)

    bad = quietly(nested)
    function = nn.sigmoid_cross_entropy_with_logits
    assert "to_padded_tensor" in message(TypeError, function, labels=bad, logits=bad)


# --- pandas ---------------------------------------------------------------------


@numpy_only
@pytest.mark.parametrize("shape", [(3, 2), (3, 1), (3,)], ids=str)
@pytest.mark.parametrize(("function", "argument"), PLACES)
def test_a_data_frame_is_to_become_an_array(function, argument, shape):
    for module in ("pandas.core.frame", "pandas"):  # before pandas 3, and since
        frame = stand_in("DataFrame", module, shape=shape, ndim=len(shape))
        text = message(TypeError, function, **{**good(function), argument: frame})
        assert f"`{argument}`" in text
        assert "DataFrame" in text
        assert f"{argument}.to_numpy()" in text


@numpy_only
def test_the_frames_and_series_of_an_installed_pandas_are_known():
    pandas = pytest.importorskip("pandas")
    column, table = pandas.DataFrame({"a": [0, 1, 1]}), pandas.DataFrame({"a": [0], "b": [1]})
    for function, argument in (place.values for place in PLACES):
        for bad in (column, table, column["a"], column["a"].array, column.index):
            text = message(TypeError, function, **{**good(function), argument: bad})
            assert f"`{argument}`" in text
            assert f"{argument}.to_numpy()" in text
