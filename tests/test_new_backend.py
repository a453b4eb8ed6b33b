"""A new library is a row in the table and a variant in the tests; what is missing is told."""

from types import SimpleNamespace

import mparray
import numpy as np
import pytest

from xbce import _backends
from xbce._backends import BACKENDS, Backend
from xbce._evaluate import Weighting, evaluate
from xbce._losses import LOSSES
from xbce.testing import _plugin, as_numpy
from xbce.testing._variants import VARIANTS, Variant, missing

ROW = Backend("mparray", ("mparray",), ("mparray",))


def configure(chosen):
    config = SimpleNamespace(getoption=lambda name: chosen, addinivalue_line=lambda *line: None)
    _plugin.pytest_configure(config)


def test_every_row_has_a_variant_and_every_variant_a_row():
    assert missing(BACKENDS, VARIANTS) == {}


def test_what_a_new_library_lacks_is_told():
    variant = Variant("mparray", "mparray")
    row, place = "row in xbce._backends", "variant in xbce.testing._variants"
    assert missing((*BACKENDS, ROW), (*VARIANTS, variant)) == {}
    row_only = missing((*BACKENDS, ROW), VARIANTS)
    assert row_only == {"mparray": f"mparray has a {row}, but no {place}"}
    variant_only = missing(BACKENDS, (*VARIANTS, variant))
    assert variant_only == {"mparray": f"mparray has a {place}, but no {row}"}


def test_choosing_a_library_without_a_variant_is_an_error(monkeypatch):
    monkeypatch.setattr(_plugin, "BACKENDS", (*BACKENDS, ROW))
    with pytest.raises(pytest.UsageError, match=r"mparray has a row .* but no variant"):
        configure(["mparray"])


@pytest.mark.parametrize("row", [True, False], ids=["with a row", "without one"])
def test_a_library_that_follows_the_standard_runs_every_loss(monkeypatch, row):
    if row:
        monkeypatch.setitem(_backends._OF_NAMESPACE, "mparray", ROW)
    rng = np.random.default_rng(2)
    x, z, w = rng.normal(size=(4, 3)), np.eye(3)[[0, 2, 1, 1]], rng.random(4)
    for loss in LOSSES:
        labels = np.asarray([0, 2, 1, 1]) if loss.class_numbers else z
        weights = w if loss.over_classes else w[:, None]
        for output in ("value", "value_and_gradient"):
            results = []
            for make in (np.asarray, mparray.asarray):
                arrays = {"labels": make(labels), "logits": make(x)}
                weighting = Weighting(make(weights), where=make(weights > 0.2))
                options = {"weighting": weighting, "output": output, **loss.examples()[0]}
                found = evaluate(loss, arrays, **options)
                results.append(found if isinstance(found, tuple) else (found,))
            for desired, actual in zip(*results, strict=True):
                np.testing.assert_allclose(as_numpy(actual), desired, rtol=1e-12, atol=1e-15)


def test_a_variant_of_a_library_without_a_row_is_an_error(monkeypatch):
    variant = Variant("mparray", "mparray")
    monkeypatch.setattr(_plugin, "VARIANTS", (*VARIANTS, variant))
    with pytest.raises(pytest.UsageError, match=r"mparray has a variant .* but no row"):
        configure(None)
