"""Time xbce beside its peers: the figures, plots and tables of docs/speed.md.

All in one process, each in turn, so that what slows the machine slows all of them; medians of
several rounds. A library that is not installed is skipped by name::

    nox -s bench
    nox -s bench -- --redraw    # plots and tables of the last run, measuring nothing
    nox -s bench -- --gpu       # CuPy, PyTorch and JAX on a GPU, in a results file of their own
"""

import argparse
import datetime
import gc
import json
import os
import platform
import subprocess
import sys
import time
import warnings
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

DOCS = Path(__file__).parents[2] / "docs"
sys.path[:0] = [str(Path(__file__).parent), str(DOCS)]

from contenders import ON_CPU, ON_GPU, Inputs  # noqa: E402

TASKS = ("loss", "mean", "gradient")
TITLES = {"loss": "loss", "mean": "mean loss", "gradient": "mean and gradient"}
MOVED = {"loss": 3, "mean": 2, "gradient": 3}  # numbers an element that must pass through memory
DTYPES = ("float32", "float64")
SIZES = (1, 1000, 100_000, 2**20, 2**24, 2**27)
LARGE = 2**24  # the size of the plot of ratios
MEMORY = 2**25  # elements
PACKAGES = ("numpy", "array-api-compat", "torch", "jax", "optax", "tensorflow-cpu", "scikit-learn")
PACKAGES += ("scipy", "cupy-cuda13x")


def arrays(dtype: str, size: int) -> tuple[Any, Any]:
    """Hard labels, and logits of ordinary size."""
    rng = np.random.default_rng(0)
    z = (rng.random(size, dtype=np.float32) < 0.5).astype(dtype)
    return z, (4 * rng.standard_normal(size, dtype=np.float32)).astype(dtype)


def rounds(size: int) -> int:
    """How often each contender has its turn."""
    return 15 if size <= 2**20 else 5 if size < 2**26 else 3


def time_all(makers: dict[str, Any], dtype: str, size: int) -> tuple[dict[str, Any], float]:
    """Seconds a call by task and contender, and those of a copy of an array of this size."""
    z, x = arrays(dtype, size)
    inputs = Inputs(z, x)
    made: dict[str, Any] = {}
    for name, make in makers.items():
        try:
            made[name] = make(inputs)
        except ImportError as error:
            print(f"{name}: skipped, {error.name} is not installed")
    copy, waits = copier(x, makers is ON_GPU)
    calls: dict[Any, Any] = {("copy", ""): (copy, waits)}
    for name, contender in made.items():
        for task in TASKS:
            calls[task, name] = getattr(contender, task), contender.wait
    repeats = {}
    for key, (call, wait) in calls.items():  # compile, warm up, and see how long it takes
        call(), wait()
        once = seconds(call, wait, 1)
        repeats[key] = max(1, min(1000, int(0.002 / once)))
    times: dict[Any, list[float]] = {key: [] for key in calls}
    for _ in range(rounds(size)):
        for key, (call, wait) in calls.items():
            times[key].append(seconds(call, wait, repeats[key]))
    middle = {key: median(values) for key, values in times.items()}
    found = {task: {name: significant(middle[task, name]) for name in made} for task in TASKS}
    return found, significant(middle["copy", ""])


def copier(x: Any, gpu: bool) -> tuple[Any, Any]:
    """A call that copies an array into another that is there."""
    if not gpu:
        target = np.empty_like(x)
        return lambda: np.copyto(target, x), lambda: None
    import torch

    source = torch.from_numpy(x).cuda()
    target = torch.empty_like(source)
    return lambda: target.copy_(source), torch.cuda.synchronize


def seconds(call: Any, wait: Any, repeats: int) -> float:
    """Seconds a call."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    wait()
    return (time.perf_counter() - start) / repeats


def significant(number: float) -> float:
    """To four digits."""
    return float(f"{number:.4g}")


def peak_memory(name: str) -> dict[str, float]:
    """MiB that each task of a contender takes beyond its inputs, the result among them.

    Of the second call, in a process of its own: the kernel's count of pages in memory.
    """
    contender = ON_CPU[name](Inputs(*arrays("float32", MEMORY)))
    found = {}
    for task in TASKS:
        call = getattr(contender, task)
        call(), gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        before = status("VmRSS")
        result = call()
        found[task] = significant((status("VmHWM") - before) / 1024)
        del result
    return found


def status(field: str) -> int:
    """KiB, of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def physical_memory() -> float:
    """Bytes, where the system tells."""
    names = getattr(os, "sysconf_names", ())
    if "SC_PHYS_PAGES" not in names:
        return float("inf")
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def measure_memory() -> dict[str, Any]:
    """The peak of each contender on the CPU, where the kernel tells."""
    if not Path("/proc/self/clear_refs").exists():
        return {}
    found = {}
    for name in ON_CPU:
        command = [sys.executable, __file__, "--memory", name]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode == 0:
            found[name] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(gpu: bool, sizes: tuple[int, ...], file: Path) -> None:
    """All times, and what they were measured on, into a file, as they come."""
    import jax
    from peers import cpu

    jax.config.update("jax_enable_x64", True)
    makers = ON_GPU if gpu else ON_CPU
    machine = f"{cpu()}, {os.cpu_count()} cores"
    if gpu:
        import torch

        machine = torch.cuda.get_device_name()
    results: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "machine": machine,
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version()} | versions(),
        "unit": "seconds a call, the median of several rounds",
        "times": {},
        "copy": {},
    }
    for dtype in DTYPES:
        for size in sizes:
            needed, there = 24 * size * np.dtype(dtype).itemsize, physical_memory()
            if not gpu and needed > there:
                print(f"{dtype}, {size} elements: skipped, needs {needed} bytes of memory")
                continue
            print(f"{dtype}, {size} elements", flush=True)
            found, copy = time_all(makers, dtype, size)
            results["times"].setdefault(dtype, {})[str(size)] = found
            results["copy"].setdefault(dtype, {})[str(size)] = copy
            file.write_text(json.dumps(results, indent=1) + "\n")
            gc.collect()
    if not gpu:
        results["memory, MiB at 2^25 float32"] = measure_memory()
        file.write_text(json.dumps(results, indent=1) + "\n")


def versions() -> dict[str, str]:
    """Of what is installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def main() -> None:
    """Read the command line, measure, draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--redraw", action="store_true", help="of the last run, measuring nothing")
    parser.add_argument("--gpu", action="store_true", help="on a GPU, in a file of its own")
    parser.add_argument("--memory", choices=ON_CPU, help=argparse.SUPPRESS)
    parser.add_argument("--sizes", type=int, nargs="+", help="numbers of elements")
    parser.add_argument("--out", type=Path, default=DOCS / "results", help="where results go")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    np.seterr(all="ignore")
    if options.memory:
        print("\n" + json.dumps(peak_memory(options.memory)))
        return
    file = options.out / ("speed-gpu.json" if options.gpu else "speed.json")
    if not options.redraw:
        standard = (*SIZES[:-1], 2**28) if options.gpu else SIZES
        measure(options.gpu, tuple(options.sizes or standard), file)
    from speed_plots import draw_all, tables

    results = json.loads(file.read_text())
    draw_all(results, options.out, file.stem)
    print(tables(results))


if __name__ == "__main__":
    main()
