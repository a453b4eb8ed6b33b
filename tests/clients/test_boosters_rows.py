"""What a booster may hold: missing, constant, rare and single rows, weights of 0, any dtype."""

import pickle

import numpy as np
import pytest
from boosters import METHODS, PLAIN, SOFTMAX, XGB, lgb, logits_of, rare, some_weights, tumours, xgb

from xbce.objectives import SigmoidCrossEntropy, SoftmaxCrossEntropy

clone = pytest.importorskip("sklearn.base").clone
pytestmark = pytest.mark.filterwarnings("ignore:X does not have valid feature names")


# --- where to start -------------------------------------------------------------------

OBJECTIVES = [
    PLAIN,
    SigmoidCrossEntropy(label_smoothing=0.1, pos_weight=5.0),
    SigmoidCrossEntropy(gamma=2.0),
    SigmoidCrossEntropy(label_smoothing=0.1, alpha=0.25, gamma=2.0, pos_weight=5.0),
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("label", [0.0, 1.0])
@pytest.mark.parametrize("objective", OBJECTIVES[::2])
def test_constant_labels_start_at_a_finite_score_and_stay_there(objective, label, method):
    x, y = tumours()[0][:100], np.full(100, label)
    score = objective.initial_score(y)
    assert abs(score) == objective.SCORE_LIMIT
    logits = logits_of(method, objective, x, y, rounds=3)
    np.testing.assert_allclose(logits, score, rtol=1e-6)


# --- what else a booster may hold -----------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_rows_without_weight_are_as_if_they_were_not_there(method):
    x, y = tumours()
    x = np.round(x)  # the same bins with rows left out
    weights = some_weights(y)
    kept = weights > 0
    few = {} if method != "lightgbm" else {"min_data_in_leaf": 0, "min_data_in_bin": 1}
    few |= {"max_bin": 5000} if method != "exact" else {}
    actual = logits_of(method, PLAIN, x, y, rounds=5, weights=weights, **few)[kept]
    expected = logits_of(method, PLAIN, x[kept], y[kept], rounds=5, weights=weights[kept], **few)
    np.testing.assert_allclose(actual, expected, atol=2e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("objective", [PLAIN, SOFTMAX])
def test_nothing_is_learned_where_all_weights_are_0(objective, method):
    x, y = tumours()
    logits = logits_of(method, objective, x, y, rounds=3, weights=np.zeros(y.size))
    np.testing.assert_array_equal(logits, logits[:1] + np.zeros_like(logits))
    assert objective.metric(y, logits.astype(float), np.zeros(y.size))[1] == 0


@pytest.mark.parametrize("method", METHODS)
def test_rows_whose_label_is_ignored_are_as_if_they_were_not_there(method):
    x, y = tumours()
    x = np.round(x)
    kept = some_weights(y) > 0
    marked = np.where(kept, y, -1)
    few = {} if method != "lightgbm" else {"min_data_in_leaf": 0, "min_data_in_bin": 1}
    few |= {"max_bin": 5000} if method != "exact" else {}
    objective = SigmoidCrossEntropy(ignore_index=-1)
    actual = logits_of(method, objective, x, marked, rounds=5, **few)[kept]
    expected = logits_of(method, PLAIN, x[kept], y[kept], rounds=5, **few)
    np.testing.assert_allclose(actual, expected, atol=2e-6)


def test_several_labels_a_row_train_as_one_model_each_whatever_is_missing():
    x, y = tumours()
    columns = np.stack([y, (x[:, 0] > 14) * 1, np.where(x[:, 1] > 19, -1, x[:, 2] > 90)], axis=1)
    weights, pos_weight, gamma = (
        some_weights(y),
        np.array([1.0, 3.0, 0.5]),
        np.array([0.0, 2.0, 0.5]),
    )
    objective = SigmoidCrossEntropy(pos_weight=pos_weight, gamma=gamma, ignore_index=-1)
    actual = logits_of("exact", objective, x, columns, rounds=5, weights=weights)
    for k in range(3):
        kept = columns[:, k] >= 0
        alone = SigmoidCrossEntropy(pos_weight=float(pos_weight[k]), gamma=float(gamma[k]))
        few = x[kept], columns[kept, k]
        expected = logits_of("exact", alone, *few, rounds=5, weights=weights[kept])
        np.testing.assert_allclose(actual[kept, k], expected, atol=2e-6)


@pytest.mark.parametrize("method", METHODS[:2])  # LightGBM itself refuses one row
@pytest.mark.parametrize("objective", [PLAIN, SOFTMAX])
def test_one_row_is_enough(objective, method):
    x, y = tumours()
    logits = logits_of(method, objective, x[:1], y[:1] + 1 * (objective is SOFTMAX), rounds=2)
    assert np.isfinite(logits).all()


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.float32])
@pytest.mark.parametrize("method", METHODS)
def test_labels_may_be_of_any_dtype(method, dtype):
    x, y = tumours()
    actual = logits_of(method, PLAIN, x, y.astype(dtype), rounds=3)
    np.testing.assert_array_equal(actual, logits_of(method, PLAIN, x, y.astype(float), rounds=3))


@pytest.mark.parametrize("method", METHODS)
def test_smoothed_labels_train_as_soft_ones(method):
    x, y = tumours()
    actual = logits_of(method, SigmoidCrossEntropy(label_smoothing=0.1), x, y, rounds=5)
    expected = logits_of(method, PLAIN, x, y * 0.9 + 0.05, rounds=5)
    np.testing.assert_allclose(actual, expected, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_the_focal_loss_learns_of_1_positive_in_100(method):
    x, y = rare()
    objective = SigmoidCrossEntropy(gamma=2.0)
    logits = logits_of(method, objective, x, y, rounds=40, max_depth=4).astype(float)
    constant = np.full(y.size, objective.initial_score(y))
    assert np.isfinite(logits).all()
    assert objective.metric(y, logits)[1] < 0.7 * objective.metric(y, constant)[1]


# --- the objects ----------------------------------------------------------------------


@pytest.mark.parametrize("objective", [SigmoidCrossEntropy(0.1, 3.0), SoftmaxCrossEntropy(0.1)])
def test_models_can_be_cloned(objective):
    for model in (xgb.XGBClassifier(objective=objective), lgb.LGBMClassifier(objective=objective)):
        assert clone(model).get_params()["objective"] == objective


def test_models_can_be_pickled():
    x, y = tumours()
    model = xgb.XGBClassifier(n_estimators=2, n_jobs=1, objective=PLAIN).fit(x, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(x), model.predict_proba(x))


def test_a_data_set_without_labels_is_an_error():
    with pytest.raises(ValueError, match="`labels` and `predictions` must have the same shape"):
        xgb.train(XGB, xgb.DMatrix(tumours()[0]), 1, obj=PLAIN)
