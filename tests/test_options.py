"""`xbce.options` and the environment: what is chosen holds where it is chosen, and nowhere else."""

import asyncio
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import xbce
from xbce import nn
from xbce._engines import _options


def threads_now():
    return _options.threads()


def test_options_nest_and_end():
    outside = threads_now()
    with xbce.options(threads=3):
        with xbce.options(fuse=False):
            assert threads_now() == 3
        with pytest.raises(KeyError), xbce.options(threads=1):
            raise KeyError
        assert threads_now() == 3
    assert threads_now() == outside
    assert xbce.options(threads=2)(threads_now)() == 2


def test_fuse_holds_inside_its_block(monkeypatch):
    asked = []
    monkeypatch.setattr(_options, "_imported", lambda name: asked.append(name))
    x = np.zeros(3)

    def call():
        nn.sigmoid_cross_entropy_with_logits(labels=x, logits=x)
        return len(asked)

    assert call() == 1
    with xbce.options(fuse=False):
        assert call() == 1
        with xbce.options(threads=2):  # what an inner one leaves out stays as it was
            assert call() == 1
        with xbce.options(fuse="auto"):
            assert call() == 2
    assert call() == 3
    assert set(asked) == {"numpy"}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"threads": 0}, ValueError, "`threads` must be 1 or more; got 0"),
        ({"threads": 1.5}, TypeError, r"`threads` must be a whole number from 1 on; got 1\.5"),
        ({"fuse": "yes"}, ValueError, "`fuse` must be \"auto\", True or False; got 'yes'"),
    ],
)
def test_options_that_are_none(options, error, message):
    with pytest.raises(error, match=message), xbce.options(**options):
        pass


def imported_with(value):
    """A process that imports xbce with XBCE_THREADS of this value, and says how many there are."""
    environment = {name: own for name, own in os.environ.items() if name != "XBCE_THREADS"}
    if value is not None:
        environment["XBCE_THREADS"] = value
    code = "import xbce; from xbce._engines import _options; print(_options.threads())"
    command = [sys.executable, "-X", "utf8", "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, encoding="utf-8")


@pytest.mark.parametrize("value", ["two", "-1", "0", "1.5", "²", "1 2", "+3"])
def test_a_wrong_number_of_threads_in_the_environment(value):
    done = imported_with(value)
    assert done.returncode != 0
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ValueError: XBCE_THREADS must be a whole number from 1 on; got ")
    assert repr(value) in last


@pytest.mark.parametrize(("value", "threads"), [("7", 7), (" 3 ", 3), ("1", 1)])
def test_a_number_of_threads_in_the_environment(value, threads):
    done = imported_with(value)
    assert done.stderr == ""
    assert int(done.stdout) == threads


@pytest.mark.parametrize("value", [None, "", " "])
def test_without_a_number_of_threads_there_are_as_many_as_processors(value):
    done = imported_with(value)
    assert done.stderr == ""
    assert 1 <= int(done.stdout) <= (os.cpu_count() or 1)


def test_options_are_heard_before_the_environment():
    code = (
        "import xbce; from xbce._engines import _options\n"
        "with xbce.options(threads=2): print(_options.threads())"
    )
    environment = os.environ | {"XBCE_THREADS": "5"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert int(done.stdout) == 2


def test_options_keep_tasks_and_threads_apart():
    async def task(threads):
        with xbce.options(threads=threads):
            await asyncio.sleep(0.01)
            return threads_now()

    async def all_tasks():
        return await asyncio.gather(*map(task, range(1, 6)))

    assert asyncio.run(all_tasks()) == list(range(1, 6))
    outside = threads_now()
    with xbce.options(threads=outside + 1), ThreadPoolExecutor(1) as pool:
        assert pool.submit(threads_now).result() == outside


def test_a_decorated_function_may_call_itself_and_run_in_threads():
    @xbce.options(threads=4)
    def count(depth):
        return threads_now() if depth == 0 else count(depth - 1)

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(count, range(8))) == {4}


def test_what_runs_after_its_call_takes_no_decorator():
    async def later():
        return 1

    def one_by_one():
        yield 1

    for function in (later, one_by_one):
        with pytest.raises(TypeError, match="write a with block in it"):
            xbce.options(threads=1)(function)
