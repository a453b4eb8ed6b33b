"""Implementations of the loss: xbce on each library, and others beside it.

A contender is made from labels and logits of NumPy, and holds three calls without arguments:
the element-wise loss, its mean, and the mean with its gradient by the logits. One that is not
installed raises ImportError.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import array_api_compat.numpy
import numpy as np

import xbce
from xbce import _formula
from xbce.derivatives import value_and_grad


@dataclass
class Contender:
    """The calls. `wait` ends when the result is there."""

    loss: Callable[[], Any]
    mean: Callable[[], Any]
    gradient: Callable[[], Any]
    wait: Callable[[], None] = lambda: None


class Inputs:
    """Labels and logits of NumPy, and the same in other libraries, once for all contenders."""

    def __init__(self, z: Any, x: Any):
        self.numpy = z, x
        self.torch = cache(self.torch)
        self.jax = cache(self.jax)
        self.tensorflow = cache(self.tensorflow)

    def torch(self, device: str) -> tuple[Any, Any, Any]:
        """Labels, logits, and logits that autograd follows."""
        import torch

        labels, logits = (torch.from_numpy(array).to(device) for array in self.numpy)
        return labels, logits, logits.detach().clone().requires_grad_()

    def jax(self) -> tuple[Any, Any]:
        """On JAX's first device."""
        import jax

        return tuple(map(jax.numpy.asarray, self.numpy))

    def tensorflow(self) -> tuple[Any, Any]:
        """Eager tensors."""
        import tensorflow

        return tuple(map(tensorflow.constant, self.numpy))


def xbce_calls(z: Any, x: Any, fuse: Any, gradient: Any = None) -> Contender:
    """The three calls of xbce on arrays of any library."""

    def under(call: Callable[..., Any]) -> Callable[[], Any]:
        def timed() -> Any:
            with xbce.options(fuse=fuse):
                return call()

        return call if fuse == "auto" else timed

    return Contender(
        under(partial(xbce.sigmoid_cross_entropy_with_logits, labels=z, logits=x)),
        under(partial(xbce.sigmoid_cross_entropy, z, x)),
        under(gradient or partial(value_and_grad, z, x)),
    )


def xbce_numpy(inputs: Inputs, fuse: Any = "auto") -> Contender:
    """On NumPy's arrays."""
    return xbce_calls(*inputs.numpy, fuse)


def bare_formula(inputs: Inputs) -> Contender:
    """The formula of xbce, called as it stands."""
    z, x = inputs.numpy
    loss, both = (
        partial(formula, array_api_compat.numpy, z, x)
        for formula in (_formula.sigmoid_cross_entropy, _formula.sigmoid_value_and_gradient)
    )
    return Contender(loss, lambda: loss().sum(dtype=np.float64), both)


def naive_numpy(inputs: Inputs) -> Contender:
    """The usual stable expression on NumPy."""
    z, x = inputs.numpy

    def loss() -> Any:
        return np.maximum(x, 0) - x * z + np.log1p(np.exp(-np.abs(x)))

    def gradient() -> Any:
        return loss().mean(), (1 / (1 + np.exp(-x)) - z) / x.dtype.type(x.size)

    return Contender(loss, lambda: loss().mean(), gradient)


def scipy(inputs: Inputs) -> Contender:
    """SciPy's log_expit and expit."""
    z, x = inputs.numpy
    from scipy.special import expit, log_expit

    def loss() -> Any:
        return -(z * log_expit(x) + (1 - z) * log_expit(-x))

    def gradient() -> Any:
        return loss().mean(), (expit(x) - z) / x.dtype.type(x.size)

    return Contender(loss, lambda: loss().mean(), gradient)


def scikit_learn(inputs: Inputs) -> Contender:
    """scikit-learn's private HalfBinomialLoss, on the threads that it may use."""
    z, x = inputs.numpy
    from sklearn._loss import HalfBinomialLoss

    half = HalfBinomialLoss()
    options = {"y_true": z, "raw_prediction": x, "n_threads": xbce._engines._options.threads()}

    def mean() -> Any:
        return half.loss(**options).mean()

    def gradient() -> Any:
        losses, slopes = half.loss_gradient(**options)
        return losses.mean(), slopes / x.dtype.type(x.size)

    return Contender(partial(half.loss, **options), mean, gradient)


def torch(inputs: Inputs, compiled: bool = False, device: str = "cpu") -> Contender:
    """PyTorch's own loss."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    labels, logits, leaf = inputs.torch(device)

    def loss(logits: Any, labels: Any) -> Any:
        return binary_cross_entropy_with_logits(logits, labels, reduction="none")

    def mean(logits: Any, labels: Any) -> Any:
        return binary_cross_entropy_with_logits(logits, labels)

    if compiled:
        torch.compiler.reset()
        loss, mean = torch.compile(loss, dynamic=False), torch.compile(mean, dynamic=False)
    gradient = partial(trained, lambda: mean(leaf, labels), leaf)
    calls = partial(loss, logits, labels), partial(mean, logits, labels), gradient
    return Contender(*calls, torch.cuda.synchronize if device == "cuda" else lambda: None)


def xbce_torch(inputs: Inputs, fuse: Any = "auto", device: str = "cpu") -> Contender:
    """xbce on PyTorch's tensors."""
    import torch

    labels, logits, leaf = inputs.torch(device)
    gradient = partial(trained, lambda: xbce.sigmoid_cross_entropy(labels, leaf), leaf)
    made = xbce_calls(labels, logits, fuse, gradient)
    if device == "cuda":
        made.wait = torch.cuda.synchronize
    return made


def trained(mean: Callable[[], Any], leaf: Any) -> Any:
    """Forward and backward."""
    leaf.grad = None
    mean().backward()
    gradient, leaf.grad = leaf.grad, None
    return gradient


def jax(inputs: Inputs) -> Contender:
    """The usual stable expression under jax.jit: what optax has."""
    import jax
    import optax

    labels, logits = inputs.jax()
    loss = jax.jit(optax.sigmoid_binary_cross_entropy)

    def mean(logits: Any, labels: Any) -> Any:
        return optax.sigmoid_binary_cross_entropy(logits, labels).mean()

    reduced, both = jax.jit(mean), jax.jit(jax.value_and_grad(mean))
    return Contender(
        lambda: loss(logits, labels).block_until_ready(),
        lambda: reduced(logits, labels).block_until_ready(),
        lambda: jax.block_until_ready(both(logits, labels)),
    )


def xbce_jax(inputs: Inputs) -> Contender:
    """xbce on JAX's arrays."""
    import jax

    made = xbce_calls(*inputs.jax(), "auto")
    loss, mean, gradient = made.loss, made.mean, made.gradient
    return Contender(
        *(lambda call=call: jax.block_until_ready(call()) for call in (loss, mean, gradient))
    )


def tensorflow(inputs: Inputs, compiled: bool = False) -> Contender:
    """TensorFlow's own loss, eagerly or by XLA."""
    import tensorflow as tf

    labels, logits = inputs.tensorflow()

    def loss(labels: Any, logits: Any) -> Any:
        return tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)

    def mean(labels: Any, logits: Any) -> Any:
        return tf.reduce_mean(loss(labels, logits))

    def both(labels: Any, logits: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = mean(labels, logits)
        return value, tape.gradient(value, logits)

    calls = (loss, mean, both)
    if compiled:
        calls = tuple(tf.function(call, jit_compile=True) for call in calls)
    return Contender(*(partial(_numpy, call, labels, logits) for call in calls))


def _numpy(call: Callable[..., Any], *arrays: Any) -> Any:
    """The result, when it is there."""
    result = call(*arrays)
    last = result[-1] if isinstance(result, tuple) else result
    return last.numpy()


def cupy(inputs: Inputs, fuse: Any = "auto") -> Contender:
    """xbce on CuPy's arrays."""
    import cupy

    made = xbce_calls(*map(cupy.asarray, inputs.numpy), fuse)
    made.wait = cupy.cuda.Device().synchronize
    return made


Maker = Callable[[Inputs], Contender]

ON_CPU: dict[str, Maker] = {
    "xbce": xbce_numpy,
    "xbce, fuse=True": partial(xbce_numpy, fuse=True),
    "xbce's bare formula": bare_formula,
    "xbce on PyTorch": xbce_torch,
    "xbce on PyTorch, fuse=True": partial(xbce_torch, fuse=True),
    "xbce on JAX": xbce_jax,
    "NumPy, stable expression": naive_numpy,
    "SciPy": scipy,
    "scikit-learn": scikit_learn,
    "PyTorch": torch,
    "PyTorch, compiled": partial(torch, compiled=True),
    "JAX, jit (optax)": jax,
    "TensorFlow": tensorflow,
    "TensorFlow, XLA": partial(tensorflow, compiled=True),
}

ON_GPU: dict[str, Maker] = {
    "xbce on CuPy": cupy,
    "xbce on CuPy, fuse=False": partial(cupy, fuse=False),
    "xbce on PyTorch": partial(xbce_torch, device="cuda"),
    "xbce on PyTorch, fuse=True": partial(xbce_torch, fuse=True, device="cuda"),
    "xbce on JAX": xbce_jax,
    "PyTorch": partial(torch, device="cuda"),
    "PyTorch, compiled": partial(torch, compiled=True, device="cuda"),
    "JAX, jit (optax)": jax,
}
