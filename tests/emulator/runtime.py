"""What stands in for functions of CUDA's runtime and driver that CuPy calls."""

import ctypes
import itertools
import time
from collections.abc import Callable
from typing import Any

from emulator import kernels, memory
from emulator.observation import note_copy, note_synchronization, state

CAPABILITY = (9, 0)
MEMORY = 1 << 36
WARP = 32
INVALID_DEVICE = -2
UNREGISTERED, PINNED, DEVICE = 0, 1, 2  # kinds of memory

Functions = dict[str, Callable[..., Any]]


class Devices:
    """The devices, and which one is current. CUDA has one for each thread; here there is one."""

    def __init__(self, count: int) -> None:
        self.count, self.current = count, 0

    def set(self, device: int) -> None:
        if not 0 <= device < self.count:
            raise RuntimeError(f"cudaErrorInvalidDevice: {device} of {self.count} devices.")
        self.current = device

    def attribute(self, attribute: int, _device: int) -> int:
        known = {
            1: kernels.MOST_THREADS,  # threads of a block, then each of its axes
            2: 1024,
            3: 1024,
            4: 64,
            5: 2**31 - 1,  # axes of a grid
            6: 65535,
            7: 65535,
            8: 48 << 10,  # shared memory of a block
            10: WARP,
            16: 1,  # multiprocessors
            39: 2048,  # threads of a multiprocessor
            41: 1,  # unified addresses
            75: CAPABILITY[0],
            76: CAPABILITY[1],
            81: 48 << 10,  # shared memory of a multiprocessor
            97: 48 << 10,
        }
        if attribute not in known:
            return 0
        return known[attribute]

    def properties(self, _device: int) -> dict[str, Any]:
        return {
            "name": b"emulated on a CPU",
            "major": CAPABILITY[0],
            "minor": CAPABILITY[1],
            "warpSize": WARP,
            "multiProcessorCount": 1,
            "maxThreadsPerBlock": kernels.MOST_THREADS,
            "maxThreadsPerMultiProcessor": 2048,
            "sharedMemPerBlock": 48 << 10,
            "totalGlobalMem": MEMORY,
            "pciBusID": 0,
            "pciDeviceID": 0,
            "pciDomainID": 0,
        }

    def functions(self) -> Functions:
        def nothing(*_: Any) -> None:
            pass

        return {
            "getDevice": lambda: self.current,
            "getDeviceCount": lambda: self.count,
            "setDevice": self.set,
            "deviceGetAttribute": self.attribute,
            "getDeviceProperties": self.properties,
            "deviceGetPCIBusId": lambda device: f"0000:{device:02x}:00.0",
            "deviceGetByPCIBusId": lambda text: int(text.split(":")[1], 16),
            "deviceCanAccessPeer": lambda device, other: int(device != other),
            "deviceEnablePeerAccess": nothing,
            "_deviceEnsurePeerAccess": nothing,
            "deviceSynchronize": lambda: note_synchronization("deviceSynchronize"),
            "_ensure_context": nothing,
            "driverGetVersion": lambda: 13000,
            "memGetInfo": lambda: (MEMORY - state.in_use, MEMORY),
        }


# --- memory


def _is_pageable(pointer: int) -> bool:
    return memory.find(pointer) is None


def _side(pointer: int) -> str:
    found = memory.find(pointer)
    return "device" if found and found.device != memory.HOST else "host"


def _copy(target: int, source: int, size: int, name: str) -> None:
    sides = _side(source), _side(target)
    pageable = _is_pageable(source) or _is_pageable(target)
    note_copy(" to ".join(sides), pageable)
    # A copy to the host waits, unless it is asynchronous and the memory is pinned.
    if not name.endswith("Async") or (pageable and sides[1] == "host"):
        note_synchronization(name)
    ctypes.memmove(target, source, size)


def _fill(pointer: int, value: int, size: int) -> None:
    note_copy("memset")
    if state.run:
        ctypes.memset(pointer, value, size)


def memory_functions(devices: Devices, attributes: Callable[..., Any]) -> Functions:
    """Allocations, copies, and where a pointer leads; `attributes` is CuPy's class for this."""

    def on_device(size: int, *_: Any) -> int:
        return memory.allocate(size, devices.current)

    def pinned(size: int, *_: Any) -> int:
        return memory.allocate(size, memory.HOST)

    def release(pointer: int, *_: Any) -> None:
        memory.free(pointer)

    def pointer_attributes(pointer: int) -> Any:
        found = memory.find(pointer)
        if found is None:
            return attributes(INVALID_DEVICE, 0, pointer, UNREGISTERED)
        if found.device == memory.HOST:
            return attributes(0, pointer, pointer, PINNED)
        return attributes(found.device, pointer, 0, DEVICE)

    def copy_2d(target: int, pitch: int, source: int, source_pitch: int, width: int, height: int,
                *_: Any) -> None:  # fmt: skip
        for row in range(height):
            _copy(target + row * pitch, source + row * source_pitch, width, "memcpy2D")

    return {
        "malloc": on_device,
        "mallocAsync": on_device,
        "mallocManaged": on_device,
        "free": release,
        "freeAsync": release,
        "hostAlloc": pinned,
        "freeHost": release,
        "hostRegister": lambda *_: None,
        "hostUnregister": lambda *_: None,
        "memcpy": lambda to, of, size, _kind: _copy(to, of, size, "memcpy"),
        "memcpyAsync": lambda to, of, size, _kind, _stream: _copy(to, of, size, "memcpyAsync"),
        "memcpyPeer": lambda to, _to, of, _of, size: _copy(to, of, size, "memcpyPeer"),
        "memcpyPeerAsync": lambda to, _to, of, _of, size, _stream: _copy(
            to, of, size, "memcpyPeerAsync"
        ),
        "memcpy2D": copy_2d,
        "memcpy2DAsync": copy_2d,
        "memset": _fill,
        "memsetAsync": lambda pointer, value, size, _stream: _fill(pointer, value, size),
        "pointerGetAttributes": pointer_attributes,
        "pointerGetMemoryType": lambda pointer: pointer_attributes(pointer).type,
    }


# --- streams and events


def stream_functions() -> Functions:
    """Streams and events are numbers: whatever is launched has ended when the call returns."""
    numbers = itertools.count(16)  # beyond the default streams
    times: dict[int, float] = {}

    def create(*_: Any) -> int:
        return next(numbers)

    def nothing(*_: Any) -> None:
        pass

    def ready(*_: Any) -> int:
        return 0

    def record(event: int, _stream: int) -> None:
        times[event] = time.perf_counter()

    def call_back(stream: int, callback: Callable[..., Any], argument: int, *_: Any) -> None:
        callback(stream, 0, argument)

    return {
        "streamCreate": create,
        "streamCreateWithFlags": create,
        "streamCreateWithPriority": create,
        "streamDestroy": nothing,
        "streamSynchronize": lambda _stream: note_synchronization("streamSynchronize"),
        "streamWaitEvent": nothing,
        "streamQuery": ready,
        "streamIsCapturing": ready,
        "streamGetFlags": ready,
        "streamGetPriority": ready,
        "streamAddCallback": call_back,
        "launchHostFunc": lambda _stream, callback, argument: callback(argument),
        "eventCreate": create,
        "eventCreateWithFlags": create,
        "eventDestroy": lambda event: times.pop(event, None) and None,
        "eventRecord": record,
        "eventQuery": ready,
        "eventSynchronize": lambda _event: note_synchronization("eventSynchronize"),
        "eventElapsedTime": lambda start, end: 1e3 * (times[end] - times[start]),
        "profilerStart": nothing,
        "profilerStop": nothing,
    }


# --- the driver


def driver_functions(devices: Devices) -> Functions:
    """Modules, kernels and launches."""

    def launch(kernel: int, *given: int) -> None:
        shared, stream, parameters, extra = given[6:]
        if extra:
            raise NotImplementedError("The emulator takes parameters of a kernel one by one only.")
        grid, block = given[:3], given[3:6]
        kernels.launch(kernel, grid, block, shared, stream, parameters, devices.current)

    return {
        "ctxGetCurrent": lambda: devices.current + 1,
        "ctxSetCurrent": lambda context: devices.set(context - 1),
        "ctxGetDevice": lambda: devices.current,
        "moduleLoadData": kernels.load,
        "moduleUnload": lambda _module: None,
        "moduleGetFunction": kernels.function,
        "moduleGetGlobal": kernels.variable,
        "launchKernel": launch,
        "funcGetAttribute": lambda attribute, _kernel: (
            kernels.MOST_THREADS if attribute == 0 else 0
        ),
        "funcSetAttribute": lambda *_: None,
        "occupancyMaxActiveBlocksPerMultiprocessor": lambda *_: 4,
        "occupancyMaxPotentialBlockSize": lambda *_: (4, kernels.MOST_THREADS),
    }
