"""A recorded program over rows of classes, each of which some threads share.

They go through a row once for each sum or maximum of it that needs another one before it, and
compute again what they need of it: so nothing as long as a row is kept.
"""

from collections.abc import Sequence

from xbce._engines._cupy_lines import Lines, type_of
from xbce._program import Value, class_of_row


def over_rows(lines: Lines, classes: int, kept: Sequence[int], summed: Sequence[int]) -> list[str]:
    """The loop over the rows of a block, and in it those over the classes of a row."""
    rows = _Rows(lines, classes)
    if any(rows.is_long(number) for number in summed):
        raise NotImplementedError("What is summed is one of each row.")
    body = [
        "const int lane = threadIdx.x % width, rows = blockDim.x / width;",
        "long long* memory = shared + 2 * (threadIdx.x - lane);",
        "for (ptrdiff_t first = blockIdx.x * rows; first < count; first += gridDim.x * rows) {",
        # All threads take part in the sums: behind the end they do the last row again.
        "const bool own = first + threadIdx.x / width < count;",
        "const ptrdiff_t j = own ? first + threadIdx.x / width : count - 1;",
        *rows.of_rows(),
    ]
    long = {n: number for n, number in enumerate(kept) if rows.is_long(number)}
    short = {n: number for n, number in enumerate(kept) if n not in long}
    if long:
        body += ["if (own)", rows.loop, *rows.along(list(long.values()))]
        body += [f"out{n}[j * {classes} + k] = {lines.reference(r)};" for n, r in long.items()]
        body += ["}"]
    if short or summed:
        body += ["if (own && lane == 0) {"]
        body += [f"out{n}[j] = {lines.reference(r)};" for n, r in short.items()]
        body += [*lines.adds(summed), "}"]
    return [*body, "}"]


_SHARING = "memory, lane, width"


class _Rows:
    """The lines of a program that works along rows.

    What is one of each row is computed by all threads that share the row. Its level is the number
    of times that they must have gone through the row before.
    """

    def __init__(self, lines: Lines, classes: int) -> None:
        self.lines, self.classes = lines, classes
        self.values = lines.program.values
        if any(len(value.shape) > 2 for value in self.values):
            raise NotImplementedError("Rows have one axis of classes.")
        self.taken = {n: self._one_class(value) for n, value in enumerate(self.values)}
        self.levels: list[int] = []
        for number, value in enumerate(self.values):
            needed = self.taken[number] or value.operands
            level = max([self.levels[operand] for operand in needed], default=0)
            self.levels.append(level + self._goes_through(number))
            if self._goes_through(number) and not value.shape:
                raise NotImplementedError("What is summed or compared is of a row.")

    def is_long(self, number: int) -> bool:
        """Whether a value is one of each class."""
        return self.values[number].shape[-1:] == (self.classes,)

    def is_of_rows(self, number: int) -> bool:
        """Whether a value is one of each row, and not the same for all."""
        return self.values[number].shape != () and not self.is_long(number)

    def _one_class(self, value: Value) -> tuple[int, int] | None:
        """Of a sum of one class of each row: the value that is summed, and which class."""
        if value.operation != "sum" or value.option != -1:
            return None
        where = self.values[value.operands[0]]
        number = class_of_row(self.lines.program, where)
        if number is None or where.dtype != value.dtype:
            return None
        chosen, others = where.operands[1:]
        nothing = self.values[others].operation == "constant" and self.values[others].option == 0
        return (chosen, number) if nothing and self.is_long(chosen) else None

    def _goes_through(self, number: int) -> bool:
        """Whether it takes a loop over the classes."""
        value = self.values[number]
        along = value.operation in ("sum", "argmax") and value.option == -1
        return along and self.taken[number] is None and self.is_long(value.operands[0])

    def of_rows(self) -> list[str]:
        """The lines of what is one of each row."""
        body: list[str] = []
        for level in range(max(self.levels) + 1):
            own = [n for n in range(len(self.values)) if self.levels[n] == level]
            body += self._loop([n for n in own if self._goes_through(n)])
            for number in own:
                if self.is_of_rows(number) and not self._goes_through(number):
                    body += self._of_row(number)
        return body

    def _of_row(self, number: int) -> list[str]:
        value, taken = self.values[number], self.taken[number]
        if taken is not None:
            chosen, place = taken[0], self.lines.reference(taken[1])
            return [
                f"{type_of(value.dtype)} v{number} = 0;",
                f"if ({place} >= 0 && {place} < {self.classes}) {{",
                f"const ptrdiff_t k = {place};",
                *self.along([chosen]),
                f"v{number} = {self.lines.reference(chosen)};",
                "}",
            ]
        if value.operation == "first" and self.is_long(value.operands[0]):
            raise NotImplementedError("Of long rows no class is the first.")
        return self.lines.of([number])

    def along(self, numbers: Sequence[int]) -> list[str]:
        """The lines that these need of what is one of each class, at class k."""
        needed: set[int] = set()
        open_ends = list(numbers)
        while open_ends:
            number = open_ends.pop()
            if self.is_long(number) and number not in needed:
                needed.add(number)
                open_ends += self.values[number].operands
        return self.lines.of(sorted(needed))

    def _loop(self, numbers: Sequence[int]) -> list[str]:
        """The sums and maxima of one level."""
        before, within, after = [], [], []
        for number in numbers:
            value, type_ = self.values[number], type_of(self.values[number].dtype)
            (operand,) = value.operands
            each, own = self.lines.reference(operand), type_of(self.values[operand].dtype)
            if value.operation == "sum":
                before.append(f"{type_} sum{number} = 0;")
                within.append(f"sum{number} += {each};")
                after.append(f"const {type_} v{number} = xbce_sum(sum{number}, {_SHARING});")
            else:
                best = f"best{number}, place{number}"
                before.append(f"{own} best{number} = 0;")  # each thread has a class to begin with
                before.append(f"long long place{number} = {self.classes};")
                within.append(f"if (k == lane || xbce_exceeds({each}, k, {best})) {{")
                within.append(f"best{number} = {each}; place{number} = k; }}")
                after.append(f"const {type_} v{number} = xbce_argmax({best}, {_SHARING});")
        if not numbers:
            return []
        operands = [self.values[number].operands[0] for number in numbers]
        return [*before, self.loop, *self.along(operands), *within, "}", *after]

    @property
    def loop(self) -> str:
        """The beginning of a loop over the classes of a row."""
        return f"for (long long k = lane; k < {self.classes}; k += width) {{"
