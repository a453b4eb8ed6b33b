"""A test suite over three libraries: each loss is audited in two lines.

pip install xbce[testing] torch jax pytest
pytest test_losses.py
"""

import jax.numpy
import numpy
import pytest
import torch

from xbce.nn import sigmoid_cross_entropy_with_logits
from xbce.testing import audit


def loss(labels, logits):
    return sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)


@pytest.mark.parametrize("library", [numpy, torch, jax.numpy], ids=lambda library: library.__name__)
def test_right_to_4_ulp_with_its_gradient(library):
    audit(loss, library, dtypes=["float32"]).check(max_ulp=4)


def test_pytorch_s_own_loss_loses_digits():
    def own(labels, logits):
        loss = torch.nn.functional.binary_cross_entropy_with_logits
        return loss(logits, labels, reduction="none")

    report = audit(own, torch, dtypes=["float32"])
    print(report)  # the table: pytest shows it with -s
    with pytest.raises(AssertionError):
        report.check(max_ulp=4)
