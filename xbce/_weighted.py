"""A weighted loss from its arguments to its value, whatever its formula.

In TensorFlow's order: checks, the labels' dtype, shapes, smoothing, the
element-wise losses, weights, reduction, collection.
"""

from typing import Any

from xbce import _arrays, _execution, _formula, _operands
from xbce._collection import gather
from xbce._elementwise import arranged
from xbce._execution import Formula
from xbce._reduction import Reduction, Weighting


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
    pos_weight: Any = None,
    where: Any = None,
    classes: bool = False,
    sparse: bool = False,
    gradient: bool = False,
) -> Any:
    """Evaluate `formula` on `arrays`, given by argument name: labels if any, then logits.

    With `classes` the losses are over the last axis, and with `sparse` the labels are
    class numbers. With `gradient` the formula gives losses and gradient, and so does this.
    """
    for argument, array in arrays.items():
        if array is None:
            _arrays.fail(ValueError, f"Argument `{argument}` must not be None.", scope)
    xp = _arrays.namespace(arrays, scope)
    dtype = array.dtype  # of the last, as `argument` is its name
    with _execution.quiet():
        if sparse:
            checked = _arrays.checked_sparse(xp, arrays, name=scope)
        else:
            axis = -1 if classes else None
            checked = _arrays.checked(xp, arrays, any_float=True, axis=axis, name=scope)
        logits = checked[-1]
        values = logits[..., 0] if classes else logits
        like = {argument: values}
        named: dict[str, Any] = {}
        smoothing = _operands.scalar(xp, "label_smoothing", label_smoothing, like, scope)
        if not (_arrays.is_number(smoothing) and smoothing <= 0):
            named["smoothing"] = smoothing
        if pos_weight is not None:
            named["q"] = _operands.pos_weight_for(xp, pos_weight, {argument: logits}, scope)
        weights, mask = _operands.weights_for(xp, weights, like, scope), None
        if where is not None:
            mask = named["mask"] = _operands.mask_for(xp, where, like, scope)
        weighting = Weighting(xp, weights, _validated(reduction, scope), values, mask)
        terms = arranged(formula, named, checked, classes)
        operands = (*named.values(), *checked)
        if gradient:
            loss, by_logits = weighting.reduce_with_gradient(terms, *operands)
        else:
            rule = arranged(_formula.GRADIENTS.get(formula), named, checked)
            loss = weighting.reduce(terms, *operands, gradient=rule)
        loss = gather(_arrays.cast(xp, loss, dtype), loss_collection, scope or default_scope)
        return (loss, _arrays.cast(xp, by_logits, dtype)) if gradient else loss


def _validated(reduction: Reduction | str, scope: str | None) -> Reduction:
    if type(reduction) is Reduction:
        return reduction
    try:
        Reduction.validate(reduction)
    except ValueError as error:
        _arrays.fail(ValueError, str(error), scope)
    return Reduction(reduction)
