"""Where the compilers are: NVRTC in NVIDIA's wheels, and a C compiler."""

import ctypes
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from functools import cache
from pathlib import Path


def why_not() -> str | None:
    """Why the emulator can not run here, in words; None if it can."""
    if reason := why_no_kernels():
        return reason
    if "cupy" in sys.modules or "cupy_backends" in sys.modules:
        return "CuPy has been imported already; the emulator must start before."
    if importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed."
    if nvrtc() is None:
        return "NVRTC is not installed: no wheel like nvidia-cuda-nvrtc has been found."
    if not include_folders():
        return "CUDA's headers are not installed: no wheel like nvidia-cuda-runtime has been found."
    return None


def why_no_kernels() -> str | None:
    """Why no PTX can be run here, with CuPy or without."""
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"):
        return f"The emulator is for Linux on x86-64 or aarch64; this is {platform.platform()}."
    if c_compiler() is None:
        return "There is no C compiler: neither cc nor gcc is on the PATH."
    return None


def _wheels() -> list[Path]:
    """Folders of NVIDIA's wheels for the CUDA that CuPy was built for.

    Those of CUDA 12 have one each, such as nvidia/cuda_nvrtc; later ones share nvidia/cu13.
    """
    spec = importlib.util.find_spec("nvidia")
    parents = spec.submodule_search_locations or () if spec else ()
    major = _cuda_of_cupy()
    names = "cuda_*" if major == "12" else f"cu{major or '[0-9]*'}"
    return sorted(folder for parent in parents for folder in Path(parent).glob(names))


def _cuda_of_cupy() -> str | None:
    """The major version of CUDA, by the name of CuPy's wheel."""
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"] or ""
        if name.startswith("cupy-cuda"):
            return name.removeprefix("cupy-cuda").removesuffix("x")
    return None


@cache
def nvrtc() -> Path | None:
    """The library of NVRTC."""
    found = (file for folder in _wheels() for file in folder.glob("lib/libnvrtc.so.*"))
    return max(found, default=None)


@cache
def include_folders() -> tuple[Path, ...]:
    """Folders with CUDA's headers."""
    return tuple(f / "include" for f in _wheels() if (f / "include" / "cuda_runtime.h").is_file())


@cache
def c_compiler() -> str | None:
    """The C compiler."""
    return shutil.which("gcc") or shutil.which("cc")


def prepare_environment() -> None:
    """Lets CuPy find the wheels, compile to PTX, and leave its own cache on disk alone."""
    library = nvrtc()
    if not os.environ.get("CUDA_PATH"):
        os.environ["CUDA_PATH"] = str(include_folders()[0].parent)
    os.environ["CUPY_COMPILE_WITH_PTX"] = "1"
    os.environ["CUPY_CACHE_IN_MEMORY"] = "1"  # the emulator has a cache of its own
    os.environ["CUPY_ACCELERATORS"] = ""
    os.environ.setdefault("NVCC", "nvcc")  # CuPy 13 uses CUB where it has a name for this one only
    # A library that is loaded already is found by its name.
    for path in sorted(library.parent.glob("libnvrtc-builtins.so.*")):
        ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
