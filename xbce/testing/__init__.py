"""The oracle and the audit: for test suites that compare implementations.

Two lines audit any implementation, of this library or of another::

    from xbce.testing import audit
    audit(lambda labels, logits: my_loss(logits, labels), numpy).check(max_ulp=4)

Needs mparray: ``pip install xbce[testing]``.
"""

from xbce.testing._audit import audit
from xbce.testing._oracle import (
    as_numpy,
    exact_gradient,
    exact_hessian,
    exact_loss,
    exact_softmax_loss,
    ulp_error,
)
from xbce.testing._report import Report

__all__ = [
    "Report",
    "as_numpy",
    "audit",
    "exact_gradient",
    "exact_hessian",
    "exact_loss",
    "exact_softmax_loss",
    "ulp_error",
]
