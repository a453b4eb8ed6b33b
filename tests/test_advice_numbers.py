"""Numbers that are none or out of bounds, and what is no reduction: errors say what is taken."""

import re
from collections import OrderedDict
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction

import numpy as np
import pytest
from arguments import CLIPPED, FOCAL, flat, good, message, with_parameter

from xbce import losses

numpy_only = pytest.mark.backend("numpy")


# --- the numbers of the focal and the asymmetric loss -----------------------------------------


@pytest.mark.backend("jax")
@pytest.mark.parametrize("function", CLIPPED)
def test_a_traced_clip_is_to_be_static(function):
    jax = pytest.importorskip("jax")
    arguments = good(function, jax.numpy.asarray)
    texts = []

    def traced(value):
        texts.append(message(TypeError, function, **arguments, clip=value))
        return value

    jax.jit(traced)(0.5)
    assert "`clip`" in texts[0]
    assert "static_argnames" in texts[0]
    static = jax.jit(function, static_argnames="clip")
    plain = function(**arguments, clip=0.5)
    np.testing.assert_allclose(flat(static(**arguments, clip=0.5)), flat(plain), rtol=1e-5)


NO_NUMBERS = {
    "array": np.ones(2),
    "array of one": np.ones(1),
    "empty array": np.ones(0),
    "list": [0.5],
    "str": "0.5",
    "Decimal": Decimal("0.5"),
}


@numpy_only
@pytest.mark.parametrize("bad", NO_NUMBERS.values(), ids=NO_NUMBERS)
@pytest.mark.parametrize("function", CLIPPED)
def test_a_clip_is_a_number(function, bad):
    text = message(TypeError, function, **good(function), clip=bad)
    assert "`clip`" in text
    assert "number" in text
    assert type(bad).__name__ in text


@pytest.mark.parametrize("function", CLIPPED)
def test_a_clip_is_no_array(array, function):
    """The formula takes it for a constant, which an array of a compiler is not."""
    if isinstance(array(0.5), np.ndarray):
        pytest.skip("of rank 0, NumPy's own are numbers")
    for bad in (array(0.5), array([0.5, 0.5])):
        text = message(TypeError, function, **good(function), clip=bad)
        assert "`clip`" in text
        assert "number" in text


@numpy_only
@pytest.mark.parametrize("argument", ["alpha", "gamma"])
@pytest.mark.parametrize("function", FOCAL)
def test_scalars_of_numpy_are_numbers(function, argument):
    expected = flat(function(**good(function), **{argument: 1.0}))
    for one in (1, np.float32(1), np.float64(1), np.int64(1), np.array(1.0), np.array(1)):
        np.testing.assert_array_equal(flat(function(**good(function), **{argument: one})), expected)


@numpy_only
@pytest.mark.parametrize("bad", [-1, -1.0, -0.25, 1.5, 2, np.nan, np.inf, -np.inf, np.float32(-1)])
@pytest.mark.parametrize("function", FOCAL)
def test_alpha_is_from_0_to_1(function, bad):
    text = message(ValueError, function, **good(function), alpha=bad)
    assert "`alpha`" in text
    assert str(float(bad)).removesuffix(".0") in text
    if bad == -1:  # what torchvision takes for "off"
        assert "None" in text


@numpy_only
@pytest.mark.parametrize("alpha", [0, 1, 0.25, None])
@pytest.mark.parametrize("function", FOCAL)
def test_the_ends_of_alpha_and_none_are_taken(function, alpha):
    assert np.all(np.isfinite(flat(function(**good(function), alpha=alpha))))


@numpy_only
@pytest.mark.parametrize("bad", [-1, -0.5, np.nan, np.inf, -np.inf, np.float32(np.nan)])
@pytest.mark.parametrize("function", FOCAL)
def test_gamma_is_0_or_more_and_finite(function, bad):
    text = message(ValueError, function, **good(function), gamma=bad)
    assert "`gamma`" in text
    assert str(float(bad)).removesuffix(".0") in text


# --- label smoothing ------------------------------------------------------------


@numpy_only
@pytest.mark.parametrize("bad", [np.nan, np.inf, np.float32(np.nan), np.array(np.nan)])
@pytest.mark.parametrize("function", with_parameter("label_smoothing"))
def test_label_smoothing_is_finite(function, bad):
    text = message(ValueError, function, **good(function), label_smoothing=bad)
    assert "`label_smoothing`" in text
    assert str(float(bad)) in text


# --- numbers --------------------------------------------------------------------


class Two(IntEnum):
    """An int that is not of type int."""

    TWO = 2


class Float(float):
    """A float that is not of type float."""


NUMBERS = [2, 2.0, np.float16(2), np.float32(2), np.longdouble(2), np.int8(2), Two.TWO, Float(2)]
PLACES_OF_NUMBERS = [
    pytest.param(function, argument, id=f"{function.__name__}-{argument}")
    for argument in ("weights", "pos_weight", "label_smoothing")
    for function in with_parameter(argument)
]


@numpy_only
@pytest.mark.parametrize("argument", ["weights", "pos_weight"])
def test_every_real_number_of_python_and_numpy_is_taken(argument):
    function = losses.sigmoid_cross_entropy
    expected = function(**good(function), **{argument: 2.0})
    for number in (*NUMBERS, np.array(2.0), np.array(2)):
        assert function(**good(function), **{argument: number}) == expected


@numpy_only
@pytest.mark.parametrize("argument", ["weights", "pos_weight"])
def test_truth_values_are_the_numbers_0_and_1(argument):
    function = losses.sigmoid_cross_entropy
    for truth in (True, False, np.bool_(True), np.bool_(False)):
        expected = function(**good(function), **{argument: float(truth)})
        assert function(**good(function), **{argument: truth}) == expected


@numpy_only
@pytest.mark.parametrize("bad", [Decimal("0.5"), Fraction(1, 2)], ids=["Decimal", "Fraction"])
@pytest.mark.parametrize(("function", "argument"), PLACES_OF_NUMBERS)
def test_other_real_numbers_are_to_become_floats(function, argument, bad):
    text = message(TypeError, function, **{**good(function), argument: bad})
    assert f"`{argument}`" in text
    assert type(bad).__name__ in text
    assert f"float({argument})" in text
    assert "asarray" not in text  # an array of objects would be refused too


@numpy_only
@pytest.mark.parametrize("bad", ["0.5", b"0.5", np.str_("0.5"), np.array("0.5")], ids=repr)
@pytest.mark.parametrize(("function", "argument"), PLACES_OF_NUMBERS)
def test_text_is_no_number(function, argument, bad):
    text = message(TypeError, function, **{**good(function), argument: bad})
    assert f"`{argument}`" in text
    assert "number" in text
    assert "asarray" not in text  # an array of text would be refused too


# --- reductions -----------------------------------------------------------------

NO_REDUCTIONS = {
    "array": np.ones(2),
    "array of str": np.array(["none", "weighted_sum"]),
    "empty array": np.ones(0),
    "list": ["none"],
    "dict": {},
    "OrderedDict": OrderedDict(),
    "None": None,
    "int": 1,
    "bytes": b"none",
    "class": losses.Reduction,
}


@numpy_only
@pytest.mark.parametrize("bad", NO_REDUCTIONS.values(), ids=NO_REDUCTIONS)
@pytest.mark.parametrize("function", with_parameter("reduction"))
def test_what_is_no_reduction_is_an_invalid_key(function, bad):
    text = message(ValueError, function, **good(function), reduction=bad)
    assert text.startswith("Invalid Reduction Key")
    assert all(f"'{key}'" in text for key in losses.Reduction.all())
    with pytest.raises(ValueError, match=r"^Invalid Reduction Key"):
        losses.Reduction.validate(bad)


def test_an_array_is_no_reduction(array):
    for function in with_parameter("reduction"):
        for bad in (array([1.0, 1.0]), array(1.0)):
            text = message(ValueError, function, **good(function), reduction=bad)
            assert text.startswith("Invalid Reduction Key")


@numpy_only
@pytest.mark.parametrize(
    ("key", "ours"),
    [
        ("mean", "weighted_sum_over_batch_size"),
        ("sum_over_batch_size", "weighted_sum_over_batch_size"),
        ("sum", "weighted_sum"),
        ("mean_with_sample_weight", "weighted_mean"),
        (None, "none"),
    ],
)
@pytest.mark.parametrize("function", with_parameter("reduction"))
def test_the_reductions_of_pytorch_and_keras_are_told_their_names_here(function, key, ours):
    text = message(ValueError, function, **good(function), reduction=key)
    assert text.startswith(f"Invalid Reduction Key {key}. Key should be one of (")
    hint = text.partition(").")[2]
    assert re.search(rf"\b{ours}\b", hint), text
