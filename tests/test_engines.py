"""How a formula is executed changes no result: every engine, for every loss of the table."""

import numpy as np
import pytest
from by_hand import jax_once  # noqa: F401
from exact import dtype_name
from table import CASES, EACH_LOSS, OUTPUTS, as_tuple, expected, has, operands

import xbce
from xbce import losses, nn
from xbce._evaluate import Weighting, evaluate
from xbce.derivatives import gradient_hessian, softmax_value_and_grad, value_and_grad
from xbce.losses import Reduction
from xbce.testing import as_numpy

BOTH = ("value", "value_and_gradient")
COMPANIONS = [  # what stands beside labels and logits, and which outputs are asked for
    ([], BOTH),
    (["number"], BOTH[1:]),
    (["weights"], BOTH),
    (["number", "mask"], BOTH[1:]),
    (["weights", "mask", "smoothing", "parameters"], BOTH),
]


@pytest.fixture
def make(xp, dtype, array):
    """Arrays of the backend from NumPy's, floating ones in `dtype`; of Dask in many chunks."""

    def made(values):
        kind = {"b": "bool", "i": "int32", "f": dtype_name(dtype)}[values.dtype.kind]
        if "dask" in xp.__name__:
            return xp.asarray(values.astype(kind)).rechunk(999)
        return array(values, getattr(xp, kind))

    return made


def close(actual, desired, name, case, terms=1.0):
    """Compilers order additions as they like; 16 bits are rounded once, from float32.

    What cancels is as far off as its terms may be, of which the largest is about as large.
    """
    tolerance = {"float32": 64 * 2**-23, "float64": 64 * 2**-52, "float16": 2**-10}.get(name, 2**-7)
    largest = np.max(np.abs(desired[np.isfinite(desired)]), initial=0.0)
    if name == "float16":
        desired = np.where(np.abs(desired) > 65519, np.copysign(np.inf, desired), desired)
    assert actual.shape == desired.shape, case
    np.testing.assert_allclose(
        actual, desired, tolerance, terms * tolerance * largest / 64, err_msg=str(case)
    )


@pytest.mark.needs("engine")
@pytest.mark.parametrize(("loss", "parameters"), CASES)
def test_element_wise_results_of_every_loss(xp, dtype, make, loss, parameters):
    name, plain_numpy = dtype_name(dtype), xp.__name__ == "array_api_compat.numpy"
    a = operands(loss)
    powers = any(name.startswith("gamma") for name in parameters)
    if not loss.over_classes and not powers:  # certain and right, certain and wrong
        a["labels"][::7] = a["logits"][::7] > 0
        a["logits"][::97, 3], a["logits"][1::97, 5] = np.inf, -np.inf
    z, x = make(a["labels"]), make(a["logits"])
    labels = a["labels"] if loss.class_numbers else as_numpy(z)
    for output in [output for output in OUTPUTS if has(loss, output)]:
        arrays = {"labels": z, "logits": x}
        found = as_tuple(evaluate(loss, arrays, output=output, **parameters))
        with xbce.options(fuse=False):
            plain = as_tuple(evaluate(loss, arrays, output=output, **parameters))
        wanted = expected(loss, output, labels, as_numpy(x), **parameters)
        for actual, same, desired in zip(found, plain, wanted, strict=True):
            assert actual.dtype == dtype, output
            close(as_numpy(actual), desired, name, output, loss.promised("float32") / 4)
            if plain_numpy:  # but for the order in which classes are added
                eps = 16 * np.finfo(name).eps if loss.over_classes else 0
                np.testing.assert_allclose(actual, same, eps, eps, err_msg=output)


@pytest.mark.needs("engine")
@pytest.mark.parametrize("reduction", list(Reduction), ids=str)
@pytest.mark.parametrize(("loss", "parameters"), EACH_LOSS)
def test_weighted_and_reduced_results_of_every_loss(xp, dtype, make, loss, parameters, reduction):
    name = dtype_name(dtype)
    if "16" in name:
        pytest.skip("16-bit arrays are computed in float32")
    a = operands(loss)
    arrays = {"labels": make(a["labels"]), "logits": make(a["logits"])}
    seen = {"labels": a["labels"] if loss.class_numbers else as_numpy(arrays["labels"])}
    seen["logits"] = as_numpy(arrays["logits"])
    for given, outputs in COMPANIONS:
        weights = make(a["weights"]) if "weights" in given else 0.5 if "number" in given else 1.0
        where = make(a["mask"]) if "mask" in given else None
        smoothing = 0.1 if "smoothing" in given else 0.0
        weighting = Weighting(weights, smoothing, None, reduction, where)
        named, wide = dict(parameters), dict(parameters)
        for parameter in loss.parameters:
            if "parameters" in given and parameter.array:
                named[parameter.name] = make(a[parameter.name])
                wide[parameter.name] = as_numpy(named[parameter.name])
        for output in outputs:
            found = evaluate(loss, arrays, output=output, weighting=weighting, **named)
            wanted = expected(
                loss,
                output,
                **seen,
                weights=as_numpy(weights),
                smoothing=smoothing,
                mask=a["mask"] if "mask" in given else True,
                reduction=reduction,
                **wide,
            )
            for actual, desired in zip(as_tuple(found), wanted, strict=True):
                assert actual.dtype == dtype, (given, output)
                terms = loss.promised("float64") / 4
                close(as_numpy(actual), np.asarray(desired), name, (given, output), terms)


def public_results(a, z, x, w, q, mask, hard):
    """Results of the public functions, by name."""
    soft = a(np.abs(np.sin(x)))
    z, x, w, q, mask, hard = map(a, (z, x, w, q, mask, hard))
    yield "loss", nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x)
    yield "integer labels", nn.sigmoid_cross_entropy_with_logits(labels=hard, logits=x)
    yield "pos_weight", nn.weighted_cross_entropy_with_logits(labels=soft, logits=x, pos_weight=q)
    yield "focal", nn.sigmoid_focal_loss(labels=z, logits=x, alpha=0.25, gamma=2.0)
    yield "softmax", nn.softmax_cross_entropy_with_logits(labels=soft, logits=x)
    yield "another axis", nn.softmax_cross_entropy_with_logits(labels=soft, logits=x, axis=0)
    number = hard[:, 0]
    yield "sparse", nn.sparse_softmax_cross_entropy_with_logits(labels=number, logits=x)
    for output, result in enumerate(gradient_hessian(labels=soft, logits=x)):
        yield f"derivative {output}", result
    for output, result in enumerate(softmax_value_and_grad(soft, x, w[:, 0])):
        yield f"softmax {output}", result
    for name, options in {
        "plain": {},
        "weights": {"weights": w},
        "all": {"weights": w, "label_smoothing": 0.1, "pos_weight": q, "where": mask},
    }.items():
        yield name, losses.sigmoid_cross_entropy(soft, x, **options)
        for output, result in enumerate(value_and_grad(hard, x, **options)):
            yield f"{name} {output}", result
    yield "given", losses.compute_weighted_loss(x, w)


@pytest.mark.needs("engine")
def test_engines_give_what_the_plain_formula_gives(xp, dtype, make):
    name = dtype_name(dtype)
    if "16" in name:
        pytest.skip("16-bit arrays are computed in float32")
    rng = np.random.default_rng(3)
    x = 6 * rng.normal(size=(5000, 8))
    z = (x > 0).astype(float)
    arrays = z, x, rng.random((5000, 1)), rng.random(8) + 0.5, x > -3, z.astype(np.int32)
    with xbce.options(fuse=False):
        plain = {kind: as_numpy(result) for kind, result in public_results(make, *arrays)}
    for kind, result in public_results(make, *arrays):
        assert result.dtype == dtype, kind
        if xp.__name__ == "array_api_compat.numpy" and result.ndim > 0:
            eps = 16 * np.finfo(name).eps
            np.testing.assert_allclose(result, plain[kind], eps, eps, err_msg=kind)
        close(as_numpy(result), plain[kind], name, kind)


@pytest.mark.needs("engine")
def test_operands_of_every_rank_and_shape(xp, dtype, make):
    if dtype_name(dtype) not in ("float32", "float64"):
        pytest.skip("no other dtypes of what is broadcast")
    rng = np.random.default_rng(4)
    x = rng.normal(size=(9, 70, 71))  # more elements than `_engines._numpy.SMALL`
    arrays = {"labels": make(rng.random(x.shape)), "logits": make(x)}
    z, seen = as_numpy(arrays["labels"]), as_numpy(arrays["logits"])
    loss = EACH_LOSS[1].values[0]
    shapes = [(1, 1, 1), (9, 1, 1), (1, 70, 1), (1, 1, 71), (9, 1, 71), (9, 70, 71)]
    for n, shape in enumerate(shapes):
        w, q = make(rng.random(shape)), make(rng.random(shape[n % 3 :]) + 0.5)
        mask = rng.random(shapes[n - 2]) < 0.8
        for reduction in (Reduction.MEAN, Reduction.SUM_BY_NONZERO_WEIGHTS):
            weighting = Weighting(w, 0.0, None, reduction, make(mask))
            found = evaluate(
                loss, arrays, output="value_and_gradient", weighting=weighting, pos_weight=q
            )
            companions = {"weights": as_numpy(w), "mask": mask, "pos_weight": as_numpy(q)}
            wanted = expected(
                loss, "value_and_gradient", z, seen, reduction=reduction, **companions
            )
            for actual, desired in zip(found, wanted, strict=True):
                close(as_numpy(actual), np.asarray(desired), dtype_name(dtype), shape)
