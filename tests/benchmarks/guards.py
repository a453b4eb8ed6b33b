"""What it costs to be exact at infinite logits: candidates for `_formula.product`, on NumPy.

    python tests/benchmarks/guards.py

An infinite logit that agrees with its label asks for inf*0. Each candidate is the
whole loss with another guard around that product; they are timed in turn, in one
process, and the medians are printed in ns an element.
"""

import platform
from functools import partial
from statistics import median
from timeit import repeat

import numpy as np

from xbce import _formula


def bare(xp, slope, x):
    """No guard: NaN where an infinite logit agrees with its label."""
    return slope * x


def where_zero(xp, slope, x):
    """0 wherever the slope is 0: right, but with hard labels its mask is random."""
    return xp.where(slope == 0, slope, slope * x)


def where_product_is_nan(xp, slope, x):
    """0 where the product is NaN: hides NaN logits where nothing else carries them."""
    product = slope * x
    return xp.where(product == product, x, slope) * slope


def clip(xp, slope, x):
    """The largest finite number for infinity: its own derivative at infinity is 0."""
    largest = xp.finfo(x.dtype).max
    return slope * xp.clip(x, -largest, largest)


CANDIDATES = (bare, where_zero, where_product_is_nan, clip, _formula.product)


def loss(product, z, x):
    """The loss with this guard around the product."""
    slope, _, _, e = _formula.tangent(np, z, x, None)
    return product(np, slope, x) + np.log1p(e)


def main() -> None:
    """Time the candidates in blocks that stay in the cache, and print a table."""
    np.seterr(all="ignore")
    rng = np.random.default_rng(0)
    size, calls, rounds = 2**14, 10, 200
    print(f"NumPy {np.__version__}, {platform.machine()}, blocks of {size} elements")
    print(f"{'ns an element':22} float32 float64")
    columns = []
    for dtype in (np.float32, np.float64):
        x = (4 * rng.normal(size=size)).astype(dtype)
        z = (rng.random(size) < 0.5).astype(dtype)
        times = {product: [] for product in CANDIDATES}
        for _ in range(rounds):
            for product in CANDIDATES:
                times[product] += repeat(partial(loss, product, z, x), number=calls, repeat=1)
        columns.append([median(times[p]) / calls / size * 1e9 for p in CANDIDATES])
    for product, *row in zip(CANDIDATES, *columns, strict=True):
        print(f"{product.__name__:22} {row[0]:7.2f} {row[1]:7.2f}")


if __name__ == "__main__":
    main()
