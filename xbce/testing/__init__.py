"""The oracle and the audits: for test suites that compare implementations.

Two lines audit any implementation, of this library or of another::

    from xbce.testing import audit
    audit(lambda labels, logits: my_loss(logits, labels), numpy).check(max_ulp=4)

Needs mparray: ``pip install xbce[testing]``. The modules `adapters`, `fixtures` (a plugin of
pytest) and `strategies` (of hypothesis) are imported by those who use them.
"""

from xbce.testing._audit import audit, audit_modes
from xbce.testing._audit_reduction import audit_reduction
from xbce.testing._oracle import exact_gradient, exact_hessian, exact_loss, exact_softmax_loss
from xbce.testing._report import Report
from xbce.testing._ulp import as_numpy, assert_ulp, ulp_error

__all__ = [
    "Report",
    "as_numpy",
    "assert_ulp",
    "audit",
    "audit_modes",
    "audit_reduction",
    "exact_gradient",
    "exact_hessian",
    "exact_loss",
    "exact_softmax_loss",
    "ulp_error",
]
