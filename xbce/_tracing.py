"""What torch.compile can not follow: it reads no context variable and no cache."""

import sys
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiling() -> bool:
    """Whether torch.compile traces this call."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.compiler.is_compiling())


def constant(function: _Function) -> _Function:
    """Let torch.compile call the function, of numbers, in place of following it."""
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


def cached(function: _Function) -> _Function:
    """Keep what the function returns, by its arguments, except in a trace."""
    kept = lru_cache(maxsize=4096)(function)

    @wraps(function)
    def ask(*arguments: Any) -> Any:
        return function(*arguments) if compiling() else kept(*arguments)

    return ask  # type: ignore[return-value]
