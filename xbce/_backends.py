"""What each array library can do, and how to ask it: the one table of libraries.

The code, the tests, the report and the docs read it. Nothing is imported here: a library that its
user has not imported stays unimported.

To add a library that follows the array API standard, add a row, and its variant for tests in
``testing/_variants.py``; ``tests/test_new_backend.py`` says which of the two is missing. What the
standard does not tell has a function in the row, written above the table.
"""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from xbce._typing import Array, Device, DType, Namespace

_Gradient = Callable[[Callable[[Array], Array], Array], Array]


# --- how to ask -----------------------------------------------------------------


def _as_it_is(array: Array) -> np.ndarray:
    return np.asarray(array)


def _no_wait(array: Array) -> None:
    pass


def _always(array: Array) -> bool:
    return True


def _own_device(array: Array) -> Device:
    return array.device


def _float64(xp: Namespace, array: Array) -> DType:
    return xp.float64


def _widest(xp: Namespace, array: Array) -> DType:
    dtypes = xp.__array_namespace_info__().dtypes(device=array.device, kind="real floating")
    return xp.float64 if "float64" in dtypes else xp.float32


def _counted(xp: Namespace, array: Array) -> Array:
    """From the array itself, so that the numbers are what it is: lazy, sharded, or fake."""
    if not hasattr(xp, "cumulative_sum"):  # of the standard since 2023
        return _arange(xp, array)
    return xp.cumulative_sum(xp.ones_like(array, dtype=xp.int32), axis=-1) - 1


def _arange(xp: Namespace, array: Array) -> Array:
    return xp.arange(array.shape[-1], dtype=xp.int32)


def _arange_there(xp: Namespace, array: Array) -> Array:
    return xp.arange(array.shape[-1], dtype=xp.int32, device=array.device)


def _torch_usual(array: Array) -> bool:
    import torch

    plain = type(array) in (torch.Tensor, torch.nn.Parameter)
    return plain and array.layout is torch.strided and not array.is_nested


def _torch_device(array: Array) -> Device | None:
    # As in PyTorch, a scalar on the CPU goes with any device.
    return None if array.ndim == 0 and array.device.type == "cpu" else array.device


def _torch_numbers(xp: Namespace, array: Array) -> Array:
    import torch

    plain = type(array) in (torch.Tensor, torch.nn.Parameter)
    return (_arange_there if plain else _counted)(xp, array)


def _torch_widest(xp: Namespace, array: Array) -> DType:
    # Its own list of dtypes is slow, and can not be traced.
    return xp.float32 if array.device.type == "mps" else xp.float64


def _torch_to_numpy(array: Array) -> np.ndarray:
    array = array.detach().cpu()
    # NumPy knows no bfloat16; every one of them is a float32.
    return (array.float() if str(array.dtype) == "torch.bfloat16" else array).numpy()


def _torch_wait(array: Array) -> None:
    import torch

    if array.is_cuda:
        torch.cuda.synchronize(array.device)


def _torch_gradient(function: Callable[[Array], Array], array: Array) -> Array:
    import torch

    leaf = array.clone().requires_grad_()
    return torch.autograd.grad(function(leaf), leaf)[0]


def _torch_widens(array: Array) -> bool:
    """Whether autocast is on, under which losses are float32."""
    import torch

    kind = array.device.type
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


def _jax_device(array: Array) -> Device | None:
    import jax

    # A traced array has none, and one that nobody has put on a device goes with any.
    placed = not isinstance(array, jax.core.Tracer) and array.committed
    return array.sharding.device_set if placed else None


def _jax_widest(xp: Namespace, array: Array) -> DType:
    import jax

    return xp.float64 if jax.config.jax_enable_x64 else xp.float32


def _jax_wait(array: Array) -> None:
    array.block_until_ready()


def _jax_gradient(function: Callable[[Array], Array], array: Array) -> Array:
    import jax

    return jax.grad(function)(array)


def _cupy_to_numpy(array: Array) -> np.ndarray:
    return array.get()


def _cupy_device(array: Array) -> AbstractContextManager[Any]:
    import cupy

    current = cupy.cuda.runtime.getDevice() == array.device.id
    return nullcontext() if current else array.device


def _cupy_wait(array: Array) -> None:
    import cupy

    cupy.cuda.get_current_stream().synchronize()


def _dask_to_numpy(array: Array) -> np.ndarray:
    computed = array.compute()
    return computed.get() if hasattr(computed, "get") else np.asarray(computed)


def _dask_wait(array: Array) -> None:
    array.compute()


def _strict_to_numpy(array: Array) -> np.ndarray:
    return array._array  # NumPy may not see what is on its other devices


# --- the table ------------------------------------------------------------------


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
    engine : str, optional
        The file of `xbce._engines`, without its underscore, that executes its formulas.
        Without one they are executed plainly.
    lazy : bool
        Whether arrays are graphs computed later, whose sizes may be unknown.
    flushes : tuple of str
        The dtypes in whose computations it takes subnormal numbers for 0. A subnormal label then
        adds nothing to the loss, and what else is lost is below two of the smallest normal numbers,
        times a `pos_weight` above 1.
    warns : bool
        Whether NumPy computes something for it, and might warn of what is legal here.
    usual : callable, optional
        Whether an array is of the library's usual kind, so that another of its type needs no other
        look.
    device : callable, optional
        Where an array is, or None where it goes with any, in a library whose arrays live on devices
        that must not be mixed.
    device_context : callable, optional
        ``device_context(array)``: where the library computes on the device of an array, which
        without it would be done on the current one.
    gradient : callable, optional
        ``gradient(function, array)``: the derivative of a scalar function, where the library
        differentiates; the plain formula is right under it.
    sums_in : callable
        ``sums_in(xp, array)``: the dtype to sum in, float64 where the device has it.
    numbers : callable
        ``numbers(xp, array)``: the numbers 0, 1, 2 and so on along the last axis of an array, in a
        shape that broadcasts to it, where it is.
    to_numpy : callable
        The array in NumPy, computed, and moved to the CPU.
    wait : callable
        Returns when the array is computed.
    widens : callable, optional
        Whether, at this moment, losses of this array are to be float32 at the least.
    """

    name: str
    namespaces: tuple[str, ...]
    requires: tuple[str, ...]
    dtypes: tuple[str, ...] = ("float32", "float64")
    engine: str | None = None
    lazy: bool = False
    flushes: tuple[str, ...] = ()
    warns: bool = True
    usual: Callable[[Array], bool] | None = None
    device: Callable[[Array], Device | None] | None = None
    device_context: Callable[[Array], AbstractContextManager[Any]] | None = None
    gradient: _Gradient | None = None
    sums_in: Callable[[Namespace, Array], DType] = _float64
    numbers: Callable[[Namespace, Array], Array] = _counted
    to_numpy: Callable[[Array], np.ndarray] = _as_it_is
    wait: Callable[[Array], None] = _no_wait
    widens: Callable[[Array], bool] | None = None

    @property
    def module(self) -> str:
        """The name of the module that is its package."""
        return self.namespaces[-1].partition(".")[0]

    @property
    def autodiff(self) -> bool:
        """Whether it differentiates."""
        return self.gradient is not None

    @property
    def devices(self) -> bool:
        """Whether arrays live on devices that must not be mixed."""
        return self.device is not None

    def at(self, array: Array) -> AbstractContextManager[Any]:
        """The context in which it computes where the array is."""
        return nullcontext() if self.device_context is None else self.device_context(array)

    def installed(self) -> bool:
        """Whether it can be imported here, which is not done."""
        return self.module in sys.modules or find_spec(self.module) is not None

    def namespace(self) -> Namespace:
        """Its namespace, imported."""
        return import_module(self.namespaces[0])


_HALF = ("float16", "float32", "float64")
_ALL = ("float16", "bfloat16", "float32", "float64")

BACKENDS = (
    Backend(
        "numpy", ("array_api_compat.numpy", "numpy"), ("numpy",), _HALF, "numpy", numbers=_arange
    ),
    Backend(
        "torch",
        ("array_api_compat.torch", "torch"),
        ("torch",),
        _ALL,
        "torch",
        usual=_torch_usual,
        device=_torch_device,
        gradient=_torch_gradient,
        sums_in=_torch_widest,
        numbers=_torch_numbers,
        to_numpy=_torch_to_numpy,
        wait=_torch_wait,
        widens=_torch_widens,
    ),
    Backend(
        "cupy",
        ("array_api_compat.cupy", "cupy"),
        ("cupy-cuda13x",),
        _HALF,
        "cupy",
        usual=_always,
        device=_own_device,
        device_context=_cupy_device,
        flushes=("float32",),  # CuPy compiles all kernels with -ftz=true
        numbers=_arange_there,
        to_numpy=_cupy_to_numpy,
        wait=_cupy_wait,
    ),
    Backend(
        "jax",
        ("jax.numpy",),
        ("jax",),
        _ALL,
        "jax",
        flushes=("float32", "float64"),
        warns=False,
        usual=_always,
        device=_jax_device,
        gradient=_jax_gradient,
        sums_in=_jax_widest,
        numbers=_arange,
        wait=_jax_wait,
    ),
    Backend(
        "dask",
        ("array_api_compat.dask.array", "dask.array"),
        ("dask[array]",),
        _HALF,
        "dask",
        lazy=True,
        to_numpy=_dask_to_numpy,
        wait=_dask_wait,
    ),
    Backend(
        "array-api-strict",
        ("array_api_strict",),
        ("array-api-strict",),
        device=_own_device,
        sums_in=_widest,
        numbers=_arange_there,
        to_numpy=_strict_to_numpy,
    ),
)

_OF_NAMESPACE = {namespace: backend for backend in BACKENDS for namespace in backend.namespaces}


def of(xp: Namespace) -> Backend:
    """The row of the library of this namespace; a plain one where no row stands."""
    name = xp.__name__
    return _OF_NAMESPACE.get(name) or Backend(name, (name,), ())
