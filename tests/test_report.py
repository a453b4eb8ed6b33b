"""``python -m xbce`` reports on what is installed, and fails where a promise is broken."""

import json
import subprocess
import sys

import numpy as np
import pytest

from xbce import _formula
from xbce.__main__ import main

QUICK = ["--backend", "numpy", "--backend", "cupy", "--samples", "5", "--size", "1000"]


def test_it_runs_as_a_module():
    command = [sys.executable, "-m", "xbce", *QUICK]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"numpy {np.__version__}" in done.stdout
    assert "largest error in ulp, float32: loss" in done.stdout


def test_json_for_machines(capsys):
    assert main([*QUICK, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)["libraries"]["numpy"]
    assert report["version"] == np.__version__
    assert report["broken"] == []
    assert 0 < report["largest ulp"]["float64"]["loss"] <= 4
    assert {"loss", "mean loss", "value_and_grad"} <= set(report["milliseconds"])


@pytest.mark.parametrize("formula", ["sigmoid_cross_entropy", "sigmoid_gradient"])
def test_a_broken_promise_is_exit_code_1(capsys, monkeypatch, formula):
    original = getattr(_formula, formula)

    def planted(xp, z, x, q=None):
        wrong = original(xp, z, x, q)
        # The oracle runs this formula too, and stays right.
        return wrong if xp.__name__ == "mparray" else wrong * (1 + 1e-5)

    monkeypatch.setattr(_formula, formula, planted)
    assert main(QUICK) == 1
    assert "BROKEN: float64" in capsys.readouterr().out
