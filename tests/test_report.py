"""``python -m xbce`` reports on what is installed, and fails where a promise is broken."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from table import EACH_LOSS

from xbce import __main__ as report_module
from xbce.__main__ import main
from xbce._losses import LOSSES

QUICK = ["--backend", "numpy", "--backend", "cupy", "--samples", "5", "--size", "1000"]


def test_it_runs_as_a_module():
    command = [sys.executable, "-m", "xbce", *QUICK]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"numpy {np.__version__}" in done.stdout
    lines = done.stdout.splitlines()
    assert "  largest error in ulp:" in lines
    for loss in LOSSES:
        for dtype in ("float16", "float32", "float64"):
            assert any(line.startswith(f"    {loss.name}, {dtype}: loss ") for line in lines)


def test_json_for_machines(capsys):
    assert main([*QUICK, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)["libraries"]["numpy"]
    assert report["version"] == np.__version__
    assert report["broken"] == []
    for loss in LOSSES:
        for dtype in ("float16", "float32", "float64"):
            errors = report["largest ulp"][loss.name][dtype]
            for quantity, error in errors.items():
                assert 0 < error <= loss.promised(dtype, quantity)
            assert ("hessian" in errors) == (loss.gradient_and_hessian is not None)
            assert {"loss", "gradient"} <= errors.keys()
    assert {"loss", "mean loss", "value_and_grad"} <= set(report["milliseconds"])


def broken_by(monkeypatch, loss, formula):
    """What the report says of a table where this formula of this loss is slightly wrong."""
    original = getattr(loss, formula)

    def planted(xp, *arrays, **parameters):
        wrong = original(xp, *arrays, **parameters)
        # The oracle runs this formula too, and stays right.
        return wrong if xp.__name__ == "mparray" else wrong * (1 + 1e-5)

    wrong = replace(loss, **{formula: planted})
    table = tuple(wrong if known is loss else known for known in LOSSES)
    monkeypatch.setattr(report_module, "LOSSES", table)


@pytest.mark.parametrize(("loss", "parameters"), EACH_LOSS)
def test_a_broken_promise_is_exit_code_1(capsys, monkeypatch, loss, parameters):
    broken_by(monkeypatch, loss, "value")
    assert main(QUICK) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if "BROKEN" in line]
    assert any(line.startswith(f"  BROKEN: {loss.name}, float64 loss") for line in lines)
    assert all(line.startswith(f"  BROKEN: {loss.name}, ") for line in lines)


@pytest.mark.parametrize(("loss", "parameters"), EACH_LOSS)
def test_a_broken_promise_of_the_gradient_is_exit_code_1(capsys, monkeypatch, loss, parameters):
    broken_by(monkeypatch, loss, "gradient")
    assert main(QUICK) == 1
    assert f"BROKEN: {loss.name}, float64 gradient" in capsys.readouterr().out
