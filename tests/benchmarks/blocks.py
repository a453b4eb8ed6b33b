"""How large NumPy's buffers should be, and when threads pay: the constants of `_engines._numpy`.

    python tests/benchmarks/blocks.py

Every choice is timed in turn, in one process, and the medians are printed in ns an element.
"""

import platform
import time
from statistics import median

import numpy as np

from xbce import nn, options, sigmoid_cross_entropy
from xbce._engines import _numpy

ROUNDS = 9
SIZE = 2**23


def mean(z, x):
    """The reduced loss."""
    return sigmoid_cross_entropy(z, x)


def loss(z, x):
    """The element-wise loss."""
    return nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x)


def arrays(dtype, size):
    """Hard labels and logits of ordinary size."""
    rng = np.random.default_rng(0)
    return (rng.random(size) < 0.5).astype(dtype), rng.normal(0, 4, size).astype(dtype)


def timed(function, *arguments):
    """Seconds of one call."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def medians(choices, run):
    """The median over rounds in which each choice has its turn."""
    times = {choice: [] for choice in choices}
    for _ in range(ROUNDS):
        for choice in choices:
            times[choice].append(run(*choice))
    return {choice: median(values) for choice, values in times.items()}


def block_sizes():
    """Buffers of 2**18 to 2**23 bytes for each thread, on one thread and on two."""
    choices = [(power, threads) for threads in (1, 2) for power in range(18, 24)]
    print("bytes   threads " + "".join(f"{f.__name__ + ' ' + d:>14}" for f, d in COLUMNS))
    columns = []
    for function, dtype in COLUMNS:
        z, x = arrays(dtype, SIZE)

        def run(power, threads, function=function, z=z, x=x):
            _numpy.BLOCK, _numpy.SHARED = 2**power, threads * (2**power + _numpy.BESIDE)
            with options(threads=threads):
                return timed(function, z, x)

        columns.append(medians(choices, run))
    for power, threads in choices:
        row = "".join(f"{column[power, threads] / SIZE * 1e9:14.2f}" for column in columns)
        print(f"2**{power:<4} {threads:7} {row}")


def thread_threshold():
    """Two threads against one on arrays of 2**16 to 2**21 elements: the ratio of their times."""
    print("size    " + "".join(f"{f.__name__ + ' ' + d:>14}" for f, d in COLUMNS))
    _numpy.PARALLEL = 1
    for power in range(16, 22):
        row = ""
        for function, dtype in COLUMNS:
            z, x = arrays(dtype, 2**power)

            def run(threads, function=function, z=z, x=x):
                with options(threads=threads):
                    return sum(timed(function, z, x) for _ in range(10))

            times = medians([(1,), (2,)], run)
            row += f"{times[2,] / times[1,]:14.2f}"
        print(f"2**{power:<4}{row}")


COLUMNS = [(f, d) for f in (loss, mean) for d in ("float32", "float64")]

if __name__ == "__main__":
    print(f"NumPy {np.__version__}, {platform.machine()}, ns an element")
    chosen = _numpy.BLOCK, _numpy.SHARED
    block_sizes()
    _numpy.BLOCK, _numpy.SHARED = chosen
    thread_threshold()
