"""A recorded formula is what was written: operations, dtypes and shapes as NumPy has them.

Each operation is there once, results that are known beforehand are numbers, and what a program
can not hold is refused rather than recorded wrongly.
"""

import operator

import numpy as np
import pytest
from table import CASES, OUTPUTS, as_tuple, has

from xbce._program import Program
from xbce._recorder import record

pytestmark = pytest.mark.backend("numpy")

FLOATS = ("float16", "float32", "float64")
ROWS = {-1: 5, -2: 4}  # what the unknown sizes are, where NumPy says what is right


def recorded(function, **inputs) -> Program:
    """The program of a formula of operands given as "dtype" or ("dtype", shape)."""
    kinds = {n: (k, (-1,)) if isinstance(k, str) else k for n, k in inputs.items()}
    kinds = {name: (np.dtype(dtype), shape) for name, (dtype, shape) in kinds.items()}

    def results(xp, operands):
        return as_tuple(function(xp, *operands.values()))

    with np.errstate(all="ignore"):  # as the engine has it
        return record(results, kinds, {})


def result(function, **inputs):
    """The value of the first result."""
    program = recorded(function, **inputs)
    return program.values[program.results[0]]


def operations(program: Program) -> list[str]:
    """What is computed, operands and numbers left out."""
    at_hand = ("input", "constant", "arange", "expand")
    return [v.operation for v in program.values if v.operation not in at_hand]


# --- what is noted ----------------------------------------------------------------


def test_equal_operations_are_noted_once():
    program = recorded(lambda xp, x: xp.exp(x) * 2 + xp.exp(x) * 2, x="float32")
    assert operations(program) == ["exp", "multiply", "add"]
    program = recorded(lambda xp, x: (xp.exp(x[..., None]), xp.exp(x)[..., None] * 1), x="float32")
    assert operations(program).count("exp") == 2  # of other shapes


def test_operations_of_other_operands_dtypes_or_options_are_apart():
    program = recorded(lambda xp, x, y: x - y + (y - x), x="float32", y="float32")
    assert operations(program) == ["subtract", "subtract", "add"]
    program = recorded(
        lambda xp, x: tuple(xp.astype(x, t) for t in (xp.int8, xp.int16)), x="float32"
    )
    assert operations(program) == ["astype", "astype"]
    both = ("float32", (-1, 3))
    program = recorded(lambda xp, x: (xp.sum(x), xp.sum(x, axis=-1)), x=both)
    assert operations(program) == ["sum", "sum"]
    program = recorded(lambda xp, x: (xp.sum(x), xp.sum(x, dtype=xp.float64)), x=both)
    assert [program.values[n].dtype for n in program.results] == ["float32", "float64"]


@pytest.mark.parametrize(("one", "other"), [(0.0, -0.0), (1.0, float("nan")), (2.0, -2.0)])
def test_numbers_that_are_not_the_same_are_kept_apart(one, other):
    program = recorded(lambda xp, x: (x + one, x + other), x="float64")
    numbers = [value.option for value in program.values if value.operation == "constant"]
    assert list(map(repr, numbers)) == [repr(one), repr(other)]


def test_nan_is_noted_once():
    program = recorded(lambda xp, x: (x + float("nan")) * float("nan"), x="float64")
    assert sum(value.operation == "constant" for value in program.values) == 1


def test_numbers_of_the_call_are_part_of_the_program():
    def function(xp, operands):
        return (operands["x"] * operands["q"] if operands["q"] != 1 else -operands["x"],)

    kinds = {"x": (np.dtype("float32"), (-1,))}
    assert operations(record(function, kinds, {"q": 2.0})) == ["multiply"]
    assert operations(record(function, kinds, {"q": 1.0})) == ["negative"]


# --- what is known beforehand -----------------------------------------------------


def test_zero_times_what_is_bounded_is_zero():
    for mask in (lambda xp, m: xp.astype(m, xp.float32), lambda xp, m: 3 - 2.0 * (m + 1.0)):
        program = recorded(lambda xp, m, mask=mask: 0 * mask(xp, m) + 1.5, m="bool")
        value = program.values[program.values[program.results[0]].operands[0]]
        assert (value.operation, value.option) == ("constant", 1.5)


@pytest.mark.parametrize(
    "factor",
    [
        lambda xp, x, m: x,
        lambda xp, x, m: xp.exp(x),
        lambda xp, x, m: xp.where(m, x, 1.0),
        lambda xp, x, m: m / 2.0,
        lambda xp, x, m: m * float("inf"),
        lambda xp, x, m: m + float("nan"),
        lambda xp, x, m: xp.astype(m, xp.float32) - float("inf"),
    ],
)
def test_zero_times_what_may_be_infinite_or_nan_is_not_known(factor):
    program = recorded(lambda xp, x, m: 0 * factor(xp, x, m), x="float32", m="bool")
    assert program.values[program.results[0]].operation == "multiply"


@pytest.mark.parametrize(
    "factor",
    [
        lambda xp, m: xp.astype(m, xp.float16) * 60000.0 * 2.0,
        lambda xp, m: xp.astype(m, xp.float16) * 60000.0 + 60000.0,
        lambda xp, m: xp.astype(m, xp.float32) * 1e38 * 10.0,
        lambda xp, m: xp.astype(xp.astype(m, xp.float64) * 1e30, xp.float32) * 1e10,
        lambda xp, m: xp.astype(xp.astype(m, xp.float64) * 1e30, xp.float16),
    ],
)
def test_zero_times_what_overflows_in_its_dtype_is_not_known(factor):
    program = recorded(lambda xp, m: 0 * factor(xp, m), m="bool")
    assert program.values[program.results[0]].operation == "multiply"


def test_sums_and_products_of_numbers_are_computed_once_in_their_dtype():
    program = recorded(lambda xp, x: x * (xp.ones_like(x) * 0.1 + 0.2 - 3), x="float32")
    assert operations(program) == ["multiply"]
    number = program.values[program.values[program.results[0]].operands[1]].option
    assert number == np.float32(0.1) * np.float32(1) + np.float32(0.2) - np.float32(3)
    program = recorded(lambda xp, x: x + (xp.ones_like(x) * 60000 + 60000), x="float16")
    assert np.inf in [value.option for value in program.values]


def test_casts_of_numbers_are_numbers():
    program = recorded(lambda xp, x: x + xp.astype(xp.ones_like(x) * 0.1, xp.float16), x="float32")
    assert operations(program) == ["add"]
    assert np.float16(0.1) in [value.option for value in program.values]


# --- dtypes and shapes --------------------------------------------------------------

DTYPES = ("bool", "int8", "int32", "int64", "uint8", "float16", "float32", "float64")
SYMBOLIC = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "equal": operator.eq,
    "not_equal": operator.ne,
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
}


@pytest.mark.parametrize("name", SYMBOLIC)
def test_dtypes_are_those_of_numpy(name):
    function = SYMBOLIC[name]
    for first in DTYPES:
        a = np.ones(3, first)
        for other in [*DTYPES, 2, 0.5, True, np.float32(0.5), np.float64(0.5), np.int16(2)]:
            array = np.ones(3, other) if isinstance(other, str) else other
            if name == "subtract" and a.dtype == np.asarray(array).dtype == bool:
                continue  # which NumPy refuses
            expected = function(a, array).dtype, function(array, a).dtype
            if isinstance(other, str):
                found = [result(lambda xp, x, y: function(x, y), x=first, y=other)]
                found += [result(lambda xp, x, y: function(y, x), x=first, y=other)]
            else:
                found = [result(lambda xp, x, o=other: function(x, o), x=first)]
                found += [result(lambda xp, x, o=other: function(o, x), x=first)]
            assert tuple(v.dtype for v in found) == expected, (first, other)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_of_functions_are_those_of_numpy(dtype):
    x, m = np.ones((4, 3), dtype), np.ones((4, 3), bool)
    shaped = {"x": (dtype, (-1, 3)), "m": ("bool", (-1, 3))}
    for function in [
        lambda xp, x, m: xp.exp(x),
        lambda xp, x, m: xp.log1p(x),
        lambda xp, x, m: xp.isinf(x),
        lambda xp, x, m: xp.isnan(x),
        lambda xp, x, m: xp.where(m, x, 0.5),
        lambda xp, x, m: xp.where(m, 1, x),
        lambda xp, x, m: xp.where(m, x, m),
        lambda xp, x, m: xp.where(m, 1.0, 0),
        lambda xp, x, m: xp.maximum(x, 1),
        lambda xp, x, m: xp.argmax(x, axis=-1),
        lambda xp, x, m: xp.zeros_like(x) * 1.5,
        lambda xp, x, m: xp.ones_like(x, dtype=xp.float16) + x,
        lambda xp, x, m: xp.sum(x, axis=-1),
        lambda xp, x, m: xp.sum(x, dtype=xp.float64),
        lambda xp, x, m: xp.sum(x),
        lambda xp, x, m: x**2.0,
    ]:
        try:
            found = result(function, **shaped)
        except (NotImplementedError, AttributeError, TypeError):
            continue  # it is run as it is
        assert found.dtype == np.asarray(function(np, x, m)).dtype, found


SHAPES = [(-1, -2), (-1, 1), (1, -2), (1, 1), (-2,), (1,), ()]


@pytest.mark.parametrize("first", SHAPES)
@pytest.mark.parametrize("second", SHAPES)
def test_shapes_stretch_as_those_of_numpy(first, second):
    def function(xp, x, y):
        views = (x - y)[..., None] * 2, x[..., None] + 1, y[..., None][..., 0] * 2
        return x * y, xp.where(x > y, x, 1.5), *views, (x - y)[..., None][..., :1]

    program = recorded(function, x=("float32", first), y=("float32", second))
    a, b = (np.ones([ROWS.get(n, n) for n in shape], "float32") for shape in (first, second))
    for number, right in zip(program.results, function(np, a, b), strict=True):
        shape = tuple(ROWS.get(n, n) for n in program.values[number].shape)
        assert shape == right.shape


# --- results ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        lambda xp, x: (x,),
        lambda xp, x: (x, x),
        lambda xp, x: (x[..., None], x[..., None]),
        lambda xp, x: (xp.exp(x)[..., 0], xp.exp(x)[..., :1], xp.exp(x)),
        lambda xp, x: (xp.ones_like(x), xp.ones_like(x)),
        lambda xp, x: (xp.exp(x),) * 4,
        lambda xp, x: (xp.exp(x), xp.exp(x)[..., None]),
        lambda xp, x: (xp.sum(x), xp.sum(x)),
    ],
)
def test_each_result_is_an_array_of_its_own(function):
    program = recorded(function, x="float32")
    made = [program.values[number].operation for number in program.results]
    assert len(set(program.results)) == len(program.results)
    assert not {"input", "constant", "expand", "arange"}.intersection(made)


@pytest.mark.parametrize(
    "function",
    [
        lambda xp, x: x[0],
        lambda xp, x: x[:, None],
        lambda xp, x: x[..., 1],
        lambda xp, x: x[..., :2],
        lambda xp, x: x[x > 0],
        lambda xp, x: x if x[..., None] > 0 else -x,
        lambda xp, x: x * float(xp.sum(x)),
        lambda xp, x: xp.sum(x, axis=0),
        lambda xp, x: xp.sum(x, axis=(0, 1)),
        lambda xp, x: xp.argmax(x, axis=0),
        lambda xp, x: xp.take_along_axis(x, xp.argmax(x)[..., None], axis=0),
        lambda xp, x: xp.clip(x, 0, 1),
        lambda xp, x: xp.concat([x, x]),
        lambda xp, x: x.sum(),
        lambda xp, x: x.T,
        lambda xp, x: operator.setitem(x, 0, 1.0),
        lambda xp, x: list(x),
        lambda xp, x: abs(x),
        lambda xp, x: x @ x,
        lambda xp, x: x * np.arange(3.0),
    ],
)
def test_what_can_not_be_recorded_is_refused(function):
    with pytest.raises((NotImplementedError, AttributeError, TypeError)):
        recorded(function, x=("float64", (-1, 3)))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("loss", "parameters"), CASES)
def test_every_loss_can_be_recorded(loss, parameters, dtype):
    classes, rows = 7, (-1, 7) if loss.over_classes else (-1, -2)
    labels = ("int32", (-1,)) if loss.class_numbers else (dtype, rows)
    for output in [output for output in OUTPUTS if has(loss, output)]:
        formula = loss.formula(output)

        def found(xp, labels, logits, formula=formula):
            numbers = {"class_numbers": xp.arange(classes, dtype=xp.int64)}
            more = parameters | (numbers if loss.over_classes else {})
            return formula(xp, labels, logits, **more)

        program = recorded(found, labels=labels, logits=(dtype, rows))
        values = [program.values[number] for number in program.results]
        assert {value.dtype for value in values} == {np.dtype(dtype)}
        first = rows[:-1] if loss.over_classes and output.startswith("value") else rows
        assert values[0].shape == first
