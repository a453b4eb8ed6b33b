"""PyTorch's engine: the rule for autograd keeps the operands only, and all the ways of PyTorch."""

from functools import partial

import numpy as np
import pytest
from table import EACH_LOSS, operands

import xbce
from xbce import losses, nn
from xbce._engines._options import current
from xbce._evaluate import Weighting, evaluate
from xbce._losses import Loss
from xbce.losses import Reduction

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(3)
close = partial(torch.testing.assert_close, rtol=1e-12, atol=1e-15)


def saved_by(call):
    """The tensors that autograd keeps."""
    saved = []

    def pack(tensor):
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = call()
    return [t for t in saved if t.numel() > 1], result


@pytest.mark.parametrize("size", [10, 100_000])
def test_autograd_saves_labels_and_logits_only(size):
    x, z = torch.randn(size, requires_grad=True), torch.ones(size)
    for call in (
        lambda: nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x),
        lambda: losses.sigmoid_cross_entropy(z, x, 2.0, 0.1),
    ):
        saved, result = saved_by(call)
        assert {t.data_ptr() for t in saved} == {z.data_ptr(), x.data_ptr()}
        (by_rule,) = torch.autograd.grad(result.sum(), x)
        with xbce.options(fuse=False):
            (by_graph,) = torch.autograd.grad(call().sum(), x)
        torch.testing.assert_close(by_rule, by_graph, rtol=1e-6, atol=1e-6 / size)


@pytest.mark.parametrize("rows", [12, 5000])
@pytest.mark.parametrize("reduction", list(Reduction), ids=str)
@pytest.mark.parametrize(("loss", "parameters"), EACH_LOSS)
def test_the_rule_gives_what_the_graph_gives(loss, parameters, reduction, rows):
    a = {name: torch.from_numpy(array) for name, array in operands(loss, rows).items()}
    named = parameters | {name: a[name] for name in a if name not in _COMPANIONS}
    for weights, where, smoothing in (
        (1.0, None, 0),
        (0.5, None, 0.1),
        (a["weights"], None, 0),
        (3.0, a["mask"], 0),
        (a["weights"], a["mask"], 0.1),
    ):
        smoothing = 0 if loss.class_numbers else smoothing
        weighting = Weighting(weights, smoothing, None, reduction, where)

        def derivative(weighting=weighting):
            x = a["logits"].clone().requires_grad_()
            arrays = {"labels": a["labels"], "logits": x}
            value = evaluate(loss, arrays, weighting=weighting, **named)
            outside = torch.linspace(0.5, 2, value.numel(), dtype=x.dtype).reshape(value.shape)
            return torch.autograd.grad((value * outside).sum(), x)[0]

        by_rule = derivative()
        with xbce.options(fuse=False):
            close(by_rule, derivative(), rtol=1e-11, atol=1e-13)


_COMPANIONS = ("labels", "logits", "weights", "mask")


@pytest.mark.parametrize("rows", [12, 5000])
def test_the_rule_of_losses_that_are_given(rows):
    given = torch.from_numpy(RNG.normal(size=(rows, 8))).requires_grad_()
    w, mask = torch.from_numpy(RNG.random((rows, 1))), torch.from_numpy(RNG.random((rows, 8)) < 0.6)
    mean = losses.compute_weighted_loss(given, w, where=mask, reduction=Reduction.MEAN)
    (slopes,) = torch.autograd.grad(mean, given)
    present = torch.where(mask, w, torch.zeros(()))
    close(slopes, present / present.sum())
    for reduction in Reduction:
        plain = losses.compute_weighted_loss(given, reduction=reduction)
        (slopes,) = torch.autograd.grad(plain.sum(), given)
        summed = reduction in (Reduction.NONE, Reduction.SUM)
        close(slopes, torch.full_like(given, 1 if summed else 1 / given.numel()))


def test_the_rule_differentiates_by_everything_and_twice():
    x, z = (torch.from_numpy(a) for a in (6 * RNG.normal(size=(500, 8)), RNG.random((500, 8))))
    w, q = (torch.from_numpy(a) for a in (RNG.random((500, 1)), RNG.random((500, 8)) + 1))

    def derivatives():
        inputs = [a.clone().requires_grad_() for a in (x, z, w, q)]
        loss = losses.sigmoid_cross_entropy(
            inputs[1], inputs[0], inputs[2], 0.1, pos_weight=inputs[3]
        )
        first = torch.autograd.grad(loss, inputs, create_graph=True)
        return [*first, *torch.autograd.grad(sum(g.square().sum() for g in first), inputs)]

    actual = derivatives()
    with xbce.options(fuse=False):
        for ours, plain in zip(actual, derivatives(), strict=True):
            close(ours, plain)


def test_the_rule_keeps_the_ways_of_torch():
    x, z = torch.randn(40_000, dtype=torch.float64), torch.ones(40_000, dtype=torch.float64)
    desired = torch.sigmoid(x) - 1

    def loss(x):
        return losses.sigmoid_cross_entropy(z, x, reduction=Reduction.SUM)

    close(torch.func.grad(loss)(x), desired)
    close(torch.func.jvp(loss, (x,), (torch.ones_like(x),))[1], desired.sum())
    close(
        torch.vmap(torch.func.grad(lambda x: loss(x) * 2))(x.repeat(2, 1)), 2 * desired.repeat(2, 1)
    )
    leaf = x.clone().requires_grad_()
    close(torch.autograd.functional.jvp(loss, x, torch.ones_like(x))[1], desired.sum())
    terms = nn.sigmoid_cross_entropy_with_logits(labels=z, logits=leaf)
    outer = torch.eye(2, dtype=x.dtype).repeat_interleave(20_000, dim=1)
    (batched,) = torch.autograd.grad(terms, leaf, outer, is_grads_batched=True, retain_graph=True)
    close(batched, outer * desired)
    leaf.data.add_(1)  # unseen by autograd, as anywhere in torch
    with torch.no_grad():
        leaf.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        terms.sum().backward()


def test_the_rule_keeps_forward_mode():
    from torch.autograd import forward_ad

    x, z = torch.randn(40_000, dtype=torch.float64), torch.ones(40_000, dtype=torch.float64)
    tangent = torch.rand(40_000, dtype=torch.float64)
    for leaf in (x, x.clone().requires_grad_()):
        with forward_ad.dual_level():
            dual = forward_ad.make_dual(leaf, tangent)
            terms = nn.sigmoid_cross_entropy_with_logits(labels=z, logits=dual)
            found = forward_ad.unpack_dual(terms).tangent
        close(found, tangent * (torch.sigmoid(x) - 1))


@pytest.mark.parametrize("size", [10, 60_000])
def test_the_backward_pass_keeps_the_options_of_the_call(size):
    heard = []

    def gradient(xp, x):
        heard.append((current().fuse, current().threads))
        return xp.ones_like(x)

    loss = Loss("hearing", lambda xp, x: x * 1, gradient)
    x = torch.zeros(size, requires_grad=True)
    with xbce.options(threads=1, fuse="auto"):
        total = evaluate(loss, {"losses": x}).sum()
    with xbce.options(threads=7):
        total.backward()
    assert set(heard) == {("auto", 1)}


@pytest.mark.parametrize("size", [10, 60_000])
def test_a_gradient_that_is_an_argument_is_not_written_to(size):
    loss = Loss("square", lambda xp, x: x * x / 2, lambda xp, x: x)
    x = torch.linspace(1, 2, size, requires_grad=True)
    before = x.detach().clone()
    for reduction in (None, Weighting(reduction=Reduction.SUM)):
        (slopes,) = torch.autograd.grad(
            3 * evaluate(loss, {"losses": x}, weighting=reduction).sum(), x
        )
        torch.testing.assert_close(slopes, 3 * before)
    torch.testing.assert_close(x.detach(), before, rtol=0, atol=0)


def test_a_second_backward_pass_finds_the_same_gradient():
    for size in (10, 60_000):
        x = torch.linspace(-2, 2, size, requires_grad=True)
        mean = losses.sigmoid_cross_entropy(torch.ones(size), x)
        first, second = (torch.autograd.grad(f * mean, x, retain_graph=True)[0] for f in (3, 1))
        close(first, 3 * second, rtol=1e-6, atol=0)
        mean.backward(retain_graph=True)
        mean.backward()
        close(x.grad, 2 * second, rtol=1e-6, atol=0)


def test_what_is_masked_has_gradient_zero_whatever_comes_from_outside():
    for size in (6, 60_000):
        x = torch.linspace(-2, 2, size, requires_grad=True)
        mask = torch.arange(size) % 3 != 0
        terms = losses.sigmoid_cross_entropy(
            torch.ones(size), x, where=mask, reduction=Reduction.NONE
        )
        terms.sqrt().sum().backward()  # the derivative of the root is infinite at 0
        assert torch.isfinite(x.grad).all()
        assert (x.grad[~mask] == 0).all()


@pytest.mark.parametrize("kind", ["bfloat16", "float16", "float32"])
def test_gradients_have_the_dtype_of_the_logits(kind):
    for size in (6, 60_000):
        x = torch.linspace(-2, 2, size).to(getattr(torch, kind)).requires_grad_()
        z = torch.ones(size)
        losses.sigmoid_cross_entropy(z, x, reduction=Reduction.SUM).backward()
        assert x.grad.dtype == x.dtype
        desired = (torch.sigmoid(x.detach().double()) - 1).to(x.dtype)
        torch.testing.assert_close(x.grad, desired)


def test_gradients_of_16_bits_are_scaled_before_they_are_rounded():
    for size in (6, 60_000):
        x = torch.linspace(11, 13, size).half().requires_grad_()  # whose derivative is subnormal
        for reduction in (Reduction.SUM, Reduction.NONE):
            loss = losses.sigmoid_cross_entropy(torch.ones(size), x, reduction=reduction)
            (found,) = torch.autograd.grad(loss.sum() * 2.0**14, x)
            desired = (2.0**14 * (torch.sigmoid(x.detach().double()) - 1)).half()
            torch.testing.assert_close(found, desired, rtol=1e-3, atol=0)


def test_tensors_that_lie_anywhere_in_memory():
    x, z = torch.randn(300, 400, dtype=torch.float64), torch.rand(300, 400, dtype=torch.float64)
    desired = x.clamp(min=0) - x * z + torch.log1p(torch.exp(-x.abs()))
    for turned in (lambda a: a.T, lambda a: a[::2], lambda a: a[:, 1::3], lambda a: a.flip(0)):
        loss = nn.sigmoid_cross_entropy_with_logits(labels=turned(z), logits=turned(x))
        close(loss, turned(desired))
    negative = torch.view_as_complex(torch.stack([x, x], -1)).conj().imag  # -x, by its bit
    assert negative.is_neg()
    loss = nn.sigmoid_cross_entropy_with_logits(labels=z, logits=negative)
    close(loss, desired + x * (2 * z - 1))


def test_compiled_by_its_user_it_breaks_no_graph_and_compiles_once():
    from torch._dynamo.testing import CompileCounter

    counter = CompileCounter()

    @partial(torch.compile, backend=counter, fullgraph=True)
    def step(x, z, w, smoothing):
        return losses.sigmoid_cross_entropy(z, x, w, smoothing)

    for batch in range(4):
        x = torch.randn(64, 10, requires_grad=True)
        smoothing = torch.tensor(batch / 10)
        loss = step(x, torch.rand(64, 10), torch.rand(64, 1), smoothing)
        loss.backward()
    assert counter.frame_count == 1
