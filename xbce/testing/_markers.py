"""The markers of `xbce.testing.fixtures`: what they take, and what they mean for a test."""

from collections.abc import Collection

import pytest

from xbce.testing._variants import Variant, of_names

CAPABILITIES = {
    "autodiff": "it differentiates",
    "devices": "arrays live on devices that must not be mixed",
    "engine": "xbce has code of its own for it",
    "lazy": "arrays are computed later",
}
"""What the marker `needs` takes: attributes of a row of `xbce._backends`."""

MARKERS = (
    "backend(name, ...): about these array libraries, any of them. It is left out where --backend "
    "chooses others; a test that takes xp runs on no others. Of two such markers both hold",
    "needs(capability, ...): run on the libraries that have it, which is one of: "
    + "; ".join(f"{name} ({what})" for name, what in CAPABILITIES.items()),
    "skip_on(name, ..., reason=None): skip a test that takes xp on these array libraries",
    "xfail_on(name, ..., reason=None, raises=None, run=True, strict=xfail_strict): expect a test "
    "that takes xp to fail on these array libraries",
)


def named(mark: pytest.Mark, known: Collection[str]) -> list[str]:
    """What a marker names; an error where that is not known."""
    for name in mark.args or [None]:
        if name not in known:
            raise pytest.UsageError(
                f"@pytest.mark.{mark.name} must name one of {', '.join(known)}; got {name!r}."
            )
    return list(mark.args)


def check(test: pytest.Item, names: Collection[str]) -> None:
    """Fail where a marker names what is not known, while it is known whose marker it is."""
    known = {"needs": [*CAPABILITIES], "backend": names, "skip_on": names, "xfail_on": names}
    for mark in test.iter_markers():
        try:
            if mark.name in known:
                named(mark, known[mark.name])
        except pytest.UsageError as error:
            raise pytest.fail.Exception(f"In {test.name}: {error}", pytrace=False) from None


def needed(test: pytest.Item) -> list[str]:
    """All capabilities that the markers `needs` of a test name."""
    return [need for mark in test.iter_markers("needs") for need in named(mark, [*CAPABILITIES])]


def runs_on(test: pytest.Item, variants: list[Variant], names: Collection[str]) -> list[Variant]:
    """Those variants that all markers `backend` and `needs` of a test leave."""
    for mark in test.iter_markers("backend"):
        variants = of_names(named(mark, names), variants)
    needs = needed(test)
    return [variant for variant in variants if all(getattr(variant.row, need) for need in needs)]


def mark_on(variant: Variant, item: pytest.Item, names: Collection[str]) -> None:
    """Skip a test, or expect it to fail, where its markers say so for this variant."""
    for on, meant in (("skip_on", pytest.mark.skip), ("xfail_on", pytest.mark.xfail)):
        for mark in list(item.iter_markers(on)):
            if of_names(named(mark, names), [variant]):
                item.add_marker(meant(**mark.kwargs))
