"""Closed-form derivatives by the logits, for arrays without autodiff.

Each loss has three: ``gradient`` and ``gradient_hessian`` of each element, and ``value_and_grad``
of the weighted and reduced loss. Before these names stands that of the loss: ``softmax``,
``sparse_softmax`` or ``asymmetric_sigmoid``; without one they are of sigmoid cross entropy, and
with `alpha` or `gamma` of the focal loss.
"""

from xbce.derivatives._asymmetric_sigmoid import (
    asymmetric_sigmoid_gradient,
    asymmetric_sigmoid_gradient_hessian,
    asymmetric_sigmoid_value_and_grad,
)
from xbce.derivatives._sigmoid import gradient, gradient_hessian, value_and_grad
from xbce.derivatives._softmax import (
    softmax_gradient,
    softmax_gradient_hessian,
    softmax_value_and_grad,
)
from xbce.derivatives._sparse import (
    sparse_softmax_gradient,
    sparse_softmax_gradient_hessian,
    sparse_softmax_value_and_grad,
)

__all__ = [
    "asymmetric_sigmoid_gradient",
    "asymmetric_sigmoid_gradient_hessian",
    "asymmetric_sigmoid_value_and_grad",
    "gradient",
    "gradient_hessian",
    "softmax_gradient",
    "softmax_gradient_hessian",
    "softmax_value_and_grad",
    "sparse_softmax_gradient",
    "sparse_softmax_gradient_hessian",
    "sparse_softmax_value_and_grad",
    "value_and_grad",
]
