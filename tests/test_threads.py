"""The threads of NumPy's engine among others, in other processes, and as the interpreter ends."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import xbce
from xbce import nn


def test_many_threads_call_at_once():
    rng = np.random.default_rng(3)
    z, x = (rng.random(300_000) < 0.5).astype(float), rng.normal(size=300_000)
    desired = nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x)

    def call(number):
        part = slice(number * 1000, None)
        loss = nn.sigmoid_cross_entropy_with_logits(labels=z[part], logits=x[part])
        return np.array_equal(loss, desired[part])

    with ThreadPoolExecutor(8) as pool, xbce.options(threads=4):
        assert all(pool.map(call, range(40)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_has_threads_of_its_own():
    code = (
        "import os, threading, numpy as np, xbce\n"
        "x = np.linspace(-9, 9, 400_000)\n"
        "def mean():\n"
        "    with xbce.options(threads=3):\n"
        "        return xbce.sigmoid_cross_entropy(x > 0, x)\n"
        "before, child = mean(), os.fork()\n"
        "right = mean() == before and threading.active_count() > 1\n"
        "if child == 0:\n"
        "    os._exit(0 if right else 1)\n"
        "assert right and os.waitpid(child, 0)[1] == 0\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("earlier", ["", "call()\n"], ids=["the first call", "another call"])
def test_a_call_when_the_interpreter_ends_runs_on_its_own_thread(earlier):
    code = (
        "import threading, time, numpy as np, xbce\n"
        "def call():\n"
        "    return xbce.sigmoid_cross_entropy(np.zeros(10**6), np.zeros(10**6))\n"
        "def late():\n"
        "    time.sleep(0.5)\n"
        "    print(call())\n"
        f"{earlier}threading.Thread(target=late).start()\n"
    )
    environment = os.environ | {"XBCE_THREADS": "2"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert run.stderr == b""
    np.testing.assert_allclose(float(run.stdout), np.log(2), rtol=1e-14)
