"""A call of NumPy needs next to nothing beside its arguments and results, of any size and dtype."""

import tracemalloc

import numpy as np
import pytest

import xbce
from xbce import losses, nn
from xbce.derivatives import softmax_value_and_grad, value_and_grad
from xbce.losses import Reduction

pytestmark = pytest.mark.backend("numpy")

MIB = 2**20
RNG = np.random.default_rng(7)
SIZE = 2**22
X = RNG.normal(size=SIZE).astype("float32")
Z = RNG.random(SIZE, dtype="float32")
MEANS = [reduction for reduction in Reduction if reduction is not Reduction.NONE]


def peak_of(call):
    """The most bytes that a call holds at a time, its result among them.

    The first call, not a second one: buffers that are kept for the next call are memory too.
    """
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "label_dtype", ["float16", "int8", "bool", "float32", "float64", "uint64", ">f4"]
)
@pytest.mark.parametrize("dtype", ["float16", "float32", ">f8"])
def test_a_mean_of_any_dtypes_needs_less_than_8_mib(dtype, label_dtype):
    """Casts happen block by block: float16 logits in float32 would be twice their own size."""
    x = X.astype(dtype)
    z = (Z > 0.5).astype(label_dtype)
    assert peak_of(lambda: losses.sigmoid_cross_entropy(z, x)) < 8 * MIB


FULL, MASK = Z.reshape(-1, 8), Z.reshape(-1, 8) > 0.1
COMPANIONS = {
    "weights": {"weights": FULL},
    "column": {"weights": FULL[:, :1].copy()},
    "pos_weight": {"pos_weight": FULL + 0.5},
    "where": {"where": MASK},
    "column, where": {"weights": FULL[:, :1], "where": MASK},
    "all": {"weights": FULL, "label_smoothing": 0.1, "pos_weight": FULL, "where": MASK},
}


@pytest.mark.parametrize("threads", [None, 8], ids=["default", "8-threads"])
@pytest.mark.parametrize("dtype", ["float16", ">f8"])
@pytest.mark.parametrize("companions", COMPANIONS.values(), ids=COMPANIONS)
def test_a_reduction_with_companions_needs_less_than_8_mib(dtype, companions, threads):
    x, z = X.reshape(-1, 8).astype(dtype), FULL > 0.5
    for reduction in MEANS:
        how = companions | {"reduction": reduction}
        with xbce.options(threads=threads):
            peak = peak_of(lambda how=how: losses.sigmoid_cross_entropy(z, x, **how))
        assert peak < 8 * MIB, (reduction, peak / MIB)


def test_memory_does_not_grow_with_size():
    """Sixteen times the elements, and the same limit."""
    x = np.zeros(2**26, "float16")
    assert peak_of(lambda: losses.sigmoid_cross_entropy(x, x)) < 8 * MIB


@pytest.mark.parametrize("dtype", ["float16", "float32", ">f8"])
def test_a_memory_mapped_file_is_read_block_by_block(dtype, tmp_path):
    """The way to the mean of an array that does not fit into memory."""
    arrays = []
    for name, values in (("x", X), ("z", Z > 0.5)):
        values.astype(dtype).tofile(tmp_path / name)
        arrays.append(np.memmap(tmp_path / name, dtype=dtype, mode="r", shape=X.shape))
    x, z = arrays
    assert peak_of(lambda: losses.sigmoid_cross_entropy(z, x)) < 8 * MIB


@pytest.mark.parametrize("dtype", ["float16", "float32", ">f4"])
def test_weighted_losses_of_ones_own_need_less_than_8_mib(dtype):
    terms, weights = X.astype(dtype), Z.astype(dtype)
    for options in ({}, {"weights": weights}, {"where": weights > 0.5}, {"weights": weights > 0}):
        for reduction in MEANS:
            how = options | {"reduction": reduction}
            assert peak_of(lambda how=how: losses.compute_weighted_loss(terms, **how)) < 8 * MIB


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
def test_a_result_of_the_size_of_the_logits_needs_itself_and_less_than_8_mib(dtype):
    x, z = X.reshape(-1, 8).astype(dtype), FULL.astype(dtype)
    limit = x.nbytes + 8 * MIB
    assert peak_of(lambda: nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x)) < limit
    assert peak_of(lambda: value_and_grad(z, x)) < limit
    assert peak_of(lambda: softmax_value_and_grad(z, x)) < limit


@pytest.mark.parametrize("layout", ["fortran", "strided", "reversed", "transposed"])
def test_layouts_need_no_copy(layout):
    x = X.reshape(2048, -1)
    x = {
        "fortran": np.asfortranarray(x),
        "strided": x[:, ::2],
        "reversed": x[::-1, ::-1],
        "transposed": x.reshape(16, 128, -1).transpose(2, 0, 1),
    }[layout]
    z = x > 0
    assert peak_of(lambda: losses.sigmoid_cross_entropy(z, x)) < 8 * MIB


# --- softmax ----------------------------------------------------------------------


def softmax_calls(rows, classes, dtype):
    """Each way to reduce a softmax loss, by name."""
    x = RNG.standard_normal((rows, classes), dtype="float32").astype(dtype)
    z = np.zeros((rows, classes), dtype)
    z[:, 0] = 1
    hard, weights = z > 0, RNG.random(rows).astype(dtype)
    numbers = RNG.integers(0, classes, rows)
    yield "softmax", lambda: losses.softmax_cross_entropy(z, x)
    yield (
        "softmax, all",
        lambda: losses.softmax_cross_entropy(z, x, weights, 0.1, where=weights > 0.5),
    )
    yield "softmax, bool", lambda: losses.softmax_cross_entropy(hard, x)
    yield "sparse", lambda: losses.sparse_softmax_cross_entropy(numbers, x)
    yield "sparse, weights", lambda: losses.sparse_softmax_cross_entropy(numbers, x, weights)


@pytest.mark.parametrize("threads", [None, 2, 8], ids=["default", "2-threads", "8-threads"])
@pytest.mark.parametrize(
    ("classes", "dtype"),
    [
        (10, "float16"),
        (10, "float64"),
        (1000, ">f4"),
        (2**16, "float16"),
        (2**16, "float32"),
        (2**16, "float64"),
    ],
)
def test_a_mean_over_rows_of_classes_needs_less_than_8_mib(classes, dtype, threads):
    for name, call in softmax_calls(SIZE // classes // 2, classes, dtype):
        with xbce.options(threads=threads):
            peak = peak_of(call)
        assert peak < 8 * MIB, (name, peak / MIB)


@pytest.mark.parametrize("threads", [None, 2], ids=["default", "2-threads"])
@pytest.mark.parametrize("classes", [2**18, 2**20])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_rows_too_long_for_a_block_need_eight_copies_of_one(classes, dtype, threads):
    """A row is not divided, since all of its classes meet; two at a time would be twice as much."""
    row = classes * max(4, np.dtype(dtype).itemsize)  # float16 is computed in float32
    for name, call in softmax_calls(3, classes, dtype):
        with xbce.options(threads=threads):
            peak = peak_of(call)
        assert peak <= 8 * row, (name, peak / row)
