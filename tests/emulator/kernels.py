"""Modules of kernels, and their launches: what CUDA's driver does with them."""

import ctypes
from dataclasses import dataclass, field
from functools import cache

from emulator.compilation import HERE, library_of_c, library_of_ptx, sources
from emulator.observation import Launch, Source, note_launch, note_source, state

MOST_THREADS = 1024
OUTCOMES = {
    1: "threads wait for each other: not all of a block, or of a mask, come to the same place",
    2: "a thread has run into a trap",
    3: "there is no memory for the threads of a block",
}


@dataclass
class Module:
    """A PTX text that was loaded; it is compiled when a kernel runs."""

    ptx: bytes
    source: Source
    _library: ctypes.PyDLL | None = field(default=None, repr=False)

    @property
    def library(self) -> ctypes.PyDLL:
        """The compiled module."""
        if self._library is None:
            scheduler()  # its functions are called from there
            self._library = ctypes.PyDLL(str(library_of_ptx(self.ptx)))
        return self._library


@dataclass(frozen=True)
class Kernel:
    """A function of a module."""

    module: Module
    name: str


@cache
def scheduler() -> ctypes.PyDLL:
    """What runs blocks of threads. As a PyDLL it keeps the GIL: one launch runs at a time."""
    path = library_of_c((HERE / "threads.c").read_text())
    return ctypes.PyDLL(str(path), mode=ctypes.RTLD_GLOBAL)


_modules: dict[int, Module] = {}
_kernels: dict[int, Kernel] = {}


def load(data: bytes) -> int:
    """A handle of a module."""
    cuda, options = sources.get(data, ("", ()))
    source = Source(cuda, options, data.decode())
    note_source(source)
    handle = len(_modules) + 1
    _modules[handle] = Module(data, source)
    return handle


def function(module: int, name: str) -> int:
    """A handle of a kernel."""
    if f".entry {name}(" not in _modules[module].source.ptx.replace("\n", ""):
        raise RuntimeError(f"CUDA_ERROR_NOT_FOUND: the module has no kernel {name}.")
    handle = len(_kernels) + 1
    _kernels[handle] = Kernel(_modules[module], name)
    return handle


def variable(module: int, name: str) -> int:
    """The address of a global variable."""
    try:
        found = ctypes.c_char.in_dll(_modules[module].library, f"v_{name}")
    except ValueError:
        raise RuntimeError(f"CUDA_ERROR_NOT_FOUND: the module has no variable {name}.") from None
    return ctypes.addressof(found)


def launch(
    handle: int,
    grid: tuple[int, int, int],
    block: tuple[int, int, int],
    shared: int,
    stream: int,
    parameters: int,
    device: int,
) -> None:
    """Notes a launch, and runs it to its end."""
    kernel = _kernels[handle]
    threads = block[0] * block[1] * block[2]
    if not 0 < threads <= MOST_THREADS or min(grid) < 1:
        raise RuntimeError(f"CUDA_ERROR_INVALID_VALUE: {kernel.name} with {grid} and {block}.")
    module = kernel.module
    note_launch(Launch(kernel.name, grid, block, shared, device, stream, module.source))
    if not state.run:
        return
    library = module.library
    outcome = scheduler().emulator_run(
        getattr(library, f"kernel_{kernel.name}"),
        ctypes.c_void_p(parameters),
        (ctypes.c_uint32 * 3)(*grid),
        (ctypes.c_uint32 * 3)(*block),
        ctypes.c_size_t(ctypes.c_uint32.in_dll(library, "shared_size").value + shared),
        ctypes.c_int(ctypes.c_uint32.in_dll(library, f"waits_{kernel.name}").value),
    )
    if outcome:
        raise RuntimeError(f"The kernel {kernel.name} failed: {OUTCOMES[outcome]}.")
