"""Up to which gamma the focal loss keeps its digits: the table of docs/measurements.md.

    python tests/benchmarks/gamma.py

The largest error in ulp, against arbitrary precision, over logits from -700 to 700 (-80 to 80 in
float32) and of every size below, by the kind of the labels.
"""

import numpy as np

from xbce.nn import sigmoid_focal_loss
from xbce.testing import exact_loss, ulp_error

GAMMAS = (0.5, 1, 2, 5, 8, 10, 20, 50, 1000)
FAR = {"float32": 80.0, "float64": 700.0}
SIZE = 2000


def points(dtype, kind):
    """Labels and logits; soft labels are of every size, and close to 1 as often as to 0."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(0, 1, SIZE // 2), np.exp2(rng.uniform(-20, 0, SIZE // 2))])
    x = (FAR[dtype] * x * rng.choice([-1, 1], SIZE)).astype(dtype)
    z = rng.integers(0, 2, SIZE).astype(float)
    if kind == "soft":
        doubt = np.exp2(rng.uniform(np.log2(np.finfo(dtype).eps), -1, SIZE))
        z = np.where(z == 1, 1 - doubt, doubt)
    return z.astype(dtype), x


def main():
    """Print the table."""
    columns = [(dtype, kind) for dtype in FAR for kind in ("hard", "soft")]
    print("| gamma | " + " | ".join(f"{dtype}, {kind}" for dtype, kind in columns) + " |")
    print("| --- |" + " ---: |" * len(columns))
    for gamma in GAMMAS:
        row = []
        for dtype, kind in columns:
            z, x = points(dtype, kind)
            arrays = {"labels": z, "logits": x, "gamma": gamma}
            errors = ulp_error(sigmoid_focal_loss(**arrays), exact_loss(**arrays))
            row.append(f"{errors.max():.1f}")
        print(f"| {gamma:g} | {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
