"""The softmax losses, of probabilities and of class numbers, against the definition."""

from functools import cache

import numpy as np
import pytest
from exact import dtype_name, exact_softmax, ulps
from helpers import by_autodiff, close, drawn, one_hot, promise
from hypothesis import given, settings
from hypothesis import strategies as st

# Functions are called through their modules: by name, the jitting variants would compile each.
from xbce import derivatives, losses, nn
from xbce.losses import Reduction
from xbce.testing import as_numpy

INF, NAN = np.inf, np.nan
search = settings(max_examples=8)


@pytest.fixture
def large(xp, device):
    """As `array`, in one chunk."""
    return lambda values, dtype: xp.asarray(values, dtype=dtype, device=device)


def softmax(z, x):
    return nn.softmax_cross_entropy_with_logits(labels=z, logits=x)


def sparse(z, x):
    return nn.sparse_softmax_cross_entropy_with_logits(labels=z, logits=x)


@cache
def rows(classes):
    """Labels and logits: every scale; ties, near ties and -inf; hard, smoothed and soft labels."""
    rng = np.random.default_rng(7)
    logits, labels = [], []
    for scale in [1] if classes == 1000 else [1e-3, 0.1, 1, 10, 100, 1000]:
        x = scale * rng.normal(size=(4, classes))
        x[1, :2] = x[1].max()
        x[2] = scale * (1 + 1e-6 * rng.normal(size=classes))
        z = one_hot(x.argmax(axis=-1), classes)
        z[1] = one_hot(classes - 1, classes)
        z[3] = rng.dirichlet(np.ones(classes))
        logits += [x, x]
        labels += [z, 0.9 * z + 0.1 / classes]
    x, z = np.concatenate(logits), np.concatenate(labels)
    x[0::8][:, 1:][z[0::8][:, 1:] == 0] = -INF
    return z, x


@pytest.mark.parametrize("classes", [2, 3, 1000])
def test_softmax_keeps_the_digits(large, dtype, classes):
    name = dtype_name(dtype)
    if classes == 1000 and name.endswith("16"):
        pytest.skip("two seconds of arbitrary precision tell nothing new of 16 bits")
    z, x = (large(values, dtype) for values in rows(classes))
    labels, logits = as_numpy(z), as_numpy(x)
    loss, slopes, bends, terms = exact_softmax(labels, logits)
    assert ulps(softmax(z, x), loss) <= promise(name, 16)
    value, actual = derivatives.softmax_value_and_grad(z, x, reduction=Reduction.NONE)
    np.testing.assert_array_equal(as_numpy(value), as_numpy(softmax(z, x)))
    assert ulps(actual, slopes, terms) <= promise(name, 16)
    first, second = derivatives.softmax_gradient_hessian(labels=z, logits=x)
    np.testing.assert_array_equal(as_numpy(first), as_numpy(actual))
    tiny = np.finfo("float64" if name == "float64" else "float32").smallest_normal
    normal = np.abs(bends) >= tiny  # of bfloat16 too
    assert ulps(second, np.where(normal, bends, as_numpy(second))) <= promise(name, 16)


def test_sigmoid_softmax_and_sparse_agree(xp, large, dtype):
    far = {"float64": 700, "float16": 9}.get(dtype_name(dtype), 80)
    x = np.concatenate([np.linspace(-far, far, 2001), np.geomspace(1e-4, far, 500)])
    pair = large(np.stack([x, 0 * x], axis=-1), dtype)
    for label in (0, 1):
        z = large(np.full(x.size, label), dtype)
        one = nn.sigmoid_cross_entropy_with_logits(labels=z, logits=large(x, dtype))
        soft = large(one_hot(np.full(x.size, 1 - label), 2), dtype)
        hard = large(np.full(x.size, 1 - label), xp.int32)
        for other in (softmax(soft, pair), sparse(hard, pair)):
            assert ulps(other, as_numpy(one)) <= 8


@pytest.mark.needs("autodiff")
def test_autodiff_is_the_closed_form_of_softmax(array):
    x = [[1, 1, 1], [1, 1, 1], [2, 2, -1], [0, -0.0, 0], [1, 2, -INF], [3, -INF, -INF]]
    z = [[1, 0, 0], [0.2, 0.3, 0.5], [0, 0.5, 0.5], [0, 0, 1], [0.4, 0.6, 0], [1, 0, 0]]
    x += [[INF, 1, 2], [INF, 1, 2], [1, 2, -INF], [1e38, -1e38, 0], [90, 0, 0], [1, 2, 3]]
    z += [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1], [1, 0, 0], [0, 0, 0]]
    p = np.asarray(
        [np.exp(np.asarray(row) - max(row)) if INF not in row else [1, 0, 0] for row in x]
    )
    p /= p.sum(axis=-1, keepdims=True)
    total = np.sum(z, axis=-1, keepdims=True)
    hessian = total * (one_hot([0] * len(p), 3) - p) * p[:, :1]  # the first row of each
    labels, logits = array(z), array(x)
    value, closed = derivatives.softmax_value_and_grad(labels, logits, reduction="none")
    assert not np.any(np.isnan(as_numpy(value)))
    slopes, second = by_autodiff(softmax, labels, logits)
    for actual, exact in ((closed, total * p - z), (slopes, total * p - z), (second, hessian)):
        np.testing.assert_allclose(as_numpy(actual), exact, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", ["int8", "int16", "int32", "int64", "uint8", "uint16"])
def test_class_numbers_of_any_integer_dtype(xp, array, kind):
    if kind == "int64" and xp.asarray([1]).dtype == xp.int32:
        kind = "int32"  # JAX with 64 bits switched off
    x = array([[1.0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]])
    labels = [0, 2, 3, 100 if kind.startswith("u") else -1]
    actual = as_numpy(sparse(array(labels, getattr(xp, kind)), x))
    want = [np.log1p(2 * np.exp(-1)), np.log(3), NAN, NAN]  # no class: values are never checked
    np.testing.assert_allclose(actual, want, rtol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, -2])
def test_classes_on_any_axis(array, axis):
    x = np.random.default_rng(3).normal(size=(2, 3, 4))
    z = np.abs(x) / 8
    actual = nn.softmax_cross_entropy_with_logits(labels=array(z), logits=array(x), axis=axis)
    last = softmax(array(np.moveaxis(z, axis, -1)), array(np.moveaxis(x, axis, -1)))
    np.testing.assert_allclose(as_numpy(actual), as_numpy(last), rtol=1e-6)


@search
@given(data=st.data())
def test_softmax_does_not_mind_shifts_and_order(xp, array, data):
    x, z = drawn(data, (2, 3), -60, 60), drawn(data, (2, 3), 0, 1)
    loss = softmax(array(z), array(x))
    assert np.all(as_numpy(loss) >= 0)
    close(softmax(array(z), array(x + 17)), loss)
    close(softmax(array(z[:, ::-1].copy()), array(x[:, ::-1].copy())), loss)


@search
@given(data=st.data())
def test_sparse_is_softmax_of_one_hot_labels(xp, array, data):
    x, labels = array(drawn(data, (2, 3), -80, 80)), [data.draw(st.integers(0, 2)) for _ in "ab"]
    close(sparse(array(labels, xp.int32), x), softmax(array(one_hot(labels, 3)), x))


def test_there_must_be_classes():
    for shape, axis in (((0, 3), 0), ((3, 0), -1)):
        x = np.ones(shape)
        with pytest.raises(ValueError, match="`logits` must have one class at least"):
            nn.softmax_cross_entropy_with_logits(labels=x, logits=x, axis=axis)


def test_torch_compiles_the_sparse_loss_with_symbolic_sizes():
    torch = pytest.importorskip("torch")
    torch.compiler.reset()
    compiled = torch.compile(
        losses.sparse_softmax_cross_entropy, fullgraph=True, dynamic=True, backend="eager"
    )
    z, x = torch.tensor([0, 2, 1]), torch.linspace(-1, 1, 9).reshape(3, 3)
    torch.testing.assert_close(compiled(z, x), losses.sparse_softmax_cross_entropy(z, x))
