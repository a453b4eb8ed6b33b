"""How pytest runs tests on array libraries: the option, the markers, and the runs of each test.

The other half of `xbce.testing.fixtures`, which asks for it.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from xbce._backends import BACKENDS
from xbce.testing._drawn import TESTED, parametrized
from xbce.testing._variants import VARIANTS, Variant, missing

NAMES = sorted({row.name for row in BACKENDS} | {variant.name for variant in VARIANTS})
"""What ``--backend`` and the marker `backend` take."""


CAPABILITIES = ["autodiff", "devices", "engine", "lazy"]
"""What the marker `needs` takes: attributes of a row of `xbce._backends`."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--backend``."""
    parser.addoption(
        "--backend",
        action="append",
        choices=NAMES,
        help="run the tests on this array library, or on this variant of one, and the tests that "
        "are about no library; may be given more than once. Default: all that are installed",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers; fail where a library is chosen that no test would run on."""
    for marker in (
        "backend(name): about this array library, so left out where others are chosen",
        f"needs(capability): run on the libraries that have it: {', '.join(CAPABILITIES)}",
    ):
        config.addinivalue_line("markers", marker)
    chosen = config.getoption("backend") or ()
    known = {row.name for row in BACKENDS}
    for name, what in missing(BACKENDS, VARIANTS).items():
        if name in chosen or name not in known:
            raise pytest.UsageError(what)
    config.stash[TESTED] = VARIANTS


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is about other libraries than those that are chosen."""
    chosen = config.getoption("backend")

    def about_others(item: pytest.Item) -> bool:
        about = [_named(mark, NAMES) for mark in item.iter_markers("backend")]
        return bool(chosen) and any(name not in chosen for name in about)

    left_out = [item for item in items if about_others(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not about_others(item)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the test on each library, device and dtype that its fixtures ask for."""
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


def _named(mark: pytest.Mark, known: list[str]) -> str:
    """What a marker names."""
    name = mark.args[0] if mark.args else None
    if name not in known:
        raise pytest.UsageError(
            f"@pytest.mark.{mark.name} must name one of {', '.join(known)}; got {name!r}."
        )
    return str(name)


def _runs(metafunc: pytest.Metafunc, names: list[str]) -> list[Any]:
    """The parameters to run a test with; where there would be none, one that skips."""
    chosen = metafunc.config.getoption("backend")
    needs = [_named(mark, CAPABILITIES) for mark in metafunc.definition.iter_markers("needs")]
    runs = [
        run
        for variant in VARIANTS
        if not chosen or variant.name in chosen or variant.backend in chosen
        if all(getattr(variant.row, capability) for capability in needs)
        for run in _runs_on(variant, names)
    ]
    if runs:
        return runs
    skip = pytest.mark.skip(reason=f"no chosen library has {', '.join(needs)}")
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
