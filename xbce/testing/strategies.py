"""Labels, logits, weights and masks for property tests, as strategies of hypothesis.

Needs hypothesis: ``pip install xbce[testing]``.
"""

from xbce._typing import Array, DType, Namespace

try:
    from hypothesis import strategies as st
except ImportError as error:
    raise ImportError(
        "xbce.testing.strategies needs hypothesis: pip install xbce[testing]."
    ) from error
from xbce.testing import _draws
from xbce.testing._draw_dtypes import integers_of, kind_of, largest

__all__ = ["labels_and_logits", "masks", "weights"]


def labels_and_logits(
    xp: Namespace,
    *,
    classes: int | None = None,
    class_numbers: bool = False,
    dtype: DType | str | None = None,
    shape: tuple[int, ...] | st.SearchStrategy[tuple[int, ...]] | None = None,
    max_logit: float | None = None,
    soft: bool = True,
    specials: bool = False,
) -> st.SearchStrategy[tuple[Array, Array]]:
    """Draw labels and logits of one loss.

    Parameters
    ----------
    xp : module
        The array namespace of the arrays: ``numpy``, ``torch``, ``jax.numpy`` or another,
        wrapped by array-api-compat or not.
    classes : int, optional
        For a loss over classes: their number, at least 1. By default each logit has a loss of its
        own, and a label.
    class_numbers : bool
        With `classes`, whether labels are the numbers of classes, of dtype int32 or int64. Else
        they are probabilities of the classes.
    dtype : dtype or str, optional
        A floating dtype of 16, 32 or 64 bits, or its name; by default float32.
    shape : tuple of int, or strategy of such tuples, optional
        The shape of the losses. It is that of both arrays; with `classes` logits, and labels that
        are probabilities, have an axis of classes behind it. By default one is drawn, of 3
        dimensions at most, each of 1 to 4; with `classes` of 2 dimensions.
    max_logit : float, optional
        The largest size of a logit; by default the largest number of the dtype.
    soft : bool
        Whether labels are any numbers from 0 to 1, half of the time. Else they are 0 or 1.
    specials : bool
        Whether logits can be infinite, or NaN. With `classes` there are rows, too, in which
        some classes of label 0 are masked by ``-inf``, and all other logits finite.

    Returns
    -------
    SearchStrategy
        It draws pairs of arrays ``(labels, logits)``, and shrinks to zeros, or labels of the first
        class, in a small shape.

    Raises
    ------
    ImportError
        If hypothesis is not installed, when this module is imported.
    TypeError
        If the library has no such dtype, or `classes` is no int.
    ValueError
        If `dtype` is not a floating one, `max_logit` is negative or NaN, `classes` less than 1, or
        `class_numbers` comes without it.

    See Also
    --------
    weights : Draws weights of such losses.
    masks : Draws masks of them.
    xbce.testing.audit : Measures errors on inputs that are spread over all sizes.
    xbce.testing.as_numpy : The numbers of an array of any library, in NumPy.

    Notes
    -----
    Half of the labels are 0 or 1. Of the others most are close to 0 or to 1, at distances of all
    exponents and both alike; some are subnormal. Labels of classes are one-hot half of the time.
    Else they are multiples of the least distance that a number has from 1, so that they sum to 1
    without a rounding error.

    Logits are a mix of sizes: below 4, below 64, any, and subnormal numbers, where the library
    computes with them. JAX takes those of float32, float64 and bfloat16 for 0, and CuPy those of
    float32, so that there none are drawn.

    Each label is drawn with its logits, one after the other. Of more than 64 elements, or 128
    logits of classes, some are drawn so and stand in many places.

    With the fixtures of `xbce.testing.fixtures`, draw inside of the test, and tell hypothesis that
    they may be the same for all its examples::

        @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
        @given(data=st.data())
        def test_not_negative(xp, dtype, data):
            labels, logits = data.draw(labels_and_logits(xp, dtype=dtype))
            assert xp.all(my_loss(labels, logits) >= 0)

    Examples
    --------
    >>> import numpy as np
    >>> from hypothesis import find
    >>> from xbce.testing.strategies import labels_and_logits
    >>> find(labels_and_logits(np, shape=(2,)), lambda pair: pair[1][0] > 1)
    (array([0., 0.], dtype=float32), array([2., 0.], dtype=float32))

    Rows of classes, and the numbers of classes:

    >>> find(labels_and_logits(np, classes=3, shape=()), lambda pair: pair[1][0] > 1)
    (array([1., 0., 0.], dtype=float32), array([2., 0., 0.], dtype=float32))
    >>> find(labels_and_logits(np, classes=3, class_numbers=True), lambda pair: pair[0].ndim == 1)
    (array([0], dtype=int32), array([[0., 0., 0.]], dtype=float32))
    """
    kind = kind_of(xp, dtype)
    size = largest(kind, "max_logit", max_logit)
    if classes is None:
        if class_numbers:
            raise ValueError("`class_numbers` needs `classes`, how many there are.")
        drawn = _draws.elements(kind, shape, soft=soft, size=size, specials=specials)
        return drawn.map(lambda both: (kind.array(both[0]), kind.array(both[1])))
    if isinstance(classes, bool) or not isinstance(classes, int):
        raise TypeError(f"`classes` must be an int; got {classes!r}.")
    if classes < 1:
        raise ValueError(f"`classes` must be at least 1; got {classes}.")
    rows = _draws.rows(
        kind, shape, classes, numbers=class_numbers, soft=soft, size=size, specials=specials
    )
    if not class_numbers:
        return rows.map(lambda both: (kind.array(both[0]), kind.array(both[1])))
    integers = st.sampled_from(integers_of(kind.xp))
    return st.tuples(rows, integers).map(
        lambda both: (kind.xp.asarray(both[0][0], dtype=both[1]), kind.array(both[0][1]))
    )


def weights(
    xp: Namespace,
    shape: tuple[int, ...],
    *,
    dtype: DType | str | None = None,
    max_weight: float = 64.0,
) -> st.SearchStrategy[Array]:
    """Draw weights of losses.

    Parameters
    ----------
    xp : module
        The array namespace, as for `labels_and_logits`.
    shape : tuple of int
        The shape of the losses. That of the weights is drawn: this one, one of its rank whose
        every dimension is 1 or its own, or ``()``.
    dtype : dtype or str, optional
        As for `labels_and_logits`.
    max_weight : float
        The largest weight.

    Returns
    -------
    SearchStrategy
        It draws arrays of weights that are not negative, many of them 0 or 1, and now and then all
        of them 0. It shrinks to one weight of 1.

    Raises
    ------
    TypeError
        If the library has no such dtype, or `shape` is no tuple of int.
    ValueError
        If `dtype` is not a floating one, or `max_weight` is negative or NaN.

    See Also
    --------
    masks : Draws what is left out.
    labels_and_logits : Draws what losses are computed from.
    xbce.testing.audit_reduction : Holds a weighted loss against its rules.

    Examples
    --------
    >>> import numpy as np
    >>> from hypothesis import find
    >>> from xbce.testing.strategies import weights
    >>> find(weights(np, (3, 2)), lambda drawn: True)
    array(1., dtype=float32)
    >>> find(weights(np, (3, 2)), lambda drawn: drawn.ndim == 2 and (drawn == 0).any())
    array([[0.]], dtype=float32)
    """
    kind = kind_of(xp, dtype)
    one = _draws.weight(kind, largest(kind, "max_weight", max_weight))
    return _draws.beside(_checked(shape), one, 1.0).map(kind.array)


def masks(xp: Namespace, shape: tuple[int, ...]) -> st.SearchStrategy[Array]:
    """Draw masks of losses.

    Parameters
    ----------
    xp : module
        The array namespace, as for `labels_and_logits`.
    shape : tuple of int
        The shape of the losses. That of the mask is drawn, as for `weights`.

    Returns
    -------
    SearchStrategy
        It draws arrays of bool, now and then with no True among them. It shrinks to one True.

    Raises
    ------
    TypeError
        If `shape` is no tuple of int.

    See Also
    --------
    weights : Draws how much losses count.
    labels_and_logits : Draws what losses are computed from.
    xbce.testing.audit_reduction : Holds a masked loss against its rules.

    Notes
    -----
    A mask of the losses alone: for one that leaves classes out, pass the shape of the logits. A
    label that it leaves out, or a row of which it leaves nothing, is up to the test.

    Examples
    --------
    >>> import numpy as np
    >>> from hypothesis import find
    >>> from xbce.testing.strategies import masks
    >>> find(masks(np, (3, 2)), lambda drawn: True)
    array(True)
    >>> find(masks(np, (3,)), lambda drawn: drawn.sum() == 2)
    array([False,  True,  True])
    """
    xp = kind_of(xp, None).xp
    drawn = _draws.beside(_checked(shape), st.sampled_from([True, False]), True)
    return drawn.map(lambda mask: xp.asarray(mask, dtype=xp.bool))


def _checked(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of losses, if it is one."""
    if isinstance(shape, tuple) and all(isinstance(size, int) and size >= 0 for size in shape):
        return tuple(shape)
    raise TypeError(f"`shape` must be a tuple of int, that of the losses; got {shape!r}.")
