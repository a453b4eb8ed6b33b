"""The plots of docs/accuracy.md, made of what docs/peers.py measured."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure  # without pyplot Agg draws, and no display is needed
from numpy.lib.stride_tricks import sliding_window_view
from peer_adapters import PEERS
from peer_measure import EDGES
from peer_tables import DTYPES

PROMISE = 4  # ulp
FLOOR = 0.1  # ulp; the plots draw no less
LINES = {  # of the plots: colour (Okabe and Ito), dashes, width and members
    "xbce, the worst of its backends": ("#0072B2", "-", 4, [n for n in PEERS if "xbce" in n]),
    "PyTorch, eager and compiled": ("#D55E00", "-", 1.5, ["PyTorch", "PyTorch, compiled"]),
    "TensorFlow": ("#E69F00", "--", 1.5, ["TensorFlow"]),
    "TensorFlow, compiled": ("#56B4E9", "-", 1.5, ["TensorFlow, compiled"]),
    "optax, eager and compiled": ("#CC79A7", "-.", 1.5, ["optax", "optax, compiled"]),
    "scikit-learn, on PyTorch too": (
        "#009E73",
        "-",
        1.5,
        ["scikit-learn", "scikit-learn on PyTorch"],
    ),
    "SciPy log_expit": ("black", ":", 1.5, ["SciPy log_expit"]),
}


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
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False)
    return figure
