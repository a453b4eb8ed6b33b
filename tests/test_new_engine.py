"""A new engine is a file with one function, and its name in the row of a library."""

import sys
from dataclasses import replace
from types import ModuleType

import array_api_strict as xp
import numpy as np
import pytest

import xbce
from xbce import _backends
from xbce._engines import _options
from xbce._evaluate import Weighting, evaluate
from xbce._losses import LOSSES
from xbce._steps import Step, compose
from xbce.testing import as_numpy


@pytest.fixture
def ran(monkeypatch):
    """The steps that an engine for array-api-strict has run, by their names and operands."""
    steps = []

    def run(recipe, xp, operands):
        def execute(name, operands):
            steps.append((name, tuple(operands)))
            return Step(recipe, name)(xp, operands)

        return compose(recipe, xp, operands, execute)

    engine = ModuleType("xbce._engines._noting")
    engine.run = run
    monkeypatch.setitem(sys.modules, "xbce._engines._noting", engine)
    row = replace(_backends.of(xp), engine="noting")
    monkeypatch.setitem(_backends._OF_NAMESPACE, "array_api_strict", row)
    yield steps
    _options._imported.cache_clear()


def arguments(loss):
    x = xp.asarray([[0.5, -2.0], [3.0, 1.0]])
    numbers, onehot = xp.asarray([0, 1]), xp.asarray([[1.0, 0.0], [0.0, 1.0]])
    return {"labels": numbers if loss.class_numbers else onehot, "logits": x}


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_it_runs_every_loss_and_knows_none(ran, loss):
    weights = xp.asarray([1.0, 2.0]) if loss.over_classes else xp.asarray([[1.0], [2.0]])
    for output in ("value", "value_and_gradient"):
        weighting = Weighting(weights, 0 if loss.class_numbers else 0.1)
        options = {"weighting": weighting, "output": output, **loss.examples()[0]}
        found = evaluate(loss, arguments(loss), **options)
        with xbce.options(fuse=False):
            plain = evaluate(loss, arguments(loss), **options)
        for actual, desired in zip(
            *(r if type(r) is tuple else (r,) for r in (found, plain)), strict=True
        ):
            np.testing.assert_array_equal(as_numpy(actual), as_numpy(desired))
    assert [name for name, _ in ran] == [
        *("denominator", "sums", "quotient"),
        *("denominator", "share", "sums", "quotient"),
    ]


def test_operands_come_by_name(ran):
    loss = LOSSES[0]
    evaluate(loss, arguments(loss), weighting=Weighting(2.0, where=xp.asarray([[True], [False]])))
    assert ran[0] == ("denominator", ("logits", "weights", "mask"))
    assert set(ran[1][1]) == {"labels", "logits", "weights", "mask", "denominator"}


def test_fuse_false_asks_no_engine(ran):
    with xbce.options(fuse=False):
        evaluate(LOSSES[0], arguments(LOSSES[0]))
    assert ran == []
