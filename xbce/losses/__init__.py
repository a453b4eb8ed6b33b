"""Weighted, smoothed and reduced losses, named and argued as in ``tf.compat.v1.losses``."""

from xbce._collection import (
    GraphKeys,
    LossCollection,
    add_loss,
    collect_losses,
    get_losses,
    get_total_loss,
)
from xbce._reduction import Reduction
from xbce.losses._sigmoid import (
    asymmetric_sigmoid_loss,
    sigmoid_cross_entropy,
    sigmoid_focal_loss,
)
from xbce.losses._softmax import softmax_cross_entropy, sparse_softmax_cross_entropy
from xbce.losses._weighted import compute_weighted_loss

__all__ = [
    "GraphKeys",
    "LossCollection",
    "Reduction",
    "add_loss",
    "asymmetric_sigmoid_loss",
    "collect_losses",
    "compute_weighted_loss",
    "get_losses",
    "get_total_loss",
    "sigmoid_cross_entropy",
    "sigmoid_focal_loss",
    "softmax_cross_entropy",
    "sparse_softmax_cross_entropy",
]
