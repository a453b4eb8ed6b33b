"""Dask: nothing computes inside a call, chunks run by their own library, sizes may be unknown."""

from dataclasses import replace

import numpy as np
import pytest
from table import as_tuple, operands

import xbce
from xbce import _formula, sigmoid_cross_entropy, sigmoid_cross_entropy_with_logits
from xbce._evaluate import Weighting, evaluate
from xbce._losses import LOSSES, SIGMOID
from xbce.derivatives import value_and_grad
from xbce.losses import Reduction, compute_weighted_loss

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

X = np.random.default_rng(5).normal(size=(12, 3)) * 3
Z = (X > 1).astype(float)


def positive(array):
    """Rows whose number Dask learns when it computes, and the same rows in NumPy."""
    chunks = da.from_array(array, chunks=(4, 2))
    return chunks[da.from_array(X, chunks=(4, 2))[:, 0] > 0], array[X[:, 0] > 0]


def all_results(z, x, w):
    """One result of every kind, by name."""
    yield "losses", sigmoid_cross_entropy_with_logits(labels=z, logits=x)
    for reduction in Reduction:
        for number, weights in enumerate((1.0, 0.5, w)):
            loss = sigmoid_cross_entropy(z, x, weights, 0.1, reduction=reduction)
            value, gradient = value_and_grad(z, x, weights, reduction=reduction)
            yield f"{reduction} {number}", loss
            yield f"{reduction} {number} value", value
            yield f"{reduction} {number} gradient", gradient


def test_nothing_computes_inside_a_call():
    def scheduler(*args, **kwargs):
        raise AssertionError("computed")

    z, x = (da.from_array(a, chunks=(4, 2)) for a in (Z, X))
    unknown, _ = positive(X)
    with dask.config.set(scheduler=scheduler):
        with pytest.raises(AssertionError, match="computed"):
            x.sum().compute()
        for arrays in ((z, x, x[:, :1]), (unknown * 0, unknown, unknown[:, :1])):
            for name, result in all_results(*arrays):
                assert isinstance(result, da.Array), name


@pytest.mark.parametrize("chunks", [(12, 3), (5, 2), (1, 1)])
def test_chunks_do_not_matter(chunks):
    lazy = all_results(
        da.from_array(Z, chunks=(4, 3)),
        da.from_array(X, chunks=chunks),
        da.from_array(X[:, :1], chunks=2),
    )
    for (name, actual), (_, desired) in zip(lazy, all_results(Z, X, X[:, :1]), strict=True):
        np.testing.assert_allclose(actual.compute(), desired, rtol=1e-12, err_msg=name)


def test_unknown_sizes_match_anything_until_they_are_known():
    (z, plain_z), (x, plain_x) = positive(Z), positive(X)
    for lazy, plain in (
        (x[:, :1], plain_x[:, :1]),
        (x, plain_x),
        (da.from_array(X[:1], chunks=2), X[:1]),
    ):
        pairs = zip(all_results(z, x, lazy), all_results(plain_z, plain_x, plain), strict=True)
        for (name, actual), (_, desired) in pairs:
            np.testing.assert_allclose(actual.compute(), desired, rtol=1e-12, err_msg=name)


def test_sizes_that_turn_out_different_are_an_error():
    x, _ = positive(X)
    fewer = da.from_array(Z, chunks=(4, 2))
    fewer = fewer[da.from_array(X, chunks=(4, 2))[:, 0] > 2]
    for result in (
        sigmoid_cross_entropy_with_logits(labels=fewer, logits=x),
        sigmoid_cross_entropy(fewer, x),
        value_and_grad(x, x, fewer)[0],
    ):
        with pytest.raises(ValueError, match="must have the same shape; got"):
            result.compute()


def counted(seen):
    """The sigmoid loss, which notes the shapes that it is asked for."""

    def value_and_gradient(xp, z, x):
        seen.append(x.shape)
        return _formula.sigmoid_value_and_gradient(xp, z, x)

    return replace(SIGMOID, name="counted", value_and_gradient=value_and_gradient)


def test_one_task_a_chunk():
    ran = []
    arrays = {"labels": da.from_array(Z, chunks=(4, 3)), "logits": da.from_array(X, chunks=(4, 3))}
    both = evaluate(counted(ran), arrays, output="value_and_gradient")
    dask.compute(*both, scheduler="synchronous")
    assert ran == [(4, 3)] * 3


def test_dask_sums_each_chunk_where_it_is():
    shapes, z = [], np.random.default_rng(3).random((5000, 8))
    arrays = {name: da.from_array(z, chunks=(1000, 8)) for name in ("labels", "logits")}
    weighting = Weighting(reduction=Reduction.SUM)
    both = evaluate(counted(shapes), arrays, output="value_and_gradient", weighting=weighting)
    actual, by_logits = dask.compute(*both, scheduler="synchronous")
    assert shapes == [(1000, 8)] * 5
    desired = _formula.sigmoid_value_and_gradient(np, z, z)
    np.testing.assert_allclose(actual, desired[0].sum(), rtol=1e-14)
    np.testing.assert_array_equal(by_logits, desired[1])


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_every_loss_in_chunks_of_any_shape(loss):
    a = operands(loss, 12, 3)
    parameters = loss.examples()[0]
    for reduction in Reduction:
        for output in ("value", "value_and_gradient"):

            def result(a, reduction=reduction, output=output):
                arrays = {"labels": a["labels"], "logits": a["logits"]}
                how = Weighting(a["weights"], 0, None, reduction, a["mask"])
                found = evaluate(loss, arrays, output=output, weighting=how, **parameters)
                return as_tuple(found)

            for rows, columns in ((12, 3), (5, 2), (1, 1)):
                chunks = {k: (rows, columns)[: v.ndim] for k, v in a.items()}
                lazy = {k: da.from_array(v, chunks=chunks[k]) for k, v in a.items()}
                for actual, desired in zip(result(lazy), result(a), strict=True):
                    assert actual.shape == desired.shape
                    assert actual.dtype == desired.dtype
                    np.testing.assert_allclose(actual.compute(), desired, 1e-12, 1e-15)


def test_options_of_the_call_hold_when_chunks_are_computed(monkeypatch):
    from xbce._engines import _options

    heard = []
    original = _options.engine_of

    def engine_of(xp):
        heard.append((xp.__name__.rpartition(".")[2], *_options.current()))
        return original(xp)

    x = da.from_array(X, chunks=(4, 3))
    with xbce.options(fuse=False):
        loss = sigmoid_cross_entropy_with_logits(labels=x, logits=x)
    monkeypatch.setattr(_options, "engine_of", engine_of)
    loss.compute(scheduler="synchronous")
    assert set(heard) == {("numpy", False, 1)}


def test_chunks_of_cupy_stay_on_the_gpu():
    cupy = pytest.importorskip("cupy")
    if not cupy.cuda.is_available():
        pytest.skip("cupy: no CUDA GPU here")
    z, x = (da.from_array(cupy.asarray(a), chunks=(4, 3)) for a in (Z, X))
    w = da.from_array(cupy.asarray(X[:, :1] + 9), chunks=(4, 1))
    for (name, lazy), (_, wanted) in zip(
        all_results(z, x, w), all_results(Z, X, X[:, :1] + 9), strict=True
    ):
        found = lazy.compute(scheduler="synchronous")
        assert isinstance(found, cupy.ndarray), name
        np.testing.assert_allclose(found.get(), wanted, rtol=1e-12, atol=1e-15, err_msg=name)


def test_unknown_sizes_beside_known_ones():
    lazy = da.from_array(np.arange(6.0).reshape(6, 1), chunks=(6, 1))
    unknown, known = lazy[lazy[:, 0] > 1], da.from_array(np.ones((4, 1)), chunks=(4, 1))
    assert compute_weighted_loss(unknown, known).compute() == 3.5
    assert compute_weighted_loss(known, unknown).compute() == 3.5


def test_chunks_do_not_warn():
    z, x, w = (da.from_array(np.array(a)) for a in ([1.0, 1.0], [-np.inf, 1.0], [0.0, 1.0]))
    assert np.isnan(sigmoid_cross_entropy(z, x, w).compute())


@pytest.mark.filterwarnings("error")
def test_casts_that_overflow_do_not_warn():
    big, zeros = da.full((4, 4), 60000, dtype="f2", chunks=2), da.zeros((4, 4), "f2", chunks=2)
    assert sigmoid_cross_entropy(zeros, big, reduction=Reduction.SUM).compute() == np.inf
    many = da.full((4, 4), 10**6, chunks=2)
    assert sigmoid_cross_entropy_with_logits(labels=many, logits=-zeros).compute().shape == (4, 4)
    weights = da.full((4, 4), 1e300, chunks=2)
    assert sigmoid_cross_entropy(zeros.astype("f4"), big.astype("f4"), weights).compute() == np.inf


def test_masked_arrays_are_an_error():
    masked = da.ma.masked_array(da.from_array(Z), mask=Z > 1)
    with pytest.raises(TypeError, match=r"`labels`.*dask\.array\.ma\.filled"):
        sigmoid_cross_entropy_with_logits(labels=masked, logits=da.from_array(X))
