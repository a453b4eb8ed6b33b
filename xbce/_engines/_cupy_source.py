"""A recorded program as the source of CuPy's kernels.

A kernel is its lines, with a loop around them where something is summed: it then gives a sum for
each block of threads, and a second kernel, of one block, adds these up.
"""

from collections.abc import Sequence
from typing import NamedTuple

from xbce._engines._cupy_grid import THREADS, threads_of
from xbce._engines._cupy_lines import NUMBERS, Lines, type_of
from xbce._engines._cupy_rows import over_rows
from xbce._program import Program, Value
from xbce._typing import DType


class Source(NamedTuple):
    """What `cupy.ElementwiseKernel` takes, and the threads of a block if these are not CuPy's."""

    parameters: str
    results: str
    operation: str
    threads: int | None = None


def element_wise(program: Program) -> Source:
    """Over operands that CuPy broadcasts: the operands, then the arguments of the program."""
    lines = Lines(program, lambda name, value: f"in_{name}")
    body = [*lines.of(range(len(program.values))), *lines.stores(program.results, "")]
    return _source(lines, body, program.results)


def over_items(program: Program, numbers: frozenset[str], sums_in: Sequence[DType]) -> Source:
    """Over elements, or rows of classes; the last results are summed, each in one of these dtypes.

    Operands are arrays as long as the elements, or rows, or of rank 0, or `numbers`. Behind them
    and the arguments come the number of elements or rows, and, with classes, that of the threads
    that share a row. The first results of the kernel are the sums, one for each block.
    """
    classes = classes_of(program)

    def element_of(name: str, value: Value) -> str:
        if not value.shape:
            return _scalar(name, numbers)
        return f"in_{name}[j * {classes} + k]" if value.shape[-1] > 1 else f"in_{name}[j]"

    lines = Lines(program, element_of)
    number = len(program.results) - len(sums_in)
    kept, summed = program.results[:number], program.results[number:]
    # What is the same for all is computed once by each thread.
    same = [n for n, value in enumerate(program.values) if not value.shape]
    if classes > 1:
        body = over_rows(lines, classes, kept, summed)
    else:
        others = [n for n, value in enumerate(program.values) if value.shape]
        body = [_LOOP, *lines.of(others), *lines.stores(kept, "[j]"), *lines.adds(summed), "}"]
    threads = threads_of(classes)
    body = [_shared(threads), *_totals(sums_in), *lines.of(same), *body, *_sums_of_block(sums_in)]
    for n in range(len(sums_in)):
        body.append(f"if (threadIdx.x == 0) sums{n}[blockIdx.x] = total{n};")
    sizes = ["int64 count", "int32 width"][: 1 + (classes > 1)]
    return _source(lines, body, kept, threads, numbers, sizes, _sums(sums_in))


def of_totals(program: Program, numbers: frozenset[str], sums_in: Sequence[DType]) -> Source:
    """Of rank 0, for one block, which first adds up the sums of blocks.

    Behind the other operands and the arguments come these sums, and the number of blocks.
    """
    lines = Lines(program, lambda name, value: _scalar(name, numbers))
    body = [_shared(THREADS), *_totals(sums_in), _LOOP]
    body += [f"total{n} += sums{n}[j];" for n in range(len(sums_in))]
    body += ["}", *_sums_of_block(sums_in), "if (threadIdx.x == 0) {"]
    body += [*lines.of(range(len(program.values))), *lines.stores(program.results, "[0]"), "}"]
    sizes = [*_sums(sums_in), "int64 count"]
    return _source(lines, body, program.results, THREADS, numbers, sizes)


_LOOP = "for (ptrdiff_t j = i; j < count; j += _ind.size()) {"


def _shared(threads: int) -> str:
    """The memory of a block: room for a value and a place of each thread."""
    return f"__shared__ long long shared[{2 * threads}];"


def _scalar(name: str, numbers: frozenset[str]) -> str:
    """An operand of rank 0: a parameter by value where it is a number, else an array."""
    return f"in_{name}" if name in numbers else f"in_{name}[0]"


def _sums(dtypes: Sequence[DType]) -> list[str]:
    """The parameters of the sums of blocks, which one kernel gives and the other takes."""
    return [f"raw {dtype.name} sums{n}" for n, dtype in enumerate(dtypes)]


def _totals(dtypes: Sequence[DType]) -> list[str]:
    return [f"{type_of(dtype)} total{n} = 0;" for n, dtype in enumerate(dtypes)]


def _sums_of_block(dtypes: Sequence[DType]) -> list[str]:
    whole = "shared, threadIdx.x, blockDim.x"
    return [f"total{n} = xbce_sum(total{n}, {whole});" for n in range(len(dtypes))]


def _source(
    lines: Lines,
    body: list[str],
    kept: Sequence[int],
    threads: int | None = None,
    numbers: frozenset[str] = frozenset(),
    sizes: Sequence[str] = (),
    sums: Sequence[str] = (),
) -> Source:
    values, kind = lines.program.values, "raw " if threads else ""
    parameters = []
    for value in values:
        if value.operation == "input":
            own = "" if value.option in numbers else kind
            parameters.append(f"{own}{value.dtype.name} in_{value.option}")
    for number, value in enumerate(values):
        if value.operation == "argument":
            parameters.append(f"{value.dtype.name} {lines.reference(number)}")
    results = [f"{kind}{values[r].dtype.name} out{n}" for n, r in enumerate(kept)]
    operation = "\n".join(body)
    return Source(
        ", ".join([*parameters, *sizes]), ", ".join([*sums, *results]), operation, threads
    )


def classes_of(program: Program) -> int:
    """The size of the axis of classes; 1 where there is none."""
    return max([1, *[n for value in program.values for n in value.shape]])


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
