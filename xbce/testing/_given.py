"""What is given to an audit: checked, with an error that says what to pass instead."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from xbce._typing import Namespace

OPTIONS = ("weights", "where")
DTYPES = ("float16", "bfloat16", "float32", "float64")
LOGITS_FIRST = ("logits", "input", "inputs", "y_pred")
"""Names of a first parameter that say that labels come second."""


def names(dtypes: Any, xp: Namespace) -> tuple[str, ...]:
    """The names of the dtypes, and a check of the namespace."""
    if not hasattr(xp, "asarray"):
        raise TypeError(f"`xp` must be the namespace of an array library, as numpy is; got {xp!r}.")
    found = (dtypes,) if isinstance(dtypes, str) else tuple(dtypes)
    for name in found:
        if name not in DTYPES:
            raise ValueError(f"`dtypes` must be names among {DTYPES}; got {name!r}.")
    if not found:
        raise ValueError("`dtypes` is empty: nothing would be audited.")
    return found


def at_least(least: int, **numbers: int | None) -> None:
    """Raise ValueError for a number that is too small; None passes."""
    for name, number in numbers.items():
        if number is not None and number < least:
            raise ValueError(f"`{name}` must be at least {least}; got {number}.")


def loss_function(function: Any, name: str = "loss_fn") -> Callable[..., Any]:
    """The function, to be called with labels and logits in this order."""
    if not callable(function):
        raise TypeError(f"`{name}` must be a function of (labels, logits); got {function!r}.")
    parameters = _parameters(function)
    first = next(iter(parameters), "")
    if first in LOGITS_FIRST:
        raise TypeError(
            f"`{name}` must take labels first, and logits second; its first parameter is `{first}`."
            " Swap them in a lambda, or take one of xbce.testing.adapters."
        )
    by_name = {n for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    if not {"labels", "logits"} <= by_name:
        return function

    @functools.wraps(function)
    def called(labels: Any, logits: Any, **options: Any) -> Any:
        return function(labels=labels, logits=logits, **options)

    return called


def name_of(function: Any) -> str:
    """What to call a function in a report."""
    return str(getattr(function, "__qualname__", function))


def taken(function: Callable[..., Any]) -> tuple[str, ...]:
    """Which of weights and where a loss takes."""
    parameters = _parameters(function)
    if not parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return OPTIONS
    required = [
        name
        for name, p in parameters.items()
        if p.default is p.empty and p.kind is not p.VAR_POSITIONAL
    ]
    if len(required) > 2:
        raise TypeError(
            "`loss_fn` must be called as loss_fn(labels, logits, weights=None, where=None); it "
            f"requires {required}. Give the others a default, or take one of xbce.testing.adapters."
        )
    return tuple(option for option in OPTIONS if option in parameters)


def shapes(kinds: Sequence[str] | None, known: tuple[str, ...]) -> tuple[str, ...]:
    """The kinds of shapes of weights and masks."""
    found = known if kinds is None else tuple(kinds)
    if not found or not set(found) <= set(known):
        raise ValueError(f"`shapes` must be some of {known}; got {kinds!r}.")
    return found


def _parameters(function: Any) -> dict[str, inspect.Parameter]:
    """The parameters by name; none where the function does not tell, as one written in C."""
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return {}
