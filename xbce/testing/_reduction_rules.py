"""The rules of a weighted and reduced loss, each with its reason."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

import numpy as np

from xbce._reduction import Reduction
from xbce.testing import _mask_rules, _weight_rules
from xbce.testing._arrays import every_other, transposed
from xbce.testing._batches import LENGTHS, Call, batches, long, repeated
from xbce.testing._report import Rule, told
from xbce.testing._run import Comparison, Run
from xbce.testing._ulp import as_numpy

# --- the checks -----------------------------------------------------------------


def _values(run: Run, calls: Iterator[Call]) -> Iterator[Comparison]:
    for call in calls:
        yield Comparison(call, run.value(call), *run.expected.value(call))


def _alone(run: Run, batch: Call) -> Iterator[Comparison]:
    return _values(run, iter([batch]))


def _with_weights(run: Run, batch: Call) -> Iterator[Comparison]:
    return _values(run, run.weighted(batch))


def _with_mask(run: Run, batch: Call) -> Iterator[Comparison]:
    return _values(run, run.masked(batch))


def _with_both(run: Run, batch: Call) -> Iterator[Comparison]:
    return _values(run, run.both(batch))


def _gradient(run: Run, batch: Call) -> Iterator[Comparison]:
    for call in run.every(batch, _mask_rules.SLOPES if batch.labels.ndim > 1 else 1):
        yield Comparison(call, run.slopes(call), *run.expected.gradient(call))


def _split(run: Run, batch: Call) -> Iterator[Comparison]:
    size = batch.labels.shape[0]
    if size < 2:
        return
    first = np.arange(size) < size // 2
    rank = len(run.expected.shape(batch))
    for call in run.every(batch, 1):
        parts = [call.rows(first), call.rows(~first)]
        below = [
            np.asarray(run.expected.denominator(*run.expected.weights(part)))
            for part in (call, *parts)
        ]
        if any(np.any(part == 0) for part in below):  # other rules say what must come of that
            continue
        whole, values = run.value(call), [run.value(part) for part in parts]
        if not run.expected.reduces_rows(rank):
            yield Comparison(call, whole, np.concatenate(values), np.abs(whole))
            continue
        total = sum(value * part for value, part in zip(values, below[1:], strict=True))
        yield Comparison(call, whole * below[0], total, np.abs(total))


def _order(run: Run, batch: Call) -> Iterator[Comparison]:
    size = batch.labels.shape[0]
    turned = np.arange(size)[::-1]
    for call in run.every(batch):
        before, after = run.value(call), run.value(call.rows(turned))
        if not run.expected.reduces_rows(len(run.expected.shape(call))):
            before = before[turned]
        yield Comparison(call, after, before, np.abs(before))


def _strided(run: Run, batch: Call) -> Iterator[Comparison]:
    for call in run.every(batch, 1):
        expected = run.value(call)
        for layout in (every_other, transposed):
            try:
                actual = run.value(call, layout)
            except Exception:  # an error is seen
                continue
            yield Comparison(call, actual, expected, np.abs(expected))


def _again(run: Run, batch: Call) -> Iterator[Comparison]:
    result = run.result(batch)
    before = as_numpy(result).copy()
    run.result(replace(batch, logits=-batch.logits))
    yield Comparison(batch, as_numpy(result), before, np.abs(before))


def _unreduced(run: Run, batch: Call) -> Iterator[Comparison]:
    assert run.unreduced_fn is not None
    if run.expected.reduction == Reduction.NONE:
        return
    for call in run.every(batch):
        arrays, options = run.arrays(call)
        parts = as_numpy(run.unreduced_fn(*arrays, **options))
        whole = run.value(call)
        weights, keep = run.expected.weights(call)
        whole = whole * run.expected.denominator(weights, keep)
        total = np.asarray(np.sum(parts, axis=run.expected.axis))
        yield Comparison(call, whole, total, np.sum(np.abs(parts), axis=run.expected.axis))


def _long(run: Run, batch: Call) -> Iterator[Comparison]:
    """Batches of lengths that no block divides, and one of many rows."""
    if not run.is_right():
        return  # other rules say what is wrong with short ones
    weighted = "weights" in run.takes and "full" in run.kinds
    for length in LENGTHS:
        call = long(run.expected, length, weighted)
        yield from _alone(run, call)
    times = {"float64": 0, "float32": run.rows}.get(run.make.name, run.rows // 100) // length
    if times == 0 or run.expected.reduction == Reduction.NONE:
        return
    value, size = run.expected.value(call)
    if run.expected.reduction == Reduction.SUM:
        value, size = value * times, size * times
    if np.all(value <= run.make.format.largest):
        many = repeated(run.expected, call, times)
        yield Comparison(many, run.value(many), value, size)


# --- the table ------------------------------------------------------------------


class _Check(NamedTuple):
    name: str
    reason: str
    check: Callable[[Run, Call], Iterator[Comparison]]
    needs: tuple[str, ...] = ()
    batches: int = 2  # on how many it is tried, smallest first


CHECKS = (
    _Check(
        "it is the reduction that it says",
        "another denominator is another loss, and another step of the optimizer",
        _alone,
        batches=3,
    ),
    _Check(
        "weights multiply the losses, and count as the reduction says",
        "weights of every shape that broadcasts mean the same as when they are broadcast before",
        _with_weights,
        ("weights",),
        batches=3,
    ),
    _Check(
        "a mask leaves elements out of the sum and of the denominator",
        "else padding makes the loss of a batch smaller",
        _with_mask,
        ("where",),
        batches=3,
    ),
    _Check(
        "a mask leaves out weights too",
        "an element that is not there has no weight",
        _with_both,
        ("weights", "where"),
    ),
    _Check(
        "the gradient is that of the reduction",
        "it is what is trained with",
        _gradient,
        ("gradient",),
    ),
    _Check(
        "what a mask leaves out may be anything",
        "missing labels and padded logits are often NaN, and 0*NaN is NaN",
        _mask_rules.anything,
        ("where",),
        batches=3,
    ),
    _Check(
        "what a mask leaves out changes no gradient",
        "the derivative of a `where` around a NaN is NaN still",
        _mask_rules.anything_gradient,
        ("where", "gradient"),
    ),
    _Check(
        "leaving rows out is not having them",
        "a padded batch must cost what the batch does",
        _mask_rules.rows_left_out,
        ("where",),
    ),
    _Check(
        "all left out gives 0, with a gradient of 0",
        "0/0 is NaN, and one such batch ends a training",
        _mask_rules.nothing,
        ("where",),
    ),
    _Check(
        "a NaN that counts is not hidden",
        "a loss that looks well hides that the data or the model do not",
        _mask_rules.counts,
    ),
    _Check(
        "weights that are all 0 give 0",
        "0/0 is NaN, and one such batch ends a training",
        _weight_rules.none,
        ("weights",),
    ),
    _Check(
        "scaling the weights scales the loss, or leaves a weighted mean as it is",
        "weights that are normalised in silence change the learning rate",
        _weight_rules.scaled,
        ("weights",),
    ),
    _Check(
        "a negative weight counts as what it is, or is an error",
        "a weight that is cut off or loses its sign turns the gradient of its element round",
        _weight_rules.negative,
        ("weights",),
    ),
    _Check(
        "a batch split in two adds up",
        "so gradients are accumulated, and batches spread over devices",
        _split,
    ),
    _Check("the order of rows does not matter", "a batch is a set", _order),
    _Check(
        "strides do not matter, or are an error",
        "a slice or a transposed array holds the same numbers",
        _strided,
    ),
    _Check(
        "a result stays as it is when another is computed",
        "losses are kept, for a mean or a plot",
        _again,
        batches=1,
    ),
    _Check(
        "unreduced losses add up to it",
        "both are the same loss",
        _unreduced,
        ("unreduced",),
    ),
    _Check(
        "a long batch is summed as exactly as a short one",
        "a kernel works in blocks, the last of which is seldom full, and numbers of float32 that "
        "are added one by one stop to grow at 2^24 of them",
        _long,
        batches=1,
    ),
)

RESULT = "the result has the dtype of the logits, and the shape that the reduction leaves"
UNWRITTEN = "inputs are left as they were"


def broken_rules(run: Run) -> Iterator[Rule]:
    """Each rule that applies, and what breaks it."""
    has = run.tried
    has |= {"gradient"} if run.gradient_fn else set()
    has |= {"unreduced"} if run.unreduced_fn else set()
    yield from _outside(run)
    for check in CHECKS:
        if has.issuperset(check.needs):
            broken, example = _first_broken(run, check)
            run.wrong_gradient |= bool(broken) and check.check is _gradient
            yield Rule(run.make.name, check.name, broken, check.reason, example)
    example = str(run.as_called(run.written[0])) if run.written else ""
    broken = "an input was written to" if run.written else ""
    yield Rule(run.make.name, UNWRITTEN, broken, "the caller goes on using them", example)


def _first_broken(run: Run, check: _Check) -> tuple[str, str]:
    """What breaks a rule, and the smallest batch that does."""
    for batch in islice(batches(run.expected), check.batches):
        try:
            for comparison in check.check(run, batch):
                if not run.right(comparison):
                    if comparison.symptom and comparison.symptom not in run.symptoms:
                        run.symptoms.append(comparison.symptom)
                    return comparison.told(), str(run.as_called(comparison.call))
        except Exception as error:  # whatever the implementation raises is its finding
            return told(error), str(batch)
    return "", ""


def _light(call: Call) -> Call:
    """The call with weights that sum to less than 1."""
    assert call.weights is not None
    return replace(call, weights=call.weights / 64)


def _outside(run: Run) -> Iterator[Rule]:
    """What can be said without knowing the numbers."""
    broken, example = "", ""
    for batch in batches(run.expected):
        for call in (*run.every(batch), *map(_light, run.weighted(batch))):
            try:
                actual = run.result(call)
                run.seen.append((call, as_numpy(actual)))
            except Exception:  # which the other rules say
                continue
            wrong = run.misshapen(call, actual)
            if wrong and not broken:
                broken, example = wrong, str(run.as_called(call))
    reason = "a wider one costs memory, a narrower one digits, and a shape is broadcast in silence"
    yield Rule(run.make.name, RESULT, broken, reason, example)
