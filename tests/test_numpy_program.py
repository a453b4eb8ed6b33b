"""A program replayed into buffers gives what NumPy gives for the formula, bit for bit.

Whatever the formula, the data, how arrays lie in memory, how they are cut up, and how often and in
how many threads the same program is run.
"""

import operator
import random
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle, islice

import numpy as np
import pytest
from table import CASES, OUTPUTS, as_tuple, has

import xbce
from xbce._engines import _numpy
from xbce._engines._numpy_program import Replay
from xbce._engines._numpy_schedule import is_total
from xbce._evaluate import Weighting, evaluate
from xbce._losses import Loss
from xbce._recorder import record
from xbce.losses import Reduction, sigmoid_cross_entropy
from xbce.nn import sigmoid_cross_entropy_with_logits, weighted_cross_entropy_with_logits

pytestmark = pytest.mark.backend("numpy")

FLOATS = ("float16", "float32", "float64")
KINDS = ("rare", "never", "always", "often", "special")


def sample(rng, kind, dtype, shape):
    """Numbers, or a condition that holds as often as the kind says; they refuse writes."""
    if dtype.kind == "b":
        often = {"never": 0, "always": 1, "rare": 0.004, "often": 0.5, "special": 0.1}[kind]
        array = rng.random(shape) < often
    else:
        array = 3 * rng.normal(size=shape)
        array = {"never": np.abs(array) + 0.1, "always": -np.abs(array) - 0.1}.get(kind, array)
        array = np.asarray(array, dtype)
        tiny, most = np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max
        special = [np.inf, -np.inf, np.nan, 0, -0.0, tiny, -tiny, most, 1]
        there = rng.random(shape) < {"rare": 0.004, "special": 0.4}.get(kind, 0)
        array = np.where(there, rng.choice(np.array(special, dtype), size=shape), array)
    array = np.array(array, dtype)
    array.flags.writeable = False
    return array


def compare(function, inputs, sizes):
    """Replay a formula on data of each kind, in the same buffers, beside NumPy itself."""
    rng = np.random.default_rng(5)
    inputs = {name: (np.dtype(dtype), shape) for name, (dtype, shape) in inputs.items()}

    def filled(shape):
        return tuple(sizes.get(n, n) for n in shape)

    with np.errstate(all="ignore"):
        replay = Replay(record(function, inputs, {}))
        buffers = [np.full(filled(shape), 77, dtype) for dtype, shape in replay.buffers]
        for kind in KINDS:
            operands = {n: sample(rng, kind, d, filled(s)) for n, (d, s) in inputs.items()}
            desired = function(np, operands)
            kept = [value for value in replay.results if not is_total(value)]
            outputs = [np.full(filled(value.shape), 55, value.dtype) for value in kept]
            results, rest = replay.run(operands, outputs, buffers), iter(outputs)
            for value, actual, right in zip(replay.results, results, desired, strict=True):
                if not is_total(value):
                    found, actual = actual, next(rest)
                    assert np.shares_memory(found, actual)
                np.testing.assert_array_equal(actual, right, err_msg=kind, strict=actual.ndim > 0)
    return replay


def formula(seed, xp, operands):
    """A random formula; the same for arrays as for symbols."""
    r = random.Random(seed)
    floats = [o for o in operands.values() if o.dtype != bool]
    bools = [o for o in operands.values() if o.dtype == bool]

    def one(values):
        return r.choice(values[-4:]) if r.random() < 0.6 else r.choice(values)

    for _ in range(r.randint(4, 20)):
        chance, a, b = r.random(), one(floats), one(floats)
        if r.random() < 0.3:
            b = r.choice([0.0, -0.0, 1, 1.0, -1.0, 2.0, 0.1, 3, float("inf"), float("nan")])
        if chance < 0.28:
            a, b = (b, a) if r.random() < 0.5 else (a, b)
            floats.append(getattr(operator, r.choice(["add", "sub", "truediv"]))(a, b))
        elif chance < 0.4:  # 0 times what is bounded is 0, but NumPy's may be -0.0
            floats.append(a * (b if hasattr(b, "dtype") else b or 1.5))
        elif chance < 0.45:
            views = [lambda x: x[..., :1] * 2, lambda x: x[..., 0][..., None]] if a.ndim else []
            floats.append(r.choice([xp.exp, xp.log1p, operator.neg, *views[: a.ndim]])(a))
        elif chance < 0.5 and a.ndim:  # of one number NumPy's powers are others
            floats.append(a ** r.choice([0.5, 1.0, 2.0, 1.5, 2, -1.0]))
        elif chance < 0.62:
            bools.append(getattr(operator, r.choice(["lt", "le", "gt", "ge", "eq", "ne"]))(a, b))
        elif chance < 0.69:
            bools.append(r.choice([xp.isinf, xp.isnan])(a))
        elif chance < 0.77 and bools:
            p, q = one(bools), one(bools)
            bools.append(r.choice([lambda: p & q, lambda: p | q, lambda: ~p])())  # noqa: B023
        elif chance < 0.9 and bools:
            a, b = (b, a) if r.random() < 0.5 else (a, b)
            floats.append(xp.where(one(bools), a, b))
        elif chance < 0.95:
            dtype = getattr(xp, r.choice(FLOATS))
            floats.append(xp.astype(one(bools) if bools and r.random() < 0.3 else a, dtype))
        elif a.ndim == 2:
            floats.append(xp.sum(a, axis=-1)[..., None] * r.choice([1, a]))
    r.shuffle(floats)
    results = [*floats[: r.randint(1, 3)], *bools[-1:][: r.randint(0, 1)]]
    if r.random() < 0.2:
        results.append(xp.sum(floats[-1]))
    return tuple(o if o.dtype != bool else ~o for o in results)


@pytest.mark.parametrize("part", range(10))
def test_random_programs_give_what_numpy_gives(part):
    for seed in range(60 * part, 60 * part + 60):
        r = random.Random(seed + 10**6)
        full = r.choice([(-1, -2), (-1, 1), (-1, 3), (-1, 33), (-1,)])
        dtypes = r.choice([FLOATS, FLOATS[1:2], FLOATS[2:], FLOATS[:1]])
        inputs = {"a": (r.choice(dtypes), full)}
        for name in "bcd"[: r.randint(0, 3)]:
            shape = r.choice([full, full, tuple(r.choice([1, n]) for n in full), ()])
            inputs[name] = (r.choice(dtypes) if r.random() < 0.7 else "bool", shape)
        sizes = {-1: r.choice([1, 3, 50, 300]), -2: r.choice([1, 4, 60])}
        compare(partial(formula, seed), inputs, sizes)


ONE = {"x": ("float64", (-1,)), "y": ("float32", (-1,)), "m": ("bool", (-1,))}


@pytest.mark.parametrize(
    "function",
    [
        lambda xp, x, y, m, i: (x, x, m, m),
        lambda xp, x, y, m, i: (xp.ones_like(x), xp.ones_like(x), x),
        lambda xp, x, y, m, i: xp.where(m, y > 1, y < 1),
        lambda xp, x, y, m, i: xp.where(m, i + i, i),
        lambda xp, x, y, m, i: xp.where((y > 2) | xp.isnan(x), y + 1, y * 2) - y,
        lambda xp, x, y, m, i: x**-1.0 + y**-2.0,
        lambda xp, x, y, m, i: y ** (xp.ones_like(y) * 0.5),
        lambda xp, x, y, m, i: (xp.where((y > 0) & xp.isnan(x), x + 1, x * 2), x * 2),
    ],
)
def test_formulas_that_share_values_give_what_numpy_gives(function):
    def called(xp, o):
        return as_tuple(function(xp, *o.values(), xp.astype(o["m"], xp.int8) * 7))

    compare(called, ONE, {-1: 70_001})


@pytest.mark.parametrize(
    "choose",
    [
        lambda xp, own, n, x, y: xp.where(own == n, 0.5, y),
        lambda xp, own, n, x, y: xp.where(own == n, xp.sum(y, axis=-1)[..., None], y) + 1,
        lambda xp, own, n, x, y: xp.where(own == n, x + 1, y),
        lambda xp, own, n, x, y: xp.where(own == n, 0.5, xp.where(xp.isnan(y), 1.5, y)) + y,
        lambda xp, own, n, x, y: xp.where(xp.isnan(x), xp.where(own == n, 0.5, y), x) * 3,
        lambda xp, own, n, x, y: xp.sum(xp.where(own == n, y, 0.5), axis=-1),
        lambda xp, own, n, x, y: xp.sum(xp.where(own == n, x, 0.0), axis=-1)[..., None] + y,
        lambda xp, own, n, x, y: xp.sum(xp.where(own == n + 0.5, x, 0.0), axis=-1),
        lambda xp, own, n, x, y: xp.where(own == (n > 0), 0.5, y),
        lambda xp, own, n, x, y: y * xp.astype(own, y.dtype),
    ],
)
@pytest.mark.parametrize("classes", [1, 3, 64])
def test_masks_of_one_class_choose_as_any_mask(choose, classes):
    def called(xp, o):
        n = xp.astype(xp.where(xp.abs(o["n"]) < 4, o["n"] * (classes / 2), 0.0), xp.int64)
        return as_tuple(choose(xp, xp.arange(classes, dtype=xp.int64), n, o["x"], o["x"] * 2))

    inputs = {"x": ("float64", (-1, classes)), "n": ("float64", (-1, 1))}
    compare(called, inputs, {-1: 400})


def test_a_long_chain_needs_few_buffers():
    def chain(xp, o):
        x = o["x"]
        for n in range(100):
            x = xp.where(xp.isinf(x), xp.exp(-x), x * 0.5) + xp.log1p(xp.exp(x - n))
        return (x,)

    replay = compare(chain, {"x": ("float32", (-1,))}, {-1: 50})
    assert len(replay.buffers) <= 6


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks so small that small arrays have many, and threads at once."""
    sizes = {"SMALL": 300, "PARALLEL": 700, "BLOCK": 2**12, "SHARED": 2**14, "BESIDE": 0}
    for name, size in sizes.items():
        monkeypatch.setattr(_numpy, name, size)


LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "strided": lambda a: np.repeat(np.repeat(a, 2, axis=0), 2, axis=-1)[::2].T[::2].T,
    "reversed": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
}
SIZES = [(29, 10), (31, 10), (70, 10), (71, 10), (173, 10), (701, 1), (97, 2), (97, 3), (31, 33)]
SIZES += [(9, 64), (9, 65), (3, 1000)]


def arrays(loss, dtype, rows, classes, layout):
    """Labels, logits, weights and a mask, with what is special among them."""
    rng = np.random.default_rng(rows * classes)
    x = 6 * rng.normal(size=(rows, classes))
    x[:2], x[2:4, :1], x[4:5, -1:], x[5:6, -1:] = np.round(x[:2]), np.inf, -np.inf, np.nan
    z = rng.random(x.shape) / (classes if loss.over_classes else 1)
    z[:3] = z[:3] > 0.5 / classes
    w, mask = rng.random(rows) * (rng.random(rows) < 0.8), rng.random(rows) < 0.7
    z = rng.integers(0, classes, rows, dtype=np.int32) if loss.class_numbers else z.astype(dtype)
    if loss.class_numbers:
        z[[0, -1]] = -1, classes  # which are no classes
    w, mask = (w, mask) if loss.over_classes else (w[:, None], mask[:, None])
    return layout(z), layout(x.astype(dtype)), w, mask


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("loss", "parameters"), CASES)
def test_every_loss_is_the_plain_one_however_it_is_cut_up(loss, parameters, layout):
    outputs = [(output, False) for output in OUTPUTS if has(loss, output)]
    outputs += [("value", True), ("value_and_gradient", True)]
    for size, dtype in zip(SIZES, islice(cycle(FLOATS), len(layout) % 3, None), strict=False):
        z, x, w, mask = arrays(loss, dtype, *size, LAYOUTS[layout])
        same = not loss.over_classes or (size[1] > 32 and layout in ("C", "reversed"))
        rtol = 0 if same else 16 * np.finfo(dtype).eps  # classes are added in another order
        for output, weighted in outputs:
            how = Weighting(w, 0.0, None, Reduction.NONE, mask) if weighted else None

            def run(fuse, threads, given=(z, x), output=output, how=how):
                named = dict(zip(("labels", "logits"), given, strict=True))
                with xbce.options(fuse=fuse, threads=threads):
                    found = evaluate(loss, named, output=output, weighting=how, **parameters)
                return as_tuple(found)

            desired = run(False, 1)
            found = [run("auto", threads) for threads in (1, 1, 2, 5)]
            for results in found:
                for actual, first, right in zip(results, found[0], desired, strict=True):
                    case = f"{output} of {size} in {dtype}, weighted: {weighted}"
                    np.testing.assert_allclose(actual, right, rtol, rtol, err_msg=case)
                    np.testing.assert_array_equal(actual, first, err_msg=case)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    "value",
    [
        lambda xp, x: x[:] * 2,
        lambda xp, x: x + x[x == x][0] * 0,
        lambda xp, x: xp.where(x, x * 2, 1.0),
        lambda xp, x: xp.sum(x[..., None] * np.array([1.0, 2.0, 3.0]), axis=-1),
    ],
)
def test_a_formula_that_can_not_be_recorded_gives_the_same_by_blocks(value):
    loss, x = Loss("own", value, gradient=lambda xp, x: x), np.linspace(-3, 3, 2003)
    for threads in (1, 2):
        with xbce.options(threads=threads):
            np.testing.assert_array_equal(evaluate(loss, {"losses": x}), value(np, x))


@pytest.mark.usefixtures("small_blocks")
def test_numbers_and_sizes_that_change_make_no_new_program():
    x = np.random.default_rng(1).normal(size=(120, 10))

    def compare_sums(n):
        z, rows = x[: 60 + n] > 0, x[: 60 + n]
        actual = sigmoid_cross_entropy(z, rows, n / 7, reduction="weighted_sum")
        terms = sigmoid_cross_entropy_with_logits(labels=z, logits=rows)
        np.testing.assert_allclose(actual, n / 7 * terms.sum(), rtol=1e-14)

    for n in range(1, 15):  # a weight of 1 is left out
        compare_sums(n)
    known = _numpy._replay.cache_info().currsize
    for n in range(15, 60):
        compare_sums(n)
    assert _numpy._replay.cache_info().currsize == known


@pytest.mark.usefixtures("small_blocks")
def test_calls_from_many_threads_at_once_stay_apart():
    x = [np.random.default_rng(n).normal(size=(80 + n, 10)) for n in range(40)]

    def run(x):
        return weighted_cross_entropy_with_logits(labels=x > 0, logits=x, pos_weight=2.5)

    with xbce.options(fuse=False):
        desired = list(map(run, x))
    with ThreadPoolExecutor(8) as pool:
        for actual, right in zip(pool.map(run, 5 * x), 5 * desired, strict=True):
            np.testing.assert_array_equal(actual, right)
