"""Losses that the caller has computed."""

from typing import Any

from xbce import _losses
from xbce._collection import GraphKeys
from xbce._evaluate import Weighting, evaluate
from xbce._reduction import Reduction
from xbce._typing import Array


def compute_weighted_loss(
    losses: Array,
    weights: Any = 1.0,
    scope: str | None = None,
    loss_collection: str | None = GraphKeys.LOSSES,
    reduction: Reduction | str = Reduction.SUM_BY_NONZERO_WEIGHTS,
    *,
    where: Any = None,
    axis: int | tuple[int, ...] | None = None,
) -> Array:
    """Weigh and reduce element-wise losses of your own.

    Parameters
    ----------
    losses : array
        Element-wise losses of any shape, of dtype float16, bfloat16, float32 or float64.
    weights : float or array
        Coefficients: a scalar, or an array of the rank of `losses` whose every
        dimension is 1 or that of `losses`.
    scope : str, optional
        Stands in error messages, and in the loss collection; there it is "weighted_loss"
        by default.
    loss_collection : str or None
        As for `sigmoid_cross_entropy`.
    reduction : Reduction or str
        As for `sigmoid_cross_entropy`.
    where : bool or array of bool, optional
        A mask, with a shape that weights may have; as for `sigmoid_cross_entropy`.
    axis : int or tuple of int, optional
        As for `sigmoid_cross_entropy`.

    Returns
    -------
    array
        Of rank 0, with `axis` of the shape of `losses` without it, or of the shape of `losses`
        with ``Reduction.NONE``; never `losses` itself. Otherwise as from `sigmoid_cross_entropy`.

    Raises
    ------
    ValueError, TypeError
        As for `sigmoid_cross_entropy`.

    See Also
    --------
    sigmoid_cross_entropy, softmax_cross_entropy : Compute the losses too.
    add_loss : Adds a loss to the collection as it is.
    Reduction : The ways to reduce.

    Notes
    -----
    Name and meaning are those of `tf.compat.v1.losses.compute_weighted_loss
    <https://www.tensorflow.org/api_docs/python/tf/compat/v1/losses/compute_weighted_loss>`__.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.losses import Reduction, compute_weighted_loss
    >>> losses, weights = np.array([1.0, 2.0, 3.0]), np.array([1.0, 0.5, 0.0])
    >>> float(compute_weighted_loss(losses, weights))
    1.0
    >>> float(compute_weighted_loss(losses, weights, reduction=Reduction.SUM))
    2.0
    """
    weighting = Weighting(weights, 0, loss_collection, reduction, where, axis)
    return evaluate(_losses.GIVEN, {"losses": losses}, weighting=weighting, name=scope)
