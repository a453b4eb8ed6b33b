"""What may come in: namespaces, dtypes, shapes and devices, and what to pass instead.

The only importer of array-api-compat. Nothing here looks at a value, so
nothing computes a lazy array or breaks a trace.
"""

from functools import partial
from math import prod
from typing import Any, NoReturn

import array_api_compat
import numpy as np
from array_api_compat import numpy as numpy_namespace

from xbce import _backends
from xbce._formula import Array, Namespace

DType = Any
Shape = tuple[Any, ...]


def fail(error: type[Exception], message: str, name: str | None = None) -> NoReturn:
    """Raise `error`, saying which call it was where the caller gave it a `name`."""
    raise error(message if name is None else f"{message} (in {name!r})")


def is_number(value: Any) -> bool:
    """Whether it is a number of Python's own, or torch.export's symbol of one.

    NumPy's float64 is a float too, but an array of rank 0 here.
    """
    if type(value) is float:
        return True
    if isinstance(value, (int, float)):
        return not isinstance(value, np.generic)
    return type(value).__name__ in ("SymInt", "SymFloat")


def is_one(value: Any) -> bool:
    """Whether it is a number, and 1: a factor that changes nothing."""
    return is_number(value) and bool(value == 1)


# --- namespaces ---------------------------------------------------------------


def namespace(arrays: dict[str, Array], name: str | None = None) -> Namespace:
    """The one namespace that all of `arrays`, given by argument name, belong to."""
    for array in arrays.values():
        if type(array) is not np.ndarray:
            break
    else:
        return numpy_namespace  # at once: small arrays are to cost little Python
    namespaces = [_namespace_of(argument, array, name) for argument, array in arrays.items()]
    libraries = [_backends.of(xp.__name__).name for xp in namespaces]
    if len(set(libraries)) > 1:
        came = " and ".join(f"`{a}` of {lib}" for a, lib in zip(arrays, libraries, strict=True))
        fail(
            TypeError, f"All arrays must be of one library; got {came}. Convert one of them.", name
        )
    return namespaces[0]


def of(*arrays: Any) -> Namespace:
    """The namespace of arrays that were checked before, Python numbers among them."""
    for array in arrays:
        if type(array).__module__.partition(".")[0] == "torch":
            # Found here, since array-api-compat's caches by type make torch.compile warn.
            from array_api_compat import torch as torch_namespace

            return torch_namespace
    return array_api_compat.array_namespace(*arrays)


def _namespace_of(argument: str, array: Array, name: str | None) -> Namespace:
    kind = f"{type(array).__module__}.{type(array).__qualname__}"
    advice = f"pass an array, for instance numpy.asarray({argument})"
    if isinstance(array, np.ma.MaskedArray):
        advice = f"pass {argument}.filled(...) with weights of 0 where the mask is set"
    elif isinstance(array, np.matrix):
        advice = f"pass numpy.asarray({argument})"
    elif isinstance(getattr(array, "_meta", None), np.ma.MaskedArray):  # of Dask
        advice = f"pass dask.array.ma.filled({argument}) with weights of 0 where the mask is set"
    elif getattr(array, "is_sparse", False):  # of PyTorch
        advice = f"pass {argument}.to_dense()"
    elif kind.startswith("scipy.sparse."):
        advice = f"pass {argument}.toarray()"
    elif kind.startswith("pandas."):
        advice = f"pass {argument}.to_numpy()"
    elif isinstance(array, np.generic) or not isinstance(array, (int, float, complex)):
        try:
            return of(array)
        except TypeError:
            pass
    fail(
        TypeError,
        f"`{argument}` must be an array of a library that follows the array API standard "
        f"(NumPy, PyTorch, CuPy, JAX, Dask and others); got {kind}: {advice}.",
        name,
    )


# --- dtypes -------------------------------------------------------------------


def working_dtype(xp: Namespace, argument: str, array: Array, name: str | None = None) -> DType:
    """The dtype to compute in: float32 for 16-bit floats, else the array's own.

    Raises TypeError where the array is not real floating of 16, 32 or 64 bits.
    """
    dtype = array.dtype
    if dtype == xp.float32 or dtype == xp.float64:
        return dtype
    if is_of(xp, dtype, ("real floating",)):
        working = {16: xp.float32, 32: xp.float32, 64: xp.float64}.get(xp.finfo(dtype).bits)
        if working is not None:
            return working
    fail(
        TypeError,
        f"`{argument}` must be of a real floating dtype of 16, 32 or 64 bits; got {dtype}. "
        f"Cast it, for instance to float32.",
        name,
    )


def is_of(xp: Namespace, dtype: DType, kinds: tuple[str, ...]) -> bool:
    try:
        return bool(xp.isdtype(dtype, kinds))
    except TypeError:  # a dtype of another library, as NumPy arrays can hold
        return False


def _native(dtype: DType) -> DType:
    return dtype.newbyteorder("=") if isinstance(dtype, np.dtype) else dtype


def name_of(dtype: DType) -> str:
    """The name that the dtype has in every library."""
    return str(getattr(dtype, "name", dtype)).rpartition(".")[2]


def cast(xp: Namespace, array: Array, dtype: DType) -> Array:
    """The array in `dtype`, itself where it has it."""
    if array.dtype == dtype:
        return array
    if isinstance(array, np.generic):  # what NumPy gives for sums
        return np.dtype(dtype).type(array)
    if _backends.of(xp.__name__).name == "dask":  # computed later, where warnings are on
        return array.map_blocks(partial(_cast_chunk, dtype), dtype=dtype)
    return xp.astype(array, dtype)


def _cast_chunk(dtype: DType, chunk: Array) -> Array:
    with np.errstate(all="ignore"):
        return chunk.astype(dtype)


def accumulator(xp: Namespace, array: Array) -> DType:
    """The dtype to sum in: float64 where the device has it, else the array's own."""
    if not _backends.of(xp.__name__).float64_varies:
        return xp.float64
    device: Any = getattr(array, "device", None)
    if hasattr(device, "type"):  # torch, whose own list of dtypes is slow and can not be traced
        return array.dtype if device.type == "mps" else xp.float64
    if xp.__name__ == "jax.numpy":  # whose list is slow too, and says the same
        return xp.result_type(float)
    dtypes = xp.__array_namespace_info__().dtypes(device=device, kind="real floating")
    return xp.float64 if "float64" in dtypes else array.dtype


# --- labels and logits --------------------------------------------------------


def checked(
    xp: Namespace,
    arrays: dict[str, Array],
    *,
    any_float: bool = False,
    axis: int | None = None,
    name: str | None = None,
) -> tuple[Array, ...]:
    """Logits in the dtype to compute in, and labels before them if any.

    Labels of a bool or integer dtype, or with `any_float` of another floating one, keep it, for
    the formula to cast them; for 16-bit logits they are cast here, to the logits' dtype first. An
    `axis` of classes is moved to the end.
    """
    *labels, (argument, logits) = arrays.items()
    dtype, working = logits.dtype, working_dtype(xp, argument, logits, name)
    if xp is numpy_namespace and dtype == working and axis is None and len(labels) == 1:
        array = labels[0][1]
        if array.dtype == dtype and array.shape == logits.shape:
            return array, logits  # at once, as above
    if axis is not None:
        axis = _axis_of(argument, logits, axis, name)
    operands = [logits]
    for label_argument, array in labels:
        if array.dtype != dtype:
            kinds = ("bool", "integral", "real floating") if any_float else ("bool", "integral")
            if not is_of(xp, array.dtype, kinds) and _native(array.dtype) != _native(dtype):
                fail(
                    TypeError,
                    f"`{label_argument}` must be of the dtype of `{argument}`, {dtype}, or of a "
                    f"bool or integer one; got {array.dtype}. Cast one of them.",
                    name,
                )
            if dtype != working:
                array = cast(xp, array, dtype)
        same_shape({label_argument: array, argument: logits}, name)
        same_device(xp, {label_argument: array, argument: logits}, name)
        operands.insert(0, array)
    if axis not in (None, -1):
        operands = [xp.moveaxis(array, axis, -1) for array in operands]
    if dtype != working:
        operands = [cast(xp, array, working) for array in operands]
    return tuple(operands)


def checked_sparse(
    xp: Namespace, arrays: dict[str, Array], *, name: str | None = None
) -> tuple[Array, Array]:
    """Class numbers of an integer dtype, one fewer dimension than logits; and the logits."""
    (label_argument, labels), (argument, logits) = arrays.items()
    working = working_dtype(xp, argument, logits, name)
    if not is_of(xp, labels.dtype, ("integral",)):
        fail(
            TypeError,
            f"`{label_argument}` must be class numbers of an integer dtype; got {labels.dtype}.",
            name,
        )
    _axis_of(argument, logits, -1, name)
    found, wanted = tuple(labels.shape), tuple(logits.shape)[:-1]
    if not _match(found, wanted):
        fail(
            ValueError,
            f"`{label_argument}` must have the shape of `{argument}` without its last dimension, "
            f"the classes: {wanted}; got {found}.",
            name,
        )
    same_device(xp, arrays, name)
    return labels, cast(xp, logits, working)


def _axis_of(argument: str, array: Array, axis: int, name: str | None) -> int:
    """The axis counted from the end, negative; ValueError where it is none, or has no classes."""
    shape = tuple(array.shape)
    if len(shape) == 0:
        fail(ValueError, f"`{argument}` must have a dimension of classes; got rank 0.", name)
    if not -len(shape) <= axis < len(shape):
        fail(
            ValueError, f"`axis` must be one of the {len(shape)} of `{argument}`; got {axis}.", name
        )
    if shape[axis] == 0:
        fail(ValueError, f"`{argument}` must have one class at least; got none.", name)
    return axis - len(shape) if axis >= 0 else axis


def numbers(xp: Namespace, like: Array) -> Array:
    """The numbers 0, 1, 2 and so on along the last axis of an array, on its device."""
    return xp.arange(like.shape[-1], **_where_it_is(xp, like))


def constant(xp: Namespace, value: Any, dtype: DType, like: Array) -> Array:
    """A scalar as a rank-0 array, on the device of another."""
    return xp.asarray(value, dtype=dtype, **_where_it_is(xp, like))


def _where_it_is(xp: Namespace, array: Array) -> dict[str, Any]:
    # Left to the library where devices need not be named: a traced or sharded array has none.
    return {"device": array.device} if _backends.of(xp.__name__).devices else {}


# --- shapes and devices -------------------------------------------------------


def unknown(size: Any) -> bool:
    """Whether a dimension is known only when a lazy array is computed (NaN or None)."""
    return size is None or size != size


def count(array: Array) -> Any:
    """The number of elements; None where a dimension is unknown."""
    for size in array.shape:
        if unknown(size):
            return None
    return prod(array.shape)


def same_shape(arrays: dict[str, Array], name: str | None = None) -> None:
    """Raise ValueError unless the two arrays have one shape; unknown sizes match anything."""
    (first, a), (second, b) = ((argument, tuple(x.shape)) for argument, x in arrays.items())
    if _match(a, b):
        return
    fail(
        ValueError,
        f"`{second}` and `{first}` must have the same shape; got {b} and {a}. "
        f"Nothing is broadcast: reshape one of them.",
        name,
    )


def _match(a: Shape, b: Shape) -> bool:
    return a == b or (
        len(a) == len(b)
        and all(m == n or unknown(m) or unknown(n) for m, n in zip(a, b, strict=True))
    )


def same_device(xp: Namespace, arrays: dict[str, Array], name: str | None = None) -> None:
    """Raise ValueError unless all arrays are on one device; nothing is moved between devices."""
    if not _backends.of(xp.__name__).devices:
        return
    devices = [array.device for array in arrays.values()]
    if xp.__name__.endswith("torch"):  # where a scalar on the CPU goes with any device
        scalars = [a.ndim == 0 and a.device.type == "cpu" for a in arrays.values()]
        devices = [devices[0] if s else d for s, d in zip(scalars, devices, strict=True)]
    if any(device != devices[0] for device in devices[1:]):
        came = " and ".join(f"`{a}` on {d}" for a, d in zip(arrays, devices, strict=True))
        fail(ValueError, f"All arrays must be on one device; got {came}. Move one of them.", name)
