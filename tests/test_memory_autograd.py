"""PyTorch's autograd keeps the arguments of a call, and the gradient by the logits, no more."""

import gc
from functools import partial

import pytest
from calls import CALLS, ELEMENTS, tensors

import xbce

pytestmark = pytest.mark.backend("torch")
torch = pytest.importorskip("torch")

KEEPING = ELEMENTS | {name: call for name, call in CALLS.items() if "grad" not in name}
del KEEPING["focal"]  # two calls in one: the losses of the first stand between them


def kept_by_autograd(call):
    """Addresses of the memory that the graph of a call keeps for the backward pass, by size.

    Tensors of one element, as sums and denominators are, are no burden.
    """
    kept = {}

    def pack(tensor):
        if tensor.numel() > 1:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = call()
    result.sum().backward()
    return kept


def kept_by_nodes(node):
    """Tensors that stand in the nodes of a graph themselves."""
    found = [value for value in getattr(node, "__dict__", {}).values() if torch.is_tensor(value)]
    for following, _ in node.next_functions:
        found += kept_by_nodes(following) if following else []
    return found


MAKING_MASKS = ("ignored", "where[batch,classes]")
"""Calls that make a mask of the labels, or of the mask over the classes: a byte for each loss."""


@pytest.mark.parametrize("rows", [2, 20_000])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("name", KEEPING)
def test_autograd_keeps_nothing_but_the_arguments(name, rows, dtype):
    """A graph that keeps an array for each operation is what runs out of memory in training."""
    call, a = KEEPING[name], tensors(rows, dtype)
    a["x"].requires_grad_()
    given = {tensor.untyped_storage().data_ptr() for tensor in a.values()}
    kept = kept_by_autograd(lambda: call(a))
    more = [size for address, size in kept.items() if address not in given]
    making = any(part in name for part in MAKING_MASKS)
    most = a["hard" if name.startswith("sigmoid") else "number"].numel() if making else 0
    assert len(more) <= making, f"{len(more)} more, of {sum(more)} bytes"
    assert sum(more) <= most
    # Right all the same.
    with xbce.options(fuse=False):
        x = a["x"].detach().clone().requires_grad_()
        call(a | {"x": x}).sum().backward()
    tolerance = 16 * torch.finfo(x.dtype).eps
    scale = float(x.grad.abs().max())
    torch.testing.assert_close(a["x"].grad, x.grad, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("reduction", ["none", "weighted_mean"])
def test_no_reduction_keeps_more(reduction):
    a = tensors(20_000, "float32")
    a["x"].requires_grad_()
    given = {tensor.untyped_storage().data_ptr() for tensor in a.values()}
    for name in ("sigmoid-all", "softmax-all", "sparse-all", "weighted-all"):
        assert kept_by_autograd(partial(CALLS[name], a, reduction=reduction)).keys() <= given, name


@pytest.mark.parametrize("rows", [2, 20_000])
@pytest.mark.parametrize("call", KEEPING.values(), ids=KEEPING)
def test_of_what_is_computed_only_the_gradient_is_kept(call, rows):
    a = tensors(rows, "float32")
    a["x"].requires_grad_()
    result = call(a)
    kept = [t for t in kept_by_nodes(result.grad_fn) if t.numel() > 1]
    assert sum(t.numel() for t in kept) <= a["x"].numel()
    result.sum().backward()
    assert not kept_by_nodes(result.grad_fn), "the gradient is kept when it has been given away"


def test_the_gradient_is_gone_with_the_graph():
    a = tensors(20_000, "float32")
    a["x"].requires_grad_()
    result = CALLS["sigmoid-all"](a)
    (kept,) = (t for t in kept_by_nodes(result.grad_fn) if t.numel() > 1)
    shape = kept.shape
    del result, kept
    gc.collect()
    living = [t for t in gc.get_objects() if type(t) is torch.Tensor and t.shape == shape]
    assert {id(t) for t in living} <= {id(t) for t in a.values()}
