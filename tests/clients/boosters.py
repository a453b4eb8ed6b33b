"""What the tests of boosters share: data, and models trained on them."""

import numpy as np
import pytest

from xbce.objectives import SigmoidCrossEntropy, SoftmaxCrossEntropy

lgb = pytest.importorskip("lightgbm")
xgb = pytest.importorskip("xgboost")
pytest.importorskip("sklearn")
from sklearn.datasets import load_breast_cancer, load_digits  # noqa: E402

XGB = {"nthread": 1, "seed": 0}
LGB = {"num_threads": 1, "seed": 0, "verbosity": -1, "deterministic": True}
METHODS = ["hist", "exact", "lightgbm"]
PLAIN = SigmoidCrossEntropy()
SOFTMAX = SoftmaxCrossEntropy()
# XGBoost's pull request 12537, not released yet, has the residual in place of the Hessian.
HESSIAN = pytest.mark.skipif(
    tuple(map(int, xgb.__version__.split(".")[:2])) > (3, 2),
    reason="the Hessian of multi:softprob is that of XGBoost up to 3.2",
)


def sigmoid(logits):
    return 0.5 * np.tanh(0.5 * np.asarray(logits, dtype=float)) + 0.5


def softmax(logits):
    powers = np.exp(np.asarray(logits, dtype=float) - np.max(logits, axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def tumours():
    """569 rows, of which 357 are positive."""
    return load_breast_cancer(return_X_y=True)


def digits():
    """600 rows of 10 classes."""
    x, y = load_digits(return_X_y=True)
    return x[:600], y[:600]


def some_weights(y, weighted=True):
    """None, or weights of which a fifth is 0; the others are no integers, which make splits tie."""
    if not weighted:
        return None
    rng = np.random.default_rng(0)
    return rng.uniform(0.2, 3.0, y.size) * (rng.random(y.size) > 0.2)


def rare(rows=3000):
    """Rows of which about 1 in 100 is positive, hard to tell from the others."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(rows, 5))
    return x, (rng.random(rows) < sigmoid(2 * x[:, 0] + x[:, 1] - 6.2)).astype(float)


def logits_of(method, objective, x, y, rounds=30, weights=None, start=None, **parameters):
    """What a model predicts of its own training rows, its starting score included."""
    start = objective.initial_score(y, weights) if start is None else start
    columns = (start.size,) if isinstance(start, np.ndarray) and method == "lightgbm" else ()
    if columns or (isinstance(start, np.ndarray) and y.ndim == 1):
        parameters["num_class"] = start.size
    if method == "lightgbm":
        start = np.full((y.shape[0], *columns), start)
        data = lgb.Dataset(x, y, weight=weights, init_score=start)
        return start + lgb.train(
            {**LGB, **parameters, "objective": objective}, data, rounds
        ).predict(x)
    data = xgb.DMatrix(x, y, weight=weights)
    parameters |= {"tree_method": method, "base_score": start}
    model = xgb.train({**XGB, **parameters}, data, rounds, obj=objective)
    return model.predict(data, output_margin=True)


def probabilities_of(method, x, y, rounds=30, weights=None, start=None, **parameters):
    """The same of the library's own objective; it may choose its starting score."""
    if method == "lightgbm":
        kind = {"objective": "multiclass" if "num_class" in parameters else "binary"}
        data = lgb.Dataset(x, y, weight=weights)
        return lgb.train({**LGB, **kind, **parameters}, data, rounds).predict(x)
    kind = {"objective": "multi:softprob" if "num_class" in parameters else "binary:logistic"}
    parameters["tree_method"] = method
    if start is not None:
        parameters["base_score"] = start
    data = xgb.DMatrix(x, y, weight=weights)
    return xgb.train({**XGB, **kind, **parameters}, data, rounds).predict(data)
