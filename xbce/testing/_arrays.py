"""How an audit makes arrays of a library, and differentiates functions of them."""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from xbce import _arguments, _backends
from xbce._typing import Array, DType, Namespace
from xbce.testing._inputs import Format

Axis = int | tuple[int, ...] | None
"""Over which a loss is reduced: all where it is None, and none where it is empty."""
UPSTREAM = (4.0, 2.0, 8.0)
"""What comes in from behind, where a gradient is found by differentiation: another one each."""


class Maker:
    """Makes arrays of one library and dtype.

    Attributes
    ----------
    xp : module
        The namespace, wrapped by array-api-compat where that knows it.
    name : str
        The name of the floating dtype.
    dtype : dtype
        The dtype itself.
    format : Format
        Its numbers.
    flushes : bool
        Whether the library takes its subnormal numbers for 0.
    """

    def __init__(self, xp: Namespace, dtype: str, device: Any = None) -> None:
        self.xp = _arguments.namespace_of(xp.asarray([0.0]))
        self.name, self.device = dtype, device
        row = _backends.of(self.xp)
        own = getattr(self.xp, dtype, None)
        if own is None and dtype not in row.dtypes:
            raise TypeError(f"{row.name} has no {dtype}: pass `dtypes` that it has.")
        self.dtype: DType = own or np.dtype(dtype)  # Dask names only those of the standard
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is an error here
            made = self([0.0]).dtype
        if made != self.dtype:
            raise TypeError(
                f"{row.name} makes no {dtype} here: pass other `dtypes`, or switch 64 bits on "
                "(JAX's jax_enable_x64)."
            )
        self.flushes = dtype in row.flushes
        info = self.xp.finfo(self.dtype)
        self.format = Format(float(info.eps), float(info.smallest_normal), float(info.max))

    def __call__(self, values: Any, dtype: DType = None) -> Array:
        """An array of these values; of class numbers, which are integers, and masks as well."""
        values = np.array(values)  # a copy: what is audited may write to it
        if dtype is None:
            kinds = {"b": self.xp.bool, "i": self.xp.int32}
            dtype = kinds.get(values.dtype.kind, self.dtype)
        return self.xp.asarray(values, dtype=dtype, device=self.device)


Layout = Callable[[Maker, np.ndarray], Array]
"""A way to lay out an array of these values in memory."""


def every_other(make: Maker, values: np.ndarray) -> Array:
    """The values as every other row of an array."""
    return make(np.repeat(values, 2, axis=0))[::2, ...] if values.ndim else make(values)


def transposed(make: Maker, values: np.ndarray) -> Array:
    """The values as the transposed of an array."""
    if values.ndim < 2:
        return make(values)
    axes = tuple(range(values.ndim))[::-1]
    return make.xp.permute_dims(make(np.ascontiguousarray(values.T)), axes)


def gradient_of(
    function: Callable[..., Array],
    given: Callable[..., Array] | None,
    xp: Namespace,
    over_classes: bool,
    axis: Axis = (),
) -> Callable[..., Array] | None:
    """The gradient of a loss: the one that is given, its attribute, or its derivative."""
    own = given or getattr(function, "gradient", None)
    return own or differentiated(function, xp, over_classes, axis)


def differentiated(
    function: Callable[..., Array], xp: Namespace, over_classes: bool, axis: Axis = ()
) -> Callable[..., Array] | None:
    """The derivative by the logits of each result of a function of (labels, logits, ...).

    What comes in from behind is another power of 2 for each result, and divided out again, so that
    a rule for derivatives that forgets it is found. A result is one of each loss, or of those along
    an axis. None where the library does not differentiate.
    """
    differentiate = _backends.of(xp).gradient
    if differentiate is None:
        return None

    def slopes(labels: Array, logits: Array, **options: Array) -> Array:
        def array(values: np.ndarray, dtype: DType) -> Array:
            return xp.asarray(values, dtype=dtype, device=logits.device)

        losses = np.zeros(logits.shape[:-1] if over_classes else logits.shape)
        upstream = np.resize(UPSTREAM, losses.sum(axis).shape)

        def total(x: Array) -> Array:
            nonlocal upstream
            results = function(labels, x, **options)
            if tuple(results.shape) != upstream.shape:  # which is another rule's finding
                upstream = np.asarray(UPSTREAM[0])
            return (results * array(upstream, results.dtype)).sum()

        gradient = differentiate(total, logits)
        if upstream.ndim:
            upstream = np.expand_dims(upstream, axis or ())
            upstream = upstream[..., None] if over_classes else upstream
        return gradient / array(upstream, gradient.dtype)

    return slopes


@contextmanager
def many_compilations() -> Iterator[None]:
    """Let torch.compile make a function of its own for each shape that is tried.

    After 8 of them it runs the function eagerly, and the audit would not measure the compiled one.
    """
    dynamo = sys.modules.get("torch._dynamo")
    if dynamo is None:
        yield
        return
    name = "recompile_limit" if hasattr(dynamo.config, "recompile_limit") else "cache_size_limit"
    with dynamo.config.patch({name: 1000}):
        yield
