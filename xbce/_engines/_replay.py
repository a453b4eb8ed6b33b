"""A recorded program, run operation by operation into buffers that serve block after block."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from xbce._engines._schedule import NOWHERE, Order, places, tested
from xbce._program import Program, Value

_Array = NDArray[Any]
Call = tuple[Callable[..., Any], tuple[int, ...]]


class Library(Protocol):
    """Whose functions compute a program."""

    def call(self, values: tuple[Value, ...], value: Value) -> Call:
        """What computes a value, from its operands and the target that it writes to."""

    def constant(self, value: Value) -> Any:
        """What is no operation: a number, or the numbers from 0 on."""

    def own(self, array: _Array) -> Any:
        """An array of NumPy as this library takes it, in the same memory."""

    def holds(self, condition: Any) -> bool:
        """Whether a condition holds anywhere."""


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
    """A program, to be run on block after block by the functions of a library.

    Attributes
    ----------
    library : Library
        Whose functions.
    results : list of Value
        What a block gives.
    buffers : list of (dtype, shape)
        What it needs beside its operands and results.
    """

    def __init__(self, program: Program, library: Library) -> None:
        program, self.library = _with_picks(program), library
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
                call = library.call(values, values[number])
                self._steps.append(_Step(*call, number, targets.get(number, NOWHERE)))
        self._inputs = [(n, v.option) for n, v in enumerate(values) if v.operation == "input"]
        fixed = ("constant", "arange")
        self._start = [library.constant(v) if v.operation in fixed else None for v in values]

    def run(
        self, operands: dict[str, Any], outputs: Sequence[Any], buffers: Sequence[Any]
    ) -> list[Any]:
        """The results of a block: sums of all as numbers, the others in the outputs.

        All arrays are the library's own.
        """
        values = self._start.copy()
        for number, name in self._inputs:
            values[number] = operands[name]
        targets, holds = (*outputs, *buffers, None), self.library.holds
        steps, place, end = self._steps, 0, len(self._steps)
        while place < end:
            step = steps[place]
            place += 1
            if isinstance(step, _Skip):
                if not holds(values[step.condition]):
                    values[step.result] = values[step.other]
                    place += step.steps
                continue
            function, used, result, target = step
            values[result] = function(*[values[number] for number in used], targets[target])
        return [values[number] for number in self._numbers]


def _with_picks(program: Program) -> Program:
    """The program, but where a mask chooses one class of each row, only that is read or written.

    Such a mask compares the numbers of the classes with a number of each row. What it chooses is
    written by "pick", and read by "take", which gives 0 where the number is none of the classes.
    """
    values = list(program.values)
    for number, value in enumerate(program.values):
        own = _number_of_row(program, value)
        if own is not None and value.shape == values[value.operands[2]].shape:
            values[number] = value._replace(operation="pick", operands=(own, *value.operands[1:]))
    for number, value in enumerate(program.values):
        if value.operation == "sum" and value.option == -1:
            chosen = program.values[value.operands[0]]
            own = _number_of_row(program, chosen)
            others = program.values[chosen.operands[2]] if own is not None else None
            if others is not None and others.operation == "constant" and others.option == 0:
                array = chosen.operands[1]
                if program.values[array].shape == chosen.shape and chosen.dtype == value.dtype:
                    values[number] = value._replace(operation="take", operands=(array, own))
    return Program(tuple(values), program.results)


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
