"""How boosters call an objective, whatever its loss: what comes in, and what goes back.

XGBoost passes predictions of float32, LightGBM of float64: by that they are told apart, where they
want different things. Neither is imported.
"""

from typing import Any, ClassVar, NamedTuple

import numpy as np

from xbce import _arguments
from xbce._reduction import Reduction
from xbce._typing import Array, DType, Namespace, Shape

MEAN: dict[str, Any] = {"loss_collection": None, "reduction": Reduction.MEAN}
"""How a loss is reduced to a metric: by its weights, and gathered nowhere."""


class Rows(NamedTuple):
    """What a booster has passed, checked; labels and weights are of the dtype of the logits."""

    xp: Namespace
    labels: Array
    """0 where they are not known."""
    logits: Array
    weights: Array | None
    known: Array
    """Which labels are not left out."""

    def class_numbers(self) -> Array:
        """The labels as integers; boosters keep them as floats."""
        return self.xp.astype(self.labels, self.xp.int32)

    def from_lightgbm(self) -> bool:
        """Whether predictions are those of LightGBM; else they are XGBoost's."""
        return bool(self.logits.dtype == self.xp.float64)


class Objective:
    """What `xbce.objectives` has in common. The classes there know their loss."""

    HESSIAN_FLOOR: ClassVar[float] = 1e-16
    SCORE_LIMIT: ClassVar[float] = 34.5
    NAME: ClassVar[str]
    ignore_index: int | None

    def __call__(
        self, first: Any, second: Any, sample_weight: Array | None = None
    ) -> tuple[Array, Array]:
        """Return the first and second derivative of each row's loss, times its weight.

        Parameters
        ----------
        first, second : array or data set
            Predictions and a data set with ``get_label`` and ``get_weight``, as the native
            interfaces pass them; or labels and predictions, as those of scikit-learn do.
            Predictions are logits, ``[rows]`` or ``[rows, columns]``, of dtype float32 or float64.
        sample_weight : array, optional
            Weights ``[rows]``, where `second` is no data set.

        Returns
        -------
        gradient, hessian : array
            Of the shape, dtype and library of the predictions. Both are 0 where a label is left
            out; elsewhere the Hessian is at least ``HESSIAN_FLOOR`` times the weight.

        Raises
        ------
        ValueError
            If a shape does not fit, or a label is none of this loss.
        TypeError
            If an argument is no array.
        """
        rows = self._rows(first, second, sample_weight)
        gradient, hessian = self._derivatives(rows)
        # What is left out has no floor, so that no tree sees it.
        known = rows.xp.astype(beside(rows.known, hessian), hessian.dtype)
        floor = known * self.HESSIAN_FLOOR
        hessian = rows.xp.where(hessian > floor, hessian, floor)
        if rows.weights is None:
            return gradient, hessian
        weights = beside(rows.weights, hessian)
        return gradient * weights, hessian * weights

    def metric(self, first: Any, second: Any, sample_weight: Array | None = None) -> Any:
        """Return the weighted mean of the loss, in the form that the booster wants.

        Parameters
        ----------
        first, second : array or data set
            As when the objective is called.
        sample_weight : array, optional
            As when the objective is called.

        Returns
        -------
        float or tuple
            ``(name, value, False)`` for LightGBM, as less is better, ``(name, value)`` for XGBoost,
            and the value for its interface of scikit-learn. It is 0 where all weights are.

        Raises
        ------
        ValueError, TypeError
            As when the objective is called.
        """
        rows = self._rows(first, second, sample_weight)
        value = float(self._mean(rows))
        if rows.from_lightgbm():
            return self.NAME, value, False
        return (self.NAME, value) if hasattr(second, "get_label") else value

    def _rows(self, first: Any, second: Any, sample_weight: Array | None) -> Rows:
        labels, logits, weights = first, second, sample_weight
        if hasattr(second, "get_label"):
            logits = first
            labels, weights = (_as(logits, a) for a in (second.get_label(), second.get_weight()))
        if 0 in getattr(weights, "shape", ()):  # as XGBoost has it where there are none
            weights = None
        xp = namespace(labels=labels, predictions=logits, sample_weight=weights)
        self._check_shapes(tuple(labels.shape), tuple(logits.shape))
        labels, weights, known = self._counted(xp, labels, weights, logits.dtype)
        self._check_labels(xp, labels, logits.shape[-1])
        return Rows(xp, labels, logits, weights, known)

    def _counted(
        self, xp: Namespace, labels: Array, weights: Array | None, dtype: DType
    ) -> tuple[Array, Array | None, Array]:
        """Labels, 0 where they are left out, weights, and which are not left out."""
        if weights is not None and tuple(weights.shape) != tuple(labels.shape[:1]):
            shape = tuple(weights.shape)
            raise ValueError(
                f"`sample_weight` must have a weight a row, {tuple(labels.shape[:1])}; got {shape}."
            )
        weights = None if weights is None else xp.astype(weights, dtype)
        labels = xp.astype(labels, dtype)
        known = ~xp.isnan(labels)
        if self.ignore_index is not None:
            known = known & (labels != self.ignore_index)
        return xp.where(known, labels, xp.zeros_like(labels)), weights, known

    def _check_shapes(self, labels: Shape, logits: Shape) -> None:
        """Raise ValueError where the shapes are not those of the loss."""
        raise NotImplementedError

    def _check_labels(self, xp: Namespace, labels: Array, columns: int) -> None:
        """Raise ValueError where a label is none of the loss."""
        raise NotImplementedError

    def _derivatives(self, rows: Rows) -> tuple[Array, Array]:
        """Gradient and Hessian of the losses, without weights and floor; 0 where not known."""
        raise NotImplementedError

    def _mean(self, rows: Rows) -> Array:
        """The weighted mean of the losses."""
        raise NotImplementedError


def namespace(**arrays: Array | None) -> Namespace:
    """The one library of the arrays, given by argument; TypeError where one is none."""
    return _arguments.namespace({key: array for key, array in arrays.items() if array is not None})


def _as(like: Array, array: Array | None) -> Array | None:
    """An array of NumPy's, which data sets hold, in the library and on the device of another."""
    if not isinstance(array, np.ndarray) or isinstance(like, np.ndarray):
        return array
    xp = namespace(predictions=like)
    return xp.asarray(array, device=like.device)


def beside(rows: Array, like: Array) -> Array:
    """What has a value a row, with a dimension of 1 for the columns of `like` if it has them."""
    return rows[:, None] if rows.ndim < like.ndim else rows


def shares(xp: Namespace, values: Array, weights: Array | None, known: Array) -> Array:
    """The weighted means over the rows of what is known, in float64; 1/2 where nothing counts."""
    counted = xp.astype(known, xp.float64)
    counted = counted if weights is None else counted * beside(weights, counted)
    total, found = xp.sum(counted, axis=0), xp.sum(counted * values, axis=0)
    return xp.where(total > 0, found / xp.where(total > 0, total, 1.0), 0.5)
