"""The family of the sigmoid loss, against its definitions: pos_weight, focal, softmax, masks."""

from functools import cache

import numpy as np
import pytest
from exact import dtype_name, exact_family, exact_softmax, ulps
from hypothesis import given, settings
from hypothesis import strategies as st

# Functions are called through their modules: by name, the jitting variants would compile each.
from xbce import derivatives, losses, nn
from xbce.losses import Reduction
from xbce.testing import as_numpy

INF, NAN = np.inf, np.nan
REDUCTIONS = list(Reduction)
search = settings(max_examples=8)


@pytest.fixture
def large(xp, device):
    """As `array`, in one chunk."""
    return lambda values, dtype: xp.asarray(values, dtype=dtype, device=device)


def softmax(z, x):
    return nn.softmax_cross_entropy_with_logits(labels=z, logits=x)


def sparse(z, x):
    return nn.sparse_softmax_cross_entropy_with_logits(labels=z, logits=x)


# --- accuracy -----------------------------------------------------------------


def points(name):
    """Labels and logits of every kind, up to where exp(-|x|) is a normal number."""
    far = {"float16": 9.0, "float64": 700.0}.get(name, 80.0)
    x = far * np.asarray([0, 1e-6, 1e-3, 0.03, 0.2, 0.5, 0.9, 1])
    z = np.asarray([0, 1, 0.5, 0.001, 0.999, 0.3])
    return tuple(a.ravel() for a in np.meshgrid(z, np.concatenate([x, -x])))


def promise(name, ulp):
    return 1 if name.endswith("16") else ulp


def test_the_weight_of_positives_keeps_the_digits(large, dtype):
    name = dtype_name(dtype)
    z, x = points(name)
    q = np.resize([1e-6, 1e-3, 0.3, 1, 40, 1e4, 1e6], x.shape)
    if name == "float16":
        q = np.clip(q, 1e-2, 1e2)
    given = [large(values, dtype) for values in (z, x, q)]
    z, x, q = map(as_numpy, given)
    loss, slope, curve = exact_family(z, x, q)
    arguments = dict(zip(("labels", "logits", "pos_weight"), given, strict=True))
    actual = nn.weighted_cross_entropy_with_logits(**arguments)
    assert ulps(actual, loss) <= promise(name, 6)
    by_gradient, hessian = derivatives.gradient_hessian(**arguments)
    terms = (1 - z) / (1 + np.exp(-x)) + q * z / (1 + np.exp(x))
    assert ulps(by_gradient, slope, terms) <= promise(name, 6)
    assert ulps(hessian, curve) <= promise(name, 6)


@pytest.mark.parametrize(("gamma", "alpha"), [(0.5, None), (1, 0.25), (2, None), (5, 0.75)])
def test_the_focal_loss_keeps_the_digits(large, dtype, gamma, alpha):
    name = dtype_name(dtype)
    z, x = (large(values, dtype) for values in points(name))
    loss, slope, curve = exact_family(as_numpy(z), as_numpy(x), 1.0, alpha, gamma)
    options = {"labels": z, "logits": x, "alpha": alpha, "gamma": gamma}
    limit = promise(name, 16 if name == "float64" else 24)
    assert ulps(nn.sigmoid_focal_loss(**options), loss) <= limit
    rough = {"float64": 1e-13, "float32": 1e-5, "float16": 1e-3, "bfloat16": 8e-3}[name]
    for actual, exact in zip(derivatives.gradient_hessian(**options), (slope, curve), strict=True):
        actual, hard = as_numpy(actual), np.isin(as_numpy(z), [0, 1])
        np.testing.assert_allclose(actual, exact, rtol=rough, atol=rough / 8)
        if exact is slope:  # with hard labels nothing cancels in it
            tiny = {"float64": 1e-306, "float16": 1e-4}.get(name, 1e-36)
            np.testing.assert_allclose(actual[hard], exact[hard], rtol=rough, atol=tiny)


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


def one_hot(labels, classes):
    return np.eye(classes)[labels]


@pytest.mark.parametrize("classes", [2, 3, 1000])
def test_softmax_keeps_the_digits(large, dtype, classes):
    name = dtype_name(dtype)
    if classes == 1000 and name.endswith("16"):
        pytest.skip("two seconds of arbitrary precision tell nothing new of 16 bits")
    z, x = (large(values, dtype) for values in rows(classes))
    labels, logits = as_numpy(z), as_numpy(x)
    loss, slopes, terms = exact_softmax(labels, logits)
    assert ulps(softmax(z, x), loss) <= promise(name, 16)
    value, actual = derivatives.softmax_value_and_grad(z, x, reduction=Reduction.NONE)
    np.testing.assert_array_equal(as_numpy(value), as_numpy(softmax(z, x)))
    assert ulps(actual, slopes, terms) <= promise(name, 16)


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


# --- autodiff -----------------------------------------------------------------


def by_autodiff(loss, z, x, second=True):
    """Each row's first derivatives, and those of the first of them."""
    if "torch" in type(x).__module__:
        torch = pytest.importorskip("torch")
        x = x.clone().requires_grad_()
        (first,) = torch.autograd.grad(loss(z, x).sum(), x, create_graph=True)
        if not second:
            return (first,)
        return first, torch.autograd.grad(first[..., 0].sum(), x)[0]
    jax = pytest.importorskip("jax")

    def slopes(x):
        return jax.grad(lambda x: loss(z, x).sum())(x)

    if not second:
        return (jax.jit(slopes)(x),)
    return jax.jit(slopes)(x), jax.jit(jax.grad(lambda x: slopes(x)[..., 0].sum()))(x)


FAR = [0.0, -0.0, 1e-30, 1, -1, 20, -20, 60, -60, 85, -85, 500, -500, 1e4, -1e4, INF, -INF]


@pytest.mark.needs("autodiff")
@pytest.mark.parametrize("gamma", [None, 0, 0.5, 1, 2, 5])
def test_autodiff_is_the_closed_form_of_the_sigmoid_family(xp, array, gamma):
    z, x = (array(a.reshape(-1, 1)) for a in np.meshgrid([0, 1, 0.25], FAR))
    q, options = (2.5, {}) if gamma is None else (None, {"gamma": gamma, "alpha": 0.25})

    def loss(z, x):
        if gamma is None:
            return nn.weighted_cross_entropy_with_logits(labels=z, logits=x, pos_weight=q)
        return nn.sigmoid_focal_loss(labels=z, logits=x, **options)

    closed = derivatives.gradient_hessian(labels=z, logits=x, pos_weight=q, **options)
    for actual, desired in zip(by_autodiff(loss, z, x), closed, strict=True):
        assert not np.any(np.isnan(as_numpy(desired)))
        np.testing.assert_allclose(as_numpy(actual), as_numpy(desired), rtol=1e-5, atol=1e-7)


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


# --- masks --------------------------------------------------------------------


def planted(values, keep):
    """The values where kept, and NaN and infinities in turn elsewhere."""
    keep = np.broadcast_to(keep if keep.ndim == values.ndim else keep[..., None], values.shape)
    return np.where(keep, values, np.resize([NAN, INF, -INF], values.shape))


def masks(shape):
    """Of every legal shape, with nothing and with everything left out among them."""
    rng = np.random.default_rng(5)
    for dims in [(), *np.unique([shape, (1, *shape[1:]), (*shape[:-1], 1)], axis=0).tolist()]:
        yield rng.random(dims) < 0.6 if dims else np.asarray(True)
    yield np.zeros(shape, dtype=bool)
    yield np.asarray(False)


@pytest.mark.parametrize("reduction", REDUCTIONS, ids=str)
@pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
def test_what_is_masked_is_as_if_it_were_not_there(xp, array, kind, reduction):
    rng = np.random.default_rng(4)
    x, z = 3 * rng.normal(size=(4, 3)), rng.integers(0, 2, size=(4, 3))
    function = losses.sigmoid_cross_entropy
    both = derivatives.value_and_grad
    shape = (4, 3)
    if kind == "softmax":
        function, both, shape = (
            losses.softmax_cross_entropy,
            derivatives.softmax_value_and_grad,
            (4,),
        )
    w = np.asarray([0.5, 0.0, 2.0, 1.0, 3.0])
    w = np.resize(w, shape)
    for mask in masks(shape):
        keep = np.broadcast_to(mask, shape)
        bad = [array(planted(values.astype(float), keep)) for values in (z, x, w)]
        kept = [values[keep].astype(float) for values in (z, x, w)]  # in float64, of NumPy
        value, slope = both(*kept, 0.1, reduction=reduction)
        wanted, slopes = as_numpy(value), np.zeros(x.shape)
        slopes[keep] = as_numpy(slope)
        if reduction == Reduction.NONE:
            wanted = np.zeros(shape)
            wanted[keep] = as_numpy(value)
        where = array(mask, xp.bool) if mask.ndim else bool(mask)
        found, gradient = both(*bad, 0.1, reduction=reduction, where=where)
        alone = function(*bad, 0.1, reduction=reduction, where=where)
        for actual, desired in ((found, wanted), (alone, wanted), (gradient, slopes)):
            np.testing.assert_allclose(as_numpy(actual), desired, rtol=1e-5, atol=1e-6)


def test_a_mask_hides_class_numbers_too(xp, array):
    x, keep = np.asarray([[1.0, 2, 3], [NAN, INF, 0], [0, 0, 1]]), [True, False, True]
    labels = array([2, 99, 0], xp.int32)
    actual = losses.sparse_softmax_cross_entropy(labels, array(x), where=array(keep, xp.bool))
    desired = exact_softmax(one_hot([2, 0], 3), x[keep])[0].mean()
    np.testing.assert_allclose(as_numpy(actual), desired, rtol=1e-6)
    column = array([[True], [False], [True]], xp.bool)
    labels = array([[2], [99], [0]], xp.int32)
    actual = losses.sparse_softmax_cross_entropy(labels, array(x), where=column)
    np.testing.assert_allclose(as_numpy(actual), desired, rtol=1e-6)


def test_a_mask_hides_the_weight_of_positives(xp, array):
    q, keep = array([[NAN, 1.0], [2.0, INF]]), array([[False, True], [True, False]], xp.bool)
    z, x = array([[1.0, 1.0], [1.0, 0.0]]), array([[1.0, 1.0], [1.0, 1.0]])
    value, gradient = derivatives.value_and_grad(z, x, pos_weight=q, where=keep)
    np.testing.assert_allclose(as_numpy(value), 1.5 * np.log1p(np.exp(-1)), rtol=1e-6)
    slope = 1 / (1 + np.e)
    np.testing.assert_allclose(as_numpy(gradient), [[0, -slope / 2], [-slope, 0]], rtol=1e-6)


@pytest.mark.needs("autodiff")
@pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
def test_nothing_masked_leaks_into_gradients(xp, array, kind):
    keep = np.asarray([True, False, True, False])
    x = planted(np.linspace(-2.0, 3, 12).reshape(4, 3), keep)
    z, w = planted(np.full((4, 3), 0.3), keep), planted(np.ones(4), keep)
    function = losses.sigmoid_cross_entropy if kind == "sigmoid" else losses.softmax_cross_entropy
    where = array(keep[:, None] if kind == "sigmoid" else keep, xp.bool)
    arrays = array(z), array(x), array(w[:, None] if kind == "sigmoid" else w)

    for n in range(3):  # by labels, logits, weights

        def loss(_, changed, n=n):
            return function(*arrays[:n], changed, *arrays[n + 1 :], where=where)

        for gradient in by_autodiff(loss, None, arrays[n], second=n == 1):
            assert np.all(np.isfinite(as_numpy(gradient))), n
            assert np.all(as_numpy(gradient)[~keep] == 0), n


# --- arguments ----------------------------------------------------------------


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


WRONG = [
    (ValueError, nn.weighted_cross_entropy_with_logits, "pos_weight", lambda a: a((2, 1))),
    (ValueError, nn.weighted_cross_entropy_with_logits, "pos_weight", lambda a: a((1, 1, 2))),
    (ValueError, nn.weighted_cross_entropy_with_logits, "pos_weight", lambda a: None),
    (TypeError, nn.weighted_cross_entropy_with_logits, "pos_weight", lambda a: [1.0, 1.0]),
    (ValueError, nn.sigmoid_focal_loss, "gamma", lambda a: -1),
    (TypeError, nn.sigmoid_focal_loss, "gamma", lambda a: "2"),
    (TypeError, nn.sigmoid_focal_loss, "alpha", lambda a: a((1, 2))),
    (ValueError, nn.softmax_cross_entropy_with_logits, "axis", lambda a: 2),
    (TypeError, nn.softmax_cross_entropy_with_logits, "axis", lambda a: None),
    (TypeError, nn.sparse_softmax_cross_entropy_with_logits, "labels", lambda a: a((1,))),
    (ValueError, nn.softmax_cross_entropy_with_logits, "labels", lambda a: a((1,))),
    (TypeError, losses.sigmoid_cross_entropy, "where", lambda a: a((1, 2))),
    (ValueError, losses.sigmoid_cross_entropy, "where", lambda a: a((1,)) > 0),
    (TypeError, losses.softmax_cross_entropy, "where", lambda a: [True]),
]


@pytest.mark.parametrize(("error", "function", "argument", "value"), WRONG)
def test_errors_say_which_argument_and_which_call(array, error, function, argument, value):
    x = array([[1.0, 2.0]])
    arguments = {"labels": x, "logits": x, "name": "this call"}
    if function in (losses.sigmoid_cross_entropy, losses.softmax_cross_entropy):
        first = "multi_class_labels" if "sigmoid" in function.__name__ else "onehot_labels"
        arguments = {first: x, "logits": x, "scope": "this call"}
    arguments[argument] = value(lambda shape: array(np.ones(shape)))
    with pytest.raises(error, match=f"\\b{argument}\\b.*'this call'"):
        function(**arguments)


# --- properties ---------------------------------------------------------------


def drawn(data, shape, low, high):
    size = int(np.prod(shape))
    values = st.lists(st.integers(low * 64, high * 64), min_size=size, max_size=size)
    return np.reshape(data.draw(values), shape) / 64


def close(actual, desired):
    np.testing.assert_allclose(as_numpy(actual), as_numpy(desired), rtol=3e-6, atol=1e-36)


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


@search
@given(data=st.data())
def test_the_family_contains_the_plain_loss(array, data):
    z, x = array(drawn(data, (4,), 0, 1)), array(drawn(data, (4,), -80, 80))
    plain = nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x)
    close(nn.weighted_cross_entropy_with_logits(labels=z, logits=x, pos_weight=1.0), plain)
    close(nn.sigmoid_focal_loss(labels=z, logits=x, gamma=0.0), plain)
    close(2 * nn.sigmoid_focal_loss(labels=z, logits=x, gamma=0, alpha=0.5), plain)


@pytest.mark.parametrize("gamma", [-1.0, np.inf, np.nan])
def test_gamma_must_be_a_number_from_0_on(gamma):
    with pytest.raises(ValueError, match="`gamma` must be 0 or more"):
        nn.sigmoid_focal_loss(labels=np.ones(2), logits=np.ones(2), gamma=gamma)


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
