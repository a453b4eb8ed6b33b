"""`xbce.options`: how formulas are executed, kept in a context of the caller's."""

import os
from collections.abc import Callable
from contextvars import ContextVar, Token
from functools import cache, wraps
from importlib import import_module
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from numbers import Integral
from typing import Any, Literal, NamedTuple, TypeVar

from xbce import _backends
from xbce._tracing import compiling
from xbce._typing import Namespace

Fuse = bool | Literal["auto"]
_Function = TypeVar("_Function", bound=Callable[..., Any])


class Chosen(NamedTuple):
    """What the innermost block of options says."""

    fuse: Fuse = "auto"
    threads: int | None = None


_chosen: ContextVar[Chosen] = ContextVar("xbce_options", default=Chosen())  # noqa: B039 immutable
current = _chosen.get


class options:  # noqa: N801 a function to its users
    """Choose how formulas are executed inside a ``with`` block, or a decorated function.

    The choice changes how long a call takes and how much memory, and never what it
    means. It belongs to the context it is made in (`contextvars`): threads and asyncio tasks keep
    apart. Blocks nest, and what an inner one leaves out stays as it was.

    Parameters
    ----------
    fuse : {"auto", True, False}, optional
        With "auto", which holds where no block says otherwise, NumPy arrays, and PyTorch tensors on
        the CPU, are computed by NumPy, large ones in blocks that stay in the cache; CuPy by one
        kernel, and a second for a sum, JAX by `jax.jit`, Dask with one task a chunk. True has NumPy
        and PyTorch use `torch.compile` too, which takes seconds for the first call of a kind. False
        runs every operation of the formula on whole arrays (of Dask on whole chunks), one after the
        other.
    threads : int, optional
        The most threads that NumPy's blocks may use; for PyTorch's tensors no more than
        ``torch.get_num_threads()``, and one below 2^22 elements. Where no block says it: the
        environment variable ``XBCE_THREADS``, else the number of processors this process may
        use. The variable is read when xbce is imported, and a wrong value is a ValueError then.

    Raises
    ------
    ValueError
        If `fuse` is something else, or `threads` less than 1.
    TypeError
        If `threads` is no integer.

    See Also
    --------
    xbce.sigmoid_cross_entropy : One of the functions that run in this way.

    Notes
    -----
    Element-wise results are the same for any number of threads. Sums may differ in their last
    digits, since the order of additions does. Inside a function that `torch.compile` or `jax.jit`
    compiles, that compiler decides. With "auto" a reduction of NumPy arrays, memory maps among
    them, needs less than 8 MiB beside its inputs; over more than 2^16 classes, 8 copies of a row.

    Examples
    --------
    >>> import numpy as np
    >>> import xbce
    >>> with xbce.options(threads=1):
    ...     loss = xbce.sigmoid_cross_entropy(np.ones(4), np.zeros(4))
    """

    def __init__(self, fuse: Fuse | None = None, threads: int | None = None) -> None:
        known = fuse is None or isinstance(fuse, bool) or (isinstance(fuse, str) and fuse == "auto")
        if not known:
            raise ValueError(f'`fuse` must be "auto", True or False; got {fuse!r}.')
        if threads is not None:
            if not isinstance(threads, Integral) or isinstance(threads, bool):
                raise TypeError(f"`threads` must be a whole number from 1 on; got {threads!r}.")
            if threads < 1:
                raise ValueError(f"`threads` must be 1 or more; got {threads}.")
        self._fuse, self._threads = fuse, threads
        self._tokens: list[Token[Chosen]] = []

    def __enter__(self) -> None:
        if compiling():  # the compiler decides
            return
        outer = current()
        fuse = outer.fuse if self._fuse is None else self._fuse
        threads = outer.threads if self._threads is None else self._threads
        self._tokens.append(_chosen.set(Chosen(fuse, threads)))

    def __exit__(self, *_: object) -> None:
        if not compiling():
            _chosen.reset(self._tokens.pop())

    def __call__(self, function: _Function) -> _Function:
        if any(asked(function) for asked in _LATER):
            raise TypeError(
                f"{function.__qualname__} runs after its call returns: write a with block in it."
            )

        @wraps(function)
        def chosen(*arguments: Any, **named: Any) -> Any:
            with options(self._fuse, self._threads):  # of its own: threads may call at once
                return function(*arguments, **named)

        return chosen  # type: ignore[return-value]


_LATER = (isgeneratorfunction, iscoroutinefunction, isasyncgenfunction)
"""Of what a call returns before it has run."""


def _from_environment() -> int | None:
    wanted = os.environ.get("XBCE_THREADS", "").strip()
    if not wanted:
        return None
    if not wanted.isdecimal() or int(wanted) < 1:
        raise ValueError(f"XBCE_THREADS must be a whole number from 1 on; got {wanted!r}.")
    return int(wanted)


_BY_DEFAULT = _from_environment()


def threads() -> int:
    """How many threads a call may use."""
    chosen = current().threads
    if chosen is not None:
        return chosen
    if _BY_DEFAULT is not None:
        return _BY_DEFAULT
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def engine_of(xp: Namespace) -> Any:
    """The engine for this namespace, and for what the user chose; None to run plainly."""
    backend = _backends.of(xp)
    if backend.engine is None:
        return None
    # Of a lazy library the chunks are computed later, and each asks this again.
    if current().fuse is False and not backend.lazy:
        return None
    return _imported(backend.engine)


@cache
def _imported(name: str) -> Any:
    """The engine, imported when it is needed: with it comes the library it is for."""
    return import_module(f"xbce._engines._{name}")
