"""torch.compile and torch.export find one program for every batch size, and options inside it.

A size that is looked at, as in ``count // max(sizes)`` or ``size > 32768``, is a guard: each that
fails compiles once more, until torch.compile gives up, and torch.export refuses it at once.
"""

import warnings
from functools import partial

import pytest
from calls import CALLS, DEFAULT, EVERY, FIXED, SIGMOID, WHOLE, arrays, each_of, results, tensors

import xbce
from xbce import nn

pytestmark = pytest.mark.backend("torch")
torch = pytest.importorskip("torch")

# The first is no square, and 3 makes one; the last is beyond what small arrays are anywhere.
FEW = (7, 3, 2, 16, 40_000)
MANY = (7, 2, 3, 4, 5, 8, 16, 33, 64, 100, 40_000)


@pytest.fixture(autouse=True)
def _anew():
    torch._dynamo.reset()
    with warnings.catch_warnings():  # of torch.compile and torch.export about themselves
        warnings.simplefilter("ignore")
        yield
    torch._dynamo.reset()


def compilations(call, reductions, batches, dynamic=None):
    """How often a call is compiled for all these batch sizes, once its values are right."""
    from torch._dynamo.testing import CompileCounter

    counter = CompileCounter()
    compiled = torch.compile(
        partial(results, call, reductions=reductions),
        backend=counter,
        fullgraph=True,
        dynamic=dynamic,
    )
    for batch in batches:
        a = tensors(batch)
        for actual, desired in zip(compiled(a), results(call, a, reductions), strict=True):
            torch.testing.assert_close(actual, desired, rtol=1e-12, atol=1e-12)
    return counter.frame_count


@each_of(
    *WHOLE,
    "sigmoid",
    "sigmoid-integers",
    "sigmoid-weights[batch,1]",
    "sigmoid-where[batch,1]-weights[1,classes]",
    "sigmoid-smoothing[]",
    "softmax-weights[batch]",
    "value_and_grad",
)
def test_a_second_compilation_is_one_for_every_batch_size(call):
    """By default the second size tells PyTorch that sizes vary: what follows needs no third."""
    assert compilations(call, DEFAULT, FEW) <= 2


@each_of("value_and_grad-all", "softmax-all")
def test_ten_batch_sizes_need_no_third_compilation(call):
    """torch.compile gives up at the ninth."""
    assert compilations(call, DEFAULT, MANY) <= 2


@each_of("value_and_grad-all", "softmax_value_and_grad-all")
def test_every_reduction_is_compiled_twice_at_most(call):
    assert compilations(call, EVERY, FEW) <= 2


@each_of("sigmoid-all", "value_and_grad-all", "softmax-all", "sparse-all")
def test_where_sizes_are_said_to_vary_they_do(call):
    """With ``dynamic=True`` even the first program is one for any size, but 1."""
    assert compilations(call, DEFAULT, FEW, dynamic=True) <= 2


@each_of("sigmoid-all", "focal", "softmax-all", "sparse-weights[batch]")
def test_a_training_step_is_compiled_twice_at_most(call):
    """With gradients wanted, as nearly all who compile a loss do."""
    from torch._dynamo.testing import CompileCounter

    counter = CompileCounter()
    compiled = torch.compile(call, backend=counter, fullgraph=True)
    for batch in FEW:
        gradients = []
        for function in (compiled, call):
            a = tensors(batch)
            a["x"].requires_grad_()
            function(a).backward()
            gradients.append(a["x"].grad)
        torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-14)
    assert counter.frame_count <= 2


# --- options ----------------------------------------------------------------------


@pytest.mark.parametrize("chosen", [{"fuse": False}, {"threads": 1}, {"fuse": True}], ids=str)
def test_options_may_be_chosen_inside_a_compiled_function(chosen):
    """A context variable can not be traced; the compiler decides there, so nothing is to be set."""

    def step(x, z):
        with xbce.options(**chosen):
            return SIGMOID(z, x), nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x)

    x, z = torch.randn(5, 3), torch.rand(5, 3)
    compiled = torch.compile(step, backend="eager", fullgraph=True)
    for actual, desired in zip(compiled(x, z), step(x, z), strict=True):
        torch.testing.assert_close(actual, desired)


def test_options_around_a_compiled_function_change_nothing():
    from torch._dynamo.testing import CompileCounter

    counter = CompileCounter()
    compiled = torch.compile(lambda z, x: SIGMOID(z, x), backend=counter, fullgraph=True)
    x, z = torch.randn(5, 3), torch.rand(5, 3)
    for chosen in ({}, {"fuse": False}, {"threads": 1}, {"fuse": True}):
        with xbce.options(**chosen):
            torch.testing.assert_close(compiled(z, x), SIGMOID(z, x))
    assert counter.frame_count == 1


def test_options_that_are_wrong_are_errors_inside_a_compiled_function_too():
    def step(x):
        with xbce.options(threads=0):
            return SIGMOID(x, x)

    compiled = torch.compile(step, backend="eager")
    with pytest.raises(Exception, match="`threads` must be 1 or more; got 0"):
        compiled(torch.zeros(3))


# --- torch.export -----------------------------------------------------------------


def check_exported(call, reductions):
    """Export a call at one batch size, and run it at others."""

    class Model(torch.nn.Module):
        def forward(self, a):
            return results(call, a, reductions)

    batch = torch.export.Dim("batch")
    shapes = {name: None if name in FIXED else {0: batch} for name in arrays(7)}
    program = torch.export.export(Model(), (tensors(7),), dynamic_shapes=(shapes,)).module()
    for size in (3, 40_000):
        a = tensors(size)
        for actual, desired in zip(program(a), results(call, a, reductions), strict=True):
            torch.testing.assert_close(actual, desired, rtol=1e-12, atol=1e-12)


@each_of(*WHOLE, "sigmoid", "sigmoid-weights[batch,1]", "sigmoid-smoothing[]")
def test_an_exported_program_is_one_for_every_batch_size(call):
    check_exported(call, DEFAULT)


def test_an_exported_program_reduces_in_every_way():
    check_exported(CALLS["value_and_grad-all"], EVERY)
