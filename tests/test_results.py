"""What comes back: a new array, of a type that its size does not change, of any rank."""

import math
from functools import partial
from itertools import count

import numpy as np
import pytest

from xbce import derivatives, losses, nn
from xbce.losses import Reduction
from xbce.testing import as_numpy

SIZES = [10, 100_000]  # below and above what small arrays are to any engine
RNG = np.random.default_rng(11)
numpy_only = pytest.mark.backend("numpy")

# --- new arrays -------------------------------------------------------------------


def keeps_its_numbers(argument, result):
    """Whether an argument is another array than a result, and stays when that is written to."""
    if result is argument:
        return False
    before = np.array(as_numpy(argument))
    try:
        result[...] = 7.0
    except TypeError:  # JAX's arrays, and the scalars that NumPy gives, never change
        return True
    return np.array_equal(as_numpy(argument), before)


def weights_that_change_nothing(make, shape):
    """Weights and masks that an engine may be tempted to skip, by name."""
    yield "number", {"weights": 1.0}
    yield "rank 0", {"weights": make(1.0)}
    yield "ones", {"weights": make(np.ones(shape))}
    yield "one", {"weights": make(np.ones((1,) * len(shape)))}
    yield "where is None", {"where": None}
    yield "where is True", {"where": True}
    yield "where is all", {"where": make(np.ones(shape, bool), "bool")}


@pytest.mark.parametrize("shape", [(), (1,), (10,), (33, 1000)], ids=str)
def test_weighted_losses_are_never_the_argument(xp, shape):
    """Whoever writes to the result, as clipping in place does, must not write to the losses."""

    def make(values, dtype="float32"):
        return xp.asarray(values, dtype=getattr(xp, dtype))

    # Of one element a sum may be the element.
    for reduction in Reduction if math.prod(shape) == 1 else [Reduction.NONE]:
        for name, options in weights_that_change_nothing(make, shape):
            terms = make(np.ones(shape))
            result = losses.compute_weighted_loss(terms, **options, reduction=reduction)
            assert keeps_its_numbers(terms, result), (name, reduction)


@numpy_only
@pytest.mark.parametrize("size", [10, 10_000, 70_000])
def test_weighted_losses_share_no_memory_in_numpy(size):
    terms = RNG.random(size)
    for view in (terms, terms[::2], terms.reshape(2, -1).T):
        for options in ({}, {"weights": np.ones(view.shape)}, {"where": True}):
            result = losses.compute_weighted_loss(view, **options, reduction="none")
            assert not np.shares_memory(result, terms)
            np.testing.assert_array_equal(result, view)


@pytest.mark.backend("torch")
@pytest.mark.parametrize("size", [10, 70_000])
@pytest.mark.parametrize("requires_grad", [False, True])
def test_weighted_losses_share_no_memory_in_torch(size, requires_grad):
    torch = pytest.importorskip("torch")
    terms = torch.rand(size, requires_grad=requires_grad)
    for options in ({}, {"weights": torch.ones(size)}, {"where": True}):
        result = losses.compute_weighted_loss(terms, **options, reduction="none")
        assert result.untyped_storage().data_ptr() != terms.untyped_storage().data_ptr()
        assert result.requires_grad == requires_grad


@pytest.mark.parametrize("size", SIZES)
def test_weights_and_masks_are_not_the_result_either(xp, size):
    """The losses are 1, so the weights are the result: as numbers, not as an array."""
    array = partial(xp.asarray, dtype=xp.float32)
    weights = array(RNG.random(size))
    result = losses.compute_weighted_loss(array(np.ones(size)), weights, reduction="none")
    assert keeps_its_numbers(weights, result)
    q, zeros = array(RNG.random(size)), array(np.zeros(size))
    result = nn.weighted_cross_entropy_with_logits(labels=zeros, logits=zeros, pos_weight=q)
    assert keeps_its_numbers(q, result)
    assert keeps_its_numbers(zeros, result)


@pytest.mark.parametrize("size", SIZES)
def test_labels_may_be_the_logits(xp, size):
    """One array given twice: engines that write to operands, or tell them apart, would err."""
    array = partial(xp.asarray, dtype=xp.float32)
    values = RNG.random(size // 5 * 5).reshape(-1, 5)
    x, z = array(values), array(values)
    calls = {
        "sigmoid": lambda z: nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x),
        "softmax": lambda z: nn.softmax_cross_entropy_with_logits(labels=z, logits=x),
        "focal": lambda z: nn.sigmoid_focal_loss(labels=z, logits=x),
        "mean": lambda z: losses.sigmoid_cross_entropy(z, x, z, pos_weight=z),
        "gradient": lambda z: derivatives.gradient(labels=z, logits=x),
        "value_and_grad": lambda z: derivatives.value_and_grad(z, x)[1],
    }
    for name, call in calls.items():
        same, apart = call(x), call(z)
        np.testing.assert_array_equal(as_numpy(same), as_numpy(apart), err_msg=name)
        assert keeps_its_numbers(x, same), name


# --- types ------------------------------------------------------------------------


class Labelled(np.ndarray):
    """An array class of a user's own, as unit libraries and image readers have."""


NUMBERS = count()


def plain(array, path):
    return array


def subclass(array, path):
    return array.view(Labelled)


def on_disk(array, path):
    mapped = np.memmap(path / f"{next(NUMBERS)}", dtype=array.dtype, mode="w+", shape=array.shape)
    mapped[...] = array
    return mapped


def every_result(a):
    """One result of every kind, by name."""
    x, z, w, number = a["x"], a["z"], a["w"], a["number"]
    yield "nn sigmoid", nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x)
    yield (
        "nn pos_weight",
        nn.weighted_cross_entropy_with_logits(labels=z, logits=x, pos_weight=2.0),
    )
    yield "nn focal", nn.sigmoid_focal_loss(labels=z, logits=x)
    yield "nn softmax", nn.softmax_cross_entropy_with_logits(labels=z, logits=x)
    yield "nn sparse", nn.sparse_softmax_cross_entropy_with_logits(labels=number, logits=x)
    yield "gradient", derivatives.gradient(labels=z, logits=x)
    for output, result in enumerate(derivatives.gradient_hessian(labels=z, logits=x)):
        yield f"gradient_hessian {output}", result
    for reduction in Reduction:
        how = {"reduction": reduction}
        yield f"sigmoid {reduction}", losses.sigmoid_cross_entropy(z, x, **how)
        yield f"sigmoid weights {reduction}", losses.sigmoid_cross_entropy(z, x, w, **how)
        yield f"softmax {reduction}", losses.softmax_cross_entropy(z, x, **how)
        yield f"softmax weights {reduction}", losses.softmax_cross_entropy(z, x, w[:, 0], **how)
        yield f"sparse {reduction}", losses.sparse_softmax_cross_entropy(number, x, **how)
        yield f"weighted {reduction}", losses.compute_weighted_loss(x, w, **how)
        yield f"where {reduction}", losses.compute_weighted_loss(x, where=x > 0, **how)
        for output, result in enumerate(derivatives.value_and_grad(z, x, w, **how)):
            yield f"value_and_grad {reduction} {output}", result
        for output, result in enumerate(derivatives.softmax_value_and_grad(z, x, **how)):
            yield f"softmax_value_and_grad {reduction} {output}", result


@numpy_only
@pytest.mark.parametrize("dtype", ["float16", "float64"])
@pytest.mark.parametrize("kind", [plain, subclass, on_disk])
def test_the_type_of_a_result_does_not_depend_on_its_size(kind, dtype, tmp_path):
    """Small arrays go another way than large ones, which is nobody's business."""
    types, sizes = [], []
    for size in SIZES:
        x = RNG.normal(size=(size // 5, 5)).astype(dtype)
        a = {"x": x, "z": (x > 0).astype(dtype), "w": np.abs(x[:, :1])}
        a["number"] = RNG.integers(0, 5, size // 5)
        a = {name: kind(array, tmp_path) for name, array in a.items()}
        made = dict(every_result(a))
        types.append({name: type(result) for name, result in made.items()})
        sizes.append({name: result.ndim for name, result in made.items()})
        assert all(result.dtype == dtype for result in made.values())
    assert types[0] == types[1]
    assert sizes[0] == sizes[1]


@numpy_only
@pytest.mark.parametrize("size", SIZES)
def test_a_result_is_no_memory_mapped_file(size, tmp_path):
    """It would be one in name only: nothing stands behind it in the file."""
    x = on_disk(RNG.normal(size=(size // 5, 5)), tmp_path)
    z = on_disk(np.ones(x.shape), tmp_path)
    a = {"x": x, "z": z, "w": z[:, :1], "number": np.zeros(len(x), int)}
    for name, result in every_result(a):
        assert getattr(result, "filename", None) is None, name


# --- any rank ---------------------------------------------------------------------

SHAPES = {
    "small": lambda rank: (1,) * (rank - 3) + (2, 3, 4),
    "large": lambda rank: (2,) * 16 + (1,) * (rank - 16),
    "last axes long": lambda rank: (1,) * (rank - 2) + (300, 200),
}


def every_rank_and_shape(test):
    """Run the test on NumPy's arrays of 32 to 64 dimensions, the most that NumPy 2 allows."""
    test = pytest.mark.parametrize("rank", [32, 33, 64])(test)
    return numpy_only(pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)(test))


def deep(rank, shape):
    """Labels and logits with this many dimensions, and the same of rank 2."""
    shape = shape(rank)
    x = RNG.normal(size=shape)
    z = RNG.random(shape)
    flat = (math.prod(shape[:-1]), shape[-1])
    return z, x, z.reshape(flat), x.reshape(flat)


@every_rank_and_shape
def test_losses_of_any_rank_element_by_element(rank, shape):
    z, x, z2, x2 = deep(rank, shape)
    loss = nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x)
    assert loss.shape == x.shape
    desired = nn.sigmoid_cross_entropy_with_logits(labels=z2, logits=x2)
    np.testing.assert_array_equal(loss.reshape(x2.shape), desired)
    by_class = nn.weighted_cross_entropy_with_logits(labels=z, logits=x, pos_weight=z2[0])
    desired = nn.weighted_cross_entropy_with_logits(labels=z2, logits=x2, pos_weight=z2[0])
    np.testing.assert_array_equal(by_class.reshape(x2.shape), desired)


@every_rank_and_shape
@pytest.mark.parametrize("reduction", ["none", "weighted_mean", "weighted_sum_by_nonzero_weights"])
def test_weights_and_masks_of_any_rank(rank, shape, reduction):
    z, x, z2, x2 = deep(rank, shape)
    for weights, mask in (("top", None), ("full", "full"), ("column", "top"), (None, "column")):
        given = [{}, {}]
        for options, like in zip(given, (x, x2), strict=True):
            kinds = {
                "full": np.abs(like),
                "top": np.abs(like[(slice(1),) * (like.ndim - 1)]),
                "column": np.abs(like[..., :1]),
            }
            if weights:
                options["weights"] = kinds[weights]
            if mask:
                options["where"] = kinds[mask] > 0.5
        how = {"reduction": reduction}
        actual = losses.sigmoid_cross_entropy(z, x, **given[0], **how)
        desired = losses.sigmoid_cross_entropy(z2, x2, **given[1], **how)
        np.testing.assert_allclose(actual.ravel(), desired.ravel(), rtol=1e-13)
        pair = derivatives.value_and_grad(z, x, **given[0], **how)
        desired = derivatives.value_and_grad(z2, x2, **given[1], **how)
        np.testing.assert_allclose(pair[0].ravel(), desired[0].ravel(), rtol=1e-13)
        np.testing.assert_allclose(pair[1].reshape(x2.shape), desired[1], rtol=1e-13)


@every_rank_and_shape
def test_softmax_losses_of_any_rank(rank, shape):
    z, x, z2, x2 = deep(rank, shape)
    loss = nn.softmax_cross_entropy_with_logits(labels=z, logits=x)
    assert loss.shape == x.shape[:-1]
    desired = nn.softmax_cross_entropy_with_logits(labels=z2, logits=x2)
    np.testing.assert_allclose(loss.ravel(), desired, rtol=1e-14, atol=1e-15)
    weights = RNG.random(loss.shape)
    mean, gradient = derivatives.softmax_value_and_grad(z, x, weights, where=weights > 0.2)
    flat = weights.ravel()
    desired = derivatives.softmax_value_and_grad(z2, x2, flat, where=flat > 0.2)
    np.testing.assert_allclose(mean, desired[0], rtol=1e-13)
    np.testing.assert_allclose(gradient.reshape(x2.shape), desired[1], rtol=1e-12, atol=1e-18)
    numbers = RNG.integers(0, x.shape[-1], loss.shape)
    mean = losses.sparse_softmax_cross_entropy(numbers, x, weights)
    desired = losses.sparse_softmax_cross_entropy(numbers.ravel(), x2, flat)
    np.testing.assert_allclose(mean, desired, rtol=1e-13, atol=1e-15)


@every_rank_and_shape
def test_classes_on_the_first_of_many_axes(rank, shape):
    z, x, _, _ = deep(rank, shape)
    z, x = np.moveaxis(z, -1, 0), np.moveaxis(x, -1, 0)
    loss = nn.softmax_cross_entropy_with_logits(labels=z, logits=x, axis=0)
    assert loss.shape == x.shape[1:]
