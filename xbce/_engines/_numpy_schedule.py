"""In which order the values of a program are computed, and where they lie.

Of `where(condition, a, b)`, what only `a` needs is computed where the condition holds somewhere:
a guard for infinite logits costs a look at its condition. Of a condition `p & q` q is looked at
first, since formulas have what is rarer on the right. A value whose last use is past leaves its
buffer to the next.
"""

from typing import Any, NamedTuple

import numpy as np

from xbce._program import VIEWS, Program, Value, is_total
from xbce._typing import Shape

# --- which operations, in which order ---------------------------------------------


class Line(NamedTuple):
    """The call that computes a value, or, before a `where`, how many calls it may spare."""

    number: int
    skips: int = 0


class Order:
    """The lines of a program.

    Attributes
    ----------
    lines : list of Line
        In the order that they are run in.
    lazy : set of int
        The values whose calls may be skipped, where another stands for them.
    """

    def __init__(self, program: Program) -> None:
        self.values, self.results = program.values, program.results
        self.users: list[list[int]] = [[] for _ in self.values]
        for number, value in enumerate(self.values):
            for operand in value.operands:
                self.users[operand].append(number)
        self.lines: list[Line] = []
        self.lazy: set[int] = set()
        self._done = {n for n, value in enumerate(self.values) if value.operation in _AT_HAND}
        for result in self.results:
            self._compute(result)

    def over(self) -> dict[int, int]:
        """Of each value that lies in the place of another: that other."""
        found = {}
        for number, value in enumerate(self.values):
            if value.operation in VIEWS:
                found[number] = value.operands[0]
            elif (value.operation == "pick" or number in self.lazy) and self.becomes(number):
                found[number] = value.operands[2]
        return found

    def becomes(self, number: int) -> bool:
        """Whether a choice may be written over its other value, which nobody else wants."""
        other = self.values[number].operands[2]
        alone = self.users[other] == [number] and other not in self.results
        return alone and self.values[other].operation not in (*_AT_HAND, *VIEWS)

    def _compute(self, number: int) -> None:
        """Add the line of a value and those of all that it needs, unless they are there."""
        if number in self._done:
            return
        self._done.add(number)
        if self._may_skip(number):
            self._compute_lazily(number)
            return
        for operand in self.values[number].operands:
            self._compute(operand)
        self.lines.append(Line(number))

    def _may_skip(self, number: int) -> bool:
        """Whether the value is one of two, and the other may stand for it as it is."""
        value = self.values[number]
        if value.operation != "where":
            return False
        other = self.values[value.operands[2]]
        if other.shape != value.shape or other.operation == "constant":
            return False
        # A result must come to lie in its own place.
        return number not in self.results or (self.becomes(number) and other.operation != "where")

    def _compute_lazily(self, number: int) -> None:
        condition, chosen, other = self.values[number].operands
        first = tested(self.values, condition)
        self._compute(other)
        self._compute(first)
        needed = self._all_of([condition, chosen])
        inside = self._for_nobody_else(number, needed, [other, first])
        for operand in sorted(needed - inside):
            self._compute(operand)
        place = len(self.lines)
        for operand in sorted(inside):
            self._compute(operand)
        self.lines.append(Line(number))
        self.lines.insert(place, Line(number, len(self.lines) - place))
        self.lazy.add(number)

    def _all_of(self, numbers: list[int]) -> set[int]:
        """These values and all that they are made of."""
        found: set[int] = set()
        while numbers:
            number = numbers.pop()
            if number not in found:
                found.add(number)
                numbers.extend(self.values[number].operands)
        return found

    def _for_nobody_else(self, user: int, needed: set[int], apart: list[int]) -> set[int]:
        """Those of the values that are needed by this user only, by way of each other."""
        inside: set[int] = set()
        for number in sorted(needed - self._done, reverse=True):
            alone = all(u == user or u in inside for u in self.users[number])
            if alone and number not in apart and number not in self.results:
                inside.add(number)
        return inside


_AT_HAND = ("input", "constant", "arange")


def tested(values: tuple[Value, ...], condition: int) -> int:
    """What of a condition is looked at first."""
    value = values[condition]
    return value.operands[1] if value.operation == "bitwise_and" else condition


# --- where results lie ------------------------------------------------------------

Kind = tuple[Any, Shape]
NOWHERE = -1


def places(program: Program, order: Order) -> tuple[dict[int, int], list[Kind]]:
    """The target of each value, an output or after these a buffer; and the buffers."""
    values, lines = program.values, order.lines
    outputs = [number for number in program.results if not is_total(values[number])]
    over = order.over()
    last = _last_lines(program, order, outputs)
    place: dict[int, int] = {}
    for output, number in enumerate(outputs):
        while number not in place:
            place[number] = output
            number = _written_over(values, order, last, over, number)
    ends: dict[int, list[int]] = {}
    for number, line in last.items():
        if number not in over:  # else its place is that of another
            ends.setdefault(line, []).append(number)
    buffers: list[Kind] = []
    free: dict[Kind, list[int]] = {}
    for now, (number, skips) in enumerate(lines):
        kind = _kind(values[number])
        spent = [n for n in ends.get(now, ()) if place.get(n, NOWHERE) >= len(outputs)]
        if _is_element_wise(values[number]):  # it may write over what it reads
            _give_back(free, values, place, spent)
        if not skips and number not in place and not is_total(values[number]):
            if number in over and values[number].operation in VIEWS:
                place[number] = NOWHERE
            elif number in over and place.get(over[number], NOWHERE) != NOWHERE:
                place[number] = place[over[number]]
            elif number in order.lazy:  # a guard, which nearly never needs an array of its own
                place[number] = NOWHERE
            else:
                if not free.get(kind):
                    free[kind] = [len(outputs) + len(buffers)]
                    buffers.append(kind)
                place[number] = free[kind].pop()
        if not _is_element_wise(values[number]):
            _give_back(free, values, place, spent)
    return place, buffers


def _kind(value: Value) -> Kind:
    return value.dtype, value.shape


def _is_element_wise(value: Value) -> bool:
    return isinstance(getattr(np, value.operation, None), np.ufunc)


def _last_lines(program: Program, order: Order, outputs: list[int]) -> dict[int, int]:
    """The last line for which the place of each value must be kept."""
    values, lines = program.values, order.lines
    last = dict.fromkeys(outputs, len(lines))
    for now, line in enumerate(lines):
        for operand in values[line.number].operands:
            last[operand] = max(now, last.get(operand, 0))
    # What another value stands for is needed as long as that.
    stands = order.over() | {n: values[n].operands[2] for n in order.lazy}
    for number, other in sorted(stands.items(), reverse=True):
        last[other] = max(last.get(other, 0), last.get(number, 0))
    return last


def _written_over(
    values: tuple[Value, ...],
    order: Order,
    last: dict[int, int],
    over: dict[int, int],
    number: int,
) -> int:
    """The value whose place a value may take; itself if there is none."""
    if number in over:
        return over[number]
    value, line = values[number], order.lines.index(Line(number))
    for operand in value.operands if _is_element_wise(value) else ():
        same = _is_element_wise(values[operand]) and _kind(values[operand]) == _kind(value)
        if same and last[operand] == line:
            return operand
    return number


def _give_back(
    free: dict[Kind, list[int]],
    values: tuple[Value, ...],
    place: dict[int, int],
    spent: list[int],
) -> None:
    for number in spent:
        free.setdefault(_kind(values[number]), []).append(place[number])
