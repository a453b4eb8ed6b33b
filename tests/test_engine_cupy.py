"""CuPy's engine: few kernels, which fill the device, and serve every number and every batch."""

import numpy as np
import pytest
from calls import ELEMENTS, SECOND
from cupy_calls import CLASSES, GIVES_GRADIENT, LARGE, REDUCED, arrays, cupy, emulator, launches

from xbce import derivatives, losses, nn
from xbce._evaluate import evaluate
from xbce._losses import Loss, Parameter
from xbce.losses import Reduction

pytestmark = pytest.mark.backend("cupy")


@pytest.mark.parametrize("name", [*ELEMENTS, *SECOND])
def test_a_loss_and_its_derivatives_are_one_kernel(name):
    call = (ELEMENTS | SECOND)[name]
    assert len(launches(call, arrays())) == 1


@pytest.mark.parametrize("reduction", list(Reduction), ids=str)
@pytest.mark.parametrize("name", REDUCED)
def test_a_reduced_loss_is_two_kernels_whatever_goes_with_it(name, reduction):
    found = launches(lambda: REDUCED[name](arrays(), reduction=reduction))
    if reduction is Reduction.NONE:
        assert len(found) == 1
    elif name in GIVES_GRADIENT:  # which is divided by a sum that must be there before
        assert len(found) <= 4
    else:
        assert len(found) == 2


@pytest.mark.parametrize("name", REDUCED)
def test_kernels_over_many_elements_fill_the_device(name):
    small = launches(REDUCED[name], arrays())
    large = launches(REDUCED[name], arrays(LARGE // CLASSES))
    assert [launch.name for launch in large] == [launch.name for launch in small]
    for before, launch in zip(small, large, strict=True):
        threads = launch.grid[0] * launch.block[0]
        if before.grid[0] > 1:
            assert threads >= 2**18
        else:  # of rank 0, or of the sums of the blocks
            assert launch.grid == before.grid == (1, 1, 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_few_long_rows_have_many_threads_each(dtype):
    """A block has as many as there can be, and no more registers than these leave it."""
    z, x = cupy.ndarray((64, 50257), dtype), cupy.ndarray((64, 50257), dtype)
    over_rows, _ = launches(losses.softmax_cross_entropy, z, x)
    assert (over_rows.grid[0], over_rows.block[0]) == (64, 1024)
    assert "--maxrregcount=64" in over_rows.source.options


PASSES = {"softmax": 3, "softmax_value_and_grad": 4, "sparse-weights[batch]": 2}


@pytest.mark.parametrize("name", PASSES)
def test_rows_are_gone_through_as_often_as_a_sum_needs_another(name):
    """Once for the largest, which the powers and their sum need, which the loss needs."""
    over_rows, *_ = launches(REDUCED[name], arrays())
    assert over_rows.source.cuda.count(f"k < {CLASSES}; k += width") == PASSES[name]


# --- numbers and sizes --------------------------------------------------------------


def focal(a, gamma=2.0, alpha=0.25):
    nn.sigmoid_focal_loss(labels=a["z"], logits=a["x"], gamma=gamma, alpha=alpha)
    derivatives.gradient_hessian(labels=a["z"], logits=a["x"], gamma=gamma, alpha=alpha)


def sigmoid(a, weight=2.0, smoothing=0.1, pos_weight=3.0):
    options = {"label_smoothing": smoothing, "pos_weight": pos_weight}
    for reduction in Reduction:
        losses.sigmoid_cross_entropy(a["z"], a["x"], weight, reduction=reduction, **options)
        derivatives.value_and_grad(
            a["hard"], a["x"], weight, reduction=reduction, where=a["mask"], **options
        )


def softmax(a, weight=2.0, smoothing=0.1):
    losses.softmax_cross_entropy(a["z"], a["x"], weight, smoothing)
    derivatives.softmax_value_and_grad(a["z"], a["x"], weight, smoothing)


OTHERS = {
    "gamma": (focal, [2.5, 3.0, 4.0, 5.0, 1e3, 1e9]),
    "alpha": (focal, [0.1, 0.5, 0.75]),
    "weight": (sigmoid, [0.5, 3.0, -1.0, 0.0, 1e30, float("inf"), float("nan")]),
    "smoothing": (sigmoid, [0.2, 0.3, 0.5, 1.0]),
    "pos_weight": (sigmoid, [2.0, 0.5, 1.0, 0.0, 1e9]),
    "weight of softmax": (softmax, [0.5, 3.0]),
    "smoothing of softmax": (softmax, [0.2, 0.5]),
}


@pytest.mark.parametrize("name", OTHERS)
def test_no_kernel_is_made_for_another_number(name):
    call, numbers = OTHERS[name]
    with emulator.launches_only():
        call(arrays())
        with emulator.watch() as seen:
            for number in numbers:
                call(arrays(), **{name.split()[0]: number})
    assert not seen.sources


def test_few_kernels_serve_every_gamma():
    """The formula takes another path below 2 and below 1, and where the dtype can not hold it."""
    with emulator.launches_only(), emulator.watch() as seen:
        for gamma in np.geomspace(1e-3, 1e20, 100):
            nn.sigmoid_focal_loss(labels=arrays()["z"], logits=arrays()["x"], gamma=float(gamma))
    below_one, below_two, others, too_large = 1, 1, 1, sum(np.geomspace(1e-3, 1e20, 100) > 7e13)
    assert len(seen.sources) <= below_one + below_two + others + too_large


def test_no_kernel_is_made_for_another_batch():
    with emulator.launches_only():
        for call in (focal, sigmoid, softmax):
            call(arrays(2))
        with emulator.watch() as seen:
            for rows in (1, 3, 300, 2**20):
                for call in (focal, sigmoid, softmax):
                    call(arrays(rows))
    assert not seen.sources


def test_contiguous_arrays_of_every_rank_share_the_kernels_of_a_sum():
    with emulator.launches_only(), emulator.watch() as seen:
        for shape in [(60,), (20, 3), (5, 4, 3), (1, 5, 4, 3)]:
            z, x, mask = (cupy.ndarray(shape, kind) for kind in ("f8", "f8", "bool"))
            derivatives.value_and_grad(z, x, 3.5, where=mask, reduction=Reduction.SUM)
    assert len(seen.sources) <= 2


def test_elements_of_large_arrays_are_counted_in_64_bits():
    """Those of weights too, which are few, but stretched to as many."""
    x, w = cupy.ndarray((2**16, 2**16), "float32"), cupy.ndarray((2**16, 1), "float32")
    over_elements, _ = launches(losses.sigmoid_cross_entropy, x, x, w)
    parameters = over_elements.source.cuda.partition("__global__")[2].partition("{")[0]
    assert "CArray<float, 1, 1, 0> in_logits" in parameters  # the last 0 says so
    assert "CArray<float, 2, 0, 0> in_weights" in parameters
    assert "const long long count" in parameters


# --- what is compiled ---------------------------------------------------------------


@pytest.fixture(scope="module")
def sources():
    """What is compiled for float32, by the names of the kernels."""
    with emulator.launches_only(), emulator.watch() as seen:
        # Sizes and strides that nothing else has: so all is compiled here.
        a = {name: array.T.T[::2] if array.ndim else array for name, array in arrays(22).items()}
        a |= {name: arrays()[name] for name in ("q", "alpha", "top")}
        for call in [*ELEMENTS.values(), *SECOND.values(), *REDUCED.values()]:
            call(a)
        for call in REDUCED.values():
            call(a, reduction=Reduction.NONE)
    return seen.sources


def test_no_product_is_rounded_together_with_a_sum(sources):
    """Formulas take numbers apart: a compiler that puts them together again takes their digits."""
    assert sources
    assert all("--fmad=false" in source.options for source in sources)


def test_float32_is_computed_in_float32(sources):
    """Float64 is 64 times as slow on many devices; sums are added in it."""
    assert sources
    for source in sources:
        if "_terms" in source.cuda:
            assert "double" not in source.cuda.partition("extern")[2], source.cuda
            lines = [line for line in source.ptx.splitlines() if ".f64" in line]
            assert all(line.startswith(".global") for line in lines), lines  # of CuPy's headers


# --- losses of one's own ----------------------------------------------------------------


def test_a_loss_of_ones_own_is_one_kernel_whatever_its_name():
    def absolute(xp, labels, logits):
        return xp.abs(logits - labels)

    loss = Loss("mean absolute (L1) error", absolute, absolute)
    x, z = cupy.asarray([1.0, 2.0]), cupy.asarray([0.5, 2.25])
    with emulator.watch() as seen:
        found = evaluate(loss, {"labels": z, "logits": x})
    assert len(seen.launches) == 1
    np.testing.assert_array_equal(found.get(), [0.5, 0.25])


def test_0_and_minus_0_are_not_taken_for_each_other():
    def signed(xp, labels, logits, number):
        return xp.copysign(logits, number)

    loss = Loss("signed", signed, signed, parameters=(Parameter("number", array=True),))
    x = cupy.ones(3)
    for number in (0.0, -0.0, 0.0):
        found = evaluate(loss, {"labels": x, "logits": x}, number=number)
        np.testing.assert_array_equal(found.get(), np.copysign(1.0, number))


def test_a_formula_that_can_not_be_recorded_runs_operation_by_operation():
    def by_power(xp, labels, logits):
        return xp.cumulative_sum(logits, axis=-1) - labels

    loss = Loss("by power", by_power, by_power)
    x, z = cupy.asarray([1.0, 2.0]), cupy.asarray([0.5, 0.25])
    found = evaluate(loss, {"labels": z, "logits": x})
    np.testing.assert_array_equal(found.get(), [0.5, 2.75])
