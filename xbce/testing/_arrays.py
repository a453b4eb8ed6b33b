"""How an audit makes arrays of a library, and differentiates functions of them."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from xbce import _arguments, _backends
from xbce._typing import Array, DType, Namespace
from xbce.testing._inputs import Format


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
        self.dtype: DType = getattr(self.xp, dtype, None) or np.dtype(dtype)
        self.flushes = dtype in _backends.of(self.xp).flushes
        info = self.xp.finfo(self.dtype)
        self.format = Format(float(info.eps), float(info.smallest_normal), float(info.max))

    def __call__(self, values: Any, dtype: DType = None) -> Array:
        """An array of these values; of class numbers, which are integers, and masks as well."""
        values = np.array(values)  # a copy: what is audited may write to it
        if dtype is None:
            kinds = {"b": self.xp.bool, "i": self.xp.int32}
            dtype = kinds.get(values.dtype.kind, self.dtype)
        return self.xp.asarray(values, dtype=dtype, device=self.device)


def differentiated(function: Callable[..., Array], xp: Namespace) -> Callable[..., Array] | None:
    """The derivative by the logits of what a function of (labels, logits, ...) sums to.

    None where the library does not differentiate.
    """
    differentiate = _backends.of(xp).gradient
    if differentiate is None:
        return None

    def slopes(labels: Array, logits: Array, **options: Array) -> Array:
        return differentiate(lambda x: function(labels, x, **options).sum(), logits)

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
    with dynamo.config.patch({name: 64}):
        yield
