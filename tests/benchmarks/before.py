"""Time another checkout of xbce beside this one, each call in turn in one process.

    git worktree add ../before e01fd7e
    python tests/benchmarks/before.py ../before

Prints a table: the least time of a call before and after, and their ratio, of the kinds of call on
each library that is installed. Times are the least of many rounds, since what disturbs a call only
ever makes it longer.
"""

import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import xbce

ROUNDS = 40


def other(checkout: str) -> Any:
    """The package of another checkout, imported under another name."""
    folder = Path(tempfile.mkdtemp())
    package = folder / "xbce_before"
    shutil.copytree(Path(checkout) / "xbce", package)
    for file in package.rglob("*.py"):
        file.write_text(re.sub(r"\bxbce\b", package.name, file.read_text("utf-8")), "utf-8")
    sys.path.insert(0, str(folder))
    return import_module(package.name)


def calls(package: Any, z: Any, x: Any, w: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The kinds of call, by name; `z` are one-hot labels, `w` weights of rows."""
    nn, losses, derivatives = package.nn, package.losses, package.derivatives
    yield "loss", lambda: nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x)
    yield "mean", lambda: losses.sigmoid_cross_entropy(z, x)
    yield "weighted mean", lambda: losses.sigmoid_cross_entropy(z, x, w)
    yield "mean and gradient", lambda: derivatives.value_and_grad(z, x)
    yield "gradient and Hessian", lambda: derivatives.gradient_hessian(labels=z, logits=x)
    yield "focal loss", lambda: nn.sigmoid_focal_loss(labels=z, logits=x)
    yield "softmax", lambda: losses.softmax_cross_entropy(z, x)


def backward(call: Callable[[], Any], leaf: Any) -> Callable[[], Any]:
    """The call, and its gradient by autograd."""

    def both() -> None:
        leaf.grad = None
        call().sum().backward()

    return both


def least(pair: list[Callable[[], Any]]) -> list[float]:
    """The least time of each, in turn, in microseconds."""
    times: list[list[float]] = [[], []]
    for call in pair:
        call()
    start = time.perf_counter()
    pair[0]()
    repeats = max(1, min(100, int(0.002 / (time.perf_counter() - start))))
    for _ in range(ROUNDS):
        for call, found in zip(pair, times, strict=True):
            start = time.perf_counter()
            for _ in range(repeats):
                call()
            found.append((time.perf_counter() - start) / repeats * 1e6)
    return [min(found) for found in times]


def compare(title: str, packages: list[Any], arrays: tuple[Any, ...], end: Any = None) -> None:
    """Print a row for each kind of call."""
    leaf = arrays[1] if end is None and getattr(arrays[1], "requires_grad", False) else None
    for (name, before), (_, after) in zip(*(calls(p, *arrays) for p in packages), strict=True):
        pair = [before, after]
        if leaf is not None:
            if "gradient" in name:
                continue  # autograd has its own
            pair = [backward(call, leaf) for call in pair]
        if end is not None:
            pair = [lambda call=call: end(call()) for call in pair]
        first, second = least(pair)
        print(
            f"| {title} | {name} | {first:.4g} | {second:.4g} | {second / first:.2f} |", flush=True
        )


def main() -> None:
    """Compare on NumPy, and on PyTorch and JAX where they are installed."""
    packages = [other(sys.argv[1]), xbce]
    print("| arrays | call | before, µs | after, µs | ratio |\n| --- | --- | ---: | ---: | ---: |")
    for rows, columns in ((1, 1), (2**16, 16)):
        rng = np.random.default_rng(0)
        x = (3 * rng.normal(size=(rows, columns))).astype("float32")
        z = np.eye(columns, dtype="float32")[rng.integers(0, columns, rows)]
        arrays = z, x, rng.random((rows, 1)).astype("float32")
        size = f"{rows} x {columns}"
        compare(f"NumPy, {size}", packages, arrays)
        if find_spec("torch"):
            import torch

            tensors = [torch.from_numpy(array) for array in arrays]
            tensors[1].requires_grad_()
            compare(f"PyTorch with backward, {size}", packages, tuple(tensors))
        if find_spec("jax"):
            import jax

            made = tuple(map(jax.numpy.asarray, arrays))
            compare(f"JAX, {size}", packages, made, jax.block_until_ready)


if __name__ == "__main__":
    main()
