"""What each array library can do: the one table that the code, the tests and the docs read.

Nothing is imported here: a library that its user has not imported stays
unimported. To add a library that follows the array API standard, add a row.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backend:
    """One array library.

    Attributes
    ----------
    name : str
        The name users know it by, and that ``pytest --backend`` takes.
    namespaces : tuple of str
        Names of the modules that its arrays may give as their namespace; the
        first is the one to import.
    requires : tuple of str
        What to install.
    dtypes : tuple of str
        The floating dtypes it computes with.
    autodiff : bool
        Whether it differentiates; the plain formula is right under it.
    lazy : bool
        Whether arrays are graphs computed later, whose sizes may be unknown.
    devices : bool
        Whether arrays live on devices that must not be mixed.
    float64_varies : bool
        Whether float64 is missing on some devices, or unless it is asked for.
    subnormals : bool
        Whether it computes with subnormal numbers; where not, it takes them for 0. A
        subnormal label then adds nothing to the loss, and what else is lost is below
        two of the smallest normal numbers.
    """

    name: str
    namespaces: tuple[str, ...]
    requires: tuple[str, ...]
    dtypes: tuple[str, ...] = ("float32", "float64")
    autodiff: bool = False
    lazy: bool = False
    devices: bool = False
    float64_varies: bool = False
    subnormals: bool = True


_HALF = ("float16", "float32", "float64")
_ALL = ("float16", "bfloat16", "float32", "float64")

BACKENDS = (
    Backend("numpy", ("array_api_compat.numpy", "numpy"), ("numpy",), _HALF),
    Backend(
        "torch",
        ("array_api_compat.torch", "torch"),
        ("torch",),
        _ALL,
        autodiff=True,
        devices=True,
        float64_varies=True,
    ),
    Backend("cupy", ("array_api_compat.cupy", "cupy"), ("cupy-cuda13x",), _HALF, devices=True),
    Backend(
        "jax",
        ("jax.numpy",),
        ("jax",),
        _ALL,
        autodiff=True,
        float64_varies=True,
        subnormals=False,
    ),
    Backend(
        "dask", ("array_api_compat.dask.array", "dask.array"), ("dask[array]",), _HALF, lazy=True
    ),
    Backend(
        "array-api-strict",
        ("array_api_strict",),
        ("array-api-strict",),
        devices=True,
        float64_varies=True,
    ),
)

_OF_NAMESPACE = {namespace: backend for backend in BACKENDS for namespace in backend.namespaces}


def of(namespace: str) -> Backend:
    """The row of the library whose namespace has this name; a plain one where no row stands."""
    return _OF_NAMESPACE.get(namespace) or Backend(namespace, (namespace,), ())
