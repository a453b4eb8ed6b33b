"""The loss collection plays TensorFlow's graph, and belongs to the context it is opened in."""

import asyncio
import threading

import numpy as np
import pytest

from xbce import derivatives, losses
from xbce.losses import (
    GraphKeys,
    add_loss,
    collect_losses,
    compute_weighted_loss,
    get_losses,
    get_total_loss,
)
from xbce.testing import as_numpy

ONE = np.array([1.0])


def weighted(value, **kwargs):
    return compute_weighted_loss(np.array([float(value)]), **kwargs)


def test_losses_gather_in_order_under_their_scope(array):
    z, x = array([1.0, 0.0]), array([0.5, -1.0])
    with collect_losses() as collection:
        first = losses.sigmoid_cross_entropy(z, x, scope="head")
        second = losses.compute_weighted_loss(x)
        third, _ = derivatives.value_and_grad(z, x, scope="head/aux")
        assert [id(loss) for loss in get_losses()] == [id(first), id(second), id(third)]
        assert [id(loss) for loss in get_losses("head")] == [id(first), id(third)]
        assert [id(loss) for loss in get_losses("head/aux")] == [id(third)]
        assert [id(loss) for loss in get_losses("weighted_loss")] == [id(second)]
        total = get_total_loss()
    np.testing.assert_allclose(
        as_numpy(total),
        sum(as_numpy(loss) for loss in (first, second, third)),
        rtol=1e-6,
    )
    assert [id(loss) for loss in collection.get_losses("head")] == [id(first), id(third)]


def test_default_scopes_are_those_of_tensorflow():
    with collect_losses():
        losses.sigmoid_cross_entropy(ONE, ONE)
        assert len(get_losses("sigmoid_cross_entropy_loss")) == 1


def test_other_collections_and_none():
    with collect_losses() as collection:
        weighted(1, loss_collection=None)
        weighted(2, loss_collection="auxiliary")
        add_loss(np.float64(3.0))
        add_loss(np.float64(4.0), None)
        add_loss(np.float64(5.0), "auxiliary")
    assert collection.get_losses() == [3.0]
    assert collection.get_losses(loss_collection="auxiliary") == [2.0, 5.0]
    assert collection.get_losses("weighted", "auxiliary") == [2.0]
    assert collection.get_total_loss(loss_collection="auxiliary") == 7.0
    assert GraphKeys.LOSSES == "losses"


def test_outside_a_block_nothing_is_kept():
    weighted(1)
    add_loss(ONE)
    assert get_losses() == []
    with pytest.raises(ValueError, match=r"no losses in the collection 'losses'.*collect_losses"):
        get_total_loss()


def test_a_total_of_nothing_is_an_error():
    with collect_losses():
        weighted(1, scope="head")
        with pytest.raises(ValueError, match=r"within scope 'tail'"):
            get_total_loss("tail")


def test_blocks_nest_and_the_inner_one_gathers():
    with collect_losses() as outer:
        weighted(1)
        with collect_losses() as inner:
            weighted(2)
        weighted(3)
    assert outer.get_losses() == [1.0, 3.0]
    assert inner.get_losses() == [2.0]


def test_a_block_left_by_an_error_is_closed():
    with pytest.raises(RuntimeError), collect_losses():
        raise RuntimeError
    weighted(1)
    assert get_losses() == []


def test_threads_keep_apart():
    gathered, barrier = {}, threading.Barrier(4)

    def work(number):
        with collect_losses() as collection:
            for step in range(50):
                barrier.wait()
                weighted(number + step)
        gathered[number] = collection.get_losses()

    threads = [threading.Thread(target=work, args=(number,)) for number in (0, 100, 200)]
    with collect_losses() as mine:
        for thread in threads:
            thread.start()
        for _ in range(50):
            barrier.wait()
        for thread in threads:
            thread.join()
    assert mine.get_losses() == []
    assert gathered == {n: [float(n + step) for step in range(50)] for n in (0, 100, 200)}


def test_asyncio_tasks_keep_apart():
    async def work(number):
        with collect_losses() as collection:
            for step in range(5):
                await asyncio.sleep(0)
                weighted(number + step)
        return collection.get_losses()

    async def main():
        return await asyncio.gather(work(0), work(100))

    assert asyncio.run(main()) == [[float(n + step) for step in range(5)] for n in (0, 100)]


def test_scopes_are_patterns_at_the_beginning():
    with collect_losses():
        weighted(1, scope="my/head")
        assert get_losses("head") == []
        assert len(get_losses(".*/head")) == len(get_losses("my")) == len(get_losses("")) == 1


@pytest.mark.parametrize("function", [losses.sigmoid_cross_entropy, derivatives.value_and_grad])
def test_every_loss_goes_to_the_collection_it_names(function):
    with collect_losses():
        function(ONE, ONE, loss_collection="auxiliary")
        function(ONE, ONE, loss_collection=None)
        assert get_losses() == []
        assert len(get_losses(loss_collection="auxiliary")) == 1
        assert get_total_loss(loss_collection="auxiliary") == np.log1p(np.exp(-1))
        function(ONE, ONE)
        assert len(get_losses("sigmoid_cross_entropy_loss")) == 1
