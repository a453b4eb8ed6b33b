"""The objectives for boosters called by hand: what they give, and what they take."""

import pickle
import subprocess
import sys
from copy import deepcopy
from types import SimpleNamespace

import numpy as np
import pytest

from xbce import Reduction
from xbce.losses import softmax_cross_entropy
from xbce.nn import sigmoid_focal_loss
from xbce.objectives import SigmoidCrossEntropy, SoftmaxCrossEntropy

PLAIN, SOFTMAX = SigmoidCrossEntropy(), SoftmaxCrossEntropy()
OBJECTIVES = [
    PLAIN,
    SigmoidCrossEntropy(label_smoothing=0.1, pos_weight=5.0),
    SigmoidCrossEntropy(gamma=2.0),
    SigmoidCrossEntropy(label_smoothing=0.1, alpha=0.25, gamma=2.0, pos_weight=5.0),
]
RNG = np.random.default_rng(1)
LABELS, CLASSES = (RNG.random(3000) < 0.01).astype(float), RNG.integers(0, 10, 600)


def some_weights(labels):
    """Weights of which a fifth is 0."""
    rng = np.random.default_rng(0)
    return rng.uniform(0.2, 3.0, labels.size) * (rng.random(labels.size) > 0.2)


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


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_starting_score_is_where_the_weighted_loss_is_least(objective):
    y, weights = LABELS, some_weights(LABELS)
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
    y, weights = CLASSES, some_weights(CLASSES)
    scores = objective.initial_score(y, weights, classes=12)  # two of them without a row
    gradient, _ = objective(y, np.full((y.size, 12), scores), weights)
    assert np.abs(gradient.sum(axis=0)).max() < 1e-12 * weights.sum()


def test_each_column_has_a_starting_score_of_its_own():
    labels = np.array([[1, 0], [0, 0], [0, np.nan], [0, 1]])
    scores = SigmoidCrossEntropy(pos_weight=np.array([1.0, 2.0])).initial_score(labels)
    np.testing.assert_allclose(scores, [np.log(1 / 3), 0], atol=1e-14)


def test_a_class_without_rows_starts_at_a_finite_score():
    scores = SOFTMAX.initial_score(np.array([0, 0, 2]))
    np.testing.assert_allclose(scores, [np.log(2 / 3), -SOFTMAX.SCORE_LIMIT, np.log(1 / 3)])


def test_labels_that_do_not_count_have_no_part_in_the_starting_score():
    labels = np.array([0.0, 1, 1, np.nan, -1])
    objective = SigmoidCrossEntropy(ignore_index=-1)
    assert objective.initial_score(labels) == pytest.approx(np.log(2))
    assert objective.initial_score(labels, np.zeros(5)) == pytest.approx(0, abs=1e-14)
    np.testing.assert_allclose(SOFTMAX.initial_score(np.array([0, 1]), np.zeros(2)), np.log(0.5))


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


def test_softmax_smooths_towards_equal_probabilities():
    logits = np.array([[0.0, np.log(2.0), 0.0]])
    gradient, _ = SoftmaxCrossEntropy(label_smoothing=0.3)(np.array([1]), logits)
    np.testing.assert_allclose(gradient, [[0.25 - 0.1, 0.5 - 0.8, 0.25 - 0.1]], atol=1e-15)


def test_a_hessian_that_is_not_positive_is_at_the_floor():
    labels, logits = np.array([1.0, 1.0, 0.0, 1.0]), np.array([-4.0, 0.0, 800.0, np.nan])
    labels[3], weights = np.nan, np.array([2.0, 1.0, 0.5, 1.0])
    objective = SigmoidCrossEntropy(gamma=2.0)
    _, hessian = objective(labels, logits, weights)
    floor = objective.HESSIAN_FLOOR
    np.testing.assert_array_equal(hessian[[0, 2, 3]], [2 * floor, floor / 2, 0])
    assert hessian[1] == pytest.approx(0.25 * (np.log(2) + 1 - 0.25 / 2), rel=0.3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_are_of_the_dtype_of_the_predictions(dtype):
    labels, weights = np.array([1, 0, 1]), np.array([1, 2, 3])
    for objective, logits in ((PLAIN, np.zeros(3, dtype)), (SOFTMAX, np.zeros((3, 2), dtype))):
        for slopes in objective(labels, logits, weights):
            assert (slopes.dtype, slopes.shape) == (dtype, logits.shape)


@pytest.mark.backend("torch")
def test_what_a_data_set_holds_follows_the_predictions_into_their_library():
    torch = pytest.importorskip("torch")
    labels, weights = np.array([1.0, 0.0, 1.0], "f4"), np.array([1.0, 2.0, 0.0], "f4")
    data = SimpleNamespace(get_label=lambda: labels, get_weight=lambda: weights)
    logits = np.array([0.5, 2.0, -1.0], "f4")
    expected = PLAIN(logits, data)
    for actual, desired in zip(PLAIN(torch.from_numpy(logits), data), expected, strict=True):
        assert isinstance(actual, torch.Tensor)
        np.testing.assert_allclose(actual.numpy(), desired, rtol=1e-6)


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
