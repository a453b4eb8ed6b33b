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

from xbce import _arrays, _execution
from xbce._arrays import is_number
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


@dataclass(frozen=True, slots=True)
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

    def reduce(self, formula: Formula, *operands: Any) -> Array:
        """The losses ``formula(xp, *operands)``, weighted and reduced."""
        weights, scale = self._split()
        losses = self._run(formula, 1, weights, *operands)
        return self._reduced(losses, scale, self._denominator(weights))

    def reduce_with_gradient(self, formula: Formula, *operands: Any) -> tuple[Array, Array]:
        """The same for ``losses, gradient = formula(xp, *operands)``, and the result's gradient."""
        weights, scale = self._split()
        denominator = self._denominator(weights)
        factor = weights * scale * self._share(denominator)
        if not is_number(factor):
            factor = _arrays.cast(self.xp, factor, self.values.dtype)
        losses, gradient = self._run(formula, 2, weights, factor, *operands)
        return self._reduced(losses, scale, denominator), gradient

    def _run(self, formula: Formula, outputs: int, *operands: Any) -> Any:
        weighted = partial(_weighted, formula, outputs)
        classes = len(operands[-1].shape) > len(self.values.shape)
        return _execution.run(weighted, self.xp, *operands, outputs=outputs, classes=classes)

    def _split(self) -> tuple[Any, Any]:
        """Weights of the elements, and a scale of their sum, where a constant weight goes."""
        weights = self.weights
        if self.mask is not None:
            if is_number(weights):
                dtype = self.values.dtype
                weights = _arrays.constant(self.xp, weights, dtype, self.values)
            return _execution.run(masked, self.xp, weights, self.mask), 1.0
        if not is_number(weights) or self.reduction == Reduction.NONE:
            return weights, 1.0
        if self.reduction == Reduction.MEAN and weights != 0:
            return 1.0, weights / weights  # 1, and NaN where the sum of the weights is not finite
        return 1.0, weights

    def _reduced(self, losses: Array, scale: Any, denominator: Any) -> Array:
        if self.reduction == Reduction.NONE:
            return losses
        total = _execution.total(self.xp, losses, _arrays.accumulator(self.xp, losses))
        return _execution.run(_quotient, self.xp, total, scale, denominator)

    def _denominator(self, weights: Any) -> Any:
        """What the sum is divided by, a Python number where the shapes tell it."""
        if self.reduction in (Reduction.NONE, Reduction.SUM):
            return 1
        if self.reduction == Reduction.SUM_OVER_BATCH_SIZE:
            if self.mask is None:
                return self._count()
            return self._over_values(_arrays.cast(self.xp, self.mask, self.values.dtype))
        if is_number(weights):
            return self._count() if self.weights != 0 else 0
        return self._over_values(weights, self.reduction != Reduction.MEAN)

    def _over_values(self, weights: Array, present: bool = True) -> Array:
        """count(W ≠ 0), or ΣW, each weight as often as it is broadcast to the values."""
        xp, sizes = self.xp, (_arrays.count(self.values), _arrays.count(weights))
        if None in sizes:
            weights, repeats = _execution.run(_spread, xp, weights, self.values), 1
        else:
            repeats = sizes[0] // max(sizes[1], 1)
        dtype = _arrays.accumulator(xp, weights)
        if not present:
            return _execution.total(xp, weights, dtype) * repeats
        if dtype == xp.float64:
            return xp.astype(xp.count_nonzero(weights) * repeats, dtype)
        # Where there is no float64 there may be no int64 either, which count_nonzero gives.
        counted = xp.sum(xp.astype(weights != 0, xp.int32), dtype=xp.int32)
        return xp.astype(counted * repeats, dtype)

    def _count(self) -> Any:
        """The number of values, computed with them where the shape does not tell."""
        size = _arrays.count(self.values)
        if size is not None:
            return size
        ones = self.xp.ones_like(self.values)
        return _execution.total(self.xp, ones, _arrays.accumulator(self.xp, ones))

    def _share(self, denominator: Any) -> Any:
        """1/denominator, what each loss counts for; a Python number where the denominator is."""
        if is_number(denominator):
            return 1 / denominator if denominator != 0 else 0.0
        one = self.xp.ones_like(denominator)
        return _execution.run(_quotient, self.xp, one, 1.0, denominator)


def _weighted(formula: Formula, outputs: int, xp: Namespace, *operands: Any) -> Any:
    """What `formula` gives, times as many factors as it has `outputs`."""
    factors, operands = operands[:outputs], operands[outputs:]
    results = formula(xp, *operands)
    if outputs == 1:
        return _times(results, *factors)
    losses, gradient = results
    weights, factor = factors
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


def masked(xp: Namespace, array: Array, mask: Array) -> Array:
    """The array, and 0 where the mask, which may lack the axis of classes, leaves it out."""
    if 0 < mask.ndim < array.ndim:
        mask = mask[..., None]
    return xp.where(mask, array, xp.zeros_like(array))


def _times(array: Array, factor: Any) -> Array:
    return array if is_number(factor) and factor == 1 else array * factor


def _spread(xp: Namespace, weights: Array, values: Array) -> Array:
    return xp.where(values == values, weights, weights)
