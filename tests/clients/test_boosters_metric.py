"""Training stops by the metric of an objective where it does by the built-in one."""

import numpy as np
import pytest
from boosters import LGB, PLAIN, XGB, lgb, sigmoid, some_weights, tumours, xgb

pytestmark = pytest.mark.filterwarnings("ignore:X does not have valid feature names")


def held_out():
    """Training rows, and others that stop it early."""
    x, y = tumours()
    return x[:300], y[:300], x[300:], y[300:]


def test_xgboost_stops_by_the_metric_where_it_does_by_its_own():
    x, y, x_valid, y_valid = held_out()
    train, valid = xgb.DMatrix(x, y), xgb.DMatrix(x_valid, y_valid)
    parameters = {**XGB, "eta": 0.5, "base_score": sigmoid(PLAIN.initial_score(y))}
    found = {}
    for name, own in {
        "built in": {},
        "ours": {"obj": PLAIN, "custom_metric": PLAIN.metric},
    }.items():
        metrics = {"disable_default_eval_metric": 1} if own else {"eval_metric": "logloss"}
        model = xgb.train(
            {**parameters, "objective": "binary:logistic", **metrics},
            train,
            200,
            evals=[(valid, "valid")],
            early_stopping_rounds=5,
            verbose_eval=False,
            **own,
        )
        found[name] = model.best_iteration, model.best_score
    assert found["ours"][0] == found["built in"][0] < 194
    assert found["ours"][1] == pytest.approx(found["built in"][1], abs=2e-6)


def test_lightgbm_stops_by_the_metric_where_it_does_by_its_own():
    x, y, x_valid, y_valid = held_out()
    start = PLAIN.initial_score(y)
    found = {}
    for name, own in {"built in": {}, "ours": {"feval": PLAIN.metric}}.items():
        scores = {"init_score": np.full(y.size, start)} if own else {}
        train = lgb.Dataset(x, y, **scores)
        scores = {"init_score": np.full(y_valid.size, start)} if own else {}
        valid = lgb.Dataset(x_valid, y_valid, reference=train, **scores)
        parameters = {"objective": PLAIN, "metric": "none"} if own else {"objective": "binary"}
        stop = lgb.early_stopping(5, verbose=False)
        model = lgb.train(
            {**LGB, "learning_rate": 0.3, **parameters},
            train,
            200,
            [valid],
            callbacks=[stop],
            **own,
        )
        (score,) = model.best_score["valid_0"].values()
        found[name] = model.best_iteration, score
    assert found["ours"][0] == found["built in"][0] < 194
    assert found["ours"][1] == pytest.approx(found["built in"][1], rel=1e-12)


def test_xgb_classifier_stops_by_the_metric_with_weights():
    x, y, x_valid, y_valid = held_out()
    weights = some_weights(y_valid)
    found = {}
    for name, own in {"logloss": {}, "metric": {"objective": PLAIN}}.items():
        model = xgb.XGBClassifier(
            n_estimators=200,
            n_jobs=1,
            learning_rate=0.5,
            base_score=0.6,
            early_stopping_rounds=5,
            eval_metric=PLAIN.metric if own else "logloss",
            **own,
        )
        model.fit(
            x, y, eval_set=[(x_valid, y_valid)], sample_weight_eval_set=[weights], verbose=False
        )
        scores = model.evals_result()["validation_0"][name]
        found[name] = model.best_iteration, scores[model.best_iteration]
    assert found["metric"][0] == found["logloss"][0] < 194
    assert found["metric"][1] == pytest.approx(found["logloss"][1], abs=2e-6)


@pytest.mark.filterwarnings("ignore:The argument 'eval_set' is deprecated")
def test_lgbm_classifier_stops_by_the_metric_with_weights():
    x, y, x_valid, y_valid = held_out()
    start, weights = PLAIN.initial_score(y), some_weights(y_valid)
    found = {}
    for name, own in {
        "binary_logloss": {},
        PLAIN.NAME: {"objective": PLAIN, "metric": "none"},
    }.items():
        scores = (np.full(y.size, start), [np.full(y_valid.size, start)]) if own else (None, None)
        model = lgb.LGBMClassifier(
            n_estimators=200, learning_rate=0.3, n_jobs=1, verbosity=-1, **own
        )
        model.fit(
            x,
            y,
            init_score=scores[0],
            eval_set=[(x_valid, y_valid)],
            eval_init_score=scores[1],
            eval_sample_weight=[weights],
            eval_metric=PLAIN.metric if own else name,
            callbacks=[lgb.early_stopping(5, verbose=False)],
        )
        found[name] = model.best_iteration_, model.best_score_["valid_0"][name]
    assert found[PLAIN.NAME][0] == found["binary_logloss"][0] < 194
    assert found[PLAIN.NAME][1] == pytest.approx(found["binary_logloss"][1], rel=1e-12)
