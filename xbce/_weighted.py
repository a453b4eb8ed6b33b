"""A weighted loss from its arguments to its value, whatever its formula.

In TensorFlow's order: checks, the labels' dtype, shapes, smoothing, the
element-wise losses, weights, reduction, collection.
"""

from functools import partial
from typing import Any

from xbce import _arrays, _execution, _formula
from xbce._collection import gather
from xbce._execution import Formula
from xbce._formula import Array, Namespace
from xbce._weighting import Reduction, Weighting


def weighted_loss(
    formula: Formula,
    arrays: dict[str, Any],
    *,
    weights: Any,
    label_smoothing: Any = 0,
    scope: str | None,
    default_scope: str,
    loss_collection: str | None,
    reduction: Reduction | str,
    gradient: bool = False,
) -> Any:
    """Evaluate `formula` on `arrays`, given by argument name: labels if any, then logits.

    With `gradient`, the formula gives losses and gradient, and so does this.
    """
    for argument, array in arrays.items():
        if array is None:
            _arrays.fail(ValueError, f"Argument `{argument}` must not be None.", scope)
    xp = _arrays.namespace(arrays, scope)
    with _execution.quiet():
        operands = _arrays.checked(xp, arrays, any_float=True, name=scope)
        argument, values = list(arrays)[-1], operands[-1]
        like = {argument: values}
        smoothing = _arrays.scalar(xp, "label_smoothing", label_smoothing, like, scope)
        if not (_arrays.is_number(smoothing) and smoothing <= 0):
            formula, operands = partial(_smoothed, formula), (*operands, smoothing)
        weights = _arrays.weights_for(xp, weights, like, scope)
        weighting = Weighting(xp, weights, _validated(reduction, scope), values)
        dtype = arrays[argument].dtype
        if gradient:
            loss, by_logits = weighting.reduce_with_gradient(formula, *operands)
            by_logits = _arrays.cast(xp, by_logits, dtype)
        else:
            loss = weighting.reduce(formula, *operands)
        loss = gather(_arrays.cast(xp, loss, dtype), loss_collection, scope or default_scope)
    return (loss, by_logits) if gradient else loss


def _validated(reduction: Reduction | str, scope: str | None) -> Reduction:
    try:
        Reduction.validate(reduction)
    except ValueError as error:
        _arrays.fail(ValueError, str(error), scope)
    return Reduction(reduction)


def _smoothed(formula: Formula, xp: Namespace, z: Array, x: Array, smoothing: Any) -> Any:
    return formula(xp, _formula.smooth(xp, z, smoothing), x)
