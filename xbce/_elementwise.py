"""A loss, or its derivatives, without weights: from the arguments to the value."""

from collections.abc import Callable
from functools import partial
from typing import Any

from xbce import _arrays, _execution, _formula, _operands
from xbce._execution import Formula
from xbce._formula import Array, Namespace


def sigmoid_family(
    formula: Formula,
    labels: Array,
    logits: Array,
    *,
    pos_weight: Any = None,
    name: str | None = None,
    outputs: int = 1,
) -> Any:
    """Evaluate `formula` element by element, as one array or as a tuple of `outputs`."""
    xp = _namespace(labels, logits, name)
    with _execution.quiet():
        arrays = _arrays.checked(xp, _named(labels, logits), name=name)
        named = {}
        if pos_weight is not None:
            like = {"logits": arrays[-1]}
            named["q"] = _operands.pos_weight_for(xp, pos_weight, like, name)
        results = _execution.run(
            arranged(formula, named, arrays),
            xp,
            *named.values(),
            *arrays,
            outputs=outputs,
            gradient=arranged(_formula.GRADIENTS.get(formula), named, arrays),
        )
        if outputs == 1:
            return _arrays.cast(xp, results, logits.dtype)
        return tuple(_arrays.cast(xp, result, logits.dtype) for result in results)


def softmax_family(
    formula: Formula,
    check: Callable[..., tuple[Array, Array]],
    labels: Array,
    logits: Array,
    *,
    name: str | None = None,
) -> Array:
    """Evaluate `formula` over the classes on the last axis; `check` says what labels may be."""
    xp = _namespace(labels, logits, name)
    with _execution.quiet():
        arrays = check(xp, _named(labels, logits), name=name)
        formula = arranged(formula, {}, arrays, classes=True)
        loss = _execution.run(formula, xp, *arrays, classes=True)
        return _arrays.cast(xp, loss, logits.dtype)


def arranged(
    formula: Formula | None, named: dict[str, Any], arrays: tuple[Array, ...], classes: bool = False
) -> Any:
    """`formula` as one of (xp, *named.values(), *arrays), with all that is done to labels in it.

    So an engine that runs a formula in blocks, or in one kernel, does that there too, and needs no
    array of cast, masked or smoothed labels. Labels of the logits' rank are cast to their dtype;
    of a lower one, they are the numbers of classes.
    """
    if formula is None or not (named or classes or arrays[0].dtype != arrays[-1].dtype):
        return formula
    return partial(_terms, formula, classes, tuple(named))


def _terms(
    formula: Formula, classes: bool, names: tuple[str, ...], xp: Namespace, *operands: Any
) -> Any:
    options = dict(zip(names, operands, strict=False))
    *labels, logits = operands[len(names) :]
    labels = [_arrays.cast(xp, z, logits.dtype) if z.ndim == logits.ndim else z for z in labels]
    mask, smoothing = options.pop("mask", None), options.pop("smoothing", None)
    if mask is not None:
        labels = [_formula.masked(xp, z, mask) for z in labels]
        logits = _formula.masked(xp, logits, mask)
        if not _arrays.is_number(options.get("q", 1)):
            options["q"] = _formula.masked(xp, options["q"], mask, fill=1)
    if smoothing is not None:
        number = logits.shape[-1] if classes else 2
        labels = [_formula.smooth(xp, z, smoothing, number) for z in labels]
    if classes:
        return formula(xp, *labels, logits, _arrays.numbers(xp, logits), **options)
    return formula(xp, *labels, logits, **options)


def _named(labels: Array, logits: Array) -> dict[str, Array]:
    return {"labels": labels, "logits": logits}


def _namespace(labels: Array, logits: Array, name: str | None) -> Namespace:
    if labels is None or logits is None:
        _arrays.fail(ValueError, "Both labels and logits must be provided.", name)
    return _arrays.namespace(_named(labels, logits), name)
