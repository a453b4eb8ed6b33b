"""The emulator's integers, bits and predicates, and what it refuses."""

import numpy as np
import pytest
from emulator import bodies, instructions, ptx, rules, translation, variables
from emulator.direct import compute, kernel

pytestmark = pytest.mark.backend("cupy")


def pairs(values):
    """Each value with each."""
    return tuple(a.ravel() for a in np.meshgrid(values, values))


def test_integers_change_width_with_their_sign_or_are_clamped():
    n = np.array([-1, 200, -200, 1 << 20], np.int32)
    np.testing.assert_array_equal(compute("cvt.s64.s32 $d, $a;", "i8", n), n)
    np.testing.assert_array_equal(compute("cvt.s32.s8 $d, $a;", "i4", n), n.astype("i1"))
    np.testing.assert_array_equal(compute("cvt.u32.u8 $d, $a;", "u4", n), n.astype("u1"))
    clamped = compute("cvt.sat.s8.s32 $d, $a;", "i4", n)
    np.testing.assert_array_equal(clamped, [-1, 127, -128, 127])
    np.testing.assert_array_equal(compute("cvt.sat.u8.s32 $d, $a;", "u4", n), [0, 200, 0, 255])


def test_products_of_integers_have_their_low_high_and_wide_parts():
    a, b = pairs(np.array([0, 3, -7, 2**31 - 1, -(2**31)], np.int32))
    exact = a.astype(object) * b.astype(object)
    np.testing.assert_array_equal(compute("mul.wide.s32 $d, $a, $b;", "i8", a, b), exact)
    high = compute("mul.hi.s32 $d, $a, $b;", "i4", a, b)
    np.testing.assert_array_equal(high, [int(v) >> 32 for v in exact])
    low = compute("mad.lo.s32 $d, $a, $b, $a;", "u4", a, b)
    np.testing.assert_array_equal(
        low, [(int(v) + int(x)) % 2**32 for v, x in zip(exact, a, strict=True)]
    )
    u, v = pairs(np.array([2**64 - 1, 2**63, 5], np.uint64))
    high = compute("mul.hi.u64 $d, $a, $b;", "u8", u, v)
    assert [int(x) for x in high] == [int(x) * int(y) >> 64 for x, y in zip(u, v, strict=True)]


def test_division_truncates_and_no_operand_stops_the_process():
    a = np.array([7, -7, 7, -(2**31), 5], np.int32)
    b = np.array([2, 2, -2, -1, 0], np.int32)
    np.testing.assert_array_equal(
        compute("div.s32 $d, $a, $b;", "i4", a, b)[:4], [3, -3, -3, -(2**31)]
    )
    np.testing.assert_array_equal(compute("rem.s32 $d, $a, $b;", "i4", a, b)[:4], [1, -1, 1, 0])


def test_carries_and_borrows_pass_from_word_to_word():
    a = np.array([2**64 - 1, 2**32, 5], np.uint64)
    b = np.array([1, 2**32 - 1, 7], np.uint64)
    parts = "mov.b64 {%r1, %r2}, $a; mov.b64 {%r3, %r4}, $b;\n"
    for name in ("add", "sub"):
        lines = f"{name}.cc.u32 %r5, %r1, %r3; {name}c.u32 %r6, %r2, %r4;"
        found = compute(parts + lines + "mov.b64 $d, {%r5, %r6};", "u8", a, b)
        np.testing.assert_array_equal(found, a + b if name == "add" else a - b)
    wide = "mul.lo.u32 %r5, %r1, %r3; mul.hi.u32 %r6, %r1, %r3;\n"
    wide += "mad.lo.cc.u32 %r6, %r1, %r4, %r6; madc.hi.u32 %r7, %r1, %r4, 0;\n"
    found = compute(parts + wide + "mov.b64 $d, {%r6, %r7};", "u8", a, b)
    expected = [(int(x) % 2**32 * int(y)) >> 32 for x, y in zip(a, b, strict=True)]
    assert [int(v) for v in found] == expected


def test_shifts_by_the_width_or_more_leave_nothing_but_the_sign():
    n, by = np.full(6, -8, np.int32), np.array([0, 1, 31, 32, 33, 2**32 - 1], np.uint32)
    np.testing.assert_array_equal(
        compute("shl.b32 $d, $a, $b;", "u4", n, by), [2**32 - 8, 2**32 - 16, 0, 0, 0, 0]
    )
    np.testing.assert_array_equal(
        compute("shr.s32 $d, $a, $b;", "i4", n, by), [-8, -4, -1, -1, -1, -1]
    )
    np.testing.assert_array_equal(
        compute("shr.u32 $d, $a, $b;", "u4", n, by), [2**32 - 8, 2**31 - 4, 1, 0, 0, 0]
    )
    wide = np.full(2, -8, np.int64)
    far = np.array([63, 64], np.uint32)
    np.testing.assert_array_equal(compute("shr.s64 $d, $a, $b;", "i8", wide, far), [-1, -1])
    np.testing.assert_array_equal(compute("shl.b64 $d, $a, $b;", "u8", wide, far), [0, 0])


def test_funnel_shifts_wrap_or_clamp():
    low, high = np.full(4, 0x12345678, np.uint32), np.full(4, 0x9ABCDEF0, np.uint32)
    by = np.array([0, 8, 32, 40], np.uint32)
    for way, lines in {
        "l.wrap": [0x9ABCDEF0, 0xBCDEF012, 0x9ABCDEF0, 0xBCDEF012],
        "l.clamp": [0x9ABCDEF0, 0xBCDEF012, 0x12345678, 0x12345678],
        "r.wrap": [0x12345678, 0xF0123456, 0x12345678, 0xF0123456],
        "r.clamp": [0x12345678, 0xF0123456, 0x9ABCDEF0, 0x9ABCDEF0],
    }.items():
        found = compute(f"shf.{way}.b32 $d, $a, $b, $c;", "u4", low, high, by)
        np.testing.assert_array_equal(found, lines, way)


def test_permutations_choose_bytes_in_each_mode():
    a, b = np.array([0x83828180], np.uint32), np.array([0x07060504], np.uint32)
    for mode, selector, expected in [
        ("", 0x7531, 0x07058381),
        ("", 0x8F09, 0xFF0080FF),  # the signs of bytes 0 and 7, byte 0, the sign of byte 1
        (".f4e", 1, 0x04838281),
        (".b4e", 1, 0x06078081),
        (".rc8", 2, 0x82828282),
        (".ecl", 2, 0x83828282),
        (".ecr", 1, 0x81818180),
        (".rc16", 1, 0x83828382),
    ]:
        found = compute(f"prmt.b32{mode} $d, $a, $b, {selector};", "u4", a, b)
        assert found == expected, (mode, hex(found[0]))


def test_fields_of_bits_are_extracted_inserted_reversed_and_counted():
    n = np.full(6, 0xF0F0ABCD, np.uint32)
    at = np.array([0, 4, 28, 32, 8, 31], np.uint32)
    length = np.array([8, 8, 8, 8, 0, 1], np.uint32)
    found = compute("bfe.u32 $d, $a, $b, $c;", "u4", n, at, length)
    np.testing.assert_array_equal(found, [0xCD, 0xBC, 0xF, 0, 0, 1])
    found = compute("bfe.s32 $d, $a, $b, $c;", "i4", n, at, length)
    np.testing.assert_array_equal(found, [-51, -68, -1, -1, 0, -1])
    found = compute("bfi.b32 $d, 5, $a, $b, $c;", "u4", n, at, length)
    expected = [0xF0F0AB05, 0xF0F0A05D, 0x50F0ABCD, 0xF0F0ABCD, 0xF0F0ABCD, 0xF0F0ABCD]
    np.testing.assert_array_equal(found, expected)
    assert compute("brev.b32 $d, $a;", "u4", n[:1]) == int(f"{n[0]:032b}"[::-1], 2)
    counts = np.array([0, 1, 2**40, 2**64 - 1], np.uint64)
    np.testing.assert_array_equal(compute("clz.b64 $d, $a;", "u4", counts), [64, 63, 23, 0])
    np.testing.assert_array_equal(compute("popc.b64 $d, $a;", "u4", counts), [0, 1, 1, 64])


# --- what is refused


@pytest.mark.parametrize(
    "opcode",
    [
        "foo.bar.f32",
        "add.rx.f32",
        "min.NaN.f32",
        "cvt.rna.f32.f64",
        "add.sat.s32",
        "add.f64.ftz",
        "ld.global.b128",
    ],
)
def test_an_unknown_instruction_is_an_error_that_names_it(opcode):
    with pytest.raises(NotImplementedError, match=f"`{opcode}` is not in tests/emulator"):
        rules.find(opcode)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("mov.u32 %r1, %clock;", "%clock"),
        ("bar.sync 0, 64;", r"bar\.sync with the operands"),
        ("mov.u32 %r1, nowhere;", "nowhere is not declared"),
        ("bra elsewhere;", "the label elsewhere"),
        (".reg .b128 %x; mov.u32 %r1, 0;", r"\.b128"),
        ("add.s32 %r1, %r2;", r"add\.s32 with the operands"),
    ],
)
def test_what_is_not_known_of_an_operand_is_an_error(body, message):
    with pytest.raises(NotImplementedError, match=message):
        translation.to_c(kernel(body, 0))


def test_a_text_that_is_cut_off_is_an_error():
    with pytest.raises(SyntaxError, match="ends inside"):
        ptx.parse(kernel("mov.u32 %r1, 0;", 0).rstrip().rstrip("}"))


def test_each_row_of_the_table_names_sets_and_types_that_exist():
    for opcode, operands, _ in instructions.TABLE:
        for part in opcode.split(".")[1:]:
            chosen = part.rstrip("?").partition("=")[2]
            assert not chosen or chosen in instructions.SETS, opcode
        for kind in operands.replace("|", " ").split():
            assert kind in {*variables.SIZES, *"TSW", "-", "mem"}, opcode
    for _, method in instructions.STATEMENTS:
        assert hasattr(bodies.Body, method)
