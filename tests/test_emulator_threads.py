"""The emulator's memory, branches, calls, and threads that wait for each other."""

import numpy as np
import pytest
from emulator.direct import compute, kernel, launch

pytestmark = pytest.mark.backend("cupy")

# Where thread %r0 of the only block has its word of array 0: %d0.
MINE = "mul.wide.u32 %d0, %r0, 4; add.s64 %d0, %d0, %q0;\n"
LANES = np.arange(32, dtype=np.uint32)


def words(body, count=32, head="", shared=0, block=None):
    """What each thread stores from %r1."""
    out = np.zeros(count, np.uint32)
    text = kernel(f"{MINE}{body}\nst.global.u32 [%d0], %r1;", 1, head)
    launch(text, out, block=block or (count, 1, 1), shared=shared)
    return out


# --- memory


def test_loads_take_the_sign_along_and_vectors_go_side_by_side():
    source = np.array([-1, -2, 3, 4], np.int8)
    found = np.zeros(4, np.int32)
    body = """
    ld.global.s8 %r1, [%q0]; ld.global.u8 %r2, [%q0+1]; ld.global.v2.s8 {%r3, %r4}, [%q0+2];
    st.global.v4.u32 [%q1], {%r1, %r2, %r3, %r4};"""
    launch(kernel(body, 2), source, found)
    np.testing.assert_array_equal(found, [-1, 254, 3, 4])


def test_a_load_may_replace_the_register_of_its_address():
    source, found = np.array([7, 8], np.uint64), np.zeros(2, np.uint64)
    body = "ld.global.v2.u64 {%q0, %d1}, [%q0]; st.global.v2.u64 [%q1], {%q0, %d1};"
    launch(kernel(body, 2), source, found)
    np.testing.assert_array_equal(found, source)


def test_registers_are_packed_and_taken_apart():
    x = np.array([0x1122334455667788], np.uint64)
    lines = "mov.b64 {%r1, %r2}, $a; mov.b32 {%h1, %h2}, %r1; mov.b32 %r3, {%h2, %h1};"
    assert compute(lines + "mov.b64 $d, {%r2, %r3};", "u8", x) == 0x7788556611223344


def test_variables_have_first_values_and_their_own_space():
    head = """
    .const .align 4 .f32 weights[2] = {0f3F800000, 0f40000000};
    .global .align 1 .b8 bytes[4] = {1, 2, -1};
    .global .align 4 .u32 unused = other;"""
    body = """
    .local .align 8 .b8 stack[8];
    .reg .b64 %s; .reg .b64 %g;
    ld.const.u32 %r1, [weights+4]; mov.u64 %d1, bytes; ld.global.u32 %r2, [%d1];
    mov.u64 %s, stack; cvta.local.u64 %g, %s; st.u32 [%g], %r2; ld.local.u32 %r3, [stack];
    xor.b32 %r1, %r1, %r3;"""
    assert words(body, 1, head) == 0x40000000 ^ 0x00FF0201


def test_static_and_dynamic_shared_memory_lie_apart_and_the_generic_space_reaches_them():
    head = ".extern .shared .align 16 .b8 dynamic[];"
    body = """
    .shared .align 4 .b8 fixed[128];
    mul.lo.u32 %r2, %r0, 4;
    mov.u32 %r3, fixed; add.u32 %r3, %r3, %r2; st.shared.u32 [%r3], %r0;
    mov.u32 %r4, dynamic; add.u32 %r4, %r4, %r2; mul.lo.u32 %r5, %r0, 100; st.shared.u32 [%r4], %r5;
    bar.sync 0;
    xor.b32 %r2, %r2, 124; cvt.u64.u32 %d2, %r2;
    mov.u64 %d1, dynamic; cvta.shared.u64 %d1, %d1; add.s64 %d1, %d1, %d2; ld.u32 %r1, [%d1];
    mov.u32 %r3, fixed; add.u32 %r3, %r3, %r2; ld.shared.u32 %r6, [%r3]; add.u32 %r1, %r1, %r6;"""
    np.testing.assert_array_equal(words(body, 32, head, shared=128), 101 * LANES[::-1])


def test_shared_memory_that_no_thread_wrote_is_nan():
    body = ".shared .align 4 .b8 fixed[4]; ld.shared.u32 %r1, [fixed];"
    assert np.isnan(words(body, 1).view(np.float32))


def test_atomic_operations_give_the_value_before():
    total, before = np.array([5], np.uint32), np.zeros(4, np.uint32)
    body = """
    mul.wide.u32 %d0, %r0, 4; add.s64 %d0, %d0, %q1;
    atom.global.add.u32 %r1, [%q0], 2; st.global.u32 [%d0], %r1;"""
    launch(kernel(body, 2), total, before, block=(4, 1, 1))
    assert total == 13
    np.testing.assert_array_equal(np.sort(before), [5, 7, 9, 11])


# --- the flow of control


def test_guards_branches_and_indexed_branches_choose():
    body = """
    mov.u32 %r1, 0; setp.lt.u32 %p1, %r0, 2;
    @%p1 add.u32 %r1, %r1, 100;
    @!%p1 bra high;
    add.u32 %r1, %r1, 1;
    high:
    min.u32 %r2, %r0, 2;
    targets: .branchtargets zero, one, two;
    brx.idx %r2, targets;
    zero: add.u32 %r1, %r1, 10; bra done;
    one: add.u32 %r1, %r1, 20; bra done;
    two: add.u32 %r1, %r1, 30;
    done:"""
    np.testing.assert_array_equal(words(body, 4), [111, 121, 30, 30])


def test_names_in_braces_are_their_own():
    body = """
    mov.u32 %r1, 1;
    { .reg .b32 x; .reg .pred p; mov.u32 x, 10; setp.eq.u32 p, x, 10; @p bra skip;
      add.u32 %r1, %r1, 1000; skip: add.u32 %r1, %r1, x; }
    { .reg .b32 x; .reg .pred p; mov.u32 x, 20; setp.eq.u32 p, x, 21; @p bra skip;
      add.u32 %r1, %r1, 1000; skip: add.u32 %r1, %r1, x; }"""
    assert words(body, 1) == 1031


def test_functions_are_called_with_parameters_and_give_results():
    head = """
    .func (.param .align 8 .b8 both[16]) twice (.param .b64 a, .param .b32 b);
    .func (.param .align 8 .b8 both[16]) twice (.param .b64 a, .param .b32 b)
    {
        .reg .b64 %x; .reg .b32 %y; .reg .pred %p;
        ld.param.b64 %x, [a]; ld.param.b32 %y, [b];
        st.param.b64 [both], %x; st.param.b32 [both+8], %y;
        setp.eq.s32 %p, %y, 0; @%p ret;
        add.s64 %x, %x, %x; st.param.b64 [both+0], %x;
        ret;
    }"""
    body = """
    { .param .b64 p0; .param .b32 p1; .param .align 8 .b8 result[16];
      cvt.u64.u32 %d1, %r0; st.param.b64 [p0], %d1; st.param.b32 [p1+0], %r0;
      call.uni (result), twice, (p0, p1);
      ld.param.b64 %d2, [result]; ld.param.b32 %r2, [result+8]; }
    cvt.u32.u64 %r1, %d2; mad.lo.u32 %r1, %r1, 100, %r2;"""
    np.testing.assert_array_equal(words(body, 32, head), 201 * LANES)


def test_a_call_of_a_function_from_outside_is_an_error():
    head = ".extern .func vprintf (.param .b64 a);"
    body = "{ .param .b64 p0; call.uni vprintf, (p0); } mov.u32 %r1, 0;"
    with pytest.raises(NotImplementedError, match="vprintf"):
        words(body, 1, head)


def test_a_trap_is_an_error_and_the_next_launch_works():
    trap = "setp.eq.u32 %p1, %r0, 3; @%p1 trap; bar.sync 0; mov.u32 %r1, 7;"
    with pytest.raises(RuntimeError, match="trap"):
        words(trap)
    np.testing.assert_array_equal(words(trap.replace("r0, 3", "r0, 33")), 7)


# --- threads together


def test_a_barrier_waits_for_all_threads_that_have_not_ended():
    body = """
    .shared .align 4 .b8 total[4];
    mov.u32 %r1, 77; setp.ge.u32 %p1, %r0, 40; @%p1 bra leave;
    setp.ne.u32 %p2, %r0, 0; @%p2 bra zeroed; st.shared.u32 [total], 0; zeroed:
    bar.sync 0;
    atom.shared.add.u32 %r3, [total], %r0;
    bar.sync 0;
    ld.shared.u32 %r1, [total];
    leave:"""
    found = words(body, 64)
    np.testing.assert_array_equal(found[:40], 780)
    np.testing.assert_array_equal(found[40:], 77)


def test_a_barrier_that_is_missing_makes_a_difference():
    """Threads run in the opposite order after each wait, so some are before the first."""
    body = """
    .shared .align 4 .b8 word[4];
    st.shared.u32 [word], 7; bar.sync 0;
    setp.eq.u32 %p1, %r0, 0; @%p1 st.shared.u32 [word], 8;
    {}
    ld.shared.u32 %r1, [word];"""
    np.testing.assert_array_equal(words(body.replace("{}", "bar.sync 0;")), 8)
    assert set(words(body.replace("{}", ""))) == {7, 8}


def test_threads_that_wait_at_different_places_are_an_error_and_the_next_launch_works():
    apart = "setp.lt.u32 %p1, %r0, 5; @%p1 bar.sync 1; @!%p1 bar.sync 2; mov.u32 %r1, 7;"
    with pytest.raises(RuntimeError, match="wait for each other"):
        words(apart)
    np.testing.assert_array_equal(words(apart.replace("sync 2", "sync 1")), 7)


@pytest.mark.parametrize(
    ("lane", "expected"),
    [
        ("down.b32 %r1|%p1, %r0, 3, 31", [*range(3, 32), 29, 30, 31]),
        ("up.b32 %r1|%p1, %r0, 3, 0", [0, 1, 2, *range(29)]),
        ("bfly.b32 %r1|%p1, %r0, 5, 31", LANES ^ 5),
        ("idx.b32 %r1|%p1, %r0, 9, 31", [9] * 32),
        ("idx.b32 %r1|%p1, %r0, 1, 0x181f", LANES // 8 * 8 + 1),  # segments of 8
        ("down.b32 %r1|%p1, %r0, 7, 0x181f", LANES + np.where(LANES % 8, 0, 7)),
    ],
)
def test_shuffles_take_from_other_lanes_within_their_segment(lane, expected):
    np.testing.assert_array_equal(words(f"shfl.sync.{lane}, -1;"), expected)


def test_a_shuffle_tells_whether_its_lane_is_in_range():
    body = "shfl.sync.down.b32 %r2|%p1, %r0, 3, 31, -1; selp.b32 %r1, 1, 0, %p1;"
    np.testing.assert_array_equal(words(body), LANES < 29)


def test_halves_of_a_warp_shuffle_by_themselves_and_then_together():
    body = """
    mov.u32 %r1, %r0; setp.ge.u32 %p1, %r0, 16; @%p1 bra upper;
    shfl.sync.bfly.b32 %r1, %r1, 1, 31, 0xffff;
    shfl.sync.bfly.b32 %r1, %r1, 2, 31, 0xffff; bra both;
    upper: shfl.sync.bfly.b32 %r1, %r1, 4, 31, 0xffff0000;
    both: shfl.sync.bfly.b32 %r1, %r1, 16, 31, -1;"""
    np.testing.assert_array_equal(words(body), LANES ^ 16 ^ np.where(LANES < 16, 4, 3))


def test_lanes_that_name_different_masks_do_not_meet():
    body = "setp.lt.u32 %p1, %r0, 16; selp.b32 %r2, 0xffffffff, 0xfffffffe, %p1;"
    with pytest.raises(RuntimeError, match="wait for each other"):
        words(body + "shfl.sync.bfly.b32 %r1, %r0, 1, 31, %r2;")


def test_votes_count_predicates_of_threads_that_take_part():
    start = "setp.lt.u32 %p1, %r0, {}; "
    ballot = "vote.sync.ballot.b32 %r1, %p1, -1;"
    np.testing.assert_array_equal(words(start.format(5) + ballot), 31)
    np.testing.assert_array_equal(words(start.format(50) + ballot, 8), 255)
    for word, some, every in [("all", 0, 1), ("any", 1, 1), ("uni", 0, 1)]:
        vote = f"vote.sync.{word}.pred %p2, %p1, -1; selp.b32 %r1, 1, 0, %p2;"
        np.testing.assert_array_equal(words(start.format(5) + vote), some)
        np.testing.assert_array_equal(words(start.format(50) + vote), every)


def test_lanes_are_counted_along_all_axes_of_a_block():
    body = """
    mov.u32 %r2, %tid.x; mov.u32 %r3, %tid.y; mov.u32 %r4, %tid.z; mov.u32 %r5, %ntid.x;
    mad.lo.u32 %r6, %r4, 3, %r3; mad.lo.u32 %r6, %r6, %r5, %r2;
    mul.wide.u32 %d0, %r6, 4; add.s64 %d0, %d0, %q0; mov.u32 %r1, %laneid;"""
    np.testing.assert_array_equal(words(body, 42, block=(7, 3, 2)), np.arange(42) % 32)
