"""What is computed of each element, or row of classes: cast, mask, smooth, the formula, weights."""

from math import inf
from typing import Any

from xbce import _backends, _formula
from xbce._numbers import is_number, times
from xbce._recipe import Recipe, dtype_of
from xbce._typing import Array, Namespace, Operands, Results, Scalar


def weighted(recipe: Recipe, xp: Namespace, operands: Operands) -> Results:
    """What the formula gives of the operands, with all that is done to these, and weighted."""
    found, loss = recipe.cast(xp, operands) if recipe.casts else operands, recipe.loss
    arrays = [found[name] for name in recipe.arrays]
    if recipe.casts:  # what is masked or smoothed below is no longer needed as it was cast
        found = {name: o for name, o in found.items() if name not in recipe.arrays}
    parameters: dict[str, Any] = dict(recipe.constants) if recipe.constants else {}
    for name in recipe.parameters:
        parameters[name] = found[name]
    if recipe.masked:
        _mask(recipe, xp, found["mask"], arrays, parameters)
    if loss.over_classes:
        parameters["class_numbers"] = _backends.of(xp).numbers(xp, arrays[-1])
    counted = None
    if recipe.smoothed or recipe.chosen:
        counted = _change_labels(recipe, xp, found, arrays, parameters.get("class_numbers"))
    results = recipe.formula(xp, *arrays, **parameters)
    results = results if type(results) is tuple else (results,)
    if counted is not None:  # in a row of NaN too a class that is left out has no slope
        results = tuple(
            [r if r.ndim < counted.ndim else _formula.masked(xp, r, counted) for r in results]
        )
    weights = weights_of_each(recipe, xp, found) if recipe.weighs_each else None
    factor: Any = weights
    if "share" in found:
        factor = _share_of_each(recipe, xp, found, weights)
    elif weights is None:
        return results
    if loss.over_classes and not is_number(factor) and factor.ndim:
        factor = factor[..., None]
    of_values = recipe.output.startswith("value")
    factors = (weights if of_values else factor, factor)
    return tuple([r if f is None else times(r, f) for r, f in zip(results, factors, strict=False)])


def _change_labels(
    recipe: Recipe, xp: Namespace, found: Operands, arrays: list[Array], class_numbers: Array
) -> Array | None:
    """Smooth labels, and leave classes out, numbers of classes as the probabilities they are.

    Returns the mask of the classes that count, if there is one.
    """
    labels, logits = arrays
    class_count: Any = logits.shape[-1] if recipe.loss.over_classes else 2
    counted = None
    if recipe.chosen:  # in a row that is left out, which the mask has filled, all classes count
        counted = found["classes"] | ~found["mask"][..., None]
        class_count = xp.sum(xp.astype(counted, logits.dtype), axis=-1)[..., None]
        arrays[-1] = _formula.masked(xp, logits, counted, -inf)
    if recipe.spread:
        labels = _formula.one_hot(xp, labels, logits, class_numbers, counted)
    if recipe.smoothed:
        labels = _formula.smooth(xp, labels, found["label_smoothing"], class_count)
    arrays[0] = _formula.masked(xp, labels, counted)
    return counted


def _mask(
    recipe: Recipe, xp: Namespace, mask: Array, arrays: list[Array], parameters: dict[str, Any]
) -> None:
    """Put numbers that do no harm where the mask leaves elements out."""
    for n, array in enumerate(arrays):
        arrays[n] = _formula.masked(xp, array, mask)
    of_logits = mask[..., None] if recipe.loss.over_classes and mask.ndim else mask
    for parameter in recipe.loss.parameters:
        value = parameters.get(parameter.name)
        if not (value is None or is_number(value) or value.ndim == 0):
            parameters[parameter.name] = _formula.masked(xp, value, of_logits, parameter.neutral)


def weights_of_each(recipe: Recipe, xp: Namespace, found: Operands) -> Scalar:
    """What each loss is multiplied by: weights, and 0 where the mask leaves it out."""
    weights: Scalar = 1.0 if recipe.weights is None else found["weights"]
    if not recipe.masked:
        return weights
    mask = found["mask"]
    if recipe.weights != "array":
        weights = 0 * xp.astype(mask, dtype_of(xp, recipe.dtype)) + weights
    return _formula.masked(xp, weights, mask)


def _share_of_each(
    recipe: Recipe, xp: Namespace, found: Operands, weights: Scalar | None
) -> Scalar:
    """What the gradient of each loss is multiplied by."""
    share: Scalar = found["share"]
    if recipe.masked and not is_number(share):
        share = _formula.masked(xp, share, found["mask"])  # it may be infinite there
    return share if weights is None else times(share, weights)
