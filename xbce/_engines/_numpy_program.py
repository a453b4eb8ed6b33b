"""A recorded program, run by NumPy operation by operation, into buffers that serve many blocks."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xbce._engines._numpy_functions import call, constant
from xbce._engines._numpy_schedule import NOWHERE, Order, places, tested
from xbce._program import Program, Value, class_of_row, without_unused

_Array = NDArray[Any]


class Replay:
    """A program, to be run on block after block.

    Attributes
    ----------
    results : list of Value
        What a block gives.
    buffers : list of (dtype, shape)
        What it needs beside its operands and results.
    bytes_of_a_loss : int
        What these take for each element, or row of classes.
    source : str
        The function that computes a block, which is compiled: a loop over the operations takes
        longer than these themselves on short arrays.
    """

    def __init__(self, program: Program) -> None:
        program = _turned(program) if _has_few_classes(program) else _with_picks(program)
        self.results = [program.values[number] for number in program.results]
        order = Order(program)
        targets, self.buffers = places(program, order)
        sizes = [d.itemsize * prod(n for n in shape if n > 0) for d, shape in self.buffers]
        self.bytes_of_a_loss = max(1, sum(sizes))
        names: dict[str, Any] = {"count_nonzero": np.count_nonzero}
        self.source = _source(program, order, targets, names)
        exec(compile(self.source, "<program>", "exec"), names)
        self._run: Callable[..., list[Any]] = names["run"]

    def run(
        self, operands: dict[str, Any], outputs: Sequence[_Array], buffers: Sequence[_Array]
    ) -> list[Any]:
        """The results of a block: sums of all as numbers, the others in the outputs."""
        return self._run(operands, (*outputs, *buffers))


def _source(program: Program, order: Order, targets: dict[int, int], names: dict[str, Any]) -> str:
    """The program as a function of Python; adds what it calls by name."""
    values, lines = program.values, ["def run(operands, targets):"]
    for number, value in enumerate(values):
        if value.operation == "input":
            lines.append(f"    v{number} = operands[{value.option!r}]")
        elif value.operation in ("constant", "arange"):
            names[f"v{number}"] = constant(value)
    for target in sorted({targets[n] for n in targets if targets[n] != NOWHERE}):
        lines.append(f"    t{target} = targets[{target}]")
    open_ends: list[tuple[int, int]] = []  # of a choice: the line after it, and its value
    indent = "    "
    for place, (number, skips) in enumerate(order.lines):
        condition, *_ = operands = values[number].operands
        if skips:
            lines.append(f"{indent}if count_nonzero(v{tested(values, condition)}):")
            open_ends.append((place + 1 + skips, number))
            indent += "    "
            continue
        function = f"{values[number].operation}_{number}"
        names[function], operands = call(values, values[number])
        target = targets.get(number, NOWHERE)
        given = [f"v{n}" for n in operands] + ["None" if target == NOWHERE else f"t{target}"]
        lines.append(f"{indent}v{number} = {function}({', '.join(given)})")
        while open_ends and open_ends[-1][0] == place + 1:
            chosen = open_ends.pop()[1]
            indent = indent[4:]
            lines.append(f"{indent}else:")
            lines.append(f"{indent}    v{chosen} = v{values[chosen].operands[2]}")
    lines.append(f"    return [{', '.join(f'v{number}' for number in program.results)}]")
    return "\n".join(lines)


def _has_few_classes(program: Program) -> bool:
    """Whether it is of so few classes that loops along them would be short."""
    numbers = [value.option for value in program.values if value.operation == "arange"]
    if not numbers or not 1 < max(numbers) == min(numbers) <= FEW:
        return False
    for value in program.values:
        along = value.operation in _ALONG and value.option is not None
        of_classes = along and len(program.values[value.operands[0]].shape) == 2
        if len(value.shape) > 2 or (along and of_classes == (value.operation == "expand")):
            return False
    return True


FEW = 32
"""Classes up to which it is quicker to turn arrays, so that the classes are on the first axis."""


def _turned(program: Program) -> Program:
    """The program with the axis of classes first, which operands and results have last."""
    values: list[Value] = []
    moved: list[int] = []
    for value in program.values:
        shape = value.shape[::-1] if len(value.shape) == 2 else value.shape
        if len(shape) == 1 and shape[0] > 1:  # of the classes themselves
            shape = (*shape, 1)
        operands = tuple([moved[operand] for operand in value.operands])
        if value.operation == "input":
            values.append(value)
            if shape != value.shape:
                values.append(Value("turn", (len(values) - 1,), value.dtype, shape))
        elif value.operation == "arange":
            values.append(value._replace(shape=shape))
        else:
            option = value.option
            if value.operation == "first":
                option = (option[1], ...)
            elif value.operation in _ALONG and option == -1:
                option = 0
            values.append(value._replace(operands=operands, shape=shape, option=option))
        moved.append(len(values) - 1)
    results = []
    for number in program.results:
        value = program.values[number]
        if len(value.shape) == 2:
            values.append(Value("turn", (moved[number],), value.dtype, value.shape))
        results.append(len(values) - 1 if len(value.shape) == 2 else moved[number])
    return Program(tuple(values), tuple(results))


_ALONG = ("sum", "argmax", "expand", "first")


def _with_picks(program: Program) -> Program:
    """The program, but where a mask chooses one class of each row, only that is read or written.

    Such a mask compares the numbers of the classes with a number of each row. What it chooses is
    written by "pick", and read by "take", which gives 0 where the number is none of the classes.
    """
    values = list(program.values)
    for number, value in enumerate(program.values):
        own = _number_of_row(program, value)
        if own is None:
            continue
        chosen, other = (program.values[operand] for operand in value.operands[1:])
        one = chosen.operation == "constant" or chosen.shape[-1:] in ((), (1,))
        if one and value.shape == other.shape:
            operands = own, *value.operands[1:]
            values[number] = value._replace(operation="pick", operands=operands)
    for number, value in enumerate(program.values):
        if value.operation == "sum" and value.option == -1:
            chosen = program.values[value.operands[0]]
            own = _number_of_row(program, chosen)
            if own is None:
                continue
            array, others = chosen.operands[1], program.values[chosen.operands[2]]
            nothing = others.operation == "constant" and others.option == 0
            same = program.values[array].shape == chosen.shape and chosen.dtype == value.dtype
            if nothing and same:
                values[number] = value._replace(operation="take", operands=(array, own))
    return without_unused(values, list(program.results))


def _number_of_row(program: Program, value: Value) -> int | None:
    """The number by which a `where` chooses one of many classes of each row."""
    number = class_of_row(program, value)
    return number if number is not None and value.shape[-1] >= MANY else None


MANY = 64
"""Classes from which on it is quicker to write one of each row than to look at all."""
