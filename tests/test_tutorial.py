"""The tutorial of docs/testing.md does what it says: its files are written to a folder, and run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent.joinpath("docs", "testing.md").read_text("utf-8")
pytestmark = pytest.mark.backend("numpy")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The files of the page: those that go on at the end of one are appended to it."""
    made = tmp_path_factory.mktemp("project")
    for name, more, code in re.findall(
        r"```python\n# (\w+\.py)(, at the end)?\n(.*?)```", PAGE, re.S
    ):
        with open(made / name, "a" if more else "w") as file:
            file.write(code)
        if not more and name == "my_loss.py":
            (made / "unmended").mkdir()
            (made / "unmended" / name).write_text(code)
    return made


def run(folder, *arguments):
    return subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True)


def test_the_suite_at_its_end_passes(folder):
    done = run(folder, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "--backend", "numpy")
    assert done.returncode == 0, done.stdout
    assert re.search(r"\d passed", done.stdout)


def test_the_first_loss_fails_as_it_says(folder):
    done = run(folder, "-W", "ignore", "first_audit.py")
    shown = re.search(r"```\n(losses breaks .*?)```", PAGE, re.S)[1]
    assert shown in done.stderr


def test_the_first_masked_mean_fails_as_it_says(folder):
    script = (folder / "reduction_audit.py").read_text()
    done = run(folder / "unmended", "-c", script)
    shown = re.search(r"```\n(diagnosis: .*?)```", PAGE, re.S)[1]
    assert done.stdout == shown
