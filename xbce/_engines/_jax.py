"""JAX: each recipe compiled once by `jax.jit`, for any values and shapes of its operands."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax

from xbce import _steps
from xbce._recipe import Recipe
from xbce._typing import Namespace, Operands, Results


def run(recipe: Recipe, xp: Namespace, operands: Operands) -> Results:
    """The results of a recipe compiled as a whole, numbers among its arguments."""
    return _compiled(recipe, xp)(operands)


@lru_cache(maxsize=1024)
def _compiled(recipe: Recipe, xp: Namespace) -> Callable[[Operands], Any]:
    def call(operands: Operands) -> Results:
        return _steps.run(recipe, xp, operands)

    call.__name__ = call.__qualname__ = recipe.loss.name  # what profilers show
    return jax.jit(call)
