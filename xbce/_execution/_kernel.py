"""What an engine is given: a formula, and what must be known to run it in another way."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from xbce._formula import Namespace

Formula = Callable[..., Any]


@dataclass(slots=True, eq=False)
class Kernel:
    """A formula, as ``kernel(*operands)`` runs it plainly.

    Kernels of the same formula are equal, though the formula may be built anew for each call
    from `functools.partial`: so what a compiler makes of one can be kept for the next.

    Attributes
    ----------
    formula : callable
        A pure function of (xp, *operands): of Python numbers, and of arrays that it lets
        broadcast.
    xp : namespace
        That of the arrays.
    outputs : int
        How many arrays it returns: one, or a tuple of so many.
    classes : bool
        Whether it works along the last axis of the arrays of the highest rank, which its first
        output then lacks, and element by element along the other axes. Else along all of them.
    summed : dtype, optional
        Return the sum of the first output's elements in its place, accumulated in this dtype.
    gradient : callable, optional
        The derivative of the formula's one output by the last operand, element by element, as a
        formula of the same operands.
    """

    formula: Formula
    xp: Namespace
    outputs: int = 1
    classes: bool = False
    summed: Any = None
    gradient: Formula | None = None

    def __call__(self, *operands: Any) -> Any:
        return self.on_summed(self.formula(self.xp, *operands), self.xp.sum)

    def on_summed(self, results: Any, function: Callable[..., Any]) -> Any:
        """The results, ``function(first, dtype=)`` in place of the first where it is summed."""
        if self.summed is None:
            return results
        if self.outputs == 1:
            return function(results, dtype=self.summed)
        return (function(results[0], dtype=self.summed), *results[1:])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Kernel) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[Any, ...]:
        return _recipe(self.formula), self.xp.__name__, self.outputs, self.summed


def _recipe(formula: Any) -> Any:
    """The function and the arguments that nested partials are made of, which compare equal."""
    if isinstance(formula, partial):
        named = tuple(sorted(formula.keywords.items()))
        return _recipe(formula.func), tuple(map(_recipe, formula.args)), named
    return formula
