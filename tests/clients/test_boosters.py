"""XGBoost, LightGBM and CatBoost train with the objectives as with their own."""

import numpy as np
import pytest
from boosters import (
    HESSIAN,
    METHODS,
    PLAIN,
    SOFTMAX,
    digits,
    lgb,
    logits_of,
    probabilities_of,
    sigmoid,
    softmax,
    some_weights,
    tumours,
    xgb,
)

from xbce.objectives import SigmoidCrossEntropy

pytestmark = pytest.mark.filterwarnings("ignore:X does not have valid feature names")


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("pos_weight", [None, 3.0])
@pytest.mark.parametrize("method", METHODS)
def test_trees_are_those_of_the_built_in_binary_objective(method, pos_weight, weighted):
    x, y = tumours()
    weights = some_weights(y, weighted)
    start = PLAIN.initial_score(y, weights)  # where LightGBM starts, whatever scale_pos_weight is
    objective = SigmoidCrossEntropy(pos_weight=pos_weight)
    actual = sigmoid(logits_of(method, objective, x, y, weights=weights, start=start))
    built_in = {} if pos_weight is None else {"scale_pos_weight": pos_weight}
    expected = probabilities_of(method, x, y, weights=weights, start=sigmoid(start), **built_in)
    np.testing.assert_allclose(actual, expected, atol=1e-6)


@HESSIAN
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_trees_are_those_of_the_built_in_multi_class_objective(method, weighted):
    x, y = digits()
    weights = some_weights(y, weighted)
    actual = softmax(logits_of(method, SOFTMAX, x, y, rounds=8, weights=weights))
    expected = probabilities_of(method, x, y, rounds=8, weights=weights, num_class=10)
    np.testing.assert_allclose(actual, expected, atol=1e-6)


@HESSIAN
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("data", [tumours, digits])
def test_xgb_classifier_trains_as_with_its_own_objective(data, weighted):
    x, y = data()
    weights = some_weights(y, weighted)
    objective = PLAIN if data is tumours else SOFTMAX
    start = objective.initial_score(y, weights)
    start = sigmoid(start) if data is tumours else start
    settings = {"n_estimators": 10, "n_jobs": 1, "base_score": start}
    own = xgb.XGBClassifier(**settings).fit(x, y, sample_weight=weights)
    model = xgb.XGBClassifier(objective=objective, **settings).fit(x, y, sample_weight=weights)
    np.testing.assert_allclose(model.predict_proba(x), own.predict_proba(x), atol=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("data", [tumours, digits])
def test_lgbm_classifier_trains_as_with_its_own_objective(data, weighted):
    x, y = data()
    weights = some_weights(y, weighted)
    objective, link = (PLAIN, sigmoid) if data is tumours else (SOFTMAX, softmax)
    start = objective.initial_score(y, weights)
    settings = {"n_estimators": 10, "n_jobs": 1, "verbosity": -1}
    own = lgb.LGBMClassifier(**settings).fit(x, y, sample_weight=weights)
    model = lgb.LGBMClassifier(objective=objective, **settings)
    scores = np.full((y.size, *np.shape(start)), start)
    model.fit(x, y, sample_weight=weights, init_score=scores)
    actual = link(model.predict(x, raw_score=True) + start)
    expected = own.predict_proba(x)[:, 1] if data is tumours else own.predict_proba(x)
    np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_regressors_take_soft_labels():
    x, y = tumours()
    soft = y * 0.9 + 0.05
    score = PLAIN.initial_score(soft)
    settings = {"n_estimators": 10, "n_jobs": 1}
    model = xgb.XGBRegressor(objective=PLAIN, base_score=score, **settings).fit(x, soft)
    own = xgb.XGBRegressor(objective="reg:logistic", base_score=sigmoid(score), **settings)
    np.testing.assert_allclose(sigmoid(model.predict(x)), own.fit(x, soft).predict(x), atol=1e-6)
    model = lgb.LGBMRegressor(objective=PLAIN, verbosity=-1, **settings)
    model.fit(x, soft, init_score=np.full(y.size, score))
    own = lgb.LGBMRegressor(objective="cross_entropy", verbosity=-1, **settings).fit(x, soft)
    np.testing.assert_allclose(sigmoid(model.predict(x) + score), own.predict(x), atol=1e-6)


@pytest.mark.filterwarnings("ignore:Failed to import numba", "ignore:Can't optim")
def test_catboost_trains_as_with_its_own_objective():
    catboost = pytest.importorskip("catboost")
    x, y = tumours()
    settings = {
        "iterations": 20,
        "learning_rate": 0.1,
        "bootstrap_type": "No",
        "boost_from_average": False,
        "leaf_estimation_method": "Newton",
        "leaf_estimation_iterations": 1,
        "allow_writing_files": False,
        "thread_count": 1,
        "verbose": 0,
    }
    weights = some_weights(y)
    own = catboost.CatBoostClassifier(loss_function="Logloss", **settings)
    model = catboost.CatBoostClassifier(loss_function=PLAIN, eval_metric="Logloss", **settings)
    found = [
        one.fit(x, y, sample_weight=weights).predict(x, prediction_type="RawFormulaVal")
        for one in (own, model)
    ]
    np.testing.assert_allclose(found[1], found[0], atol=1e-12)
