"""CuPy's engine computes where the arrays are, on the caller's stream, and waits for nothing."""

import numpy as np
import pytest
from calls import CALLS, ELEMENTS
from cupy_calls import (
    CLASSES,
    GIVES_GRADIENT,
    LARGE,
    REDUCED,
    ROWS,
    arrays,
    cupy,
    emulator,
    launches,
)

import xbce
from xbce import derivatives, losses, nn

pytestmark = pytest.mark.backend("cupy")


def on_device(number, call):
    with cupy.cuda.Device(number):
        return call()


@pytest.mark.parametrize("fuse", ["auto", False])
@pytest.mark.parametrize("current", [0, 1])
def test_results_are_where_the_logits_are(current, fuse):
    """Whatever device is the current one, and without a copy, which would be a warning."""
    x = np.linspace(-2, 2, 12, dtype="float32").reshape(4, 3)
    for device in (0, 1):
        a = on_device(device, lambda: {"x": cupy.asarray(x), "z": cupy.asarray(x > 0)})
        with cupy.cuda.Device(current), xbce.options(fuse=fuse):
            found = [
                nn.sigmoid_cross_entropy_with_logits(labels=a["z"], logits=a["x"]),
                losses.sigmoid_cross_entropy(a["z"], a["x"], where=a["z"]),
                *derivatives.value_and_grad(a["z"], a["x"], where=False),
                losses.sigmoid_cross_entropy(a["z"], a["x"], where=a["z"], axis=1, ignore_index=0),
                losses.softmax_cross_entropy(a["z"], a["x"]),
                losses.softmax_cross_entropy(a["z"], a["x"], where=a["z"]),
            ]
            assert cupy.cuda.runtime.getDevice() == current
        assert [array.device.id for array in found] == [device] * 7


@pytest.mark.parametrize("name", [*CALLS, *ELEMENTS])
def test_a_call_neither_waits_nor_copies(name):
    """So that a graph of CUDA can capture it, and the CPU goes on while the device computes."""
    call, a = (CALLS | ELEMENTS)[name], arrays()
    with emulator.launches_only():
        call(a)
        with emulator.watch() as seen:
            call(a)
    assert not seen.synchronizations
    assert set(seen.copies) <= ({"memset"} if "axis" in name else set())  # of CuPy's own sums
    assert not seen.sources


def test_kernels_run_on_the_stream_of_the_caller():
    stream, a = cupy.cuda.Stream(non_blocking=True), arrays()
    with stream:
        found = launches(CALLS["value_and_grad-all"], a)
    assert found
    assert {launch.stream for launch in found} == {stream.ptr}


@pytest.mark.parametrize("name", [name for name in REDUCED if name not in GIVES_GRADIENT])
def test_a_reduced_loss_needs_next_to_no_memory(name):
    a = arrays(LARGE // CLASSES)
    with emulator.launches_only(), emulator.watch() as seen:
        REDUCED[name](a)
    assert seen.allocated < 2**16


def test_a_gradient_needs_its_own_memory_only():
    a = arrays(LARGE // CLASSES)
    for name in GIVES_GRADIENT:
        with emulator.launches_only(), emulator.watch() as seen:
            GIVES_GRADIENT[name](a)
        assert seen.allocated < a["x"].nbytes + 2**16, name


@pytest.mark.parametrize("cub", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_kernels_do_not_depend_on_accelerators(dtype, cub):
    """With CUB, as CuPy has it by default, a sum in `cupy.fuse` of CuPy 14.2 does not compile."""
    emulator.use_cub(cub)
    try:
        with emulator.launches_only():
            with emulator.watch() as seen:
                for call in REDUCED.values():
                    call(arrays(ROWS, dtype))
            with emulator.watch() as again:
                derivatives.value_and_grad(*[arrays(ROWS, dtype)[name] for name in ("z", "x")])
    finally:
        emulator.use_cub(False)
    assert {launch.name.partition("_")[0] for launch in seen.launches} == {"xbce"}
    assert len(again.launches) == 2


@pytest.mark.parametrize("fuse", ["auto", False])
@pytest.mark.parametrize("cub", [False, True])
def test_results_are_those_of_numpy_with_cub_and_without(cub, fuse):
    rng = np.random.default_rng(5)
    z, x, w = rng.random((90, 5)), 4 * rng.normal(size=(90, 5)), rng.random((90, 1))
    on_device = [cupy.asarray(array) for array in (z, x, w)]
    emulator.use_cub(cub)
    try:
        with xbce.options(fuse=fuse):
            found = [losses.sigmoid_cross_entropy(*on_device)]
            found += derivatives.value_and_grad(*on_device, where=on_device[1] > -3)
            found.append(losses.softmax_cross_entropy(on_device[0], on_device[1]))
    finally:
        emulator.use_cub(False)
    wanted = [losses.sigmoid_cross_entropy(z, x, w)]
    wanted += derivatives.value_and_grad(z, x, w, where=x > -3)
    wanted.append(losses.softmax_cross_entropy(z, x))
    for actual, desired in zip(found, wanted, strict=True):
        np.testing.assert_allclose(actual.get(), desired, 1e-13, 1e-15)
