"""Kernels written in PTX, run on arrays of NumPy without CuPy: for the emulator's own tests."""

import ctypes

import numpy as np
import pytest

from emulator import kernels
from emulator.toolkit import why_no_kernels

if reason := why_no_kernels():
    pytest.skip(reason, allow_module_level=True)

_REGISTER = {1: "b16", 2: "b16", 4: "b32", 8: "b64"}


def launch(
    text: str,
    *arrays: np.ndarray,
    block: tuple[int, int, int] = (1, 1, 1),
    grid: tuple[int, int, int] = (1, 1, 1),
    shared: int = 0,
) -> None:
    """Runs the kernel `k` of a PTX text on the memory of arrays."""
    values = [ctypes.c_void_p(array.ctypes.data) for array in arrays]
    pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
    handle = kernels.function(kernels.load(text.encode()), "k")
    kernels.launch(handle, grid, block, shared, 0, ctypes.addressof(pointers), 0)


def kernel(body: str, parameters: int, head: str = "") -> str:
    """A kernel of pointers %q0, %q1, ... to global memory, and of registers of all kinds."""
    names = [f".param .u64 p{i}" for i in range(parameters)]
    loads = "".join(f"ld.param.u64 %q{i}, [p{i}];\n" for i in range(parameters))
    return f"""
.version 8.0
.target sm_90
.address_size 64
{head}
.visible .entry k({", ".join(names)})
{{
    .reg .pred %p<9>;
    .reg .b16 %h<9>;
    .reg .b32 %r<19>;
    .reg .b64 %d<19>;
    .reg .b64 %q<9>;
    .reg .f32 %f<9>;
    {loads}
    mov.u32 %r0, %tid.x;
    {body}
    ret;
}}
"""


def compute(lines: str, result: object, *operands: np.ndarray) -> np.ndarray:
    """Runs instructions on each element, one a thread: from $a, $b, $c to $d."""
    operands = [np.atleast_1d(operand) for operand in operands]
    out = np.zeros(len(operands[0]), result)
    names, arrays, declared, body = {}, [out, *operands], "", ""
    for letter, array in zip("dabc", arrays, strict=False):
        kind, size = _REGISTER[array.itemsize], array.itemsize
        declared += f".reg .{kind} %{letter}_;\n"
        names[letter] = f"%{letter}_"
        place = "dabc".index(letter)
        body += f"mul.wide.u32 %d1, %r0, {size}; add.s64 %q{place}, %q{place}, %d1;\n"
        if letter != "d":
            body += f"ld.global.b{8 * size} %{letter}_, [%q{place}];\n"
    for letter, name in names.items():
        lines = lines.replace(f"${letter}", name)
    body += f"{lines}\nst.global.b{8 * out.itemsize} [%q0], %d_;"
    launch(kernel(declared + body, len(arrays)), *arrays, block=(len(out), 1, 1))
    return out
