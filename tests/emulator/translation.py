"""A PTX module as C that a compiler takes, instruction by instruction.

A kernel becomes ``void kernel_NAME(thread *t, char **parameters)``. Registers are variables in C
that hold bits; variables in memory are arrays of bytes, and those in shared memory are places in
the memory of a block.
"""

from collections.abc import Iterator

from emulator.bodies import Body
from emulator.instructions import WAITING
from emulator.ptx import Address, Function, Instruction, Module, Variable, parse, statements
from emulator.variables import Shared, c_name, global_variable


def to_c(text: str) -> str:
    """C of a PTX text."""
    module = parse(text)
    used = _names_in(module)
    inner = (s for f in module.functions if f.body for s in statements(f.body))
    shared = Shared([*module.variables, *(s for s in inner if isinstance(s, Variable))])
    globals_ = [
        global_variable(variable)
        for variable in module.variables
        if variable.space != "shared" and (variable.visible or variable.name in used)
    ]
    called = [f for f in module.functions if not f.entry and f.body]
    parts = ['#include "arithmetic.h"', '#include "threads.h"', '#include "warps.h"', *globals_]
    parts += [f"static {_signature(function)};" for function in called]
    names = {v.name: v for v in module.variables}
    bodies = []
    for function in module.functions:
        if function.body:
            start = "" if function.entry else "static "
            body = Body(function, names, shared, {f.name for f in called})
            bodies.append(f"{start}{_signature(function)} {{\n{body.text()}\n}}")
    waits = any(_waits(f) for f in called)
    for function in module.functions:
        if function.entry:
            flag = int(waits or _waits(function))
            parts.append(f"const b32 waits_{function.name} = {flag};")
    return "\n".join([*parts, *bodies, f"const b32 shared_size = {shared.size};", ""])


def _signature(function: Function) -> str:
    if function.entry:
        return f"void kernel_{function.name}(thread *t, char **parameters)"
    results = [f"char *{c_name(v.name)}" for v in function.results]
    given = [f"const char *{c_name(v.name)}" for v in function.parameters]
    return f"void {c_name(function.name)}({', '.join(['thread *t', *results, *given])})"


def _instructions(function: Function) -> Iterator[Instruction]:
    if function.body:
        yield from (s for s in statements(function.body) if isinstance(s, Instruction))


def _waits(function: Function) -> bool:
    return any(i.opcode.split(".")[0] in WAITING for i in _instructions(function))


def _names_in(module: Module) -> set[str]:
    """What instructions, and first values of variables, name."""
    used = {value for variable in module.variables for value in variable.values}
    for function in module.functions:
        for instruction in _instructions(function):
            for operand in instruction.operands:
                used.add(operand.base if isinstance(operand, Address) else str(operand))
    return used
