"""The plots of speed.py, from its results files."""

from pathlib import Path
from typing import Any

from libraries import DTYPES, TASKS, TITLES, reference
from matplotlib.figure import Figure  # without pyplot Agg draws, and no display is needed
from pairs import BY_SIZE, NUMPY_SIZES, RIVALS, TABLES, TORCH_SIZES, numpy_name, torch_name
from ratios import ALL, NARROW

# Okabe and Ito
BLUE, ORANGE, GREEN, PURPLE, RED = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00"
LINES = dict(zip(RIVALS, (RED, ORANGE, GREEN, PURPLE), strict=True))
TICKS = [2.0**power for power in range(-7, 8)]


def draw_pairs(results: dict[str, Any], folder: Path) -> None:
    """Write the plots of ratios as PNG files."""
    bars(results).savefig(folder / "speed-ratios.png")
    sizes(results).savefig(folder / "speed-sizes.png")


def draw_libraries(results: dict[str, Any], folder: Path, stem: str) -> None:
    """Write the plots of all libraries as PNG files, as far as they were measured."""
    if "times" in results:
        multiples(results).savefig(folder / f"{stem}-libraries.png")
    if "memory" in results:
        memory(results["memory"]).savefig(folder / f"{stem}-memory.png")


def title(figure: Figure, text: str, results: dict[str, Any]) -> None:
    """What it shows, where and when it was measured."""
    figure.suptitle(f"{text}\n{results['machine']}, {results['date']}", fontsize=11)


def bars(results: dict[str, Any]) -> Figure:
    """A bar a pair, from the line at 1, a panel a library."""
    groups = {name: results["pairs"][name] for name in TABLES if results["pairs"].get(name)}
    lengths = [len(rows) for rows in groups.values()]
    height = 0.27 * sum(lengths) + 0.5 * len(lengths) + 1.1
    figure = Figure(figsize=(10, height), dpi=130, layout="constrained")
    title(figure, "Time of a library's loss / time of xbce; above 1, xbce is ahead", results)
    options = {"sharex": True, "squeeze": False, "height_ratios": [n + 0.6 for n in lengths]}
    panels = figure.subplots(len(groups), 1, **options)[:, 0]
    for axes, (group, rows) in zip(panels, groups.items(), strict=True):
        bars_of_group(axes, rows)
        axes.set_title(group, fontsize=10, loc="left")
    scale(panels[-1], "x", [columns for rows in groups.values() for columns in rows.values()])
    panels[-1].set_xlabel("theirs / xbce")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def bars_of_group(axes: Any, rows: dict[str, Any]) -> None:
    """Two bars a pair: with all instructions of the processor, and without AVX-512."""
    for column, offset, color in ((ALL, -0.2, BLUE), (NARROW, 0.2, ORANGE)):
        places = [n + offset for n, columns in enumerate(rows.values()) if column in columns]
        values = [columns[column]["ratio"] for columns in rows.values() if column in columns]
        if not values:
            continue
        lengths = [value - 1 for value in values]
        axes.barh(places, lengths, left=1, height=0.38, color=color, label=column)
        for place, value in zip(places, values, strict=True):
            note(axes, value, place, f"{value:.2f}", left=value < 1)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_axisbelow(True)
    axes.grid(axis="x", alpha=0.3)


def note(axes: Any, x: float, y: float, text: str, left: bool = False) -> None:
    """A figure at the end of a bar."""
    side = {"xytext": (-3 if left else 3, 0), "ha": "right" if left else "left"}
    options = {"textcoords": "offset points", "fontsize": 6.5, "va": "center"}
    axes.annotate(text, (x, y), **side, **options)


def scale(axes: Any, axis: str, rows: list[dict[str, Any]]) -> None:
    """A logarithmic axis for these ratios, with powers of 2 marked, and room for the figures."""
    values = [times["ratio"] for columns in rows for times in columns.values()] + [1]
    room = max(1.1, (max(values) / min(values)) ** 0.14)
    low, high = min(values) / room, max(values) * room
    ticks = [tick for tick in TICKS if low <= tick <= high]
    # The scale comes first: setting it takes away limits and ticks.
    getattr(axes, f"set_{axis}scale")("log", base=2)
    getattr(axes, f"set_{axis}lim")(low, high)
    getattr(axes, f"set_{axis}ticks")(ticks, [f"{tick:g}" for tick in ticks])


def sizes(results: dict[str, Any]) -> Figure:
    """Ratios against size: one panel for PyTorch's tensors, two for NumPy's arrays."""
    figure = Figure(figsize=(11, 4.4), dpi=130, layout="constrained")
    title(figure, "Time of a library's loss / time of xbce, by size, float32", results)
    panels = figure.subplots(1, 3, sharey=True)
    torch, numpy = (results["pairs"].get(name, {}) for name in ("PyTorch", BY_SIZE))
    for column, color in ((ALL, BLUE), (NARROW, ORANGE)):
        names = {power: torch_name(power) for power in TORCH_SIZES}
        line(panels[0], torch, names, column, label=f"PyTorch, {column}", color=color)
    panels[0].set(title="mean with backward, PyTorch tensors", ylabel="theirs / xbce")
    for axes, task in zip(panels[1:], ("loss", "mean"), strict=True):
        for rival, color in LINES.items():
            names = {power: numpy_name(task, power, rival) for power in NUMPY_SIZES}
            line(axes, numpy, names, ALL, label=rival, color=color)
        axes.set_title(f"{task}, NumPy arrays")
    shown = [torch[name] for name in map(torch_name, TORCH_SIZES) if name in torch]
    scale(panels[0], "y", [*shown, *numpy.values()])
    for axes in panels:
        axes.set_xscale("log", base=2)
        axes.axhline(1, color="black", linewidth=1)
        axes.set_xlabel("elements")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, frameon=False)
    return figure


def line(axes: Any, rows: dict[str, Any], names: dict[int, str], column: str, **style: Any) -> None:
    """The ratios of these rows in one column, by power of 2, where they were measured."""
    there = {power: rows[name] for power, name in names.items() if column in rows.get(name, {})}
    values = [columns[column]["ratio"] for columns in there.values()]
    if values:
        axes.plot([2**power for power in there], values, marker=".", **style)


def multiples(results: dict[str, Any]) -> Figure:
    """Time of other libraries divided by that of xbce, at the size of the table."""
    size, ours = reference(results)
    hidden = ("xbce on", "xbce's") if ours == "xbce" else ()  # the table has them
    names = list(results["times"]["float32"][size]["loss"])
    names = [name for name in names if name != ours and not name.startswith(hidden)][::-1]
    figure = Figure(figsize=(11, 0.38 * len(names) + 1.8), dpi=130, layout="constrained")
    title(figure, f"Time of others / time of {ours}, {int(size):,} elements", results)
    panels = figure.subplots(1, len(TASKS), sharex=True, sharey=True)
    rows = []
    for axes, task in zip(panels, TASKS, strict=True):
        for dtype, offset, color in zip(DTYPES, (0.2, -0.2), (BLUE, ORANGE), strict=True):
            times = results["times"][dtype][size][task]
            values = [times[name] / times[ours] for name in names]
            places = [place + offset for place in range(len(names))]
            lengths = [value - 1 for value in values]
            axes.barh(places, lengths, left=1, height=0.38, color=color, label=dtype)
            for place, value in zip(places, values, strict=True):
                note(axes, value, place, f"{value:.2g}", left=value < 1)
            rows += [{dtype: {"ratio": value}} for value in values]
        axes.axvline(1, color="black", linewidth=1)
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.set(title=TITLES[task], xlabel=f"theirs / {ours}")
    scale(panels[0], "x", rows)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def memory(results: dict[str, Any]) -> Figure:
    """Peak extra memory by contender and task."""
    number, found = results["elements of float32"], results["MiB"]
    names = list(found)[::-1]
    figure = Figure(figsize=(11, 0.27 * len(names) + 1.6), dpi=130, layout="constrained")
    text = f"Memory beyond the inputs, result included; {number:,} elements of float32"
    title(figure, text, results)
    panels = figure.subplots(1, len(TASKS), sharey=True)
    for axes, task in zip(panels, TASKS, strict=True):
        colors = [BLUE if name.startswith("xbce") else "#999999" for name in names]
        values = [found[name][task] for name in names]
        axes.barh(range(len(names)), values, color=colors)
        for place, value in enumerate(values):
            note(axes, value, place, f"{value:.0f}")
        axes.axvline(number * 4 / 2**20, color="black", linewidth=1, linestyle="--")
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.set(title=TITLES[task], xlabel="MiB; dashed: one array")
        axes.margins(x=0.15, y=0.02)
    return figure
