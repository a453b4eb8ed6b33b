"""Train a multi-label linear model on handwritten digits, on any array library.

Ten yes-or-no questions are asked of each image ("Is it a 0?" to "Is it a 9?"), one
logit answers each, and sigmoid cross entropy is the loss. The training loop is
written once, against the array API; every library reaches the same loss::

    pip install xbce scikit-learn matplotlib tqdm
    python train_digits.py
    python train_digits.py --backend torch --dtype float32
"""

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from matplotlib.figure import Figure  # without pyplot Agg draws, and no display is needed
from matplotlib.patches import Patch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

from xbce import sigmoid_cross_entropy
from xbce._backends import BACKENDS
from xbce.derivatives import value_and_grad
from xbce.testing import as_numpy

Array = Any  # of the library chosen
Parameters = tuple[Array, Array]  # weights [pixels, classes] and bias [classes]

LIBRARIES = {library.name: library for library in BACKENDS}  # xbce's table of them
LEARNING_RATE = 8.0  # large, since the mean over ten questions has small gradients
TRUTH, MISTAKE, OTHER = "tab:blue", "tab:red", "lightgray"


def predict(parameters: Parameters, images: Array) -> Array:
    """Logits, of shape [images, classes]."""
    weights, bias = parameters
    return images @ weights + bias


def mean_loss(parameters: Parameters, images: Array, labels: Array) -> Array:
    """Sigmoid cross entropy in nats, the mean over images and classes."""
    return sigmoid_cross_entropy(labels, predict(parameters, images))


def by_formula(parameters: Parameters, images: Array, labels: Array) -> tuple[Array, Parameters]:
    """Loss and gradient without autodiff: xbce's derivative by the logits, carried on."""
    loss, by_logits = value_and_grad(labels, predict(parameters, images))
    return loss, (images.T @ by_logits, array_namespace(images).sum(by_logits, axis=0))


def by_torch(parameters: Parameters, images: Array, labels: Array) -> tuple[Array, Parameters]:
    """Loss and gradient by PyTorch's autograd, straight through xbce."""
    import torch

    parameters = tuple(p.detach().requires_grad_() for p in parameters)
    loss = mean_loss(parameters, images, labels)
    return loss.detach(), torch.autograd.grad(loss, parameters)


def train(
    backend: str, steps: int, data: list[Array], held_out: list[Array]
) -> tuple[Parameters, np.ndarray]:
    """Descend the gradient from zero; return parameters, and both losses [steps + 1, 2]."""
    images, labels = data
    loss_and_gradient = by_torch if backend == "torch" else by_formula
    if backend == "jax":
        import jax

        loss_and_gradient = jax.jit(jax.value_and_grad(mean_loss))
    xp, shape = array_namespace(images), (images.shape[1], labels.shape[1])
    parameters = xp.zeros(shape, dtype=images.dtype), xp.zeros(shape[1], dtype=images.dtype)
    losses = []
    progress = tqdm(range(steps + 1), desc=backend)
    for step in progress:
        loss, gradient = loss_and_gradient(parameters, *data)
        held_out_loss = mean_loss(parameters, *held_out)
        rate = LEARNING_RATE if step < steps else 0.0  # the last pass only measures
        parameters = tuple(p - rate * g for p, g in zip(parameters, gradient, strict=True))
        if backend == "dask":  # compute all in one go, and keep the graph from growing
            import dask

            loss, held_out_loss, *parameters = dask.persist(loss, held_out_loss, *parameters)
        losses.append((float(loss), float(held_out_loss)))
        progress.set_postfix(loss=f"{losses[-1][0]:.4f}", refresh=False)
    return parameters, np.array(losses)


def draw(losses: np.ndarray, images: np.ndarray, digits: np.ndarray, logits: np.ndarray) -> Figure:
    """Both losses by step, and six held-out digits over their scores, up to three mistaken."""
    figure = Figure(figsize=(12, 4.8), dpi=150, layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(2, 3), wspace=0.03)
    left.suptitle("Sigmoid cross entropy")
    right.suptitle("Held-out digits and the score σ(logit) of each answer")

    axes = left.subplots()
    for name, line, loss in zip(("training", "held-out"), ("-", "--"), losses.T, strict=True):
        axes.plot(loss, line, label=f"{name}: {loss[-1]:.4f} nats at the end")
    axes.set(xlabel="step", ylabel="mean loss (nats)", yscale="log")
    axes.set_yticks((0.05, 0.1, 0.2, 0.5), labels=("0.05", "0.1", "0.2", "0.5"))
    axes.minorticks_off()
    axes.grid(alpha=0.4)
    axes.legend()

    guesses, scores = logits.argmax(axis=1), 1 / (1 + np.exp(-logits))
    correct, mistaken = np.flatnonzero(guesses == digits), np.flatnonzero(guesses != digits)[:3]
    shown = [*correct[: 6 - mistaken.size], *mistaken]
    cells = right.subplots(2, 6, sharey="row", height_ratios=(1, 2))
    for i, picture, bars in zip(shown, *cells, strict=True):
        truth, guess = digits[i], guesses[i]
        picture.imshow(images[i].reshape(8, 8), cmap="gray_r")
        picture.set(xticks=[], yticks=[])
        picture.set_title(f"{truth}" if guess == truth else f"{truth}, taken for {guess}", size=9)
        colors = [OTHER] * 10
        colors[guess], colors[truth] = MISTAKE, TRUTH
        bars.axhspan(truth - 0.5, truth + 0.5, color=TRUTH, alpha=0.12, linewidth=0)
        bars.barh(range(10), scores[i], color=colors)
        bars.set(xlim=(0, 1), xticks=(0, 1), ylim=(9.6, -0.6), yticks=range(10))
    cells[1, 0].set_ylabel("Is it a …?")
    names = {TRUTH: "truth", MISTAKE: "mistaken for", OTHER: "other answers"}
    handles = [Patch(color=color, label=name) for color, name in names.items()]
    right.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return figure


def main() -> None:
    """Read the command line, train, report, draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backend", choices=LIBRARIES, default="numpy")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float64")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--output", type=Path, default=Path("digits.png"))
    options = parser.parse_args()
    backend, library = options.backend, LIBRARIES[options.backend]
    if not library.installed():
        sys.exit(f"{backend} is not installed: pip install {shlex.join(library.requires)}")
    xp = library.namespace()
    if backend == "jax":
        import jax

        jax.config.update("jax_enable_x64", options.dtype == "float64")

    images, digits = load_digits(return_X_y=True)
    images = (images / 16).astype(options.dtype)  # pixels come as 0 to 16
    labels = digits[:, None] == np.arange(10)  # bool, one column a question
    sets = train_test_split(images, labels, digits, test_size=0.25, random_state=0, stratify=digits)
    images, held_images, labels, held_labels, _, held_digits = sets

    arrays = [xp.asarray(array) for array in (images, labels, held_images, held_labels)]
    if backend == "dask":
        arrays = [array.rechunk((450, -1)) for array in arrays]  # by rows, in three chunks
    data, held_out = arrays[:2], arrays[2:]
    parameters, losses = train(backend, options.steps, data, held_out)
    logits = as_numpy(predict(parameters, held_out[0]))

    print(f"training loss      {losses[-1, 0]:.15g} nats")
    print(f"held-out loss      {losses[-1, 1]:.15g} nats")
    print(f"held-out accuracy  {np.mean(logits.argmax(axis=1) == held_digits):.2%} of digits")
    print(f"                   {np.mean((logits > 0) == held_labels):.2%} of yes-or-no answers")
    draw(losses, held_images, held_digits, logits).savefig(options.output)
    print(options.output)


if __name__ == "__main__":
    main()
