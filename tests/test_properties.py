"""What holds for all arrays, searched for counterexamples by hypothesis."""

from typing import Any

import numpy as np
import pytest
from array_api_extra.testing import lazy_xp_function
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.array_api import make_strategies_namespace
from table import EACH_LOSS

from xbce import sigmoid_cross_entropy, sigmoid_cross_entropy_with_logits
from xbce._evaluate import Weighting, evaluate
from xbce.losses import Reduction
from xbce.testing import as_numpy

lazy_xp_function(sigmoid_cross_entropy)
lazy_xp_function(sigmoid_cross_entropy_with_logits)

strategies = make_strategies_namespace(np)
search = settings(max_examples=12)


def loss(z: Any, x: Any) -> Any:
    return sigmoid_cross_entropy_with_logits(labels=z, logits=x)


def close(actual: Any, desired: Any) -> None:
    np.testing.assert_allclose(as_numpy(actual), as_numpy(desired), rtol=2e-6, atol=1e-37)


def draw(data: st.DataObject, array: Any, *ranges: tuple[float, float]) -> list[Any]:
    """Arrays of one drawn shape, the values of each within one of `ranges`."""
    shape = data.draw(strategies.array_shapes(min_dims=0, max_dims=2, max_side=3))
    return [
        array(
            data.draw(
                strategies.arrays(
                    np.float32,
                    shape,
                    elements={"min_value": low, "max_value": high, "allow_subnormal": False},
                )
            )
        )
        for low, high in ranges
    ]


LABELS, LOGITS = (0, 1), (-200, 200)


@search
@given(data=st.data())
def test_not_negative(array, data):
    z, x = draw(data, array, LABELS, LOGITS)
    assert np.all(as_numpy(loss(z, x)) >= 0)


@search
@given(data=st.data())
def test_symmetric(array, xp, data):
    """loss(x, z) = loss(-x, 1 - z), where 1 - z is exact."""
    z, x = draw(data, array, LABELS, LOGITS)
    z = xp.round(z * 256) / 256
    close(loss(z, x), loss(1 - z, -x))


@search
@given(data=st.data())
def test_affine_in_the_labels(array, xp, data):
    z, x = draw(data, array, LABELS, LOGITS)
    z = xp.round(z * 256) / 256
    ends = loss(xp.zeros_like(z), x), loss(xp.ones_like(z), x)
    close(loss(z, x), (1 - z) * ends[0] + z * ends[1])


@search
@given(data=st.data())
def test_elements_are_independent_of_their_place(array, xp, data):
    z, x = draw(data, array, LABELS, LOGITS)
    turned = loss(xp.flip(z), xp.flip(x)) if x.ndim else loss(z, x)
    close(xp.flip(turned) if x.ndim else turned, loss(z, x))


@search
@given(data=st.data(), factor=st.sampled_from([0.25, 0.5, 2.0, 8.0]))
def test_linear_in_the_weights(array, data, factor):
    z, x, w = draw(data, array, LABELS, (-50, 50), (0.125, 4))
    for reduction in (Reduction.SUM, Reduction.SUM_OVER_BATCH_SIZE, Reduction.NONE):
        scaled = sigmoid_cross_entropy(z, x, w * factor, reduction=reduction)
        close(scaled, factor * sigmoid_cross_entropy(z, x, w, reduction=reduction))
    mean = sigmoid_cross_entropy(z, x, w, reduction=Reduction.MEAN)
    close(sigmoid_cross_entropy(z, x, w * factor, reduction=Reduction.MEAN), mean)


# --- of every loss in the table -----------------------------------------------

few = settings(max_examples=5)


def rows(data: st.DataObject, loss: Any) -> tuple[Any, Any, Any]:
    """Labels, logits and weights of three rows of three classes, as NumPy has them."""
    number = 3  # always: compilers compile for each shape
    whole = st.lists(st.integers(-40, 40), min_size=3 * number, max_size=3 * number)
    x = np.reshape(data.draw(whole), (number, 3)) / 4.0
    z = np.abs(np.reshape(data.draw(whole), (number, 3))) / 40.0
    if loss.class_numbers:
        z = np.asarray([data.draw(st.integers(0, 2)) for _ in range(number)])
    w = 0.25 + np.arange(number) % 3
    return z, x, w if loss.over_classes else w[:, None]


def made(xp: Any, array: Any, loss: Any, z: Any, x: Any) -> dict[str, Any]:
    return {"labels": array(z, xp.int32) if loss.class_numbers else array(z), "logits": array(x)}


@few
@given(data=st.data())
@pytest.mark.parametrize(("loss", "parameters"), EACH_LOSS)
def test_rows_are_independent_of_their_place_and_not_negative(xp, array, loss, parameters, data):
    z, x, _ = rows(data, loss)
    plain = evaluate(loss, made(xp, array, loss, z, x), **parameters)
    assert np.all(as_numpy(plain) >= 0)
    turned = evaluate(loss, made(xp, array, loss, z[::-1].copy(), x[::-1].copy()), **parameters)
    close(as_numpy(turned)[::-1], plain)


@few
@given(data=st.data())
@pytest.mark.parametrize(("loss", "parameters"), EACH_LOSS)
def test_sums_are_linear_in_the_weights_and_split_into_batches(xp, array, loss, parameters, data):
    z, x, w = rows(data, loss)

    def total(rows: slice, weights: Any) -> Any:
        weighting = Weighting(array(weights[rows]), reduction=Reduction.SUM)
        arrays = made(xp, array, loss, z[rows], x[rows])
        return as_numpy(evaluate(loss, arrays, weighting=weighting, **parameters))

    whole = total(slice(None), w)
    close(total(slice(None), 2 * w), 2 * whole)
    close(total(slice(1), w) + total(slice(1, None), w), whole)
