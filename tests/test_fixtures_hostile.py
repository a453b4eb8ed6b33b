"""The plugin of pytest, `xbce.testing.fixtures`, where a project does what it was not made for."""

import pytest
from test_fixtures import Project, of, passed

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
