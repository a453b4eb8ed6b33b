"""The emulator's arithmetic in floats, and their conversions, on the edges of their types."""

from fractions import Fraction

import numpy as np
import pytest
from emulator.direct import compute

pytestmark = pytest.mark.backend("cupy")

TINY, LEAST, HALF_LEAST = 1e-45, 2.0**-126, 2.0**-127
F32 = np.array(
    [0, 1, 1 / 3, 1 + 2**-23, 1e30, 3e38, np.inf, np.nan, TINY, LEAST, HALF_LEAST, 5e-39],
    np.float32,
)
F32 = np.concatenate([F32, -F32])
F64 = np.array([0, 1, 1 / 3, 1 + 2**-52, 1e300, np.inf, np.nan, 5e-324, 1e-310], np.float64)
F64 = np.concatenate([F64, -F64])
MODES = ("rn", "rz", "rm", "rp")


def same(actual, expected):
    """Whether two arrays are equal to the sign of zero; one NaN equals another."""
    expected = np.asarray(expected, actual.dtype)
    np.testing.assert_array_equal(actual, expected)
    if actual.dtype.kind == "f":
        numbers = ~np.isnan(actual)
        np.testing.assert_array_equal(np.signbit(actual[numbers]), np.signbit(expected[numbers]))


def flushed(x):
    """Subnormal numbers as zeros."""
    return np.where(np.abs(x) < np.finfo(x.dtype).smallest_normal, np.copysign(0, x), x)


def pairs(values):
    """Each value with each."""
    return tuple(a.ravel() for a in np.meshgrid(values, values))


def rounded(exact, mode, dtype):
    """A rational number in a floating dtype, by definition; not for numbers beyond its range."""
    info = np.finfo(dtype)
    size = abs(exact)
    exponent = info.minexp
    while Fraction(2) ** (exponent + 1) <= size:
        exponent += 1
    quantum = Fraction(2) ** (exponent - info.nmant)
    whole, rest = divmod(size, quantum)
    away = {
        "rn": rest * 2 > quantum or (rest * 2 == quantum and whole % 2),
        "rz": False,
        "rm": rest and exact < 0,
        "rp": rest and exact > 0,
    }[mode]
    return dtype(float((whole + bool(away)) * quantum) * (-1 if exact < 0 else 1))


# --- floats


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div.rn"])
@pytest.mark.parametrize("flush", [False, True])
def test_f32_arithmetic_is_that_of_ieee_with_and_without_subnormal_numbers(name, flush):
    a, b = pairs(F32)
    word, keep = (".ftz", flushed) if flush else ("", lambda x: x)
    function = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div.rn": np.divide}[name]
    with np.errstate(all="ignore"):
        expected = keep(function(keep(a), keep(b)))
    for part in np.array_split(np.arange(len(a)), 2):
        same(compute(f"{name}{word}.f32 $d, $a, $b;", "f4", a[part], b[part]), expected[part])


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div.rn"])
def test_f64_arithmetic_keeps_subnormal_numbers(name):
    a, b = pairs(F64)
    function = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div.rn": np.divide}[name]
    with np.errstate(all="ignore"):
        same(compute(f"{name}.f64 $d, $a, $b;", "f8", a, b), function(a, b))


def test_a_nan_that_arithmetic_in_f32_makes_is_the_canonical_one():
    a = np.array([np.inf, 0, -np.nan], np.float32)
    b = np.array([-np.inf, 0, 1], np.float32)
    for name in ("add", "div.rn"):
        bits = compute(f"{name}.f32 $d, $a, $b;", "u4", a, b)
        assert bits[2] == 0x7FFFFFFF
        assert bits[0 if name == "add" else 1] == 0x7FFFFFFF


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("kind", "dtype"), [("f32", np.float32), ("f64", np.float64)])
def test_each_rounding_mode_rounds_exact_results_once(mode, kind, dtype):
    one = 1 + np.finfo(dtype).eps
    a = np.array([1, -1, one, one, -one, 3, 1 / 3, 7, -1e-3, 1], dtype)
    b = np.array([1e-9, 1e-9, one, -one, one, 1 / 3, 1 / 3, 0.1, 3, one - 1], dtype)
    c = np.array([one, one, -1, 1, -(one - 1) / 2, 1e-20, -1e-30, -0.7, 1e-9, 1], dtype)
    exact = [[Fraction(float(x)) for x in v] for v in (a, b, c)]
    for name, value in {
        "add": [x + y for x, y, _ in zip(*exact, strict=True)],
        "sub": [x - y for x, y, _ in zip(*exact, strict=True)],
        "mul": [x * y for x, y, _ in zip(*exact, strict=True)],
        "div": [x / y for x, y, _ in zip(*exact, strict=True)],
        "fma": [x * y + z for x, y, z in zip(*exact, strict=True)],
    }.items():
        third = ", $c" if name == "fma" else ""
        found = compute(f"{name}.{mode}.{kind} $d, $a, $b{third};", dtype, a, b, c)
        np.testing.assert_array_equal(found, [rounded(v, mode, dtype) for v in value], name)


@pytest.mark.parametrize(("kind", "eps"), [("f32", 2.0**-23), ("f64", 2.0**-52)])
def test_a_product_and_a_sum_are_not_fused(kind, eps):
    a = np.array([1 + eps], "f4" if kind == "f32" else "f8")
    register = "%f1" if kind == "f32" else "%d2"
    lines = f"mul.{kind} {register}, $a, $a; sub.{kind} $d, {register}, $b;"
    assert compute(lines, a.dtype, a, a * a) == 0


def test_square_roots_and_reciprocals_are_rounded_in_their_mode():
    x = np.array([2, 3, 1e-40, 7e30, 0.1], np.float32)
    down, up = (compute(f"sqrt.{mode}.f32 $d, $a;", "f4", x) for mode in ("rm", "rp"))
    nearest = compute("sqrt.rn.f32 $d, $a;", "f4", x)
    same(nearest, np.sqrt(x))
    assert all(Fraction(float(r)) ** 2 < Fraction(float(v)) for r, v in zip(down, x, strict=True))
    assert all(Fraction(float(r)) ** 2 > Fraction(float(v)) for r, v in zip(up, x, strict=True))
    exact = [rounded(1 / Fraction(float(v)), "rp", np.float32) for v in x[[0, 1, 3, 4]]]
    same(compute("rcp.rp.f32 $d, $a;", "f4", x[[0, 1, 3, 4]]), exact)


def test_saturation_clamps_to_0_and_1_and_takes_nan_for_0():
    x = np.array([-1, -0.0, 0.25, 1, 2, np.inf, np.nan], np.float32)
    same(compute("cvt.sat.f32.f32 $d, $a;", "f4", x), [0, 0, 0.25, 1, 1, 1, 0])
    same(compute("add.sat.f32 $d, $a, $a;", "f4", x), [0, 0, 0.5, 1, 1, 1, 0])


def test_minimum_and_maximum_prefer_numbers_to_nan_and_tell_zeros_apart():
    a = np.array([np.nan, 1, 0.0, -0.0, 2, np.nan], np.float32)
    b = np.array([1, np.nan, -0.0, 0.0, 3, np.nan], np.float32)
    same(compute("min.f32 $d, $a, $b;", "f4", a, b), [1, 1, -0.0, -0.0, 2, np.nan])
    same(compute("max.f32 $d, $a, $b;", "f4", a, b), [1, 1, 0.0, 0.0, 3, np.nan])


def test_signs_are_bits():
    x = np.array([1, -0.0, np.inf, 1e-310], np.float64)
    same(compute("neg.f64 $d, $a;", "f8", x), -x)
    same(compute("abs.f64 $d, $a;", "f8", -x), np.abs(x))
    same(compute("copysign.f64 $d, $a, $b;", "f8", -x, x), np.copysign(x, -x))
    tiny = np.array([-1e-40], np.float32)
    same(compute("neg.ftz.f32 $d, $a;", "f4", tiny), [0.0])
    same(compute("abs.ftz.f32 $d, $a;", "f4", tiny), [0.0])


COMPARED = {
    "eq": (lambda a, b: a == b, False),
    "ne": (lambda a, b: a != b, False),
    "lt": (lambda a, b: a < b, False),
    "le": (lambda a, b: a <= b, False),
    "gt": (lambda a, b: a > b, False),
    "ge": (lambda a, b: a >= b, False),
    "equ": (lambda a, b: a == b, True),
    "neu": (lambda a, b: a != b, True),
    "ltu": (lambda a, b: a < b, True),
    "leu": (lambda a, b: a <= b, True),
    "gtu": (lambda a, b: a > b, True),
    "geu": (lambda a, b: a >= b, True),
    "num": (lambda a, b: a == a, False),
    "nan": (lambda a, b: a != a, True),
}


def test_comparisons_of_floats_are_ordered_or_not_as_their_names_say():
    a, b = pairs(np.array([0, -0.0, 1, -np.inf, np.nan], np.float32))
    lines, expected = "mov.b32 $d, 0;\n", np.zeros(len(a), np.uint32)
    for place, (name, (compare, unordered)) in enumerate(COMPARED.items()):
        lines += f"setp.{name}.f32 %p1, $a, $b; selp.b32 %r2, {1 << place}, 0, %p1;\n"
        lines += "or.b32 $d, $d, %r2;\n"
        either = np.isnan(a) | np.isnan(b)
        expected |= np.where(either, unordered, compare(a, b)).astype(np.uint32) << place
    same(compute(lines, "u4", a, b), expected)


def test_a_comparison_flushes_gives_its_opposite_and_takes_a_predicate_in():
    tiny, zero = np.array([1e-40], np.float32), np.array([0], np.float32)
    one = "setp.{} %p1{}, $a, $b{}; selp.b32 $d, 1, 0, %p{};"
    for words, second, third, number, expected in [
        ("gt.f32", "", "", 1, 1),
        ("gt.ftz.f32", "", "", 1, 0),
        ("gt.f32", "|%p2", "", 2, 0),
        ("gt.and.f32", "", ", %p3", 1, 0),
        ("gt.and.f32", "", ", !%p3", 1, 1),
        ("lt.or.f32", "|%p2", ", %p3", 2, 1),
        ("gt.xor.f32", "", ", !%p3", 1, 0),
    ]:
        lines = one.format(words, second, third, number)
        assert compute(lines, "u4", tiny, zero) == expected, words


# --- conversions


@pytest.mark.parametrize("mode", ["rni", "rzi", "rmi", "rpi"])
def test_floats_round_to_integers_in_their_mode_and_stop_at_the_ends_of_the_range(mode):
    x = np.array([2.5, 3.5, -2.5, -0.5, 1e30, -1e30, np.inf, 2.0**31, 1.7], np.float32)
    whole = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}[mode](x)
    for kind in ("s32", "u32", "s64", "u64"):
        info = np.iinfo({"s": "i", "u": "u"}[kind[0]] + str(int(kind[1:]) // 8))
        expected = [min(max(int(v), info.min), info.max) if v < 1e38 else info.max for v in whole]
        found = compute(f"cvt.{mode}.{kind}.f32 $d, $a;", info.dtype, x)
        np.testing.assert_array_equal(found, np.array(expected, info.dtype), kind)
    same(compute(f"cvt.{mode}.f32.f32 $d, $a;", "f4", x), whole)


def test_nan_becomes_0_or_the_highest_bit_as_the_types_say():
    x = np.array([np.nan])
    assert compute("cvt.rzi.s32.f32 $d, $a;", "u4", x.astype("f4")) == 0
    assert compute("cvt.rzi.u64.f32 $d, $a;", "u8", x.astype("f4")) == 1 << 63
    assert compute("cvt.rzi.s32.f64 $d, $a;", "u4", x) == 1 << 31
    assert compute("cvt.rzi.s64.f64 $d, $a;", "u8", x) == 1 << 63


@pytest.mark.parametrize("mode", MODES)
def test_integers_and_wide_floats_become_narrow_floats_in_their_mode(mode):
    n = np.array([2**24 + 1, 2**25 + 3, -(2**24) - 1, 2**62 + 1, 7], np.int64)
    expected = [rounded(Fraction(int(v)), mode, np.float32) for v in n]
    same(compute(f"cvt.{mode}.f32.s64 $d, $a;", "f4", n), expected)
    x = np.array([1 + 2**-24, 1 + 2**-24 + 2**-40, -1 - 2**-24, 1e-40, 1 / 3], np.float64)
    expected = [rounded(Fraction(float(v)), mode, np.float32) for v in x]
    same(compute(f"cvt.{mode}.f32.f64 $d, $a;", "f4", x), expected)


@pytest.mark.parametrize("mode", MODES)
def test_f16_is_rounded_once_from_f64(mode):
    tie = 1 + 2.0**-11
    x = [tie, tie + 2.0**-40, -tie, tie - 2.0**-40, 2.0**-25, 2.0**-25 * 1.01, 6e-8, 1e-9, 1 / 3]
    x = np.array(x, np.float64)
    expected = [rounded(Fraction(float(v)), mode, np.float16) for v in x]
    same(compute(f"cvt.{mode}.f16.f64 $d, $a;", np.float16, x), expected)


def test_f16_converts_as_numpy_does_for_each_of_its_values():
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    few = np.concatenate([every[::97], every[31740:31750], every[:20], every[1015:1030]])
    same(compute("cvt.f32.f16 $d, $a;", "f4", few), few.astype("f4"))
    with np.errstate(all="ignore"):
        x = np.concatenate([few.astype("f4") * np.float32(1.0003), F32, [65519, 65520, 1e6]])
        same(compute("cvt.rn.f16.f32 $d, $a;", np.float16, x.astype("f4")), x.astype(np.float16))
    up = compute("cvt.rz.f16.f32 $d, $a;", np.float16, np.array([1e6, 65519], np.float32))
    same(up, [65504, 65504])


def test_f16_arithmetic_rounds_once():
    a, b = pairs(np.array([1, 1.001, -3, 1e-7, 2e4, np.inf, np.nan, 0.333], np.float16))
    with np.errstate(all="ignore"):
        same(compute("mul.f16 $d, $a, $b;", np.float16, a, b), a * b)
        same(compute("add.f16 $d, $a, $b;", np.float16, a, b), a + b)
        exact = (a.astype("f8") * b.astype("f8") + a.astype("f8")).astype(np.float16)
        same(compute("fma.rn.f16 $d, $a, $b, $a;", np.float16, a, b), exact)
