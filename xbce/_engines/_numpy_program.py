"""A recorded program, run by NumPy operation by operation, into buffers that serve many blocks."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from xbce._engines._numpy_functions import call, constant
from xbce._engines._numpy_schedule import NOWHERE, Order, places, tested
from xbce._program import Program, Value, without_unused

_Array = NDArray[Any]


class _Step(NamedTuple):
    """``values[result] = function(*operands, target)``."""

    function: Callable[..., Any]
    operands: tuple[int, ...]
    result: int
    target: int


class _Skip(NamedTuple):
    """Where the condition holds nowhere, the result is the other value, and the next steps go."""

    condition: int
    other: int
    result: int
    steps: int


class Replay:
    """A program, to be run on block after block.

    Attributes
    ----------
    results : list of Value
        What a block gives.
    buffers : list of (dtype, shape)
        What it needs beside its operands and results.
    """

    def __init__(self, program: Program) -> None:
        program = _turned(program) if _has_few_classes(program) else _with_picks(program)
        values = program.values
        self.results = [values[number] for number in program.results]
        self._numbers = program.results
        order = Order(program)
        targets, self.buffers = places(program, order)
        self._steps: list[_Step | _Skip] = []
        for number, skips in order.lines:
            if skips:
                condition, _, other = values[number].operands
                self._steps.append(_Skip(tested(values, condition), other, number, skips))
            else:
                function, operands = call(values, values[number])
                target = targets.get(number, NOWHERE)
                self._steps.append(_Step(function, operands, number, target))
        self._inputs = [(n, v.option) for n, v in enumerate(values) if v.operation == "input"]
        fixed = ("constant", "arange")
        self._start = [constant(v) if v.operation in fixed else None for v in values]

    def run(
        self, operands: dict[str, Any], outputs: Sequence[_Array], buffers: Sequence[_Array]
    ) -> list[Any]:
        """The results of a block: sums of all as numbers, the others in the outputs."""
        values = self._start.copy()
        for number, name in self._inputs:
            values[number] = operands[name]
        targets = (*outputs, *buffers, None)
        steps, place, end = self._steps, 0, len(self._steps)
        while place < end:
            step = steps[place]
            place += 1
            if isinstance(step, _Skip):
                if not values[step.condition].any():
                    values[step.result] = values[step.other]
                    place += step.steps
                continue
            function, used, result, target = step
            values[result] = function(*[values[number] for number in used], targets[target])
        return [values[number] for number in self._numbers]


def _has_few_classes(program: Program) -> bool:
    """Whether it is of so few classes that loops along them would be short."""
    numbers = [value.option for value in program.values if value.operation == "arange"]
    first = any(value.operation == "first" for value in program.values)
    ranks = {len(value.shape) for value in program.values}
    return bool(numbers) and max(numbers) <= FEW and max(ranks) == 2 and not first


FEW = 32
"""Classes up to which it is quicker to turn arrays, so that the classes are on the first axis."""


def _turned(program: Program) -> Program:
    """The program with the axis of classes first, which operands and results have last."""
    values: list[Value] = []
    moved: list[int] = []
    for value in program.values:
        shape = value.shape[::-1] if len(value.shape) == 2 else value.shape
        operands = tuple([moved[operand] for operand in value.operands])
        if value.operation == "input":
            values.append(value)
            if shape != value.shape:
                values.append(Value("turn", (len(values) - 1,), value.dtype, shape))
        elif value.operation == "arange":
            values.append(value._replace(shape=(*shape, 1)))
        else:
            option = 0 if value.operation in _ALONG and value.option == -1 else value.option
            values.append(value._replace(operands=operands, shape=shape, option=option))
        moved.append(len(values) - 1)
    results = []
    for number in program.results:
        value = program.values[number]
        if len(value.shape) == 2:
            values.append(Value("turn", (moved[number],), value.dtype, value.shape))
        results.append(len(values) - 1 if len(value.shape) == 2 else moved[number])
    return Program(tuple(values), tuple(results))


_ALONG = ("sum", "argmax", "expand")


def _with_picks(program: Program) -> Program:
    """The program, but where a mask chooses one class of each row, only that is read or written.

    Such a mask compares the numbers of the classes with a number of each row. What it chooses is
    written by "pick", and read by "take", which gives 0 where the number is none of the classes.
    """
    values = list(program.values)
    for number, value in enumerate(program.values):
        own = _number_of_row(program, value)
        if own is not None and value.shape == values[value.operands[2]].shape:
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
    """The number of each row that the mask of a `where` compares those of many classes with."""
    if value.operation != "where":
        return None
    mask = program.values[value.operands[0]]
    if mask.operation != "equal" or mask.shape != value.shape:
        return None
    classes, number = mask.operands
    wide = program.values[classes].operation == "arange" and program.values[classes].option >= MANY
    return number if wide and program.values[number].shape[-1:] == (1,) else None


MANY = 64
"""Classes from which on it is quicker to write one of each row than to look at all."""
