"""How many blocks of how many threads a kernel has, and how many threads share a row."""

from typing import NamedTuple

THREADS = 256
"""Of a block that sums: so many can run however many registers each of them needs."""
MOST_THREADS = 2**10
"""Of a block where rows are long: a few rows are then to keep many threads busy."""
CLASSES = 4
"""Of a row for each thread that shares it, while there are threads left in a block."""
BLOCKS = 2**10
"""What fills the largest devices: an H100 runs 660 to 1056 of 256 threads, by their registers."""
MOST_BLOCKS = 2**14
"""So that what is left to a last, half-empty round of blocks is little, and so are their sums."""
EACH = 16
"""Elements for each thread that make it worth having more than `BLOCKS`."""


class Grid(NamedTuple):
    """Blocks, and how many of the threads of each share a row."""

    blocks: int
    width: int


def threads_of(classes: int) -> int:
    """The threads of a block over rows of so many classes; of one class over elements."""
    return THREADS if classes <= THREADS * CLASSES else MOST_THREADS


def registers_of(threads: int) -> int | None:
    """The most registers that a thread of such a block may have, unless they are all there are."""
    return 2**16 // threads if threads > THREADS else None


def grid_of(count: int, classes: int) -> Grid:
    """That of a kernel over so many elements, or rows of so many classes."""
    threads = threads_of(classes)
    # A power of two: 1 for up to CLASSES of them, 2 for twice as many.
    width = min(threads, 1 << ((classes - 1) // CLASSES).bit_length())
    work = count * width
    enough = max(BLOCKS, min(MOST_BLOCKS, work // (threads * EACH)))
    return Grid(min(enough, -(-work // threads)), width)
