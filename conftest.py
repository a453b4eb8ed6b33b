"""Fixtures over every array library: `xp`, `device`, `dtype`, and `array` that makes one of them.

A test that takes them runs on each backend of `xbce._backends`, in its variants,
on each device and floating dtype it has. ``--backend NAME`` chooses; a backend that is
not installed, or has no GPU here, skips by name. ``--backend cupy`` computes on an emulator where
there is no GPU.
"""

import glob
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import array_api_compat
import numpy as np
import pytest
from array_api_extra.testing import patch_lazy_xp_functions
from hypothesis import HealthCheck, settings

from xbce._backends import BACKENDS, Backend

sys.path.insert(0, str(Path(__file__).parent / "tests"))
import emulator

# Searches are the same in each run, and fixtures and arrays that take long to make are no fault.
settings.register_profile(
    "xbce",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("xbce")


@dataclass(frozen=True)
class Variant:
    """A backend as it is tested: with its own switches, on its own devices."""

    name: str
    backend: str
    devices: tuple[str | None, ...] = (None,)
    dtypes: tuple[str, ...] = field(default=())
    enter: Callable[[], AbstractContextManager[object]] = nullcontext
    transform: bool = False
    """Whether functions marked lazy run as lazily as the library can: jitted, never computed."""

    @property
    def row(self) -> Backend:
        """The backend's row in the table."""
        return next(row for row in BACKENDS if row.name == self.backend)

    def why_not(self) -> str | None:
        """Why it can not run here, or None."""
        if not self.row.installed():
            return f"{self.name}: {self.row.module} is not installed"
        if "cuda:0" in self.devices and not _has_cuda(self.row):
            emulated = f", and no emulator: {emulator.why_not()}" if self.name == "cupy" else ""
            return f"{self.name}: no CUDA GPU here{emulated}"
        return None


@cache
def _has_cuda(row: Backend) -> bool:
    if row.name == "cupy" and not _GPU and not emulator.started():
        return False  # CuPy is not imported, so that the emulator may yet come before it
    try:
        return bool(import_module(row.module).cuda.is_available())
    except ImportError:  # CuPy without the libraries of CUDA
        return False


_GPU = bool(glob.glob("/dev/nvidia[0-9]*"))


def _strictest() -> AbstractContextManager[object]:
    import array_api_strict

    return array_api_strict.ArrayAPIStrictFlags(
        boolean_indexing=False, data_dependent_shapes=False, enabled_extensions=()
    )


def _jax_x64(enabled: bool) -> Callable[[], AbstractContextManager[object]]:
    def enter() -> AbstractContextManager[object]:
        import jax

        return jax.enable_x64(enabled)

    return enter


VARIANTS = (
    Variant("numpy", "numpy"),
    Variant("strict", "array-api-strict", ("CPU_DEVICE", "device1")),
    Variant("strictest", "array-api-strict", enter=_strictest),
    Variant("strict-no-float64", "array-api-strict", ("no_float64",), ("float32",)),
    Variant("torch", "torch", ("cpu",)),
    Variant("torch-cuda", "torch", ("cuda:0",)),
    Variant("cupy", "cupy", ("cuda:0",)),
    Variant("jax", "jax", enter=_jax_x64(True)),
    Variant("jax-jit", "jax", enter=_jax_x64(True), transform=True),
    Variant("jax-x32", "jax", dtypes=("float16", "bfloat16", "float32"), enter=_jax_x64(False)),
    Variant("dask", "dask", transform=True),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--backend`` and ``--thorough``."""
    names = sorted({row.name for row in BACKENDS} | {variant.name for variant in VARIANTS})
    parser.addoption(
        "--backend",
        action="append",
        choices=names,
        help="run the tests of this backend, or of this variant of one, and the tests that are "
        "not about a backend; may be given more than once. Default: all that are installed",
    )
    parser.addoption(
        "--thorough",
        action="store_true",
        help="test every promise of accuracy on millions of values",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Fail where a library is chosen that no test would run on."""
    rows, tested = {row.name for row in BACKENDS}, {variant.backend for variant in VARIANTS}
    chosen = config.getoption("backend") or ()
    if "cupy" in chosen and not _GPU and emulator.why_not() is None:
        emulator.start()
    for name in tested - rows:
        raise pytest.UsageError(
            f"{name} has a variant in conftest.py, but no row in xbce._backends"
        )
    for name in (rows - tested).intersection(chosen):
        raise pytest.UsageError(
            f"{name} has a row in xbce._backends, but no variant in conftest.py"
        )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is about other backends than those that are chosen."""
    chosen = config.getoption("backend")

    def about_others(item: pytest.Item) -> bool:
        return bool(chosen) and any(
            mark.args[0] not in chosen for mark in item.iter_markers("backend")
        )

    left_out = [item for item in items if about_others(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not about_others(item)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the test on each backend, device and dtype that its fixtures ask for."""
    if "xp" not in metafunc.fixturenames:
        return
    chosen = metafunc.config.getoption("backend")
    needs = [mark.args[0] for mark in metafunc.definition.iter_markers("needs")]
    names = [name for name in ("xp", "device", "dtype") if name in metafunc.fixturenames]
    params = []
    for variant in VARIANTS:
        if chosen and variant.name not in chosen and variant.backend not in chosen:
            continue
        if not all(getattr(variant.row, capability) for capability in needs):
            continue
        why_not = variant.why_not()
        devices = variant.devices if "device" in names and not why_not else variant.devices[:1]
        dtypes = variant.dtypes or variant.row.dtypes
        if "dtype" not in names or why_not:
            dtypes = dtypes[:1]
        for device in devices:
            for dtype in dtypes:
                values = {"xp": variant, "device": device, "dtype": dtype}
                shown = [variant.name]
                if "dtype" in names:
                    shown.append(dtype)
                if len(variant.devices) > 1 and "device" in names:
                    shown.append(str(device))
                marks = [pytest.mark.skip(reason=why_not)] if why_not else []
                params.append(
                    pytest.param(*(values[name] for name in names), id="-".join(shown), marks=marks)
                )
    metafunc.parametrize(names, params, indirect=True)


@pytest.fixture
def xp(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The array namespace of a backend."""
    variant: Variant = request.param
    with ExitStack() as stack:
        stack.enter_context(variant.enter())
        namespace = variant.row.namespace()
        if variant.transform:
            stack.enter_context(patch_lazy_xp_functions(request, xp=namespace))
        yield namespace


@pytest.fixture
def device(request: pytest.FixtureRequest, xp: Any) -> Any:
    """One of the backend's devices; None where it has but one."""
    if request.param is None or xp.__name__.endswith("cupy"):
        return None
    return xp.Device(request.param) if hasattr(xp, "Device") else xp.device(request.param)


@pytest.fixture
def dtype(request: pytest.FixtureRequest, xp: Any) -> Any:
    """One of the backend's floating dtypes."""
    # Dask takes NumPy's dtypes, but names only the standard's.
    return getattr(xp, request.param, None) or getattr(np, request.param)


@pytest.fixture
def array(xp: Any, device: Any) -> Callable[..., Any]:
    """``array(values, dtype=xp.float32)``: an array of the backend, in chunks where it has them."""

    def make(values: Any, dtype: Any = xp.float32) -> Any:
        made = xp.asarray(values, dtype=dtype, device=device)
        return made.rechunk(2) if array_api_compat.is_dask_array(made) else made

    return make
