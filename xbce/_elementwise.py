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
    xp, gradient = _namespace(labels, logits, name), _formula.GRADIENTS.get(formula)
    with _execution.quiet():
        operands: tuple[Any, ...] = _arrays.checked(xp, _named(labels, logits), name=name)
        if pos_weight is not None:
            like = {"logits": operands[-1]}
            operands = (_operands.pos_weight_for(xp, pos_weight, like, name), *operands)
            formula = partial(_weight_first, formula)
            gradient = gradient and partial(_weight_first, gradient)
        results = _execution.run(formula, xp, *operands, outputs=outputs, gradient=gradient)
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
        operands = check(xp, _named(labels, logits), name=name)
        formula = partial(with_classes, formula)
        loss = _execution.run(formula, xp, *operands, classes=True)
        return _arrays.cast(xp, loss, logits.dtype)


def with_classes(formula: Formula, xp: Namespace, *operands: Any, **options: Any) -> Any:
    """``formula(xp, labels, logits, the numbers of the classes)``."""
    return formula(xp, *operands, _arrays.numbers(xp, operands[1]), **options)


def _weight_first(formula: Formula, xp: Namespace, q: Any, z: Array, x: Array) -> Any:
    return formula(xp, z, x, q)


def _named(labels: Array, logits: Array) -> dict[str, Array]:
    return {"labels": labels, "logits": logits}


def _namespace(labels: Array, logits: Array, name: str | None) -> Namespace:
    if labels is None or logits is None:
        _arrays.fail(ValueError, "Both labels and logits must be provided.", name)
    return _arrays.namespace(_named(labels, logits), name)
