"""Compiles CUDA to PTX with NVRTC, and PTX to a shared library; both are kept on disk."""

import hashlib
import json
import os
import platform
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from emulator.toolkit import c_compiler
from emulator.translation import to_c

HERE = Path(__file__).parent
# Each operation is rounded as it is written. Signed integers wrap, and bytes have any type.
# Without _FORTIFY_SOURCE, as its longjmp refuses to switch stacks.
FLAGS = ["-std=gnu11", "-w", "-shared", "-fPIC", "-frounding-math", "-ffp-contract=off"]
FLAGS += ["-fwrapv", "-fno-strict-aliasing", "-U_FORTIFY_SOURCE", f"-I{HERE}"]


@cache
def cache_folder() -> Path:
    """Where compiled kernels are kept: $XBCE_EMULATOR_CACHE, or in the user's cache."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xbce-emulator"
    folder = Path(os.environ.get("XBCE_EMULATOR_CACHE") or default)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _key(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _save(path: Path, data: bytes) -> None:
    """Writes a file at once, as other processes may read or write the same."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    os.replace(file.name, path)


# --- CUDA to PTX


def cached_program(program: type) -> type:
    """CuPy's class of a program for NVRTC, with results that are kept on disk."""
    import cupy
    from cupy_backends.cuda.libs import nvrtc

    version = cupy.__version__, nvrtc.getVersion()

    class CachedProgram(program):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            self.given = given, sorted(named.items())

        def compile(self, options: tuple[str, ...] = (), log_stream: Any = None) -> tuple[Any, Any]:
            path = cache_folder() / f"{_key(version, self.given, options)}.json"
            if path.is_file():
                ptx, mapping = json.loads(path.read_text())
            else:
                data, mapping = super().compile(options, log_stream)
                ptx = data.decode() if isinstance(data, bytes) else data
                _save(path, json.dumps([ptx, mapping]).encode())
            sources[ptx.encode()] = self.src, tuple(options)
            return ptx.encode(), mapping

    return CachedProgram


sources: dict[bytes, tuple[str, tuple[str, ...]]] = {}
"""The CUDA source and options that a PTX has been made of."""


# --- PTX to a shared library


@cache
def _compiler() -> tuple[str, list[str]]:
    """The version of the C compiler, and all flags but the level of optimization."""
    asked = [c_compiler(), "--version"]
    version = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    flags = list(FLAGS)
    if platform.machine() == "x86_64" and " fma " in Path("/proc/cpuinfo").read_text():
        flags.append("-mfma")  # one instruction in place of a call of the C library
    return version, flags


@cache
def _own_sources() -> str:
    files = sorted([*HERE.glob("*.py"), *HERE.glob("*.[ch]")])
    return _key([(file.name, file.read_bytes()) for file in files])


def library_of_ptx(ptx: bytes) -> Path:
    """The shared library of a PTX text."""
    return _library(("ptx", ptx), lambda: to_c(ptx.decode()))


def library_of_c(code: str) -> Path:
    """The shared library of a text in C."""
    return _library(("c", code), lambda: code)


def _library(source: tuple[str, Any], write_c: Any) -> Path:
    version, flags = _compiler()
    path = cache_folder() / f"{_key(source, version, flags, _own_sources())}.so"
    if not path.is_file():
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            code, built = Path(folder) / "code.c", Path(folder) / "code.so"
            code.write_text(write_c())
            command = [c_compiler(), "-O1", *flags, str(code), "-o", str(built), "-lm"]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"The C compiler refused a kernel:\n{done.stderr}")
            os.replace(built, path)
    return path
