"""A recorded program as the source of CuPy's kernels.

What is computed element by element, or once for each row of classes, is a line of C each. Where
there are classes, some threads share a row. They go through it once for each sum or maximum of it
that needs another one before it, and compute again what they need of it, so that nothing as long as
a row is kept. A sum of all ends in one number for each block of threads.
"""

from collections.abc import Sequence
from typing import NamedTuple

from xbce._engines._cupy_lines import NUMBERS, Lines, type_of
from xbce._program import Program, Value, class_of_row
from xbce._typing import DType

THREADS = 256
"""Of a block that sums: so many can run however many registers each of them needs."""


class Source(NamedTuple):
    """What `cupy.ElementwiseKernel` takes."""

    parameters: str
    results: str
    operation: str


def element_wise(program: Program) -> Source:
    """Over operands that CuPy broadcasts: the operands, then the arguments of the program."""
    lines = Lines(program, lambda name, value: f"in_{name}")
    body = [*lines.of(range(len(program.values))), *_stores(lines, program.results, "")]
    return _source(lines, body, program.results, raw=False)


def over_items(program: Program, numbers: frozenset[str], sums_in: Sequence[DType]) -> Source:
    """Over elements, or rows of classes; the last results are summed, each in one of these dtypes.

    Operands are arrays as long as the elements, or rows, or of rank 0, or `numbers`. Behind them
    and the arguments come the number of elements or rows, and, with classes, that of the threads
    that share a row. The first results of the kernel are the sums, one for each block.
    """
    classes = classes_of(program)

    def element_of(name: str, value: Value) -> str:
        if not value.shape:
            return f"in_{name}" if name in numbers else f"in_{name}[0]"
        return f"in_{name}[j * {classes} + k]" if value.shape[-1] > 1 else f"in_{name}[j]"

    lines = Lines(program, element_of)
    number = len(program.results) - len(sums_in)
    kept, summed = program.results[:number], program.results[number:]
    if classes > 1:
        body = _over_rows(lines, classes, kept, summed)
    else:
        body = ["for (ptrdiff_t j = i; j < count; j += _ind.size()) {"]
        body += [*lines.of(range(len(program.values))), *_stores(lines, kept, "[j]")]
        body += [*_adds(lines, summed), "}"]
    body = [_SHARED, *_totals(sums_in), *body, *_sums_of_block(sums_in)]
    for n in range(len(sums_in)):
        body.append(f"if (threadIdx.x == 0) sums{n}[blockIdx.x] = total{n};")
    sizes = ["int64 count", "int32 width"][: 1 + (classes > 1)]
    sums = [f"raw {dtype.name} sums{n}" for n, dtype in enumerate(sums_in)]
    return _source(lines, body, kept, numbers, sizes, sums)


def of_totals(program: Program, numbers: frozenset[str], sums_in: Sequence[DType]) -> Source:
    """Of rank 0, for one block, which first adds up the sums of blocks as "total0" and so on.

    Behind the other operands and the arguments come these sums, and the number of blocks.
    """

    def element_of(name: str, value: Value) -> str:
        if is_of_total(value):
            return name
        return f"in_{name}" if name in numbers else f"in_{name}[0]"

    lines = Lines(program, element_of)
    body = [_SHARED, *_totals(sums_in), "for (ptrdiff_t j = i; j < count; j += _ind.size()) {"]
    body += [f"total{n} += sums{n}[j];" for n in range(len(sums_in))]
    body += ["}", *_sums_of_block(sums_in), "if (threadIdx.x == 0) {"]
    body += [*lines.of(range(len(program.values))), *_stores(lines, program.results, "[0]"), "}"]
    sums = [f"raw {dtype.name} sums{n}" for n, dtype in enumerate(sums_in)]
    return _source(lines, body, program.results, numbers, [*sums, "int64 count"])


def is_of_total(value: Value) -> bool:
    """Whether it is an input that the kernel itself adds up."""
    return value.operation == "input" and value.option.startswith(TOTAL)


TOTAL = "total"

_SHARED = f"__shared__ long long shared[{2 * THREADS}];"


def _totals(dtypes: Sequence[DType]) -> list[str]:
    return [f"{type_of(dtype)} total{n} = 0;" for n, dtype in enumerate(dtypes)]


def _sums_of_block(dtypes: Sequence[DType]) -> list[str]:
    whole = "shared, threadIdx.x, blockDim.x"
    return [f"total{n} = xbce_sum(total{n}, {whole});" for n in range(len(dtypes))]


def _stores(lines: Lines, results: Sequence[int], place: str) -> list[str]:
    return [f"out{n}{place} = {lines.reference(r)};" for n, r in enumerate(results)]


def _adds(lines: Lines, summed: Sequence[int]) -> list[str]:
    return [f"total{n} += {lines.reference(number)};" for n, number in enumerate(summed)]


def _source(
    lines: Lines,
    body: list[str],
    kept: Sequence[int],
    numbers: frozenset[str] = frozenset(),
    sizes: Sequence[str] = (),
    sums: Sequence[str] = (),
    raw: bool = True,
) -> Source:
    values, kind = lines.program.values, "raw " if raw else ""
    parameters = []
    for value in values:
        if value.operation == "input" and not is_of_total(value):
            own = "" if value.option in numbers else kind
            parameters.append(f"{own}{value.dtype.name} in_{value.option}")
    parameters += [f"{values[n].dtype.name} {lines.reference(n)}" for n in lines.arguments]
    results = [f"{kind}{values[r].dtype.name} out{n}" for n, r in enumerate(kept)]
    return Source(", ".join([*parameters, *sizes]), ", ".join([*sums, *results]), "\n".join(body))


# --- rows of classes --------------------------------------------------------------


def classes_of(program: Program) -> int:
    """The size of the axis of classes; 1 where there is none."""
    return max([1, *[n for value in program.values for n in value.shape]])


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

    def is_long(self, number: int) -> bool:
        """Whether a value is one of each class."""
        return self.values[number].shape[-1:] == (self.classes,)

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
                if not self.is_long(number) and not self._goes_through(number):
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
                before.append(f"{own} best{number} = -xbce_inf<{own}>();")
                before.append(f"long long place{number} = {self.classes};")
                within.append(f"if (xbce_exceeds({each}, k, {best})) {{")
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


_SHARING = "memory, lane, width"


def _over_rows(lines: Lines, classes: int, kept: Sequence[int], summed: Sequence[int]) -> list[str]:
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
        body += [*_adds(lines, summed), "}"]
    return [*body, "}"]


# --- what the threads of a row or a block do together --------------------------------

PREAMBLE = (
    NUMBERS
    + """
// The sum of a value of each thread that shares a row, or of those of a block; all of them get it.
// Their number is a power of two. The first barrier waits until what an earlier call has left in
// the memory is read.
template <typename T> __device__ T xbce_sum(T value, long long* memory, int lane, int width) {
  if (width == 1) return value;
  T* values = (T*)memory;
  __syncthreads();
  values[lane] = value;
  for (int n = width / 2; n > 0; n /= 2) {
    __syncthreads();
    if (lane < n) values[lane] += values[lane + n];
  }
  __syncthreads();
  return values[0];
}

// Whether a comes before b as the largest: NaN before any number, of equals the first, as in NumPy.
template <typename T> __device__ bool xbce_exceeds(T a, long long i, T b, long long j) {
  if (a != a || b != b) return a != a && (b == b || i < j);
  return a > b || (a == b && i < j);
}

// The place of the largest, likewise.
template <typename T>
__device__ long long xbce_argmax(T best, long long place, long long* memory, int lane, int width) {
  if (width == 1) return place;
  T* values = (T*)memory;
  long long* places = memory + width;
  __syncthreads();
  values[lane] = best;
  places[lane] = place;
  for (int n = width / 2; n > 0; n /= 2) {
    __syncthreads();
    if (lane < n && xbce_exceeds(values[lane + n], places[lane + n], values[lane], places[lane])) {
      values[lane] = values[lane + n];
      places[lane] = places[lane + n];
    }
  }
  __syncthreads();
  return places[0];
}
"""
)
