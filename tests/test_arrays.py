"""What comes out is of the kind of the logits, and what goes in stays as it was."""

import subprocess
import sys

import array_api_compat
import numpy as np
import pytest
from array_api_extra.testing import lazy_xp_function
from exact import ulps

from xbce import sigmoid_cross_entropy, sigmoid_cross_entropy_with_logits
from xbce._backends import of
from xbce.derivatives import value_and_grad
from xbce.losses import compute_weighted_loss
from xbce.testing import as_numpy

lazy_xp_function(sigmoid_cross_entropy)
lazy_xp_function(sigmoid_cross_entropy_with_logits)
lazy_xp_function(value_and_grad)

SHAPES = [(), (0,), (1,), (7,), (0, 3), (3, 0, 2), (2, 1, 3, 2)]


def loss(labels, logits):
    return sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("label_kind", ["own", "bool", "int8", "int32", "uint8"])
def test_result_is_like_logits(xp, device, dtype, array, shape, label_kind):
    rng = np.random.default_rng(1)
    x, z = rng.normal(size=shape) * 4, (rng.random(shape) < 0.5).astype(int)
    kind = dtype if label_kind == "own" else getattr(xp, label_kind)
    logits, labels = array(x, dtype), array(z, kind)
    results = {
        "losses": loss(labels, logits),
        "gradient": value_and_grad(labels, logits)[1],
        "reduced": sigmoid_cross_entropy(labels, logits),
    }
    for name, result in results.items():
        assert result.dtype == dtype, name
        assert tuple(result.shape) == (() if name == "reduced" else shape), name
        if device is not None:
            assert result.device == device, name
        assert array_api_compat.array_namespace(result) is array_api_compat.array_namespace(logits)
    exact = np.logaddexp(0, np.where(z == 1, -1, 1) * as_numpy(logits).reshape(shape))
    assert ulps(results["losses"], exact) <= 4


def layouts():
    base = np.linspace(-6, 6, 60).reshape(5, 12)
    frozen = base.copy()
    frozen.flags.writeable = False
    yield pytest.param(frozen, id="read-only")
    yield pytest.param(base[:, ::2], id="strided")
    yield pytest.param(base[::-1, ::-3], id="negative strides")
    yield pytest.param(base.T, id="transposed")
    yield pytest.param(np.asfortranarray(base), id="Fortran order")
    yield pytest.param(np.broadcast_to(base[:1], (5, 12)), id="broadcast")
    yield pytest.param(base.astype(">f8"), id="big-endian")
    yield pytest.param(np.ma.getdata(base).view(np.recarray).view(np.ndarray), id="view")


@pytest.mark.parametrize("x", list(layouts()))
def test_memory_layouts_of_numpy(x):
    z = (x > 1).astype(x.dtype)
    before = x.copy(), z.copy()
    actual = loss(z, x)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(z, before[1])
    plain = loss(np.array(z, "f8", order="C"), np.array(x, "f8", order="C"))
    np.testing.assert_array_equal(actual, plain)
    assert actual.dtype == x.dtype
    value, gradient = value_and_grad(z, x, np.ones((x.shape[0], 1)))
    np.testing.assert_allclose(value, plain.mean(), rtol=1e-15)
    assert gradient.shape == x.shape


@pytest.mark.parametrize("step", [slice(None, None, 2), slice(1, None, 3)])
def test_strided_views(xp, array, step):
    x, z = array([0.5, -1.0, 2.0, -3.0, 4.0, -5.0]), array([1.0, 0.0, 1.0, 1.0, 0.0, 0.0])
    np.testing.assert_array_equal(as_numpy(loss(z[step], x[step])), as_numpy(loss(z, x))[step])


def test_inputs_are_not_written_to(array):
    x, z = array([[0.5, -1.0], [np.inf, -3.0]]), array([[1.0, 0.0], [1.0, 0.25]])
    w = array([[2.0], [0.0]])
    before = [as_numpy(a).copy() for a in (x, z, w)]
    loss(z, x)
    value_and_grad(z, x, w, 0.1)
    for was, now in zip(before, (x, z, w), strict=True):
        np.testing.assert_array_equal(was, as_numpy(now))


def test_the_array_of_the_caller_does_not_come_back(array, dtype):
    given = array([1.0, 2.0, 3.0], dtype)
    for weights in (1.0, 1, True, np.float64(1)):
        for reduction in ("none", "weighted_sum"):
            result = compute_weighted_loss(given, weights, reduction=reduction)
            assert result is not given
    if isinstance(given, np.ndarray):
        result = compute_weighted_loss(given, reduction="none")
        assert not np.shares_memory(result, given)


def test_sixteen_bits_are_computed_in_float32_and_rounded_once(xp, array, dtype):
    if "16" not in str(dtype):
        pytest.skip("not a 16-bit dtype")
    x, z, w = (
        np.linspace(-9, 9, 181),
        np.tile([0.0, 1.0, 0.5], 61)[:181],
        np.tile([3.0, 0.1], 91)[:181],
    )
    x, z, w = (array(a, dtype) for a in (x, z, w))
    wide = [xp.astype(a, xp.float32) for a in (x, z, w)]
    np.testing.assert_array_equal(
        as_numpy(loss(z, x)), as_numpy(xp.astype(loss(wide[1], wide[0]), dtype))
    )
    for narrow, full in zip(
        value_and_grad(z, x, w), value_and_grad(wide[1], wide[0], wide[2]), strict=True
    ):
        np.testing.assert_array_equal(as_numpy(narrow), as_numpy(xp.astype(full, dtype)))


def test_labels_of_another_float_are_cast_in_losses(xp, array):
    x = array([[0.5, -1.0], [2.0, 0.0]])
    for other in {"float16", "bfloat16", "float64"} & set(dir(xp)):
        if other == "float64" and of(xp).sums_in(xp, x) != xp.float64:
            continue  # not on this device
        z = xp.astype(array([[1.0, 0.5], [0.25, 0.0]]), getattr(xp, other))
        expected = sigmoid_cross_entropy(xp.astype(z, xp.float32), x)
        np.testing.assert_array_equal(as_numpy(sigmoid_cross_entropy(z, x)), as_numpy(expected))


def test_subclasses_of_torch_tensors():
    torch = pytest.importorskip("torch")
    parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    sigmoid_cross_entropy(torch.ones(2), parameter).backward()
    assert parameter.grad is not None


def test_import_imports_no_array_library_but_numpy():
    code = (
        "import sys, xbce; libraries = {'torch', 'cupy', 'jax', 'dask', 'array_api_strict',"
        " 'mparray', 'ndonnx', 'cubed', 'blosc2', 'sparse', 'scipy', 'pandas', 'tensorflow'};"
        "print(sorted(libraries & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
