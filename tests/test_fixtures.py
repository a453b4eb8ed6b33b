"""The plugin of pytest, `xbce.testing.fixtures`, in a project that is not this one."""

import ast
import inspect
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

import conftest
import xbce
from xbce.testing import _markers, _variants, fixtures
from xbce.testing._variants import Variant

pytestmark = pytest.mark.backend("numpy")  # of the plugin, whatever the library

ASKED = 'pytest_plugins = ["xbce.testing.fixtures"]\n'
WITHOUT = """
from xbce import _backends

found = _backends.find_spec
_backends.find_spec = lambda name: None if name in {absent} else found(name)
"""
LIBRARIES = ["torch", "cupy", "jax", "dask"]  # not installed, as far as the project can see

TESTS = """
import numpy as np
import pytest

def test_xp(xp): assert xp.log1p(xp.zeros(3)).shape == (3,)

def test_device(device): pass

def test_dtype(dtype): pass

def test_array(array, dtype): assert array([1.0, 2.0], dtype).dtype == dtype

@pytest.mark.usefixtures("array")
def test_used(): pass

@pytest.mark.parametrize("dtype", ["mine"])
def test_own_dtype(xp, dtype): assert dtype == "mine"

@pytest.mark.parametrize(["device", "other"], [("mine", 1)])
def test_own_device(array, device, other): assert device == "mine"

@pytest.mark.parametrize("xp", [np], ids=["mine"])
def test_own_xp(xp, dtype, array): assert array([1.0], dtype).dtype == dtype

@pytest.mark.parametrize("dtype", ["float16", "float32"], indirect=True)
def test_named_dtypes(xp, dtype): assert dtype in (getattr(xp, "float16", None), xp.float32)

@pytest.mark.needs("autodiff")
def test_needs(xp): pass

@pytest.mark.needs("devices")
def test_needs_devices(xp): assert xp.__name__ == "array_api_strict"

@pytest.mark.backend("numpy")
def test_about_numpy(): pass

@pytest.mark.backend("torch")
def test_about_torch(): pass

class TestFixturesOfItsOwn:
    @pytest.fixture(params=["a", "b"])
    def device(self, request): return request.param

    def test_replaced(self, xp, device): assert device in "ab"

class TestFixturesThatTakeThePlugins:
    @pytest.fixture
    def dtype(self, dtype): return [dtype]

    if pytest.version_tuple >= (9,):
        def test_extended(self, dtype): assert isinstance(dtype, list)
"""


class Project:
    """A folder with a ``conftest.py`` and tests, and pytest in a process of its own."""

    def __init__(self, folder, tests, conftest=ASKED):
        self.folder = folder
        (folder / "conftest.py").write_text(conftest)
        (folder / "test_it.py").write_text(tests)

    def run(self, *options):
        """Run pytest, strictly. The results by name: "passed", why it was skipped, or an error."""
        environment = os.environ | {"PYTHONPATH": str(Path(xbce.__file__).parents[1])}
        environment.pop("PYTEST_ADDOPTS", None)
        strictly = ["-W", "error", "--strict-markers", "-p", "no:cacheprovider"]
        self.done = subprocess.run(
            [sys.executable, "-m", "pytest", "--junit-xml=done.xml", *strictly, *options],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        if self.done.returncode > 1:  # neither passed nor failed
            return {}
        cases = ElementTree.parse(self.folder / "done.xml").iter("testcase")
        return {
            case.get("name"): case[0].get("message") if len(case) else "passed" for case in cases
        }


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """What comes of the tests where NumPy and array-api-strict are installed, on two processes."""
    conftest = ASKED + WITHOUT.format(absent=LIBRARIES)
    return Project(tmp_path_factory.mktemp("foreign"), TESTS, conftest).run("-n", "2")


@pytest.fixture(scope="module")
def numpy_alone(tmp_path_factory):
    """And where NumPy is chosen."""
    return Project(tmp_path_factory.mktemp("foreign"), TESTS).run("--backend", "numpy")


def of(results, test):
    """The results of one test by its parameters."""
    return {
        name.partition("[")[2].removesuffix("]"): result
        for name, result in results.items()
        if name.partition("[")[0] == test
    }


ABSENT = {
    "torch": "torch: torch is not installed",
    "torch-cuda": "torch-cuda: torch is not installed",
    "cupy": "cupy: cupy is not installed",
    "jax": "jax: jax is not installed",
    "jax-jit": "jax-jit: jax is not installed",
    "jax-x32": "jax-x32: jax is not installed",
    "dask": "dask: dask is not installed",
}


def passed(*names):
    return dict.fromkeys(names, "passed")


def test_each_library_runs_or_skips_by_its_name(everything):
    here = passed("numpy", "strict", "strictest", "strict-no-float64")
    assert of(everything, "test_xp") == here | ABSENT


def test_a_test_takes_any_of_the_fixtures_without_xp(everything):
    strict = passed("strict-CPU_DEVICE", "strict-device1")
    found = of(everything, "test_device")
    assert passed("numpy", "strictest", "strict-no-float64") | strict == {
        name: result for name, result in found.items() if name not in ABSENT
    }
    dtypes = passed(*(f"numpy-{dtype}" for dtype in ("float16", "float32", "float64")))
    assert dtypes.items() <= of(everything, "test_dtype").items()
    both = passed("strict-float64-device1", "strict-no-float64-float32", *dtypes)
    assert both.items() <= of(everything, "test_array").items()
    assert "strict-no-float64-float64" not in of(everything, "test_array")
    assert passed("numpy", "strict-device1").items() <= of(everything, "test_used").items()


def test_backend_chooses(numpy_alone):
    assert of(numpy_alone, "test_xp") == passed("numpy")
    assert of(numpy_alone, "test_about_numpy") == passed("")
    assert of(numpy_alone, "test_about_torch") == {}


def test_what_a_test_parametrizes_itself_is_left_alone(everything, numpy_alone):
    assert of(numpy_alone, "test_own_dtype") == passed("numpy-mine")
    assert passed("strict-mine").items() <= of(everything, "test_own_dtype").items()
    assert of(everything, "test_own_xp") == passed("float32-mine", "float64-mine")
    assert of(numpy_alone, "test_own_device") == passed("numpy-mine-1")


def test_dtypes_can_be_named(everything):
    found = of(everything, "test_named_dtypes")
    assert passed("numpy-float16", "numpy-float32", "strict-float32").items() <= found.items()
    assert found["strict-float16"] == "strict has no float16"


def test_a_project_replaces_fixtures(numpy_alone):
    assert list(of(numpy_alone, "test_replaced").values()) == ["passed", "passed"]


@pytest.mark.skipif(pytest.version_tuple < (9,), reason="older ones overlook what dtype takes")
def test_a_fixture_takes_the_one_of_its_name(numpy_alone):
    extended = (f"numpy-{dtype}" for dtype in ("float16", "float32", "float64"))
    assert of(numpy_alone, "test_extended") == passed(*extended)


def test_libraries_that_lack_a_capability_are_left_out(everything, numpy_alone):
    differentiate = ("torch", "torch-cuda", "jax", "jax-jit", "jax-x32")
    assert of(everything, "test_needs") == {name: ABSENT[name] for name in differentiate}
    assert of(numpy_alone, "test_needs") == {"NOTSET": "no chosen library has autodiff"}
    strict = passed("strict", "strictest", "strict-no-float64")
    assert strict.items() <= of(everything, "test_needs_devices").items()


def test_nothing_failed(everything, numpy_alone):
    strict = ("strict", "strictest", "strict-no-float64")
    reasons = {*ABSENT.values(), *(f"{name} has no float16" for name in strict)}
    assert set(everything.values()) == {"passed", *reasons}
    lacks = {f"no chosen library has {capability}" for capability in ("autodiff", "devices")}
    assert set(numpy_alone.values()) == {"passed", *lacks}


# --- what else is promised


def test_it_is_not_loaded_unless_asked_for(tmp_path):
    project = Project(tmp_path, "def test_it(): pass", conftest="")
    assert project.run("--backend", "numpy") == {}
    assert "unrecognized arguments: --backend" in project.done.stderr


def test_what_nothing_can_be_drawn_for_is_told(tmp_path):
    indirectly = '@pytest.mark.parametrize("xp", ["numpy"], indirect=True)\n'
    tests = f"import pytest\n{indirectly}def test_it(xp): pass"
    (result,) = Project(tmp_path, tests).run().values()
    assert "Nothing was drawn for the fixture xp" in result


def test_the_examples_run(tmp_path):
    """Those in the docstrings of the fixtures."""
    tree = ast.parse(inspect.getsource(fixtures))
    docs = [ast.get_docstring(node) for node in tree.body if isinstance(node, ast.FunctionDef)]
    tests = [textwrap.dedent(doc.partition("Examples\n--------\n::\n")[2]) for doc in docs]
    results = Project(tmp_path, "\n".join(tests)).run("--backend", "array-api-strict")
    assert len(tests) == 4
    assert set(results.values()) == {"passed"}
    assert len({name.partition("[")[0] for name in results}) == 4


def test_it_imports_no_library_but_numpy():
    code = "import sys, xbce.testing.fixtures as f, xbce.testing._plugin; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert {"pytest", "numpy"} <= imported
    heavy = {"array_api_extra", "array_api_strict", "hypothesis", "mparray", "mpmath", "emulator"}
    assert imported.isdisjoint({*heavy, *LIBRARIES})


def test_why_a_library_can_not_run_is_told(monkeypatch):
    lazy = Variant("eager-not", "numpy", transform=True)
    assert lazy.why_not() is None
    monkeypatch.setattr(_variants, "find_spec", lambda name: None)
    assert lazy.why_not() == "eager-not: array-api-extra is not installed"
    later = Variant("later", "numpy", since="1000.1").why_not()
    assert later.startswith("later: it needs numpy 1000.1, installed is ")
    assert Variant("earlier", "numpy", since="2.0").why_not() is None


def test_a_library_without_a_gpu_is_told(monkeypatch):
    gpu = Variant("numpy-cuda", "numpy", ("cuda:0",))
    monkeypatch.setattr(_variants, "_has_cuda", lambda module: False)
    assert gpu.why_not() == "numpy-cuda: no CUDA GPU here"
    monkeypatch.setattr(_variants, "_has_cuda", lambda module: True)
    assert gpu.why_not() is None
    monkeypatch.setitem(_variants.NO_GPU, "numpy-cuda", "known not to")
    assert gpu.why_not() == "numpy-cuda: known not to"


# --- CuPy in this repository


@pytest.mark.parametrize(
    ("chosen", "why_not", "told"),
    [
        (None, "no compiler", "no CUDA GPU here, and no emulator: no compiler"),
        (["cupy"], "no compiler", "no CUDA GPU here, and no emulator: no compiler"),
        (None, None, "no CUDA GPU here; --backend cupy computes on an emulator"),
        (["cupy"], None, "started"),
    ],
    ids=["can not", "chosen but can not", "can but not chosen", "chosen"],
)
def test_the_emulator_is_started_or_it_is_told_why_not(monkeypatch, chosen, why_not, told):
    known = {}
    monkeypatch.setattr(conftest, "NO_GPU", known)
    monkeypatch.setattr(conftest.glob, "glob", lambda pattern: [])
    monkeypatch.setattr(conftest.emulator, "why_not", lambda: why_not)
    monkeypatch.setattr(conftest.emulator, "start", lambda: known.update(cupy="started"))
    conftest.pytest_configure(SimpleNamespace(getoption=lambda name: chosen))
    assert known == {"cupy": told}


@pytest.mark.parametrize(
    "mark", [pytest.mark.needs("wings"), pytest.mark.backend(), pytest.mark.needs]
)
def test_a_marker_that_names_nothing_is_an_error(mark):
    named = mark.mark
    known = _markers.CAPABILITIES if named.name == "needs" else ["numpy", "torch"]
    with pytest.raises(pytest.UsageError, match=rf"@pytest\.mark\.{named.name} must name one of "):
        _markers.named(named, known)
