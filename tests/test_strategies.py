"""Labels and logits that hypothesis draws, `xbce.testing.strategies`."""

import subprocess
import sys

import numpy as np
import pytest
from helpers import examples, smallest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from xbce import _arguments, _backends
from xbce.testing import as_numpy
from xbce.testing.strategies import labels_and_logits

few = settings(max_examples=10)
search = settings(max_examples=60, database=None, phases=[Phase.generate])
numpy_only = pytest.mark.backend("numpy")


def smallest_normal(dtype):
    """The dtype by its name; bfloat16 has the exponents of float32."""
    name = _arguments.name_of(dtype)
    return float(np.finfo("float32" if name == "bfloat16" else name).smallest_normal)


def subnormal(array, dtype):
    numbers = np.abs(as_numpy(array))
    return bool(np.any((numbers > 0) & (numbers < smallest_normal(dtype))))


def can_be_found(strategy, condition):
    try:
        find(strategy, condition, settings=search)
    except NoSuchExample:
        return False
    return True


# --- on each library


@few
@given(data=st.data())
def test_two_arrays_of_the_library_have_one_shape_and_the_dtype(xp, dtype, data):
    labels, logits = data.draw(labels_and_logits(xp, dtype=dtype))
    for array in (labels, logits):
        assert _arguments.namespace_of(array).__name__ == xp.__name__
        assert array.dtype == dtype
    assert tuple(labels.shape) == tuple(logits.shape)
    assert labels.ndim <= 3
    assert all(1 <= size <= 4 for size in labels.shape)


@few
@given(data=st.data())
def test_labels_are_in_0_to_1_and_logits_are_finite(xp, dtype, data):
    labels, logits = map(as_numpy, data.draw(labels_and_logits(xp, dtype=dtype)))
    assert np.all((labels >= 0) & (labels <= 1))
    assert np.all(np.isfinite(logits))


@few
@given(data=st.data())
def test_hard_labels_and_a_largest_logit(xp, dtype, data):
    pair = data.draw(labels_and_logits(xp, dtype=dtype, max_logit=0.3, soft=False))
    labels, logits = map(as_numpy, pair)
    assert np.all((labels == 0) | (labels == 1))
    assert np.all(np.abs(logits) <= 0.3)


def test_subnormal_numbers_are_drawn_unless_the_library_takes_them_for_0(xp, dtype):
    name = _arguments.name_of(dtype)
    flushes = _backends.of(xp).flushes
    expected = name not in flushes and (name, "float32" in flushes) != ("bfloat16", True)
    strategy = labels_and_logits(xp, dtype=dtype, shape=(1,))  # in which rare ones are not found
    for i in (0, 1):
        assert can_be_found(strategy, lambda pair, i=i: subnormal(pair[i], dtype)) == expected


@few
@given(data=st.data())
def test_no_number_is_taken_for_0(xp, dtype, data):
    for array in data.draw(labels_and_logits(xp, dtype=dtype, shape=(9,), max_logit=1e4)):
        np.testing.assert_array_equal(as_numpy(array) == 0, as_numpy(array * 2) == 0)


def test_it_shrinks_to_zeros_in_a_small_shape(xp):
    labels, logits = find(labels_and_logits(xp), lambda pair: True)
    assert as_numpy(labels).shape == ()
    assert as_numpy(labels) == as_numpy(logits) == 0
    _, logits = find(labels_and_logits(xp), lambda pair: pair[1].ndim > 1)
    np.testing.assert_array_equal(as_numpy(logits), [[0]])


# --- how often, and how small


@numpy_only
@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_labels_are_hard_half_of_the_time_and_as_often_close_to_1_as_to_0(name):
    pairs = [pair for i in range(4) for pair in examples(labels_and_logits(np, dtype=name), 200, i)]
    labels, logits = (np.concatenate([pair[k].ravel() for pair in pairs]) for k in (0, 1))
    labels, tiny = labels.astype(float), float(np.finfo(name).smallest_normal)
    assert 0.2 < np.mean(labels == 0) < 0.55
    assert 0.12 < np.mean(labels == 1) < 0.35
    assert 0.01 < np.mean((labels > 0) & (labels < tiny)) < 0.15
    near_0, near_1 = (np.mean((d >= tiny) & (d < 0.01)) for d in (labels, 1 - labels))
    assert near_0 > 0.03
    assert near_1 > 0.03
    assert 0.5 < near_0 / near_1 < 2
    eps = float(np.finfo(name).eps)
    assert np.any((labels < 1) & (labels > 1 - 2 * eps))
    assert np.mean((labels > 0.01) & (labels < 0.99)) > 0.08
    sizes = np.abs(logits)
    assert 0.1 < np.mean((sizes > 0) & (sizes < tiny)) < 0.35
    assert all(np.mean(np.sign(logits[sizes > 3]) == sign) > 0.3 for sign in (-1, 1))


@numpy_only
@pytest.mark.parametrize("start", range(3))
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("label", [0, 1])
def test_a_hard_label_of_either_side_meets_a_logit_of_either_sign(label, sign, start):
    pairs = examples(labels_and_logits(np), 100, start)
    assert any(np.any((labels == label) & (sign * logits > 3)) for labels, logits in pairs)


@numpy_only
@pytest.mark.parametrize("start", range(3))
@pytest.mark.parametrize("label", [0, 1])
def test_one_bad_element_is_found_in_the_smallest_shape(label, start):
    labels, logits = smallest(
        labels_and_logits(np), lambda pair: np.any((pair[0] == label) & (pair[1] > 3)), start
    )
    assert labels.shape in ((), (1,))
    assert (float(labels.sum()), float(logits.sum())) == (label, 4)


@numpy_only
def test_the_elements_that_do_not_matter_are_zeros():
    labels, logits = smallest(
        labels_and_logits(np, shape=(3,)), lambda pair: pair[0][1] == 1 and pair[1][1] < 0, 0
    )
    np.testing.assert_array_equal(labels, [0, 1, 0])
    np.testing.assert_array_equal(logits[[0, 2]], [0, 0])


@numpy_only
def test_many_elements_are_more_than_one_again_and_again():
    pairs = examples(labels_and_logits(np, shape=(1000,)), 20, 0)
    assert np.median([len(np.unique(logits)) for _, logits in pairs]) > 20


# --- what can be chosen

SPECIAL = [np.isposinf, np.isneginf, np.isnan]


@numpy_only
@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
@pytest.mark.parametrize("is_special", SPECIAL)
def test_special_logits_are_drawn_only_where_they_are_asked_for(name, is_special):
    for specials in (False, True):
        strategy = labels_and_logits(np, dtype=name, shape=(4,), specials=specials)
        assert can_be_found(strategy, lambda pair: bool(np.any(is_special(pair[1])))) == specials
        assert not can_be_found(strategy, lambda pair: not np.all(np.isfinite(pair[0])))


@numpy_only
def test_shapes_are_given_or_drawn():
    for shape in ((), (0, 3), (2, 1), (30, 30)):
        given = labels_and_logits(np, shape=shape)
        assert can_be_found(given, lambda pair, shape=shape: pair[0].shape == shape)
        assert not can_be_found(given, lambda pair, shape=shape: pair[1].shape != shape)
    drawn = labels_and_logits(np, shape=st.sampled_from([(5,), (2, 2)]))
    assert can_be_found(drawn, lambda pair: pair[0].shape == (2, 2))
    assert not can_be_found(drawn, lambda pair: pair[0].shape not in [(5,), (2, 2)])


@numpy_only
@pytest.mark.parametrize("ndim", range(4))
def test_each_number_of_dimensions_is_drawn(ndim):
    assert can_be_found(labels_and_logits(np), lambda pair: pair[0].ndim == ndim)


@numpy_only
@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_all_of_the_range_is_drawn(name):
    info = np.finfo(name)
    strategy = labels_and_logits(np, dtype=name, shape=(40,))
    for condition in (
        lambda labels, logits: np.any((labels > 0) & (labels < 1)),
        lambda labels, logits: np.any(labels == 1),
        lambda labels, logits: np.any(logits > info.max / 256),
        lambda labels, logits: np.any(logits < -info.max / 256),
        lambda labels, logits: np.any((np.abs(logits) > 4) & (np.abs(logits) < 64)),
        lambda labels, logits: np.any(logits % 1 != 0),
    ):
        assert can_be_found(strategy, lambda pair, holds=condition: bool(holds(*pair)))


@numpy_only
@pytest.mark.parametrize(
    ("given", "largest"), [(0, 0), (1e-45, 1e-45), (1 / 3, 1 / 3), (1e6, 65504)]
)
def test_the_largest_logit_is_rounded_towards_0(given, largest):
    strategy = labels_and_logits(np, dtype="float16", shape=(40,), max_logit=given)
    assert not can_be_found(strategy, lambda pair: bool(np.any(np.abs(pair[1]) > largest)))
    if given > 0.1:
        assert can_be_found(strategy, lambda pair: bool(np.any(pair[1] > largest / 2)))


@numpy_only
def test_a_library_may_be_given_without_its_wrapper():
    labels, _ = find(labels_and_logits(np, dtype=np.dtype("float64")), lambda pair: True)
    assert type(labels) is np.ndarray
    assert labels.dtype == "float64"


@numpy_only
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"dtype": "int32"}, ValueError, "must be one of float16, .* got int32"),
        ({"dtype": "bfloat16"}, TypeError, "numpy has no bfloat16"),
        ({"max_logit": -1}, ValueError, "at least 0; got -1"),
        ({"max_logit": float("nan")}, ValueError, "at least 0; got nan"),
    ],
)
def test_what_can_not_be_drawn_is_told(arguments, error, message):
    with pytest.raises(error, match=message):
        labels_and_logits(np, **arguments)


@pytest.mark.backend("jax")
def test_a_dtype_that_is_switched_off_is_told():
    jax = pytest.importorskip("jax")
    with jax.enable_x64(False), pytest.raises(TypeError, match="jax has no float64 here"):
        labels_and_logits(jax.numpy, dtype="float64")


@numpy_only
def test_it_says_how_to_install_hypothesis():
    code = "import sys; sys.modules['hypothesis'] = None; import xbce.testing.strategies"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "ImportError: xbce.testing.strategies needs hypothesis" in done.stderr
    assert "pip install xbce[testing]" in done.stderr
