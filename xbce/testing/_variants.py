"""How each array library is tested: the table of variants, and why one can not run here.

`xbce.testing.fixtures` runs tests on them. To have a new library of `xbce._backends` tested, add a
variant here. No library is imported before a test needs it, except to ask it for a GPU.
"""

import warnings
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from types import ModuleType

from xbce._backends import BACKENDS, Backend
from xbce._typing import Namespace

NO_GPU: dict[str, str] = {}
"""Why a variant has no GPU, by its name: for a conftest.py that knows, so that the library is not
imported to be asked."""


@dataclass(frozen=True)
class Variant:
    """A library as it is tested: with its own switches, on its own devices."""

    name: str
    backend: str
    devices: tuple[str | None, ...] = (None,)
    dtypes: tuple[str, ...] = ()
    """Names of the floating dtypes, where they are not those of the row."""
    enter: Callable[[], AbstractContextManager[object]] = nullcontext
    transform: bool = False
    """Whether functions marked lazy run as lazily as the library can: jitted, never computed."""
    since: str | None = None
    """The first release of the library that has what the variant needs."""
    added: Backend | None = None
    """The row of a library that is not in the table."""
    about: str = ""
    """What is special about it, in a few words, for ``pytest --help``."""

    @property
    def row(self) -> Backend:
        """The library's row in the table of libraries."""
        return self.added or next(row for row in BACKENDS if row.name == self.backend)

    @property
    def floating(self) -> tuple[str, ...]:
        """Names of the floating dtypes to test."""
        return self.dtypes or self.row.dtypes

    def namespace(self) -> Namespace:
        """The library's namespace, imported."""
        return _imported(self.row.namespaces[0])

    def why_not(self) -> str | None:
        """Why it can not run here, or None."""
        if not self.row.installed():
            return f"{self.name}: {self.row.module} is not installed"
        if self.since and (older := _older(self.row.requires[0], self.since)):
            return f"{self.name}: it needs {self.row.name} {self.since}, installed is {older}"
        if self.transform and find_spec("array_api_extra") is None:
            return f"{self.name}: array-api-extra is not installed"
        if "cuda:0" not in self.devices:
            return None
        if self.name in NO_GPU:
            return f"{self.name}: {NO_GPU[self.name]}"
        return None if _has_cuda(self.row.module) else f"{self.name}: no CUDA GPU here"


def _older(package: str, since: str) -> str | None:
    """The release of the package that is installed, if it is an older one."""
    from packaging.version import Version  # which pytest needs too

    installed = version(package)
    return installed if Version(installed) < Version(since) else None


def _imported(name: str) -> ModuleType:
    """A module, imported; what it warns of meanwhile is not about the project that is tested."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module(name)


@cache
def _has_cuda(module: str) -> bool:
    try:
        library = _imported(module)
    except ImportError:  # CuPy without the libraries of CUDA
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns of a driver that is too old
        return not hasattr(library, "cuda") or bool(library.cuda.is_available())


def _strictest() -> AbstractContextManager[object]:
    import array_api_strict

    return array_api_strict.ArrayAPIStrictFlags(
        boolean_indexing=False, data_dependent_shapes=False, enabled_extensions=()
    )


def _jax_x64(enabled: bool) -> Callable[[], AbstractContextManager[object]]:
    def enter() -> AbstractContextManager[object]:
        jax = _imported("jax")
        if hasattr(jax, "enable_x64"):
            return jax.enable_x64(enabled)
        return _imported("jax.experimental").enable_x64(enabled)  # its place in older releases

    return enter


VARIANTS = (
    Variant("numpy", "numpy", about="NumPy"),
    Variant(
        "strict",
        "array-api-strict",
        ("CPU_DEVICE", "device1"),
        about="on two of its devices",
    ),
    Variant(
        "strictest",
        "array-api-strict",
        enter=_strictest,
        about="without boolean indexing, data-dependent shapes and extensions",
    ),
    Variant(
        "strict-no-float64",
        "array-api-strict",
        ("no_float64",),
        ("float32",),
        since="2.6",
        about="on its device without float64",
    ),
    Variant("torch", "torch", ("cpu",), about="PyTorch on the CPU"),
    Variant("torch-cuda", "torch", ("cuda:0",), about="PyTorch on a GPU"),
    Variant("cupy", "cupy", ("cuda:0",), about="CuPy on a GPU"),
    Variant("jax", "jax", enter=_jax_x64(True), about="JAX, eager, with 64 bits"),
    Variant(
        "jax-jit",
        "jax",
        enter=_jax_x64(True),
        transform=True,
        about="eager, but functions marked lazy are jitted",
    ),
    Variant(
        "jax-x32",
        "jax",
        dtypes=("float16", "bfloat16", "float32"),
        enter=_jax_x64(False),
        about="eager, with 64 bits switched off",
    ),
    Variant("dask", "dask", transform=True, about="Dask; functions marked lazy may not compute"),
)


def library(
    name: str,
    namespace: str,
    devices: Sequence[str | None] = (None,),
    dtypes: Sequence[str] = ("float32", "float64"),
) -> Variant:
    """A variant that a project adds: of a library of the table, or of one of its own."""
    if any(name in (variant.name, variant.backend) for variant in VARIANTS):
        raise ValueError(f"there is a {name} already")
    package = namespace.partition(".")[0]
    row = next((row for row in BACKENDS if namespace in row.namespaces), None)
    added = None if row else Backend(name, (namespace,), (package,), tuple(dtypes))
    backend = row.name if row else name
    return Variant(name, backend, tuple(devices), tuple(dtypes), added=added)


def of_names(names: Collection[str], variants: Sequence[Variant]) -> list[Variant]:
    """The variants that are named, or whose library is."""
    return [row for row in variants if row.name in names or row.backend in names]


def missing(rows: Sequence[Backend], variants: Sequence[Variant]) -> dict[str, str]:
    """What libraries lack, by their names, in words that say where to write it."""
    known, tested = {row.name for row in rows}, {variant.backend for variant in variants}
    row, variant = "row in xbce._backends", "variant in xbce.testing._variants"
    without_variant = {name: f"{name} has a {row}, but no {variant}" for name in known - tested}
    without_row = {name: f"{name} has a {variant}, but no {row}" for name in tested - known}
    return without_variant | without_row
