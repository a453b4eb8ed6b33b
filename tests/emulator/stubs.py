"""Puts functions of Python in the place of functions in C that CuPy's modules share.

Cython keeps such functions in a table, ``__pyx_capi__``, each in a capsule whose name is its
prototype. Modules that are imported later take them from there. The stub of a function is in C,
made from the prototype, so that exceptions pass through it.
"""

import atexit
import ctypes
import re
from collections.abc import Callable, Mapping
from types import ModuleType

from emulator.compilation import library_of_c

_ARGUMENTS = {
    "int": ("int", "i"),
    "CUdevice": ("int", "i"),
    "cudaMemcpyKind": ("int", "i"),
    "unsigned int": ("unsigned", "I"),
    "float": ("float", "f"),
    "size_t": ("size_t", "K"),
    "uintmax_t": ("size_t", "K"),
    "intptr_t": ("long long", "L"),
    "*": ("PyObject *", "O"),
}
"""For types of arguments: in C, and what `PyObject_CallFunction` calls them."""

_RESULTS = {
    "int": ("int", "PyLong_AsLong(result)", "-1", "0"),
    "unsigned int": ("unsigned", "PyLong_AsLong(result)", "0", "0"),
    "size_t": ("size_t", "PyLong_AsSsize_t(result)", "-1", "0"),
    "float": ("float", "PyFloat_AsDouble(result)", "0", "0"),
    "intptr_t": ("long long", "PyLong_AsSsize_t(result)", "0", "1"),
    "uintmax_t": ("long long", "PyLong_AsSsize_t(result)", "0", "1"),
}
"""For types of results: in C, from a Python object, in case of an error, and after the exit."""

_KEPT = ("check_status", "get_build_version", "runtimeGetVersion", "_getCUDAMajorVersion")
"""Functions that need no GPU."""

_START = """
#include <stddef.h>
typedef struct _object PyObject;
PyObject *PyObject_CallFunction(PyObject *, const char *, ...);
void Py_DecRef(PyObject *), Py_IncRef(PyObject *);
PyObject *PyErr_Occurred(void), *Py_BuildValue(const char *, ...);
long PyLong_AsLong(PyObject *);
ptrdiff_t PyLong_AsSsize_t(PyObject *);
double PyFloat_AsDouble(PyObject *);
int emulator_exited;
void emulator_set_function(PyObject **place, PyObject *function) {
    Py_IncRef(function);
    *place = function;
}
"""


def replace(module: ModuleType, functions: Mapping[str, Callable[..., object]]) -> None:
    """Puts functions in the place of those of a module, for C and for Python.

    Functions that there are none for raise NotImplementedError.
    """
    table, written = module.__pyx_capi__, []
    for name, capsule in table.items():
        if stub := _stub(name, _prototype(capsule)):
            written.append((name, stub))
    library = ctypes.PyDLL(str(library_of_c(_START + "\n".join(stub for _, stub in written))))
    library.emulator_set_function.argtypes = [ctypes.c_void_p, ctypes.py_object]
    library.emulator_set_function.restype = None
    for name, _ in written:
        function = functions.get(name) or _refusal(module, name)
        place = ctypes.addressof(ctypes.c_void_p.in_dll(library, f"function_{name}"))
        library.emulator_set_function(place, function)
        table[name] = _capsule(library, name, _prototype(table[name]))
    for name in table:
        if name in functions or (hasattr(module, name) and name in dict(written)):
            setattr(module, name, functions.get(name) or _refusal(module, name))
    # Objects that live to the very end free their memory when Python can no longer be called.
    exited = ctypes.c_int.in_dll(library, "emulator_exited")
    atexit.register(lambda: setattr(exited, "value", 1))


def _stub(name: str, prototype: str) -> str | None:
    """A function in C that calls one in Python; None where a type is not known."""
    parsed = re.fullmatch(r"(.+?) ?\((.*)\)", prototype)
    if not parsed or name in _KEPT:
        return None
    result, given = parsed.groups()
    types = [t for t in given.split(", ") if t not in ("void", "int __pyx_skip_dispatch")]
    types = [t for t in types if "__pyx_opt_args" not in t]  # defaults are Python's
    objects = result.endswith("*")
    if not objects and result not in _RESULTS:
        return None
    types = ["*" if t.endswith("*") else t for t in types]
    if not all(t in _ARGUMENTS for t in types):
        return None
    written = ", ".join(f"{_ARGUMENTS[t][0]} a{i}" for i, t in enumerate(types))
    form = "".join(_ARGUMENTS[t][1] for t in types)
    call = ", ".join([f"function_{name}", f'"({form})"', *(f"a{i}" for i in range(len(types)))])
    kind, convert, error, exited = ("PyObject *", "result", "NULL", 'Py_BuildValue("")')
    if not objects:
        kind, convert, error, exited = _RESULTS[result]
    release = "" if objects else "Py_DecRef(result);"
    return f"""
PyObject *function_{name};
{kind} stub_{name}({written or "void"}) {{
    if (emulator_exited) return {exited};
    PyObject *result = PyObject_CallFunction({call});
    if (!result) return {error};
    {kind} converted = {convert};
    {release}
    return converted;
}}"""


def _refusal(module: ModuleType, name: str) -> Callable[..., object]:
    def refuse(*_: object) -> None:
        raise NotImplementedError(f"The emulator has no {module.__name__}.{name}.")

    return refuse


_names: list[ctypes.Array[ctypes.c_char]] = []


def _prototype(capsule: object) -> str:
    get_name = ctypes.pythonapi.PyCapsule_GetName
    get_name.restype, get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    return get_name(capsule).decode()


def _capsule(library: ctypes.PyDLL, name: str, prototype: str) -> object:
    new = ctypes.pythonapi.PyCapsule_New
    new.restype = ctypes.py_object
    new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    _names.append(ctypes.create_string_buffer(prototype.encode()))  # a capsule keeps no copy
    return new(ctypes.cast(getattr(library, f"stub_{name}"), ctypes.c_void_p), _names[-1], None)
