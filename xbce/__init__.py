"""Sigmoid cross entropy for any array that follows the Python array API standard."""

from xbce import derivatives, losses, nn, testing
from xbce._engines import options
from xbce.losses import Reduction, sigmoid_cross_entropy
from xbce.nn import sigmoid_cross_entropy_with_logits

__all__ = [
    "Reduction",
    "derivatives",
    "losses",
    "nn",
    "options",
    "sigmoid_cross_entropy",
    "sigmoid_cross_entropy_with_logits",
    "testing",
]

__version__ = "0.1.0"
