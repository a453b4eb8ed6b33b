"""CuPy on a CPU, for tests.

`start` puts functions of its own in the place of those of CUDA's driver and runtime that CuPy
calls, before CuPy is imported. CuPy then works as it does on a GPU: it writes CUDA, which NVRTC
compiles to PTX. PTX is translated to C, instruction by instruction, compiled, and run. So CuPy's
own sources and headers, NVRTC, and what they make of a formula are tested. The digits are right:
each instruction that IEEE 754 defines is rounded once, in its rounding mode.

What is not modelled:

- approximations of the hardware (``ex2.approx``, ``lg2.approx``, ``rcp.approx``, ``sqrt.approx``
  and their kind): here they are rounded correctly, on a GPU they may be 2 ulp off;
- ptxas, the compiler from PTX to machine code;
- time and concurrency: one thread runs at a time until it waits or ends, in the order of the
  threads, and after a wait in the opposite one. A race is seen where that makes a difference;
- limits of memory, of registers and of shared memory;
- asynchronous streams, and graphs: a launch has ended when the call returns;
- a current device for each thread of Python: there is one for all;
- accesses outside of an array: they are the process's, and may end it.

CuPy's accelerator of reductions, CUB, is compiled by NVRTC, and `use_cub` switches it on. Its
accelerator of routines calls device code that was compiled before, so it is off. cuBLAS and the
other libraries of CUDA are not there.

Besides CuPy it takes NVIDIA's wheels of NVRTC and of CUDA's headers (nvidia-cuda-nvrtc,
nvidia-cuda-runtime, nvidia-cuda-cccl, nvidia-cuda-crt, with -cu12 at the end for CUDA 12), and gcc.
Compiled kernels are kept in ``$XBCE_EMULATOR_CACHE``, by default ``~/.cache/xbce-emulator``.
"""

from emulator.observation import Launch, Seen, Source, launches_only, state, watch
from emulator.toolkit import prepare_environment, why_not

__all__ = [
    "Launch",
    "Seen",
    "Source",
    "launches_only",
    "start",
    "started",
    "use_cub",
    "watch",
    "why_not",
]


def start(devices: int = 2) -> None:
    """Lets CuPy, which must not have been imported, compute on the CPU.

    Parameters
    ----------
    devices : int
        How many devices CuPy finds.

    Raises
    ------
    RuntimeError
        If it can not run here.
    """
    if reason := why_not():
        raise RuntimeError(reason)
    prepare_environment()
    import cupy_backends.cuda.api.driver
    import cupy_backends.cuda.api.runtime

    from emulator import runtime, stubs

    state.started = True
    found = runtime.Devices(devices)
    api = cupy_backends.cuda.api
    attributes = api.runtime.PointerAttributes
    functions = found.functions() | runtime.stream_functions()
    stubs.replace(api.runtime, functions | runtime.memory_functions(found, attributes))
    stubs.replace(api.driver, runtime.driver_functions(found))
    import cupy.cuda.compiler

    from emulator.compilation import cached_program

    compiler = cupy.cuda.compiler
    compiler._NVRTCProgram = cached_program(compiler._NVRTCProgram)
    use_cub(False)


def started() -> bool:
    """Whether CuPy computes on the CPU."""
    return state.started


def use_cub(enabled: bool) -> None:
    """Switches CuPy's reductions by CUB on or off; they are off at the start."""
    import cupy

    cupy._core.set_reduction_accelerators(["cub"] if enabled else [])
    cupy._core.set_routine_accelerators([])
