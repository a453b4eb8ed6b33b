"""`fuse=True`: torch.compile gives what the plain formula gives, of tensors and of NumPy arrays."""

import math

import numpy as np
import pytest
from exact import ulps
from table import ELEMENT_WISE, OUTPUTS, as_tuple, expected, operands

import xbce
from xbce import losses, nn
from xbce._engines import _torch_compile
from xbce._evaluate import Weighting, evaluate
from xbce.losses import Reduction

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.skipif(
        not _torch_compile.can_compile(), reason="no PyTorch here, or no C++ compiler"
    ),
    pytest.mark.filterwarnings(  # by torch.compile itself
        "ignore:`torch.jit:DeprecationWarning", "ignore:.*:UserWarning"
    ),
]

RNG = np.random.default_rng(3)
X = 6 * RNG.normal(size=(5000, 8))
X[::97, 3], X[1::97, 5] = np.inf, -np.inf
Z, SOFT, W = (X > 0).astype(float), RNG.random(X.shape), RNG.random((5000, 1))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_fused_by_torch_compile(device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA GPU here")
    torch._dynamo.reset()
    calls = []
    for fuse in (False, True):
        for weight in (1.0, 2.0, 3.0):
            x, z = (torch.tensor(array, device=device) for array in (X, SOFT))
            x.requires_grad_()
            with xbce.options(fuse=fuse):
                finite = torch.where(torch.isinf(x), torch.zeros_like(x), x)
                loss = losses.sigmoid_cross_entropy(z, finite, weight, 0.1)
                (gradient,) = torch.autograd.grad(loss, x)
            calls.append((loss.detach(), gradient))
    for plain, fused in zip(calls[:3], calls[3:], strict=True):
        torch.testing.assert_close(fused, plain, rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize(("loss", "parameters"), ELEMENT_WISE[1:6:2])
def test_every_output_of_a_loss(loss, parameters, library):
    a = operands(loss)
    given = {name: torch.from_numpy(o) if library == "torch" else o for name, o in a.items()}
    arrays = {"labels": given["labels"], "logits": given["logits"]}
    weighting = Weighting(given["weights"], 0.1, None, Reduction.MEAN, given["mask"])
    companions = {"weights": a["weights"], "mask": a["mask"], "smoothing": 0.1}
    for output in OUTPUTS:
        for how in (None, weighting) if output.startswith("value") else (None,):
            with xbce.options(fuse=True):
                found = evaluate(loss, arrays, output=output, weighting=how, **parameters)
            beside = companions | {"reduction": Reduction.MEAN} if how else {}
            wanted = expected(loss, output, a["labels"], a["logits"], **beside, **parameters)
            for actual, desired in zip(as_tuple(found), wanted, strict=True):
                largest = np.max(np.abs(desired))
                np.testing.assert_allclose(
                    np.asarray(actual), desired, 1e-12, 1e-14 * largest, err_msg=output
                )


def test_each_formula_is_compiled_as_itself():
    x, z = torch.linspace(-3, 3, 12), torch.rand(12)
    for gamma in (2.1, 2.2, 2.3, 2.4):
        with xbce.options(fuse=True):
            fused = nn.sigmoid_focal_loss(labels=z, logits=x, gamma=gamma)
        torch.testing.assert_close(fused, nn.sigmoid_focal_loss(labels=z, logits=x, gamma=gamma))


def test_any_number_of_kinds_of_arrays_are_compiled():
    with xbce.options(fuse=True):
        for dtype in (np.float32, np.float64):
            for rank in range(1, 7):
                x = np.zeros((2,) * (rank - 1) + (2**16,), dtype)
                loss = nn.sigmoid_cross_entropy_with_logits(labels=x, logits=x)
                np.testing.assert_allclose(loss, np.log(2), rtol=1e-6)


def test_compiled_it_differentiates_to_any_order():
    x, z = torch.linspace(-2, 2, 7, dtype=torch.float64, requires_grad=True), torch.zeros(7)
    z = z.double()

    def third(loss):
        for _ in range(3):
            (loss,) = torch.autograd.grad(loss.sum(), x, create_graph=True)
        return loss

    for call in (nn.sigmoid_cross_entropy_with_logits, nn.sigmoid_focal_loss):
        with xbce.options(fuse=True):
            compiled = third(call(labels=z, logits=x))
        torch.testing.assert_close(compiled, third(call(labels=z, logits=x)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arrays_of_numpy_fused_by_torch_compile(dtype):
    x, z, w = X.astype(dtype), Z.astype(dtype), W.astype(dtype)
    x.flags.writeable = False
    plain = (
        losses.sigmoid_cross_entropy(z, x, w),
        nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x[::-1]),
    )
    with xbce.options(fuse=True):
        fused = (
            losses.sigmoid_cross_entropy(z, x, w),
            nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x[::-1]),
        )
    for one, other in zip(fused, plain, strict=True):
        assert type(one) is type(other)
        np.testing.assert_allclose(one, other, rtol=8 * np.finfo(dtype).eps)
    terms = nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x)
    with xbce.options(fuse=True):
        total = losses.sigmoid_cross_entropy(z, x, reduction=Reduction.SUM)
    # of terms that another library computed
    assert ulps(total, np.float64(math.fsum(terms.ravel()))) <= 8


def test_sums_of_many_elements_keep_their_digits():
    x = np.full(2**22, 0.1)  # whose roundings add up where they are added one after the other
    with xbce.options(fuse=True):
        total = losses.compute_weighted_loss(torch.from_numpy(x), reduction=Reduction.SUM)
    assert ulps(total, np.float64(math.fsum(x))) <= 64  # thousands without care


def test_arrays_that_torch_can_not_borrow_run_in_blocks():
    x = np.linspace(-3, 3, 40_000)
    desired = nn.sigmoid_cross_entropy_with_logits(labels=x, logits=x)
    with xbce.options(fuse=True):
        found = nn.sigmoid_cross_entropy_with_logits(labels=x.astype(">f8"), logits=x)
        turned = nn.sigmoid_cross_entropy_with_logits(labels=x[::-1], logits=x[::-1])
    np.testing.assert_array_equal(found, desired)
    np.testing.assert_array_equal(turned, desired[::-1])
