"""What may come in: namespaces, dtypes, shapes and devices, and what to pass instead.

The only importer of array-api-compat. Nothing here looks at a value of an array, so nothing
computes a lazy one or breaks a trace.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import array_api_compat
import numpy as np
from array_api_compat import numpy as numpy_namespace

from xbce import _backends
from xbce._backends import Backend
from xbce._numbers import unknown
from xbce._tracing import cached, compiling
from xbce._typing import Array, DType, Namespace, Shape


def fail(error: type[Exception], message: str) -> NoReturn:
    """Raise the error with this message; `_evaluate` adds the name of the call."""
    raise error(message)


# --- namespaces ---------------------------------------------------------------


def namespace(arrays: dict[str, Array]) -> Namespace:
    """The one namespace that all of `arrays`, given by argument name, belong to."""
    for array in arrays.values():
        if type(array) is not np.ndarray:
            break
    else:
        return numpy_namespace  # at once: small arrays are not to wait for the rest
    known = None if compiling() else _known(arrays)  # a trace is not to depend on what was seen
    if known is not None:
        return known
    found = {argument: _namespace_of(argument, array, arrays) for argument, array in arrays.items()}
    libraries = {argument: _backends.of(xp).name for argument, xp in found.items()}
    if len(set(libraries.values())) > 1:
        came = " and ".join(f"`{argument}` of {name}" for argument, name in libraries.items())
        fail(TypeError, f"All arrays must be of one library; got {came}. Convert one of them.")
    xp = next(iter(found.values()))
    usual = _backends.of(xp).usual
    if usual is not None and usual(array):
        _seen[type(array)] = _Seen(usual, xp)
    return xp


def _known(arrays: dict[str, Array]) -> Namespace | None:
    """The namespace of arrays that are usual, and of a type that has been seen."""
    namespace = None
    for array in arrays.values():
        seen = _seen.get(type(array))
        if seen is None or not seen.usual(array) or namespace not in (None, seen.namespace):
            return None
        namespace = seen.namespace
    return namespace


class _Seen(NamedTuple):
    """Of a type of arrays that has been found good: what tells that one is, and its namespace."""

    usual: Callable[[Array], bool]
    namespace: Namespace


_seen: dict[type, _Seen] = {}


def namespace_of(array: Array) -> Namespace:
    """The namespace of an array; TypeError where it is none."""
    if type(array).__module__.partition(".")[0] == "torch":
        # Found here, since array-api-compat's caches by type make torch.compile warn.
        from array_api_compat import torch as torch_namespace

        return torch_namespace
    return array_api_compat.array_namespace(array)


def _namespace_of(argument: str, array: Array, arrays: dict[str, Array]) -> Namespace:
    kind = f"{type(array).__module__}.{type(array).__qualname__}"
    advice = _refused(argument, array, kind)
    if advice is None:
        try:
            if isinstance(array, np.generic) or not isinstance(array, (int, float, complex)):
                return namespace_of(array)
        except TypeError:
            pass
        advice = f"pass an array, for instance {_array_of(argument, arrays)}"
    fail(
        TypeError,
        f"`{argument}` must be an array of a library that follows the array API standard "
        f"(NumPy, PyTorch, CuPy, JAX, Dask and others); got {kind}: {advice}.",
    )


def _array_of(argument: str, arrays: dict[str, Array]) -> str:
    """A call that makes an array of what is none, to go with the first of them that is one."""
    for beside, array in arrays.items():
        try:
            xp = namespace_of(array)
        except TypeError:
            continue
        backend, made = _backends.of(xp), xp.asarray([0.0])
        call = f"{backend.namespaces[-1]}.asarray({argument}"
        if _holds_floats(arrays[argument]) and is_of(xp, array.dtype, "real floating"):
            call += f", dtype={beside}.dtype"
        if backend.devices and made.device != getattr(array, "device", made.device):
            call += f", device={beside}.device"
        return call + ")"
    return f"numpy.asarray({argument})"


def _holds_floats(value: Any) -> bool:
    while isinstance(value, (list, tuple)) and value:
        value = value[0]
    return isinstance(value, float)


def _refused(argument: str, array: Array, kind: str) -> str | None:
    """What to pass in place of an array that is not a plain one; None where it is plain."""
    library = kind.partition(".")[0]
    if isinstance(array, np.ma.MaskedArray):
        return f"pass {argument}.filled(...) with weights of 0 where the mask is set"
    if isinstance(array, np.matrix):
        return f"pass numpy.asarray({argument})"
    if isinstance(getattr(array, "_meta", None), np.ma.MaskedArray):  # of Dask
        return f"pass dask.array.ma.filled({argument}) with weights of 0 where the mask is set"
    if library in ("tensorflow", "keras"):
        own = "use TensorFlow's own functions of tf.nn and tf.compat.v1.losses"
        has_values = any(name in kind for name in ("Eager", "Variable"))
        return f"{own}, or pass {argument}.numpy()" if has_values else own
    if kind.startswith("scipy.sparse."):
        return f"pass {argument}.toarray()"
    if library == "pandas":
        return f"pass {argument}.to_numpy()"
    if getattr(array, "is_nested", False):  # of PyTorch, as the next
        return f"pass torch.nested.to_padded_tensor({argument}, 0.0), and where= the mask of it"
    if str(getattr(array, "layout", "")).startswith(("torch.sparse", "torch._mkldnn")):
        return f"pass {argument}.to_dense()"
    return None


# --- dtypes -------------------------------------------------------------------


def working_dtype(
    xp: Namespace,
    arguments: tuple[str, ...],
    dtypes: tuple[DType, ...],
    class_numbers: bool,
    any_float: bool,
) -> DType:
    """The dtype to compute in: float32 for 16-bit floats, else that of the logits.

    Raises TypeError where logits are not real floating of 16, 32 or 64 bits, or labels, which come
    before them if there are any, not class numbers, or not of the dtype of the logits, or bool or
    integer, or with `any_float` of another floating one.
    """
    argument, logits = arguments[-1], dtypes[len(arguments) - 1]
    working = None
    if is_of(xp, logits, "real floating"):
        working = {16: xp.float32, 32: xp.float32, 64: xp.float64}.get(xp.finfo(logits).bits)
    if working is None:
        swapped = len(arguments) > 1 and is_of(xp, dtypes[0], "real floating")
        advice = "Labels come first: swap them, or cast" if swapped else "Cast"
        fail(
            TypeError,
            f"`{argument}` must be of a real floating dtype of 16, 32 or 64 bits; got {logits}. "
            f"{advice} it, for instance to float32.",
        )
    if len(arguments) == 1:
        return working
    labels = dtypes[0]
    if class_numbers and not is_of(xp, labels, "integral"):
        fail(
            TypeError,
            f"`{arguments[0]}` must be class numbers of an integer dtype; got {labels}. Cast it.",
        )
    kinds = ("bool", "integral", "real floating") if any_float else ("bool", "integral")
    if labels != logits and not is_of(xp, labels, *kinds) and _native(labels) != _native(logits):
        others = "another real one" if any_float else "a bool or integer one"
        fail(
            TypeError,
            f"`{arguments[0]}` must be of the dtype of `{argument}`, {logits}, or of {others}; "
            f"got {labels}. Cast one of them.",
        )
    return working


@cached
def is_of(xp: Namespace, dtype: DType, *kinds: str) -> bool:
    """Whether a dtype is of one of these kinds of the standard."""
    try:
        return bool(xp.isdtype(dtype, kinds))
    except TypeError:  # a dtype of another library, as NumPy arrays can hold
        return False


def name_of(dtype: DType) -> str:
    """The name that the dtype has in every library; of NumPy's with bytes swapped, its own."""
    if isinstance(dtype, np.dtype):
        return dtype.name if dtype.isnative else dtype.str
    if isinstance(dtype, type):  # as the namespaces of NumPy and JAX have them
        return dtype.__name__
    return str(getattr(dtype, "name", dtype)).rpartition(".")[2]


# --- labels and logits --------------------------------------------------------


def check_shapes(
    arrays: dict[str, Array], losses: Shape | None = None, class_numbers: bool = False
) -> None:
    """Raise ValueError unless labels, which come first, have the shape of logits.

    Class numbers have that of the `losses`, which lack the axis of classes. Nothing is broadcast;
    unknown sizes match anything.
    """
    (label_argument, labels), (argument, logits) = arrays.items()
    found, wanted = tuple(labels.shape), tuple(logits.shape)
    if class_numbers and losses is not None:
        if not _match(found, losses):
            hint = " Probabilities go to softmax_cross_entropy." if _match(found, wanted) else ""
            fail(
                ValueError,
                f"`{label_argument}` must have the shape of `{argument}` without the axis of "
                f"classes: {losses}; got {found}.{hint}",
            )
    elif not _match(found, wanted):
        advice = "reshape one of them"
        if found == losses:
            advice = "class numbers go to sparse_softmax_cross_entropy"
        elif (*found, 1) == wanted:
            advice = f"pass {label_argument}[..., None]"
        elif found == (*wanted, 1):
            advice = f"pass {label_argument}[..., 0]"
        fail(
            ValueError,
            f"`{argument}` and `{label_argument}` must have the same shape; got {wanted} and "
            f"{found}. Nothing is broadcast: {advice}.",
        )


def _native(dtype: DType) -> DType:
    return dtype.newbyteorder("=") if isinstance(dtype, np.dtype) else dtype


# --- shapes and devices -------------------------------------------------------


def _match(a: Shape, b: Shape) -> bool:
    return a == b or (
        len(a) == len(b)
        and all(m == n or unknown(m) or unknown(n) for m, n in zip(a, b, strict=True))
    )


def check_devices(backend: Backend, arrays: dict[str, Array]) -> None:
    """Raise ValueError unless all arrays are on one device; nothing is moved between devices."""
    device_of = backend.device
    if device_of is None:
        return
    first = None
    for array in arrays.values():
        device = device_of(array)
        if first is None:
            first = device
        if device in (None, first):
            continue
        devices = {argument: device_of(array) for argument, array in arrays.items()}
        came = " and ".join(f"`{argument}` on {device}" for argument, device in devices.items())
        fail(ValueError, f"All arrays must be on one device; got {came}. Move one of them.")
