"""PyTorch models trained with xbce as their loss: the parameters that PyTorch itself reaches."""

import numpy as np
import pytest

from xbce._engines import _torch_compile
from xbce.losses import Reduction, sigmoid_cross_entropy, sparse_softmax_cross_entropy

torch = pytest.importorskip("torch")
functional = torch.nn.functional

ROWS, FEATURES, CLASSES, IGNORED = 96, 6, 3, -100
OWN = torch.nn.BCEWithLogitsLoss


class SigmoidCrossEntropy(torch.nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.options = {"reduction": Reduction.SUM_OVER_BATCH_SIZE, **options}

    def forward(self, logits, labels):  # in the order of PyTorch's own
        return sigmoid_cross_entropy(labels, logits, **self.options)


def data():
    """Features, labels of 0, 1 and between, and a weight a label; a third of them is 0."""
    torch.manual_seed(0)
    x = torch.randn(ROWS, FEATURES)
    labels = (x @ torch.randn(FEATURES, CLASSES)).sigmoid()
    labels[::2] = labels[::2].round()
    return x, labels, torch.arange(ROWS * CLASSES).reshape(ROWS, CLASSES) % 3.0


def network():
    torch.manual_seed(1)
    layers = torch.nn.Linear(FEATURES, 16), torch.nn.Tanh(), torch.nn.Linear(16, CLASSES)
    return torch.nn.Sequential(*layers)


def trained(backward, steps=20):
    """All parameters after some steps of gradient descent, and the loss of each step."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        losses.append(float(backward(model)))
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]  # it has learned something
    return np.concatenate([losses, *[p.detach().ravel() for p in model.parameters()]])


def plainly(criterion):
    """The step of a usual training loop."""
    x, labels, _ = data()

    def backward(model):
        loss = criterion(model(x), labels)
        loss.backward()
        return loss.detach()

    return backward


def equal(actual, desired, tolerance=1e-5):
    np.testing.assert_allclose(actual, desired, atol=tolerance)


def test_module():
    equal(trained(plainly(SigmoidCrossEntropy())), trained(plainly(OWN())))


def test_module_with_weights():
    *_, weights = data()
    factors = torch.tensor([1.0, 3.0, 0.5])
    ours = SigmoidCrossEntropy(weights=weights, pos_weight=factors)
    equal(trained(plainly(ours)), trained(plainly(OWN(weight=weights, pos_weight=factors))))


def test_autocast():
    x, labels, _ = data()

    def by(criterion):
        def backward(model):
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(x)
                loss = criterion(logits, labels)
            assert logits.dtype == torch.bfloat16
            assert loss.dtype == torch.float32
            loss.backward()
            return loss.detach()

        return backward

    # Gradients are rounded to bfloat16 where they reach the logits, now and then the other way.
    equal(trained(by(SigmoidCrossEntropy())), trained(by(OWN())), tolerance=1e-4)


@pytest.mark.skipif(not _torch_compile.can_compile(), reason="no C++ compiler")
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning", "ignore:.*:UserWarning")
def test_compile():
    x, labels, _ = data()

    def by(criterion):
        @torch.compile(fullgraph=True)
        def step(model, x, labels):
            return criterion(model(x), labels)

        def backward(model):
            loss = step(model, x, labels)
            loss.backward()
            return loss.detach()

        return backward

    torch.compiler.reset()
    equal(trained(by(SigmoidCrossEntropy())), trained(plainly(OWN())))


def test_gradient_accumulation():
    x, labels, weights = data()
    count = torch.count_nonzero(weights)  # of the whole batch, known before any part of it

    def whole(model):
        loss = sigmoid_cross_entropy(labels, model(x), weights)
        loss.backward()
        return loss.detach()

    def parts(model):
        total = 0.0
        for rows in torch.arange(ROWS).split(36):  # the last is shorter
            logits = model(x[rows])
            loss = sigmoid_cross_entropy(
                labels[rows], logits, weights[rows], reduction=Reduction.SUM
            )
            (loss / count).backward()
            total += loss.detach() / count
        return total

    equal(trained(parts), trained(whole))


def test_gradient_accumulation_with_labels_to_ignore():
    """Parts differ in how many labels count: the mean of their means is another number."""
    x, scores, _ = data()
    labels = scores.argmax(dim=1)
    labels[torch.arange(ROWS) ** 2 > 3000] = IGNORED
    count = torch.count_nonzero(labels != IGNORED)

    def whole(model):
        loss = functional.cross_entropy(model(x), labels, ignore_index=IGNORED)
        loss.backward()
        return loss.detach()

    def parts(model):
        total = 0.0
        for rows in torch.arange(ROWS).split(36):  # the last is ignored as a whole
            loss = sparse_softmax_cross_entropy(
                labels[rows], model(x[rows]), ignore_index=IGNORED, reduction=Reduction.SUM
            )
            (loss / count).backward()
            total += loss.detach() / count
        return total

    equal(trained(parts), trained(whole))
