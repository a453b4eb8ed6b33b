"""The audit of a reduction: masks, weights and denominators of any loss."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from xbce._losses import Loss
from xbce._reduction import Reduction
from xbce._typing import Array, Namespace
from xbce.testing import _about, _bounds, _given, _notes, _reduction_diagnosis
from xbce.testing._arrays import Maker, gradient_of, many_compilations
from xbce.testing._batches import KINDS, OF_CLASSES, Expected, batches
from xbce.testing._oracle import loss_of
from xbce.testing._reduction_rules import broken_rules
from xbce.testing._report import Report
from xbce.testing._run import Run


def audit_reduction(
    loss_fn: Callable[..., Array],
    xp: Namespace,
    dtypes: Sequence[str] = ("float32", "float64"),
    *,
    reduction: Reduction | str = Reduction.SUM_BY_NONZERO_WEIGHTS,
    axis: int | tuple[int, ...] | None = None,
    loss: str | Loss | None = None,
    label_smoothing: float = 0.0,
    class_weights: Sequence[float] | None = None,
    ignore_index: int | None = None,
    gradient_fn: Callable[..., Array] | None = None,
    unreduced_fn: Callable[..., Array] | None = None,
    shapes: Sequence[str] | None = None,
    soft_labels: bool = True,
    device: Any = None,
    rows: int = 10_000_000,
    max_ulp: float = 64,
    name: str | None = None,
    **parameters: float,
) -> Report:
    """Hold a weighted and reduced loss against the exact one, and against rules.

    Parameters
    ----------
    loss_fn : callable
        ``loss_fn(labels, logits, weights=None, where=None) -> loss``. It is audited for what its
        signature takes: without `weights`, `where` or both it is called without. Weights, which it
        may call `weight` or `sample_weight`, are floats; `where`, or `mask`, is True where an
        element counts.
    xp : module
        The array namespace of the arrays it takes: ``numpy``, ``torch``, ``jax.numpy`` or another.
    dtypes : sequence of str
        Names of the floating dtypes to audit it in.
    reduction : Reduction or str
        What it says that it is: one of `xbce.losses.Reduction`, or its string.
    axis : int or tuple of int, optional
        The axes of the losses that it reduces, each place left with a denominator of its own; all
        by default. -1 is a loss a row. Losses have two axes, and in some calls three.
    loss : str or Loss, optional
        Which loss it reduces, as for `exact_loss`: sigmoid cross entropy by default. Logits of
        losses over classes have 3 of them, on the last axis.
    label_smoothing : float
        How far it moves labels, before the loss: ``labels*(1 - L) + L/2``, or L over the number of
        classes.
    class_weights : sequence of float, optional
        By which it multiplies weights, chosen by the label before that is smoothed: those of
        negatives and positives, or of three classes.
    ignore_index : int, optional
        The label that it leaves out, -100 for example. Labels are then what it is told of a mask
        by, where it may take `where` too, and what counts has other labels. Softmax losses of rows
        of labels have none.
    gradient_fn : callable, optional
        Its derivative by the logits, called in the same way. Where it is not given, it is the
        attribute ``gradient`` of `loss_fn`, or found by PyTorch and JAX; or not audited.
    unreduced_fn : callable, optional
        The same loss without a reduction, called in the same way, to be held against the sum.
    shapes : sequence of str, optional
        The shapes of weights and masks to try: ``"full"``, that of the losses; ``"rows"``, 1 but
        for the first axis; ``"columns"``, 1 but for the last; ``"one"``, all of 1; ``"scalar"``, of
        rank 0. All of them by default. For losses over classes there is ``"classes"`` too, that of
        the logits: of masks that leave out classes, as if they had no logit and no label. Weights
        have no such shape, so name another beside it for them.
    soft_labels : bool
        Whether it takes labels between 0 and 1.
    device : device, optional
        Where the arrays are put; by default where the library puts them.
    rows : int
        How long a batch the sum is tried on, in float32; a hundredth of it in 16 bits. 0 for none,
        or at least 1000, since a shorter one is not tried.
    max_ulp : float
        What the result may be off, in ulp of the sum of the weighted losses' sizes, reduced.
    name : str, optional
        What to call it in the report.
    **parameters : float
        Those of the loss, as for `exact_loss`: `pos_weight`, `alpha`, `gamma`.

    Returns
    -------
    Report
        Its `rules` are those that hold and those that are broken, each with a reason and the
        smallest batch that breaks it; its `diagnoses` say what the loss is instead, where that is
        known. ``check()`` raises AssertionError with both.

    Raises
    ------
    TypeError
        If an argument is of another type, `loss_fn` requires more than labels and logits, or does
        not take them in this order, the loss has no such parameter or must have one, or `xp` is no
        namespace, that of another library than `loss_fn`, or has no such dtype.
    ValueError
        If there is no such loss, dtype, reduction, axis or kind of shape, a number is out of its
        bounds, class weights are too few or too many, reduction ``"none"`` has an `axis`, or labels
        that are rows, or a mask of classes, have an `ignore_index`.

    See Also
    --------
    audit : Measures the element-wise loss.
    xbce.testing.adapters : Losses of other libraries in this form.
    xbce.losses.Reduction : What the reductions are.

    Notes
    -----
    Logits are within 4 of 0, where every implementation has its digits: what is found here is in
    the masks, weights and denominators. In words, the rules are: the value, with weights and masks
    of every shape, and its gradient are those of the definition; what a mask leaves out may be
    anything, NaN and infinity too, and changes neither, and what counts is not hidden where it is
    NaN; to leave rows out is not to have them; all left out gives 0; the weights' scale, the order
    of rows, and a batch split in two change what they should; the dtype stays, and inputs too.
    Labels of classes sum to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.nn import sigmoid_cross_entropy_with_logits
    >>> from xbce.testing import audit_reduction
    >>> def masked_mean(labels, logits, where=None):
    ...     losses = sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
    ...     return losses.mean() if where is None else (losses * where).mean()
    >>> report = audit_reduction(masked_mean, np, ["float32"], rows=0)
    >>> for diagnosis in report.diagnoses:
    ...     print(diagnosis)
    float32: this is the mean over all elements, not over the elements that the mask keeps
    float32: the mask is applied after the loss, or multiplies: 0*NaN is NaN
    """
    Reduction.validate(reduction)
    chosen, given = loss_of(loss, parameters)
    given, weights = _bounds.parameters(chosen, given), _bounds.class_weights(class_weights)
    axis, smoothing = _bounds.axes(axis, reduction), _bounds.smoothing(label_smoothing)
    _bounds.switches(soft_labels=soft_labels)
    _given.optional_functions(gradient_fn=gradient_fn, unreduced_fn=unreduced_fn)
    if ignore_index is not None:
        ignore_index = _bounds.whole("ignore_index", ignore_index)
    expected = Expected(
        chosen, given, Reduction(reduction), axis, smoothing, weights, soft_labels, ignore_index
    )
    dtypes, loss_fn = _given.names(dtypes, xp), _given.loss_function(loss_fn, xp)
    name = name or _given.name_of(loss_fn)
    kinds = _given.shapes(shapes, KINDS, (OF_CLASSES,) if chosen.over_classes else ())
    loss_fn, named = _given.with_options(loss_fn)
    if chosen.over_classes and not chosen.class_numbers and hasattr(loss_fn, "marks_numbers"):
        named.pop("where", None)  # which it marks in class numbers, and these labels are rows
    if ignore_index is not None:
        if chosen.over_classes and not chosen.class_numbers:
            raise ValueError(
                f"`ignore_index` is for labels that are numbers; those of {chosen.name} are rows."
            )
        if OF_CLASSES in kinds:
            raise ValueError(
                f"`shapes` can not have {OF_CLASSES!r} where there is an `ignore_index`, which "
                "leaves out rows; audit each alone."
            )
    rows, max_ulp = _bounds.long_batch(rows), _bounds.tolerance(max_ulp)
    if weights is not None and len(weights) != expected.classes:
        raise ValueError(
            f"`class_weights` must be {expected.classes} numbers for {chosen.name}; got {weights}."
        )
    about = _about.words(
        chosen,
        given,
        xp,
        reduction=expected.reduction,
        axis=axis,
        label_smoothing=smoothing or None,
        class_weights=weights,
        ignore_index=ignore_index,
    )
    makes = [Maker(xp, dtype, device) for dtype in dtypes]
    named = _accepted(loss_fn, named, makes[0], expected)
    gradient_fn = _given.beside("gradient_fn", gradient_fn, named)
    unreduced_fn = _given.beside("unreduced_fn", unreduced_fn, named)
    takes = tuple(named) if ignore_index is None else tuple(dict.fromkeys([*named, "where"]))
    report = Report(name, about=about)
    notes = [f"`{option}` is passed as `{own}`" for option, own in named.items() if option != own]
    for make in makes:
        axes = () if expected.reduction == Reduction.NONE else axis
        slopes = gradient_of(loss_fn, gradient_fn, make.xp, chosen.over_classes, axes)
        run = Run(loss_fn, slopes, unreduced_fn, make, expected, takes, kinds, rows, max_ulp)
        with many_compilations(), np.errstate(all="ignore"):
            report.rules.extend(broken_rules(run))
            notes.extend(_notes.of_reduction(run))
        report.diagnoses.extend(_reduction_diagnosis.of_reduction(run))
    report.notes.extend(dict.fromkeys(notes))  # each once, whatever the dtype
    return report


def _accepted(
    loss_fn: Callable[..., Array], named: dict[str, str], make: Maker, expected: Expected
) -> dict[str, str]:
    """The options that the loss takes and its names for them, where its signature does not tell."""
    call = next(batches(expected))
    weights = np.ones(expected.shape(call))
    options = {"weights": make(weights), "where": make(weights > 0)}
    arrays = make(call.labels), make(call.logits)
    return _given.accepted(loss_fn, named, arrays, options)
