"""What a fixture of `xbce.testing.fixtures` gets: the name that is drawn for it, or why none is."""

from collections.abc import Collection, Sequence
from typing import Any
from unittest import TestCase

import pytest

from xbce.testing._variants import Variant

TESTED = pytest.StashKey[Sequence[Variant]]()
"""Where the configuration of pytest has the variants: those of the table, and a project's own."""


def parametrized(test: pytest.Item) -> set[str]:
    """The names that a test parametrizes itself."""
    found: set[str] = set()
    for mark in test.iter_markers("parametrize"):
        names = mark.kwargs.get("argnames") or mark.args[0]
        found.update(names.replace(",", " ").split() if isinstance(names, str) else names)
    return found


def name_for(request: pytest.FixtureRequest, drawn: str | None) -> Any:
    """What the test parametrizes the fixture with, else what is drawn for it."""
    if not hasattr(request, "param"):
        return drawn
    # All fixtures of one name see one param: it may be meant for one of the project's.
    known = getattr(request, "_arg2fixturedefs", {}).get(request.fixturename, ())
    of_another = any(fixture.params is not None for fixture in known)
    by_test = request.fixturename in parametrized(request.node)
    return drawn if of_another and not by_test else request.param


def check_name(
    request: pytest.FixtureRequest, name: Any, library: str, has: Collection[str | None], what: str
) -> None:
    """Skip where the library lacks what has this name, fail where all of them do."""
    if isinstance(name, str) and name in has:
        return
    tested = request.config.stash[TESTED]
    names = [variant.devices if what == "device" else variant.floating for variant in tested]
    known = dict.fromkeys(name for row in names for name in row if name)
    if isinstance(name, str) and name in known:
        pytest.skip(f"{library} has no {name}")
    message = f"{name!r} is the name of no {what} of any library; there are {', '.join(known)}."
    pytest.fail(message, pytrace=False)


def not_drawn(request: pytest.FixtureRequest) -> str:
    """Why nothing is drawn for a fixture."""
    name = request.fixturename
    if request.cls is not None and issubclass(request.cls, TestCase):
        why = "pytest runs the tests of a unittest.TestCase once; a class that is none can take it"
    elif name == "xp" and name in parametrized(request.node):
        why = "a test can not parametrize xp with indirect=True; @pytest.mark.backend chooses"
    else:
        why = (
            "that is done for what a test or its fixtures have as an argument, not for "
            "request.getfixturevalue; and before pytest 9, not for a fixture that takes the one of "
            "the same name from xbce.testing.fixtures"
        )
    return f"Nothing was drawn for the fixture {name}: {why}."
