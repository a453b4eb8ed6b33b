"""PyTorch's own checks of derivatives, first and second, of every loss on both sides of blocks."""

import pytest
from table import EACH_LOSS, operands

from xbce._engines import _numpy
from xbce._evaluate import Weighting, evaluate
from xbce.losses import Reduction

pytestmark = pytest.mark.backend("torch")
torch = pytest.importorskip("torch")

WEIGHTINGS = {
    "element-wise": None,
    "mean": Weighting(loss_collection=None),
    "weights": Weighting(weights="weights", loss_collection=None),
    "all": Weighting("weights", 0.1, None, Reduction.MEAN, "mask"),
}


@pytest.fixture(params=["plainly", "in blocks"])
def how(request, monkeypatch):
    """Whether arrays of a few elements are small."""
    if request.param == "in blocks":
        monkeypatch.setattr(_numpy, "SMALL", 1)
        monkeypatch.setattr(_numpy, "BLOCK", 256)


@pytest.mark.usefixtures("how")
@pytest.mark.parametrize("weighting", WEIGHTINGS.values(), ids=WEIGHTINGS)
@pytest.mark.parametrize(("loss", "parameters"), EACH_LOSS)
def test_first_and_second_derivatives_by_logits_and_weights(loss, parameters, weighting):
    a = {name: torch.from_numpy(array) for name, array in operands(loss, 4, 3).items()}
    a["logits"] = (a["logits"] / 4).requires_grad_()
    a["weights"] = (a["weights"] + 0.1).requires_grad_()

    def value(logits, weights):
        found = None
        if weighting is not None:
            found = weighting._replace(
                weights=weights if weighting.weights == "weights" else weighting.weights,
                where=None if weighting.where is None else a["mask"],
                label_smoothing=0 if loss.class_numbers else weighting.label_smoothing,
            )
        return evaluate(
            loss, {"labels": a["labels"], "logits": logits}, weighting=found, **parameters
        )

    inputs = a["logits"], a["weights"]
    assert torch.autograd.gradcheck(value, inputs)
    assert torch.autograd.gradgradcheck(value, inputs)
