"""`xbce.options`: how formulas are executed, kept in a context of the caller's."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from operator import index
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
    elif fuse not in ("auto", True, False):
        raise ValueError(f'`fuse` must be "auto", True or False; got {fuse!r}.')
    threads = outer.threads if threads is None else _count("threads", threads)
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
        return _count("XBCE_THREADS", int(wanted) if wanted.isdigit() else wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _count(argument: str, value: object) -> int:
    """A number of threads from 1 on."""
    try:
        number = index(value)  # type: ignore[arg-type]
    except TypeError:
        message = f"`{argument}` must be a whole number from 1 on; got {value!r}."
        raise TypeError(message) from None
    if number < 1:
        raise ValueError(f"`{argument}` must be 1 or more; got {number}.")
    return number
