"""What is given to an audit: checked, with an error that says what to pass instead.

Numbers are checked in `_bounds`.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from xbce import _arguments, _backends
from xbce._typing import Namespace
from xbce.testing._adapted import parameters
from xbce.testing._bounds import came

NAMES = {"weights": ("weights", "weight", "sample_weight"), "where": ("where", "mask")}
"""The names that losses have for what an audit calls by the first of them."""
OPTIONS = tuple(NAMES)
DTYPES = ("float16", "bfloat16", "float32", "float64")
LOGITS_FIRST = ("logits", "input", "inputs", "y_pred")
"""Names of a first parameter that say that labels come second."""


# --- names ----------------------------------------------------------------------


def names(dtypes: Any, xp: Namespace) -> tuple[str, ...]:
    """The names of the dtypes, and a check of the namespace."""
    if not hasattr(xp, "asarray"):
        raise TypeError(f"`xp` must be the namespace of an array library, as numpy is; got {xp!r}.")
    try:
        found = (dtypes,) if isinstance(dtypes, str) else tuple(dtypes)
    except TypeError:  # a dtype itself, most often
        found = (dtypes,)
    for name in found:
        if not isinstance(name, str):
            meant = _arguments.name_of(name)
            advice = f" Pass {meant!r}." if meant in DTYPES else ""
            raise TypeError(
                f"`dtypes` must be names of dtypes, as 'float32' is; got {came(name)}.{advice}"
            )
        if name not in DTYPES:
            raise ValueError(f"`dtypes` must be names among {DTYPES}; got {name!r}.")
    if not found:
        raise ValueError("`dtypes` is empty: nothing would be audited.")
    return found


def one_of(known: tuple[str, ...], **values: Any) -> None:
    """Raise an error for what is not one of the known strings."""
    for name, value in values.items():
        if not isinstance(value, str):
            raise TypeError(f"`{name}` must be a string among {known}; got {came(value)}.")
        if value not in known:
            raise ValueError(f"`{name}` must be one of {known}; got {value!r}.")


def taking(takes: Any, found: Sequence[str]) -> tuple[str, ...]:
    """Which of weights and where a loss takes: what is said, else what is found."""
    if takes is None:
        return tuple(found)
    if isinstance(takes, str) or not isinstance(takes, Sequence):
        raise TypeError(
            f"`takes` must be a sequence of names among {OPTIONS}; got {came(takes)}. "
            'Pass ("weights",), for instance.'
        )
    if not all(name in OPTIONS for name in takes):
        raise ValueError(f"`takes` must have names among {OPTIONS}; got {came(takes)}.")
    return tuple(takes)


def shapes(
    kinds: Sequence[str] | None, usual: tuple[str, ...], others: tuple[str, ...]
) -> tuple[str, ...]:
    """The kinds of shapes of weights and masks: the usual ones, where none are asked for."""
    known = usual + others
    if isinstance(kinds, str) or not isinstance(kinds, Sequence | None):
        raise TypeError(f"`shapes` must be a sequence of names among {known}; got {came(kinds)}.")
    found = usual if kinds is None else tuple(kinds)
    if not found or not set(found) <= set(known):
        raise ValueError(f"`shapes` must be some of {known}; got {kinds!r}.")
    return found


# --- functions ------------------------------------------------------------------


def loss_function(function: Any, xp: Namespace, name: str = "loss_fn") -> Callable[..., Any]:
    """The function, to be called with labels and logits in this order."""
    _check_called(name, function, "a function of (labels, logits)")
    library = _backends.of(xp).name if hasattr(xp, "__name__") else ""
    if getattr(function, "library", "") == "torch" != library:
        raise TypeError(f"`xp` must be torch for a `{name}` of torch; got {library or xp}.")
    known = parameters(function)
    first = next(iter(known), "")
    if first in LOGITS_FIRST:
        raise TypeError(
            f"`{name}` must take labels first, and logits second; its first parameter is `{first}`."
            " Swap them in a lambda, or take one of xbce.testing.adapters."
        )
    _check_required(name, known)
    by_name = {n for n, p in known.items() if p.kind is p.KEYWORD_ONLY}
    if not {"labels", "logits"} <= by_name:
        _check_places(name, known)
        return function

    @functools.wraps(function)
    def called(labels: Any, logits: Any, **options: Any) -> Any:
        return function(labels=labels, logits=logits, **options)

    return called


def _check_required(name: str, known: dict[str, inspect.Parameter]) -> None:
    """Raise TypeError for what requires more than labels and logits."""
    required = [
        n
        for n, p in known.items()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if len(required) > 2:
        raise TypeError(
            f"`{name}` must be callable as {name}(labels, logits); it requires {required}. Give "
            "the others a default, such as weights=None, or take one of xbce.testing.adapters."
        )


def _check_places(name: str, known: dict[str, inspect.Parameter]) -> None:
    """Raise TypeError for what takes no two arguments by their place."""
    kinds = [p.kind for p in known.values()]
    if not known or inspect.Parameter.VAR_POSITIONAL in kinds:
        return  # a function that does not tell, as one written in C, or takes any number
    places = [n for n, p in known.items() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(places) < 2:
        raise TypeError(f"`{name}` must take labels and logits by place; it takes {list(known)}.")


def optional_functions(**functions: Any) -> None:
    """Raise TypeError for what is neither a function nor None."""
    for name, function in functions.items():
        if function is not None:
            _check_called(name, function, "a function, or None")


def library_loss(loss: Any, options: dict[str, Any], called: str = "") -> None:
    """Raise TypeError for what is no loss of a library, or has not these options.

    The signature is that of the attribute `called`, if there is one.
    """
    _check_called("loss", loss, "a function, or an object that is called as one")
    known = parameters(getattr(loss, called, loss))
    if not known or any(p.kind is p.VAR_KEYWORD for p in known.values()):
        return
    for option in options:
        if option not in known:
            own = getattr(loss, "__qualname__", type(loss).__qualname__)
            advice = " Pass it where the object is made." if hasattr(loss, called) else ""
            raise TypeError(f"{own} takes no `{option}`; it takes {list(known)}.{advice}")


def _check_called(name: str, function: Any, what: str) -> None:
    """Raise TypeError for what is no function, or a class, which makes an object of arrays."""
    if inspect.isclass(function):
        own = function.__qualname__
        raise TypeError(f"`{name}` must be {what}; got the class {own}. Pass {own}(...).")
    if not callable(function):
        raise TypeError(f"`{name}` must be {what}; got {came(function)}.")


def accepted(
    function: Callable[..., Any],
    named: dict[str, str],
    arrays: Sequence[Any],
    options: dict[str, Any],
) -> dict[str, str]:
    """Those of the names that a function takes; of one with ``**kwargs`` only a call can tell."""
    if all(p.kind is not p.VAR_KEYWORD for p in parameters(function).values()):
        return named

    def refused(option: str) -> bool:
        try:
            function(*arrays, **{option: options[option]})
        except Exception as error:  # another one is the audit's to say
            return f"unexpected keyword argument '{option}'" in str(error)
        return False

    return {option: own for option, own in named.items() if not refused(option)}


def beside(
    name: str, function: Callable[..., Any] | None, options: dict[str, str]
) -> Callable[..., Any] | None:
    """What goes with a loss, to be called in the same way; TypeError where it takes less."""
    if function is None:
        return None
    called, own = with_options(function)
    for option in options:
        if option not in own:
            raise TypeError(
                f"`{name}` must take `{option}`, as `loss_fn` does; it takes "
                f"{list(parameters(function))}."
            )
    return called


def name_of(function: Any) -> str:
    """What to call a function in a report: without what it is in, and a lambda with its line."""
    name = str(getattr(function, "__qualname__", function)).rpartition("<locals>.")[2]
    code = getattr(function, "__code__", None)
    if name != "<lambda>" or code is None:
        return name
    return f"<lambda> of {Path(code.co_filename).name}, line {code.co_firstlineno}"


def with_options(function: Callable[..., Any]) -> tuple[Callable[..., Any], dict[str, str]]:
    """The function, to be called with `weights` and `where`, and the names that it has for them.

    Those that it does not take are not among the names.
    """
    known = parameters(function)
    if not known or any(p.kind is p.VAR_KEYWORD for p in known.values()):
        return function, {option: option for option in NAMES}
    own = {option: next((n for n in names if n in known), "") for option, names in NAMES.items()}
    own = {option: name for option, name in own.items() if name}
    if all(option == name for option, name in own.items()):
        return function, own

    @functools.wraps(function)
    def called(labels: Any, logits: Any, **options: Any) -> Any:
        return function(labels, logits, **{own[name]: value for name, value in options.items()})

    return called, own
