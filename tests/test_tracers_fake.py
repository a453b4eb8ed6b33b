"""Fake tensors give fake tensors, and distributed ones distributed ones."""

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from calls import DEFAULT, SIGMOID, SOFTMAX, WHOLE, each_of, results, tensors

from xbce.losses import Reduction

pytestmark = pytest.mark.backend("torch")
torch = pytest.importorskip("torch")
REDUCTIONS = (Reduction.NONE, Reduction.MEAN, *DEFAULT)


@pytest.fixture
def fake_mode():
    from torch._subclasses import FakeTensorMode

    with warnings.catch_warnings():  # of PyTorch about itself
        warnings.simplefilter("ignore")
        yield FakeTensorMode()


@pytest.mark.parametrize("batch", [7, 40_000])
@each_of(
    *WHOLE,
    "sigmoid",
    "sigmoid-where",
    "sigmoid-where-number",
    "sigmoid-smoothing[]",
    "softmax",
    "softmax-where",
    "sparse",
)
def test_fake_tensors_give_fake_tensors(fake_mode, call, batch):
    """Fake tensors have shapes and no numbers; they stay fake where their mode is no longer on.

    A tensor made inside a call, of a number or of class numbers, is not to be a real one there.
    """
    from torch._subclasses import FakeTensor

    real = tensors(batch)
    fake = {name: fake_mode.from_tensor(tensor) for name, tensor in real.items()}
    with fake_mode:
        inside = results(call, fake, REDUCTIONS)
    outside = results(call, fake, REDUCTIONS)
    desired = results(call, real, REDUCTIONS)
    for made in (inside, outside):
        for one, other in zip(made, desired, strict=True):
            assert isinstance(one, FakeTensor)
            assert (one.shape, one.dtype) == (other.shape, other.dtype)


def test_fake_tensors_are_made_by_masks_that_are_numbers(fake_mode):
    from torch._subclasses import FakeTensor

    x = fake_mode.from_tensor(torch.zeros(4, 3))
    for where in (True, False, np.True_):
        assert isinstance(SIGMOID(x, x, where=where), FakeTensor)
        assert isinstance(SOFTMAX(x, x, 2.0, where=where), FakeTensor)


DISTRIBUTED = """
import sys, warnings
warnings.simplefilter("ignore")
import torch, torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from calls import CALLS, EVERY, results, tensors

dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
mesh = init_device_mesh("cpu", (1,))
failed = []
for name in sys.argv[1:]:
    real = tensors(8)
    spread = {
        key: distribute_tensor(t, mesh, [Shard(0) if t.shape[:1] == (8,) else Replicate()])
        for key, t in real.items()
    }
    try:
        for actual, desired in zip(
            results(CALLS[name], spread, EVERY), results(CALLS[name], real, EVERY)
        ):
            assert isinstance(actual, DTensor), type(actual)
            torch.testing.assert_close(actual.full_tensor(), desired, rtol=1e-12, atol=1e-12)
    except Exception as error:
        failed.append(f"{name}: {type(error).__name__}: {str(error)[:300]}")
dist.destroy_process_group()
sys.exit("\\n".join(failed) or 0)
"""


@pytest.mark.parametrize(
    "names",
    [
        (
            "sigmoid",
            "sigmoid-weights[batch,1]",
            "sigmoid-smoothing[]",
            "sigmoid-pos_weight",
            "sigmoid-where-number",
            "sigmoid-all",
            "focal",
            "weighted-all",
            "value_and_grad",
            "value_and_grad-all",
        ),
        ("softmax", "softmax-smoothing", "softmax-all", "softmax_value_and_grad-all"),
        ("sparse", "sparse-weights[batch]", "sparse-all"),
    ],
    ids=["sigmoid", "softmax", "sparse"],
)
def test_distributed_tensors_give_distributed_tensors(names):
    """In a process of its own, since a process group belongs to the whole process."""
    distributed = pytest.importorskip("torch.distributed")
    if not distributed.is_available():
        pytest.skip("PyTorch without torch.distributed")
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DISTRIBUTED, *names],
        cwd=os.path.dirname(__file__),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
