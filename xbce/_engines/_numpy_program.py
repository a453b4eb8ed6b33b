"""A recorded program as calls of NumPy's functions, into buffers that serve one block after another.

Of `where(condition, a, b)`, what only `a` needs is computed where the condition holds somewhere:
a guard for infinite logits costs a look at its condition. Of a condition `p & q` q is looked at
first, since formulas have what is rarer on the right.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xbce._program import Program, Value
from xbce._typing import Shape

_Array = NDArray[Any]


class _Call(NamedTuple):
    """``values[result] = function(*operands, target)``."""

    function: Callable[..., Any]
    operands: tuple[int, ...]
    result: int
    target: int


class _Skip(NamedTuple):
    """Where the condition holds nowhere, the result is the other value, and the next calls go."""

    condition: int
    other: int
    result: int
    calls: int


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
        values = program.values
        self.results = [values[number] for number in program.results]
        self._numbers = program.results
        order = _Order(program)
        targets, self.buffers = _places(program, order)
        self._code: list[_Call | _Skip] = []
        for line in order.lines:
            value = values[line.number]
            if line.skips:
                condition, _, other = value.operands
                tested = _tested(values, condition)
                self._code.append(_Skip(tested, other, line.number, line.skips))
            else:
                call = _call(values, value)
                self._code.append(_Call(*call, line.number, targets.get(line.number, _NOWHERE)))
        self._inputs = [(n, v.option) for n, v in enumerate(values) if v.operation == "input"]
        self._start: list[Any] = [None] * len(values)
        for number, value in enumerate(values):
            if value.operation == "constant":
                self._start[number] = value.dtype.type(value.option)
            elif value.operation == "arange":
                self._start[number] = np.arange(value.option, dtype=value.dtype)

    def run(
        self, operands: dict[str, Any], outputs: Sequence[_Array], buffers: Sequence[_Array]
    ) -> list[Any]:
        """The results of a block: sums of all as numbers, the others in the outputs."""
        values = self._start.copy()
        for number, name in self._inputs:
            values[number] = operands[name]
        targets = (*outputs, *buffers, None)
        code, place, end = self._code, 0, len(self._code)
        while place < end:
            line = code[place]
            place += 1
            if type(line) is _Call:
                function, used, result, target = line
                values[result] = function(*[values[number] for number in used], targets[target])
            elif not values[line.condition].any():
                values[line.result] = values[line.other]
                place += line.calls
        return [values[number] for number in self._numbers]


def is_total(value: Value) -> bool:
    """Whether it is the sum of all elements."""
    return value.operation == "sum" and value.option is None


# --- which operations, in which order ---------------------------------------------


class _Line(NamedTuple):
    """The call that computes a value, or, before a `where`, how many calls it may spare."""

    number: int
    skips: int = 0


class _Order:
    """The lines of a program.

    Attributes
    ----------
    lines : list of _Line
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
        self.lines: list[_Line] = []
        self.lazy: set[int] = set()
        self._done = {n for n, value in enumerate(self.values) if value.operation in _AT_HAND}
        for result in self.results:
            self._compute(result)

    def becomes(self, number: int) -> bool:
        """Whether a `where` may be written over its other value, which nobody else wants."""
        other = self.values[number].operands[2]
        alone = self.users[other] == [number] and other not in self.results
        return alone and self.values[other].operation not in (*_AT_HAND, "expand")

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
        self.lines.append(_Line(number))

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
        tested = _tested(self.values, condition)
        self._compute(other)
        self._compute(tested)
        needed = self._all_of([condition, chosen])
        inside = self._for_nobody_else(number, needed, [other, tested])
        for operand in sorted(needed - inside):
            self._compute(operand)
        place = len(self.lines)
        for operand in sorted(inside):
            self._compute(operand)
        self.lines.append(_Line(number))
        self.lines.insert(place, _Line(number, len(self.lines) - place))
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


def _tested(values: tuple[Value, ...], condition: int) -> int:
    """What of a condition is looked at first."""
    value = values[condition]
    return value.operands[1] if value.operation == "bitwise_and" else condition


# --- where results lie ------------------------------------------------------------

_Kind = tuple[Any, Shape]
_NOWHERE = -1


def _places(program: Program, order: _Order) -> tuple[dict[int, int], list[_Kind]]:
    """The target of each value, an output or after these a buffer; and the buffers."""
    values, lines = program.values, order.lines
    outputs = [number for number in program.results if not is_total(values[number])]
    over = {n: v.operands[0] for n, v in enumerate(values) if v.operation == "expand"}
    over |= {n: values[n].operands[2] for n in order.lazy if order.becomes(n)}
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
    buffers: list[_Kind] = []
    free: dict[_Kind, list[int]] = {}
    for now, (number, skips) in enumerate(lines):
        kind = _kind(values[number])
        spent = [n for n in ends.get(now, ()) if place.get(n, _NOWHERE) >= len(outputs)]
        if _is_element_wise(values[number]):  # it may write over what it reads
            _give_back(free, values, place, spent)
        if not skips and number not in place and not is_total(values[number]):
            if number in over:
                place[number] = place.get(over[number], _NOWHERE)
            elif number in order.lazy:  # a guard, which nearly never needs an array of its own
                place[number] = _NOWHERE
            else:
                if not free.get(kind):
                    free[kind] = [len(outputs) + len(buffers)]
                    buffers.append(kind)
                place[number] = free[kind].pop()
        if not _is_element_wise(values[number]):
            _give_back(free, values, place, spent)
    return place, buffers


def _kind(value: Value) -> _Kind:
    return value.dtype, value.shape


def _is_element_wise(value: Value) -> bool:
    return isinstance(getattr(np, value.operation, None), np.ufunc)


def _last_lines(program: Program, order: _Order, outputs: list[int]) -> dict[int, int]:
    """The last line for which the place of each value must be kept."""
    values, lines = program.values, order.lines
    last = dict.fromkeys(outputs, len(lines))
    for now, line in enumerate(lines):
        for operand in values[line.number].operands:
            last[operand] = max(now, last.get(operand, 0))
    # What another value stands for is needed as long as that.
    stands = {n: values[n].operands[2] for n in order.lazy}
    stands |= {n: v.operands[0] for n, v in enumerate(values) if v.operation == "expand"}
    for number, other in sorted(stands.items(), reverse=True):
        last[other] = max(last.get(other, 0), last.get(number, 0))
    return last


def _written_over(
    values: tuple[Value, ...],
    order: _Order,
    last: dict[int, int],
    over: dict[int, int],
    number: int,
) -> int:
    """The value whose place a value may take; itself if there is none."""
    if number in over:
        return over[number]
    value, line = values[number], order.lines.index(_Line(number))
    for operand in value.operands if _is_element_wise(value) else ():
        same = _is_element_wise(values[operand]) and _kind(values[operand]) == _kind(value)
        if same and last[operand] == line:
            return operand
    return number


def _give_back(
    free: dict[_Kind, list[int]],
    values: tuple[Value, ...],
    place: dict[int, int],
    spent: list[int],
) -> None:
    for number in spent:
        free.setdefault(_kind(values[number]), []).append(place[number])


# --- what computes them -----------------------------------------------------------


def _call(values: tuple[Value, ...], value: Value) -> tuple[Callable[..., Any], tuple[int, ...]]:
    """The function of a value, whose last argument is the target, and its operands."""
    function, operands = _FUNCTIONS.get(value.operation), value.operands
    if value.operation == "sum":
        return _sum(value.option, value.dtype), operands
    if value.operation == "pow" and values[operands[1]].operation == "constant":
        # As the operator of NumPy does it.
        quicker = _POWERS.get(values[operands[1]].option)
        if quicker is not None:
            return quicker, operands[:1]
    return function or getattr(np, value.operation), operands


_POWERS = {0.5: np.sqrt, 1.0: np.positive, 2.0: np.square}


def _sum(axis: int | None, dtype: Any) -> Callable[..., Any]:
    def add(array: _Array, target: _Array) -> Any:
        return np.add.reduce(array, axis=axis, dtype=dtype, out=target)

    return add


def _astype(array: _Array, target: _Array) -> _Array:
    np.copyto(target, array, casting="unsafe")
    return target


def _where(condition: _Array, a: Any, b: Any, target: _Array | None) -> _Array:
    if target is None:
        return np.where(condition, a, b)
    if np.count_nonzero(condition) << RARE < condition.size or not _choose(condition, a, b, target):
        if b is not target:
            np.copyto(target, b)
        np.copyto(target, a, where=condition)
    return target


RARE = 5
"""Of how many elements, as a power of 2, one must be chosen for bits to be quicker."""
PIECE = 2**15
"""Elements whose bits are chosen at a time."""


def _choose(condition: _Array, a: Any, b: Any, target: _Array) -> bool:
    """Choose bit by bit, where arrays lie so that it is quick.

    A branch for each element is guessed wrong where the condition is random, as hard labels make
    it. This needs none: b ^ ((a ^ b) & -1) is a, and with 0 in the place of -1 it is b.
    """
    integer = _INTEGERS.get(target.itemsize)
    flat = []
    for array in (condition, a, b, target):
        array = array.view(np.int8 if array is condition else integer)
        if array.ndim and not (array.shape == target.shape and array.flags.c_contiguous):
            return False
        flat.append(array.reshape(-1) if array.ndim else array)
    chosen, a, b, target = flat
    if integer is None or chosen.ndim == 0:
        return False
    mask, bits = np.empty(PIECE, integer), np.empty(PIECE, integer)
    for start in range(0, target.size, PIECE):
        part = slice(start, start + PIECE)
        first, second = (o[part] if o.ndim else o for o in (a, b))
        place = target[part]
        ones, differ = mask[: place.size], bits[: place.size]
        np.copyto(ones, chosen[part])
        np.negative(ones, out=ones)
        np.bitwise_xor(first, second, out=differ)
        np.bitwise_and(differ, ones, out=differ)
        np.bitwise_xor(second, differ, out=place)
    return True


_INTEGERS = {2: np.int16, 4: np.int32, 8: np.int64}


def _expand(array: _Array, target: None) -> _Array:
    return array[..., None]


def _argmax(array: _Array, target: _Array) -> _Array:
    return np.argmax(array, axis=-1, out=target)


def _take_along_axis(array: _Array, indices: _Array, target: _Array) -> _Array:
    target[...] = np.take_along_axis(array, indices, axis=-1)
    return target


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "astype": _astype,
    "where": _where,
    "expand": _expand,
    "argmax": _argmax,
    "take_along_axis": _take_along_axis,
}
