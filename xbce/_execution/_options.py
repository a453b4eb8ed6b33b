"""`xbce.options`: how formulas are executed, kept in a context of the caller's."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from numbers import Integral
from typing import Literal, NamedTuple

Fuse = bool | Literal["auto"]


class Chosen(NamedTuple):
    """What the innermost block of options says."""

    fuse: Fuse = "auto"
    threads: int | None = None


_chosen: ContextVar[Chosen] = ContextVar("xbce_options", default=Chosen())  # noqa: B039 immutable
current = _chosen.get


@contextmanager
def options(fuse: Fuse | None = None, threads: int | None = None) -> Iterator[None]:
    """Choose how formulas are executed inside a ``with`` block, or a decorated function.

    The choice changes how long a call takes and how much memory, and never what it
    means. It belongs to the context it is made in (`contextvars`): threads and asyncio tasks keep
    apart. Blocks nest, and what an inner one leaves out stays as it was.

    Parameters
    ----------
    fuse : {"auto", True, False}, optional
        With "auto", which holds where no block says otherwise, NumPy arrays, and large PyTorch
        tensors on the CPU, are computed in blocks that stay in the cache; CuPy by
        `cupy.fuse`, JAX by `jax.jit`, Dask with one task a chunk. True has PyTorch use
        `torch.compile` too, which takes seconds for the first call of a kind. False runs every
        operation of the formula on whole arrays, one after the other.
    threads : int, optional
        The most threads that NumPy's blocks may use. Where no block says it: the environment
        variable ``XBCE_THREADS``, else the number of processors this process may use.

    Raises
    ------
    ValueError
        If `fuse` is something else, or `threads` less than 1.
    TypeError
        If `threads` is no integer.

    Notes
    -----
    Element-wise results are the same for any number of threads. Sums may differ in their last
    digits, since the order of additions does. Inside a function that `torch.compile` or `jax.jit`
    compiles, that compiler decides.

    Examples
    --------
    >>> import numpy as np
    >>> import xbce
    >>> with xbce.options(threads=1):
    ...     loss = xbce.sigmoid_cross_entropy(np.ones(4), np.zeros(4))
    """
    outer = current()
    if fuse is None:
        fuse = outer.fuse
    elif not (isinstance(fuse, bool) or (isinstance(fuse, str) and fuse == "auto")):
        raise ValueError(f'`fuse` must be "auto", True or False; got {fuse!r}.')
    if threads is None:
        threads = outer.threads
    elif not isinstance(threads, Integral):
        raise TypeError(f"`threads` must be a whole number from 1 on; got {threads!r}.")
    elif threads < 1:
        raise ValueError(f"`threads` must be 1 or more; got {threads}.")
    token = _chosen.set(Chosen(fuse, threads))
    try:
        yield
    finally:
        _chosen.reset(token)


def threads() -> int:
    """How many threads a call may use."""
    chosen = current().threads
    if chosen is not None:
        return chosen
    wanted = os.environ.get("XBCE_THREADS", "").strip()
    if wanted:
        if not wanted.isdecimal() or int(wanted) < 1:
            raise ValueError(f"XBCE_THREADS must be a whole number from 1 on; got {wanted!r}.")
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
