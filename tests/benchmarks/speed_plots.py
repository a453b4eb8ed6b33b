"""The plots and tables of speed.py, from its results file."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure  # without pyplot Agg draws, and no display is needed
from speed import DTYPES, LARGE, MEMORY, MOVED, TASKS, TITLES

COLORS = {  # Okabe and Ito
    "xbce": "#0072B2",
    "xbce, fuse=True": "#56B4E9",
    "NumPy, stable expression": "black",
    "SciPy": "#999999",
    "scikit-learn": "#009E73",
    "PyTorch": "#D55E00",
    "PyTorch, compiled": "#E69F00",
    "JAX, jit (optax)": "#CC79A7",
    "TensorFlow": "#8B6914",
    "TensorFlow, XLA": "#F0E442",
    "xbce on PyTorch": "#0072B2",
    "xbce on PyTorch, fuse=True": "#56B4E9",
    "xbce on JAX": "#003C5F",
    "xbce on CuPy": "#003C5F",
}


def draw_all(results: dict[str, Any], folder: Path, stem: str) -> None:
    """Write the plots as PNG files."""
    growth(results).savefig(folder / f"{stem}-growth.png")
    ratios(results).savefig(folder / f"{stem}-ratios.png")
    if memory(results):
        draw_memory(results).savefig(folder / f"{stem}-memory.png")


def is_ours(name: str) -> bool:
    """Whether it is xbce."""
    return name.startswith("xbce")


def dashes(name: str) -> str:
    """By library, where xbce is on several."""
    return "--" if "xbce on PyTorch" in name else ":" if "xbce on JAX" in name else "-"


def shown(results: dict[str, Any]) -> list[str]:
    """The contenders that the plots of arrays show: those with a colour."""
    sizes = next(iter(results["times"].values()))
    names = next(iter(sizes.values()))["loss"]
    return [name for name in COLORS if name in names]


def growth(results: dict[str, Any]) -> Figure:
    """Time a call against size, a line a contender, a panel a task and dtype."""
    figure = Figure(figsize=(11, 7.5), dpi=150, layout="constrained")
    figure.suptitle(f"Time of a call against size; {results['machine']}, {results['date']}")
    panels = figure.subplots(len(DTYPES), len(TASKS), sharex=True, sharey=True)
    for row, dtype in zip(panels, DTYPES, strict=True):
        for axes, task in zip(row, TASKS, strict=True):
            times = results["times"][dtype]
            sizes = sorted(times, key=int)
            for name in shown(results):
                values = [times[size][task][name] for size in sizes]
                style = {"linewidth": 2.5} if is_ours(name) else {"linewidth": 1, "marker": "."}
                style |= {"color": COLORS[name], "label": name, "linestyle": dashes(name)}
                axes.loglog([int(size) for size in sizes], values, **style)
            axes.set_title(f"{TITLES[task]}, {dtype}")
            axes.grid(alpha=0.3)
        row[0].set_ylabel("seconds")
    for axes in panels[-1]:
        axes.set_xlabel("elements")
    handles, names = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=5, frameon=False)
    return figure


def ratios(results: dict[str, Any]) -> Figure:
    """Time divided by that of xbce at the largest common size of the plots."""
    figure = Figure(figsize=(11, 6.5), dpi=150, layout="constrained")
    size, ours = reference(results)
    figure.suptitle(
        f"Time as a multiple of that of {ours}, {int(size):,} elements; below 1 is faster"
    )
    panels = figure.subplots(1, len(TASKS), sharey=True)
    for axes, task in zip(panels, TASKS, strict=True):
        names = [name for name in shown(results) if name != ours][::-1]
        for offset, dtype in ((0.2, "float32"), (-0.2, "float64")):
            times = results["times"][dtype][size][task]
            values = [times[name] / times[ours] for name in names]
            places = [place + offset for place in range(len(names))]
            color = "#0072B2" if dtype == "float32" else "#E69F00"
            axes.barh(places, values, height=0.38, color=color, label=dtype)
            for place, value in zip(places, values, strict=True):
                axes.annotate(f"{value:.1f}", (value, place), (3, 0), fontsize=8, va="center",
                              textcoords="offset points")  # fmt: skip
        axes.axvline(1, color="black", linewidth=1)
        axes.set_yticks(range(len(names)), names)
        axes.set(title=TITLES[task], xscale="log", xlabel="multiple")
        axes.margins(x=0.2)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def memory(results: dict[str, Any]) -> dict[str, Any]:
    """Peak memory by contender."""
    return results.get("memory, MiB at 2^25 float32") or {}


def draw_memory(results: dict[str, Any]) -> Figure:
    """Peak extra memory by contender and task."""
    figure = Figure(figsize=(11, 5), dpi=150, layout="constrained")
    found = memory(results)
    size = MEMORY * 4 / 2**20
    figure.suptitle(f"Memory beyond the inputs, result included; {MEMORY:,} elements of float32")
    names = [name for name in COLORS if name in found][::-1]
    panels = figure.subplots(1, len(TASKS), sharey=True)
    for axes, task in zip(panels, TASKS, strict=True):
        values = [found[name][task] for name in names]
        axes.barh(range(len(names)), values, color=[COLORS[name] for name in names])
        for place, value in enumerate(values):
            axes.annotate(f"{value:.0f}", (value, place), (3, 0), fontsize=8, va="center",
                          textcoords="offset points")  # fmt: skip
        axes.axvline(size, color="black", linewidth=1, linestyle="--")
        axes.set_yticks(range(len(names)), names)
        axes.set(title=TITLES[task], xlabel="MiB; dashed: one array")
        axes.margins(x=0.15)
    return figure


def reference(results: dict[str, Any]) -> tuple[str, str]:
    """The size of the ratios, and the contender that they are of."""
    sizes = results["times"]["float32"]
    size = str(LARGE) if str(LARGE) in sizes else max(sizes, key=int)
    names = shown(results)
    return size, "xbce" if "xbce" in names else names[-1]


def tables(results: dict[str, Any]) -> str:
    """In Markdown: ns an element at the size of the ratios, and what each moves a second."""
    size, _ = reference(results)
    number = int(size)
    lines = []
    for task in TASKS:
        lines += [
            f"\n{TITLES[task]}, {number:,} elements:\n",
            "| | float32, ns an element | float64 | float32, GB/s | float64 |",
            "| --- | ---: | ---: | ---: | ---: |",
        ]
        rows = {"a copy": [results["copy"][dtype][size] for dtype in DTYPES]}
        for name in results["times"]["float32"][size][task]:
            rows[name] = [results["times"][dtype][size][task][name] for dtype in DTYPES]
        for name, times in rows.items():
            moved = 2 if name == "a copy" else MOVED[task]
            rates = [
                moved * width * number / seconds / 1e9
                for width, seconds in zip((4, 8), times, strict=True)
            ]
            figures = [f"{seconds / number * 1e9:.3g}" for seconds in times]
            lines.append(f"| {name} | {' | '.join(figures + [f'{r:.3g}' for r in rates])} |")
    lines += ["\none element, µs a call, float32:\n", "| | loss | mean | gradient |"]
    lines.append("| --- | ---: | ---: | ---: |")
    for name in results["times"]["float32"].get("1", {}).get("loss", {}):
        row = [results["times"]["float32"]["1"][task][name] * 1e6 for task in TASKS]
        lines.append(f"| {name} | {' | '.join(f'{value:.3g}' for value in row)} |")
    return "\n".join(lines)
