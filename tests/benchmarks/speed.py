"""Time xbce beside its peers: the figures, plots and tables of docs/speed.md.

A library that is not installed is skipped by name::

    nox -s bench
    nox -s bench -- --only pairs    # or libraries, or memory
    nox -s bench -- --redraw        # plots and tables of the last run, measuring nothing
    nox -s bench -- --quick         # few elements, to try it, into another folder
    nox -s bench -- --gpu           # CuPy, PyTorch and JAX on a GPU, in a results file of their own
"""

import argparse
import json
import tempfile
import warnings
from pathlib import Path

import libraries
import numpy as np
import ratios
from machine import DOCS, sentence

PARTS = ("pairs", "libraries", "memory")


def measure(parts: list[str], folder: Path, gpu: bool, quick: bool) -> None:
    """The parts, one after the other, each into its results file."""
    file = folder / ("speed-gpu.json" if gpu else "speed.json")
    if "pairs" in parts and not gpu:
        ratios.measure(folder / "speed-ratios.json", quick)
    if "libraries" in parts:
        standard = libraries.GPU_SIZES if gpu else libraries.SIZES
        libraries.measure_times(file, gpu, (1, 2**12) if quick else standard)
    if "memory" in parts and not gpu:
        libraries.measure_memory(file, 2**20 if quick else libraries.MEMORY)


def show(folder: Path, gpu: bool) -> None:
    """Draw the plots of all results that are there, and print their tables in Markdown."""
    import speed_plots  # its library is needed for nothing else

    pairs = folder / "speed-ratios.json"
    if pairs.exists() and not gpu:
        results = json.loads(pairs.read_text())
        speed_plots.draw_pairs(results, folder)
        print(f"\n{sentence(results)}\n{ratios.tables(results)}")
    file = folder / ("speed-gpu.json" if gpu else "speed.json")
    if file.exists():
        results = json.loads(file.read_text())
        speed_plots.draw_libraries(results, folder, file.stem)
        if "times" in results:
            print(f"\n{sentence(results)}\n{libraries.tables(results)}")


def main() -> None:
    """Read the command line, measure, draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS, help="what to measure")
    parser.add_argument("--redraw", action="store_true", help="of the last run, measuring nothing")
    parser.add_argument("--quick", action="store_true", help="few elements and rounds, to try it")
    parser.add_argument("--gpu", action="store_true", help="on a GPU, in a file of its own")
    parser.add_argument("--out", type=Path, help="the folder of the results; docs/results")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    np.seterr(all="ignore")
    folder = options.out or DOCS / "results"
    if options.quick and not options.out:  # its figures say nothing
        folder = Path(tempfile.mkdtemp(prefix="xbce-speed-"))
        print(f"Results go to {folder}")
    if not options.redraw:
        measure(options.only, folder, options.gpu, options.quick)
    show(folder, options.gpu)


if __name__ == "__main__":
    main()
