"""How a recipe is executed, whatever it computes: one engine a file, and no engine knows a loss.

_numpy          the recorded formula in blocks that stay in the cache, on threads; with its
                _layout, _program, _schedule and _functions
_torch          PyTorch's tensors: a rule for autograd, and on the CPU NumPy's engine
_torch_compile  torch.compile, for PyTorch's tensors and for NumPy's arrays
_jax            jax.jit
_cupy           the recorded formula as one kernel, and one more for its sum; with its _source, the
                _lines and _rows in that, and its _grid
_dask           one task a chunk, each by its own engine
_options        what the user chose

To add an engine, write a file with a function ``run(recipe, xp, operands)`` and name the file in
the row of its library in `xbce._backends`. A library without one runs recipes plainly. Duties of
an engine:

- Return what `_steps.run` would, element by element to the last digit; classes may be added in
  another order. The easiest way is `_steps.compose` with an ``execute`` that runs one step; what
  `_recorder.record` makes of a step is the list of its operations.
- Take operands by name, never by place; numbers among them as numbers, without a program for each.
- Broadcast: operands may be of rank 0, or have a size of 1 where others have more.
- Keep nothing for a call but by recipe, and stay safe when many threads call.
- Write to no operand, and look at no value of a lazy array.
- Follow `fuse=True` where it can do more; with `fuse=False` no engine is asked.
- Where its arrays may be chunks of Dask's, have a function ``execute(step, xp, operands)`` too.
"""

from xbce import _backends, _steps
from xbce._engines import _numpy  # noqa: F401 its threads can not be set up as Python ends
from xbce._engines._options import engine_of, options
from xbce._recipe import Recipe
from xbce._typing import Namespace, Operands, Results

__all__ = ["options", "run"]


def run(recipe: Recipe, xp: Namespace, operands: Operands) -> Results:
    """The results of a recipe by the engine of its library, where the logits are."""
    device_context = _backends.of(xp).device_context
    if device_context is None:
        return _run(recipe, xp, operands)
    with device_context(operands["logits"]):
        return _run(recipe, xp, operands)


def _run(recipe: Recipe, xp: Namespace, operands: Operands) -> Results:
    engine = engine_of(xp)
    if engine is None:
        return _steps.run(recipe, xp, operands)
    results: Results = engine.run(recipe, xp, operands)
    return results
