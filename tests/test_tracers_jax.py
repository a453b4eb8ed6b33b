"""JAX: one exported program for every batch size, strict promotion, counts beyond 32 bits."""

from functools import partial

import numpy as np
import pytest
from calls import (
    DEFAULT,
    ELEMENTS,
    EVERY,
    FIXED,
    SECOND,
    SIGMOID_GRAD,
    WHOLE,
    arrays,
    each_of,
    results,
)

from xbce.losses import Reduction

pytestmark = pytest.mark.backend("jax")
jax = pytest.importorskip("jax")
jnp = jax.numpy


# --- jax.export -------------------------------------------------------------------


def check_exported(call, reductions):
    """Export a call for a batch of b, and run it at two sizes."""
    export = pytest.importorskip("jax.export")
    with jax.enable_x64(True):
        (batch,) = export.symbolic_shape("b")
        symbols = {
            name: jax.ShapeDtypeStruct(
                array.shape if name in FIXED else (batch, *array.shape[1:]), array.dtype
            )
            for name, array in arrays(7).items()
        }
        program = export.export(jax.jit(partial(results, call, reductions=reductions)))(symbols)
        for size in (1, 40_000):
            a = arrays(size)
            actual = program.call({name: jnp.asarray(array) for name, array in a.items()})
            for one, other in zip(actual, results(call, a, reductions), strict=True):
                assert one.dtype == other.dtype
                np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-12)


@each_of(
    *WHOLE,
    "sigmoid",
    "sigmoid-weights[batch,1]",
    "sigmoid-where[batch,1]-weights[1,classes]",
    "sigmoid-smoothing[]",
    "softmax",
    "value_and_grad",
)
def test_an_exported_program_is_one_for_every_batch_size(call):
    """In jax.export a size is a symbol: it can be divided by, but is not compared with."""
    check_exported(call, DEFAULT)


@each_of("value_and_grad-all", "softmax-all")
def test_an_exported_program_reduces_in_every_way(call):
    check_exported(call, EVERY)


# --- strict promotion -------------------------------------------------------------

STRICT = ELEMENTS | SECOND


def check_strict(call, a):
    """That a call gives the same, of the same dtype, where arrays of two dtypes never meet."""
    with jax.numpy_dtype_promotion("strict"):
        actual = call(a)
    for one, other in zip(jax.tree.leaves(actual), jax.tree.leaves(call(a)), strict=True):
        assert one.dtype == other.dtype == a["x"].dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("dtype", "x64"), [("float16", False), ("float64", True)])
@each_of(*WHOLE, "sigmoid", "sigmoid-integers", "sigmoid-where-number", "softmax-smoothing")
def test_jax_may_be_strict_about_dtypes(call, dtype, x64):
    """Under ``jax_numpy_dtype_promotion="strict"`` arrays of two dtypes never meet unseen."""
    with jax.enable_x64(x64):
        a = {name: jnp.asarray(array) for name, array in arrays(7, dtype).items()}
        check_strict(partial(results, call, reductions=(Reduction.MEAN, *DEFAULT)), a)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("call", STRICT.values(), ids=STRICT)
def test_jax_may_be_strict_about_dtypes_element_by_element(call, dtype):
    check_strict(call, {name: jnp.asarray(array) for name, array in arrays(7, dtype).items()})


def test_jax_may_be_strict_about_weights_of_another_dtype():
    """Weights of any real dtype are cast to that of the losses, strictly or not."""
    x = jnp.linspace(-2, 2, 6).reshape(2, 3).astype("float16")
    for dtype in ("bool", "int32", "float32"):
        weights = jnp.asarray([[1], [0]], dtype=dtype)
        check_strict(lambda a, w=weights: SIGMOID_GRAD(a["x"] > 0, a["x"], w), {"x": x})


# --- counts -----------------------------------------------------------------------
# More elements than 32 bits count, which nobody has the memory to hold here: made inside a jitted
# function, and looked at in one place, they never are in memory.

SIDE = 2**16


def without_memory(function, *arguments):
    """What the function gives, once it is known to need next to no memory."""
    compiled = jax.jit(function).lower(*arguments).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 2**26
    return compiled(*arguments)


@pytest.mark.parametrize("shape", [(SIDE, 1), (1, SIDE), (1, 1), ()], ids=str)
@pytest.mark.parametrize("reduction", ["weighted_mean", "weighted_sum_by_nonzero_weights"])
def test_stretched_weights_are_counted_beyond_32_bits(shape, reduction):
    """2**32 losses with 2**16 weights: the count of weights times 2**16 is 0 in 32 bits."""

    def corner(x, weight):
        x = jnp.broadcast_to(x, (SIDE, SIDE))
        weights = jnp.broadcast_to(weight, shape)
        return SIGMOID_GRAD(jnp.zeros_like(x), x, weights, reduction=reduction)[1][0, 0]

    with jax.enable_x64(False):
        actual = without_memory(corner, jnp.float32(0), jnp.float32(1))
    np.testing.assert_allclose(actual, 0.5 / SIDE**2, rtol=1e-6)


@pytest.mark.parametrize("reduction", ["weighted_mean", "weighted_sum_by_nonzero_weights"])
@pytest.mark.parametrize("operand", ["weights", "where"])
@pytest.mark.parametrize("columns", [SIDE // 2 + 1, SIDE + 1], ids=["2**31", "2**32"])
def test_full_weights_are_counted_beyond_32_bits_or_an_error_says_why_not(
    operand, reduction, columns
):
    """A count that wraps around is a wrong loss in silence; an error that says so is none."""
    shape = (SIDE, columns)  # 2**16 more than signed, and than unsigned, integers count

    def corner(x, weight):
        x = jnp.broadcast_to(x, shape)
        weights = jnp.broadcast_to(weight, shape)
        given = {"where": weights > 0} if operand == "where" else {"weights": weights}
        return SIGMOID_GRAD(jnp.zeros_like(x), x, **given, reduction=reduction)[1][0, 0]

    with jax.enable_x64(False):
        try:
            actual = without_memory(corner, jnp.float32(0), jnp.float32(1))
        except (ValueError, OverflowError) as error:
            assert "jax_enable_x64" in str(error)  # noqa: PT017 either is right
        else:
            # Of ΣW in float32 the last digits may be lost, but not its size.
            np.testing.assert_allclose(actual, 0.5 / (shape[0] * shape[1]), rtol=1e-3)
