"""Linear models fitted by SciPy's optimisers: the coefficients of scikit-learn."""

import numpy as np
import pytest

from xbce.derivatives import (
    gradient_hessian,
    softmax_value_and_grad,
    sparse_softmax_value_and_grad,
    value_and_grad,
)
from xbce.losses import Reduction

optimize = pytest.importorskip("scipy.optimize")
pytest.importorskip("sklearn")
from sklearn.datasets import load_breast_cancer, load_digits  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from threadpoolctl import threadpool_limits  # noqa: E402

PENALTY = 2.0  # of half the squared coefficients, the intercept left out; 1/C of scikit-learn
PRECISE = {"gtol": 1e-6, "ftol": 0, "maxcor": 50, "maxiter": 5000, "maxfun": 10000}


@pytest.fixture(autouse=True)
def _one_thread():
    """Threads of BLAS wait for each other, and long where other processes run."""
    with threadpool_limits(1):
        yield


def standardised():
    """569 tumours, 30 features."""
    x, y = load_breast_cancer(return_X_y=True)
    return (x - x.mean(axis=0)) / x.std(axis=0), y


def minimum(objective, start):
    """Where the gradient is next to 0."""
    found = optimize.minimize(objective, start, jac=True, method="L-BFGS-B", options=PRECISE)
    assert found.success, found.message
    return found.x


def reference(x, y, solver, weights=None):
    model = LogisticRegression(C=1 / PENALTY, tol=1e-10, solver=solver, max_iter=5000)
    return model.fit(x, y, sample_weight=weights)


def binary_objective(x, y, weights=1.0):
    """Loss and gradient by intercept and coefficients, as one vector."""

    def objective(parameters):
        intercept, coefficients = parameters[0], parameters[1:]
        loss, by_logits = value_and_grad(
            y, x @ coefficients + intercept, weights, reduction=Reduction.SUM
        )
        slope = x.T @ by_logits + PENALTY * coefficients
        penalty = 0.5 * PENALTY * coefficients @ coefficients
        return float(loss + penalty), np.concatenate([[by_logits.sum()], slope])

    return objective


@pytest.mark.parametrize("weighted", [False, True])
def test_logistic_regression(weighted):
    x, y = standardised()
    weights = np.arange(y.size) % 4.0 if weighted else None  # of them a quarter is 0
    objective = binary_objective(x, y, 1.0 if weights is None else weights)
    found = minimum(objective, np.zeros(x.shape[1] + 1))
    model = reference(x, y, "newton-cholesky", weights)
    np.testing.assert_allclose(found[0], model.intercept_[0], atol=1e-5)
    np.testing.assert_allclose(found[1:], model.coef_[0], atol=1e-5)


def test_logistic_regression_by_newton_s_method():
    x, y = standardised()
    model = reference(x, y, "newton-cholesky")
    x = np.column_stack([np.ones(y.size), x])
    penalty = PENALTY * np.eye(x.shape[1])
    penalty[0, 0] = 0.0
    found = np.zeros(x.shape[1])
    for _ in range(12):
        slopes, curvatures = gradient_hessian(labels=y, logits=x @ found)
        hessian = x.T @ (curvatures[:, None] * x) + penalty
        found = found - np.linalg.solve(hessian, x.T @ slopes + penalty @ found)
    np.testing.assert_allclose(found[0], model.intercept_[0], atol=1e-5)
    np.testing.assert_allclose(found[1:], model.coef_[0], atol=1e-5)


@pytest.mark.parametrize("loss_and_slopes", [softmax_value_and_grad, sparse_softmax_value_and_grad])
def test_multinomial_logistic_regression(loss_and_slopes):
    x, digits = load_digits(return_X_y=True)
    x = x / 16
    y = digits if loss_and_slopes is sparse_softmax_value_and_grad else np.eye(10)[digits]

    def objective(parameters):
        parameters = parameters.reshape(10, -1)
        intercept, coefficients = parameters[:, 0], parameters[:, 1:]
        loss, by_logits = loss_and_slopes(
            y, x @ coefficients.T + intercept, reduction=Reduction.SUM
        )
        slope = by_logits.T @ x + PENALTY * coefficients
        penalty = 0.5 * PENALTY * (coefficients**2).sum()
        return float(loss + penalty), np.column_stack([by_logits.sum(axis=0), slope]).ravel()

    found = minimum(objective, np.zeros(10 * 65)).reshape(10, -1)
    model = reference(x, digits, "newton-cg")
    # A constant added to all intercepts changes no probability, and no penalty.
    np.testing.assert_allclose(
        found[:, 0] - found[:, 0].mean(), model.intercept_ - model.intercept_.mean(), atol=1e-5
    )
    np.testing.assert_allclose(found[:, 1:], model.coef_, atol=1e-5)
