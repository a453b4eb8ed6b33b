"""An element-wise function of labels and logits from its arguments to its value."""

from typing import Any

from xbce import _arrays, _execution
from xbce._execution import Formula
from xbce._formula import Array


def elementwise(
    formula: Formula, labels: Array, logits: Array, *, name: str | None = None, outputs: int = 1
) -> Any:
    """Evaluate `formula` on checked labels and logits, as one array or as a tuple of `outputs`."""
    if labels is None or logits is None:
        _arrays.fail(ValueError, "Both labels and logits must be provided.", name)
    arrays = {"labels": labels, "logits": logits}
    xp = _arrays.namespace(arrays, name)
    with _execution.quiet():
        operands = _arrays.checked(xp, arrays, name=name)
        result = _execution.run(formula, xp, *operands, outputs=outputs)
        if outputs == 1:
            return _arrays.cast(xp, result, logits.dtype)
        return tuple(_arrays.cast(xp, output, logits.dtype) for output in result)
