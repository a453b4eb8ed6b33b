"""A number that is an argument leaves its program as it is, whatever its value."""

from dataclasses import replace
from math import log

import numpy as np
import pytest

from xbce._losses import FOCAL
from xbce._numbers import Argument
from xbce._program import Program
from xbce._recorder import record

pytestmark = pytest.mark.backend("numpy")

FLOAT32 = np.dtype("float32")


def recorded(function, *numbers):
    """The program of ``function(xp, x, *numbers)``."""
    names = [f"n{place}" for place in range(len(numbers))]
    arguments = {name: Argument(n, name) for name, n in zip(names, numbers, strict=True)}

    def called(xp, operands):
        result = function(xp, operands["x"], *[operands[name] for name in names])
        return result if isinstance(result, tuple) else (result,)

    return record(called, {"x": (FLOAT32, (-1,))}, arguments)


def without_values(program):
    """The program, but for the values of its arguments."""
    left = [v._replace(option=None) if v.operation == "argument" else v for v in program.values]
    return Program(tuple(left), program.results)


def arguments(program):
    return [float(v.option) for v in program.values if v.operation == "argument"]


OPERATIONS = [
    *(lambda n: n + 1, lambda n: 1 + n, lambda n: n - 1, lambda n: 1 - n),
    *(lambda n: n * 3, lambda n: 3 * n, lambda n: n / 3, lambda n: 3 / n),
    *(lambda n: n**2, lambda n: 2**n, lambda n: -n, lambda n: n * n, lambda n: n - 2 * n),
]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_arithmetic_makes_other_arguments(operation):
    programs = [recorded(lambda xp, x, n: x + operation(n), n) for n in (2.0, 0.375)]
    assert without_values(programs[0]) == without_values(programs[1])
    found = [arguments(program) for program in programs]
    assert found == [[np.float32(operation(n))] for n in (2.0, 0.375)]


@pytest.mark.parametrize(
    "operation",
    [
        *(lambda x, n: x + n, lambda x, n: n + x, lambda x, n: x - n, lambda x, n: n - x),
        *(lambda x, n: x * n, lambda x, n: n * x, lambda x, n: x / n, lambda x, n: n / x),
        *(lambda x, n: x**n, lambda x, n: n**x, lambda x, n: x > n, lambda x, n: n >= x),
    ],
)
def test_beside_an_array_it_is_of_the_dtype_of_that(operation):
    program = recorded(lambda xp, x, n: operation(x, n), 0.1)
    (argument,) = [value for value in program.values if value.operation == "argument"]
    assert argument.dtype == FLOAT32
    assert argument.option == 0.1


def test_arguments_of_equal_values_are_not_taken_for_each_other():
    def function(xp, x, n, m):
        return x * n, x * (1 - n), x + m, x + 0.5

    equal, others = recorded(function, 0.5, 0.5), recorded(function, 0.25, 3.0)
    assert without_values(equal) == without_values(others)


def test_what_is_made_in_different_ways_is_different():
    def function(xp, x, n, m):
        return tuple(x * made for made in (n + 2, n + 3, n + m, n + n, 2 - n, n - 2, n * -m, n * m))

    assert arguments(recorded(function, 0.5, 7.0)) == [2.5, 3.5, 7.5, 1.0, 1.5, -1.5, -3.5, 3.5]


@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, float("inf"), float("nan")])
def test_no_value_is_known_beforehand(value):
    """0 times something, or a factor of 1, would be left out of the program."""

    def function(xp, x, n):
        return x * n + n * xp.astype(x > 0, x.dtype)

    assert without_values(recorded(function, value)) == without_values(recorded(function, 0.3))


def test_a_formula_may_look_at_its_value():
    def function(xp, x, n):
        return x * n if n >= 2 else x + max(n, 1.0)

    assert without_values(recorded(function, 2.0)) == without_values(recorded(function, 7.0))
    assert without_values(recorded(function, 2.0)) != without_values(recorded(function, 1.5))


def test_what_other_functions_make_of_it_is_part_of_the_program():
    """So that no value of another call can stand in it."""

    def function(xp, x, n):
        return x * log(n) * n

    one, other = recorded(function, 2.0), recorded(function, 3.0)
    assert without_values(one) != without_values(other)
    assert [v.option for v in one.values if v.operation == "constant"] == [np.float32(log(2.0))]


def test_the_focal_loss_has_one_program_for_all_gammas_from_2_on():
    def function(xp, x, gamma, alpha):
        return FOCAL.value_and_gradient(xp, 0 * x + 0.25, x, gamma=gamma, alpha=alpha)

    programs = [
        without_values(recorded(function, gamma, alpha))
        for gamma in (2.0, 2.5, 3.0, 10.0, 1e9)
        for alpha in (0.25, 0.5, 0.9)
    ]
    assert all(program == programs[0] for program in programs)


def test_it_is_a_number_like_any_other():
    n = Argument(0.75, "n")
    assert n == 0.75
    assert isinstance(n, float)
    assert replace(FOCAL, max_ulp=(n, n)).max_ulp == (0.75, 0.75)
    assert f"{1 - n}" == "0.25"
