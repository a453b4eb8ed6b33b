"""A weighted loss from its arguments to its value, whatever its formula.

In TensorFlow's order: checks, the labels' dtype, shapes, smoothing, the
element-wise losses, weights, reduction, collection.
"""

from functools import partial
from typing import Any

from xbce import _arrays, _execution, _formula, _operands
from xbce._collection import gather
from xbce._elementwise import with_classes
from xbce._execution import Formula
from xbce._formula import Namespace
from xbce._reduction import Reduction, Weighting, masked


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
    argument, dtype = list(arrays)[-1], list(arrays.values())[-1].dtype
    with _execution.quiet():
        if sparse:
            checked = _arrays.checked_sparse(xp, arrays, name=scope)
        else:
            axis = -1 if classes else None
            checked = _arrays.checked(xp, arrays, any_float=True, axis=axis, name=scope)
        logits = checked[-1]
        values = logits[..., 0] if classes else logits
        like = {argument: values}
        operands: dict[str, Any] = {}
        smoothing = _operands.scalar(xp, "label_smoothing", label_smoothing, like, scope)
        if not (_arrays.is_number(smoothing) and smoothing <= 0):
            operands["smoothing"] = smoothing
        if pos_weight is not None:
            operands["q"] = _operands.pos_weight_for(xp, pos_weight, {argument: logits}, scope)
        weights, mask = _operands.weights_for(xp, weights, like, scope), None
        if where is not None:
            mask = operands["mask"] = _operands.mask_for(xp, where, like, scope)
        weighting = Weighting(xp, weights, _validated(reduction, scope), values, mask)
        rule = None if gradient else _formula.GRADIENTS.get(formula)
        if operands or classes:
            names = tuple(operands)
            checked = (*operands.values(), *checked)
            formula = partial(_terms, formula, classes, names)
            rule = rule and partial(_terms, rule, classes, names)
        if gradient:
            loss, by_logits = weighting.reduce_with_gradient(formula, *checked)
        else:
            loss = weighting.reduce(formula, *checked, gradient=rule)
        loss = gather(_arrays.cast(xp, loss, dtype), loss_collection, scope or default_scope)
        return (loss, _arrays.cast(xp, by_logits, dtype)) if gradient else loss


def _terms(
    formula: Formula, classes: bool, names: tuple[str, ...], xp: Namespace, *operands: Any
) -> Any:
    """The losses, with what is masked replaced first and labels smoothed."""
    options = dict(zip(names, operands, strict=False))
    arrays = list(operands[len(names) :])
    mask, smoothing = options.pop("mask", None), options.pop("smoothing", None)
    if mask is not None:
        arrays = [masked(xp, array, mask) for array in arrays]
        if not _arrays.is_number(options.get("q", 1)):
            options["q"] = masked(xp, options["q"], mask, fill=1)
    if smoothing is not None:
        number = arrays[-1].shape[-1] if classes else 2
        arrays[0] = _formula.smooth(xp, arrays[0], smoothing, number)
    if classes:
        return with_classes(formula, xp, *arrays, **options)
    return formula(xp, *arrays, **options)


def _validated(reduction: Reduction | str, scope: str | None) -> Reduction:
    if type(reduction) is Reduction:
        return reduction
    try:
        Reduction.validate(reduction)
    except ValueError as error:
        _arrays.fail(ValueError, str(error), scope)
    return Reduction(reduction)
