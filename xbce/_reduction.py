"""The reductions: how weighted losses become one number.

With l the losses, W the weights broadcast to them and n their number:

    none                              l*W
    weighted_sum                      Σ l*W
    weighted_mean                     Σ l*W / ΣW
    weighted_sum_over_batch_size      Σ l*W / n
    weighted_sum_by_nonzero_weights   Σ l*W / count(W ≠ 0)

and 0 where the denominator is 0.
"""

from enum import StrEnum
from math import prod

from xbce._numbers import is_number, unknown
from xbce._typing import Array, DType, Namespace, Scalar, Shape, Size


class Reduction(StrEnum):
    """How weighted losses are reduced; TensorFlow's names and strings.

    With ``l`` the losses, ``n`` their number and ``W`` the weights broadcast to them.
    Where the denominator is 0 the result is 0.

    ========================== ===================================== ========================
    name                       string                                value
    ========================== ===================================== ========================
    `NONE`                     ``"none"``                            ``l*W``
    `SUM`                      ``"weighted_sum"``                    ``Σ l*W``
    `MEAN`                     ``"weighted_mean"``                   ``Σ l*W / ΣW``
    `SUM_OVER_BATCH_SIZE`      ``"weighted_sum_over_batch_size"``    ``Σ l*W / n``
    `SUM_BY_NONZERO_WEIGHTS`   ``"weighted_sum_by_nonzero_weights"`` ``Σ l*W / count(W != 0)``
    `SUM_OVER_NONZERO_WEIGHTS` (an alias of the last)
    ========================== ===================================== ========================

    Functions accept a member or its string. All else, an array too, is a ValueError that
    begins with "Invalid Reduction Key".

    See Also
    --------
    xbce.losses.sigmoid_cross_entropy : Reduces its losses in one of these ways.
    xbce.losses.compute_weighted_loss : Reduces losses of your own.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.losses import Reduction, compute_weighted_loss
    >>> losses, weights = np.array([1.0, 2.0]), np.array([4.0, 0.0])
    >>> for reduction in (Reduction.SUM, Reduction.MEAN, "weighted_sum_over_batch_size"):
    ...     print(compute_weighted_loss(losses, weights, reduction=reduction))
    4.0
    1.0
    2.0
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
        # Asked of strings only: an array would be compared element by element.
        if not isinstance(key, str) or key not in cls.all():
            keys = tuple(str(known) for known in cls.all())
            hint = _ELSEWHERE.get(key, "") if key is None or isinstance(key, str) else ""
            raise ValueError(f"Invalid Reduction Key {key}. Key should be one of {keys}.{hint}")


_ELSEWHERE = {
    "mean": f" The mean of PyTorch is {Reduction.SUM_OVER_BATCH_SIZE} here, and that of its "
    f"cross_entropy with weights of classes {Reduction.MEAN}.",
    "sum": f" The sum of PyTorch and Keras is {Reduction.SUM} here.",
    "sum_over_batch_size": f" That of Keras is {Reduction.SUM_OVER_BATCH_SIZE} here.",
    "mean_with_sample_weight": f" That of Keras is {Reduction.MEAN} here.",
    None: f" The None of Keras is {Reduction.NONE} here.",
}


def quotient(xp: Namespace, total: Array, denominator: Scalar) -> Array:
    """The quotient, and 0, with zero gradients, where the denominator is 0."""
    if is_number(denominator):
        if denominator != 0:
            return total / denominator
        denominator = xp.zeros_like(total)
    empty = denominator == 0
    total = xp.where(empty, xp.zeros_like(total), total)
    return total / xp.where(empty, xp.ones_like(denominator), denominator)


def count(xp: Namespace, array: Array, dtype: DType, axes: tuple[int, ...] | None = None) -> Array:
    """The number of elements that are not 0, counted in integers and then in this dtype.

    Along axes these are kept with size 1.
    """
    integers = xp.int64
    if dtype != xp.float64:  # without float64 there may be no int64 either
        integers, size = xp.int32, prod(array.shape)
        if type(size) is int and size >= 2**31:
            raise ValueError(
                f"There are {size} weights to count, more than integers of 32 bits can hold: "
                "switch 64 bits on (JAX's jax_enable_x64), or reduce by weighted_sum."
            )
    present = xp.astype(array != 0 if array.dtype != xp.bool else array, xp.uint8)
    return xp.astype(total(xp, present, integers, axes), dtype)


def total(xp: Namespace, array: Array, dtype: DType, axes: tuple[int, ...] | None = None) -> Array:
    """The sum of all, or along axes, which are kept with size 1."""
    if axes is None:
        return xp.sum(array, dtype=dtype)
    return xp.sum(array, axis=axes, dtype=dtype, keepdims=True)


def repeats(shape: Shape, target: Shape, axes: tuple[int, ...] | None = None) -> Size:
    """How often each element of weights of this shape counts, where they stretch to the target.

    Both are of one rank, and counted is along these axes, or all. So what is counted need not take
    the shape of the losses; nor are whole sizes compared, which would tie a trace to one batch.
    """
    chosen = range(len(target)) if axes is None else axes
    pairs = [(shape[axis], target[axis]) for axis in chosen]
    number: Size = prod([n for m, n in pairs if not unknown(m) and m == 1])
    return float(number) if type(number) is int else number
