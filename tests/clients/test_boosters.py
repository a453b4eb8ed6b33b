"""XGBoost, LightGBM and CatBoost train with the objectives as with their own."""

import pickle
import subprocess
import sys
from copy import deepcopy

import numpy as np
import pytest

from xbce import Reduction
from xbce.losses import softmax_cross_entropy
from xbce.nn import sigmoid_focal_loss
from xbce.objectives import SigmoidCrossEntropy, SoftmaxCrossEntropy

lgb = pytest.importorskip("lightgbm")
xgb = pytest.importorskip("xgboost")
pytest.importorskip("sklearn")
from sklearn.base import clone  # noqa: E402
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

pytestmark = pytest.mark.filterwarnings("ignore:X does not have valid feature names")


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


# --- beside the built-in objectives ---------------------------------------------------


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


# --- the metric -----------------------------------------------------------------------


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


def test_the_metric_is_the_weighted_mean_of_the_loss_that_is_trained():
    rng = np.random.default_rng(2)
    labels, logits, weights = rng.integers(0, 2, 50), rng.normal(size=50) * 4, rng.random(50)
    smooth = labels * 0.9 + 0.05
    losses = sigmoid_focal_loss(labels=smooth, logits=logits, alpha=0.3, gamma=2.0)
    objective = SigmoidCrossEntropy(label_smoothing=0.1, alpha=0.3, gamma=2.0)
    name, value, higher_is_better = objective.metric(labels, logits, weights)
    assert (name, higher_is_better) == ("sigmoid_cross_entropy", False)
    assert value == pytest.approx(np.average(losses, weights=weights), rel=1e-12)


def test_the_metric_of_softmax_is_its_mean():
    rng = np.random.default_rng(2)
    labels, logits = rng.integers(0, 4, 50), rng.normal(size=(50, 4)) * 4
    weights = rng.random(50)
    expected = softmax_cross_entropy(
        np.eye(4)[labels], logits, weights, label_smoothing=0.2, reduction=Reduction.MEAN
    )
    value = SoftmaxCrossEntropy(label_smoothing=0.2).metric(labels, logits, weights)[1]
    assert value == pytest.approx(float(expected), rel=1e-12)


# --- where to start -------------------------------------------------------------------

OBJECTIVES = [
    PLAIN,
    SigmoidCrossEntropy(label_smoothing=0.1, pos_weight=5.0),
    SigmoidCrossEntropy(gamma=2.0),
    SigmoidCrossEntropy(label_smoothing=0.1, alpha=0.25, gamma=2.0, pos_weight=5.0),
]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_starting_score_is_where_the_weighted_loss_is_least(objective):
    _, y = rare()
    weights = some_weights(y)
    score = objective.initial_score(y, weights)
    gradient, _ = objective(y, np.full(y.size, score), weights)
    assert abs(gradient.sum()) < 1e-12 * np.abs(gradient).sum()
    least = objective.metric(y, np.full(y.size, score), weights)[1]
    assert least < objective.metric(y, np.full(y.size, score + 0.1), weights)[1]


def test_the_starting_score_is_the_logit_of_the_smoothed_mean():
    labels, weights = np.array([1, 0, 0, 0.5]), np.array([1.0, 2.0, 0.0, 4.0])
    smooth = (1 + 2) / 7 * 0.8 + 0.1
    score = SigmoidCrossEntropy(label_smoothing=0.2, pos_weight=3.0).initial_score(labels, weights)
    assert score == pytest.approx(np.log(3 * smooth / (1 - smooth)), rel=1e-14)


def test_the_starting_scores_of_softmax_are_where_the_weighted_loss_is_least():
    objective = SoftmaxCrossEntropy(label_smoothing=0.2)
    y = digits()[1]
    weights = some_weights(y)
    scores = objective.initial_score(y, weights, classes=12)  # two of them without a row
    gradient, _ = objective(y, np.full((y.size, 12), scores), weights)
    assert np.abs(gradient.sum(axis=0)).max() < 1e-12 * weights.sum()


def test_each_column_has_a_starting_score_of_its_own():
    labels = np.array([[1, 0], [0, 0], [0, np.nan], [0, 1]])
    scores = SigmoidCrossEntropy(pos_weight=np.array([1.0, 2.0])).initial_score(labels)
    np.testing.assert_allclose(scores, [np.log(1 / 3), 0], atol=1e-14)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("label", [0.0, 1.0])
@pytest.mark.parametrize("objective", OBJECTIVES[::2])
def test_constant_labels_start_at_a_finite_score_and_stay_there(objective, label, method):
    x, y = tumours()[0][:100], np.full(100, label)
    score = objective.initial_score(y)
    assert abs(score) == objective.SCORE_LIMIT
    logits = logits_of(method, objective, x, y, rounds=3)
    np.testing.assert_allclose(logits, score, rtol=1e-6)


def test_a_class_without_rows_starts_at_a_finite_score():
    scores = SOFTMAX.initial_score(np.array([0, 0, 2]))
    np.testing.assert_allclose(scores, [np.log(2 / 3), -SOFTMAX.SCORE_LIMIT, np.log(1 / 3)])


def test_labels_that_do_not_count_have_no_part_in_the_starting_score():
    labels = np.array([0.0, 1, 1, np.nan, -1])
    objective = SigmoidCrossEntropy(ignore_index=-1)
    assert objective.initial_score(labels) == pytest.approx(np.log(2))
    assert objective.initial_score(labels, np.zeros(5)) == pytest.approx(0, abs=1e-14)
    np.testing.assert_allclose(SOFTMAX.initial_score(np.array([0, 1]), np.zeros(2)), np.log(0.5))


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


@pytest.mark.parametrize("weights", [None, np.array([2.0, 0.5, 3.0])])
@pytest.mark.parametrize("objective", [PLAIN, SOFTMAX, SigmoidCrossEntropy(gamma=2.0)])
def test_a_label_of_nan_counts_for_nothing(objective, weights):
    labels = np.array([0.0, np.nan, 1.0])
    logits = np.array([[0.3, 1.0], [-2.0, 0.5], [4.0, 3.0]])
    logits = logits if objective is SOFTMAX else logits[:, 0]
    kept = [0, 2]
    gradient, hessian = objective(labels, logits, weights)
    few = None if weights is None else weights[kept]
    expected = objective(labels[kept], logits[kept], few)
    np.testing.assert_array_equal(gradient[kept], expected[0])
    np.testing.assert_array_equal(hessian[kept], expected[1])
    assert not gradient[1].any()
    assert not hessian[1].any()
    assert objective.metric(labels, logits, weights)[1] == pytest.approx(
        objective.metric(labels[kept], logits[kept], few)[1], rel=1e-15
    )


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


def test_softmax_smooths_towards_equal_probabilities():
    logits = np.array([[0.0, np.log(2.0), 0.0]])
    gradient, _ = SoftmaxCrossEntropy(label_smoothing=0.3)(np.array([1]), logits)
    np.testing.assert_allclose(gradient, [[0.25 - 0.1, 0.5 - 0.8, 0.25 - 0.1]], atol=1e-15)


@pytest.mark.parametrize("method", METHODS)
def test_the_focal_loss_learns_of_1_positive_in_100(method):
    x, y = rare()
    objective = SigmoidCrossEntropy(gamma=2.0)
    logits = logits_of(method, objective, x, y, rounds=40, max_depth=4).astype(float)
    constant = np.full(y.size, objective.initial_score(y))
    assert np.isfinite(logits).all()
    assert objective.metric(y, logits)[1] < 0.7 * objective.metric(y, constant)[1]


def test_a_hessian_that_is_not_positive_is_at_the_floor():
    labels, logits = np.array([1.0, 1.0, 0.0, 1.0]), np.array([-4.0, 0.0, 800.0, np.nan])
    labels[3], weights = np.nan, np.array([2.0, 1.0, 0.5, 1.0])
    objective = SigmoidCrossEntropy(gamma=2.0)
    _, hessian = objective(labels, logits, weights)
    floor = objective.HESSIAN_FLOOR
    np.testing.assert_array_equal(hessian[[0, 2, 3]], [2 * floor, floor / 2, 0])
    assert hessian[1] == pytest.approx(0.25 * (np.log(2) + 1 - 0.25 / 2), rel=0.3)


# --- the objects ----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_are_of_the_dtype_of_the_predictions(dtype):
    labels, weights = np.array([1, 0, 1]), np.array([1, 2, 3])
    for objective, logits in ((PLAIN, np.zeros(3, dtype)), (SOFTMAX, np.zeros((3, 2), dtype))):
        for slopes in objective(labels, logits, weights):
            assert (slopes.dtype, slopes.shape) == (dtype, logits.shape)


def test_results_are_of_the_library_of_the_predictions():
    xp = pytest.importorskip("array_api_strict")
    labels, logits = xp.asarray([1.0, 0.0]), xp.asarray([[0.0, 2.0], [1.0, -1.0]])
    weights = xp.asarray([1.0, 2.0])
    for objective, of_rows in ((PLAIN, logits[:, 0]), (SOFTMAX, logits)):
        for slopes in objective(labels, of_rows, weights):
            assert type(slopes) is type(logits)
        assert objective.metric(labels, of_rows, weights)[1] > 0
        assert np.all(np.isfinite(objective.initial_score(labels, weights)))


@pytest.mark.parametrize(
    "objective", [SigmoidCrossEntropy(0.1, 3.0, 0.25, 2.0, -1), SoftmaxCrossEntropy(0.1, 255)]
)
def test_objectives_are_the_same_after_a_copy_and_tell_what_they_are(objective):
    assert pickle.loads(pickle.dumps(objective)) == objective == deepcopy(objective)
    assert eval(repr(objective)) == objective
    for model in (xgb.XGBClassifier(objective=objective), lgb.LGBMClassifier(objective=objective)):
        assert clone(model).get_params()["objective"] == objective


def test_models_can_be_pickled():
    x, y = tumours()
    model = xgb.XGBClassifier(n_estimators=2, n_jobs=1, objective=PLAIN).fit(x, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(x), model.predict_proba(x))


def test_importing_the_objectives_imports_no_booster():
    code = (
        "import sys, xbce.objectives;"
        "assert not {'xgboost', 'lightgbm', 'catboost', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


ROWS = np.zeros(3)
WRONG = {
    "labels -1 and 1": (lambda: PLAIN(np.array([-1.0, 1, 1]), ROWS), r"from -1\.0 to 1\.0"),
    "labels 1 and 2": (lambda: PLAIN.initial_score(np.array([1, 2])), r"`labels` must be in"),
    "too few labels": (lambda: PLAIN(np.zeros(2), ROWS), r"same shape; got \(2,\) and \(3,\)"),
    "classes": (lambda: PLAIN(ROWS, np.zeros((3, 4))), "use SoftmaxCrossEntropy"),
    "no classes": (lambda: SOFTMAX(ROWS, ROWS), r"Set num_class; .* SigmoidCrossEntropy"),
    "one-hot": (lambda: SOFTMAX(np.eye(3), np.eye(3)), r"class numbers \[rows\]"),
    "class 4": (lambda: SOFTMAX(np.array([0, 4, 1]), np.zeros((3, 4))), "from 0 to 3; got .* 4"),
    "class 0.5": (lambda: SOFTMAX(np.full(3, 0.5), np.zeros((3, 4))), "class numbers from 0 to 3"),
    "weights": (lambda: PLAIN(ROWS, ROWS, np.ones((3, 1))), r"`sample_weight` .* got \(3, 1\)"),
    "few weights": (lambda: PLAIN.initial_score(ROWS, np.ones(2)), r"a weight a row, \(3,\)"),
    "smoothing": (lambda: SigmoidCrossEntropy(label_smoothing=np.inf), "label_smoothing"),
    "smoothing of classes": (
        lambda: SoftmaxCrossEntropy(label_smoothing=np.nan),
        "label_smoothing",
    ),
    "alpha": (lambda: SigmoidCrossEntropy(alpha=2.0), "alpha"),
    "gamma": (lambda: SigmoidCrossEntropy(gamma=-1.0), "gamma"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_does_not_fit_is_an_error_that_says_what_to_pass(wrong):
    call, message = WRONG[wrong]
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("argument", ["labels", "predictions", "sample_weight"])
def test_what_is_no_array_is_an_error_that_names_it(argument):
    arguments = {"labels": ROWS, "predictions": ROWS, "sample_weight": ROWS} | {argument: [0.0] * 3}
    with pytest.raises(TypeError, match=f"`{argument}` must be an array"):
        PLAIN(*arguments.values())


def test_a_data_set_without_labels_is_an_error():
    with pytest.raises(ValueError, match="`labels` and `predictions` must have the same shape"):
        xgb.train(XGB, xgb.DMatrix(tumours()[0]), 1, obj=PLAIN)
