"""Variables in memory: their sizes, their names in C, and where they lie."""

import struct
from collections.abc import Iterable

from emulator.ptx import Variable

SIZES = {"pred": 1} | {f"{kind}{n}": n // 8 for kind in "bus" for n in (8, 16, 32, 64)}
SIZES |= {"f16": 2, "f32": 4, "f64": 8}


def c_name(name: str) -> str:
    """A name of PTX, with the characters that C has."""
    return "v_" + name.replace("%", "_r_").replace("$", "_d_").replace(".", "_p_")


def align(variable: Variable) -> int:
    """The number of bytes that its address is a multiple of."""
    return variable.align or SIZES[variable.type]


def size(variable: Variable) -> int:
    """How many bytes it has."""
    return SIZES[variable.type] * (1 if variable.length is None else variable.length)


class Shared:
    """Where variables lie in a block's shared memory; one of unknown length begins at the end."""

    def __init__(self, variables: Iterable[Variable]) -> None:
        self.size = 0
        self.places: dict[str, int] = {}
        variables = [variable for variable in variables if variable.space == "shared"]
        for variable in variables:
            if variable.length != 0:
                self.size = -(-self.size // align(variable)) * align(variable)
                self.places[variable.name] = self.size
                self.size += size(variable)
        self.size = -(-self.size // 128) * 128
        self.places |= {v.name: self.size for v in variables if v.length == 0}


def global_variable(variable: Variable) -> str:
    """A variable in C, with its first values."""
    kind, data = variable.type, b""
    for value in variable.values:
        if kind.startswith("f"):
            bits = int(value[2:], 16) if value[:2].lower() in ("0f", "0d") else None
            if bits is None:
                bits = struct.unpack("<Q" if kind == "f64" else "<I", struct.pack(
                    "<d" if kind == "f64" else "<f", float(value)))[0]  # fmt: skip
        else:
            try:
                bits = int(value, 0)
            except ValueError:
                raise NotImplementedError(
                    f"PTX: the address {value} as the first value of {variable.name}."
                ) from None
        data += (bits % 256 ** SIZES[kind]).to_bytes(SIZES[kind], "little")
    values = f" = {{{', '.join(map(str, data))}}}" if data else ""
    return (
        f"char {c_name(variable.name)}[{max(1, size(variable))}] "
        f"__attribute__((aligned({align(variable)}))){values};"
    )
