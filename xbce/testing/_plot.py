"""The plot of a report: errors in ulp against logits."""

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xbce.testing._report import Promise, Report

FAR = 1000
"""Logits beyond it are drawn at it."""
SMALLEST, LARGEST = 1e-2, 1e17
"""Errors beyond them are drawn at them; infinity and NaN at the largest."""


def draw(report: "Report", path: str | Path | None, max_ulp: "Promise") -> Any:
    """Draw the errors of a report, a panel a quantity; return the figure of matplotlib."""
    from matplotlib.figure import Figure

    shown = list(dict.fromkeys(region.quantity for region in report.regions))
    figure = Figure(figsize=(5 * len(shown), 4.8), dpi=150, layout="constrained")
    figure.suptitle(report.name)
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axes, quantity in zip(panels, shown, strict=True):
        points: dict[str, list[tuple[float, float]]] = {}
        for region in report.regions:
            if region.quantity == quantity:
                points.setdefault(region.dtype, []).extend(region.points)
        for dtype, found in points.items():
            logits, errors = zip(*found, strict=True)
            drawn = [min(max(e, SMALLEST), LARGEST) if isfinite(e) else LARGEST for e in errors]
            inside = [min(max(logit, -FAR), FAR) for logit in logits]
            axes.plot(inside, drawn, ".", markersize=3, label=dtype)
        axes.set_xscale("symlog", linthresh=1e-3, linscale=0.3)
        axes.set_xticks([-FAR, -10, -0.1, 0, 0.1, 10, FAR])
        axes.xaxis.set_major_formatter(lambda tick, _: f"{tick:g}")
        axes.set(yscale="log", title=quantity, xlabel="logit", xlim=(-1.5 * FAR, 1.5 * FAR))
        allowed = max_ulp.get(quantity) if isinstance(max_ulp, Mapping) else max_ulp
        if allowed is not None:
            axes.axhline(
                allowed, color="black", linewidth=0.8, linestyle="--", label=f"{allowed:g} ulp"
            )
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("error (ulp)")
    handles, labels = panels[0].get_legend_handles_labels()
    beyond = f"logits beyond {FAR} are drawn there, infinite errors at {LARGEST:g}"
    figure.legend(handles, labels, loc="outside lower center", ncols=4, title=beyond, fontsize=8)
    if path is not None:
        figure.savefig(path)
    return figure
