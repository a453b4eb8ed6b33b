"""How element-wise losses become one number: weights, and the six reductions.

With l the losses, W the weights broadcast to them and n their number:

    none                              l*W
    weighted_sum                      Σ l*W
    weighted_mean                     Σ l*W / ΣW
    weighted_sum_over_batch_size      Σ l*W / n
    weighted_sum_by_nonzero_weights   Σ l*W / count(W ≠ 0)

and 0 where the denominator is 0.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

import numpy as np

from xbce import _arrays, _execution, _formula
from xbce._arrays import is_number, is_one
from xbce._execution import Formula
from xbce._formula import Array, Namespace


class Reduction(StrEnum):
    """How weighted losses are reduced; TensorFlow's names and strings.

    With ``l`` the losses, ``W`` the weights broadcast to them and a zero
    denominator giving 0:

    ========================== ===================================== ========================
    name                       string                                value
    ========================== ===================================== ========================
    `NONE`                     ``"none"``                            ``l*W``
    `SUM`                      ``"weighted_sum"``                    ``Σ l*W``
    `MEAN`                     ``"weighted_mean"``                   ``Σ l*W / ΣW``
    `SUM_OVER_BATCH_SIZE`      ``"weighted_sum_over_batch_size"``    ``Σ l*W / len(l)``
    `SUM_BY_NONZERO_WEIGHTS`   ``"weighted_sum_by_nonzero_weights"`` ``Σ l*W / count(W != 0)``
    `SUM_OVER_NONZERO_WEIGHTS` (an alias of the last)
    ========================== ===================================== ========================
    """

    NONE = "none"
    SUM = "weighted_sum"
    SUM_OVER_BATCH_SIZE = "weighted_sum_over_batch_size"
    MEAN = "weighted_mean"
    SUM_BY_NONZERO_WEIGHTS = "weighted_sum_by_nonzero_weights"
    SUM_OVER_NONZERO_WEIGHTS = SUM_BY_NONZERO_WEIGHTS

    @classmethod
    def all(cls) -> tuple[str, ...]:
        """All six names' strings, in TensorFlow's order; the aliased one stands twice."""
        return (
            cls.NONE,
            cls.SUM,
            cls.MEAN,
            cls.SUM_OVER_BATCH_SIZE,
            cls.SUM_OVER_NONZERO_WEIGHTS,
            cls.SUM_BY_NONZERO_WEIGHTS,
        )

    @classmethod
    def validate(cls, key: object) -> None:
        """Raise ValueError unless `key` is one of the reductions or of their strings."""
        if key not in cls.all():
            keys = tuple(str(known) for known in cls.all())
            raise ValueError(f"Invalid Reduction Key {key}. Key should be one of {keys}.")


@dataclass(slots=True)
class Weighting:
    """Checked weights, a Python float or an array, that reduce losses of the shape of `values`.

    Where there is a `mask`, of the shape of weights, what it leaves out has weight 0
    and does not count.
    """

    xp: Namespace
    weights: Any
    reduction: Reduction
    values: Array
    mask: Array | None = None

    def reduce(self, formula: Formula, *operands: Any, gradient: Formula | None = None) -> Array:
        """The losses ``formula(xp, *operands)``, weighted and reduced.

        `gradient` is the derivative of `formula` by the last operand, where there is one to give.
        """
        weighers, scale = self._split()
        if len(weighers) > 1 or not is_one(weighers[0]):
            formula = partial(_weighted, formula, 1, len(weighers))
            if self.mask is not None and self.reduction is Reduction.NONE:
                gradient = None  # it would multiply what comes from outside by 0
            gradient = gradient and partial(_weighted, gradient, 1, len(weighers))
            operands = (*weighers, *operands)
        total = self._run(formula, operands, gradient=gradient)
        return self._divided(total, scale, self._denominator(weighers))

    def reduce_with_gradient(self, formula: Formula, *operands: Any) -> tuple[Array, Array]:
        """The same for ``losses, gradient = formula(xp, *operands)``, and the result's gradient."""
        weighers, scale = self._split()
        denominator = self._denominator(weighers)
        share = scale * self._share(denominator)
        if not is_number(share):
            share = _arrays.cast(self.xp, share, self.values.dtype)
        formula = partial(_weighted, formula, 2, len(weighers))
        total, gradient = self._run(formula, (*weighers, share, *operands), outputs=2)
        return self._divided(total, scale, denominator), gradient

    def _run(self, formula: Formula, operands: tuple[Any, ...], **how: Any) -> Any:
        if self.reduction is not Reduction.NONE:
            how["summed"] = _arrays.accumulator(self.xp, self.values)
        classes = len(operands[-1].shape) > len(self.values.shape)
        return _execution.run(formula, self.xp, *operands, classes=classes, **how)

    def _split(self) -> tuple[tuple[Any, ...], Any]:
        """What weighs the elements: weights, and a mask if any; and a scale of their sum.

        A constant weight without a mask is such a scale.
        """
        weights = self.weights
        if self.mask is not None:
            if is_number(weights):
                weights = _arrays.constant(self.xp, weights, self.values.dtype, self.values)
            return (weights, self.mask), 1.0
        if not is_number(weights) or self.reduction is Reduction.NONE:
            return (weights,), 1.0
        if self.reduction is Reduction.MEAN and weights != 0:
            weights /= weights  # 1, and NaN where the sum of the weights is not finite
        return (1.0,), weights

    def _divided(self, total: Array, scale: Any, denominator: Any) -> Array:
        if self.reduction is Reduction.NONE:
            return total
        if isinstance(total, np.generic):  # at once: small arrays are to cost little Python
            return _quotient(self.xp, total, scale, denominator)
        return _execution.run(_quotient, self.xp, total, scale, denominator)

    def _denominator(self, weighers: tuple[Any, ...]) -> Any:
        """What the sum is divided by, a Python number where the shapes tell it."""
        if self.reduction is Reduction.NONE or self.reduction is Reduction.SUM:
            return 1
        if self.reduction is Reduction.SUM_OVER_BATCH_SIZE:
            return self._count() if self.mask is None else self._over_values(True, (self.mask,))
        if is_number(weighers[0]):
            return self._count() if self.weights != 0 else 0
        return self._over_values(self.reduction is not Reduction.MEAN, weighers)

    def _over_values(self, counted: bool, weighers: tuple[Array, ...]) -> Array:
        """ΣW, or the number of W ≠ 0, each as often as it is broadcast to the values."""
        xp, sizes = self.xp, [_arrays.count(array) for array in (self.values, *weighers)]
        dtype = summed = _arrays.accumulator(xp, self.values)
        if counted:  # in integers; without float64 there may be no int64 either
            summed = xp.int64 if dtype == xp.float64 else xp.int32
        formula = partial(_present if counted else _weights, _arrays.name_of(self.values.dtype))
        if None in sizes or len(set(sizes[1:]) - {1}) > 1:
            formula, weighers, repeats = partial(_spread, formula), (*weighers, self.values), 1
        else:
            repeats = sizes[0] // max(1, *sizes[1:])
        total = _execution.run(formula, xp, *weighers, summed=summed)
        return _arrays.cast(xp, total * repeats, dtype)

    def _count(self) -> Any:
        """The number of values, computed with them where the shape does not tell."""
        size = _arrays.count(self.values)
        if size is not None:
            return size
        dtype = _arrays.accumulator(self.xp, self.values)
        return _execution.run(_one, self.xp, self.values, summed=dtype)

    def _share(self, denominator: Any) -> Any:
        """1/denominator, what each loss counts for; a Python number where the denominator is."""
        if is_number(denominator):
            return 1 / denominator if denominator != 0 else 0.0
        one = self.xp.ones_like(denominator)
        return _execution.run(_quotient, self.xp, one, 1.0, denominator)


def _weighted(formula: Formula, outputs: int, number: int, xp: Namespace, *operands: Any) -> Any:
    """What `formula` gives of the operands after the `number` of weighers, times their weights.

    With two outputs a share of the second stands between.
    """
    weighers, operands = operands[:number], operands[number:]
    results = formula(xp, *operands[outputs - 1 :])
    losses = results if outputs == 1 else results[0]
    weights = weighers[0]
    if not is_number(weights):
        weights = _weights(_arrays.name_of(losses.dtype), xp, *weighers)
    if outputs == 1:
        return _times(losses, weights)
    gradient, factor = results[1], _times(operands[0], weights)
    if not is_number(factor) and 0 < factor.ndim < gradient.ndim:
        factor = factor[..., None]
    return _times(losses, weights), _times(gradient, factor)


def _quotient(xp: Namespace, total: Array, scale: Any, denominator: Any) -> Array:
    """scale*total/denominator, and 0, with zero gradients, where the denominator is 0."""
    total = _times(total, scale)
    if is_number(denominator):
        if denominator != 0:
            return total / denominator
        denominator = xp.zeros_like(total)
    empty = denominator == 0
    total = xp.where(empty, xp.zeros_like(total), total)
    return total / xp.where(empty, xp.ones_like(denominator), denominator)


def _weights(dtype: str, xp: Namespace, weights: Array, mask: Array | None = None) -> Array:
    """Weights in the dtype of this name, and 0 where the mask leaves them out."""
    return _formula.masked(xp, _arrays.cast(xp, weights, getattr(xp, dtype)), mask)


def _present(dtype: str, xp: Namespace, *weighers: Array) -> Array:
    """1 where there is a weight, else 0."""
    return xp.astype(_weights(dtype, xp, *weighers) != 0, xp.uint8)


def _one(xp: Namespace, values: Array) -> Array:
    return xp.ones_like(values)


def _spread(formula: Formula, xp: Namespace, *operands: Any) -> Array:
    """``formula(xp, *weighers)`` in the shape of the values, which are the last operand."""
    *weighers, values = operands
    weights = formula(xp, *weighers)
    return xp.where(values == values, weights, weights)


def _times(array: Any, factor: Any) -> Any:
    return array if is_one(factor) else array * factor
