"""The formulas themselves on every array library, and their derivatives by autodiff."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from xbce._losses import Loss

# --- autodiff -----------------------------------------------------------------------


def _parts(function: Callable[..., Any], x: Any) -> Any:
    """What is differentiated a second time: elements, or of each row the first class."""
    return (function(x)[..., 0] if x.ndim == 2 else function(x)).sum()


def by_torch(loss: Callable[..., Any], z: Any, x: Any) -> tuple[np.ndarray, np.ndarray]:
    """First and second derivatives of the elements, or of the first class of each row."""
    torch = pytest.importorskip("torch")
    from array_api_compat import torch as xp

    z, x = torch.asarray(z), torch.asarray(x).requires_grad_()

    def slopes(x: Any) -> Any:
        return torch.autograd.grad(loss(xp, z, x).sum(), x, create_graph=True)[0]

    return slopes(x).detach().numpy(), torch.autograd.grad(_parts(slopes, x), x)[0].numpy()


def by_torch_jvp(loss: Callable[..., Any], z: Any, x: Any) -> tuple[np.ndarray, np.ndarray]:
    """Forward over forward, for losses that work element by element."""
    torch = pytest.importorskip("torch")
    from array_api_compat import torch as xp

    z, x = torch.asarray(z), torch.asarray(x)

    def slopes(x: Any) -> Any:
        return torch.func.jvp(lambda x: loss(xp, z, x), (x,), (torch.ones_like(x),))[1]

    return slopes(x).numpy(), torch.func.jvp(slopes, (x,), (torch.ones_like(x),))[1].numpy()


def by_jax(loss: Callable[..., Any], z: Any, x: Any) -> tuple[np.ndarray, np.ndarray]:
    """The same by JAX, jitted."""
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):

        def slopes(x: Any) -> Any:
            return jax.grad(lambda x: loss(jax.numpy, jax.numpy.asarray(z), x).sum())(x)

        both = jax.jit(lambda x: (slopes(x), jax.grad(lambda x: _parts(slopes, x))(x)))
        return tuple(np.asarray(part) for part in both(jax.numpy.asarray(x)))


def by(*ways: Callable[..., Any]) -> Any:
    """A decorator: run the test with each of these ways, in the session of its library."""
    params = [
        pytest.param(way, id=way.__name__, marks=pytest.mark.backend(way.__name__.split("_")[1]))
        for way in ways
    ]
    return pytest.mark.parametrize("way", params)


# --- every array library --------------------------------------------------------------


def _plainly(xp: Any) -> Callable[..., Any]:
    return lambda f, *arrays: f(xp, *map(xp.asarray, arrays))


def _strict() -> Callable[..., Any]:
    return _plainly(pytest.importorskip("array_api_strict"))


def _mparray() -> Callable[..., Any]:
    return _plainly(pytest.importorskip("mparray"))


def _torch() -> Callable[..., Any]:
    pytest.importorskip("torch")
    from array_api_compat import torch as xp

    return _plainly(xp)


def _torch_compile() -> Callable[..., Any]:
    torch = pytest.importorskip("torch")
    from array_api_compat import torch as xp

    def compiled(f: Callable[..., Any], *arrays: Any) -> Any:
        torch.compiler.reset()
        function = torch.compile(lambda *a: f(xp, *a), fullgraph=True, backend="eager")
        return function(*map(torch.asarray, arrays))

    return compiled


def _jax() -> Callable[..., Any]:
    jax = pytest.importorskip("jax")

    def jitted(f: Callable[..., Any], *arrays: Any) -> Any:
        with jax.enable_x64(True):
            return jax.jit(lambda *a: f(jax.numpy, *a))(*arrays)

    return jitted


on_every_library = pytest.mark.parametrize(
    "library",
    [
        pytest.param(library, id=library.__name__[1:], marks=pytest.mark.backend(session))
        for library, session in (
            (_strict, "strict"),
            (_mparray, "numpy"),
            (_torch, "torch"),
            (_torch_compile, "torch"),
            (_jax, "jax"),
        )
    ],
)
"""A decorator: run the test with what calls a formula on each library."""


def formulas_of(loss: Loss, **parameters: Any) -> list[Callable[..., Any]]:
    """What gives each output of a loss, from (xp, labels, logits) and maybe class numbers."""
    outputs = [loss.value, loss.gradient, loss.value_and_gradient, loss.gradient_and_hessian]
    return [
        lambda xp, *arrays, f=formula: f(xp, *arrays, **parameters)
        for formula in outputs
        if formula is not None
    ]


def as_tuple(result: Any) -> list[np.ndarray]:
    """Each of one or two results, as an array of NumPy."""
    parts = result if isinstance(result, tuple) else (result,)
    # mparray's own numbers: NumPy makes none of its arrays
    return [np.asarray(getattr(part, "_data", part), dtype=float) for part in parts]
