"""The table of losses: each has a closed derivative, the right one, and autograd uses it."""

from dataclasses import replace

import numpy as np
import pytest
from table import CASES, EACH_LOSS, ELEMENT_WISE, operands

import xbce
from xbce import _backends, _losses
from xbce._evaluate import Weighting, evaluate
from xbce._losses import LOSSES
from xbce.testing import as_numpy

POINTS = [0.0, -0.0, 1e-30, -1e-30, 1e-3, -1e-3, 0.5, -0.5, 1.0, -1.0, 3.7, -3.7, 20.0, -20.0]
POINTS += [60.0, -60.0, 85.0, -85.0, 500.0, -500.0, 1e4, -1e4, np.inf, -np.inf]
LABELS = [0.0, 1.0, 0.25, 1e-3, 0.999]

ROWS = [[0, 0, 0], [0.0, -0.0, 0], [1e-30, -1e-30, 0], [1, 1, 1], [2, 2, -1], [0.3, -0.2, 0.1]]
ROWS += [[1, 2, 3], [20, -20, 0], [90, 0, 0], [-500, 500, 0], [1e4, -1e4, 1], [1e30, -1e30, 0]]
ROW_LABELS = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.2, 0.3, 0.5], [0, 0.5, 0.5], [0, 0, 0]]


def differentiated(xp, function, x):
    """The derivative of the sum of a function of one array, element by element."""
    return _backends.of(xp).gradient(lambda x: xp.sum(function(x)), x)


def points(xp, array, loss):
    """Labels and logits, and what else the formulas take: every kind with every other."""
    if not loss.over_classes:
        z, x = np.meshgrid(LABELS, POINTS)
        return array(z.ravel()), array(x.ravel()), {}
    labels = range(3) if loss.class_numbers else ROW_LABELS
    pairs = [(label, row) for label in labels for row in ROWS]
    z, x = (np.asarray(part) for part in zip(*pairs, strict=True))
    x = array(x)
    numbers = _backends.of(xp).numbers(xp, x)
    z = array(z, xp.int32) if loss.class_numbers else array(z)
    return z, x, {"class_numbers": numbers}


def same(actual, desired, case):
    actual, desired = as_numpy(actual), as_numpy(desired)
    assert not np.any(np.isnan(desired)), case
    np.testing.assert_allclose(actual, desired, rtol=2e-5, atol=1e-7, err_msg=case)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_every_loss_has_a_closed_derivative(loss):
    for name in ("value", "gradient"):
        assert callable(getattr(loss, name)), f"{loss.name} has no formula of its {name}"
    assert callable(loss.gradient_and_hessian), f"{loss.name} has no second derivative"


def test_names_of_losses_are_their_own_and_find_them():
    assert len({loss.name for loss in LOSSES}) == len(LOSSES)
    for loss in LOSSES:
        assert _losses.named(loss.name) is loss
        assert _losses.named(loss) is loss
        assert all(set(example) <= {p.name for p in loss.parameters} for example in loss.examples())
    with pytest.raises(
        ValueError, match=r"must be one of 'sigmoid_cross_entropy', .*; got 'hinge'"
    ):
        _losses.named("hinge")


@pytest.mark.needs("autodiff")
@pytest.mark.parametrize(("loss", "parameters"), CASES)
def test_the_closed_derivative_is_that_of_the_value(xp, array, loss, parameters):
    z, x, numbers = points(xp, array, loss)
    slopes = differentiated(xp, lambda x: loss.value(xp, z, x, **numbers, **parameters), x)
    closed = loss.gradient(xp, z, x, **numbers, **parameters)
    same(slopes, closed, loss.name)
    if loss.value_and_gradient is not None:
        value, again = loss.value_and_gradient(xp, z, x, **numbers, **parameters)
        same(again, closed, loss.name)
        plain = loss.value(xp, z, x, **numbers, **parameters)
        np.testing.assert_allclose(as_numpy(value), as_numpy(plain), 1e-6, err_msg=loss.name)


@pytest.mark.needs("autodiff")
@pytest.mark.parametrize(("loss", "parameters"), ELEMENT_WISE)
def test_the_closed_second_derivative_is_that_of_the_first(xp, array, loss, parameters):
    z, x, _ = points(xp, array, loss)
    first, second = loss.gradient_and_hessian(xp, z, x, **parameters)
    same(first, loss.gradient(xp, z, x, **parameters), loss.name)
    by_gradient = differentiated(xp, lambda x: loss.gradient(xp, z, x, **parameters), x)
    scale = max(np.max(np.abs(as_numpy(second))), 1.0)  # where its terms cancel
    np.testing.assert_allclose(
        as_numpy(by_gradient), as_numpy(second), 2e-5, 1e-6 * scale, err_msg=loss.name
    )


@pytest.mark.needs("autodiff")
@pytest.mark.parametrize(("loss", "parameters"), CASES)
def test_autograd_of_a_call_gives_the_closed_derivative(xp, array, loss, parameters):
    z, x, numbers = points(xp, array, loss)
    slopes = differentiated(
        xp, lambda x: evaluate(loss, {"labels": z, "logits": x}, **parameters), x
    )
    same(slopes, loss.gradient(xp, z, x, **numbers, **parameters), loss.name)


# --- PyTorch's rule -------------------------------------------------------------


def tensors(torch, loss, rows):
    """The operands in PyTorch, the logits as a leaf."""
    found = {name: torch.from_numpy(array) for name, array in operands(loss, rows).items()}
    found["logits"].requires_grad_()
    return found


@pytest.mark.parametrize("rows", [12, 5000])
@pytest.mark.parametrize(("loss", "parameters"), EACH_LOSS)
def test_autograd_saves_the_operands_only(loss, parameters, rows):
    torch = pytest.importorskip("torch")
    a = tensors(torch, loss, rows)
    arrays = {"labels": a["labels"], "logits": a["logits"]}
    parameters = parameters | {p.name: a[p.name] for p in loss.parameters if p.array}
    for reduction in ("none", "weighted_sum", "weighted_mean"):
        for weighting in (
            None,
            Weighting(1.0, 0, None, reduction),
            Weighting(a["weights"], 0, None, reduction, a["mask"]),
        ):
            kept = []

            def pack(tensor, kept=kept):
                kept.append(tensor)
                return tensor

            with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
                evaluate(loss, arrays, weighting=weighting, **parameters)
            extra = {t.data_ptr() for t in kept if t.ndim > 0} - {t.data_ptr() for t in a.values()}
            assert not extra, f"autograd keeps {len(extra)} more arrays for {loss.name}"


@pytest.mark.parametrize("rows", [12, 5000])
@pytest.mark.parametrize(("loss", "parameters"), [*EACH_LOSS, (_losses.GIVEN, {})])
def test_autograd_runs_the_closed_derivative(loss, parameters, rows):
    """What it gives is what `gradient` gives, be that wrong."""
    torch = pytest.importorskip("torch")
    calls = []

    def planted(xp, *arrays, **named):
        calls.append(arrays[-1].shape)
        return 7 * xp.ones_like(arrays[-1])

    name = f"planted {loss.name}"
    wrong = replace(loss, name=name, gradient=planted, value_and_gradient=None)
    a = tensors(torch, loss, rows)
    arrays = {name: a[name] for name in ("labels", "logits")}
    if loss is _losses.GIVEN:
        arrays = {"losses": a["logits"]}
    for weighting in (None, Weighting(a["weights"], 0, None, "weighted_sum")):
        calls.clear()
        result = evaluate(wrong, arrays, weighting=weighting, **parameters)
        (slopes,) = torch.autograd.grad(result.sum(), a["logits"])
        assert calls, f"autograd does not use the closed derivative of {loss.name}"
        factor = 1.0 if weighting is None else a["weights"]
        if weighting is not None and loss.over_classes:
            factor = factor[..., None]
        desired = (7 * factor * torch.ones_like(a["logits"])).detach()
        torch.testing.assert_close(slopes, desired)


@pytest.mark.parametrize(("loss", "parameters"), CASES)
def test_the_derivative_of_the_derivative_is_that_of_the_value(loss, parameters):
    torch = pytest.importorskip("torch")
    a = tensors(torch, loss, 12)
    arrays = {"labels": a["labels"], "logits": a["logits"]}

    def second():
        value = evaluate(loss, arrays, weighting=Weighting(a["weights"]), **parameters)
        (first,) = torch.autograd.grad(value, a["logits"], create_graph=True)
        return torch.autograd.grad(first.square().sum(), a["logits"])[0]

    found = second()
    with xbce.options(fuse=False):
        torch.testing.assert_close(found, second(), rtol=1e-10, atol=1e-14)
