"""The plugin of pytest, `xbce.testing.fixtures`, where a project does what it was not made for."""

import pytest
from test_fixtures import ASKED, LIBRARIES, WITHOUT, Project, of, passed

from xbce.testing import _plugin
from xbce.testing._markers import CAPABILITIES, MARKERS
from xbce.testing._variants import VARIANTS

pytestmark = pytest.mark.backend("numpy")  # of the plugin, whatever the library

needs_pytest_9 = pytest.mark.skipif(
    pytest.version_tuple < (9,), reason="older ones overlook what a fixture of the same name takes"
)
TWO = ("--backend", "numpy", "--backend", "strict")
DTYPES = ("float16", "float32", "float64")


# --- names that a fixture is parametrized with


OVERRIDING = """
import pytest

class TestDtype:
    @pytest.fixture(params=["x", "y"])
    def dtype(self, request, dtype): return request.param, dtype

    def test_dtype(self, xp, dtype): assert xp.zeros(1, dtype=dtype[1]).dtype == dtype[1]

    @pytest.mark.parametrize("dtype", ["float16"], indirect=True)
    def test_dtype_of_the_test(self, xp, dtype): assert dtype == ("float16", xp.float16)

class TestDevice:
    @pytest.fixture(params=["x", "y"])
    def device(self, request, device): return request.param, device

    def test_device(self, xp, device): assert device[0] in "xy" and device[1] != device[0]

class TestWithoutParams:
    @pytest.fixture
    def dtype(self, dtype): return [dtype]

    @pytest.mark.parametrize("dtype", ["float16"], indirect=True)
    def test_through(self, xp, dtype): assert dtype == [xp.float16]

def pytest_generate_tests(metafunc):
    if metafunc.function.__name__ == "test_by_a_hook":
        metafunc.parametrize("dtype", ["float16"], indirect=True)

def test_by_a_hook(xp, dtype): assert dtype == xp.float16
"""


@needs_pytest_9
def test_the_params_of_a_fixture_of_a_project_are_its_own(tmp_path):
    results = Project(tmp_path, OVERRIDING).run(*TWO)
    both = {f"{param}-numpy-{dtype}" for dtype in DTYPES for param in "xy"}
    assert passed(*both).items() <= of(results, "test_dtype").items()
    strict = {f"{param}-strict-{device}" for device in ("CPU_DEVICE", "device1") for param in "xy"}
    assert of(results, "test_device") == passed("x-numpy", "y-numpy", *strict)
    for test in ("test_dtype_of_the_test", "test_through", "test_by_a_hook"):
        assert set(of(results, test).values()) == {"passed", "strict has no float16"}
    assert set(results.values()) == {"passed", "strict has no float16"}


NAMED = """
import numpy as np
import pytest

@pytest.mark.parametrize("dtype", ["flaot32", "int32", np.dtype("float32")], indirect=True)
def test_dtype(xp, dtype): pass

@pytest.mark.parametrize("dtype", ["flaot32", "bfloat16", "float32"], indirect=True)
@pytest.mark.parametrize("xp", [np], ids=["mine"])
def test_own_xp(xp, dtype): assert dtype == xp.float32

@pytest.mark.parametrize("device", ["cqu", "device1", "cpu"], indirect=True)
def test_device(xp, device): pass
"""


def test_a_name_that_no_library_has_is_an_error_and_lists_those_there_are(tmp_path):
    results = Project(tmp_path, NAMED).run(*TWO)
    assert of(results, "test_device")["strict-device1"] == "passed"
    assert of(results, "test_device")["numpy-device1"] == "numpy has no device1"
    assert of(results, "test_device")["strict-cpu"] == "strict has no cpu"
    no_device = "'cqu' is the name of no device of any library; there are CPU_DEVICE, device1, "
    no_dtype = "the name of no floating dtype of any library; there are float16, float32, float64, "
    for library in ("numpy", "strict"):
        assert no_device in of(results, "test_device")[f"{library}-cqu"]
        for name in ("flaot32", "int32", "dtype2"):
            assert no_dtype in of(results, "test_dtype")[f"{library}-{name}"]
    own = of(results, "test_own_xp")
    assert own.pop("mine-flaot32").startswith(
        "failed on setup with \"Failed: 'flaot32' is the name"
    )
    assert own == {"mine-bfloat16": "numpy has no bfloat16", "mine-float32": "passed"}


# --- where nothing can be drawn


UNDRAWN = """
import unittest
import numpy as np
import pytest

class TestOfUnittest(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def take(self, xp): self.xp = xp

    def test_unittest(self): pass

@pytest.mark.parametrize("xp", ["numpy"], indirect=True)
def test_indirect(xp): pass

def test_asked_for_late(request): request.getfixturevalue("xp")
"""


def test_why_nothing_is_drawn_is_told(tmp_path):
    results = Project(tmp_path, UNDRAWN).run(*TWO)
    assert "runs the tests of a unittest.TestCase once" in results["test_unittest"]
    assert "a test can not parametrize xp with indirect=True" in results["test_indirect[numpy]"]
    assert "not for request.getfixturevalue" in results["test_asked_for_late"]
    assert all("Nothing was drawn for the fixture xp" in result for result in results.values())


# --- what is chosen


NOTHING = "def test_it(xp): pass"
NO_TORCH = ASKED + WITHOUT.format(absent=LIBRARIES)


@pytest.mark.parametrize("chosen", ["torch", "jax-x32"])
def test_a_library_that_is_chosen_and_not_installed_is_an_error(tmp_path, chosen):
    project = Project(tmp_path, NOTHING, NO_TORCH)
    assert project.run("--backend", "numpy", "--backend", chosen) == {}
    name = chosen.partition("-")[0]
    assert project.done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"--backend {chosen} can not run here. " in project.done.stderr
    assert f"{chosen}: {name} is not installed" in project.done.stderr


def test_a_library_that_is_chosen_runs_if_one_of_its_variants_can(tmp_path):
    no_gpu = "from xbce.testing import _variants\n_variants.NO_GPU['no-gpu'] = 'none here'\n"
    hook = "def pytest_xbce_libraries(): return {'no-gpu': {'namespace': 'array_api_compat.numpy', "
    project = Project(tmp_path, NOTHING, f"{ASKED}{no_gpu}{hook}'devices': ['cuda:0']}}}}")
    results = project.run("--backend", "numpy")
    assert of(results, "test_it") == {"numpy": "passed", "no-gpu": "no-gpu: none here"}
    assert project.run("--backend", "no-gpu") == {}
    assert "--backend no-gpu can not run here. no-gpu: none here." in project.done.stderr


def test_a_conftest_may_still_say_at_its_start_that_a_library_can_not_run(tmp_path):
    late = "def pytest_configure(): _variants.NO_GPU['cupy'] = 'broken'"
    here = "from xbce.testing import _variants\n_variants.Backend.installed = lambda row: True\n"
    project = Project(tmp_path, NOTHING, f"{ASKED}{here}{late}")
    assert project.run("--backend", "cupy") == {}
    assert "--backend cupy can not run here. cupy: broken." in project.done.stderr


def test_an_unknown_library_is_an_error_that_lists_those_there_are(tmp_path):
    project = Project(tmp_path, NOTHING)
    assert project.run("--backend", "tourch") == {}
    assert "--backend tourch: there are array-api-strict, cupy, dask, jax, " in project.done.stderr


def test_another_option_of_the_same_name_is_an_error_of_two_lines(tmp_path):
    own = "def pytest_addoption(parser): parser.addoption('--backend')"
    project = Project(tmp_path, NOTHING, ASKED + own)
    assert project.run() == {}
    assert project.done.returncode == pytest.ExitCode.USAGE_ERROR
    lines = project.done.stderr.strip().splitlines()
    assert len(lines) == 2
    assert "adds the option --backend, which this project, or another plugin, has too" in lines[0]
    assert "Rename that one" in lines[1]


def test_variants_and_capabilities_are_explained():
    options = Options()
    _plugin.pytest_addoption(options)
    for variant in VARIANTS:
        of = "" if variant.name == variant.backend else f", of {variant.backend}"
        assert variant.about
        assert f"\n- {variant.name}{of}: {variant.about}" in options.help
    (needs,) = (marker for marker in MARKERS if marker.startswith("needs("))
    for name, what in CAPABILITIES.items():
        assert f"{name} ({what})" in needs


class Options:
    """What takes options, in the place of pytest."""

    def addoption(self, name, **options):
        self.help = options["help"]


# --- markers


MARKED = """
import pytest

torch, strict = pytest.mark.backend("torch"), pytest.mark.backend("strict")

@torch
def test_torch(xp): pass

@pytest.mark.backend("numpy", "strictest")
def test_either(xp): pass

@pytest.mark.backend("torch", "numpy")
def test_either_without_xp(): pass

@torch
@pytest.mark.backend("numpy")
def test_both(): pass

@strict
@pytest.mark.backend("array-api-strict")
def test_both_with_xp(xp): pass

@strict
@pytest.mark.backend("numpy")
def test_no_library_is_both(xp): pass

@pytest.mark.backend("array-api-strict")
def test_of_the_library(): pass

@strict
def test_of_the_variant(): pass

@pytest.mark.parametrize("one", [pytest.param(1, marks=strict), 2])
def test_param(xp, one): pass

@pytest.mark.needs("engine", "lazy")
def test_needs_both(xp): pass
"""


def names_of(results):
    return {name.partition("[")[0] for name in results}


def test_a_test_with_xp_runs_on_the_libraries_that_its_markers_name(tmp_path):
    results = Project(tmp_path, MARKED, NO_TORCH).run()
    assert set(of(results, "test_torch")) == {"torch", "torch-cuda"}
    assert of(results, "test_either") == passed("numpy", "strictest")
    assert of(results, "test_both_with_xp") == passed("strict")
    none = {"NOTSET": "no chosen library is named by each of its markers"}
    assert of(results, "test_no_library_is_both") == none
    assert {name for name in of(results, "test_param") if name.endswith("1")} == {"strict-1"}
    assert passed("numpy-2", "strictest-2").items() <= of(results, "test_param").items()
    assert list(of(results, "test_needs_both")) == ["dask"]


def test_a_marker_names_variants_as_the_option_does(tmp_path):
    project = Project(tmp_path, MARKED, NO_TORCH)
    named = {"test_of_the_library", "test_of_the_variant", "test_both_with_xp", "test_either"}
    always = {"test_param", "test_needs_both"}
    assert names_of(project.run("--backend", "array-api-strict")) == named | always
    not_strict = {"test_of_the_variant", "test_both_with_xp"}
    assert names_of(project.run("--backend", "strictest")) == (named - not_strict) | always
    numpy = {"test_either", "test_either_without_xp"}
    assert names_of(project.run("--backend", "numpy")) == numpy | always


@pytest.mark.parametrize(
    ("marker", "options"), [("backend('numpy', 'dusk')", ("-n", "1")), ("skip_on()", ())]
)
def test_a_marker_that_names_nothing_known_is_told_with_its_test(tmp_path, marker, options):
    project = Project(tmp_path, f"import pytest\n@pytest.mark.{marker}\ndef test_it(xp): pass")
    assert not any(result == "passed" for result in project.run(*options).values())
    assert "\nIn test_it: @pytest.mark." in project.done.stdout
    assert "During handling" not in project.done.stdout


EXPECTED = """
import pytest

@pytest.mark.skip_on("strict", "jax", reason="too slow")
def test_skipped(xp): pass

@pytest.mark.xfail_on("array-api-strict", reason="known", raises=AssertionError)
def test_fails_on(xp): assert "strict" not in xp.__name__

@pytest.mark.xfail_on("numpy", reason="mended", strict=True)
def test_mended(xp): pass

@pytest.mark.xfail_on("numpy")
def test_mended_but_not_strict(xp): pass

@pytest.mark.xfail_on("numpy", raises=KeyError)
def test_fails_otherwise(xp): assert xp is None

@pytest.mark.parametrize("one", [1, pytest.param(2, marks=pytest.mark.skip_on("numpy"))])
def test_param(xp, one): pass
"""


def test_a_test_is_skipped_or_expected_to_fail_on_the_libraries_it_names(tmp_path):
    project = Project(tmp_path, EXPECTED)
    results = project.run(*TWO)
    assert of(results, "test_skipped") == {"numpy": "passed", "strict": "too slow"}
    assert of(results, "test_fails_on") == {"numpy": "passed", "strict": "known"}
    assert of(results, "test_mended")["strict"] == "passed"
    assert "[XPASS(strict)] mended" in of(results, "test_mended")["numpy"]
    assert of(results, "test_mended_but_not_strict") == passed("numpy", "strict")
    assert "AssertionError" in of(results, "test_fails_otherwise")["numpy"]
    skipped = of(results, "test_param").pop("numpy-2")
    assert skipped == "unconditional skip"
    strictly = project.run(*TWO, "-o", "xfail_strict=true")
    assert "[XPASS(strict)]" in of(strictly, "test_mended_but_not_strict")["numpy"]


# --- libraries of a project


OWN = """
def pytest_xbce_libraries():
    return {
        "mparray": {"namespace": "mparray", "dtypes": ["float64"]},
        "numpy-too": {"namespace": "array_api_compat.numpy", "devices": ["cpu"]},
        "absent": {"namespace": "no_such_library.numpy"},
    }
"""
OF_OWN = """
import pytest

def test_xp(xp, array, dtype): assert array([1.0], dtype).dtype == dtype

@pytest.mark.backend("mparray")
def test_mparray(xp): assert xp.__name__ == "mparray"

def test_device(xp, device): assert xp.ones(1, device=device).shape == (1,)

@pytest.mark.parametrize("device", ["cpu"], indirect=True)
@pytest.mark.backend("numpy-too")
def test_named_device(xp, device): assert device == "cpu"
"""


def test_a_project_adds_libraries_and_variants_of_known_ones(tmp_path):
    project = Project(tmp_path, OF_OWN, NO_TORCH + OWN)
    results = project.run()
    own = passed("mparray-float64", "numpy-too-float32", "numpy-too-float64")
    assert own.items() <= of(results, "test_xp").items()
    assert of(results, "test_xp")["absent-float32"] == "absent: no_such_library is not installed"
    assert of(results, "test_mparray") == passed("mparray")
    assert passed("mparray", "numpy-too", "numpy").items() <= of(results, "test_device").items()
    assert of(results, "test_named_device") == passed("numpy-too-cpu")
    assert set(of(project.run("--backend", "mparray"), "test_xp")) == {"mparray-float64"}
    numpy = of(project.run("--backend", "numpy"), "test_device")
    assert numpy == passed("numpy", "numpy-too")
    assert project.run("--backend", "absent") == {}
    assert "absent: no_such_library is not installed" in project.done.stderr


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("{'torch': {'namespace': 'torch'}}", "there is a torch already"),
        ("{'mine': {'namespace': 'mine', 'dtype': 1}}", "unexpected keyword argument 'dtype'"),
    ],
)
def test_a_library_that_is_added_wrongly_is_an_error(tmp_path, given, told):
    hook = f"def pytest_xbce_libraries(): return {given}"
    project = Project(tmp_path, NOTHING, f"{ASKED}{hook}")
    assert project.run() == {}
    assert f"ERROR: pytest_xbce_libraries: {told}" in project.done.stderr.replace(
        "library() got an ", ""
    )
