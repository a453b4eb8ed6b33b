"""Time and memory of every contender, all in turn in one process, on few elements and on many."""

import gc
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from contenders import ON_CPU, ON_GPU, Inputs
from machine import arrays, described, seconds, significant

TASKS = ("loss", "mean", "gradient")
TITLES = {"loss": "loss", "mean": "mean loss", "gradient": "mean and gradient"}
DTYPES = ("float32", "float64")
LARGE = 2**24  # elements of the table
MEMORY = 2**25
SIZES = (1, LARGE)
GPU_SIZES = (1, 2**20, LARGE, 2**28)
UNMEASURED = ("xbce's bare formula",)  # its memory: what `fuse` chooses is of more use


def rounds(size: int) -> int:
    """How often each contender has its turn."""
    return 15 if size <= 2**20 else 5 if size < 2**26 else 3


def make_all(makers: dict[str, Any], inputs: Inputs) -> dict[str, Any]:
    """The contenders whose libraries are installed."""
    made = {}
    for name, make in makers.items():
        try:
            made[name] = make(inputs)
        except ImportError as error:
            print(f"{name}: skipped, {error.name} is not installed")
    return made


def time_all(makers: dict[str, Any], dtype: str, size: int) -> tuple[dict[str, Any], float]:
    """Seconds a call by task and contender, and those of a copy of an array of this size."""
    z, x = arrays(dtype, size)
    made = make_all(makers, Inputs(z, x))
    calls: dict[Any, Any] = {("copy", ""): copier(x, makers is ON_GPU)}
    for name, contender in made.items():
        for task in TASKS:
            calls[task, name] = getattr(contender, task), contender.wait
    repeats = {}
    for key, (call, wait) in calls.items():  # compile, warm up, and see how long it takes
        call(), wait()
        repeats[key] = max(1, min(1000, int(0.002 / seconds(call, 1, wait))))
    times: dict[Any, list[float]] = {key: [] for key in calls}
    for _ in range(rounds(size)):
        for key, (call, wait) in calls.items():
            times[key].append(seconds(call, repeats[key], wait))
    middle = {key: significant(median(values)) for key, values in times.items()}
    found = {task: {name: middle[task, name] for name in made} for task in TASKS}
    return found, middle["copy", ""]


def copier(x: Any, gpu: bool) -> tuple[Any, Any]:
    """A call that copies an array into another that is there."""
    if not gpu:
        target = np.empty_like(x)
        return lambda: np.copyto(target, x), lambda: None
    import torch

    source = torch.from_numpy(x).cuda()
    target = torch.empty_like(source)
    return lambda: target.copy_(source), torch.cuda.synchronize


def measure_times(file: Path, gpu: bool, sizes: tuple[int, ...]) -> None:
    """All times, into a file, as they come; the memory that is in the file stays."""
    import jax

    jax.config.update("jax_enable_x64", True)
    results = described(gpu) | {"unit": "seconds a call, the median of several rounds"}
    results |= {"times": {}, "copy": {}}
    results |= {key: value for key, value in load(file).items() if key == "memory"}
    for dtype in DTYPES:
        for size in sizes:
            needed, there = 24 * size * np.dtype(dtype).itemsize, physical_memory()
            if not gpu and needed > there:
                print(f"{dtype}, {size} elements: skipped, needs {needed} bytes of memory")
                continue
            print(f"Every library, {dtype}, {size} elements", flush=True)
            found, copy = time_all(ON_GPU if gpu else ON_CPU, dtype, size)
            results["times"].setdefault(dtype, {})[str(size)] = found
            results["copy"].setdefault(dtype, {})[str(size)] = copy
            save(results, file)
            gc.collect()


def physical_memory() -> float:
    """Bytes, where the system tells."""
    names = getattr(os, "sysconf_names", ())
    if "SC_PHYS_PAGES" not in names:
        return float("inf")
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def load(file: Path) -> dict[str, Any]:
    """Read a results file, if it is there."""
    return json.loads(file.read_text()) if file.exists() else {}


def save(results: dict[str, Any], file: Path) -> None:
    """Write a results file."""
    file.write_text(json.dumps(results, indent=1) + "\n")


# --- memory -----------------------------------------------------------------------


def measure_memory(file: Path, size: int) -> None:
    """The peak of each contender on the CPU, into a file, where the kernel tells."""
    if not Path("/proc/self/clear_refs").exists():
        print("Memory: skipped, the kernel does not tell the peak")
        return
    found = {}
    for name in ON_CPU:
        if name in UNMEASURED:
            continue
        command = [sys.executable, __file__, name, str(size)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode == 0:
            found[name] = json.loads(done.stdout.splitlines()[-1])
        told = found.get(name) or done.stderr.strip().rpartition("\n")[2]
        print(f"Memory, {name}: {told}", flush=True)
    part = described() | {"elements of float32": size, "MiB": found}
    save(load(file) | {"memory": part}, file)


def peak_memory(name: str, size: int) -> dict[str, float]:
    """MiB that each task of a contender takes beyond its inputs, the result among them.

    Of the second call, in a process of its own: the kernel's count of pages in memory.
    """
    contender = ON_CPU[name](Inputs(*arrays("float32", size)))
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


# --- tables -----------------------------------------------------------------------


def reference(results: dict[str, Any]) -> tuple[str, str]:
    """The size of the table, and the contender that others are compared with."""
    sizes = results["times"]["float32"]
    size = str(LARGE) if str(LARGE) in sizes else max(sizes, key=int)
    names = list(sizes[size]["loss"])
    return size, "xbce" if "xbce" in names else names[0]


def tables(results: dict[str, Any]) -> str:
    """In Markdown: ns an element of many, and µs a call on one."""
    times, (size, _) = results["times"], reference(results)
    heads = [f"{TITLES[task]}, {dtype}" for task in TASKS for dtype in DTYPES]
    lines = [f"\n{int(size):,} elements, ns an element:\n", *head(heads)]
    copies = [f"{results['copy'][dtype][size] / int(size) * 1e9:.3g}" for dtype in DTYPES]
    lines.append(f"| a copy of an array | {' | '.join(copies * len(TASKS))} |")
    for name in times["float32"][size]["loss"]:
        row = [times[dtype][size][task][name] / int(size) * 1e9 for task in TASKS
               for dtype in DTYPES]  # fmt: skip
        lines.append(f"| {name} | {' | '.join(f'{value:.3g}' for value in row)} |")
    if "1" in times["float32"]:
        lines += ["\none element of float32, µs a call:\n", *head(list(TITLES.values()))]
        one = times["float32"]["1"]
        for name in one["loss"]:
            row = [one[task][name] * 1e6 for task in TASKS]
            lines.append(f"| {name} | {' | '.join(f'{value:.3g}' for value in row)} |")
    return "\n".join(lines)


def head(titles: list[str]) -> list[str]:
    """The first two lines of a table."""
    return [f"| | {' | '.join(titles)} |", f"| --- |{' ---: |' * len(titles)}"]


if __name__ == "__main__":  # what measure_memory starts
    warnings.filterwarnings("ignore")
    np.seterr(all="ignore")
    print("\n" + json.dumps(peak_memory(sys.argv[1], int(sys.argv[2]))))
