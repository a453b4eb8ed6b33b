"""PyTorch's tensors that are not on the CPU take few operations, each of which is a kernel there.

Tensors on "meta" take the way of those on a GPU, and compute nothing.
"""

from collections import Counter

import pytest

from xbce import losses, nn

pytestmark = pytest.mark.backend("torch")
torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from xbce._engines import _torch  # noqa: E402

NO_KERNELS = {"detach", "view", "expand", "unsqueeze", "select", "empty", "empty_like", "alias"}


class Counted(TorchDispatchMode):
    """Counts the operations that are called."""

    def __init__(self):
        super().__init__()
        self.names = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names[function.__name__.partition(".")[0]] += 1
        return function(*args, **(kwargs or {}))


def operations(call, monkeypatch):
    """How many kernels a call takes at the most."""
    # Else it is taken for a tracer, for which all runs operation by operation.
    monkeypatch.setattr(_torch, "_get_current_dispatch_mode", lambda: None)
    # On meta all tensors share their memory, and the gradient would be copied.
    monkeypatch.setattr(_torch, "_shares_memory", lambda tensor, others: False)
    with Counted() as counted:
        call()
    return sum(number for name, number in counted.names.items() if name not in NO_KERNELS)


MOST = {  # forward, and with the backward pass
    "loss": (14, 19),
    "focal": (79, 101),
    "mean": (17, 24),
    "weighted": (28, 44),
    "softmax": (35, 55),
    "sparse": (44, 67),
}


def call_of(name, z, x, w, number):
    return {
        "loss": lambda: nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x),
        "focal": lambda: nn.sigmoid_focal_loss(labels=z, logits=x),
        "mean": lambda: losses.sigmoid_cross_entropy(z, x),
        "weighted": lambda: losses.sigmoid_cross_entropy(z, x, w),
        "softmax": lambda: losses.softmax_cross_entropy(z, x),
        "sparse": lambda: losses.sparse_softmax_cross_entropy(number, x),
    }[name]


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("name", MOST)
def test_a_loss_takes_few_operations(name, backward, monkeypatch):
    """Loss and gradient share what both need, so the backward pass is five more, or twenty."""
    x = torch.empty(64, 8, device="meta", requires_grad=backward)
    number = torch.empty(64, dtype=torch.int64, device="meta")
    w = torch.empty(64, 1, device="meta")
    call = call_of(name, torch.empty_like(x, requires_grad=False), x, w, number)

    def both():
        result = call()
        if backward:
            result.backward(torch.empty_like(result))

    assert operations(both, monkeypatch) <= MOST[name][backward]
