"""How pytest runs tests on array libraries: the option, the markers, and the runs of each test.

The other half of `xbce.testing.fixtures`, which asks for it.
"""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import pytest

from xbce._backends import BACKENDS
from xbce.testing import _markers as markers
from xbce.testing._drawn import TESTED, parametrized
from xbce.testing._variants import VARIANTS, Variant, library, missing, of_names


class _Hooks:
    def pytest_xbce_libraries(self) -> Mapping[str, Mapping[str, Any]]:
        """Give libraries to test on beside those of the table, as `xbce.testing.fixtures` says."""
        raise NotImplementedError


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Let a project add libraries."""
    pluginmanager.add_hookspecs(_Hooks)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--backend``."""
    what = (
        "run the tests on this array library, all variants of it, or on this variant alone, and "
        "the tests that are about no library; may be given more than once. An error where it can "
        "not run here. Default: all that are installed. The variants are:"
    )
    of = {row.name: f", of {row.backend}" * (row.name != row.backend) for row in VARIANTS}
    lines = [f"- {row.name}{of[row.name]}: {row.about}" for row in VARIANTS]
    try:
        parser.addoption(
            "--backend", action="append", metavar="NAME", help="\n".join((what, *lines))
        )
    except ValueError:
        raise pytest.UsageError(
            "xbce.testing.fixtures adds the option --backend, which this project, or another "
            "plugin, has too.\nRename that one, in pytest_addoption and where it is read: "
            "this one has no other name."
        ) from None


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers and a project's libraries; fail where a name is not known."""
    for marker in markers.MARKERS:
        config.addinivalue_line("markers", marker)
    chosen = config.getoption("backend") or ()
    known = {row.name for row in BACKENDS}
    for name, what in missing(BACKENDS, VARIANTS).items():
        if name in chosen or name not in known:
            raise pytest.UsageError(what)
    config.stash[TESTED] = (*VARIANTS, *_added(config))
    names = _names(config)
    for name in chosen:
        if name not in names:
            raise pytest.UsageError(f"--backend {name}: there are {', '.join(names)}.")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Fail where a library that is chosen can not run, once any conftest.py is configured."""
    for name in session.config.getoption("backend") or ():
        chosen = of_names([name], session.config.stash[TESTED])
        if all(variant.why_not() for variant in chosen):  # the first that can is enough
            why_not = "; ".join(str(variant.why_not()) for variant in chosen)
            raise pytest.UsageError(f"--backend {name} can not run here. {why_not}.")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is about other libraries than those that are chosen."""
    names, chosen = _names(config), _chosen(config)
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        drawn = _drawn_for(item)
        runs_on = [drawn] if drawn else chosen
        about = [
            of_names(markers.named(mark, names), runs_on) for mark in item.iter_markers("backend")
        ]
        (kept if all(about) else left_out).append(item)
        if drawn:
            markers.mark_on(drawn, item, names)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the test on each library, device and dtype that its fixtures ask for."""
    markers.check(metafunc.definition, _names(metafunc.config))
    own = parametrized(metafunc.definition)
    names = [
        name
        for name in ("xp", "device", "dtype")
        if f"_xbce_{name}" in metafunc.fixturenames and name not in own
    ]
    if "xp" in names:
        runs = _runs(metafunc, names)
        metafunc.parametrize([f"_xbce_{name}" for name in names], runs, indirect=True)
    elif "dtype" in names:  # xp is the project's own: of its dtypes only the standard's are known
        metafunc.parametrize("_xbce_dtype", ["float32", "float64"], indirect=True)


# --- names ----------------------------------------------------------------------


def _added(config: pytest.Config) -> list[Variant]:
    """The libraries that a project adds."""
    added = {
        name: given
        for found in config.hook.pytest_xbce_libraries()
        for name, given in found.items()
    }
    try:
        return [library(name, **given) for name, given in added.items()]
    except (TypeError, ValueError) as error:
        raise pytest.UsageError(f"pytest_xbce_libraries: {error}.") from error


def _names(config: pytest.Config) -> list[str]:
    """What names libraries and variants."""
    tested = config.stash[TESTED]
    return sorted({name for variant in tested for name in (variant.name, variant.backend)})


def _chosen(config: pytest.Config) -> list[Variant]:
    """The variants that ``--backend`` names."""
    return of_names(config.getoption("backend") or _names(config), config.stash[TESTED])


# --- the runs of a test ---------------------------------------------------------


def _drawn_for(item: pytest.Item) -> Variant | None:
    """The variant that a test runs on, if it takes xp."""
    return item.callspec.params.get("_xbce_xp") if hasattr(item, "callspec") else None


def _runs(metafunc: pytest.Metafunc, names: list[str]) -> list[Any]:
    """The parameters to run a test with; where there would be none, one that skips."""
    test, config = metafunc.definition, metafunc.config
    variants = markers.runs_on(test, _chosen(config), _names(config))
    runs = [run for variant in variants for run in _runs_on(variant, names)]
    if runs:
        return runs
    needs = markers.needed(test)
    lacks = f"has {', '.join(needs)}" if needs else "is named by each of its markers"
    skip = pytest.mark.skip(reason=f"no chosen library {lacks}")
    return [pytest.param(*[None] * len(names), id="NOTSET", marks=skip)]


def _runs_on(variant: Variant, names: list[str]) -> Iterator[Any]:
    """The parameters to run a test with on one variant; one that skips where it can not run."""
    why_not = variant.why_not()
    devices, dtypes = variant.devices, variant.floating
    if "device" not in names or why_not:
        devices = devices[:1]
    if "dtype" not in names or why_not:
        dtypes = dtypes[:1]
    for device, dtype in product(devices, dtypes):
        values = {"xp": variant, "device": device, "dtype": dtype}
        shown = [variant.name]
        if "dtype" in names:
            shown.append(dtype)
        if "device" in names and len(variant.devices) > 1:
            shown.append(str(device))
        marks = [pytest.mark.skip(reason=why_not)] if why_not else []
        yield pytest.param(*(values[name] for name in names), id="-".join(shown), marks=marks)


# --- what is drawn for the fixtures ---------------------------------------------
#
# Fixtures of their own, so that nothing is drawn for a fixture that a project replaces.


@pytest.fixture
def _xbce_xp(request: pytest.FixtureRequest) -> Variant | None:
    return getattr(request, "param", None)


@pytest.fixture
def _xbce_device(request: pytest.FixtureRequest) -> str | None:
    return getattr(request, "param", None)


@pytest.fixture
def _xbce_dtype(request: pytest.FixtureRequest) -> str | None:
    return getattr(request, "param", None)
