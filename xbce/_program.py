"""A formula as the list of its operations: what engines replay or compile.

`_recorder` makes it. Nothing here knows a loss, an engine or an array library.

The shape of a value has a number for each axis: its size where that is part of the program, as 1
and the number of classes are, else one below 0, which only says which axes are of the same size.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from xbce._typing import DType, Shape

VIEWS = ("expand", "first")
"""Operations that look at the memory of their operand in another way."""


class Value(NamedTuple):
    """What an operation gives.

    Attributes
    ----------
    operation : str
        The name of a function of the array API, or

        - "input", an operand of the program,
        - "constant", a number for each element,
        - "argument", likewise, but one that is another the next time,
        - "total", a sum of all that another program gives, its number the option,
        - "copy", the operand in memory of its own,
        - "expand", the operand with an axis of size 1 at its end,
        - "first", the first of its last axis.
    operands : tuple of int
        The numbers of the values that it is made of.
    dtype, shape
        Its own.
    option : object
        Of an input its name, of a constant or an argument the number, of an arange its end, of
        "first" the index, and the axis of a sum, an argmax, and of "expand".
    """

    operation: str
    operands: tuple[int, ...]
    dtype: DType
    shape: Shape
    option: Any = None


@dataclass(frozen=True)
class Program:
    """Values, each made of those before it, and which of them are the results."""

    values: tuple[Value, ...]
    results: tuple[int, ...]


def without_unused(values: list[Value], results: list[int]) -> Program:
    """The program of those values that the results are made of."""
    needed = set(results)
    for number in range(len(values) - 1, -1, -1):
        if number in needed:
            needed.update(values[number].operands)
    place = {number: n for n, number in enumerate(sorted(needed))}
    kept = [
        values[number]._replace(operands=tuple([place[o] for o in values[number].operands]))
        for number in place
    ]
    return Program(tuple(kept), tuple([place[number] for number in results]))


def is_total(value: Value) -> bool:
    """Whether it is the sum of all elements."""
    return value.operation == "sum" and value.option is None


def broadcast(shapes: list[Shape]) -> Shape:
    """The shape that these have together."""
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    return tuple(next((n for n in sizes if n != 1), 1) for sizes in zip(*padded, strict=True))


def class_of_row(program: Program, value: Value) -> int | None:
    """Of a `where` that chooses one class of each row by its number: that number; else None.

    Its mask compares the numbers of all classes with a whole number of each row.
    """
    if value.operation != "where":
        return None
    mask = program.values[value.operands[0]]
    if mask.operation != "equal" or mask.shape != value.shape or len(mask.shape) < 2:
        return None
    classes, number = (program.values[operand] for operand in mask.operands)
    whole = number.dtype.kind in "iu" and number.shape[-1:] == (1,)
    return mask.operands[1] if classes.operation == "arange" and whole else None


# --- cut at the sums of all -----------------------------------------------------------


def cut(program: Program) -> tuple[Program, Program, tuple[bool, ...], tuple[DType, ...]]:
    """The program up to its sums, and that of what is made of them.

    What is summed are the last results of the first, and the sums have no operands in the second.
    Of each result it is said whether the second gives it, and of each sum its dtype.
    """
    values = list(program.values)
    totals = [number for number, value in enumerate(values) if is_total(value)]
    late = set(totals)
    for number, value in enumerate(values):
        if late.intersection(value.operands):
            late.add(number)
    order = tuple([number in late for number in program.results])
    early = [number for number in program.results if number not in late]
    first = without_unused(values, early + [values[total].operands[0] for total in totals])
    sums_in = tuple([values[total].dtype for total in totals])
    for n, total in enumerate(totals):
        values[total] = Value("total", (), values[total].dtype, (), n)
    last = without_unused(values, [number for number in program.results if number in late])
    if any(value.shape for value in last.values) or any(map(is_total, first.values)):
        raise NotImplementedError("What is made of a sum of all has rank 0, and is summed no more.")
    return first, last, order, sums_in
