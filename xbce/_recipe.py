"""What an engine runs: a loss, and the steps around it, as a description with operands by name.

A recipe says which formula of which loss it is, and which dtypes, weights, masks and reduction go
with it; it holds no array. It is made once for each kind of call and kept, and equal recipes have
equal hashes: so what a compiler makes of one serves all calls of its kind.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np

from xbce import _backends, _formula
from xbce._losses import Loss
from xbce._numbers import is_number, times, unknown
from xbce._reduction import Reduction, count, quotient, repeats
from xbce._typing import Array, DType, Formula, Namespace, Operands, Output, Scalar, Shape, Size

Results = tuple[Any, ...]
StepName = Literal["terms", "sums", "denominator", "share", "quotient"]


@dataclass(frozen=True)
class Step:
    """One step of a recipe, a function of (xp, operands) that returns a tuple of results.

    The steps are named after the methods of `Recipe`. ``terms`` works element by element, or over
    the classes. So do ``sums`` and ``denominator``, whose first result is a sum: that of parts is
    the sum of their sums. ``share`` and ``quotient`` look at ``total``, ``denominator`` and
    numbers only, of rank 0.
    """

    recipe: "Recipe"
    name: StepName

    def __call__(self, xp: Namespace, operands: Operands) -> Results:
        return getattr(self.recipe, self.name)(xp, operands)

    @property
    def summed(self) -> bool:
        """Whether the first result is a sum."""
        return self.name in ("sums", "denominator")

    @property
    def of_rank_0(self) -> bool:
        """Whether it looks at nothing but what is of rank 0."""
        return self.name in ("share", "quotient")


Execute = Callable[[StepName, Operands], Results]


@dataclass(frozen=True)
class Recipe:
    """A call without its arrays: ``recipe(xp, operands)`` runs it plainly.

    The operands are ``logits``, and as far as there are any ``labels``, ``weights``, ``mask``,
    ``label_smoothing``, the parameters of the loss by their names, and ``share``, which the
    gradient of each loss is multiplied by.

    Attributes
    ----------
    loss : Loss
        Which loss.
    output : str
        Which of its formulas.
    formula : callable
        That formula.
    reduction : Reduction
        What becomes of the losses.
    arrays : tuple of str
        The operands that the formula is a function of, ``labels`` if any and ``logits``.
    parameters : tuple of str
        The parameters of the loss among the operands.
    constants : tuple of (str, float)
        Those that are part of the recipe.
    smoothed, masked : bool
        Whether there is a ``label_smoothing``, and a ``mask``.
    weights : {None, "number", "array"}
        What the weights are; a number may be an array of rank 0 where a compiler made one of it.
    casts : tuple of (str, tuple of str)
        Which operands pass through which dtypes before anything is computed.
    dtype, sums_in, result : str
        The dtypes that losses are computed in, that they are summed in, and of the results.
    """

    loss: Loss
    output: Output
    formula: Formula
    reduction: Reduction
    arrays: tuple[str, ...]
    parameters: tuple[str, ...]
    constants: tuple[tuple[str, float], ...]
    smoothed: bool
    masked: bool
    weights: Literal["number", "array"] | None
    casts: tuple[tuple[str, tuple[str, ...]], ...]
    dtype: str
    sums_in: str
    result: str

    def __call__(self, xp: Namespace, operands: Operands) -> Results:
        if self.reduction is _NONE:
            return self.terms(xp, operands)
        return self.compose(xp, operands, lambda name, found: getattr(self, name)(xp, found))

    def compose(self, xp: Namespace, operands: Operands, execute: Execute) -> Results:
        """The results, each step as ``execute(name, operands)`` gives it.

        Two with an output of two, else one. A loss that is reduced is of rank 0.
        """
        if self.reduction is _NONE:
            return execute("terms", operands)
        found = dict(operands)
        if self.reduction is not _SUM:
            denominator = self._known_denominator(xp, operands)
            if denominator is None:
                needed = {name: found[name] for name in _COUNTED if name in found}
                (denominator,) = execute("denominator", needed)
            found["denominator"] = denominator
        if self.output != "value":
            share = self._known_share(xp, found)
            if share is None:
                (share,) = execute("share", found)
            found["share"] = share
        found["total"], *rest = execute("sums", found)
        return (*execute("quotient", found), *rest)

    # --- element by element

    def terms(self, xp: Namespace, operands: Operands) -> Results:
        """What the formula gives, weighted: in the dtype of the results, but for losses to sum."""
        results = self._weighted(xp, operands)
        kept = 0 if self.reduction is _NONE or self.output == "gradient" else 1
        if self.result != self.dtype:
            cast_ = [cast(xp, result, self.result) for result in results[kept:]]
            return (*results[:kept], *cast_)
        if results[0] is operands["logits"] and not kept:
            return (results[0] * 1,)  # the caller's own array must not come back
        return results

    def sums(self, xp: Namespace, operands: Operands) -> Results:
        """The same, the losses summed."""
        losses, *rest = self.terms(xp, operands)
        return (xp.sum(losses, dtype=dtype_of(xp, self.sums_in)), *rest)

    def _weighted(self, xp: Namespace, operands: Operands) -> Results:
        found, loss = self.cast(xp, operands) if self.casts else operands, self.loss
        arrays = [found[name] for name in self.arrays]
        parameters: dict[str, Any] = dict(self.constants) if self.constants else {}
        for name in self.parameters:
            parameters[name] = found[name]
        if self.masked:
            self._mask(xp, found["mask"], arrays, parameters)
        if self.smoothed:
            class_count = arrays[-1].shape[-1] if loss.over_classes else 2
            arrays[0] = _formula.smooth(xp, arrays[0], found["label_smoothing"], class_count)
        if loss.over_classes:
            parameters["class_numbers"] = _backends.of(xp).numbers(xp, arrays[-1])
        results = self.formula(xp, *arrays, **parameters)
        results = results if type(results) is tuple else (results,)
        weights = self._weights(xp, found) if self._weighs_each else None
        factor: Any = weights
        if "share" in found:
            factor = self._share_of_each(xp, found, weights)
        elif weights is None or self.output == "gradient_and_hessian":
            return results
        if loss.over_classes and not is_number(factor) and factor.ndim:
            factor = factor[..., None]
        if self.output == "value":
            return (times(results[0], weights),)
        if self.output == "gradient":
            return (times(results[0], factor),)
        value = results[0] if weights is None else times(results[0], weights)
        return value, times(results[1], factor)

    def _share_of_each(self, xp: Namespace, found: Operands, weights: Scalar | None) -> Scalar:
        """What the gradient of each loss is multiplied by."""
        share: Scalar = found["share"]
        if self.masked and not is_number(share):
            share = _formula.masked(xp, share, found["mask"])  # it may be infinite there
        return share if weights is None else times(share, weights)

    def _mask(
        self, xp: Namespace, mask: Array, arrays: list[Array], parameters: dict[str, Any]
    ) -> None:
        """Put numbers that do no harm where the mask leaves elements out."""
        rank = arrays[-1].ndim
        of_logits = mask[..., None] if self.loss.over_classes and mask.ndim else mask
        for n, array in enumerate(arrays):
            arrays[n] = _formula.masked(xp, array, of_logits if array.ndim == rank else mask)
        for parameter in self.loss.parameters:
            value = parameters.get(parameter.name)
            if not (value is None or is_number(value)):
                neutral = parameter.neutral
                parameters[parameter.name] = _formula.masked(xp, value, of_logits, neutral)

    def cast(self, xp: Namespace, operands: Operands) -> Operands:
        """The operands in the dtypes that they are computed in."""
        found = dict(operands)
        for name, dtypes in self.casts:
            for dtype in dtypes if name in found else ():
                found[name] = cast(xp, found[name], dtype)
        return found

    def _weights(self, xp: Namespace, found: Operands) -> Scalar:
        """What each loss is multiplied by: weights, and 0 where the mask leaves it out."""
        weights: Scalar = 1.0 if self.weights is None else found["weights"]
        if not self.masked:
            return weights
        mask = found["mask"]
        if self.weights != "array":
            weights = 0 * xp.astype(mask, dtype_of(xp, self.dtype)) + weights
        return _formula.masked(xp, weights, mask)

    @property
    def _weighs_each(self) -> bool:
        """Whether losses are weighted one by one; else a number, if any, scales their sum."""
        return self.masked or self.weights == "array" or self.reduction is _NONE

    # --- what the sum is divided by

    def _known_denominator(self, xp: Namespace, operands: Operands) -> Scalar | None:
        """The denominator where the shapes tell it."""
        of_batch = self.reduction is _OVER_BATCH_SIZE
        if self.masked or (self.weights == "array" and not of_batch):
            return None
        shape = self._shape(operands)
        size: Size = None if None in shape else prod(shape)
        if unknown(size):
            return None
        if type(size) is int:
            size = float(size)  # which no library takes for an integer of 32 bits
        if self.weights is None or of_batch:
            return size
        weight = operands["weights"]
        if is_number(weight):
            return size if weight != 0 else 0.0
        return xp.where(weight != 0, size * xp.ones_like(weight), xp.zeros_like(weight))

    def denominator(self, xp: Namespace, operands: Operands) -> Results:
        """ΣW, the number of W ≠ 0, or that of losses not left out by the mask."""
        shape = self._shape(operands)  # all that is asked of the logits, if they know it
        found = self.cast(xp, {name: o for name, o in operands.items() if name != "logits"})
        of_batch = self.reduction is _OVER_BATCH_SIZE
        each = self.masked if of_batch else self._weighs_each
        counted: Array
        if each:
            counted = found["mask"] if of_batch else self._weights(xp, found)
        else:  # the number of losses, which no shape tells
            counted = xp.ones_like(self._like_losses(operands), dtype=xp.uint8)
            if self.weights == "number" and not of_batch:
                counted = counted * (found["weights"] != 0)
        if any(map(unknown, shape)):
            like = self._like_losses(operands)
            counted = xp.where(like == like, counted, counted)  # in their shape, whatever it is
        wide = dtype_of(xp, self.sums_in)
        if self.reduction is _MEAN and each:
            total = xp.sum(counted, dtype=wide)
        else:
            total = count(xp, counted, wide)
        return (times(total, repeats(tuple(counted.shape), shape)),)

    def _shape(self, operands: Operands) -> Shape:
        """The shape of the losses."""
        shape = tuple(operands["logits"].shape)
        return shape[:-1] if self.loss.over_classes else shape

    def _like_losses(self, operands: Operands) -> Array:
        """An array of that shape."""
        logits = operands["logits"]
        return logits[..., 0] if self.loss.over_classes else logits

    # --- of rank 0

    def _known_share(self, xp: Namespace, found: Operands) -> Scalar | None:
        """What each loss counts for in the result, where no array is asked for it."""
        denominator, scale = found.get("denominator", 1.0), self._scale(xp, found)
        if not (is_number(denominator) and is_number(scale)):
            return None
        return scale / denominator if denominator != 0 else 0.0

    def share(self, xp: Namespace, operands: Operands) -> Results:
        """What each loss counts for in the result: 1/denominator, times a weight for all."""
        denominator, scale = operands.get("denominator", 1.0), self._scale(xp, operands)
        if is_number(denominator):
            scale = scale / denominator if denominator != 0 else 0 * scale
        else:
            scale = times(quotient(xp, xp.ones_like(denominator), denominator), scale)
        return (cast(xp, scale, self.dtype),)

    def quotient(self, xp: Namespace, operands: Operands) -> Results:
        """The sum, times a weight for all, over the denominator."""
        total = times(operands["total"], self._scale(xp, operands))
        if "denominator" in operands:
            total = quotient(xp, total, operands["denominator"])
        return (cast(xp, total, self.result),)

    def _scale(self, xp: Namespace, operands: Operands) -> Scalar:
        """The weight of all losses where there is one; in their mean it cancels if it is finite."""
        if self.weights is None or self._weighs_each:
            return 1.0
        weight: Scalar = operands["weights"]
        if self.reduction is not _MEAN:
            return weight
        if is_number(weight):
            return weight / weight if weight != 0 else weight
        return quotient(xp, weight, weight)


# Their names in the class cost an attribute of an enumeration each, which a small call feels.
_NONE, _SUM, _MEAN = Reduction.NONE, Reduction.SUM, Reduction.MEAN
_OVER_BATCH_SIZE = Reduction.SUM_OVER_BATCH_SIZE
_COUNTED = ("logits", "weights", "mask")


def cast(xp: Namespace, array: Array, dtype: str) -> Array:
    """The array in the dtype of this name, itself where it has it."""
    wanted = dtype_of(xp, dtype)
    return array if array.dtype == wanted else xp.astype(array, wanted)


def dtype_of(xp: Namespace, name: str) -> DType:
    """The library's dtype of this name."""
    found = getattr(xp, name, None)
    return np.dtype(name) if found is None else found
