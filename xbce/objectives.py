"""Gradient-boosting objectives for XGBoost, LightGBM and CatBoost, which are not imported."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from xbce import _boosting, losses
from xbce._boosting import Objective, Rows
from xbce._numbers import is_number
from xbce._typing import Array, Namespace, Shape
from xbce.derivatives import gradient_hessian, sparse_softmax_gradient_hessian

__all__ = ["SigmoidCrossEntropy", "SoftmaxCrossEntropy"]

_PARAMETERS = "label_smoothing", "pos_weight", "alpha", "gamma"


@dataclass
class SigmoidCrossEntropy(Objective):
    r"""Sigmoid cross entropy, for one label a row or, with XGBoost, several.

    Attributes
    ----------
    label_smoothing : float, default 0.0
        Moves labels towards 1/2, as for `xbce.losses.sigmoid_cross_entropy`.
    pos_weight : float or array, optional
        The coefficient of the positive part, as ``scale_pos_weight`` is in the libraries. Of this
        and the next two an array ``[columns]`` has one for each label of a row.
    alpha : float or array, optional
        Weighs the positive part against the negative, as for `xbce.nn.sigmoid_focal_loss`.
    gamma : float or array, default 0.0
        The exponent of the focal loss; 0 is the plain loss.
    ignore_index : int, optional
        Labels equal to it are left out, as are those that are NaN.

    Raises
    ------
    ValueError, TypeError
        As from `xbce.derivatives.gradient_hessian`, if a parameter is out of its bounds.

    See Also
    --------
    SoftmaxCrossEntropy : For classes that exclude each other.
    xbce.derivatives.gradient_hessian : The derivatives alone.

    Notes
    -----
    Of the plain loss, with a smoothed label :math:`z`, a logit :math:`x` and a weight :math:`w`,
    the booster gets

    .. math:: g = w (\sigma(x) - z), \qquad h = w \max(\sigma(x) \sigma(-x), 10^{-16})

    as from its own ``binary:logistic`` or ``binary``; from the same starting score it grows the
    same trees. The Hessian of the focal loss is negative where a prediction is far from its
    label; there the floor stands for it, which is that of XGBoost. Derivatives are computed
    in the dtype of the predictions, float32 from XGBoost and float64 from LightGBM. Use `metric`
    with this objective only: a built-in one passes probabilities to it. For what a booster makes of
    the derivatives see `Chen and Guestrin (2016) <https://arxiv.org/abs/1603.02754>`__.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.objectives import SigmoidCrossEntropy
    >>> objective = SigmoidCrossEntropy(pos_weight=3.0)
    >>> labels, predictions = np.array([1, 0, np.nan]), np.array([0.0, 2.0, -5.0])
    >>> objective(labels, predictions)
    (array([-1.5       ,  0.88079708,  0.        ]), array([0.75      , 0.10499359, 0.        ]))
    >>> round(objective.initial_score(labels), 6)
    1.098612
    """

    label_smoothing: float = 0.0
    pos_weight: Any = None
    alpha: Any = None
    gamma: Any = 0.0
    ignore_index: int | None = None

    NAME: ClassVar[str] = "sigmoid_cross_entropy"

    def __post_init__(self) -> None:
        numbers = {name: value for name, value in self._parameters().items() if is_number(value)}
        one = np.zeros(1)
        gradient_hessian(labels=one, logits=one, **numbers)  # raises here what training would

    def initial_score(self, labels: Array, sample_weight: Array | None = None) -> Any:
        """Return the logit to start from: the constant prediction of the least loss.

        Parameters
        ----------
        labels : array
            Of the training rows, ``[rows]`` or ``[rows, columns]``.
        sample_weight : array, optional
            Their weights, ``[rows]``.

        Returns
        -------
        float or numpy.ndarray
            An array ``[columns]`` for labels of rank 2. Found by bisection, within ``SCORE_LIMIT``
            of 0 (a probability of 1e-15), where constant labels end. A soft label counts as so much
            of a positive and a negative row, which is the same but for the focal loss. If no
            label counts, half of the rows are taken for positive.

        Raises
        ------
        ValueError, TypeError
            As when the objective is called.
        """
        xp = _boosting.namespace(labels=labels, sample_weight=sample_weight)
        labels, weights, known = self._counted(xp, labels, sample_weight, xp.float64)
        self._check_labels(xp, labels, 1)
        positive = _boosting.shares(xp, labels, weights, known)
        if labels.ndim == 1:
            return self._least(float(positive))
        return np.asarray([self._least(float(positive[k]), k) for k in range(labels.shape[1])])

    def calc_ders_range(self, approxes: Any, targets: Any, weights: Any) -> np.ndarray:
        """Return derivatives of the log-likelihood, which CatBoost asks an objective for.

        Parameters
        ----------
        approxes, targets : sequence of float
            Predictions, which are logits, and labels.
        weights : sequence of float, optional
            Weights of the rows.

        Returns
        -------
        numpy.ndarray
            Gradient and Hessian with their signs changed, ``[rows, 2]``.
        """
        weights = None if weights is None else np.asarray(weights)
        return -np.stack(self(np.asarray(targets), np.asarray(approxes), weights), axis=-1)

    def _least(self, share: float, column: int | None = None) -> float:
        """The logit of the least loss, where this share of the rows is positive."""
        low, high = -self.SCORE_LIMIT, self.SCORE_LIMIT
        pair = {"labels": np.asarray([1.0, 0.0]), **self._parameters(column)}
        for _ in range(64):
            middle = (low + high) / 2
            slopes, _ = gradient_hessian(logits=np.full(2, middle), **pair)
            rises = share * slopes[0] + (1 - share) * slopes[1] > 0
            low, high = (low, middle) if rises else (middle, high)
        return middle

    def _check_shapes(self, labels: Shape, logits: Shape) -> None:
        if labels != logits:
            raise ValueError(
                f"`labels` and `predictions` must have the same shape; got {labels} and {logits}. "
                f"For classes that exclude each other use SoftmaxCrossEntropy."
            )

    def _check_labels(self, xp: Namespace, labels: Array, columns: int) -> None:
        if bool(xp.any((labels < 0) | (labels > 1))):
            low, high = float(xp.min(labels)), float(xp.max(labels))
            raise ValueError(
                f"`labels` must be in [0, 1]; got some from {low} to {high}. Pass 0 and 1, or the "
                f"one that is to be left out as `ignore_index`."
            )

    def _parameters(self, column: int | None = None) -> dict[str, Any]:
        """Those of the loss; of one column, numbers."""
        found = {name: getattr(self, name) for name in _PARAMETERS}
        if column is None:
            return found
        return {k: float(v[column]) if getattr(v, "ndim", 0) else v for k, v in found.items()}

    def _derivatives(self, rows: Rows) -> tuple[Array, Array]:
        arrays = {"labels": rows.labels, "logits": rows.logits, "where": rows.known}
        return gradient_hessian(**arrays, **self._parameters())

    def _mean(self, rows: Rows) -> Array:
        weights = 1.0 if rows.weights is None else _boosting.beside(rows.weights, rows.logits)
        how = _boosting.MEAN | self._parameters() | {"where": rows.known}
        return losses.sigmoid_focal_loss(rows.labels, rows.logits, weights, **how)


@dataclass
class SoftmaxCrossEntropy(Objective):
    r"""Softmax cross entropy, for classes that exclude each other.

    Attributes
    ----------
    label_smoothing : float, default 0.0
        Moves labels towards equal probabilities, as for `xbce.losses.softmax_cross_entropy`.
    ignore_index : int, optional
        Labels equal to it are left out, as are those that are NaN.

    Raises
    ------
    ValueError
        If `label_smoothing` is not finite.

    See Also
    --------
    SigmoidCrossEntropy : For two classes, or labels that do not exclude each other.
    xbce.derivatives.sparse_softmax_gradient_hessian : The derivatives alone.

    Notes
    -----
    Labels are class numbers ``[rows]``; predictions and results are ``[rows, classes]``, in both
    libraries. With :math:`p` the softmax of the predictions, :math:`z` the smoothed label of each
    class and :math:`w` the weight of a row, the booster gets

    .. math:: g_k = w (p_k - z_k), \qquad h_k = w \max(c \, p_k (1 - p_k), 10^{-16})

    With :math:`c = 1` that is the diagonal of the Hessian, which steps too far where all classes
    move at once. Both libraries enlarge it: XGBoost, up to release 3.2, by :math:`c = 2`; LightGBM,
    by :math:`c = K/(K - 1)` for :math:`K` classes, as in `Friedman (2001)
    <https://doi.org/10.1214/aos/1013203451>`__. So does this objective, which knows XGBoost by
    predictions of float32 and LightGBM by float64. From the same starting scores it grows
    the trees of ``multi:softprob`` and ``multiclass``. Use `metric` with this objective only.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.objectives import SoftmaxCrossEntropy
    >>> objective = SoftmaxCrossEntropy()
    >>> gradient, hessian = objective(np.array([2, 0]), np.array([[0.0, 0, 0], [40, 0, 0]]))
    >>> print(gradient)
    [[ 3.33333333e-01  3.33333333e-01 -6.66666667e-01]
     [-8.49670851e-18  4.24835426e-18  4.24835426e-18]]
    >>> objective.initial_score(np.array([2, 0, 2, 1])).round(6)
    array([-1.386294, -1.386294, -0.693147])
    """

    label_smoothing: float = 0.0
    ignore_index: int | None = None

    NAME: ClassVar[str] = "softmax_cross_entropy"

    def __post_init__(self) -> None:
        self(np.zeros(1), np.zeros((1, 2)))  # raises here what training would

    def initial_score(
        self, labels: Array, sample_weight: Array | None = None, classes: int | None = None
    ) -> np.ndarray:
        """Return the logits to start from: the constant predictions of the least loss.

        Parameters
        ----------
        labels : array
            Class numbers of the training rows, ``[rows]``.
        sample_weight : array, optional
            Their weights, ``[rows]``.
        classes : int, optional
            How many there are; by default as many as the labels show.

        Returns
        -------
        numpy.ndarray
            Logarithms of the smoothed shares of the classes, ``[classes]``, none below minus
            ``SCORE_LIMIT``. If no label counts, shares are equal.

        Raises
        ------
        ValueError, TypeError
            As when the objective is called.
        """
        xp = _boosting.namespace(labels=labels, sample_weight=sample_weight)
        self._check_shapes(tuple(labels.shape), (*labels.shape[:1], 1))
        labels, weights, known = self._counted(xp, labels, sample_weight, xp.float64)
        classes = int(xp.max(labels)) + 1 if classes is None else classes
        self._check_labels(xp, labels, classes)
        hits = [xp.astype(labels == k, xp.float64) for k in range(classes)]
        found = np.asarray([float(_boosting.shares(xp, hit, weights, known)) for hit in hits])
        found = found + max(self.label_smoothing, 0) * (1 / classes - found)
        return np.log(np.maximum(found, np.exp(-self.SCORE_LIMIT)))

    def _check_shapes(self, labels: Shape, logits: Shape) -> None:
        if len(logits) != 2 or labels != logits[:1]:
            raise ValueError(
                f"`labels` must be class numbers [rows] and `predictions` [rows, classes]; got "
                f"{labels} and {logits}. Set num_class; for two classes or several labels a row "
                f"use SigmoidCrossEntropy."
            )

    def _check_labels(self, xp: Namespace, labels: Array, columns: int) -> None:
        if bool(xp.any((labels < 0) | (labels >= columns) | (labels != xp.floor(labels)))):
            low, high = float(xp.min(labels)), float(xp.max(labels))
            raise ValueError(
                f"`labels` must be class numbers from 0 to {columns - 1}; got some from {low} to "
                f"{high}. Set num_class, or pass the one that is to be left out as `ignore_index`."
            )

    def _derivatives(self, rows: Rows) -> tuple[Array, Array]:
        how = {"where": rows.known, "label_smoothing": self.label_smoothing}
        arrays = {"labels": rows.class_numbers(), "logits": rows.logits}
        gradient, hessian = sparse_softmax_gradient_hessian(**arrays, **how)
        classes = rows.logits.shape[-1]
        factor = classes / max(classes - 1, 1) if rows.from_lightgbm() else 2.0
        return gradient, hessian * factor

    def _mean(self, rows: Rows) -> Array:
        how = _boosting.MEAN | {"where": rows.known, "label_smoothing": self.label_smoothing}
        weights = 1.0 if rows.weights is None else rows.weights
        labels = rows.class_numbers()
        return losses.sparse_softmax_cross_entropy(labels, rows.logits, weights, **how)
