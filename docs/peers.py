"""Audit xbce beside its peers: the figures, plots and tables of docs/accuracy.md and reductions.md.

Each library is held against arbitrary precision in a process of its own, and a library
that is not installed is skipped by name::

    nox -s peers
    nox -s peers -- --redraw    # plots and tables of the last run, measuring nothing
"""

import argparse
import datetime
import json
import os
import platform
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import peer_measure
import peer_reductions
import peer_tables
from peer_plots import draw
from tqdm import tqdm

RESULTS = Path(__file__).parent / "results"
REDUCTIONS = {f"reductions of {name}": name for name in peer_reductions.LIBRARIES}
NAMES = [*peer_measure.ALL, *REDUCTIONS]
NOTES = [
    "By dtype, quantity and region: largest and 99th-percentile error in ulp; wrong: what came "
    "wrong of the special values (zeros, subnormals, infinities, NaN). See xbce.testing.audit.",
    "curves: the largest error in ulp by bin of |logit| (60 from 1e-3 to 1e3, even in log), for "
    "logits below 0 and above, labels agreeing with them: hard, and soft, 1e-6 from 0 or 1.",
    "XGBoost and LightGBM have float32 gradients only, no losses, and no call that returns them: "
    "they are read from leaves grown for it, exactly (XGBoost's below 1e-24 to 1 ulp), but not at "
    "a NaN. LightGBM's binary objective takes hard labels only.",
    "SciPy has no derivative of log_expit.",
    "Of softmax losses the errors are those of finite results; what is NaN where a class is masked "
    "stands in wrong. wrong of: the same by kind; rules: what the audit found beside errors.",
    "reductions: for each call the reductions of xbce that it is, and by dtype how many rules of "
    "xbce.testing.audit_reduction it breaks and how, to the digits that it has. Batches of at most "
    f"1009 losses, and one of {peer_reductions.ROWS} in float32.",
]


def measure(name: str) -> dict[str, Any]:
    """What one process measures."""
    if name in REDUCTIONS:
        return peer_reductions.measure(REDUCTIONS[name])
    return peer_measure.measure(name)


def measure_all() -> dict[str, Any]:
    """Audit every peer, two at a time, each in a process of its own."""

    def apart(name: str) -> dict[str, Any]:
        command = [sys.executable, __file__, "--measure", name]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{name}: {done.stderr}")
        return json.loads(done.stdout.splitlines()[-1])

    with ThreadPoolExecutor(2) as pool:
        progress = tqdm(pool.map(apart, NAMES), total=len(NAMES), desc="libraries")
        found = dict(zip(NAMES, progress, strict=True))
    for name in [name for name, result in found.items() if "skipped" in result]:
        print(f"{name}: skipped, {found[name]['skipped']}")
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{cpu()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version()}
        | {p: metadata.version(p) for p in ("numpy", "array-api-compat", "mparray", "mpmath")},
        "notes": NOTES,
        "libraries": {name: found[name] for name in peer_measure.ALL},
        "reductions": {library: found[name] for name, library in REDUCTIONS.items()},
    }


def cpu() -> str:
    """The processor's name, where the system tells it."""
    file = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", file.read_text() if file.exists() else "")
    return found[1] if found else platform.processor()


def compact(results: dict[str, Any]) -> str:
    """JSON with a line a list of numbers."""
    text = json.dumps(results, indent=1, allow_nan=False)
    return re.sub(r"\[[-+\d\s.,e]*\]", lambda match: " ".join(match[0].split()), text) + "\n"


def write(results: dict[str, Any]) -> None:
    """Draw the plots, write the tables into the pages, and print them."""
    libraries, reductions = results["libraries"], results["reductions"]
    for kind in peer_measure.DOUBT:
        draw(libraries, kind).savefig(RESULTS / f"peers-{kind}.png")
    for page, tables in peer_tables.all_of(libraries, reductions).items():
        for table in tables:
            print(table, end="\n\n")
            peer_tables.put(page, table)
        peer_tables.put_measured(page, peer_tables.measured(results))


def main() -> None:
    """Read the command line, measure, draw, write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--measure", choices=NAMES, help=argparse.SUPPRESS)
    parser.add_argument("--redraw", action="store_true", help="of the last run, measuring nothing")
    options = parser.parse_args()
    if options.measure:
        print("\n" + json.dumps(measure(options.measure)))
        return
    file = RESULTS / "peers.json"
    if not options.redraw:
        RESULTS.mkdir(exist_ok=True)
        file.write_text(compact(measure_all()))
    write(json.loads(file.read_text()))


if __name__ == "__main__":
    main()
