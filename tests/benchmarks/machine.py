"""What every benchmark beside other libraries needs: arrays, a clock, and where it was run."""

import datetime
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

DOCS = Path(__file__).parents[2] / "docs"
PACKAGES = {
    "numpy": "NumPy",
    "array-api-compat": "array-api-compat",
    "torch": "PyTorch",
    "jax": "JAX",
    "optax": "optax",
    "tensorflow-cpu": "TensorFlow",
    "scikit-learn": "scikit-learn",
    "scipy": "SciPy",
    "cupy-cuda13x": "CuPy",
}


def arrays(dtype: str, size: int) -> tuple[Any, Any]:
    """Hard labels, and logits of ordinary size."""
    rng = np.random.default_rng(0)
    z = (rng.random(size, dtype=np.float32) < 0.5).astype(dtype)
    return z, (4 * rng.standard_normal(size, dtype=np.float32)).astype(dtype)


def seconds(call: Callable[[], Any], repeats: int, wait: Callable[[], Any] | None = None) -> float:
    """Seconds a call."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    if wait is not None:
        wait()
    return (time.perf_counter() - start) / repeats


def significant(number: float) -> float:
    """To four digits."""
    return float(f"{number:.4g}")


def described(gpu: bool = False) -> dict[str, Any]:
    """Date, machine and versions, as they stand at the head of a results file."""
    return {
        "date": datetime.date.today().isoformat(),
        "machine": gpu_name() if gpu else cpu_name(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version()} | versions(),
    }


def cpu_name() -> str:
    """The processor, and how many of its cores there are."""
    sys.path.append(str(DOCS))
    from peers import cpu

    return f"{cpu()}, {os.cpu_count()} cores"


def gpu_name() -> str:
    """The GPU's name."""
    import torch

    return torch.cuda.get_device_name()


def versions() -> dict[str, str]:
    """Of what is installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def sentence(results: dict[str, Any]) -> str:
    """Where and when a results file was measured, and with which versions."""
    names = {"python": "Python"} | PACKAGES
    with_ = ", ".join(f"{names[key]} {value}" for key, value in results["versions"].items())
    return f"{results['machine']}, {results['system']}, {results['date']}; {with_}."
