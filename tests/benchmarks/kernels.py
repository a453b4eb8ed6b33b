"""The kernels that CuPy launches for each function, and the memory that they move.

    python tests/benchmarks/kernels.py

Nothing is computed, and no GPU is needed, only what `tests/emulator` takes: CuPy, the wheels of
NVRTC and of CUDA's headers, and gcc.
"""

import sys
from collections.abc import Callable
from pathlib import Path
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


def main() -> None:
    """Print the table."""
    if reason := emulator.why_not():
        sys.exit(reason)
    emulator.start()
    import cupy

    print(f"CuPy {cupy.__version__}, {ROWS} x {CLASSES} of float32\n")
    print("| | kernels | over the arrays | passes of these | blocks x threads | new memory, MB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, call in calls(cupy).items():
        with emulator.launches_only(), emulator.watch() as seen:
            call()
        over = [launch for launch in seen.launches if large(launch)]
        shapes = sorted({f"{launch.grid[0]} x {launch.block[0]}" for launch in over})
        counted = ", ".join(str(passes(launch)) for launch in over)
        print(
            f"| {name} | {len(seen.launches)} | {len(over)} | {counted} "
            f"| {', '.join(shapes)} | {seen.allocated / 1e6:.2f} |"
        )


if __name__ == "__main__":
    main()
