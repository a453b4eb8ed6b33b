"""Which of xbce's reductions each reduction of its peers is, for docs/peers.py.

Each call is audited as every one of xbce's reductions, and then as the one that it is, or that
it is nearest to, in both dtypes.
"""

from collections.abc import Callable
from functools import partial
from importlib import metadata
from inspect import signature
from typing import Any, NamedTuple

from peer_adapters import ON_JAX, ON_TENSORFLOW, ON_TORCH, OPTAX, SKLEARN, TENSORFLOW, TORCH
from peer_calls import Call, optax, pytorch, tensorflow
from peer_calls_more import keras, sklearn, sklearn_on_torch

from xbce.losses import Reduction
from xbce.testing import Report, audit_reduction

ROWS = 1_000_000  # of the long batch, in float32
ORDER = (
    Reduction.SUM_OVER_BATCH_SIZE,
    Reduction.SUM_BY_NONZERO_WEIGHTS,
    Reduction.MEAN,
    Reduction.SUM,
    Reduction.NONE,
)
VALUES = (  # the rules that a reduction is told by, before all others
    "it is the reduction that it says",
    "weights multiply the losses, and count as the reduction says",
    "a mask leaves elements out of the sum and of the denominator",
    "a mask leaves out weights too",
)


class Library(NamedTuple):
    """The packages of a library, and its namespace and calls, once it is imported."""

    packages: tuple[str, ...]
    calls: Callable[[], tuple[Any, list[Call]]]


LIBRARIES = {
    "PyTorch": Library(TORCH, pytorch),
    "TensorFlow": Library(TENSORFLOW, tensorflow),
    "optax": Library(OPTAX, optax),
    "Keras on PyTorch": Library(ON_TORCH, partial(keras, "torch")),
    "Keras on TensorFlow": Library(ON_TENSORFLOW, partial(keras, "tensorflow")),
    "Keras on JAX": Library(ON_JAX, partial(keras, "jax")),
    "scikit-learn": Library(SKLEARN, sklearn),
    "scikit-learn on PyTorch": Library((*SKLEARN, "torch"), sklearn_on_torch),
}


def measure(name: str) -> dict[str, Any]:
    """Audit all calls of one library in this process."""
    packages, listed = LIBRARIES[name]
    try:
        xp, calls = listed()
    except ImportError as error:
        return {"skipped": f"{error.name} is not installed"}
    versions = {package: metadata.version(package) for package in packages}
    return {"versions": versions, "calls": [audited(call, xp) for call in calls]}


def audited(call: Call, xp: Any) -> dict[str, Any]:
    """Which of the reductions a call is, and what it breaks of the one that it is nearest to."""
    reductions = ORDER[:-1] if "axis" in call.options else ORDER  # NONE, the last, has no axis
    tried = {reduction: tell(call, xp, "float32", reduction, rows=0) for reduction in reductions}
    far = {reduction: distance(report) for reduction, report in tried.items()}
    least = min(far.values())
    alike = [reduction for reduction in reductions if far[reduction] == least]
    nearest = Reduction(call.claim) if call.claim in alike else alike[0]
    shapes = None
    if least[0] and not distance(tell(call, xp, "float32", nearest, shapes=("full",), rows=0))[0]:
        shapes, alike = ("full",), [nearest]  # it is, but for weights or masks that are stretched
    result = {
        "call": call.text,
        "options": dict(call.options),
        "takes": [
            n for n in ("weights", "where") if n in signature(call.make("float32")).parameters
        ],
        "nearest": str(nearest),
        "is": [str(reduction) for reduction in alike] if shapes or not least[0] else [],
        "stretched": not shapes,
    }
    for dtype in call.dtypes:
        result[dtype] = settled(call, xp, dtype, nearest)
    return result


def settled(call: Call, xp: Any, dtype: str, reduction: Reduction) -> dict[str, Any]:
    """What one dtype breaks; of float64 with the digits of float32, what is broken beside that."""
    report, digits = tell(call, xp, dtype, reduction), dtype
    number = distance(report)[1]
    if dtype == "float64" and distance(report)[0]:
        loose = tell(call, xp, dtype, reduction, max_ulp=64 * 2.0**29)
        if distance(loose)[0] < distance(report)[0]:
            report, digits = loose, "float32"
    return {
        "digits": digits,
        "rules": len(report.rules),
        "number": number,  # of rules that are broken, to the digits of the dtype
        "broken": {rule.name: [rule.broken, rule.example] for rule in report.rules if rule.broken},
        "diagnoses": [text.partition(": ")[2] for text in report.diagnoses],
    }


def tell(
    call: Call, xp: Any, dtype: str, reduction: Reduction, rows: int = ROWS, **options: Any
) -> Report:
    """The audit of a call as one of the reductions."""
    options |= {"reduction": reduction, "rows": rows, **call.options}
    return audit_reduction(call.make(dtype), xp, [dtype], **options)


def distance(report: Report) -> tuple[int, int]:
    """How far a call is from a reduction: broken rules of its values, and all broken rules."""
    broken = [rule.name for rule in report.rules if rule.broken]
    return sum(name in VALUES for name in broken), len(broken)
