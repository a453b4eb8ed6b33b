"""A loss that xbce has not, as many lines as its maths has, and it has all that the others have.

Poly-1 (Leng et al., PolyLoss, 2022, https://arxiv.org/abs/2204.12511) is the cross entropy and
epsilon times u = 1 - p_t, the probability given to what is not the label. What follows is all that
is written of it: its maths, and its record.
"""

import numpy as np
import pytest

import xbce
from xbce import _formula
from xbce._evaluate import Weighting, evaluate
from xbce._losses import Loss, Parameter
from xbce.losses import Reduction
from xbce.testing import as_numpy, audit, exact_gradient, exact_loss

# --- the loss -----------------------------------------------------------------


def chances(xp, z, x):
    """σ(x) and σ(-x), and u = z*σ(-x) + (1 - z)*σ(x)."""
    up, down = _formula.sigmoid_gradient(xp, 0 * z, x), -_formula.sigmoid_gradient(xp, 0 * z + 1, x)
    return up, down, z * down + (1 - z) * up


def poly1(xp, z, x, epsilon=1.0):
    return _formula.sigmoid_cross_entropy(xp, z, x) + epsilon * chances(xp, z, x)[2]


def poly1_gradient(xp, z, x, epsilon=1.0):
    up, down, _ = chances(xp, z, x)
    return _formula.sigmoid_gradient(xp, z, x) + epsilon * (1 - 2 * z) * up * down


def poly1_gradient_and_hessian(xp, z, x, epsilon=1.0):
    up, down, _ = chances(xp, z, x)
    hessian = up * down * (1 + epsilon * (1 - 2 * z) * (down - up))
    return poly1_gradient(xp, z, x, epsilon), hessian


POLY1 = Loss(
    "poly1",
    poly1,
    poly1_gradient,
    gradient_and_hessian=poly1_gradient_and_hessian,
    parameters=(Parameter("epsilon", array=True, examples=(1.0, 0.25, 4.0)),),
    max_ulp=(8, 8),
)

# --- what it has ----------------------------------------------------------------

RNG = np.random.default_rng(8)
X = 4 * RNG.normal(size=(60, 3))
Z = RNG.random(X.shape)
W = RNG.random((60, 1)) + 0.5
KEEP = RNG.random((60, 1)) < 0.7


def by_hand(z, x, epsilon):
    """The definition, its derivative and its second, in float64."""
    p = 1 / (1 + np.exp(-x))
    loss = -z * np.log(p) - (1 - z) * np.log(1 - p) + epsilon * (z * (1 - p) + (1 - z) * p)
    bend = epsilon * (1 - 2 * z) * p * (1 - p)
    return loss, p - z + bend, p * (1 - p) + bend * (1 - 2 * p)


def called(arrays, **options):
    z, x = arrays
    return evaluate(POLY1, {"labels": z, "logits": x}, **options)


@pytest.mark.parametrize("epsilon", [1.0, 0.25])
def test_it_runs_on_every_library(array, epsilon):
    arrays = array(Z), array(X)
    loss, slope, bend = by_hand(*map(as_numpy, arrays), epsilon)
    close = {"rtol": 2e-5, "atol": 2e-6}
    np.testing.assert_allclose(as_numpy(called(arrays, epsilon=epsilon)), loss, **close)
    outputs = called(arrays, epsilon=epsilon, output="gradient_and_hessian")
    for actual, desired in zip(outputs, (slope, bend), strict=True):
        np.testing.assert_allclose(as_numpy(actual), desired, **close)


@pytest.mark.parametrize("reduction", list(Reduction), ids=str)
def test_it_is_weighted_masked_smoothed_and_reduced(xp, array, reduction):
    z, x, w, keep, epsilon = array(Z), array(X), array(W), array(KEEP, xp.bool), array([1.0, 2, 3])
    weighting = Weighting(w, 0.1, None, reduction, keep)
    smoothed = as_numpy(z) * 0.9 + 0.05
    loss, slope, _ = by_hand(smoothed, as_numpy(x), as_numpy(epsilon))
    weights = np.where(KEEP, as_numpy(w), 0) * np.ones_like(X)
    divided = {
        Reduction.NONE: 1,
        Reduction.SUM: 1,
        Reduction.MEAN: weights.sum(),
        Reduction.SUM_OVER_BATCH_SIZE: 3 * KEEP.sum(),
        Reduction.SUM_BY_NONZERO_WEIGHTS: np.count_nonzero(weights),
    }[reduction]
    wanted = loss * weights / divided
    wanted = wanted if reduction == Reduction.NONE else wanted.sum()
    value = called((z, x), epsilon=epsilon, weighting=weighting)
    both = called((z, x), epsilon=epsilon, weighting=weighting, output="value_and_gradient")
    for actual, desired in zip(
        (value, *both), (wanted, wanted, slope * weights / divided), strict=True
    ):
        np.testing.assert_allclose(as_numpy(actual), desired, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("fuse", ["auto", False])
def test_its_engines_agree_above_every_threshold(fuse):
    x = np.resize(X, (50_000, 3)).astype("f4")
    z = np.resize(Z, x.shape).astype("f4")
    loss, slope, _ = by_hand(z.astype(float), x.astype(float), 1.0)
    with xbce.options(fuse=fuse):
        np.testing.assert_allclose(called((z, x)), loss, rtol=2e-5, atol=2e-6)
        mean, gradient = called((z, x), weighting=Weighting(), output="value_and_gradient")
    np.testing.assert_allclose(mean, loss.mean(), rtol=1e-5)
    np.testing.assert_allclose(gradient, slope / x.size, rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize("size", [9, 90_000])
def test_autograd_keeps_its_labels_and_logits_only(size):
    torch = pytest.importorskip("torch")
    x, z = torch.linspace(-9, 9, size, requires_grad=True), torch.full((size,), 0.25)
    saved = []

    def pack(tensor):
        saved.append(tensor.data_ptr())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = called((z, x), epsilon=2.0)
    assert set(saved) == {x.data_ptr(), z.data_ptr()}
    (by_rule,) = torch.autograd.grad(loss.sum(), x)
    _, slope, _ = by_hand(as_numpy(z), as_numpy(x), 2.0)
    np.testing.assert_allclose(as_numpy(by_rule), slope, rtol=1e-5, atol=1e-6)


@pytest.mark.needs("autodiff")
def test_it_differentiates_automatically_at_infinity_too(xp, array):
    from xbce._backends import of

    x, z = array([0.0, -0.0, 3.0, -80.0, np.inf, -np.inf]), array([1.0, 0.5, 0.0, 1.0, 1.0, 0.0])
    slopes = of(xp).gradient(lambda x: xp.sum(called((z, x))), x)
    closed = called((z, x), output="gradient")
    np.testing.assert_allclose(as_numpy(slopes), as_numpy(closed), rtol=1e-6, atol=1e-30)


def test_it_is_audited_and_the_oracle_knows_it():
    for parameters in POLY1.examples():

        def loss(labels, logits, parameters=parameters):
            return called((labels, logits), **parameters)

        def gradient(labels, logits, parameters=parameters):
            return called((labels, logits), output="gradient", **parameters)

        audit(loss, np, loss=POLY1, gradient_fn=gradient, samples=40, **parameters).check(
            max_ulp=POLY1.promised("float32")
        )
    with pytest.raises(AssertionError, match="promises"):
        audit(loss, np, loss=POLY1, samples=40, epsilon=1.0).check(max_ulp=8)
    arrays = {"labels": np.array([0.5]), "logits": np.array([0.0])}
    exact = exact_loss(loss=POLY1, epsilon=2.0, **arrays)
    np.testing.assert_allclose(as_numpy(exact), np.log(2) + 1)
    assert as_numpy(exact_gradient(loss=POLY1, epsilon=2.0, **arrays)) == 0


def test_its_parameter_is_checked():
    with pytest.raises(ValueError, match="`epsilon` must broadcast to `logits`"):
        called((Z, X), epsilon=np.ones((2, 2)))
    with pytest.raises(TypeError, match="`epsilon`"):
        called((Z, X), epsilon="1")
