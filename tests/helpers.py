"""What the tests of the single losses share: points to try, derivatives, and comparisons."""

from random import Random

import numpy as np
import pytest
from hypothesis import Phase, find, given, seed, settings
from hypothesis import strategies as st

from xbce.testing import as_numpy

FAR = [0.0, -0.0, 1e-30, 1, -1, 20, -20, 60, -60, 85, -85, 500, -500, 1e4, -1e4, np.inf, -np.inf]
"""Logits that a derivative must be right at."""


def points(name):
    """Labels and logits of every kind, up to where exp(-|x|) is a normal number."""
    far = {"float16": 9.0, "float64": 700.0}.get(name, 80.0)
    x = far * np.asarray([0, 1e-6, 1e-3, 0.03, 0.2, 0.5, 0.9, 1])
    z = np.asarray([0, 1, 0.5, 0.001, 0.999, 0.3])
    return tuple(a.ravel() for a in np.meshgrid(z, np.concatenate([x, -x])))


def promise(name, ulp):
    """16 bits are rounded once, whatever is promised of the others."""
    return 1 if name.endswith("16") else ulp


def one_hot(labels, classes):
    """Class numbers as rows of 0 and 1."""
    return np.eye(classes)[labels]


def by_autodiff(loss, z, x, second=True):
    """Each row's first derivatives, and those of the first of them."""
    if "torch" in type(x).__module__:
        torch = pytest.importorskip("torch")
        x = x.clone().requires_grad_()
        (first,) = torch.autograd.grad(loss(z, x).sum(), x, create_graph=True)
        if not second:
            return (first,)
        return first, torch.autograd.grad(first[..., 0].sum(), x)[0]
    jax = pytest.importorskip("jax")

    def slopes(x):
        return jax.grad(lambda x: loss(z, x).sum())(x)

    if not second:
        return (jax.jit(slopes)(x),)
    return jax.jit(slopes)(x), jax.jit(jax.grad(lambda x: slopes(x)[..., 0].sum()))(x)


def drawn(data, shape, low, high):
    """An array that hypothesis draws, of 64ths."""
    size = int(np.prod(shape))
    values = st.lists(st.integers(low * 64, high * 64), min_size=size, max_size=size)
    return np.reshape(data.draw(values), shape) / 64


def close(actual, desired):
    """Float32 after a few operations."""
    np.testing.assert_allclose(as_numpy(actual), as_numpy(desired), rtol=3e-6, atol=1e-36)


def examples(strategy, number=100, start=0):
    """So many examples, from a fixed seed."""
    found = []

    @seed(start)
    @settings(max_examples=number, database=None, phases=[Phase.generate])
    @given(strategy)
    def collect(example):
        found.append(example)

    collect()
    return found


def smallest(strategy, condition, start=0):
    """What it shrinks to, from a fixed seed."""
    more = settings(max_examples=1000, database=None)
    return find(strategy, lambda found: bool(condition(found)), settings=more, random=Random(start))
