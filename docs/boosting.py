"""What focal loss and ``pos_weight`` do to probabilities where 1 row in 100 is positive.

Trains XGBoost with three objectives on rows whose true probabilities are known, prints what it
measures and draws it into ``docs/results/boosting-focal.png``::

    pip install xbce xgboost-cpu scikit-learn matplotlib
    python docs/boosting.py
"""

from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb
from matplotlib.figure import Figure  # without pyplot Agg draws, and no display is needed
from sklearn.metrics import average_precision_score, precision_recall_curve

from xbce.objectives import SigmoidCrossEntropy

PLOT = Path(__file__).parent / "results" / "boosting-focal.png"
ROWS = {"train": 40_000, "valid": 20_000, "test": 400_000}
POS_WEIGHT = 99.0  # makes up for 1 positive in 100
OBJECTIVES = {  # colours of Okabe and Ito
    "plain": (SigmoidCrossEntropy(), "#0072B2"),
    f"pos_weight {POS_WEIGHT:g}": (SigmoidCrossEntropy(pos_weight=POS_WEIGHT), "#D55E00"),
    "focal, gamma 2": (SigmoidCrossEntropy(gamma=2.0), "#009E73"),
}
BINS = 20
LEAST_POSITIVES = 10  # a bin with fewer has too uncertain a frequency to draw
PARAMETERS = {"eta": 0.1, "max_depth": 4, "nthread": 1, "disable_default_eval_metric": 1}


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probabilities."""
    return 1 / (1 + np.exp(-np.asarray(logits, dtype=float)))


def rows(number: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, labels and the probabilities that labels were drawn with, 1 in 100 on average."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(number, 8))
    chances = sigmoid(1.6 * x[:, 0] + np.abs(x[:, 1]) + x[:, 2] * x[:, 3] - 7.2)
    return x, (rng.random(number) < chances).astype(float), chances


def train(objective: SigmoidCrossEntropy, sets: dict[str, Any]) -> tuple[np.ndarray, int]:
    """Predicted probabilities of the test rows, and how many trees held-out rows allowed."""
    data = {name: xgb.DMatrix(x, y) for name, (x, y, _) in sets.items()}
    model = xgb.train(
        PARAMETERS | {"base_score": objective.initial_score(sets["train"][1])},
        data["train"],
        1000,
        obj=objective,
        custom_metric=objective.metric,
        evals=[(data["valid"], "valid")],
        early_stopping_rounds=20,
        verbose_eval=False,
    )
    best = model.best_iteration + 1
    return sigmoid(model.predict(data["test"], iteration_range=(0, best))), best


def calibration(labels: np.ndarray, chances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean probability, and frequency of positives, of rows with about the same probability."""
    logits = np.log(chances) - np.log1p(-chances)
    edges = np.linspace(logits.min(), logits.max(), BINS + 1)[1:-1]
    place = np.digitize(logits, edges)
    positives = np.bincount(place, labels, BINS)
    kept = positives >= LEAST_POSITIVES
    sizes = np.bincount(place, minlength=BINS)[kept]
    return np.bincount(place, chances, BINS)[kept] / sizes, positives[kept] / sizes


def draw(labels: np.ndarray, true: np.ndarray, found: dict[str, np.ndarray]) -> Figure:
    """Calibration, and precision against recall, a line an objective."""
    figure = Figure(figsize=(11, 5), dpi=150, layout="constrained")
    figure.suptitle("XGBoost where 1 row in 100 is positive")
    calibrated, ranked = figure.subplots(1, 2)
    calibrated.plot([1e-5, 1], [1e-5, 1], "--", color="black", linewidth=0.8)
    calibrated.annotate("perfect", (2.2e-4, 2.2e-4), (4, -12), textcoords="offset points")
    for name, chances in found.items():
        color = OBJECTIVES[name][1]
        calibrated.plot(*calibration(labels, chances), "o-", color=color, markersize=4, label=name)
        precision, recall, _ = precision_recall_curve(labels, chances)
        score = average_precision_score(labels, chances)
        ranked.plot(recall, precision, color=color, label=f"{name} ({score:.3f})")
    precision, recall, _ = precision_recall_curve(labels, true)
    score = average_precision_score(labels, true)
    ranked.plot(
        recall,
        precision,
        "--",
        color="black",
        linewidth=0.8,
        label=f"true probabilities ({score:.3f})",
    )
    calibrated.set(
        title="Calibration",
        xlabel="predicted probability",
        ylabel="observed frequency of positives",
        xscale="log",
        yscale="log",
        xlim=(1e-4, 1),
        ylim=(1e-4, 1),
    )
    ranked.set(title="Ranking", xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1))
    calibrated.legend(frameon=False, loc="upper left")
    ranked.legend(frameon=False, title="objective (average precision)")
    for axes in (calibrated, ranked):
        axes.grid(alpha=0.3)
    return figure


def main() -> None:
    """Train, print and draw."""
    sets = {name: rows(number, seed) for seed, (name, number) in enumerate(ROWS.items())}
    _, labels, true = sets["test"]
    print(f"{labels.mean():.2%} of {labels.size} test rows are positive\n")
    print("| objective | trees | mean probability | log loss | average precision |")
    print("| --- | --- | --- | --- | --- |")
    found = {}
    for name, (objective, _) in OBJECTIVES.items():
        found[name], trees = train(objective, sets)
        print_row(name, trees, labels, found[name])
    print_row("true probabilities", "", labels, true)
    draw(labels, true, found).savefig(PLOT)


def print_row(name: str, trees: int | str, labels: np.ndarray, chances: np.ndarray) -> None:
    """A line of the table."""
    loss = -np.mean(labels * np.log(chances) + (1 - labels) * np.log1p(-chances))
    ranking = average_precision_score(labels, chances)
    print(f"| {name} | {trees} | {chances.mean():.4f} | {loss:.4f} | {ranking:.3f} |")


if __name__ == "__main__":
    main()
