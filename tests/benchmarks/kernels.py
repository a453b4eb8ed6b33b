"""The kernels that CuPy launches for each function, and the memory that they move.

    python tests/benchmarks/kernels.py
    python tests/benchmarks/kernels.py --ptxas PATH     # the registers of each thread too

Nothing is computed, and no GPU is needed, only what `tests/emulator` takes: CuPy, the wheels of
NVRTC and of CUDA's headers, and gcc. ptxas is in the wheel nvidia-cuda-nvcc.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
import emulator

ROWS, CLASSES = 2**21, 8


def calls(cupy: Any) -> dict[str, Callable[[], Any]]:
    """The functions by name, on arrays of 2^24 elements."""
    from xbce import derivatives, losses, nn

    z, x = (cupy.ndarray((ROWS, CLASSES), "float32") for _ in range(2))
    weights, mask = cupy.ndarray((ROWS, 1), "float32"), cupy.ndarray((ROWS, CLASSES), bool)
    number = cupy.ndarray(ROWS, "int32")
    both = {"labels": z, "logits": x}
    all_of_it = {"label_smoothing": 0.1, "pos_weight": 2.0, "where": mask}
    return {
        "loss": lambda: nn.sigmoid_cross_entropy_with_logits(**both),
        "loss, pos_weight": lambda: nn.weighted_cross_entropy_with_logits(**both, pos_weight=2.0),
        "focal loss": lambda: nn.sigmoid_focal_loss(**both, alpha=0.25),
        "gradient": lambda: derivatives.gradient(**both),
        "gradient and Hessian": lambda: derivatives.gradient_hessian(**both),
        "mean": lambda: losses.sigmoid_cross_entropy(z, x),
        "weighted mean": lambda: losses.sigmoid_cross_entropy(z, x, weights),
        "weighted mean, smoothed and masked": lambda: losses.sigmoid_cross_entropy(
            z, x, weights, **all_of_it
        ),
        "mean and gradient": lambda: derivatives.value_and_grad(z, x),
        "weighted mean and gradient": lambda: derivatives.value_and_grad(z, x, weights),
        "the same, smoothed and masked": lambda: derivatives.value_and_grad(
            z, x, weights, **all_of_it
        ),
        "softmax": lambda: nn.softmax_cross_entropy_with_logits(**both),
        "softmax, mean": lambda: losses.softmax_cross_entropy(z, x),
        "softmax, mean and gradient": lambda: derivatives.softmax_value_and_grad(z, x),
        "sparse softmax": lambda: nn.sparse_softmax_cross_entropy_with_logits(
            labels=number, logits=x
        ),
        "sparse softmax, mean": lambda: losses.sparse_softmax_cross_entropy(number, x),
    }


def large(launch: Any) -> bool:
    """Whether a kernel goes over the arrays; others add up the sums of blocks."""
    return launch.grid[0] > 1


def passes(launch: Any) -> int:
    """How often a kernel goes over the classes of a row, or over the elements."""
    return max(1, launch.source.cuda.count(f"k < {CLASSES}; k +="))


def registers(launch: Any, ptxas: str) -> str:
    """Those that ptxas gives each thread on an H100, and "spilled" if they do not suffice."""
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(launch.source.ptx)
        file.flush()
        command = [ptxas, "-v", "-arch=sm_90", file.name, "-o", "/dev/null"]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    spilled = "" if "0 bytes spill stores" in said else ", spilled"
    return re.search(r"Used (\d+) registers", said)[1] + spilled


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ptxas")
    ptxas = parser.parse_args().ptxas
    if reason := emulator.why_not():
        sys.exit(reason)
    emulator.start()
    import cupy

    print(f"CuPy {cupy.__version__}, {ROWS} x {CLASSES} of float32\n")
    titles = ["", "kernels", "over the arrays", "passes of these", "blocks x threads"]
    titles += ["new memory, MB", *["registers, sm_90"][: bool(ptxas)]]
    print(f"| {' | '.join(titles)} |\n| --- |{' ---: |' * (len(titles) - 1)}")
    for name, call in calls(cupy).items():
        with emulator.launches_only(), emulator.watch() as seen:
            call()
        over = [launch for launch in seen.launches if large(launch)]
        cells = [name, len(seen.launches), len(over), ", ".join(str(passes(one)) for one in over)]
        cells.append(", ".join(sorted({f"{one.grid[0]} x {one.block[0]}" for one in over})))
        cells.append(f"{seen.allocated / 1e6:.2f}")
        if ptxas:
            cells.append(", ".join(registers(one, ptxas) for one in over))
        print(f"| {' | '.join(map(str, cells))} |")
    print_gammas(cupy)


def print_gammas(cupy: Any) -> None:
    """Print the CPU's time for a gamma that is new, and for one that has been seen."""
    from xbce import nn

    z, x = (cupy.ndarray((64, CLASSES), "float32") for _ in range(2))

    def seconds(gamma: float) -> float:
        start = perf_counter()
        nn.sigmoid_focal_loss(labels=z, logits=x, gamma=gamma)
        return perf_counter() - start

    with emulator.launches_only():
        new = median(seconds(2 + n / 64) for n in range(40))
        known = median(seconds(2.5) for _ in range(200))
    print(f"\nfocal loss, new gamma: {new * 1e3:.2g} ms; known gamma: {known * 1e6:.2g} µs")


if __name__ == "__main__":
    main()
