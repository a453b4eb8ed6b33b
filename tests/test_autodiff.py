"""Autodiff of the plain formula gives the closed forms, to second order, at every point."""

import numpy as np
import pytest
from exact import gradient_ulps, ulps

from xbce import sigmoid_cross_entropy, sigmoid_cross_entropy_with_logits
from xbce.derivatives import value_and_grad
from xbce.losses import Reduction, collect_losses, get_total_loss
from xbce.testing import as_numpy

POINTS = [0.0, -0.0, 1e-30, -1e-30, 1.0, -1.0, 50.0, -50.0, 1000.0, -1000.0, np.inf, -np.inf]


def loss(z, x):
    return sigmoid_cross_entropy_with_logits(labels=z, logits=x)


def derivatives_by_torch(z, x):
    torch = pytest.importorskip("torch")
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(z, x).sum(), x, create_graph=True)
    return gradient, torch.autograd.grad(gradient.sum(), x)[0]


def derivatives_by_torch_func(z, x):
    torch = pytest.importorskip("torch")
    by_x = torch.func.grad(lambda x, z: loss(z, x))
    return torch.vmap(by_x)(x, z), torch.vmap(torch.func.hessian(lambda x, z: loss(z, x)))(x, z)


def derivatives_by_torch_jvp(z, x):
    torch = pytest.importorskip("torch")

    def slope(x):
        return torch.func.jvp(lambda x: loss(z, x), (x,), (torch.ones_like(x),))[1]

    return slope(x), torch.func.jvp(slope, (x,), (torch.ones_like(x),))[1]


def derivatives_by_jax(z, x):
    jax = pytest.importorskip("jax")
    by_x = jax.grad(lambda x, z: loss(z, x))
    hessian = jax.hessian(lambda x, z: loss(z, x))  # forward over reverse
    return jax.jit(jax.vmap(by_x))(x, z), jax.vmap(hessian)(x, z)


def derivatives_by_jax_jvp(z, x):
    jax = pytest.importorskip("jax")

    def slope(x):
        return jax.jvp(lambda x: loss(z, x), (x,), (jax.numpy.ones_like(x),))[1]

    return slope(x), jax.jvp(slope, (x,), (jax.numpy.ones_like(x),))[1]


WAYS = {
    "torch": [derivatives_by_torch, derivatives_by_torch_func, derivatives_by_torch_jvp],
    "jax": [derivatives_by_jax, derivatives_by_jax_jvp],
}


def library(xp):
    return "torch" if "torch" in xp.__name__ else "jax"


@pytest.mark.needs("autodiff")
@pytest.mark.parametrize("label", [0.0, 1.0, 0.25])
def test_first_and_second_order(xp, array, dtype, label):
    x, z = array(POINTS, dtype), array([label] * len(POINTS), dtype)
    points, labels = as_numpy(x), as_numpy(z)
    e = np.exp(-np.abs(points))
    hessian = e / (1 + e) ** 2
    for way in WAYS[library(xp)]:
        first, second = way(z, x)
        assert gradient_ulps(first, labels, points) <= 4, way
        assert ulps(second, hessian) <= 6, way
    by_formula = value_and_grad(z, x, reduction=Reduction.NONE)[1]
    assert gradient_ulps(by_formula, labels, points) <= 4


def gradients(xp, function, *arrays):
    """Derivatives of a scalar function by all of its arrays."""
    if library(xp) == "jax":
        import jax

        return jax.grad(function, tuple(range(len(arrays))))(*arrays)
    leaves = [array.clone().requires_grad_() for array in arrays]
    function(*leaves).backward()
    return [leaf.grad for leaf in leaves]


@pytest.mark.needs("autodiff")
@pytest.mark.parametrize("reduction", list(Reduction)[1:], ids=str)
def test_gradients_flow_to_logits_labels_weights_and_smoothing(xp, array, reduction):
    x, z = array([[0.5, -1.0], [2.0, -30.0]]), array([[1.0, 0.25], [0.0, 0.5]])
    w, smoothing = array([[2.0], [0.5]]), array(0.1)

    def reduced(x, z, w, smoothing):
        return sigmoid_cross_entropy(z, x, w, smoothing, reduction=reduction)

    actual = gradients(xp, reduced, x, z, w, smoothing)
    _, by_formula = value_and_grad(z, x, w, 0.1, reduction=reduction)
    np.testing.assert_allclose(as_numpy(actual[0]), as_numpy(by_formula), rtol=1e-5)
    # The others by central differences in float64, on NumPy.
    wide = [as_numpy(array) for array in (x, z, w, smoothing)]
    for number in (1, 2, 3):
        for index in np.ndindex(wide[number].shape):
            ends = []
            for step in (1e-6, -1e-6):
                moved = [a.copy() for a in wide]
                moved[number][index] += step
                ends.append(reduced(*moved))
            slope = (ends[0] - ends[1]) / 2e-6
            np.testing.assert_allclose(as_numpy(actual[number])[index], slope, rtol=1e-4, atol=1e-6)


@pytest.mark.needs("autodiff")
def test_the_gradient_by_labels_is_minus_the_logit(xp, array):
    x, z = array([0.0, 1.0, -50.0, 1000.0]), array([1.0, 0.0, 0.25, 1.0])
    _, by_labels = gradients(xp, lambda x, z: xp.sum(loss(z, x)), x, z)
    np.testing.assert_array_equal(as_numpy(by_labels), -as_numpy(x))


@pytest.mark.needs("autodiff")
@pytest.mark.parametrize("reduction", list(Reduction)[2:], ids=str)
def test_zero_denominators_give_zero_gradients(xp, array, reduction):
    x, z = array([0.5, -1.0, np.inf]), array([1.0, 0.0, 1.0])
    for weights in (0.0, array([0.0, 0.0, 0.0])):
        (actual,) = gradients(
            xp, lambda x, w=weights: sigmoid_cross_entropy(z, x, w, reduction=reduction), x
        )
        np.testing.assert_array_equal(as_numpy(actual), np.zeros(3))


def test_checked_by_torch_itself():
    torch = pytest.importorskip("torch")
    x = torch.linspace(-4, 4, 7, dtype=torch.float64, requires_grad=True)
    z = torch.linspace(0, 1, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, (z, x))
    assert torch.autograd.gradgradcheck(loss, (z, x))


def test_torch_compiles_it_whole_and_silently():
    torch = pytest.importorskip("torch")
    torch.compiler.reset()
    x, z = torch.linspace(-3, 3, 8).reshape(4, 2), torch.ones(4, 2)
    w = torch.linspace(0, 1, 4)[:, None]

    def step(z, x, w):
        with_weights = sigmoid_cross_entropy(z, x, w, 0.1)
        return loss(z, x).sum() + with_weights + value_and_grad(z, x)[1].sum()

    # "eager" traces as every other backend does, and needs no C++ compiler.
    compiled = torch.compile(step, fullgraph=True, backend="eager")
    leaves = [x.clone().requires_grad_() for _ in range(2)]
    results = [compiled(z, leaves[0], w), step(z, leaves[1], w)]
    for result in results:
        result.backward()
    torch.testing.assert_close(results[0], results[1])
    torch.testing.assert_close(leaves[0].grad, leaves[1].grad)
    with collect_losses() as collection:
        compiled(z, x, w)
    assert collection.get_losses() == []


def test_jax_traces_weights_smoothing_and_totals():
    jax = pytest.importorskip("jax")
    x, z = jax.numpy.asarray([[0.5, -1.0], [2.0, 3.0]]), jax.numpy.asarray([[1, 0], [0, 1]])
    plain = [
        float(sigmoid_cross_entropy(z, x, w, s)) for w, s in ((2.0, 0.0), (0.0, 0.1), (1.0, 0.2))
    ]
    jitted = jax.jit(lambda w, s: sigmoid_cross_entropy(z, x, w, s))
    traced = [float(jitted(w, s)) for w, s in ((2.0, 0.0), (0.0, 0.1), (1.0, 0.2))]
    np.testing.assert_allclose(traced, plain, rtol=1e-6)
    rows = jax.vmap(lambda z, x: sigmoid_cross_entropy(z, x, reduction="weighted_sum"))(z, x)
    total = sigmoid_cross_entropy(z, x, reduction="weighted_sum")
    np.testing.assert_allclose(float(rows.sum()), float(total), rtol=1e-6)

    def collected(x):
        with collect_losses():
            sigmoid_cross_entropy(z, x)
            sigmoid_cross_entropy(z, 2 * x)
            return get_total_loss()

    both = float(sigmoid_cross_entropy(z, x) + sigmoid_cross_entropy(z, 2 * x))
    np.testing.assert_allclose(float(jax.jit(collected)(x)), both, rtol=1e-6)
    assert jax.grad(collected)(x).shape == x.shape


@pytest.mark.needs("autodiff")
def test_the_gradient_by_labels_is_no_nan_at_infinity(xp, array):
    x, z = array([np.inf, -np.inf, np.inf]), array([1.0, 0.0, 0.5])
    _, by_labels = gradients(xp, lambda x, z: xp.sum(loss(z, x)), x, z)
    np.testing.assert_array_equal(as_numpy(by_labels), [0.0, 0.0, -np.inf])


def test_zero_denominators_give_zero_gradients_by_weights():
    torch = pytest.importorskip("torch")
    w = torch.zeros(2, requires_grad=True)
    z, x = torch.ones(2), torch.tensor([0.5, -1.0])
    sigmoid_cross_entropy(z, x, w, reduction=Reduction.MEAN).backward()
    assert w.grad.tolist() == [0, 0]


def test_torch_compiles_changing_sizes_and_weights():
    torch = pytest.importorskip("torch")
    torch.compiler.reset()
    compiled = torch.compile(
        lambda z, x, w: sigmoid_cross_entropy(z, x, w), fullgraph=True, backend="eager"
    )
    for size, weight in ((3, 1.0), (5, 2.0), (7, 0.0), (7, 3.0)):
        z, x = torch.ones(size, 2), torch.linspace(-1, 1, 2 * size).reshape(size, 2)
        torch.testing.assert_close(compiled(z, x, weight), sigmoid_cross_entropy(z, x, weight))
