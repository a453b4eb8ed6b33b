"""Memory of the emulated devices, and pinned memory of the host: all of it is the host's."""

import ctypes
from bisect import bisect, insort
from dataclasses import dataclass

from emulator.observation import note_memory, state

ALIGNMENT = 512  # CUDA's own is 256; CuPy's pool counts in 512
FILLED = 1 << 20
HOST = -1

_libc = ctypes.CDLL(None)
_libc.aligned_alloc.restype = ctypes.c_void_p
_libc.aligned_alloc.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
_libc.free.argtypes = [ctypes.c_void_p]


@dataclass(frozen=True)
class Allocation:
    """Some memory, and the device it belongs to."""

    start: int
    size: int
    device: int


_allocations: dict[int, Allocation] = {}
_starts: list[int] = []


def allocate(size: int, device: int) -> int:
    """Memory that nobody wrote; a large piece is not touched, so that it costs nothing yet."""
    rounded = max(1, -(-size // ALIGNMENT)) * ALIGNMENT
    start = _libc.aligned_alloc(ALIGNMENT, rounded)
    if not start:
        raise MemoryError(f"The host has no {size} bytes for the emulator.")
    if size <= FILLED and state.run:
        ctypes.memset(start, 0xFF, rounded)  # floats are NaN until they are written
    _allocations[start] = Allocation(start, size, device)
    insort(_starts, start)
    if device != HOST:
        note_memory(size)
    return start


def free(start: int) -> None:
    """Gives memory back; 0 is no memory."""
    allocation = _allocations.pop(start, None)
    if allocation is None:
        if start:
            raise RuntimeError(f"{start:#x} was not allocated, or is free already.")
        return
    _starts.pop(bisect(_starts, start) - 1)
    if allocation.device != HOST:
        note_memory(-allocation.size)
    _libc.free(start)


def find(pointer: int) -> Allocation | None:
    """The allocation that a pointer points into."""
    place = bisect(_starts, pointer) - 1
    if place < 0:
        return None
    allocation = _allocations[_starts[place]]
    return allocation if pointer < allocation.start + max(1, allocation.size) else None
