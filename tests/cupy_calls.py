"""What the tests of CuPy's kernels share: the operands of calls, and the kernels of these."""

import sys

import pytest
from calls import CALLS

cupy = pytest.importorskip("cupy")
emulator = sys.modules.get("emulator")
if emulator is None or not emulator.started():
    pytest.skip("kernels are counted by the emulator", allow_module_level=True)

ROWS, CLASSES = 300, 3
LARGE = 2**24


def arrays(rows=ROWS, dtype="float32"):
    """The operands of the calls in `calls`, on the current device; of values that do not matter."""
    shapes = dict.fromkeys(("x", "z", "full", "mask", "hard"), (rows, CLASSES))
    shapes |= dict.fromkeys(("column", "mask_column"), (rows, 1))
    shapes |= dict.fromkeys(("rows", "mask_rows", "number"), (rows,))
    shapes |= {"top": (1, CLASSES), "q": (CLASSES,), "alpha": (CLASSES,), "smoothing": ()}
    made = {}
    for name, shape in shapes.items():
        kind = "bool" if "mask" in name else "int32" if name in ("hard", "number") else dtype
        made[name] = cupy.ndarray(shape, kind)
    return made


def launches(call, *arguments):
    """The kernels that a call launches, which compute nothing."""
    with emulator.launches_only(), emulator.watch() as seen:
        call(*arguments)
    return seen.launches


BY_CUPY = ("axis", "ignored", "where[batch,classes]")
"""Sums along axes, and masks that are made of labels or of those over classes, are CuPy's own."""
REDUCED = {
    name: call
    for name, call in CALLS.items()
    if name != "focal" and not any(part in name for part in BY_CUPY)
}
GIVES_GRADIENT = {name: call for name, call in REDUCED.items() if "grad" in name}
