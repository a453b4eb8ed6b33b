"""CuPy: the recorded formula as one kernel, and its sum as one more.

`cupy.fuse` does not serve. A sum in it runs on one block of the device, and the compiler may round
a product and a sum once, where the formula relies on the rounding of each. Here a kernel is an
`ElementwiseKernel` of the recorded program, whose numbers are its arguments; docs/measurements.md
says more.
"""

import re
from dataclasses import replace
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import cupy
import numpy as np

from xbce._engines._cupy_grid import grid_of, registers_of
from xbce._engines._cupy_source import (
    PREAMBLE,
    Source,
    classes_of,
    element_wise,
    of_totals,
    over_items,
)
from xbce._numbers import Argument, is_number
from xbce._program import Program, Value, cut
from xbce._recipe import Recipe
from xbce._recorder import REFUSALS, record
from xbce._steps import Step, StepName, compose
from xbce._typing import Array, DType, Namespace, Operands, Results, Shape


def run(recipe: Recipe, xp: Namespace, operands: Operands) -> Results:
    """The results, by the current stream."""

    def execute_step(name: StepName, operands: Operands) -> Results:
        return execute(Step(recipe, name), xp, operands)

    return compose(recipe, xp, operands, execute_step, at_once=True)


def execute(step: Step, xp: Namespace, operands: Operands) -> Results:
    """One step."""
    given = _given(step, operands)
    kernels = _kernels(step, given.inputs, given.numbers)
    return step(xp, operands) if kernels is None else kernels.run(given)


# --- what a step is given -----------------------------------------------------------

_ARRAYS = ("labels", "logits")
_OF_EACH = (*_ARRAYS, "weights", "mask")
_Inputs = tuple[tuple[str, DType, Shape | None], ...]
_Numbers = tuple[tuple[str, float, str], ...]


class _Given(NamedTuple):
    """The operands of a step, and the shape of what it goes through.

    `inputs` are those of its program, where a number, which may be another with each call, has no
    shape; `numbers` are the others.
    """

    operands: Operands
    loop: tuple[int, ...]
    inputs: _Inputs
    numbers: _Numbers


def _given(step: Step, operands: Operands) -> _Given:
    recipe, found = step.recipe, dict(operands)
    loop = ()
    if step.of_rank_0:
        found = {n: o for n, o in operands.items() if n not in _ARRAYS and not np.ndim(o)}
    else:
        loop = recipe.shape(operands)
    if step.name == "denominator":  # a weight is counted once, however often it is repeated
        shapes = [o.shape for name, o in operands.items() if name != "logits" and np.ndim(o)]
        counted = np.broadcast_shapes(*shapes)
        if counted != loop:
            found["repeats"] = prod(loop) / max(prod(counted), 1)
        loop = counted
    of_losses = recipe.dtype if recipe.weighs_each else recipe.sums_in
    changing = {"share": recipe.dtype, "weights": of_losses}
    changing |= dict.fromkeys(("denominator", "repeats"), recipe.sums_in)
    inputs: list[tuple[str, DType, Shape | None]] = []
    numbers: list[tuple[str, float, str]] = []
    for name, operand in found.items():
        if not is_number(operand):
            inputs.append((name, operand.dtype, _shape(step, name, operand)))
        elif name in changing:
            inputs.append((name, np.dtype(changing[name]), None))
        else:
            numbers.append((name, operand, str(operand)))  # -0.0 equals 0.0
    return _Given(found, loop, tuple(inputs), tuple(numbers))


def _shape(step: Step, name: str, operand: Array) -> Shape:
    """The shape for a recorder, which is to know of the size of no axis but that of classes.

    Weights of rank 0 are those of each loss too, else they would be counted once.
    """
    if name in _OF_EACH or operand.ndim:
        return (-1, operand.shape[-1]) if step.recipe.has_classes(name) else (-1,)
    return ()


# --- its kernels ----------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _kernels(step: Step, inputs: _Inputs, numbers: _Numbers) -> "_Kernels | None":
    """The kernels of a step; None where it does what can not be recorded, or said in C."""
    try:
        return _Kernels(step, _recorded(step, inputs, numbers), inputs)
    except REFUSALS:
        return None


def _recorded(step: Step, inputs: _Inputs, numbers: _Numbers) -> Program:
    """The program of a step, whose numbers are its arguments."""
    constants = tuple([(name, Argument(number, name)) for name, number in step.recipe.constants])
    step = replace(step, recipe=replace(step.recipe, constants=constants))

    def results(xp: Namespace, operands: Operands) -> Results:
        found = step(xp, operands)
        return (found[0] * operands["repeats"],) if "repeats" in operands else found

    kinds = {name: (dtype, shape or ()) for name, dtype, shape in inputs}
    return record(results, kinds, {name: Argument(n, name) for name, n, _ in numbers})


class _Part(NamedTuple):
    """A kernel, the operands and arguments that it takes, and what it gives."""

    kernel: Any
    threads: int
    inputs: tuple[str, ...]
    arguments: tuple[float, ...]
    results: tuple[Value, ...]

    def given(self, operands: Operands) -> list[Any]:
        """What it takes of the operands, and its arguments."""
        return [*[operands[name] for name in self.inputs], *self.arguments]

    def launch(self, blocks: int, arguments: list[Any]) -> None:
        """Run it in so many blocks."""
        self.kernel(*arguments, size=blocks * self.threads, block_size=self.threads)


class _Kernels:
    """The kernels of a step: one for its elements or rows, and one more if it has sums of all."""

    def __init__(self, step: Step, program: Program, inputs: _Inputs) -> None:
        self.name = re.sub(r"\W", "_", f"xbce_{step.recipe.loss.name}_{step.name}")
        self.shapes = {name: shape for name, _, shape in inputs}
        numbers = frozenset([name for name, shape in self.shapes.items() if shape is None])
        first, last, self.order, self.sums_in = cut(program)
        self.classes = classes_of(first)
        self.last: _Part | None = None
        self.alone = not self.sums_in and (step.of_rank_0 or not step.recipe.loss.over_classes)
        if self.alone:
            self.first = self._part(first, element_wise(first))
        else:
            self.first = self._part(first, over_items(first, numbers, self.sums_in))
        if self.sums_in:
            self.last = self._part(last, of_totals(last, numbers, self.sums_in))

    def _part(self, program: Program, source: Source) -> _Part:
        values = program.values
        inputs = [value.option for value in values if value.operation == "input"]
        arguments = [float(v.option) for v in values if v.operation == "argument"]
        results = [values[number] for number in program.results]
        kernel = _compiled(source, self.name)
        return _Part(kernel, source.threads or 0, tuple(inputs), tuple(arguments), tuple(results))

    def run(self, given: _Given) -> Results:
        """The results."""
        loop, count = given.loop, prod(given.loop)
        if self.alone:  # its operands, if it has any, need not be as large as its results
            arrays = [cupy.empty(loop, value.dtype) for value in self.first.results]
            return self.first.kernel(*self.first.given(given.operands), *arrays)
        grid = grid_of(count, self.classes)
        sizes = [count, grid.width] if self.classes > 1 else [count]
        flat = {
            name: _flat(given.operands[name], loop, self.shapes[name]) for name in self.first.inputs
        }
        kept = self.first.results[: len(self.first.results) - len(self.sums_in)]
        arrays = [cupy.empty(loop + value.shape[1:], value.dtype) for value in kept]
        sums = [cupy.empty(grid.blocks, dtype) for dtype in self.sums_in]
        results = [*sums, *[array.reshape(-1) for array in arrays]]
        self.first.launch(grid.blocks, [*self.first.given(flat), *sizes, *results])
        if self.last is None:
            return tuple(arrays)
        scalars = [cupy.empty((), value.dtype) for value in self.last.results]
        self.last.launch(1, [*self.last.given(given.operands), *sums, grid.blocks, *scalars])
        found = {False: iter(arrays), True: iter(scalars)}
        return tuple([next(found[late]) for late in self.order])


def _flat(operand: Any, loop: tuple[int, ...], shape: Shape | None) -> Any:
    """An operand as long as the loop, in one dimension if it lies so."""
    if not shape:
        return operand
    whole = loop + shape[1:]
    if operand.shape != whole:
        operand = cupy.broadcast_to(operand, whole)
        if operand.size >= 2**31:  # CuPy 13 would count the elements of this one in 32 bits
            operand = cupy.lib.stride_tricks.as_strided(operand, whole, operand.strides)
    return operand.reshape(-1) if operand.flags.c_contiguous else operand


@lru_cache(maxsize=1024)
def _compiled(source: Source, name: str) -> Any:
    """The kernel of a source, which CuPy compiles when it is called first."""
    options = ["--fmad=false"]
    registers = registers_of(source.threads or 0)
    if registers is not None:
        options.append(f"--maxrregcount={registers}")
    return cupy.ElementwiseKernel(
        source.parameters,
        source.results,
        source.operation,
        name,
        preamble=PREAMBLE,
        return_tuple=True,
        options=tuple(options),
    )
