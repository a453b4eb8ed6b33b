"""The audit: any implementation of a loss, held against the exact one."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from xbce import _losses
from xbce._losses import Loss
from xbce._typing import Array, Namespace
from xbce.testing import _about, _bounds, _diagnosis, _given, _notes
from xbce.testing._arrays import Maker, gradient_of, many_compilations
from xbce.testing._element_rules import Rules
from xbce.testing._measure import Measure
from xbce.testing._oracle import exactly, loss_of
from xbce.testing._report import Report
from xbce.testing._ulp import TwoFloats, as_numpy

Function = Callable[[Array, Array], Array]


def audit(
    loss_fn: Function,
    xp: Namespace,
    dtypes: Sequence[str] = ("float32", "float64"),
    *,
    loss: str | Loss | None = None,
    gradient_fn: Function | None = None,
    hessian_fn: Function | None = None,
    classes: int | None = None,
    soft_labels: bool = True,
    device: Any = None,
    samples: int = 300,
    name: str | None = None,
    **parameters: float,
) -> Report:
    """Measure an implementation of a loss against the exact one.

    Parameters
    ----------
    loss_fn : callable
        ``loss_fn(labels, logits) -> losses``, element by element, or over the classes on the
        last axis; compiled and jitted ones too.
    xp : module
        The array namespace of the arrays it takes: ``numpy``, ``torch``,
        ``jax.numpy`` or another, wrapped by array-api-compat or not.
    dtypes : sequence of str
        Names of the floating dtypes to audit it in.
    loss : str or Loss, optional
        Which loss it is, as for `exact_loss`; by default sigmoid cross entropy, focal
        where there is an `alpha` or `gamma`, or softmax where there are `classes`.
    gradient_fn : callable, optional
        ``gradient_fn(labels, logits)``, the derivative of each loss by its logits.
        Where it is not given, it is the attribute ``gradient`` of `loss_fn`, which those that
        `xbce.testing.adapters` makes may have; or else PyTorch and JAX differentiate
        `loss_fn`, and other libraries are audited without a gradient.
    hessian_fn : callable, optional
        ``hessian_fn(labels, logits)``, the second derivative of each loss by each logit; by
        default the attribute ``hessian`` of `loss_fn`, or not audited. Of softmax losses it is
        the diagonal, in the shape of the logits.
    classes : int, optional
        The number of classes of a loss over them, 10 by default. Logits are of several
        scales, with ties and masked classes.
    soft_labels : bool
        Whether it takes labels between 0 and 1, and is measured with them.
    device : device, optional
        Where the arrays are put; by default where the library puts them.
    samples : int
        Inputs a region: 300 take about a second a dtype, the first time.
    name : str, optional
        What to call it in the report.
    **parameters : float
        Those of the loss, as for `exact_loss`: `pos_weight`, `alpha`, `gamma`.

    Returns
    -------
    Report
        Print it, ``check()`` it, or keep its ``to_dict()``.

    Raises
    ------
    TypeError
        If an argument is of another type, a function does not take labels and logits in this
        order, the loss has no such parameter or must have one, or `xp` is no namespace, that of
        another library than `loss_fn`, or has no such dtype.
    ValueError
        If there is no such loss or dtype, a number is out of its bounds, or the loss has no
        `classes`.

    See Also
    --------
    audit_modes : Compares a compiled function with the eager one.
    audit_reduction : Audits masks, weights and denominators.
    exact_loss : The exact numbers.
    ulp_error : How errors are measured.

    Notes
    -----
    The regions cross the labels (hard; soft, with many very close to 0 and 1), the
    side of 0 the logit is on (agreeing with the label or not), and its size: tiny
    (below 1e-3), moderate (up to 8), large (to where exp(-|x|) underflows), and huge
    (to the largest number). With hard labels the gradient's error is measured in ulp of
    the gradient. With soft labels that is a difference, and the error is measured in ulp
    of the sum of its terms: (1 - z)*sigmoid(x) and z*sigmoid(-x) without a `pos_weight`.
    Automatic differentiation starts from another number for each loss, so that a rule of its own
    that forgets what comes in is found. Labels of losses over classes sum to 1.
    Where the library takes subnormal numbers for 0, an error of four of the smallest normal ones is
    none, and logits whose exp(-|x|) is subnormal are left out, as they are with a `pos_weight`
    above 1, which makes normal numbers of them again.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.testing import audit
    >>> def naive(labels, logits):
    ...     return np.maximum(logits, 0) - logits * labels + np.log1p(np.exp(-np.abs(logits)))
    >>> with np.errstate(all="ignore"):
    ...     report = audit(naive, np, ["float32"], samples=50)
    >>> report.largest("loss") > 4
    True
    """
    dtypes, loss_fn = _given.names(dtypes, xp), _given.loss_function(loss_fn, xp)
    loss, given, classes = _which(loss, classes, samples, parameters)
    _given.optional_functions(gradient_fn=gradient_fn, hessian_fn=hessian_fn)
    _bounds.switches(soft_labels=soft_labels)

    def exact(quantity: str, z: Array, x: Array) -> TwoFloats:
        return exactly(loss, quantity, as_numpy(z), as_numpy(x), given)

    functions = {"loss": loss_fn, "gradient": gradient_fn, "hessian": hessian_fn}
    report = Report(
        name or _given.name_of(loss_fn),
        about=_about.words(loss, given, xp),
        promise=_about.promise(loss, dtypes),
    )
    for make in [Maker(xp, dtype, device) for dtype in dtypes]:
        complete = _complete(functions, make, loss)
        measure = Measure(complete, exact, make, loss, given, classes, soft_labels)
        _fill(report, measure, samples)
        report.diagnoses.extend(
            _diagnosis.of_losses(complete, make, loss, given, classes, soft_labels)
        )
        if make.name == dtypes[0]:
            report.notes.extend(_notes.of_shapes(loss_fn, make, loss))
    return report


def audit_modes(
    eager_fn: Function,
    compiled_fn: Function,
    xp: Namespace,
    dtypes: Sequence[str] = ("float32", "float64"),
    *,
    loss: str | Loss | None = None,
    classes: int | None = None,
    device: Any = None,
    samples: int = 300,
    name: str | None = None,
    **parameters: float,
) -> Report:
    """Measure a compiled implementation of a loss against the eager one, whatever that is worth.

    Parameters
    ----------
    eager_fn, compiled_fn : callable
        ``fn(labels, logits) -> losses``, as for `audit`. Gradients are compared where `audit`
        finds one of each.
    xp : module
        The array namespace of the arrays they take.
    dtypes : sequence of str
        Names of the floating dtypes to compare them in.
    loss : str or Loss, optional
        Which loss it is, as for `audit`.
    classes : int, optional
        The number of classes, as for `audit`.
    device : device, optional
        Where the arrays are put; by default where the library puts them.
    samples : int
        Inputs a region.
    name : str, optional
        What to call it in the report.
    **parameters : float
        Those of the loss, as for `exact_loss`.

    Returns
    -------
    Report
        Of the differences: errors are those of the compiled function, in ulp of what the eager
        one gives, and ``expected`` is what that gives. Both may be off the exact loss by 4 ulp;
        so ``check()`` allows twice what that of `audit` does.

    Raises
    ------
    TypeError
        If an argument is of another type, a function does not take labels and logits in this
        order, the loss has no such parameter or must have one, or `xp` is no namespace, that of
        another library than `eager_fn`, or has no such dtype.
    ValueError
        If there is no such loss or dtype, a number is out of its bounds, or the loss has no
        `classes`.

    See Also
    --------
    audit : Measures one of them against the exact loss.

    Examples
    --------
    ::

        audit_modes(my_loss, jax.jit(my_loss), jax.numpy, ["float32"]).check()
    """
    dtypes = _given.names(dtypes, xp)
    eager_fn = _given.loss_function(eager_fn, xp, "eager_fn")
    compiled_fn = _given.loss_function(compiled_fn, xp, "compiled_fn")
    loss, given, classes = _which(loss, classes, samples, parameters)
    report = Report(
        name or f"{_given.name_of(compiled_fn)}, compiled, against eager",
        about=_about.words(loss, given, xp),
        promise={q: 2 * ulp for q, ulp in _about.promise(loss, dtypes).items()},
        reference="eager",
    )
    for make in [Maker(xp, dtype, device) for dtype in dtypes]:
        eager = _complete({"loss": eager_fn}, make, loss)
        compiled = _complete({"loss": compiled_fn}, make, loss)

        def by_eager(quantity: str, z: Array, x: Array, eager: Any = eager) -> TwoFloats:
            numbers = as_numpy(eager[quantity](z, x))
            return TwoFloats(numbers, np.zeros_like(numbers))

        both = {quantity: compiled[quantity] for quantity in compiled if quantity in eager}
        _fill(report, Measure(both, by_eager, make, loss, given, classes), samples)
    return report


def _which(
    loss: str | Loss | None, classes: int | None, samples: int, parameters: dict[str, float]
) -> tuple[Loss, dict[str, float], int]:
    """The loss that is meant, its parameters, and the number of classes."""
    _bounds.at_least(1, samples=samples)
    if loss is None and classes is not None:
        loss = _losses.SOFTMAX
    loss, given = loss_of(loss, parameters)
    classes = _bounds.number_of_classes(classes, loss)
    return loss, _bounds.parameters(loss, given), classes


def _complete(functions: dict[str, Any], make: Maker, loss: Loss) -> dict[str, Function]:
    """The functions that there are, with the gradient of the loss if it can be had."""
    loss_fn = functions["loss"]
    found = {quantity: function for quantity, function in functions.items() if function is not None}
    gradient = gradient_of(loss_fn, found.get("gradient"), make.xp, loss.over_classes)
    hessian = found.get("hessian") or getattr(loss_fn, "hessian", None)
    slopes = {"gradient": gradient, "hessian": hessian}
    return found | {quantity: function for quantity, function in slopes.items() if function}


def _fill(report: Report, measure: Measure, samples: int) -> None:
    """Add what is measured of one dtype."""
    rules = Rules(measure.make, measure.loss, measure.classes)
    with many_compilations(), np.errstate(all="ignore"):
        report.regions.extend(measure.regions(samples))
        report.specials.extend(measure.specials())
        report.rules.extend([*rules.of(measure.functions), *measure.raised[:1]])
