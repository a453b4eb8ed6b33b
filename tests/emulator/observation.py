"""What the emulator sees of CuPy's calls, and how it tells tests."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Source:
    """A module that was loaded: its source in CUDA, NVRTC's options, and the PTX."""

    cuda: str = field(repr=False)
    options: tuple[str, ...] = field(repr=False)
    ptx: str = field(repr=False)


@dataclass(frozen=True)
class Launch:
    """A kernel that was launched."""

    name: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared: int
    """Bytes of dynamic shared memory."""
    device: int
    stream: int
    source: Source = field(repr=False)


@dataclass
class Seen:
    """What happened while `watch` watched."""

    launches: list[Launch] = field(default_factory=list)
    synchronizations: Counter[str] = field(default_factory=Counter)
    """How often the host waited, by the runtime's function; copies that wait are among them."""
    copies: Counter[str] = field(default_factory=Counter)
    """Copies by kind, such as "device to host", and "memset"."""
    pageable_copies: int = 0
    """Those of them to or from memory of the host that is not pinned."""
    sources: list[Source] = field(default_factory=list, repr=False)
    start: int = 0
    peak: int = 0

    @property
    def allocated(self) -> int:
        """The most bytes of device memory that were in use beyond those at the start."""
        return self.peak - self.start


@dataclass
class State:
    """What holds for all calls."""

    watching: list[Seen] = field(default_factory=list)
    in_use: int = 0
    run: bool = True
    started: bool = False


state = State()


@contextmanager
def watch() -> Iterator[Seen]:
    """Notes what CuPy does.

    CuPy's pool of memory is left out meanwhile, as it would hide what is freed: each array is
    allocated by itself, in this thread.
    """
    import cupy

    seen = Seen(start=state.in_use, peak=state.in_use)
    state.watching.append(seen)
    try:
        with cupy.cuda.using_allocator(None):
            yield seen
    finally:
        state.watching = [other for other in state.watching if other is not seen]


@contextmanager
def launches_only() -> Iterator[None]:
    """Kernels are compiled to PTX and noted, but not run: results hold anything.

    Memory costs nothing until it is written, so arrays may be as large as on a GPU.
    """
    before, state.run = state.run, False
    try:
        yield
    finally:
        state.run = before


def note_launch(launch: Launch) -> None:
    for seen in state.watching:
        seen.launches.append(launch)


def note_source(source: Source) -> None:
    for seen in state.watching:
        seen.sources.append(source)


def note_synchronization(name: str) -> None:
    for seen in state.watching:
        seen.synchronizations[name] += 1


def note_copy(kind: str, pageable: bool = False) -> None:
    for seen in state.watching:
        seen.copies[kind] += 1
        seen.pageable_copies += pageable


def note_memory(change: int) -> None:
    state.in_use += change
    for seen in state.watching:
        seen.peak = max(seen.peak, state.in_use)
