"""Losses of other libraries in the form that the audits take: one line each.

With ``loss = torch.nn.functional.binary_cross_entropy_with_logits``,
``audit(from_torch(loss, reduction="none"), torch)`` measures PyTorch's losses, and
``audit_reduction(from_torch(loss), torch, reduction="weighted_sum_over_batch_size")`` audits their
mean. Each adapter returns a function ``loss_fn(labels, logits)``, which takes ``weights`` and
``where`` as well where the library's own does. Nothing is imported here: each library is asked for
its modules when one of its losses is called.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from xbce._typing import Array
from xbce.testing import _bounds, _given
from xbce.testing._adapted import (
    LossFn,
    adapted,
    of_probabilities,
    parameters,
    through_tensorflow,
)

__all__ = ["from_keras", "from_optax", "from_sklearn", "from_tensorflow", "from_torch"]


def from_torch(loss: LossFn, *, takes: Sequence[str] | None = None, **options: Any) -> LossFn:
    """Return a loss that is called as ``loss(input, target)``, in the form that the audits take.

    Parameters
    ----------
    loss : callable
        A function of ``torch.nn.functional``, a module of ``torch.nn``, or one of the same kind:
        logits come first.
    takes : sequence of str, optional
        Which of ``"weights"`` and ``"where"`` it takes; by default what its signature shows.
        With an `ignore_index`, classes are on the second axis, as in ``cross_entropy``; class
        numbers that `where` leaves out are set to it (labels that are rows have none), and
        `weight`, which is one a class there, is yours to bind. Else ``weight`` is one an element,
        as in ``binary_cross_entropy_with_logits``.
    **options : object
        Bound to each call, ``reduction="none"`` or a ``pos_weight`` for example.

    Returns
    -------
    callable
        ``loss_fn(labels, logits, ...)`` of tensors.

    Raises
    ------
    TypeError
        If `loss` can not be called, or is a class, or has no such option, or `takes` is no sequence
        of names.
    ValueError
        If `takes` has another name.

    See Also
    --------
    from_optax : For losses of JAX arrays, with logits first as well.

    Examples
    --------
    ::

        loss = torch.nn.functional.binary_cross_entropy_with_logits
        print(audit(from_torch(loss, reduction="none"), torch))
    """
    _given.library_loss(loss, options, "forward")
    named = parameters(getattr(loss, "forward", loss))
    ignored = getattr(loss, "ignore_index", None)
    if "ignore_index" in named:
        ignored = options.get("ignore_index", named["ignore_index"].default)
    if ignored is None:
        has_weight = "weight" in named and "weight" not in options
        found = ("weights",) if has_weight else ()
    else:
        found = ("where",)

    def call(labels: Array, logits: Array, weights: Array = None, where: Array = None) -> Array:
        if ignored is not None:
            labels, logits = _classes_second(labels, logits)
            if where is not None:
                labels = labels.masked_fill(~where.expand(labels.shape), ignored)
        given = {} if weights is None else {"weight": weights}
        return loss(logits, labels, **given, **options)

    marks = {} if ignored is None else {"marks_numbers": True}
    return adapted(call, loss, _given.taking(takes, found), **marks)


def _classes_second(labels: Array, logits: Array) -> tuple[Array, Array]:
    """Classes on the second axis, and class numbers as PyTorch takes them."""
    if logits.ndim > 2:
        logits = logits.movedim(-1, 1)
        labels = labels.movedim(-1, 1) if labels.ndim == logits.ndim else labels
    return labels if labels.ndim == logits.ndim else labels.long(), logits


def from_optax(loss: LossFn, reduce: LossFn | None = None, **options: Any) -> LossFn:
    """Return a loss that is called as ``loss(logits, labels)``, in the form that the audits take.

    Parameters
    ----------
    loss : callable
        A function of ``optax.losses``, or one of the same kind, which gives unreduced losses.
        A `where` of its own, which leaves out classes, is not passed.
    reduce : callable, optional
        What the losses are reduced by: ``jax.numpy.mean``, which takes ``where``, or
        ``jax.numpy.average``, which takes ``weights``. By default they are not reduced.
    **options : object
        Bound to each call of `loss`, ``gamma=2.0`` for example.

    Returns
    -------
    callable
        ``loss_fn(labels, logits, ...)`` of JAX arrays.

    Raises
    ------
    TypeError
        If `loss` or `reduce` can not be called, or `loss` has no such option.

    See Also
    --------
    from_torch : For losses of tensors, with logits first as well.

    Examples
    --------
    ::

        mean = from_optax(optax.sigmoid_binary_cross_entropy, jax.numpy.mean)
        print(audit_reduction(mean, jax.numpy, reduction="weighted_sum_over_batch_size"))
    """
    _given.library_loss(loss, options)
    _given.optional_functions(reduce=reduce)
    named = parameters(reduce) if reduce is not None else {}

    def call(labels: Array, logits: Array, weights: Array = None, where: Array = None) -> Array:
        losses = loss(logits, labels, **options)
        if reduce is None:
            return losses
        given = {} if where is None else {"where": where}
        if weights is not None:
            given["weights"] = 0 * losses + weights  # of the losses' shape, as average wants them
        return reduce(losses, **given)

    return adapted(call, loss, [name for name in ("weights", "where") if name in named])


def from_keras(loss: LossFn, *, over_classes: bool = False) -> LossFn:
    """Return a loss that is called as ``loss(y_true, y_pred)``, in the form that the audits take.

    Parameters
    ----------
    loss : callable
        A loss of ``keras.losses``: an object, whose ``sample_weight`` is taken for weights, or a
        function. It must take logits: ``from_logits=True``.
    over_classes : bool
        Whether it is over the classes on the last axis. If not, an axis of size 1 is put behind
        the last, so that the mean that Keras takes over the last axis is of one element.

    Returns
    -------
    callable
        ``loss_fn(labels, logits, ...)`` of arrays of Keras's backend, or of NumPy arrays where
        that is TensorFlow.

    Raises
    ------
    TypeError
        If `loss` can not be called, or is a class, or `over_classes` is no bool.

    See Also
    --------
    from_tensorflow : For losses of TensorFlow itself.

    Notes
    -----
    An object computes in ``keras.config.floatx()``, which is float32, unless it is made with
    another ``dtype``: audit it in that one.

    Examples
    --------
    ::

        loss = keras.losses.BinaryCrossentropy(from_logits=True, reduction=None)
        print(audit(from_keras(loss), torch, ["float32"]))
    """
    _given.library_loss(loss, {})
    _bounds.switches(over_classes=over_classes)

    def call(labels: Array, logits: Array, weights: Array = None) -> Array:
        if not over_classes:
            labels, logits = labels[..., None], logits[..., None]
        return loss(labels, logits, **({} if weights is None else {"sample_weight": weights}))

    import keras

    takes = ["weights"] if isinstance(loss, keras.losses.Loss) else []
    if keras.config.backend() == "tensorflow":
        return through_tensorflow(call, loss, takes)
    return adapted(call, loss, takes)


def from_tensorflow(loss: LossFn, **options: Any) -> LossFn:
    """Return a loss that is called as ``loss(labels, logits)``, in the form that the audits take.

    Parameters
    ----------
    loss : callable
        A function of ``tf.nn`` or ``tf.compat.v1.losses``, a ``tf.function`` of one, or one of the
        same kind. Where it has ``weights`` these are passed.
    **options : object
        Bound to each call, ``pos_weight=3.0`` for example.

    Returns
    -------
    callable
        ``loss_fn(labels, logits, ...)`` of NumPy arrays, since TensorFlow's tensors do not follow
        the standard; its attribute ``gradient`` is the derivative by a ``GradientTape``.

    Raises
    ------
    TypeError
        If `loss` can not be called, or has no such option.

    See Also
    --------
    from_keras : For losses of Keras.

    Examples
    --------
    ::

        print(audit(from_tensorflow(tensorflow.nn.sigmoid_cross_entropy_with_logits), numpy))
    """
    _given.library_loss(loss, options)
    takes = ["weights"] if "weights" in parameters(loss) else []

    def call(labels: Array, logits: Array, weights: Array = None) -> Array:
        given = {} if weights is None else {"weights": weights}
        return loss(labels, logits, **given, **options)

    return through_tensorflow(call, loss, takes)


def from_sklearn(loss: Any, *, reduced: bool = False) -> LossFn:
    """Return a loss of scikit-learn in the form that the audits take.

    Parameters
    ----------
    loss : object or callable
        A loss of ``sklearn._loss``, made with the namespace of the arrays if it is one of the array
        API: its ``loss`` and ``gradient`` are called, and the Hessian of those of NumPy. Or
        ``sklearn.metrics.log_loss``, which takes hard labels: audit it with ``soft_labels=False``.
    reduced : bool
        Whether a loss of ``sklearn._loss`` is called itself, with NumPy arrays, which gives the
        weighted mean.

    Returns
    -------
    callable
        ``loss_fn(labels, logits, ...)``; where it is not reduced with the attributes ``gradient``
        and ``hessian``. What goes in has one axis, or one more of classes, so others are
        flattened for it.

    Raises
    ------
    TypeError
        If `loss` can not be called, or is a class, or `reduced` is no bool.

    See Also
    --------
    from_torch : For losses of PyTorch.

    Examples
    --------
    ::

        print(audit(from_sklearn(sklearn._loss.HalfBinomialLoss()), numpy))
    """
    _given.library_loss(loss, {})
    _bounds.switches(reduced=reduced)
    if not hasattr(loss, "gradient"):
        return adapted(of_probabilities(loss), loss, ["weights"])
    multiclass = bool(getattr(loss, "is_multiclass", False))

    def shape(logits: Array) -> tuple[int, ...]:
        return tuple(logits.shape[:-1] if multiclass else logits.shape)

    def flat(labels: Array, logits: Array) -> dict[str, Array]:
        z, x = labels.reshape(-1), logits.reshape((-1, *logits.shape[-1:]) if multiclass else -1)
        # The code that is compiled for NumPy takes classes in the dtype of the logits.
        return {
            "y_true": z.astype(x.dtype) if isinstance(z, np.ndarray) else z,
            "raw_prediction": x,
        }

    def mean(labels: Array, logits: Array, weights: Array = None) -> Array:
        if weights is not None:
            weights = np.broadcast_to(weights, shape(logits)).ravel()
        return np.asarray(loss(**flat(labels, logits), sample_weight=weights))

    def value(labels: Array, logits: Array) -> Array:
        return loss.loss(**flat(labels, logits)).reshape(shape(logits))

    def gradient(labels: Array, logits: Array) -> Array:
        return loss.gradient(**flat(labels, logits)).reshape(logits.shape)

    def hessian(labels: Array, logits: Array) -> Array:
        return loss.gradient_hessian(**flat(labels, logits))[1].reshape(logits.shape)

    if reduced:
        return adapted(mean, type(loss), ["weights"])
    compiled = getattr(loss, "xp", None) in (None, np)  # which has a Hessian
    slopes = {"gradient": gradient} | ({"hessian": hessian} if compiled else {})
    return adapted(value, type(loss), [], **slopes)
