"""What an engine runs: a loss, and the steps around it, as a description with operands by name.

A recipe says which formula of which loss it is, and which dtypes, weights, masks and reduction go
with it; it holds no array. It is made once for each kind of call and kept, and equal recipes have
equal hashes: so what a compiler makes of one serves all calls of its kind. `_steps` computes it.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np

from xbce import _arguments
from xbce._losses import Loss
from xbce._reduction import Reduction
from xbce._tracing import cached
from xbce._typing import Array, DType, Formula, Namespace, Operands, Output, Shape


@dataclass(frozen=True)
class Recipe:
    """A call without its arrays.

    The operands are ``logits``, and as far as there are any ``labels``, ``weights``, ``mask``,
    ``classes``, which is a mask over the classes, ``label_smoothing``, the parameters of the loss
    by their names, and ``share``, which the gradient of each loss is multiplied by.

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
    axes : tuple of int or None
        Along which axes of the losses, counted from the first; None for all.
    arrays : tuple of str
        The operands that the formula is a function of, ``labels`` if any and ``logits``.
    parameters : tuple of str
        The parameters of the loss among the operands.
    constants : tuple of (str, float)
        Those that are part of the recipe.
    smoothed, masked, chosen : bool
        Whether there is a ``label_smoothing``, a ``mask``, and ``classes``.
    spread : Loss or None
        That of the probabilities that labels, numbers of classes, become first.
    weights : {None, "number", "array"}
        What the weights are; a number may be an array of rank 0 where a compiler made one of it.
    weighs_each : bool
        Whether losses are weighted one by one; else a number, if any, scales their sum.
    casts : tuple of (str, tuple of str)
        Which operands pass through which dtypes before anything is computed.
    dtype, sums_in, result : str
        The dtypes that losses are computed in, that they are summed in, and of the results.
    """

    loss: Loss
    output: Output
    formula: Formula
    reduction: Reduction
    axes: tuple[int, ...] | None
    arrays: tuple[str, ...]
    parameters: tuple[str, ...]
    constants: tuple[tuple[str, float], ...]
    smoothed: bool
    masked: bool
    chosen: bool
    spread: Loss | None
    weights: Literal["number", "array"] | None
    weighs_each: bool
    casts: tuple[tuple[str, tuple[str, ...]], ...]
    dtype: str
    sums_in: str
    result: str

    def giving(self, output: Output, result: str) -> "Recipe":
        """The same with another output, in this dtype."""
        formula = (self.spread or self.loss).formula(output)
        return replace(self, output=output, formula=formula, result=result)

    def shape(self, operands: Operands) -> Shape:
        """The shape of the losses."""
        shape = tuple(operands["logits"].shape)
        return shape[:-1] if self.loss.over_classes else shape

    def like_losses(self, operands: Operands) -> Array:
        """An array of that shape."""
        logits = operands["logits"]
        return logits[..., 0] if self.loss.over_classes else logits

    def has_classes(self, name: str) -> bool:
        """Whether the operand of this name has the axis of classes, if it is no scalar."""
        of_losses = name in ("weights", "mask", "share")
        of_losses = of_losses or (name == "labels" and self.loss.class_numbers)
        return self.loss.over_classes and not of_losses

    def cast(self, xp: Namespace, operands: Operands) -> Operands:
        """The operands in the dtypes that they are computed in."""
        found = dict(operands)
        for name, dtypes in self.casts:
            for dtype in dtypes if name in found else ():
                found[name] = cast(xp, found[name], dtype)
        return found


@cached
def recipe_of(
    loss: Loss,
    output: Output,
    reduction: Reduction,
    axes: tuple[int, ...] | None,
    xp: Namespace,
    arguments: tuple[str, ...],
    names: tuple[str, ...],
    dtypes: tuple[DType | None, ...],
    constants: tuple[tuple[str, float], ...],
    any_float: bool,
    widens: bool,
    sums_in: DType | None,
) -> Recipe:
    """The recipe of a call of this kind; TypeError where labels and logits do not fit.

    `names` are those of the operands, whose `dtypes` are None for numbers; `arguments` those of
    labels, if any, and logits in the public function.
    """
    kinds = dict(zip(names, dtypes, strict=True))
    working = _arguments.working_dtype(xp, arguments, dtypes, loss.class_numbers, any_float)
    computed = _arguments.name_of(working)
    given = {key: _arguments.name_of(own) for key, own in kinds.items() if own is not None}
    result = computed if widens else given["logits"]
    casts = []
    for key, own in given.items():
        if key in ("mask", "classes") or (key == "labels" and loss.class_numbers):
            continue
        # Labels are rounded to the dtype of the results, as where their user had cast them.
        passed = [own, result, computed] if key == "labels" else [own, computed]
        wanted = tuple(b for a, b in pairwise(passed) if a != b)
        if wanted:
            casts.append((key, wanted))
    weights: Literal["number", "array"] | None = None
    if "weights" in kinds:
        weights = "number" if kinds["weights"] is None else "array"
    smoothed, chosen = "label_smoothing" in kinds, "classes" in kinds
    spread = loss.spread if smoothed or chosen else None
    return Recipe(
        loss,
        output,
        (spread or loss).formula(output),
        reduction,
        axes,
        arrays=("labels", "logits") if "labels" in kinds else ("logits",),
        parameters=tuple(p.name for p in loss.parameters if p.name in kinds),
        constants=constants,
        smoothed=smoothed,
        masked="mask" in kinds,
        chosen=chosen,
        spread=spread,
        weights=weights,
        weighs_each="mask" in kinds
        or weights == "array"
        or (weights == "number" and reduction is Reduction.NONE),
        casts=tuple(casts),
        dtype=computed,
        sums_in=computed if sums_in is None else _arguments.name_of(sums_in),
        result=result,
    )


def cast(xp: Namespace, array: Array, dtype: str) -> Array:
    """The array in the dtype of this name, itself where it has it."""
    wanted = dtype_of(xp, dtype)
    return array if array.dtype == wanted else xp.astype(array, wanted)


def dtype_of(xp: Namespace, name: str) -> DType:
    """The library's dtype of this name."""
    found = getattr(xp, name, None)
    return np.dtype(name) if found is None else found
