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

from xbce import nn
from xbce.derivatives import gradient
from xbce.testing.adapters import (
    from_keras,
    from_optax,
    from_sklearn,
    from_tensorflow,
    from_torch,
)

Arrays = Callable[[Any, Any], Any]  # (labels, logits) -> losses, or the gradient
BOTH = ("float32", "float64")
SPARSE = "sparse_softmax_cross_entropy"
FOCAL = {"alpha": 0.25, "gamma": 2.0}
CLASSES = 10


class Adapter(NamedTuple):
    """A library in the form that the audit takes; a loss of None is not to be had."""

    loss: Arrays | None
    gradient: Arrays | None = None
    xp: Any = np
    kinds: tuple[str, ...] = ("hard", "soft")  # of labels it is made for


class Peer(NamedTuple):
    """One loss of one library: the packages it needs, how it is made, and which loss it is."""

    packages: tuple[str, ...]
    adapt: Callable[[str], Adapter]  # by dtype, which some are made for
    loss: str = "sigmoid"  # or softmax, sparse or focal
    dtypes: tuple[str, ...] = BOTH

    @property
    def options(self) -> dict[str, Any]:
        """What the audit is told of the loss."""
        named = {
            "sparse": {"loss": SPARSE, "classes": CLASSES},
            "softmax": {"classes": CLASSES},
            "focal": FOCAL,
        }
        return named.get(self.loss, {})


def jax() -> Any:
    """The namespace of JAX, with float64."""
    import jax

    jax.config.update("jax_enable_x64", True)
    return jax.numpy


def pytorch(name: str, dtype: str, compiled: bool = False) -> Adapter:
    """A function of torch.nn.functional."""
    import torch

    loss = getattr(torch.nn.functional, name)
    # A function compiled anew for each dtype stays below the number of shapes that are compiled.
    loss = torch.compile(loss) if compiled else loss
    return Adapter(from_torch(loss, takes=(), reduction="none"), xp=torch)


def tensorflow(name: str, dtype: str, compiled: bool = False) -> Adapter:
    """A function of tf.nn, compiled by XLA if it is compiled."""
    import tensorflow as tf

    loss = getattr(tf.nn, name)
    return Adapter(from_tensorflow(tf.function(loss, jit_compile=True) if compiled else loss))


def optax(name: str, dtype: str, compiled: bool = False, **options: float) -> Adapter:
    """A function of optax.losses."""
    xp = jax()
    import jax as library
    import optax

    loss = getattr(optax.losses, name)
    return Adapter(from_optax(library.jit(loss) if compiled else loss, **options), xp=xp)


def keras(backend: str, name: str, dtype: str, **options: Any) -> Adapter:
    """A loss of keras.losses, made for logits and for the dtype, unreduced."""
    os.environ["KERAS_BACKEND"] = backend
    xp = {"torch": lambda: import_module("torch"), "jax": jax}.get(backend, lambda: np)()
    import keras

    made = getattr(keras.losses, name)
    loss = made(from_logits=True, reduction=None, dtype=dtype, **options)
    return Adapter(from_keras(loss, over_classes="Categorical" in name), xp=xp)


def sklearn(name: str, dtype: str, **options: int) -> Adapter:
    """A loss of scikit-learn's logistic regression and gradient boosting."""
    loss = getattr(import_module("sklearn._loss"), name)
    return Adapter(from_sklearn(loss(**options)))


def sklearn_on_torch(dtype: str) -> Adapter:
    """The loss of scikit-learn's logistic regression on arrays that are not of NumPy."""
    from array_api_compat import torch
    from sklearn._loss.loss import HalfBinomialLossArrayAPI

    return Adapter(from_sklearn(HalfBinomialLossArrayAPI(xp=torch, device="cpu")), xp=torch)


def scipy(dtype: str) -> Adapter:
    """The formula that scipy.special.log_expit is for; SciPy has no gradient of it."""
    from scipy.special import log_expit

    return Adapter(lambda z, x: -z * log_expit(x) - (1 - z) * log_expit(-x))


def xgboost(dtype: str) -> Adapter:
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
        known = np.nan_to_num(labels)  # it refuses NaN
        weights, hessians = grow(known, logits, 0)  # to 1 ulp: both are rounded to float32
        tiny, exact = -weights * hessians, -(2.0**24) * grow(known, logits, 2.0**24)[0]
        found = np.where(np.abs(exact) > 1e-24, exact, tiny)  # float32 ends there
        return np.where(np.isnan(labels), np.nan, found).astype(np.float32)

    return Adapter(None, slope)


def lightgbm(objective: str, dtype: str) -> Adapter:
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

    return Adapter(None, slope, kinds=("hard",) if objective == "binary" else ("hard", "soft"))


def ours(module: str, loss: Callable[..., Any], dtype: str, **options: float) -> Adapter:
    """xbce on arrays of one library; the audit differentiates it where the library can."""
    xp = jax() if module == "jax.numpy" else import_module(module)
    slopes = None
    if loss is nn.sigmoid_cross_entropy_with_logits and module not in ("torch", "jax.numpy"):
        slopes = lambda z, x: gradient(labels=z, logits=x)  # noqa: E731
    return Adapter(lambda z, x: loss(labels=z, logits=x, **options), slopes, xp)


TORCH, TENSORFLOW, OPTAX, SKLEARN = (
    ("torch",),
    ("tensorflow-cpu",),
    ("optax", "jax"),
    ("scikit-learn",),
)
JAX = ("xbce", "jax")
ON_TORCH, ON_TENSORFLOW, ON_JAX = (("keras", n) for n in ("torch", "tensorflow-cpu", "jax"))
BCE, TF_BCE = "binary_cross_entropy_with_logits", "sigmoid_cross_entropy_with_logits"
OX_BCE, KERAS_BCE = "sigmoid_binary_cross_entropy", "BinaryCrossentropy"
OURS, SOFTMAX = nn.sigmoid_cross_entropy_with_logits, nn.softmax_cross_entropy_with_logits
BALANCED = {"apply_class_balancing": True}

PEERS = {
    "xbce on NumPy": Peer(("xbce", "numpy"), partial(ours, "numpy", OURS)),
    "xbce on PyTorch": Peer(("xbce", "torch"), partial(ours, "torch", OURS)),
    "xbce on JAX": Peer(JAX, partial(ours, "jax.numpy", OURS)),
    "xbce on Dask": Peer(("xbce", "dask"), partial(ours, "dask.array", OURS)),
    "xbce on array-api-strict": Peer(
        ("xbce", "array-api-strict"), partial(ours, "array_api_strict", OURS)
    ),
    "PyTorch": Peer(TORCH, partial(pytorch, BCE)),
    "PyTorch, compiled": Peer(TORCH, partial(pytorch, BCE, compiled=True)),
    "TensorFlow": Peer(TENSORFLOW, partial(tensorflow, TF_BCE)),
    "TensorFlow, compiled": Peer(TENSORFLOW, partial(tensorflow, TF_BCE, compiled=True)),
    "optax": Peer(OPTAX, partial(optax, OX_BCE)),
    "optax, compiled": Peer(OPTAX, partial(optax, OX_BCE, compiled=True)),
    "Keras on PyTorch": Peer(ON_TORCH, partial(keras, "torch", KERAS_BCE)),
    "Keras on TensorFlow": Peer(ON_TENSORFLOW, partial(keras, "tensorflow", KERAS_BCE)),
    "Keras on JAX": Peer(ON_JAX, partial(keras, "jax", KERAS_BCE)),
    "scikit-learn": Peer(SKLEARN, partial(sklearn, "HalfBinomialLoss")),
    "scikit-learn on PyTorch": Peer((*SKLEARN, "torch"), sklearn_on_torch),
    "SciPy log_expit": Peer(("scipy",), scipy),
    "XGBoost": Peer(("xgboost-cpu",), xgboost, dtypes=("float32",)),
    "LightGBM binary": Peer(("lightgbm",), partial(lightgbm, "binary"), dtypes=("float32",)),
    "LightGBM cross_entropy": Peer(
        ("lightgbm",), partial(lightgbm, "cross_entropy"), dtypes=("float32",)
    ),
}
OTHERS = {  # softmax, with labels of all classes and with class numbers, and focal
    "xbce on PyTorch: softmax": Peer(("xbce", "torch"), partial(ours, "torch", SOFTMAX), "softmax"),
    "xbce on JAX: softmax": Peer(JAX, partial(ours, "jax.numpy", SOFTMAX), "softmax"),
    "PyTorch cross_entropy": Peer(TORCH, partial(pytorch, "cross_entropy"), "softmax"),
    "TensorFlow softmax_cross_entropy_with_logits": Peer(
        TENSORFLOW, partial(tensorflow, "softmax_cross_entropy_with_logits"), "softmax"
    ),
    "optax softmax_cross_entropy": Peer(OPTAX, partial(optax, "softmax_cross_entropy"), "softmax"),
    "optax safe_softmax_cross_entropy": Peer(
        OPTAX, partial(optax, "safe_softmax_cross_entropy"), "softmax"
    ),
    "Keras on TensorFlow CategoricalCrossentropy": Peer(
        ON_TENSORFLOW, partial(keras, "tensorflow", "CategoricalCrossentropy"), "softmax"
    ),
    "xbce on PyTorch: sparse softmax": Peer(
        ("xbce", "torch"),
        partial(ours, "torch", nn.sparse_softmax_cross_entropy_with_logits),
        "sparse",
    ),
    "PyTorch cross_entropy, class numbers": Peer(
        TORCH, partial(pytorch, "cross_entropy"), "sparse"
    ),
    "TensorFlow sparse_softmax_cross_entropy_with_logits": Peer(
        TENSORFLOW, partial(tensorflow, "sparse_softmax_cross_entropy_with_logits"), "sparse"
    ),
    "optax softmax_cross_entropy_with_integer_labels": Peer(
        OPTAX, partial(optax, "softmax_cross_entropy_with_integer_labels"), "sparse"
    ),
    "Keras on TensorFlow SparseCategoricalCrossentropy": Peer(
        ON_TENSORFLOW, partial(keras, "tensorflow", "SparseCategoricalCrossentropy"), "sparse"
    ),
    "scikit-learn HalfMultinomialLoss": Peer(
        SKLEARN, partial(sklearn, "HalfMultinomialLoss", n_classes=CLASSES), "sparse"
    ),
    "xbce on PyTorch: focal": Peer(
        ("xbce", "torch"), partial(ours, "torch", nn.sigmoid_focal_loss, **FOCAL), "focal"
    ),
    "xbce on JAX: focal": Peer(
        JAX, partial(ours, "jax.numpy", nn.sigmoid_focal_loss, **FOCAL), "focal"
    ),
    "optax sigmoid_focal_loss": Peer(OPTAX, partial(optax, "sigmoid_focal_loss", **FOCAL), "focal"),
    "Keras on PyTorch BinaryFocalCrossentropy": Peer(
        ON_TORCH, partial(keras, "torch", "BinaryFocalCrossentropy", **BALANCED), "focal"
    ),
    "Keras on TensorFlow BinaryFocalCrossentropy": Peer(
        ON_TENSORFLOW, partial(keras, "tensorflow", "BinaryFocalCrossentropy", **BALANCED), "focal"
    ),
    "Keras on JAX BinaryFocalCrossentropy": Peer(
        ON_JAX, partial(keras, "jax", "BinaryFocalCrossentropy", **BALANCED), "focal"
    ),
}
