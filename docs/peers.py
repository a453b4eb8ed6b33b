"""Audit xbce beside its peers: the figures, plots and table of docs/accuracy.md.

Each library is held against arbitrary precision in a process of its own, and a library
that is not installed is skipped by name::

    nox -s peers
    nox -s peers -- --redraw    # plots and table of the last run, measuring nothing
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

import numpy as np
from matplotlib.figure import Figure  # without pyplot Agg draws, and no display is needed
from numpy.lib.stride_tricks import sliding_window_view
from peer_adapters import PEERS, Adapter
from tqdm import tqdm

from xbce.testing import audit, exact_loss, ulp_error

RESULTS = Path(__file__).parent / "results"
DTYPES = ("float32", "float64")
PROMISE = 4  # ulp
DOUBT = {"hard": 0.0, "soft": 1e-6}  # how far the labels of the plots are from 0 or 1
EDGES = np.logspace(-3, 3, 61)  # of the bins of |logit| in the plots
POINTS = 12  # a bin
FLOOR = 0.1  # ulp; the plots draw no less
QUANTITIES = ("loss", "gradient")

LINES = {  # of the plots: colour (Okabe and Ito), dashes, width and members
    "xbce, the worst of its backends": ("#0072B2", "-", 4, [n for n in PEERS if "xbce" in n]),
    "PyTorch, Keras on it": ("#D55E00", "-", 1.5, ["PyTorch", "Keras on PyTorch"]),
    "TensorFlow, Keras on it": ("#E69F00", "--", 1.5, ["TensorFlow", "Keras on TensorFlow"]),
    "optax, Keras on JAX": ("#CC79A7", "-.", 1.5, ["optax", "Keras on JAX"]),
    "scikit-learn": ("#009E73", "-", 1.5, ["scikit-learn"]),
    "SciPy log_expit": ("black", ":", 1.5, ["SciPy log_expit"]),
}
NOTES = [
    "By dtype, quantity and region: largest and 99th-percentile error in ulp; wrong: what came "
    "wrong of the special values (zeros, subnormals, infinities, NaN). See xbce.testing.audit.",
    "curves: the largest error in ulp by bin of |logit| (60 from 1e-3 to 1e3, even in log), for "
    "logits below 0 and above, labels agreeing with them: hard, and soft, 1e-6 from 0 or 1.",
    "XGBoost and LightGBM have float32 gradients only, no losses, and no call that returns them: "
    "they are read from leaves grown for it, exactly (XGBoost's below 1e-24 to 1 ulp), but not at "
    "a NaN. LightGBM's binary objective takes hard labels only.",
    "SciPy has no derivative of log_expit.",
]


def measure(name: str) -> dict[str, Any]:
    """Audit one peer in this process."""
    packages, adapt = PEERS[name]
    try:
        peer = adapt()
    except ImportError as error:
        return {"skipped": f"{error.name} is not installed"}
    loss = peer.loss or (lambda z, x: np.zeros_like(x))  # a stand-in, dropped below
    report = audit(loss, peer.xp, peer.dtypes, gradient_fn=peer.gradient)
    result: dict[str, Any] = {"versions": {p: metadata.version(p) for p in packages}}
    for region in report.regions:
        if region.name.startswith(peer.kinds) and (peer.loss or region.quantity != "loss"):
            errors = [round_off(region.largest), round_off(region.percentile_99)]
            figures = result.setdefault(region.dtype, {}).setdefault(region.quantity, {})
            figures[region.name] = errors
    result["wrong"] = [
        f"{case.dtype} {case.quantity}, label {case.label:g}, logit {case.logit:g}: "
        f"got {case.actual:g}, should be {case.expected}"
        for case in report.specials
        if not case.right
        and (peer.loss or (case.quantity != "loss" and not np.isnan(case.logit)))
        and (case.label in (0, 1) or "soft" in peer.kinds)
    ]
    if peer.loss:
        result["curves"] = {
            f"{kind} {dtype}": curves(peer, kind, dtype) for kind in DOUBT for dtype in DTYPES
        }
    return result


def curves(peer: Adapter, kind: str, dtype: str) -> list[list[Any]]:
    """The largest error in ulp by bin of |logit|, for negative logits and for positive ones."""
    where = np.random.default_rng(0).random((EDGES.size - 1, POINTS))
    sizes = EDGES[:-1, None] * (EDGES[1:, None] / EDGES[:-1, None]) ** where
    found = []
    for sign, label in ((-1, DOUBT[kind]), (1, 1 - DOUBT[kind])):
        logits = (sign * sizes.ravel()).astype(dtype)
        labels = np.full_like(logits, label)
        exact = exact_loss(labels=labels, logits=logits)
        errors = ulp_error(peer.loss(peer.xp.asarray(labels), peer.xp.asarray(logits)), exact)
        found.append([round_off(error) for error in errors.reshape(sizes.shape).max(axis=1)])
    return found


def round_off(error: float) -> float | str:
    """To three digits; JSON has no infinity, so that is a string."""
    return float(f"{error:.3g}") if np.isfinite(error) else str(error)


def measure_all() -> dict[str, Any]:
    """Audit every peer, two at a time, each in a process of its own."""

    def apart(name: str) -> dict[str, Any]:
        command = [sys.executable, __file__, "--measure", name]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{name}: {done.stderr}")
        return json.loads(done.stdout.splitlines()[-1])

    with ThreadPoolExecutor(2) as pool:
        progress = tqdm(pool.map(apart, PEERS), total=len(PEERS), desc="libraries")
        found = dict(zip(PEERS, progress, strict=True))
    for name in [name for name, result in found.items() if "skipped" in result]:
        print(f"{name}: skipped, {found[name]['skipped']}")
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{cpu()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version()}
        | {p: metadata.version(p) for p in ("numpy", "array-api-compat", "mparray", "mpmath")},
        "notes": NOTES,
        "libraries": found,
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


def draw(libraries: dict[str, Any], kind: str) -> Figure:
    """Error in ulp against logit, a line a library, a panel a dtype."""
    figure = Figure(figsize=(11, 5.2), dpi=150, layout="constrained")
    near = {"hard": ("0", "1"), "soft": ("$10^{-6}$", "$1 - 10^{-6}$")}[kind]
    title = "Error of the loss with {} labels: {} for logits below 0, {} above"
    figure.suptitle(title.format(kind, *near))
    figure.get_layout_engine().set(wspace=0.05)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, dtype in zip(panels, DTYPES, strict=True):
        for name, (color, dashes, width, members) in LINES.items():
            found = [libraries[member].get("curves") for member in members]
            found = [lines[f"{kind} {dtype}"] for lines in found if lines]
            if not found:
                continue
            errors = np.max(np.array(found, dtype=float), axis=0)  # over the members
            bins = sliding_window_view(np.pad(errors, ((0, 0), (1, 1)), "edge"), 3, axis=1)
            errors = np.clip(bins.max(axis=2), FLOOR, None)  # the running maximum
            logits, errors = np.sqrt(EDGES[1:] * EDGES[:-1]), np.append(errors[0, ::-1], errors[1])
            logits = np.append(-logits[::-1], logits)
            axes.plot(logits, errors, dashes, color=color, linewidth=width, label=name)
        wrong = 2 / np.finfo(dtype).eps
        for level, text in ((PROMISE, f"promise: {PROMISE} ulp"), (wrong, "every digit wrong")):
            axes.axhline(level, color="black", linestyle="--", linewidth=0.8)
            axes.annotate(text, (0, level), (0, 3), textcoords="offset points", ha="center")
        axes.set_xscale("symlog", linthresh=EDGES[0], linscale=0.3)
        axes.set_xticks((-1000, -10, -0.1, 0, 0.1, 10, 1000))
        axes.xaxis.set_major_formatter(lambda tick, _: f"{tick:g}".replace("-", "−"))
        axes.set(xlim=(-1000, 1000), yscale="log", ylim=(FLOOR, 1e17), title=dtype, xlabel="logit")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("largest error (ulp)")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False)
    return figure


def table(libraries: dict[str, Any]) -> str:
    """The largest errors as a table in Markdown."""
    titles = [f"{quantity}, {dtype}" for quantity in QUANTITIES for dtype in DTYPES]
    titles = ["library", *titles, *(f"{quantity} at ±inf" for quantity in QUANTITIES)]
    rows = [titles, ["---", *["---:"] * 4, "---", "---"]]
    for name, found in libraries.items():
        if "skipped" in found:
            continue
        versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
        largest, verdicts = [], []
        for quantity in QUANTITIES:
            regions = [found.get(dtype, {}).get(quantity, {}).values() for dtype in DTYPES]
            worst = [max((float(error) for error, _ in region), default=None) for region in regions]
            largest += ["" if error is None else ulps(error) for error in worst]
            wrong = " ".join(w for w in found["wrong"] if f" {quantity}," in w and "inf: got" in w)
            got = re.search(r"got (\S+), should be (\S+)", wrong)
            verdict = "right" if not got else "NaN" if "got nan" in wrong else "{}, not {}"
            verdict = verdict.format(*(got.groups() if got else ()))
            verdicts.append(verdict if any(regions) else "")
        rows.append([f"{name} ({versions})", *largest, *verdicts])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def ulps(error: float) -> str:
    """To two digits: 0.5, 31.2, 9.0e15."""
    return f"{error:.1f}" if error < 1000 else f"{error:.1e}".replace("+0", "").replace("+", "")


def main() -> None:
    """Read the command line, measure, draw, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--measure", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--redraw", action="store_true", help="of the last run, measuring nothing")
    options = parser.parse_args()
    if options.measure:
        print("\n" + json.dumps(measure(options.measure)))
        return
    file = RESULTS / "peers.json"
    if not options.redraw:
        RESULTS.mkdir(exist_ok=True)
        file.write_text(compact(measure_all()))
    libraries = json.loads(file.read_text())["libraries"]
    for kind in DOUBT:
        draw(libraries, kind).savefig(RESULTS / f"peers-{kind}.png")
    print(table(libraries))


if __name__ == "__main__":
    main()
