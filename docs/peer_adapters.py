"""The peers of xbce in the form that its audit takes, for docs/peers.py.

A library is imported in its adapter, so that each process imports one.
"""

import json
import os
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from xbce import sigmoid_cross_entropy_with_logits
from xbce.derivatives import gradient

Arrays = Callable[[Any, Any], Any]  # (labels, logits) -> losses, or the gradient


class Adapter(NamedTuple):
    """A library in the form that the audit takes; a loss of None is not to be had."""

    loss: Arrays | None
    gradient: Arrays | None = None
    xp: Any = np
    dtypes: tuple[str, ...] = ("float32", "float64")
    kinds: tuple[str, ...] = ("hard", "soft")  # of labels it is made for


def by_torch(loss: Arrays) -> Adapter:
    """Losses of PyTorch tensors, differentiated by its autograd."""
    import torch

    def slope(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
        leaf = torch.tensor(logits, requires_grad=True)
        return torch.autograd.grad(loss(torch.tensor(labels), leaf).sum(), leaf)[0].numpy()

    return Adapter(lambda z, x: loss(torch.tensor(z), torch.tensor(x)).numpy(), slope)


def by_tensorflow(loss: Arrays) -> Adapter:
    """Losses of TensorFlow tensors, differentiated by its GradientTape."""
    import tensorflow as tf

    def slope(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
        leaf = tf.constant(logits)
        with tf.GradientTape() as tape:
            tape.watch(leaf)
            losses = loss(tf.constant(labels), leaf)
        return tape.gradient(losses, leaf).numpy()

    return Adapter(lambda z, x: loss(tf.constant(z), tf.constant(x)).numpy(), slope)


def by_jax(loss: Arrays) -> Adapter:
    """Losses of JAX arrays, differentiated by jax.grad."""
    import jax

    jax.config.update("jax_enable_x64", True)
    slope = jax.grad(lambda x, z: loss(z, x).sum())
    to_jax = jax.numpy.asarray
    return Adapter(
        lambda z, x: np.asarray(loss(to_jax(z), to_jax(x))),
        lambda z, x: np.asarray(slope(to_jax(x), to_jax(z))),
    )


def pytorch() -> Adapter:
    """torch.nn.functional.binary_cross_entropy_with_logits."""
    from torch.nn.functional import binary_cross_entropy_with_logits as loss

    return by_torch(lambda z, x: loss(x, z, reduction="none"))


def tensorflow() -> Adapter:
    """tf.nn.sigmoid_cross_entropy_with_logits."""
    from tensorflow import nn

    return by_tensorflow(lambda z, x: nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x))


def optax() -> Adapter:
    """optax.sigmoid_binary_cross_entropy."""
    from optax import sigmoid_binary_cross_entropy as loss

    return by_jax(lambda z, x: loss(x, z))


def keras(backend: str) -> Adapter:
    """keras.ops.binary_crossentropy(from_logits=True), which Keras's loss takes the mean of."""
    os.environ["KERAS_BACKEND"] = backend
    from keras.ops import binary_crossentropy as loss

    through = {"torch": by_torch, "tensorflow": by_tensorflow, "jax": by_jax}[backend]
    return through(lambda z, x: loss(z, x, from_logits=True))


def sklearn() -> Adapter:
    """The loss of scikit-learn's logistic regression and gradient boosting."""
    from sklearn._loss import HalfBinomialLoss

    loss = HalfBinomialLoss()
    return Adapter(loss.loss, loss.gradient)


def scipy() -> Adapter:
    """The formula that scipy.special.log_expit is for; SciPy has no gradient of it."""
    from scipy.special import log_expit

    return Adapter(lambda z, x: -z * log_expit(x) - (1 - z) * log_expit(-x))


def xgboost() -> Adapter:
    """Objective binary:logistic, read from trees of one leaf -g/(h + penalty), one a logit."""
    import xgboost

    settings = {"eta": 1, "min_child_weight": 0, "tree_method": "exact"}

    def grow(labels: np.ndarray, logits: np.ndarray, penalty: float) -> np.ndarray:
        row = {"label": labels.reshape(1, -1), "base_margin": logits.reshape(1, -1)}
        data = xgboost.DMatrix(np.zeros((1, 1)), **row)
        parameters = {"objective": "binary:logistic", "lambda": penalty, **settings}
        model = json.loads(xgboost.train(parameters, data, 1).save_raw("json"))
        trees = model["learner"]["gradient_booster"]["model"]["trees"]
        return np.array([(tree["base_weights"][0], tree["sum_hessian"][0]) for tree in trees]).T

    def slope(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
        weights, hessians = grow(labels, logits, 0)  # to 1 ulp: both are rounded to float32
        tiny, exact = -weights * hessians, -(2.0**24) * grow(labels, logits, 2.0**24)[0]
        return np.where(np.abs(exact) > 1e-24, exact, tiny).astype(np.float32)  # float32 ends there

    return Adapter(None, slope, dtypes=("float32",))


def lightgbm(objective: str) -> Adapter:
    """A built-in objective, read from a tree with a row a leaf, refitted: -1e20*g/(h + 1e12)."""
    import lightgbm

    settings = {"objective": "regression", "boost_from_average": False, "learning_rate": 1e20}
    settings |= {"min_data_in_leaf": 1, "min_data_in_bin": 1, "min_sum_hessian_in_leaf": 0}
    settings |= {"feature_pre_filter": False, "verbose": -1}

    def slope(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
        labels = np.append(labels, (0.0, 1.0))  # it refuses to learn from one class
        logits = np.append(logits, (0.0, 0.0)).astype(float)
        rows = np.arange(labels.size, dtype=float)[:, None]
        sizes = {"num_leaves": labels.size, "max_bin": labels.size + 1}
        data = lightgbm.Dataset(rows, rows.ravel(), params=settings | sizes)
        tree = lightgbm.train(settings | sizes, data, 1)
        tree.params.update(objective=objective, lambda_l2=1e12)
        leaves = tree.predict(rows, pred_leaf=True).ravel().astype(int)
        assert len(set(leaves)) == labels.size
        fitted = tree.refit(rows, labels, decay_rate=0.0, init_score=logits)
        values = np.array([fitted.get_leaf_output(0, leaf) for leaf in leaves[:-2]])
        return (values / -1e8).astype(np.float32)

    kinds = ("hard",) if objective == "binary" else ("hard", "soft")
    return Adapter(None, slope, dtypes=("float32",), kinds=kinds)


def ours(module: str) -> Adapter:
    """xbce on arrays of one library; the audit differentiates it where the library can."""
    xp = import_module(module)
    if module == "jax.numpy":
        import_module("jax").config.update("jax_enable_x64", True)
    autodiff = module in ("torch", "jax.numpy")
    return Adapter(
        lambda z, x: sigmoid_cross_entropy_with_logits(labels=z, logits=x),
        None if autodiff else lambda z, x: gradient(labels=z, logits=x),
        xp,
    )


PEERS: dict[str, tuple[tuple[str, ...], Callable[[], Adapter]]] = {  # by name: packages, adapter
    "xbce on NumPy": (("xbce", "numpy"), partial(ours, "numpy")),
    "xbce on PyTorch": (("xbce", "torch"), partial(ours, "torch")),
    "xbce on JAX": (("xbce", "jax"), partial(ours, "jax.numpy")),
    "xbce on Dask": (("xbce", "dask"), partial(ours, "dask.array")),
    "xbce on array-api-strict": (("xbce", "array-api-strict"), partial(ours, "array_api_strict")),
    "PyTorch": (("torch",), pytorch),
    "TensorFlow": (("tensorflow-cpu",), tensorflow),
    "optax": (("optax", "jax"), optax),
    "Keras on PyTorch": (("keras", "torch"), partial(keras, "torch")),
    "Keras on TensorFlow": (("keras", "tensorflow-cpu"), partial(keras, "tensorflow")),
    "Keras on JAX": (("keras", "jax"), partial(keras, "jax")),
    "scikit-learn": (("scikit-learn",), sklearn),
    "SciPy log_expit": (("scipy",), scipy),
    "XGBoost": (("xgboost-cpu",), xgboost),
    "LightGBM binary": (("lightgbm",), partial(lightgbm, "binary")),
    "LightGBM cross_entropy": (("lightgbm",), partial(lightgbm, "cross_entropy")),
}
