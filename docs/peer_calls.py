"""How people reduce the losses of PyTorch, TensorFlow and optax, for docs/peer_reductions.py.

Each call is written as in a program, with w for weights, m or mask for a mask, k for one that keeps
classes, c for weights of classes, a for a number and i for the class number that is ignored.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from peer_adapters import BOTH, FOCAL, SPARSE, jax

from xbce.testing.adapters import from_optax, from_tensorflow, from_torch

CLASS_WEIGHTS = (1.0, 2.0, 4.0)
SMOOTHING = 0.125  # a number that every dtype holds
CLASS_NUMBER = -1  # that Keras is told to ignore
SOFTMAX = {"loss": "softmax_cross_entropy"}
SPARSE_SOFTMAX = {"loss": SPARSE}
OF_CLASSES = {"shapes": ("classes",)}
WEIGHTED = {"loss": "weighted_cross_entropy", "pos_weight": 3.0}


class Call(NamedTuple):
    """A reduced loss as a user writes it, and what the audit is told of it."""

    text: str
    make: Callable[[str], Callable[..., Any]]  # by dtype
    options: Mapping[str, Any] = MappingProxyType({})
    dtypes: tuple[str, ...] = BOTH
    claim: str = ""  # the reduction that it is taken for, where that does not tell itself


def always(loss: Callable[..., Any]) -> Callable[[str], Callable[..., Any]]:
    """The same loss whatever the dtype."""
    return lambda dtype: loss


def pytorch() -> tuple[Any, list[Call]]:
    """What torch.nn.functional has, and what is made of its unreduced losses."""
    import torch
    from torch.nn import functional

    bce, softmax = functional.binary_cross_entropy_with_logits, functional.cross_entropy

    def tensor(values: Any, dtype: str) -> Any:
        return torch.tensor(values, dtype=getattr(torch, dtype))

    def positive(dtype: str) -> Callable[..., Any]:
        return from_torch(bce, pos_weight=tensor(3.0, dtype))

    def classed(dtype: str, **options: Any) -> Callable[..., Any]:
        return from_torch(softmax, weight=tensor(CLASS_WEIGHTS, dtype), **options)

    def product(labels: Any, logits: Any, where: Any = None) -> Any:
        losses = bce(logits, labels, reduction="none")
        kept = torch.ones_like(losses) * (1 if where is None else where)
        return (losses * kept).sum() / kept.sum()

    def indexed(labels: Any, logits: Any, where: Any = None) -> Any:
        losses = bce(logits, labels, reduction="none")
        return losses.mean() if where is None else losses[where.expand(losses.shape)].mean()

    def filled(labels: Any, logits: Any, where: Any = None) -> Any:
        if where is not None:
            logits = logits.masked_fill(~where, -torch.inf)
        return from_torch(softmax)(labels, logits)

    compiled = torch.compile(bce)
    margin = functional.multilabel_soft_margin_loss
    smooth = {"label_smoothing": SMOOTHING}
    weighted = {"class_weights": CLASS_WEIGHTS}
    name, ce = "binary_cross_entropy_with_logits", "cross_entropy"
    return torch, [
        Call(f'{name}(weight=w, reduction="mean")', always(from_torch(bce))),
        Call(f'{name}(weight=w, reduction="sum")', always(from_torch(bce, reduction="sum"))),
        Call(f'{name}(weight=w, reduction="none")', always(from_torch(bce, reduction="none"))),
        Call(f"{name}(weight=w, pos_weight=3)", positive, WEIGHTED),
        Call(f"torch.compile({name})", always(from_torch(compiled, takes=())), {}, ("float32",)),
        Call("(losses*mask).sum() / mask.sum()", always(product)),
        Call("losses[mask].mean()", always(indexed)),
        Call(
            "multilabel_soft_margin_loss(weight=w)",
            always(from_torch(margin)),
        ),
        Call(
            'multilabel_soft_margin_loss(reduction="none")',
            always(from_torch(margin, takes=(), reduction="none")),
            {"axis": -1},
        ),
        Call(f"{ce}(ignore_index=i)", always(from_torch(softmax)), SPARSE_SOFTMAX),
        Call(
            f'{ce}(ignore_index=i, reduction="sum")',
            always(from_torch(softmax, reduction="sum")),
            SPARSE_SOFTMAX,
        ),
        Call(
            f'{ce}(ignore_index=i, reduction="none")',
            always(from_torch(softmax, reduction="none")),
            SPARSE_SOFTMAX,
        ),
        Call(
            f"{ce}(ignore_index=i, label_smoothing=a)",
            always(from_torch(softmax, **smooth)),
            SPARSE_SOFTMAX | smooth,
        ),
        Call(f"{ce}(ignore_index=i, weight=c)", classed, SPARSE_SOFTMAX | weighted),
        Call(
            f"{ce}(ignore_index=i, weight=c, label_smoothing=a)",
            partial(classed, **smooth),
            SPARSE_SOFTMAX | weighted | smooth,
        ),
        Call(f"{ce}() of probabilities", always(from_torch(softmax, takes=())), SOFTMAX),
        Call(
            f"{ce}(label_smoothing=a) of probabilities",
            always(from_torch(softmax, takes=(), **smooth)),
            SOFTMAX | smooth,
        ),
        Call(f"{ce}(weight=c) of probabilities", partial(classed, takes=()), SOFTMAX | weighted),
        Call(f"{ce}(x.masked_fill(~k, -inf))", always(filled), SPARSE_SOFTMAX | OF_CLASSES),
        Call(
            f"{ce}(x.masked_fill(~k, -inf)) of probabilities",
            always(filled),
            SOFTMAX | OF_CLASSES,
        ),
    ]


def tensorflow() -> tuple[Any, list[Call]]:
    """What tf.nn has, reduced, and tf.compat.v1.losses."""
    import tensorflow as tf

    old, kinds = tf.compat.v1.losses, tf.compat.v1.losses.Reduction
    sigmoid, smooth = old.sigmoid_cross_entropy, {"label_smoothing": SMOOTHING}

    def reduced(reduce: Callable[..., Any], **options: float) -> Callable[..., Any]:
        name = "weighted_cross_entropy_with_logits" if options else ""
        of = getattr(tf.nn, name or "sigmoid_cross_entropy_with_logits")
        return from_tensorflow(lambda z, x: reduce(of(labels=z, logits=x, **options)))

    def average(labels: Any, logits: Any, weights: Any = None) -> Any:
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
        return tf.nn.compute_average_loss(losses, sample_weight=weights)

    xla = tf.function(
        lambda z, x: tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x)),
        jit_compile=True,
    )
    kept = ("NONE", "SUM", "MEAN", "SUM_OVER_BATCH_SIZE", "SUM_BY_NONZERO_WEIGHTS")
    name = "v1.losses.sigmoid_cross_entropy"
    return np, [
        Call("reduce_mean(losses)", always(reduced(tf.reduce_mean))),
        Call("reduce_sum(losses)", always(reduced(tf.reduce_sum))),
        Call(
            "reduce_mean(weighted_cross_entropy_with_logits)",
            always(reduced(tf.reduce_mean, pos_weight=3.0)),
            WEIGHTED,
        ),
        Call("tf.function(reduce_mean(losses))", always(from_tensorflow(xla))),
        Call(
            "nn.compute_average_loss(losses, w)",
            always(from_tensorflow(average)),
            claim="weighted_sum_over_batch_size",
        ),
        *(
            Call(
                f"{name}(weights=w, reduction={kind})",
                always(from_tensorflow(sigmoid, reduction=getattr(kinds, kind))),
            )
            for kind in kept
        ),
        Call(
            f"{name}(weights=w, label_smoothing=a)",
            always(from_tensorflow(sigmoid, **smooth)),
            smooth,
        ),
        Call(
            "v1.losses.softmax_cross_entropy(weights=w, label_smoothing=a)",
            always(from_tensorflow(old.softmax_cross_entropy, **smooth)),
            SOFTMAX | smooth,
        ),
        Call(
            "v1.losses.sparse_softmax_cross_entropy(weights=w)",
            always(from_tensorflow(old.sparse_softmax_cross_entropy)),
            SPARSE_SOFTMAX,
        ),
    ]


def optax() -> tuple[Any, list[Call]]:
    """The unreduced losses of optax, reduced by JAX."""
    xp = jax()
    import jax as library
    import optax as ox

    bce, sparse = ox.sigmoid_binary_cross_entropy, ox.softmax_cross_entropy_with_integer_labels

    def of_classes(loss: Callable[..., Any]) -> Callable[[str], Callable[..., Any]]:
        def mean(labels: Any, logits: Any, where: Any = None) -> Any:
            return loss(logits, labels, where=where).mean()

        return always(mean)

    def product(losses: Any, where: Any = True) -> Any:
        kept = xp.ones_like(losses) * where
        return (losses * kept).sum() / kept.sum()

    return xp, [
        Call("losses", always(from_optax(bce))),
        Call("jnp.mean(losses, where=m)", always(from_optax(bce, xp.mean))),
        Call(
            "jax.jit(jnp.mean(losses, where=m))",
            always(library.jit(from_optax(bce, xp.mean))),
        ),
        Call("jnp.sum(losses, where=m)", always(from_optax(bce, xp.sum))),
        Call("jnp.average(losses, weights=w)", always(from_optax(bce, xp.average))),
        Call("(losses*mask).sum() / mask.sum()", always(from_optax(bce, product))),
        Call(
            "jnp.mean(sigmoid_focal_loss, where=m)",
            always(from_optax(ox.sigmoid_focal_loss, xp.mean, **FOCAL)),
            FOCAL,
        ),
        Call(
            "jnp.mean(softmax_cross_entropy, where=m)",
            always(from_optax(ox.softmax_cross_entropy, xp.mean)),
            SOFTMAX,
        ),
        Call(
            "jnp.mean(safe_softmax_cross_entropy, where=m)",
            always(from_optax(ox.losses.safe_softmax_cross_entropy, xp.mean)),
            SOFTMAX,
        ),
        Call(
            "jnp.mean(softmax_cross_entropy_with_integer_labels, where=m)",
            always(from_optax(sparse, xp.mean)),
            SPARSE_SOFTMAX,
        ),
        Call(
            "softmax_cross_entropy(where=k).mean()",
            of_classes(ox.softmax_cross_entropy),
            SOFTMAX | OF_CLASSES,
        ),
        Call(
            "softmax_cross_entropy_with_integer_labels(where=k).mean()",
            of_classes(sparse),
            SPARSE_SOFTMAX | OF_CLASSES,
        ),
    ]
