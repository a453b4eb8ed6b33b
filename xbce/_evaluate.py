"""The one road from a public function to its result: arguments, recipe, engine, result."""

from typing import Any, NamedTuple

import numpy as np

from xbce import _arguments, _axes, _backends, _companions, _engines, _steps
from xbce._collection import GraphKeys, gather
from xbce._companions import Values
from xbce._losses import Loss
from xbce._numbers import is_number, is_one
from xbce._recipe import Recipe, recipe_of
from xbce._reduction import Reduction
from xbce._tracing import compiling
from xbce._typing import Namespace, Operands, Output, Results


class Weighting(NamedTuple):
    """What the functions of `xbce.losses` take beside those of `xbce.nn`, as it came."""

    weights: Any = 1.0
    label_smoothing: Any = 0
    loss_collection: str | None = GraphKeys.LOSSES
    reduction: Reduction | str = Reduction.SUM_BY_NONZERO_WEIGHTS
    where: Any = None
    axis: Any = None
    ignore_index: Any = None

    @classmethod
    def of_each(cls, weights: Any, label_smoothing: Any, where: Any) -> "Weighting | None":
        """That of derivatives, which are not reduced; None where it changes nothing."""
        plain = type(weights) is float and weights == 1.0
        plain = plain and type(label_smoothing) is int and label_smoothing == 0
        if plain and where is None:
            return None
        return cls(weights, label_smoothing, None, Reduction.NONE, where)


def evaluate(
    loss: Loss,
    arrays: dict[str, Any],
    *,
    output: Output = "value",
    weighting: Weighting | None = None,
    class_axis: Any = -1,
    name: str | None = None,
    **parameters: Any,
) -> Any:
    """What a formula of a loss gives, weighted and reduced where there is a `weighting`.

    Parameters
    ----------
    loss : Loss
        Which loss.
    arrays : dict
        Labels if any, then logits, by the names of their arguments.
    output : str
        Which of the loss's formulas. One of two results gives a tuple.
    weighting : Weighting, optional
        Weights, smoothing, mask and reduction.
    class_axis : int
        That of the classes, of `axis` in the functions of `xbce.nn`.
    name : str, optional
        Stands in error messages and, as the scope, in the loss collection.
    **parameters
        Those of the loss; None is left out.
    """
    try:
        call = _prepared(loss, arrays, output, weighting, class_axis, parameters)
    except (TypeError, ValueError) as error:
        if name is None or type(error) not in (TypeError, ValueError):
            raise
        raise type(error)(f"{error} (in {name!r})") from None
    recipe, xp, operands = call.recipe, call.xp, call.operands
    if compiling():  # which reads no error state, and has no use for an engine
        results = _steps.run(recipe, xp, operands)
    elif _backends.of(xp).warns:
        with np.errstate(all="ignore"):  # infinite logits are legal, and 0*inf is an answer here
            results = _engines.run(recipe, xp, operands)
    else:
        results = _engines.run(recipe, xp, operands)
    if call.class_axis != -1 and output != "value":
        results = _moved_back(xp, results, output, call.class_axis)
    if weighting is not None:
        gather(results[0], weighting.loss_collection, name or f"{loss.name}_loss")
    return results if len(results) > 1 else results[0]


def _moved_back(xp: Namespace, results: Results, output: Output, axis: int) -> Results:
    """The results with the axis of classes where that of the logits was."""
    losses = results[: output == "value_and_gradient"]
    return (*losses, *[_axes.moved(xp, slopes, -1, axis) for slopes in results[len(losses) :]])


class _Call(NamedTuple):
    """A recipe, and the operands that it is for, with the classes on the last axis."""

    recipe: Recipe
    xp: Namespace
    operands: Operands
    class_axis: int


def _prepared(
    loss: Loss,
    arrays: dict[str, Any],
    output: Output,
    weighting: Weighting | None,
    class_axis: Any,
    parameters: dict[str, Any],
) -> _Call:
    """The checked arguments."""
    for argument, array in arrays.items():
        if array is None:
            if weighting is None:
                _arguments.fail(ValueError, "Both labels and logits must be provided.")
            _arguments.fail(ValueError, f"Argument `{argument}` must not be None.")
    xp = _arguments.namespace(arrays)
    logits, backend = array, _backends.of(xp)  # the last of them, as `argument` is its name
    # Nobody casts labels for tf.nn. Where losses are widened those that are wide already are taken.
    widens = backend.widens is not None and backend.widens(logits)
    of_nn = weighting is None and output == "value"
    any_float = widens or not of_nn
    values = None
    if loss.over_classes:
        values = _over_classes(loss, argument, logits, xp, class_axis, of_nn)
        class_axis = values.class_axis
    operands: dict[str, Any] = {}
    if len(arrays) > 1:
        arrays = _checked(loss, arrays, values, xp, any_float)
        operands["labels"] = next(iter(arrays.values()))
    operands["logits"] = logits
    if values is not None and class_axis != -1:
        for key in ("logits",) if loss.class_numbers else ("labels", "logits"):
            operands[key] = _axes.moved(xp, operands[key], class_axis, -1)
    constants: tuple[tuple[str, float], ...] = ()
    reduction, axes, sums_in = Reduction.NONE, None, None
    if weighting is not None:
        sums_in = backend.sums_in(xp, logits)
    if weighting is not None and _comes_alone(loss, weighting, parameters):
        reduction = _reduction_of(weighting)
    elif weighting is not None or parameters:
        values = values or Values(argument, logits, xp, tuple(logits.shape))
        constants = _add_parameters(operands, values, loss, parameters)
        if weighting is not None:
            _add_weighting(operands, values, weighting)
            reduction, axes = _reduction_of(weighting), _axes_of(weighting, values)
    dtypes = tuple(
        [o.dtype if k in _ARRAYS or not is_number(o) else None for k, o in operands.items()]
    )
    recipe = recipe_of(
        loss,
        output,
        reduction,
        axes,
        xp,
        tuple(arrays),
        tuple(operands),
        dtypes,
        constants,
        any_float,
        widens,
        sums_in,
    )
    return _Call(recipe, xp, operands, class_axis)


def _over_classes(
    loss: Loss, argument: str, logits: Any, xp: Namespace, class_axis: Any, of_nn: bool
) -> Values:
    """What goes with logits that have an axis of classes, which tf.nn calls `axis`."""
    axis = _axes.class_axis(argument, logits, class_axis, "axis" if of_nn else "class_axis")
    shape = _axes.without_axis(tuple(logits.shape), axis)
    return Values(argument, logits, xp, shape, axis, loss.class_numbers and not of_nn)


def _checked(
    loss: Loss, arrays: dict[str, Any], values: Values | None, xp: Namespace, any_float: bool
) -> dict[str, Any]:
    """Labels and logits that go together; the labels without an axis of classes of size 1."""
    (label_argument, labels), (argument, logits) = arrays.items()
    if values is not None and values.columns:
        labels = _companions.without_column(labels, values)
        arrays = {label_argument: labels, argument: logits}
    if loss.class_numbers or labels.shape != logits.shape:
        # What is of a wrong dtype too is told of that first.
        own = (labels.dtype, logits.dtype)
        _arguments.working_dtype(xp, tuple(arrays), own, loss.class_numbers, any_float)
        losses = None if values is None else values.shape
        _arguments.check_shapes(arrays, losses, loss.class_numbers)
    backend = _backends.of(xp)
    if backend.device is not None:
        _arguments.check_devices(backend, arrays)
    return arrays


def _comes_alone(loss: Loss, weighting: Weighting, parameters: dict[str, Any]) -> bool:
    """Whether nothing goes with labels and logits, as mostly: then there is nothing to check."""
    smoothing, weights = weighting.label_smoothing, weighting.weights
    return (
        type(weights) is float
        and weights == 1.0
        and type(smoothing) is int
        and smoothing == 0
        and weighting.where is None
        and weighting.axis is None
        and weighting.ignore_index is None
        and all(value is None for value in parameters.values())
        and not any(parameter.required for parameter in loss.parameters)
    )


_ARRAYS = ("labels", "logits", "mask", "classes")
"""Operands that are never numbers."""


def _add_parameters(
    operands: dict[str, Any], values: Values, loss: Loss, parameters: dict[str, Any]
) -> tuple[tuple[str, float], ...]:
    """Add the parameters to the operands; return those that are constants."""
    constants = []
    for expected in loss.parameters:
        value = parameters.get(expected.name)
        if value is None and not expected.required:
            continue
        value = _companions.parameter(values, expected, value)
        if expected.constant and is_number(value):
            constants.append((expected.name, value))
        else:
            operands[expected.name] = value
    return tuple(constants)


def _add_weighting(operands: dict[str, Any], values: Values, weighting: Weighting) -> None:
    """Add weights, smoothing, mask, and what is left out of the classes, to the operands."""
    smoothing = _companions.scalar(values, "label_smoothing", weighting.label_smoothing)
    if not (is_number(smoothing) and smoothing <= 0):
        operands["label_smoothing"] = smoothing
    weights = _companions.weights(values, weighting.weights)
    if not is_one(weights):
        operands["weights"] = weights
    if weighting.where is not None or weighting.ignore_index is not None:
        with _backends.of(values.xp).at(values.array):
            _add_masks(operands, values, weighting)


def _add_masks(operands: dict[str, Any], values: Values, weighting: Weighting) -> None:
    """Add the mask of the losses, and, where classes are left out, that of these."""
    masks: list[Any] = []
    if weighting.ignore_index is not None:
        masks.append(_companions.counted(values, operands["labels"], weighting.ignore_index))
    if weighting.where is not None:
        mask = _companions.mask(values, weighting.where)
        if mask is not None and mask.ndim > len(values.shape):
            operands["classes"], mask = mask, values.xp.any(mask, axis=-1)
        masks.append(mask)
    kept = [mask for mask in masks if mask is not None]
    if kept:
        operands["mask"] = kept[0] if len(kept) == 1 else kept[0] & kept[1]


def _axes_of(weighting: Weighting, values: Values) -> tuple[int, ...] | None:
    """The axes to reduce, counted from the first; None for all."""
    _axes.check_reduces(weighting.axis, weighting.reduction)
    return _axes.axes(weighting.axis, len(values.shape), values.class_axis is not None)


def _reduction_of(weighting: Weighting) -> Reduction:
    if type(weighting.reduction) is Reduction:
        return weighting.reduction
    Reduction.validate(weighting.reduction)
    return Reduction(weighting.reduction)
