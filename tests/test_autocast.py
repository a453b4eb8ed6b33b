"""Under `torch.autocast` losses do as PyTorch's own: float32, whatever the logits were cast to."""

import numpy as np
import pytest

from xbce import derivatives, losses, nn
from xbce.losses import Reduction

pytestmark = pytest.mark.backend("torch")
torch = pytest.importorskip("torch")
F = torch.nn.functional

HALF = [torch.bfloat16, torch.float16]
every_half = pytest.mark.parametrize("half", HALF, ids=["bfloat16", "float16"])
sizes = pytest.mark.parametrize("rows", [4, 20_000])  # small, and large enough for blocks


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA GPU here")
    return request.param


def operands(rows, half, device="cpu"):
    """Logits as a layer under autocast gives them, and the rest as a data set does."""
    generator = torch.Generator().manual_seed(rows)
    made = {
        "x": (3 * torch.randn(rows, 3, generator=generator)).to(half),
        "z": torch.rand(rows, 3, generator=generator),
        "hard": (torch.rand(rows, 3, generator=generator) > 0.5).to(torch.int64),
        "number": torch.randint(0, 3, (rows,), generator=generator),
        "w": torch.rand(rows, 1, generator=generator),
        "q": torch.rand(3, generator=generator) + 0.5,
        "mask": torch.rand(rows, 3, generator=generator) > 0.3,
    }
    return {name: tensor.to(device) for name, tensor in made.items()}


CALLS = {
    "nn-sigmoid": lambda a: nn.sigmoid_cross_entropy_with_logits(labels=a["z"], logits=a["x"]),
    "nn-integers": lambda a: nn.sigmoid_cross_entropy_with_logits(labels=a["hard"], logits=a["x"]),
    "nn-bool": lambda a: nn.sigmoid_cross_entropy_with_logits(labels=a["mask"], logits=a["x"]),
    "nn-pos_weight": lambda a: nn.weighted_cross_entropy_with_logits(
        labels=a["z"], logits=a["x"], pos_weight=a["q"]
    ),
    "nn-focal": lambda a: nn.sigmoid_focal_loss(labels=a["z"], logits=a["x"], alpha=0.25),
    "nn-softmax": lambda a: nn.softmax_cross_entropy_with_logits(labels=a["z"], logits=a["x"]),
    "nn-sparse": lambda a: nn.sparse_softmax_cross_entropy_with_logits(
        labels=a["number"], logits=a["x"]
    ),
    "sigmoid": lambda a: losses.sigmoid_cross_entropy(a["z"], a["x"]),
    "sigmoid-integers": lambda a: losses.sigmoid_cross_entropy(a["hard"], a["x"]),
    "sigmoid-all": lambda a: losses.sigmoid_cross_entropy(
        a["z"], a["x"], a["w"], 0.1, pos_weight=a["q"], where=a["mask"]
    ),
    "sigmoid-sum": lambda a: losses.sigmoid_cross_entropy(a["z"], a["x"], reduction=Reduction.SUM),
    "sigmoid-none": lambda a: losses.sigmoid_cross_entropy(
        a["z"], a["x"], a["w"], reduction=Reduction.NONE
    ),
    "softmax": lambda a: losses.softmax_cross_entropy(a["z"], a["x"], a["w"][:, 0], 0.1),
    "sparse": lambda a: losses.sparse_softmax_cross_entropy(a["number"], a["x"], a["w"][:, 0]),
    "weighted": lambda a: losses.compute_weighted_loss(a["x"], a["w"]),
    "weighted-none": lambda a: losses.compute_weighted_loss(a["x"], reduction="none"),
    "gradient": lambda a: derivatives.gradient(labels=a["z"], logits=a["x"]),
    "gradient_hessian": lambda a: derivatives.gradient_hessian(labels=a["z"], logits=a["x"]),
    "value_and_grad": lambda a: derivatives.value_and_grad(a["z"], a["x"], a["w"]),
    "softmax_value_and_grad": lambda a: derivatives.softmax_value_and_grad(a["z"], a["x"]),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
TRAINING = {name: call for name, call in CALLS.items() if "grad" not in name}


def results(call, a):
    made = call(a)
    return made if isinstance(made, tuple) else (made,)


def in_full(a):
    """What is to be computed: the same numbers, in float32 and outside of autocast."""
    return a | {"x": a["x"].float()}


def same_numbers(actual, desired):
    """An ulp or two apart at most, since engines differ and sums have no one order."""
    torch.testing.assert_close(actual, desired, rtol=5e-7, atol=1e-12)


# --- what comes out ---------------------------------------------------------------


@every_half
@sizes
@every_call
def test_autocast_computes_and_returns_float32(call, rows, half, device):
    """In 16 bits the loss of a large batch would have three digits, and a sum would overflow."""
    a = operands(rows, half, device)
    desired = results(call, in_full(a))
    with torch.autocast(device, dtype=half):
        actual = results(call, a)
    for one, other in zip(actual, desired, strict=True):
        assert one.dtype == torch.float32
        same_numbers(one, other)


@every_half
@pytest.mark.parametrize("logits", [*HALF, torch.float32], ids=lambda dtype: str(dtype)[6:])
@pytest.mark.parametrize("labels", [*HALF, torch.float32], ids=lambda dtype: str(dtype)[6:])
def test_autocast_gives_the_dtypes_of_torch(labels, logits, half, device):
    """Whatever floating dtype of 32 bits or fewer meets which, as in PyTorch's losses."""
    a = operands(4, half, device)
    z, x = a["z"].to(labels), a["x"].to(logits)
    with torch.autocast(device, dtype=half):
        actual = nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x)
        desired = F.binary_cross_entropy_with_logits(x, z, reduction="none")
        mean = losses.sigmoid_cross_entropy(z, x)
        softmax = nn.softmax_cross_entropy_with_logits(labels=z, logits=x)
        desired_softmax = F.cross_entropy(x, z, reduction="none")
    assert actual.dtype == mean.dtype == desired.dtype == torch.float32
    assert softmax.dtype == desired_softmax.dtype == torch.float32
    torch.testing.assert_close(actual, desired, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(softmax, desired_softmax, rtol=1e-5, atol=1e-6)


@every_half
@every_call
def test_autocast_leaves_float64_as_it_is(call, half, device):
    a = {
        name: tensor.double() if tensor.is_floating_point() else tensor
        for name, tensor in operands(4, half, device).items()
    }
    desired = results(call, a)
    with torch.autocast(device, dtype=half):
        actual = results(call, a)
    for one, other in zip(actual, desired, strict=True):
        assert one.dtype == torch.float64
        torch.testing.assert_close(one, other, rtol=1e-15, atol=0)


@every_half
def test_autocast_takes_weights_of_16_bits_too(half, device):
    """They come from layers under autocast themselves, as learned weights of tasks do."""
    a = operands(50, half, device)
    w, q = a["w"].to(half), a["q"].to(half)
    with torch.autocast(device, dtype=half):
        actual = losses.sigmoid_cross_entropy(a["z"], a["x"], w, pos_weight=q)
    desired = losses.sigmoid_cross_entropy(a["z"], a["x"].float(), w.float(), pos_weight=q.float())
    same_numbers(actual, desired)


# --- gradients --------------------------------------------------------------------


@every_half
@sizes
@pytest.mark.parametrize("call", TRAINING.values(), ids=TRAINING)
def test_gradients_flow_to_leaves_of_16_bits_in_their_dtype(call, rows, half, device):
    a = operands(rows, half, device)
    x, full = (leaf.detach().requires_grad_() for leaf in (a["x"], a["x"].float()))
    scale = torch.tensor(float(rows), device=device)  # else float16 has no digits for a mean's
    with torch.autocast(device, dtype=half):
        loss = call(a | {"x": x})
    (loss.sum() * scale).backward()
    (call(a | {"x": full}).sum() * scale).backward()
    assert loss.dtype == torch.float32
    assert x.grad.dtype == half
    # Rounded once, to 16 bits.
    tolerance = torch.finfo(half).eps
    torch.testing.assert_close(x.grad.float(), full.grad, rtol=tolerance, atol=1e-6)


@every_half
def test_a_training_step_under_autocast(half, device):
    """As in PyTorch's own recipe: the layer gives 16 bits, the loss float32."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(5, 3, device=device)
    features = torch.randn(64, 5, device=device)
    z = (torch.rand(64, 3, device=device) > 0.5).float()
    gradients = []
    for loss_of in (
        losses.sigmoid_cross_entropy,
        lambda z, x: F.binary_cross_entropy_with_logits(x, z),
    ):
        layer.zero_grad()
        with torch.autocast(device, dtype=half):
            x = layer(features)
            loss = loss_of(z, x)
        assert x.dtype == half
        assert loss.dtype == torch.float32
        loss.backward()
        gradients.append(layer.weight.grad.clone())
    torch.testing.assert_close(*gradients, rtol=0.02, atol=1e-3)


def test_the_first_gradients_of_a_scaler_are_finite(device):
    """It scales by 65536 at first: a loss of 16 bits would be infinite, and the step skipped."""
    x = torch.randn(4, 3, device=device, requires_grad=True)
    scaler = torch.amp.GradScaler(device)
    with torch.autocast(device, dtype=torch.float16):
        loss = losses.sigmoid_cross_entropy(torch.ones_like(x), x.half())
    scaler.scale(loss).backward()
    optimizer = torch.optim.SGD([x], lr=0.1)
    scaler.unscale_(optimizer)
    gradient = derivatives.value_and_grad(torch.ones_like(x), x.detach())[1]
    torch.testing.assert_close(x.grad, gradient, rtol=2e-3, atol=1e-4)


# --- compiled ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nn-softmax", "sigmoid-all", "sparse", "value_and_grad"])
def test_autocast_inside_a_compiled_function(name):
    call, half = CALLS[name], torch.bfloat16
    torch._dynamo.reset()

    def step(a):
        with torch.autocast("cpu", dtype=half):
            return results(call, a)

    a = operands(4, half)
    compiled = torch.compile(step, backend="eager", fullgraph=True)
    for actual, desired in zip(compiled(a), results(call, in_full(a)), strict=True):
        assert actual.dtype == torch.float32
        same_numbers(actual, desired)


def test_a_compiled_function_is_compiled_anew_where_autocast_begins():
    torch._dynamo.reset()
    a = operands(4, torch.bfloat16)
    compiled = torch.compile(CALLS["sigmoid"], backend="eager", fullgraph=True)
    assert compiled(a).dtype == torch.bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert compiled(a).dtype == torch.float32
    assert compiled(a).dtype == torch.bfloat16


# --- only there -------------------------------------------------------------------


@every_half
def test_outside_of_autocast_labels_of_another_dtype_are_an_error(half):
    a = operands(4, half)
    message = "`labels` must be of the dtype of `logits`"

    def strict():
        for name in ("nn-sigmoid", "nn-pos_weight", "nn-focal", "nn-softmax"):
            with pytest.raises(TypeError, match=message):
                CALLS[name](a)

    strict()
    with torch.autocast("cpu", enabled=False):
        strict()
    with torch.autocast("cpu", dtype=half):
        CALLS["nn-sigmoid"](a)
        with torch.autocast("cpu", enabled=False):
            strict()
    strict()


@every_half
def test_outside_of_autocast_16_bits_come_back(half):
    a = operands(4, half)
    for call in (CALLS["sigmoid"], CALLS["softmax"], CALLS["weighted"], CALLS["nn-integers"]):
        assert call(a).dtype == half
        with torch.autocast("cpu", dtype=half), torch.autocast("cpu", enabled=False):
            assert call(a).dtype == half


def test_autocast_allows_nothing_else():
    """Complex numbers, 8-bit floats, and shapes that differ are errors there too."""
    x = torch.zeros(4, 3, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with pytest.raises(ValueError, match="must have the same shape"):
            nn.sigmoid_cross_entropy_with_logits(labels=torch.zeros(4, 1), logits=x)
        with pytest.raises(TypeError, match="`labels` must be"):
            nn.sigmoid_cross_entropy_with_logits(labels=torch.zeros(4, 3).cfloat(), logits=x)
        with pytest.raises(TypeError, match="`logits` must be of a real floating dtype"):
            nn.sigmoid_cross_entropy_with_logits(labels=x, logits=x.to(torch.float8_e4m3fn))
        with pytest.raises(TypeError, match="`logits` must be of a real floating dtype"):
            nn.sigmoid_cross_entropy_with_logits(labels=x, logits=x.to(torch.int32))


def test_autocast_is_not_for_other_libraries():
    x = np.linspace(-2, 2, 6, dtype="float16")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert losses.sigmoid_cross_entropy(x > 0, x).dtype == "float16"
        with pytest.raises(TypeError, match="`labels` must be of the dtype of `logits`"):
            nn.sigmoid_cross_entropy_with_logits(labels=x.astype("float32"), logits=x)
