"""The loss collection: what TensorFlow 1 keeps in its graph, kept in a context here."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import reduce
from operator import add

from xbce._tracing import compiling
from xbce._typing import Array


class GraphKeys:
    """Names of the collections that TensorFlow keeps in a graph; only the losses' one is used.

    See Also
    --------
    collect_losses : Opens a collection.

    Examples
    --------
    >>> from xbce.losses import GraphKeys
    >>> GraphKeys.LOSSES
    'losses'
    """

    LOSSES = "losses"


class LossCollection:
    """The losses gathered by one `collect_losses` block.

    See Also
    --------
    collect_losses : Opens a block and gives its collection.

    Examples
    --------
    >>> from xbce.losses import LossCollection
    >>> collection = LossCollection()
    >>> collection.add(2.0, "losses", scope="mine")
    >>> collection.get_losses("mine")
    [2.0]
    """

    def __init__(self) -> None:
        self._entries: list[tuple[str, str | None, Array]] = []

    def add(self, loss: Array, loss_collection: str | None, scope: str | None = None) -> None:
        """Add `loss` under `scope` to the collection of that name; None or "" adds nothing."""
        if loss_collection:
            self._entries.append((loss_collection, scope, loss))

    def get_losses(
        self, scope: str | None = None, loss_collection: str = GraphKeys.LOSSES
    ) -> list[Array]:
        """The losses in the order they came; see `xbce.losses.get_losses`."""
        return [
            loss
            for collection, entered, loss in self._entries
            if collection == loss_collection
            and (not scope or (entered is not None and re.match(scope, entered)))
        ]

    def get_total_loss(
        self, scope: str | None = None, loss_collection: str = GraphKeys.LOSSES
    ) -> Array:
        """The sum of the losses; see `xbce.losses.get_total_loss`."""
        losses = self.get_losses(scope, loss_collection)
        if not losses:
            within = "" if scope is None else f" within scope {scope!r}"
            raise ValueError(
                f"There are no losses in the collection {loss_collection!r}{within}. Losses are "
                "kept only inside a block `with xbce.losses.collect_losses():`."
            )
        return reduce(add, losses)


_current: ContextVar[LossCollection | None] = ContextVar("xbce_losses", default=None)


@contextmanager
def collect_losses() -> Iterator[LossCollection]:
    """Gather the losses that are computed inside a ``with`` block.

    In TensorFlow 1 a loss function adds its result to a collection of the graph.
    Arrays have no graph: this block stands for it. Inside, each weighted loss is
    added, under its scope, to the collection named by its `loss_collection`.
    Outside, nothing is kept.

    The block belongs to the context it is opened in (`contextvars`): threads and
    asyncio tasks that open blocks of their own keep apart, and a task started
    inside a block gathers into it. Blocks nest, and the innermost one gathers.

    Under ``jax.jit``, ``grad`` or ``vmap``, and in ``torch.func`` transforms, open
    the block and return its total inside the function that is transformed; under
    ``torch.compile`` nothing is collected.

    Yields
    ------
    LossCollection
        With the methods `get_losses` and `get_total_loss`, which also work when
        the block has ended.

    See Also
    --------
    add_loss : Adds a loss of your own.
    get_losses, get_total_loss : What the block has gathered so far.

    Examples
    --------
    >>> import numpy as np
    >>> import xbce
    >>> with xbce.losses.collect_losses() as collection:
    ...     _ = xbce.losses.sigmoid_cross_entropy(np.array([[1]]), np.array([[0.0]]))
    >>> round(float(collection.get_total_loss()), 6)
    0.693147
    """
    collection = LossCollection()
    token = _current.set(collection)
    try:
        yield collection
    finally:
        _current.reset(token)


def gather(loss: Array, loss_collection: str | None, scope: str | None = None) -> Array:
    """Add `loss` to the innermost open collection, where one is open, and return it."""
    # Asked first: torch.compile can not read a context variable.
    if not compiling():
        current = _current.get()
        if current is not None:
            current.add(loss, loss_collection, scope)
    return loss


def add_loss(loss: Array, loss_collection: str | None = GraphKeys.LOSSES) -> None:
    """Add a loss of your own to the collection that is open.

    Parameters
    ----------
    loss : array
        The loss.
    loss_collection : str or None
        The collection to add to; None adds nothing. Outside a `collect_losses`
        block nothing is kept.

    See Also
    --------
    collect_losses : Opens the collection.
    compute_weighted_loss : Weighs and reduces a loss, and adds the result.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.losses import add_loss, collect_losses
    >>> with collect_losses() as collection:
    ...     add_loss(np.asarray(2.0))
    >>> float(collection.get_total_loss())
    2.0
    """
    gather(loss, loss_collection)


def get_losses(scope: str | None = None, loss_collection: str = GraphKeys.LOSSES) -> list[Array]:
    """Return the losses gathered so far by the innermost `collect_losses` block.

    Parameters
    ----------
    scope : str, optional
        Keep only losses whose scope matches this regular expression at its
        beginning, as ``re.match`` does: a plain name keeps all scopes that begin
        with it. A loss added without a scope is then left out.
    loss_collection : str
        The name of the collection.

    Returns
    -------
    list of array
        In the order in which they were added; empty outside a block.

    See Also
    --------
    collect_losses : Opens a block.
    get_total_loss : Their sum.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.losses import collect_losses, get_losses, sigmoid_cross_entropy
    >>> with collect_losses():
    ...     _ = sigmoid_cross_entropy(np.array([1]), np.array([0.0]), scope="head")
    ...     print(len(get_losses("head")), len(get_losses("tail")))
    1 0
    """
    return (_current.get() or LossCollection()).get_losses(scope, loss_collection)


def get_total_loss(scope: str | None = None, loss_collection: str = GraphKeys.LOSSES) -> Array:
    """Return the sum of the losses gathered so far.

    Parameters
    ----------
    scope : str, optional
        As for `get_losses`.
    loss_collection : str
        The name of the collection.

    Returns
    -------
    array
        Of rank 0 where the losses are.

    Raises
    ------
    ValueError
        If there are no losses, as always outside a `collect_losses` block.

    See Also
    --------
    collect_losses : Opens a block.
    get_losses : The losses, one by one.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.losses import add_loss, collect_losses, get_total_loss
    >>> with collect_losses():
    ...     add_loss(np.asarray(2.0))
    ...     add_loss(np.asarray(3.0))
    ...     print(get_total_loss())
    5.0
    """
    return (_current.get() or LossCollection()).get_total_loss(scope, loss_collection)
