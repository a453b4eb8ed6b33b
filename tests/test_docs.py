"""The table of backends in the README is the one in the code."""

from pathlib import Path

import pytest

from xbce._backends import BACKENDS

README = Path(__file__).parent.parent / "README.md"


def row(backend):
    """A library's line of the table."""
    able = {"autodiff": "differentiates", "lazy": "lazy", "devices": "several devices"}
    words = [word for capability, word in able.items() if getattr(backend, capability)]
    if backend.flushes:
        words.append(f"takes subnormal numbers of {' and '.join(backend.flushes)} for 0")
    install = " ".join(backend.requires)
    return f"| {backend.name} | `{install}` | {', '.join(backend.dtypes)} | {', '.join(words)} |"


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_the_readme_has_its_row(backend):
    assert row(backend) in README.read_text("utf-8").splitlines()
