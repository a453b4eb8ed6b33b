"""How a formula is executed changes no result: blocks, threads, compilers, graphs."""

import asyncio
import math
import os
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from exact import dtype_name, ulps

import xbce
from xbce import _execution, _formula, losses, nn
from xbce._execution import _blocks
from xbce.derivatives import gradient_hessian, softmax_value_and_grad, value_and_grad
from xbce.losses import Reduction
from xbce.testing import as_numpy

ROWS, CLASSES = 5000, 8  # more elements than `_blocks.SMALL`
RNG = np.random.default_rng(3)
X = 6 * RNG.normal(size=(ROWS, CLASSES))
X[::97, 3], X[1::97, 5] = np.inf, -np.inf
Z = (X > 0).astype(float)
SOFT = RNG.random(X.shape)
W = RNG.random((ROWS, 1))
Q = RNG.random(CLASSES) + 0.5


def all_results(a):
    """Results of every kind, by name; `a` makes an array of NumPy's."""
    x, z, w, q = a(X), a(Z), a(W), a(Q)
    mask, finite = a(X > -3), a(np.where(np.isinf(X), 0.0, X))
    soft, hard = a(SOFT), a(Z.astype(np.int32))
    yield "loss", nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x)
    yield "integer labels", nn.sigmoid_cross_entropy_with_logits(labels=hard, logits=x)
    yield (
        "pos_weight",
        nn.weighted_cross_entropy_with_logits(labels=soft, logits=finite, pos_weight=q),
    )
    yield "focal", nn.sigmoid_focal_loss(labels=z, logits=x, alpha=0.25, gamma=2.0)
    yield "softmax", nn.softmax_cross_entropy_with_logits(labels=soft, logits=finite)
    for output, result in enumerate(gradient_hessian(labels=soft, logits=x)):
        yield f"derivative {output}", result
    for output, result in enumerate(softmax_value_and_grad(soft, finite, w[:, 0])):
        yield f"softmax {output}", result
    for reduction in Reduction:
        for name, options in {
            "plain": {},
            "weights": {"weights": w},
            "all": {"weights": w, "label_smoothing": 0.1, "pos_weight": q, "where": mask},
        }.items():
            arguments = options | {"reduction": reduction}
            yield f"{name} {reduction}", losses.sigmoid_cross_entropy(soft, finite, **arguments)
            for output, result in enumerate(value_and_grad(hard, finite, **arguments)):
                yield f"{name} {reduction} {output}", result


def test_engines_give_what_the_plain_formula_gives(xp, device, dtype, array):
    name = dtype_name(dtype)
    if "16" in name:
        pytest.skip("16-bit arrays are computed in float32")

    def make(values):
        kind = {"b": "bool", "i": "int32", "f": name}[values.dtype.kind]
        if "dask" in xp.__name__:
            return xp.asarray(values.astype(kind)).rechunk(999)
        return array(values, getattr(xp, kind))

    with xbce.options(fuse=False):
        plain = {kind: as_numpy(result) for kind, result in all_results(make)}
    tolerance = 64 * np.finfo(name).eps  # compilers order additions as they like
    for kind, result in all_results(make):
        actual, desired = as_numpy(result), plain[kind]
        assert result.dtype == dtype, kind
        if xp.__name__ == "array_api_compat.numpy" and "weighted" not in kind:
            np.testing.assert_array_equal(actual, desired, err_msg=kind)
        np.testing.assert_allclose(actual, desired, tolerance, tolerance / 64, err_msg=kind)


# --- NumPy ------------------------------------------------------------------------


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks so small that small arrays have many, and threads at once."""
    monkeypatch.setattr(_blocks, "SMALL", 16)
    monkeypatch.setattr(_blocks, "PARALLEL", 16)
    monkeypatch.setattr(_blocks, "BLOCK", 256)
    monkeypatch.setattr(_blocks, "SHARED", 2048)


LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=0)[::2],
    "reversed": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "deep": lambda a: np.ascontiguousarray(a).reshape(a.shape[0] // 4, 2, 2, *a.shape[1:]),
}


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_blocks_and_threads_change_nothing(layout, dtype, monkeypatch):
    rows = slice(0, 400)
    z, x, w = (layout(a[rows].astype(dtype)) for a in (SOFT, X, W))

    def results():
        yield nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x)
        yield value_and_grad(z, x, w, 0.1, reduction=Reduction.NONE)[1]
        yield gradient_hessian(labels=z, logits=x, pos_weight=2.0)[1]
        yield nn.softmax_cross_entropy_with_logits(labels=z, logits=np.maximum(x, -50))

    def total():
        return losses.sigmoid_cross_entropy(z, np.clip(x, -50, 50), w, reduction="weighted_sum")

    with xbce.options(fuse=False):
        desired, exact = list(results()), total()
    for block in (64, 256, 10**6):
        monkeypatch.setattr(_blocks, "BLOCK", block)
        for threads in (1, 2, 5):
            with xbce.options(threads=threads):
                for actual, expected in zip(results(), desired, strict=True):
                    np.testing.assert_array_equal(actual, expected)
                    assert actual.flags.f_contiguous == expected.flags.f_contiguous
                assert abs(total() - exact) <= 4 * np.spacing(exact)


@pytest.mark.usefixtures("small_blocks")
def test_blocks_cover_every_shape():
    for shape in [(97,), (1, 97), (97, 1), (2, 97), (97, 2), (3, 5, 7), (1, 1, 64), (2,) * 8]:
        x = RNG.normal(size=shape)
        z, w = (x > 0).astype(float), np.ones((1,) * len(shape))
        loss = nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x)
        np.testing.assert_allclose(loss, np.log1p(np.exp(-np.abs(x))), rtol=1e-14)
        mean = losses.sigmoid_cross_entropy(z, x, w)
        np.testing.assert_allclose(mean, loss.mean(), rtol=1e-14)


@pytest.mark.usefixtures("small_blocks")
def test_blocks_of_operands_that_stretch_each_other():
    x, w, mask = RNG.normal(size=(40, 30)), RNG.random((40, 1)), RNG.random((1, 30)) < 0.5
    z = (x > 0).astype(float)
    loss = nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x)
    present = np.broadcast_to(mask, x.shape)
    mean = losses.sigmoid_cross_entropy(z, x, w, reduction="weighted_mean", where=mask)
    weights = np.broadcast_to(w, x.shape)[present]
    np.testing.assert_allclose(mean, (loss[present] * weights).sum() / weights.sum(), rtol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "options",
    [{}, {"weights": "array", "label_smoothing": 0.1}, {"pos_weight": 2.0, "where": "array"}],
    ids=["plain", "weights", "where"],
)
def test_a_reduction_needs_no_array_of_the_losses(dtype, options):
    size = 2**22
    x = RNG.normal(size=size).astype(dtype)
    arrays = {"weights": np.abs(x), "where": x > -1}
    options = {name: arrays[name] if v == "array" else v for name, v in options.items()}
    z = x > 0
    losses.sigmoid_cross_entropy(z, x, **options)
    tracemalloc.start()
    try:
        losses.sigmoid_cross_entropy(z, x, **options)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * 2**20 < x.nbytes


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_are_those_of_the_losses(dtype):
    x = (3 * RNG.normal(size=300_007)).astype(dtype)
    z = (RNG.random(x.shape) < 0.5).astype(dtype)
    terms = nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x)
    total = losses.sigmoid_cross_entropy(z, x, reduction=Reduction.SUM)
    assert ulps(total, np.float64(math.fsum(terms))) <= 4


def test_many_threads_call_at_once():
    z, x = (RNG.random(300_000) < 0.5).astype(float), RNG.normal(size=300_000)
    desired = nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x)

    def call(number):
        part = slice(number * 1000, None)
        loss = nn.sigmoid_cross_entropy_with_logits(labels=z[part], logits=x[part])
        return np.array_equal(loss, desired[part])

    with ThreadPoolExecutor(8) as pool, xbce.options(threads=4):
        assert all(pool.map(call, range(40)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_has_threads_of_its_own():
    code = (
        "import os, threading, numpy as np, xbce\n"
        "x = np.linspace(-9, 9, 400_000)\n"
        "def mean():\n"
        "    with xbce.options(threads=3):\n"
        "        return xbce.sigmoid_cross_entropy(x > 0, x)\n"
        "before, child = mean(), os.fork()\n"
        "right = mean() == before and threading.active_count() > 1\n"
        "if child == 0:\n"
        "    os._exit(0 if right else 1)\n"
        "assert right and os.waitpid(child, 0)[1] == 0\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)


@pytest.mark.usefixtures("small_blocks")
def test_an_error_in_a_block_comes_out():
    def formula(xp, x):
        if x[0] > 500:
            raise ZeroDivisionError("in a block")
        return x

    with xbce.options(threads=3), pytest.raises(ZeroDivisionError, match="in a block"):
        _execution.run(formula, np, np.arange(1000.0))
    np.testing.assert_array_equal(_execution.run(formula, np, np.arange(400.0)), np.arange(400.0))


def test_a_call_when_the_interpreter_ends_runs_on_its_own_thread():
    code = (
        "import threading, time, numpy as np, xbce\n"
        "def late():\n"
        "    time.sleep(0.5)\n"
        "    print(xbce.sigmoid_cross_entropy(np.zeros(10**6), np.zeros(10**6)))\n"
        "threading.Thread(target=late).start()\n"
    )
    environment = os.environ | {"XBCE_THREADS": "2"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert run.stderr == b""
    np.testing.assert_allclose(float(run.stdout), np.log(2), rtol=1e-14)


def test_masks_and_weights_of_any_shape_beside_large_arrays():
    x, z = np.zeros((40_001, 3)), np.full((40_001, 3), 1 / 3)
    assert losses.softmax_cross_entropy(z, x, where=np.array(False)) == 0
    loss = losses.softmax_cross_entropy(z, x, where=np.arange(40_001) == 5)
    np.testing.assert_allclose(loss, np.log(3), rtol=1e-15)
    empty, weights = np.zeros((0, 40_000)), np.ones(40_000)
    terms = nn.weighted_cross_entropy_with_logits(labels=empty, logits=empty, pos_weight=weights)
    assert terms.shape == empty.shape


# --- options ----------------------------------------------------------------------


def threads_now():
    return _execution._options.threads()


def test_options_nest_and_end(monkeypatch):
    monkeypatch.setenv("XBCE_THREADS", "7")
    assert threads_now() == 7
    with xbce.options(threads=3):
        with xbce.options(fuse=False):
            assert threads_now() == 3
        with pytest.raises(KeyError), xbce.options(threads=1):
            raise KeyError
        assert threads_now() == 3
    assert threads_now() == 7
    assert xbce.options(threads=2)(threads_now)() == 2
    monkeypatch.delenv("XBCE_THREADS")
    assert 1 <= threads_now() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"threads": 0}, ValueError, "`threads` must be 1 or more; got 0"),
        ({"threads": 1.5}, TypeError, r"`threads` must be a whole number from 1 on; got 1\.5"),
        ({"fuse": "yes"}, ValueError, "`fuse` must be \"auto\", True or False; got 'yes'"),
    ],
)
def test_options_that_are_none(options, error, message):
    with pytest.raises(error, match=message), xbce.options(**options):
        pass


@pytest.mark.parametrize("value", ["two", "-1", "0", "1.5", "²"])
def test_a_wrong_number_of_threads_in_the_environment(monkeypatch, value):
    monkeypatch.setenv("XBCE_THREADS", value)
    with pytest.raises(ValueError, match=f"XBCE_THREADS must be .*; got '{value}'"):
        threads_now()


def test_options_keep_tasks_and_threads_apart():
    async def task(threads):
        with xbce.options(threads=threads):
            await asyncio.sleep(0.01)
            return threads_now()

    async def all_tasks():
        return await asyncio.gather(*map(task, range(1, 6)))

    assert asyncio.run(all_tasks()) == list(range(1, 6))
    outside = threads_now()
    with xbce.options(threads=outside + 1), ThreadPoolExecutor(1) as pool:
        assert pool.submit(threads_now).result() == outside


# --- PyTorch ----------------------------------------------------------------------


def saved_by(torch, call):
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
    torch = pytest.importorskip("torch")
    x, z = torch.randn(size, requires_grad=True), torch.ones(size)
    for call in (
        lambda: nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x),
        lambda: losses.sigmoid_cross_entropy(z, x, 2.0, 0.1),
    ):
        saved, result = saved_by(torch, call)
        assert {t.data_ptr() for t in saved} == {z.data_ptr(), x.data_ptr()}
        (by_rule,) = torch.autograd.grad(result.sum(), x)
        with xbce.options(fuse=False):
            (by_graph,) = torch.autograd.grad(call().sum(), x)
        torch.testing.assert_close(by_rule, by_graph, rtol=1e-6, atol=1e-6 / size)


def test_the_rule_differentiates_by_everything_and_twice():
    torch = pytest.importorskip("torch")
    x, z, w, q = (torch.from_numpy(a[:500].copy()) for a in (X, SOFT, W, SOFT + 1))
    x = torch.where(torch.isinf(x), torch.zeros(()), x)

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
            torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-15)


def test_the_rule_keeps_the_ways_of_torch():
    torch = pytest.importorskip("torch")
    x, z = torch.randn(40_000, dtype=torch.float64), torch.ones(40_000, dtype=torch.float64)
    desired = torch.sigmoid(x) - 1

    def loss(x):
        return losses.sigmoid_cross_entropy(z, x, reduction=Reduction.SUM)

    close = partial(torch.testing.assert_close, rtol=1e-12, atol=1e-15)
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


def test_compiled_by_its_user_it_breaks_no_graph_and_compiles_once():
    torch = pytest.importorskip("torch")
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


needs_compiler = pytest.mark.skipif(
    not _blocks._can_compile(), reason="no PyTorch here, or no C++ compiler"
)
from_torch = pytest.mark.filterwarnings(  # by torch.compile itself
    "ignore:`torch.jit:DeprecationWarning", "ignore:.*:UserWarning"
)


@needs_compiler
@from_torch
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_fused_by_torch_compile(device):
    torch = pytest.importorskip("torch")
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


def test_what_is_masked_has_gradient_zero_whatever_comes_from_outside():
    torch = pytest.importorskip("torch")
    x, mask = torch.linspace(-2, 2, 6, requires_grad=True), torch.arange(6) % 3 != 0
    terms = losses.sigmoid_cross_entropy(torch.ones(6), x, where=mask, reduction=Reduction.NONE)
    terms.sqrt().sum().backward()  # the derivative of the root is infinite at 0
    assert torch.isfinite(x.grad).all()
    assert (x.grad[~mask] == 0).all()


@needs_compiler
@from_torch
def test_each_formula_is_compiled_as_itself():
    torch = pytest.importorskip("torch")
    x, z = torch.linspace(-3, 3, 12), torch.rand(12)
    for gamma in (2.1, 2.2, 2.3, 2.4):
        with xbce.options(fuse=True):
            fused = nn.sigmoid_focal_loss(labels=z, logits=x, gamma=gamma)
        torch.testing.assert_close(fused, nn.sigmoid_focal_loss(labels=z, logits=x, gamma=gamma))


@needs_compiler
@from_torch
def test_any_number_of_kinds_of_arrays_are_compiled():
    pytest.importorskip("torch")
    with xbce.options(fuse=True):
        for dtype in (np.float32, np.float64):
            for rank in range(1, 7):
                x = np.zeros((2,) * (rank - 1) + (2**16,), dtype)
                loss = nn.sigmoid_cross_entropy_with_logits(labels=x, logits=x)
                np.testing.assert_allclose(loss, np.log(2), rtol=1e-6)


@needs_compiler
@from_torch
def test_compiled_it_differentiates_to_any_order():
    torch = pytest.importorskip("torch")
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


@needs_compiler
@from_torch
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arrays_of_numpy_fused_by_torch_compile(dtype):
    pytest.importorskip("torch")
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
    assert (
        ulps(total, np.float64(math.fsum(terms.ravel()))) <= 8
    )  # of terms that another library computed


# --- JAX --------------------------------------------------------------------------


def test_jax_compiles_once_for_all_values(caplog):
    jax = pytest.importorskip("jax")
    x, z = jax.numpy.linspace(-5, 5, 12).reshape(4, 3), jax.numpy.ones((4, 3))

    def step(number):
        weights = jax.numpy.full((4, 1), number)
        losses.sigmoid_cross_entropy(z, x, weights, 0.1 + number / 10)
        value_and_grad(z, x, 2.0 + number, 0.2 + number / 10)

    step(0.0)
    with jax.log_compiles(), caplog.at_level("WARNING"):
        for number in (1.0, 2.0, 3.0):
            step(number)
    assert not [r for r in caplog.records if "Compiling" in r.getMessage()]


def test_jax_takes_counts_that_32_bits_do_not_hold():
    jax = pytest.importorskip("jax")
    with jax.enable_x64(False):
        x = jax.numpy.ones(3)
        quotient = _execution.run(lambda xp, x, count: x / count, jax.numpy, x, 2**40)
    np.testing.assert_array_equal(quotient, np.full(3, 2.0**-40))


def test_sharded_arrays_stay_sharded():
    pytest.importorskip("jax")
    code = (
        "import jax, numpy as np, xbce;"
        "from jax.sharding import NamedSharding, PartitionSpec as P;"
        "mesh = jax.make_mesh((4,), ('rows',));"
        "rows = NamedSharding(mesh, P('rows'));"
        "x = jax.device_put(np.linspace(-3, 3, 64, dtype='f4').reshape(16, 4), rows);"
        "z = jax.device_put(np.ones((16, 4), 'f4'), rows);"
        "loss = xbce.nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x);"
        "gradient = xbce.derivatives.value_and_grad(z, x)[1];"
        "assert loss.sharding.is_equivalent_to(rows, 2), loss.sharding;"
        "assert gradient.sharding.is_equivalent_to(rows, 2), gradient.sharding;"
        "assert len(loss.sharding.device_set) == 4"
    )
    flags = "--xla_force_host_platform_device_count=4"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert run.returncode == 0, run.stderr.decode()


# --- Dask -------------------------------------------------------------------------


def test_dask_sums_each_chunk_where_it_is():
    da = pytest.importorskip("dask.array")
    from xbce._arrays import of

    shapes = []

    def counted(xp, z, x):
        shapes.append(x.shape)
        return _formula.sigmoid_value_and_gradient(xp, z, x)

    z, x = (da.from_array(a, chunks=(1000, CLASSES)) for a in (SOFT, SOFT))
    total, gradient = _execution.run(counted, of(x), z, x, outputs=2, summed=np.float64)
    actual, by_logits = da.compute(total, gradient, scheduler="synchronous")
    assert shapes == [(1000, CLASSES)] * 5
    desired = _formula.sigmoid_value_and_gradient(np, SOFT, SOFT)
    np.testing.assert_allclose(actual, desired[0].sum(), rtol=1e-14)
    np.testing.assert_array_equal(by_logits, desired[1])
