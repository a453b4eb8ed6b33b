"""How a recipe is computed, step by step: the same steps for every engine.

Element by element, or over the classes, `terms` computes losses and derivatives with all that is
done to their operands (in `_terms`). A loss that is reduced takes more steps: `denominator`, which
its sum is divided by, `share`, which each loss then counts for in the gradient, `sums`, and
`quotient`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Literal

from xbce import _reduction
from xbce._numbers import is_number, times, unknown
from xbce._recipe import Recipe, cast, dtype_of
from xbce._reduction import Reduction
from xbce._terms import weighted, weights_of_each
from xbce._typing import Array, Namespace, Operands, Results, Scalar, Size

StepName = Literal["all", "terms", "sums", "denominator", "share", "quotient", "reduced"]
Execute = Callable[[StepName, Operands], Results]

# Their names in the class cost an attribute of an enumeration each, which a small call feels.
_NONE, _SUM, _MEAN = Reduction.NONE, Reduction.SUM, Reduction.MEAN
_OVER_BATCH_SIZE = Reduction.SUM_OVER_BATCH_SIZE


@dataclass(frozen=True)
class Step:
    """One step of a recipe, a function of (xp, operands) that returns a tuple of results.

    ``all`` is the whole recipe at once, for compilers. ``terms`` works element by element, or over
    the classes. So do ``sums`` and ``denominator``, whose first result is a sum: that of parts is
    the sum of their sums. ``share`` and ``quotient`` look at numbers and arrays of rank 0 only.
    ``reduced`` is all of these at once, but for a denominator and a share that are operands.
    """

    recipe: Recipe
    name: StepName

    def __call__(self, xp: Namespace, operands: Operands) -> Results:
        return _STEPS[self.name](self.recipe, xp, operands)

    @property
    def summed(self) -> bool:
        """Whether the first result is a sum."""
        return self.name in ("sums", "denominator")

    @property
    def of_rank_0(self) -> bool:
        """Whether it looks at nothing but what is of rank 0."""
        return self.name in ("share", "quotient")


def run(recipe: Recipe, xp: Namespace, operands: Operands) -> Results:
    """The results of a recipe, computed plainly: what every engine must give."""
    if recipe.reduction is _NONE:
        return _terms(recipe, xp, operands)
    return compose(recipe, xp, operands, lambda name, found: _STEPS[name](recipe, xp, found))


def compose(
    recipe: Recipe, xp: Namespace, operands: Operands, execute: Execute, at_once: bool = False
) -> Results:
    """The same, each step as ``execute(name, operands)`` gives it; at once, what can be.

    Two results with an output of two, else one. A loss that is reduced is of rank 0.
    """
    if recipe.reduction is _NONE:
        return execute("terms", operands)
    if recipe.axes is not None:
        execute, at_once = _along_axes(recipe, xp, execute), False
    found, derives = dict(operands), recipe.output != "value"
    if recipe.reduction is not _SUM:
        denominator = _known_denominator(recipe, xp, operands)
        if denominator is None and (derives or not at_once):
            needed = {name: found[name] for name in _COUNTED if name in found}
            (denominator,) = execute("denominator", needed)
        if denominator is not None:
            found["denominator"] = denominator
    if derives:
        share = _known_share(recipe, xp, found)
        if share is None and not at_once:
            (share,) = execute("share", found)
        if share is not None:
            found["share"] = share
    if at_once:
        return execute("reduced", found)
    found["total"], *rest = execute("sums", found)
    return (*execute("quotient", found), *rest)


_COUNTED = ("logits", "weights", "mask")


def _along_axes(recipe: Recipe, xp: Namespace, execute: Execute) -> Execute:
    """The same of losses that some axes are kept of: an engine computes them, the library adds."""

    def execute_step(name: StepName, operands: Operands) -> Results:
        if name != "sums":
            return _STEPS[name](recipe, xp, operands)
        losses, *rest = execute("terms", operands)
        return (_total(recipe, xp, losses), *rest)

    return execute_step


# --- element by element -----------------------------------------------------------


def _terms(recipe: Recipe, xp: Namespace, operands: Operands) -> Results:
    """What the formula gives, weighted: in the dtype of the results, but for losses to sum."""
    results = weighted(recipe, xp, operands)
    kept = 0 if recipe.reduction is _NONE or recipe.output == "gradient" else 1
    if recipe.result != recipe.dtype:
        rounded = [cast(xp, result, recipe.result) for result in results[kept:]]
        return (*results[:kept], *rounded)
    if results[0] is operands["logits"] and not kept:
        return (results[0] * 1, *results[1:])  # the caller's own array must not come back
    return results


def _sums(recipe: Recipe, xp: Namespace, operands: Operands) -> Results:
    """The same, the losses summed."""
    losses, *rest = _terms(recipe, xp, operands)
    return (_total(recipe, xp, losses), *rest)


def _total(recipe: Recipe, xp: Namespace, array: Array) -> Array:
    """The sum that a recipe asks for."""
    return _reduction.total(xp, array, dtype_of(xp, recipe.sums_in), recipe.axes)


# --- what the sum is divided by -----------------------------------------------------


def _known_denominator(recipe: Recipe, xp: Namespace, operands: Operands) -> Scalar | None:
    """The denominator where the shapes tell it."""
    of_batch = recipe.reduction is _OVER_BATCH_SIZE
    if recipe.masked or (recipe.weights == "array" and not of_batch):
        return None
    shape = recipe.shape(operands)
    if recipe.axes is not None:
        shape = tuple([shape[axis] for axis in recipe.axes])
    size: Size = None if None in shape else prod(shape)
    if unknown(size):
        return None
    if type(size) is int:
        size = float(size)  # which no library takes for an integer of 32 bits
    if recipe.weights is None or of_batch:
        return size
    weight = operands["weights"]
    if is_number(weight):
        return size if weight != 0 else 0.0
    return xp.where(weight != 0, size * xp.ones_like(weight), xp.zeros_like(weight))


def _denominator(recipe: Recipe, xp: Namespace, operands: Operands) -> Results:
    """ΣW, the number of W ≠ 0, or that of losses not left out by the mask."""
    shape = recipe.shape(operands)  # all that is asked of the logits, if they know it
    found = recipe.cast(xp, {name: o for name, o in operands.items() if name != "logits"})
    of_batch = recipe.reduction is _OVER_BATCH_SIZE
    each = recipe.masked if of_batch else recipe.weighs_each
    counted: Array
    if each:
        counted = found["mask"] if of_batch else weights_of_each(recipe, xp, found)
    else:  # the number of losses, which no shape tells
        counted = xp.ones_like(recipe.like_losses(operands), dtype=xp.uint8)
        if recipe.weights == "number" and not of_batch:
            counted = counted * (found["weights"] != 0)
    if any(map(unknown, shape)):
        like = recipe.like_losses(operands)
        counted = xp.where(like == like, counted, counted)  # in their shape, whatever it is
    own = (1,) * (len(shape) - counted.ndim) + tuple(counted.shape)
    if recipe.axes is not None and counted.ndim < len(shape):
        counted = xp.reshape(counted, own)
    if recipe.reduction is _MEAN and each:
        total = _total(recipe, xp, counted)
    else:
        total = _reduction.count(xp, counted, dtype_of(xp, recipe.sums_in), recipe.axes)
    return (times(total, _reduction.repeats(own, shape, recipe.axes)),)


# --- of rank 0 --------------------------------------------------------------------


def _known_share(recipe: Recipe, xp: Namespace, found: Operands) -> Scalar | None:
    """What each loss counts for in the result, where no array is asked for it."""
    denominator, scale = found.get("denominator", 1.0), _scale(recipe, xp, found)
    if not (is_number(denominator) and is_number(scale)):
        return None
    return scale / denominator if denominator != 0 else 0.0


def _share(recipe: Recipe, xp: Namespace, operands: Operands) -> Results:
    """What each loss counts for in the result: 1/denominator, times a weight for all."""
    denominator, scale = operands.get("denominator", 1.0), _scale(recipe, xp, operands)
    if is_number(denominator):
        scale = scale / denominator if denominator != 0 else 0 * scale
    else:
        one = xp.ones_like(denominator)
        scale = times(_reduction.quotient(xp, one, denominator), scale)
    return (cast(xp, scale, recipe.dtype),)


def _quotient(recipe: Recipe, xp: Namespace, operands: Operands) -> Results:
    """The sum, times a weight for all, over the denominator."""
    total = times(operands["total"], _scale(recipe, xp, operands))
    if "denominator" in operands:
        total = _reduction.quotient(xp, total, operands["denominator"])
    if recipe.axes:
        total = xp.squeeze(total, axis=recipe.axes)
    return (cast(xp, total, recipe.result),)


def _reduced(recipe: Recipe, xp: Namespace, operands: Operands) -> Results:
    """The sum and what becomes of it, and what that takes unless it is there."""
    found = dict(operands)
    if recipe.reduction is not _SUM and "denominator" not in found:
        (found["denominator"],) = _denominator(recipe, xp, operands)
    if recipe.output != "value" and "share" not in found:
        (found["share"],) = _share(recipe, xp, found)
    found["total"], *rest = _sums(recipe, xp, found)
    return (*_quotient(recipe, xp, found), *rest)


def _scale(recipe: Recipe, xp: Namespace, operands: Operands) -> Scalar:
    """The weight of all losses where there is one; in their mean it cancels if it is finite."""
    if recipe.weights is None or recipe.weighs_each:
        return 1.0
    weight: Scalar = operands["weights"]
    if recipe.reduction is not _MEAN:
        return weight
    if is_number(weight):
        return weight / weight if weight != 0 else weight
    return _reduction.quotient(xp, weight, weight)


_STEPS: dict[StepName, Callable[[Recipe, Namespace, Operands], Results]] = {
    "all": run,
    "terms": _terms,
    "sums": _sums,
    "denominator": _denominator,
    "share": _share,
    "quotient": _quotient,
    "reduced": _reduced,
}
