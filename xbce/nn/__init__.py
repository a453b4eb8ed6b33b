"""Element-wise losses on logits, named and argued as in ``tf.nn``."""

from xbce.nn._sigmoid import (
    asymmetric_sigmoid_loss,
    sigmoid_cross_entropy_with_logits,
    sigmoid_focal_loss,
    weighted_cross_entropy_with_logits,
)
from xbce.nn._softmax import (
    softmax_cross_entropy_with_logits,
    sparse_softmax_cross_entropy_with_logits,
)

__all__ = [
    "asymmetric_sigmoid_loss",
    "sigmoid_cross_entropy_with_logits",
    "sigmoid_focal_loss",
    "softmax_cross_entropy_with_logits",
    "sparse_softmax_cross_entropy_with_logits",
    "weighted_cross_entropy_with_logits",
]
