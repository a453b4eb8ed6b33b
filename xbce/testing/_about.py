"""What a report says of its audit: which loss, which library, and what is promised of it."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from xbce import _backends
from xbce._losses import Loss
from xbce._typing import Namespace
from xbce.testing._report import QUANTITIES


def words(loss: Loss, parameters: dict[str, float], xp: Namespace, **options: Any) -> str:
    """The loss, its parameters, options that are not None, and the library, in one line."""
    given = {name: value for name, value in options.items() if value is not None}
    named = [f"{name}={value}" for name, value in (parameters | given).items()]
    return ", ".join([loss.name, *named, _library(xp)])


def _library(xp: Namespace) -> str:
    """The library and its version."""
    row = _backends.of(xp)
    try:
        return f"{row.name} {version(row.requires[0])}"
    except (PackageNotFoundError, IndexError):
        return row.name


def promise(loss: Loss, dtypes: Sequence[str]) -> dict[str, float]:
    """The largest error of each quantity that xbce promises in any of the dtypes, in ulp."""
    return {q: max(loss.promised(dtype, q) for dtype in dtypes) for q in QUANTITIES}
