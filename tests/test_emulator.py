"""CuPy on the emulator, from CUDA to digits, and what the emulator tells of it."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import emulator
import numpy as np
import pytest

pytestmark = pytest.mark.backend("cupy")
if not emulator.started():
    pytest.skip("CuPy is on a GPU, or not here", allow_module_level=True)

import cupy  # noqa: E402

X = np.linspace(-3, 3, 1000)


@pytest.fixture(params=[False, True], ids=["plain", "cub"])
def cub(request):
    emulator.use_cub(request.param)
    yield request.param
    emulator.use_cub(False)


# --- digits


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_elementwise_kernels_give_the_digits_of_ieee(dtype):
    kernel = cupy.ElementwiseKernel("T x, T y", "T z", "z = x * y + x / y", "test_formula")
    x, y = X.astype(dtype), (X[::-1] + 0.01).astype(dtype)
    found = cupy.asnumpy(kernel(cupy.asarray(x), cupy.asarray(y)))
    narrow = np.float32 if dtype == "float16" else np.dtype(dtype)  # in which CuPy computes
    with np.errstate(all="ignore"):
        quotient = x.astype(narrow) / y.astype(narrow)
    # NVRTC makes one fused operation of the product and the sum.
    exact = [
        float("nan")
        if np.isinf(q)
        else float(Fraction(float(a)) * Fraction(float(b)) + Fraction(float(q)))
        for a, b, q in zip(x, y, quotient, strict=True)
    ]
    np.testing.assert_array_equal(found, np.array(exact).astype(narrow).astype(dtype))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_cupys_own_functions_are_near_numpys(dtype):
    x = X.astype(dtype)
    for name in ("exp", "log1p", "tanh", "sin", "sqrt", "expm1", "rint", "floor"):
        with np.errstate(all="ignore"):
            expected = getattr(np, name)(x)
        found = cupy.asnumpy(getattr(cupy, name)(cupy.asarray(x)))
        np.testing.assert_allclose(found, expected, rtol=4 * np.finfo(dtype).eps, atol=1e-7)


@pytest.mark.parametrize(("name", "shape"), [("sum", (1000,)), ("argmin", (7, 300))])
def test_reductions_agree_with_numpy_with_cub_and_without(cub, name, shape):
    x = np.random.default_rng(1).normal(size=shape).astype("f4")
    array = cupy.asarray(x)
    with emulator.watch() as seen:
        found = getattr(array, name)(axis=-1)
    assert any("cub" in launch.name for launch in seen.launches) == cub
    np.testing.assert_allclose(cupy.asnumpy(found), getattr(x, name)(axis=-1), rtol=1e-5, atol=1e-5)


def test_a_reduction_kernel_of_ones_own_works_with_cub_and_without(cub):
    kernel = cupy.ReductionKernel("T x", "T y", "x * x", "a + b", "y = sqrt(a)", "0", "test_norm")
    x = np.arange(5000, dtype="f8")
    assert float(kernel(cupy.asarray(x))) == pytest.approx(np.linalg.norm(x), rel=1e-14)


TRANSPOSE = r"""
extern "C" __global__ void transpose(const float *x, float *y, int n) {
    __shared__ float tile[16][17];
    extern __shared__ float more[];
    int row = blockIdx.y * 16 + threadIdx.y, column = blockIdx.x * 16 + threadIdx.x;
    if (row < n && column < n) tile[threadIdx.y][threadIdx.x] = x[row * n + column];
    more[threadIdx.y * 16 + threadIdx.x] = 1;
    __syncthreads();
    row = blockIdx.x * 16 + threadIdx.y, column = blockIdx.y * 16 + threadIdx.x;
    float one = more[255 - threadIdx.y * 16 - threadIdx.x];
    if (row < n && column < n) y[row * n + column] = one * tile[threadIdx.x][threadIdx.y];
}
"""


def test_raw_kernels_use_barriers_and_shared_memory():
    x = np.random.default_rng(2).normal(size=(40, 40)).astype("f4")
    y = cupy.empty_like(cupy.asarray(x))
    kernel = cupy.RawKernel(TRANSPOSE, "transpose")
    kernel((3, 3), (16, 16), (cupy.asarray(x), y, np.int32(40)), shared_mem=1024)
    np.testing.assert_array_equal(cupy.asnumpy(y), x.T)


def test_templates_and_global_variables_of_a_raw_module_are_found():
    code = "__device__ int offset = 3; template <typename T> __global__ void add(T *x)"
    code += " { x[threadIdx.x] += offset; }"
    module = cupy.RawModule(code=code, name_expressions=["add<double>"])
    x = cupy.arange(4.0)
    module.get_function("add<double>")((1,), (4,), (x,))
    np.testing.assert_array_equal(cupy.asnumpy(x), [3, 4, 5, 6])


def test_memory_that_nobody_wrote_is_nan():
    with emulator.watch():
        assert cupy.isnan(cupy.empty(9, "f4")).all()


def test_arrays_are_indexed_sorted_into_bins_and_selected():
    x = cupy.asarray(X)
    np.testing.assert_array_equal(cupy.asnumpy(x[cupy.asarray([3, 1])]), X[[3, 1]])
    bins = cupy.asnumpy(cupy.bincount(cupy.asarray([1, 1, 4])))
    np.testing.assert_array_equal(bins, [0, 2, 0, 0, 1])
    np.testing.assert_array_equal(cupy.asnumpy(cupy.where(x > 0, x, -x)), np.abs(X))


# --- devices


def test_memory_belongs_to_the_device_that_it_was_made_on():
    with cupy.cuda.Device(1):
        array = cupy.ones(4)
    assert array.device.id == 1
    assert cupy.cuda.runtime.pointerGetAttributes(array.data.ptr).device == 1
    assert cupy.cuda.runtime.getDeviceCount() == 2
    with pytest.raises(RuntimeError, match="InvalidDevice"):
        cupy.cuda.Device(2).use()


def test_an_array_of_another_device_is_what_cupy_says_it_is():
    with cupy.cuda.Device(1):
        array = cupy.ones(4)
    with emulator.watch() as seen, pytest.warns(cupy._util.PerformanceWarning, match="resides"):
        array + 1
    assert [launch.device for launch in seen.launches] == [0]
    with cupy.cuda.Device(1), emulator.watch() as seen:
        array + 1
    assert [launch.device for launch in seen.launches] == [1]


# --- what is seen


def test_launches_are_seen_with_grid_block_stream_and_source():
    stream, x = cupy.cuda.Stream(), cupy.ones(1000, "f4")
    with stream, emulator.watch() as seen:
        x + x
    (launch,) = seen.launches
    assert launch.name.startswith("cupy_add")
    assert launch.grid[0] * launch.block[0] >= 1000
    assert launch.stream == stream.ptr
    assert "cupy_add" in launch.source.cuda
    assert launch.source.ptx.count(".entry") == 1
    assert "-ftz=true" in launch.source.options


def test_nothing_is_seen_after_the_watch():
    with emulator.watch() as seen:
        pass
    cupy.ones(3)
    assert not seen.launches
    assert not seen.copies


def test_sources_are_those_that_were_compiled_meanwhile():
    kernel = cupy.ElementwiseKernel("float32 x", "float32 z", "z = x + 17", "test_seventeen")
    with emulator.watch() as seen:
        kernel(cupy.ones(3, "f4"))
    assert any("x + 17" in source.cuda for source in seen.sources)
    with emulator.watch() as seen:
        kernel(cupy.ones(3, "f4"))
    assert not seen.sources


def test_copies_are_counted_by_kind_and_those_that_wait_as_synchronizations():
    x = cupy.ones(1000)
    with emulator.watch() as seen:
        x * 2
    assert not seen.copies
    assert not seen.synchronizations
    with emulator.watch() as seen:
        y = x.copy()
        y.fill(0)
    assert not seen.synchronizations
    with emulator.watch() as seen:
        float(x.sum())
    assert seen.copies["device to host"] == 1
    assert seen.pageable_copies == 1
    assert seen.synchronizations
    with emulator.watch() as seen:
        cupy.zeros(5)
        cupy.asarray(X)
        cupy.cuda.Stream.null.synchronize()
    assert seen.copies["memset"] == 1
    assert seen.copies["host to device"] == 1
    assert seen.synchronizations["streamSynchronize"] >= 1


def test_the_peak_of_memory_is_known_though_cupy_has_a_pool():
    x = cupy.ones(1 << 16, "f4")
    with emulator.watch() as seen:
        for _ in range(3):
            y = x + 1
            del y
    assert seen.allocated == x.nbytes
    with emulator.watch() as seen:
        (x + 1) * (x + 2)
    assert seen.allocated == 3 * x.nbytes


def test_launches_alone_cost_neither_time_nor_memory():
    resident = Path("/proc/self/statm")
    before = int(resident.read_text().split()[1])
    with emulator.launches_only(), emulator.watch() as seen:
        x = cupy.zeros(1 << 28, "f4")
        (x + 1).sum()
    assert sum("add" in launch.name for launch in seen.launches) == 1
    assert seen.allocated > 2 * x.nbytes - 1
    assert (int(resident.read_text().split()[1]) - before) * 4096 < x.nbytes / 4


def test_an_error_of_a_launch_is_raised_where_it_is_launched():
    kernel = cupy.RawKernel('extern "C" __global__ void f() { asm("trap;"); }', "f")
    with pytest.raises(RuntimeError, match="trap"):
        kernel((1,), (1,), ())
    assert float(cupy.ones(3).sum()) == 3
    clock = 'extern "C" __global__ void f(long long *x) { *x = clock64(); }'
    with pytest.raises(NotImplementedError, match="clock64"):
        cupy.RawKernel(clock, "f")((1,), (1,), (cupy.zeros(1, "i8"),))


def test_what_the_emulator_does_not_have_is_an_error_that_names_it():
    with pytest.raises(NotImplementedError, match="graphLaunch"):
        cupy.cuda.runtime.graphLaunch(1, 0)


# --- a process


def run(code, **environment):
    folder = str(Path(__file__).parent)
    start = f"import os, sys; sys.path.insert(0, {folder!r}); import emulator\n"
    start += f"os.environ.update({environment})\n"
    return subprocess.run([sys.executable, "-c", start + code], capture_output=True, text=True)


def test_a_process_ends_without_a_crash_whatever_is_still_alive():
    done = run(
        "emulator.start(3); import cupy\n"
        "kept = [cupy.ones(5), cupy.cuda.Stream(), cupy.cuda.Event()]\n"
        "kept.append(cupy.cuda.alloc_pinned_memory(9))\n"
        "with cupy.cuda.Device(2): kept.append(cupy.arange(3) + 1); print(kept[-1].sum())\n"
        "module = cupy.RawModule(code='__global__ void f() {}', name_expressions=['f'])\n"
        "kept.append(module.get_function('f')); import builtins; builtins.kept = kept\n"
        "print(cupy.cuda.runtime.getDeviceCount())\n"
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["6", "3"], "")


def test_start_comes_before_cupy():
    assert "imported already" in emulator.why_not()
    with pytest.raises(RuntimeError, match="imported already"):
        emulator.start()


def test_why_not_says_in_words_what_is_missing():
    assert run("print(emulator.why_not())").stdout == "None\n"
    assert "C compiler" in run("print(emulator.why_not())", PATH="/nowhere").stdout


def test_a_cache_of_ones_own_is_used(tmp_path):
    code = "emulator.start(); import cupy; print((cupy.ones(3, 'f4') + 4).sum())"
    assert run(code, XBCE_EMULATOR_CACHE=str(tmp_path)).stdout == "15.0\n"
    assert {path.suffix for path in tmp_path.iterdir()} == {".so", ".json"}
