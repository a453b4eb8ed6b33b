"""What the tests of this repository need beside the fixtures of `xbce.testing.fixtures`.

``--backend cupy`` computes on an emulator where there is no GPU.
"""

import glob
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from xbce.testing._variants import NO_GPU

sys.path.insert(0, str(Path(__file__).parent / "tests"))
import emulator

pytest_plugins = ["xbce.testing.fixtures"]

# Searches are the same in each run, and fixtures and arrays that take long to make are no fault.
settings.register_profile(
    "xbce",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("xbce")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--thorough``."""
    parser.addoption(
        "--thorough",
        action="store_true",
        help="test every promise of accuracy on millions of values",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Where there is no GPU, start the emulator, or tell why CuPy is not tested."""
    if glob.glob("/dev/nvidia[0-9]*"):
        return
    why_not = emulator.why_not()
    if why_not:
        NO_GPU["cupy"] = f"no CUDA GPU here, and no emulator: {why_not}"
    elif "cupy" in (config.getoption("backend") or ()):
        emulator.start()
    else:
        NO_GPU["cupy"] = "no CUDA GPU here; --backend cupy computes on an emulator"
