"""How people reduce the losses of Keras and scikit-learn, for docs/peer_reductions.py."""

import os
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from peer_adapters import jax
from peer_calls import CLASS_NUMBER, SMOOTHING, SOFTMAX, SPARSE_SOFTMAX, Call, always

from xbce.testing.adapters import from_keras, from_sklearn


def keras(backend: str) -> tuple[Any, list[Call]]:
    """The losses of keras.losses by their reductions; an axis of size 1 is put behind the last.

    Without it Keras takes the mean over the last axis first, which two of the calls show.
    """
    os.environ["KERAS_BACKEND"] = backend
    xp = {"torch": lambda: import_module("torch"), "jax": jax}.get(backend, lambda: np)()
    import keras as library

    def made(name: str, **options: Any) -> Callable[[str], Callable[..., Any]]:
        kind = getattr(library.losses, name)

        def of_dtype(dtype: str) -> Callable[..., Any]:
            loss = kind(from_logits=True, dtype=dtype, **options)
            return from_keras(loss, over_classes="Categorical" in name)

        return of_dtype

    def whole(reduction: str | None) -> Callable[[str], Callable[..., Any]]:
        def of_dtype(dtype: str) -> Callable[..., Any]:
            loss = library.losses.BinaryCrossentropy(
                from_logits=True, dtype=dtype, reduction=reduction
            )
            return without_weights(from_keras(loss, over_classes=True))

        return of_dtype

    def ignoring(reduction: str) -> Callable[[str], Callable[..., Any]]:
        def of_dtype(dtype: str) -> Callable[..., Any]:
            loss = library.losses.SparseCategoricalCrossentropy(
                from_logits=True, dtype=dtype, reduction=reduction, ignore_class=CLASS_NUMBER
            )
            return with_class_ignored(from_keras(loss, over_classes=True), xp)

        return of_dtype

    kinds = ("sum_over_batch_size", "mean_with_sample_weight", "sum", None)
    smooth = {"label_smoothing": SMOOTHING}
    name, sparse = "BinaryCrossentropy", "SparseCategoricalCrossentropy"
    return xp, [
        *(
            Call(f"{name}(reduction={kind!r})(z, x, w)", made(name, reduction=kind))
            for kind in kinds
        ),
        Call(f"{name}(label_smoothing=a)(z, x, w)", made(name, **smooth), smooth),
        Call(f"{name}(reduction=None)(z, x), the last axis longer", whole(None), {"axis": -1}),
        Call(
            f"{name}(reduction='sum')(z, x), the last axis longer",
            whole("sum"),
            claim="weighted_sum",
        ),
        Call(
            "CategoricalCrossentropy(label_smoothing=a)(z, x, w)",
            made("CategoricalCrossentropy", **smooth),
            SOFTMAX | smooth,
        ),
        Call(f"{sparse}()(z, x, w)", made(sparse), SPARSE_SOFTMAX),
        Call(f"{sparse}(ignore_class=i)(z, x)", ignoring("sum_over_batch_size"), SPARSE_SOFTMAX),
    ]


def without_weights(loss: Callable[..., Any]) -> Callable[..., Any]:
    """The loss, which the audit then calls without weights."""

    def call(labels: Any, logits: Any) -> Any:
        return loss(labels, logits)

    if hasattr(loss, "gradient"):
        call.gradient = lambda labels, logits: loss.gradient(labels, logits)
    return call


def with_class_ignored(loss: Callable[..., Any], xp: Any) -> Callable[..., Any]:
    """The loss with a mask, which sets the class numbers that it leaves out to the ignored one."""

    def numbers(labels: Any, where: Any) -> Any:
        return labels if where is None else xp.where(where, labels, CLASS_NUMBER)

    def call(labels: Any, logits: Any, where: Any = None) -> Any:
        return loss(numbers(labels, where), logits)

    if hasattr(loss, "gradient"):
        call.gradient = lambda labels, logits, where=None: loss.gradient(
            numbers(labels, where), logits
        )
    return call


def sklearn() -> tuple[Any, list[Call]]:
    """The losses of scikit-learn's estimators, called, and its metric."""
    from sklearn._loss import HalfBinomialLoss, HalfMultinomialLoss
    from sklearn.metrics import log_loss

    hard = {"soft_labels": False}
    return np, [
        Call(
            "HalfBinomialLoss()(z, x, sample_weight=w)",
            always(from_sklearn(HalfBinomialLoss(), reduced=True)),
        ),
        Call(
            "HalfMultinomialLoss()(z, x, sample_weight=w)",
            always(from_sklearn(HalfMultinomialLoss(n_classes=3), reduced=True)),
            SPARSE_SOFTMAX,
        ),
        Call("log_loss(sample_weight=w)", always(from_sklearn(log_loss)), hard),
        Call(
            "log_loss(normalize=False, sample_weight=w)",
            always(from_sklearn(partial(log_loss, normalize=False))),
            hard,
        ),
    ]


def sklearn_on_torch() -> tuple[Any, list[Call]]:
    """The loss of scikit-learn's logistic regression, called with tensors of PyTorch."""
    from array_api_compat import torch
    from sklearn._loss.loss import HalfBinomialLossArrayAPI

    loss = HalfBinomialLossArrayAPI(xp=torch, device="cpu")

    def call(labels: Any, logits: Any, weights: Any = None) -> Any:
        flat = None if weights is None else weights.expand(logits.shape).reshape(-1)
        return loss(labels.reshape(-1), logits.reshape(-1), sample_weight=flat)

    return torch, [Call("HalfBinomialLossArrayAPI(xp=torch)(z, x, sample_weight=w)", always(call))]
