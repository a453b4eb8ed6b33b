"""The time of a library's own loss divided by that of xbce, pair by pair: above 1, xbce is ahead.

Both calls of a pair have their turns in one process, and the ratio is the median over the turns, so
that what slows the machine for a while slows both. Each group of pairs has a process, and another
without AVX-512: libraries choose their instructions when they are imported.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from machine import described, seconds, significant

ALL, NARROW = "all instructions", "without AVX-512"
TURN = 0.004  # seconds that one turn of a short call lasts
ROUNDS, OF_LONG_CALLS = 41, 15


def without_avx512() -> dict[str, str]:
    """The environment in which the libraries do without AVX-512; empty if they do anyway."""
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    # NumPy warns of each name that it has no code for, or that the processor lacks.
    wide = [
        name
        for name in __cpu_dispatch__
        if __cpu_features__[name] and (name == "X86_V4" or name.startswith("AVX512"))
    ]
    if not wide:
        return {}
    return {
        "NPY_DISABLE_CPU_FEATURES": " ".join(wide),
        "ATEN_CPU_CAPABILITY": "avx2",  # PyTorch's operations, and the vectors of its compiler
        "TORCHINDUCTOR_CPP_MARCH": "x86-64-v3",  # what the C++ compiler adds to them
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
    }


def time_pair(theirs: Any, ours: Any, quick: bool) -> dict[str, float]:
    """Seconds of both calls, and the median of their ratios."""
    theirs(), ours(), theirs(), ours()  # compile, warm up
    once = seconds(theirs, 1) + seconds(ours, 1)
    repeats = 1 if quick else max(1, min(2000, int(2 * TURN / once)))
    rounds = 3 if quick else ROUNDS if repeats > 1 else OF_LONG_CALLS
    turns = [(seconds(theirs, repeats), seconds(ours, repeats)) for _ in range(rounds)]
    return {
        "ratio": significant(median(first / second for first, second in turns)),
        "theirs": significant(median(first for first, _ in turns)),
        "xbce": significant(median(second for _, second in turns)),
    }


def time_group(group: str, quick: bool) -> None:
    """Print a line of JSON for each pair."""
    from pairs import GROUPS

    for pairs in GROUPS[group]:
        try:
            for name, theirs, ours in pairs(2**12 if quick else 2**30):
                print(json.dumps([name, time_pair(theirs, ours, quick)]), flush=True)
        except ImportError as error:
            print(f"{group}: pairs skipped, {error.name} is not installed", file=sys.stderr)


def in_process(
    group: str, environment: dict[str, str], quick: bool
) -> Iterator[tuple[str, dict[str, float]]]:
    """What `time_group` prints in a process of its own, as it comes."""
    command = [sys.executable, __file__, group, *(["--quick"] if quick else [])]
    options = {"env": os.environ | environment, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **options) as process:
        for line in process.stdout:
            if line.startswith('["'):
                yield tuple(json.loads(line))
    if process.returncode:
        print(f"{group}: the process ended with {process.returncode}", file=sys.stderr)


def measure(file: Path, quick: bool) -> None:
    """All pairs, into a results file, as they come."""
    from pairs import BY_SIZE, GROUPS, TABLES

    narrow = without_avx512()
    columns = {ALL: (list(GROUPS), {})}
    if narrow:
        columns[NARROW] = list(TABLES), narrow
    results: dict[str, Any] = described()
    results["unit"] = "seconds a call, and theirs divided by xbce's; medians of several rounds"
    results[NARROW] = narrow
    results["pairs"] = found = {group: {} for group in (*TABLES, BY_SIZE)}
    for column, (groups, environment) in columns.items():
        print(f"\nTime of a library's loss divided by that of xbce, {column}:", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            # Code that was compiled for other instructions must not be found again.
            environment = environment | {"TORCHINDUCTOR_CACHE_DIR": folder}
            for group in groups:
                for name, times in in_process(group, environment, quick):
                    print(f"{times['ratio']:6.2f}  {group}: {name}", flush=True)
                    found[group].setdefault(name, {})[column] = times
                    file.write_text(json.dumps(results, indent=1) + "\n")


def tables(results: dict[str, Any]) -> str:
    """In Markdown, a table a library."""
    lines = []
    for group, rows in results["pairs"].items():
        if group.endswith("by size"):
            continue  # the plot shows them
        lines += [
            f"\n{group}:\n",
            f"| | theirs / xbce | {NARROW} | theirs, µs | xbce, µs |",
            "| --- | ---: | ---: | ---: | ---: |",
        ]
        for name, columns in rows.items():
            ratios = [ratio(columns, ALL), ratio(columns, NARROW)]
            times = columns.get(ALL, {})
            cells = [f"{times[key] * 1e6:.3g}" for key in ("theirs", "xbce") if key in times]
            lines.append(f"| {name} | {' | '.join(ratios + cells)} |")
    return "\n".join(lines)


def ratio(columns: dict[str, dict[str, float]], column: str) -> str:
    """For a cell of a table."""
    return f"{columns[column]['ratio']:.2f}" if column in columns else ""


def main() -> None:
    """Time the groups that the command line names."""
    from pairs import GROUPS

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("groups", nargs="*", help="groups of pairs.py; all where none is named")
    parser.add_argument("--quick", action="store_true", help="few elements and rounds, to try it")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    np.seterr(all="ignore")
    for group in options.groups or GROUPS:
        time_group(group, options.quick)


if __name__ == "__main__":
    main()
