"""Each line of C gives what NumPy gives, of every dtype it takes, at zeros, infinities and NaN."""

from functools import partial

import numpy as np
import pytest

pytestmark = pytest.mark.backend("cupy")
cupy = pytest.importorskip("cupy")
if not cupy.cuda.is_available():
    pytest.skip("cupy: no CUDA GPU here, and no emulator", allow_module_level=True)

from xbce._engines import _cupy_lines  # noqa: E402
from xbce._engines._cupy import _compiled  # noqa: E402
from xbce._engines._cupy_source import element_wise  # noqa: E402
from xbce._recorder import record  # noqa: E402

FLOATS = [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 2.5, -2.5, 1e-30, 1e30, 88.0, np.inf, -np.inf, np.nan]
WHOLE = [0, 1, 2, 3, 100, 127]
DTYPES = [name for name in _cupy_lines._TYPES if name != "float16"]


def values(dtype):
    kind = np.dtype(dtype).kind
    if kind == "b":
        return np.array([True, False])
    if kind == "f":
        return np.array(FLOATS, dtype)
    return np.array(WHOLE + ([-1, -100] if kind == "i" else []), dtype)


def pairs(a, b):
    """Each of the values beside each other."""
    return [array.ravel() for array in np.meshgrid(a, b)]


def check(functions, *operands, ulp=0):
    """Hold what one kernel gives of some functions to what NumPy gives."""
    program = record(
        lambda xp, found: tuple(function(xp, *found.values()) for function in functions.values()),
        {f"a{n}": (array.dtype, (-1,)) for n, array in enumerate(operands)},
        {},
    )
    named = {f"a{n}": cupy.asarray(array) for n, array in enumerate(operands)}
    kernel = _compiled(element_wise(program), "lines")
    inputs = [value.option for value in program.values if value.operation == "input"]
    results = kernel(*[named[name] for name in inputs])
    for (name, function), result in zip(functions.items(), results, strict=True):
        with np.errstate(all="ignore"):
            wanted = function(np, *operands)
        assert result.dtype == wanted.dtype, name
        eps, tiny = 0, 0
        if wanted.dtype.kind == "f":
            # Below the smallest normal number CuPy takes those of float32 for 0.
            eps, tiny = ulp * np.finfo(wanted.dtype).eps, np.finfo(wanted.dtype).tiny
        np.testing.assert_allclose(result.get(), wanted, eps, tiny, err_msg=name)


ARITHMETIC = {
    "add": lambda xp, a, b: a + b,
    "subtract": lambda xp, a, b: a - b,
    "multiply": lambda xp, a, b: a * b,
    "divide": lambda xp, a, b: a / b,
}
COMPARISONS = {
    "equal": lambda xp, a, b: a == b,
    "not_equal": lambda xp, a, b: a != b,
    "less": lambda xp, a, b: a < b,
    "less_equal": lambda xp, a, b: a <= b,
    "greater": lambda xp, a, b: a > b,
    "greater_equal": lambda xp, a, b: a >= b,
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_operators_of_floats(dtype):
    check(ARITHMETIC | COMPARISONS, *pairs(values(dtype), values(dtype)))


@pytest.mark.parametrize("second", ["bool", "uint8", "int32", "int64", "float32"])
@pytest.mark.parametrize("first", ["bool", "int8", "uint16", "int32", "uint64"])
def test_operators_of_other_dtypes(first, second):
    of_both = ARITHMETIC | COMPARISONS
    del of_both["divide"]  # CUDA does not say what whole numbers give divided by 0
    if {first, second} == {"bool"}:
        del of_both["subtract"]
    check(of_both, *pairs(values(first), values(second)))


@pytest.mark.parametrize("dtype", ["bool", "int32", "uint64"])
def test_operators_of_bits(dtype):
    signs = {"and": lambda xp, a, b: a & b, "or": lambda xp, a, b: a | b}
    check(signs | {"not": lambda xp, a, b: ~a}, *pairs(values(dtype), values(dtype)))


EXACT = ["floor", "ceil", "trunc", "rint", "isinf", "isnan", "isfinite", "abs", "negative", "sqrt"]
CLOSE = ["exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin"]
CLOSE += ["acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh"]
TWO = {"hypot": 4, "copysign": 0, "atan2": 4, "pow": 4, "maximum": 0, "minimum": 0}
ALIASES = {"power": "pow", "absolute": "abs", "fabs": "abs"}


def test_every_function_is_tried_here():
    named = set(_cupy_lines._FUNCTIONS) | {"negative", "maximum", "minimum"}
    assert named == {*EXACT, *CLOSE, *TWO, *ALIASES}


def calling(*names):
    return {name: lambda xp, *given, name=name: getattr(xp, name)(*given) for name in names}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_of_floats(dtype):
    """CUDA's own functions are a few ulp off."""
    numbers = values(dtype)
    numbers = numbers[~((abs(numbers) > 1e20) & np.isfinite(numbers))]  # angles that mean nothing
    check(calling(*EXACT), numbers)
    check(calling(*CLOSE), numbers, ulp=4)
    for name, ulp in TWO.items():
        check(calling(name), *pairs(numbers, numbers), ulp=ulp)


@pytest.mark.parametrize("dtype", DTYPES)
def test_casts(dtype):
    def cast(xp, a, to):
        return xp.astype(a, np.dtype(to))

    own = values(dtype)
    if np.dtype(dtype).kind == "f":  # of what a whole number can not hold C says nothing
        check({to: partial(cast, to=to) for to in ("bool", "float32", "float64")}, own)
        own = own[(own >= 0) & (own < 100)]
    check({to: partial(cast, to=to) for to in DTYPES}, own)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_constants(dtype):
    """To the last digit: none is rounded on its way through C."""
    numbers = [0, 1, -1, 0.1, -0.0, -1 / 3, 1e300, np.inf, -np.inf, np.nan]
    numbers += [np.finfo(dtype).tiny.item(), np.finfo(dtype).max.item()]

    def chosen(xp, a, number):
        return xp.where(a, xp.astype(a, np.dtype(dtype)), number)

    functions = {str(number): partial(chosen, number=number) for number in numbers}
    check(functions, np.array([True, False]))


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint32", "uint64"])
def test_whole_constants(dtype):
    info = np.iinfo(dtype)

    def chosen(xp, a, number):
        return xp.where(a > 0, a, number)

    functions = {str(n): partial(chosen, number=n) for n in (0, 1, info.min, info.max)}
    check(functions, np.array([1, 0], dtype))


def test_an_operation_without_a_line_is_said_to_have_none():
    with pytest.raises(NotImplementedError, match="logaddexp"):
        check({"": lambda xp, a: xp.logaddexp(a, a)}, values("float32"))
    with pytest.raises(NotImplementedError, match="exp of"):
        check({"": lambda xp, a: xp.exp(a)}, values("int32"))
