"""The pairs of calls that ratios.py times: a library's own loss, and that of xbce.

A group is a generator of names, each with two calls without arguments: the library's, then that of
xbce. It ends with ImportError where the library is not installed. No array has more than about
`most` elements: whoever only tries the script wants fewer than the names say.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import contenders
import numpy as np
from contenders import Inputs, trained
from machine import arrays

from xbce import losses, nn
from xbce._engines import _options

Call = Callable[[], Any]
Pairs = Iterator[tuple[str, Call, Call]]
TORCH_SIZES = (6, 15, 17, 20, 22, 24)  # powers of 2, as are the next
NUMPY_SIZES = (10, 13, 15, 17, 20, 22, 24)
RIVALS: dict[str, contenders.Maker] = {
    "PyTorch": contenders.torch,
    "torch.compile": partial(contenders.torch, compiled=True),
    "scikit-learn": contenders.scikit_learn,
    "jax.jit of optax": contenders.jax,
}
OURS = {
    "sparse softmax": losses.sparse_softmax_cross_entropy,
    "softmax": losses.softmax_cross_entropy,
}


# --- PyTorch's tensors ------------------------------------------------------------


def torch_sizes(most: int) -> Pairs:
    """From few elements, where only the calls cost, to many."""
    for power in TORCH_SIZES:
        inputs = Inputs(*arrays("float32", min(2**power, most)))
        theirs, ours = contenders.torch(inputs), contenders.xbce_torch(inputs)
        if power == TORCH_SIZES[0]:
            yield f"loss, {2**power} elements", theirs.loss, ours.loss
            yield f"mean, {2**power} elements", theirs.mean, ours.mean
        yield torch_name(power), theirs.gradient, ours.gradient


def torch_name(power: int) -> str:
    """The name of a pair that the plot of sizes shows."""
    return f"mean with backward, {count(power)} elements"


def count(power: int) -> str:
    """A power of 2, in digits where they are few."""
    return f"2^{power}" if power > 9 else str(2**power)


def torch_options(most: int) -> Pairs:
    """The focal loss, and a weight of positive labels."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    z, _, x = Inputs(*arrays("float32", min(2**20, most))).torch("cpu")

    def focal() -> Any:
        """What is usual: a library for images has these operations, in this order."""
        p = torch.sigmoid(x)
        loss = binary_cross_entropy_with_logits(x, z, reduction="none")
        of_label = p * z + (1 - p) * (1 - z)
        loss = loss * (1 - of_label) ** 2.0
        return ((0.25 * z + (1 - 0.25) * (1 - z)) * loss).mean()

    def our_focal() -> Any:
        return nn.sigmoid_focal_loss(labels=z, logits=x, alpha=0.25).mean()

    yield "focal loss with backward, 2^20 elements", *both_trained(focal, our_focal, x)
    theirs = partial(binary_cross_entropy_with_logits, x, z, pos_weight=torch.tensor(3.0))
    ours = partial(losses.sigmoid_cross_entropy, z, x, pos_weight=3.0)
    yield "pos_weight with backward, 2^20 elements", *both_trained(theirs, ours, x)


def both_trained(theirs: Call, ours: Call, leaf: Any) -> tuple[Call, Call]:
    """Forward and backward of both."""
    return partial(trained, theirs, leaf), partial(trained, ours, leaf)


@cache  # the last groups share the arrays, which take a second
def class_arrays(rows: int, classes: int) -> tuple[Any, Any, Any]:
    """Numbers of classes, one-hot labels, and logits."""
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, classes, rows)
    hot = np.zeros((rows, classes), np.float32)
    hot[np.arange(rows), numbers] = 1
    return numbers, hot, 3 * rng.standard_normal((rows, classes), dtype=np.float32)


def few(rows: int, classes: int, most: int) -> tuple[int, int]:
    """As many rows as `most` allows."""
    return min(rows, 1 + most // classes), classes


def torch_classes(most: int) -> Pairs:
    """Few classes, a thousand, and as many as a language model has."""
    import torch
    from torch.nn.functional import cross_entropy

    for shape in ((131072, 10), (4096, 1000), (64, 50257)):
        numbers, hot, x = map(torch.from_numpy, class_arrays(*few(*shape, most)))
        x = x.clone().requires_grad_()
        for (name, ours), z in zip(OURS.items(), (numbers, hot), strict=True):
            pair = both_trained(partial(cross_entropy, x, z), partial(ours, z, x), x)
            yield f"{name} with backward, {shape[0]} x {shape[1]}", *pair
    class_arrays.cache_clear()


def torch_steps(most: int) -> Pairs:
    """A whole step of training: a small network on handwritten digits, 128 a batch."""
    import torch
    from sklearn.datasets import load_digits
    from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, one_hot

    images, numbers = load_digits(return_X_y=True)
    images = torch.from_numpy((images[:128] / 16).astype("float32"))
    numbers = torch.from_numpy(numbers[:128])

    def step(loss: Callable[[Any], Any]) -> Call:
        torch.manual_seed(0)
        layers = torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10)
        model = torch.nn.Sequential(*layers)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)

        def run() -> None:
            optimizer.zero_grad()
            loss(model(images)).backward()
            optimizer.step()

        return run

    z = one_hot(numbers, 10).float()
    theirs = step(lambda x: binary_cross_entropy_with_logits(x, z))
    yield "training step, sigmoid", theirs, step(partial(losses.sigmoid_cross_entropy, z))
    ours = step(partial(losses.sparse_softmax_cross_entropy, numbers))
    yield "training step, sparse softmax", step(lambda x: cross_entropy(x, numbers)), ours


# --- inside a compiler ------------------------------------------------------------


def torch_compiled(most: int) -> Pairs:
    """Forward and backward under torch.compile."""
    import torch
    from torch.nn.functional import cross_entropy

    numbers, hot, x = map(torch.from_numpy, class_arrays(*few(4096, 1000, most)))
    x = x.clone().requires_grad_()
    for (name, ours), z in zip(OURS.items(), (numbers, hot), strict=True):
        # PyTorch runs its own functions eagerly where none of the user's calls them.
        functions = (lambda x, z: cross_entropy(x, z)), (lambda x, z, ours=ours: ours(z, x))
        calls = (partial(torch.compile(function, dynamic=False), x, z) for function in functions)
        yield f"{name}, torch.compile", *both_trained(*calls, x)


def jax_compiled(most: int) -> Pairs:
    """Value and gradient under jax.jit, beside optax."""
    import jax

    numbers, hot, x = map(jax.numpy.asarray, class_arrays(*few(4096, 1000, most)))
    for (name, ours), z in zip(OURS.items(), (numbers, hot), strict=True):
        jitted = (jax.jit(jax.value_and_grad(loss, 1)) for loss in (optax_mean(name), ours))
        theirs, ours = (partial(finished, call, z, x) for call in jitted)
        yield f"{name}, jax.jit beside optax", theirs, ours


def optax_mean(name: str) -> Callable[[Any, Any], Any]:
    """The mean of a loss of optax, of labels and logits."""
    import optax

    functions = {
        "sparse softmax": optax.softmax_cross_entropy_with_integer_labels,
        "softmax": optax.softmax_cross_entropy,
    }
    return lambda z, x: functions[name](x, z).mean()


def finished(call: Callable[..., Any], *arguments: Any) -> Any:
    """What a call of JAX gives, waited for."""
    import jax

    return jax.block_until_ready(call(*arguments))


# --- JAX's arrays, and NumPy's ----------------------------------------------------


def jax_one(most: int) -> Pairs:
    """Outside jax.jit, beside optax inside it."""
    inputs = Inputs(*arrays("float32", 1))
    theirs, ours = contenders.jax(inputs), contenders.xbce_jax(inputs)
    yield "loss, 1 element, beside jax.jit of optax", theirs.loss, ours.loss
    yield "mean, 1 element, beside jax.jit of optax", theirs.mean, ours.mean


def numpy_one(most: int) -> Pairs:
    """What a call costs beside the operations of the formula."""
    inputs = Inputs(*arrays("float32", 1))
    bare, ours = contenders.bare_formula(inputs), contenders.xbce_numpy(inputs)
    yield "loss, 1 element, beside the bare formula", bare.loss, ours.loss
    yield "mean, 1 element, beside the bare formula", bare.loss, ours.mean


def numpy_large(most: int) -> Pairs:
    """Many elements, beside what PyTorch compiles."""
    for dtype in ("float32", "float64"):
        inputs = Inputs(*arrays(dtype, min(2**24, most)))
        theirs, ours = contenders.torch(inputs, compiled=True), contenders.xbce_numpy(inputs)
        for task in ("loss", "mean"):
            name = f"{task}, 2^24 of {dtype}, beside torch.compile"
            yield name, getattr(theirs, task), getattr(ours, task)


def numpy_classes(rival: str, most: int) -> Pairs:
    """Softmax over a thousand classes, beside one rival."""
    numbers, hot, x = class_arrays(*few(16384, 1000, most))
    theirs = CLASS_RIVALS[rival](numbers, hot, x)
    for (name, ours), z in zip(OURS.items(), (numbers, hot), strict=True):
        if name in theirs:
            yield f"{name}, 16384 x 1000, beside {rival}", theirs[name], partial(ours, z, x)


def torch_softmax(numbers: Any, hot: Any, x: Any) -> dict[str, Call]:
    """The means of PyTorch, by name."""
    import torch
    from torch.nn.functional import cross_entropy

    numbers, hot, x = map(torch.from_numpy, (numbers, hot, x))
    return {
        "sparse softmax": partial(cross_entropy, x, numbers),
        "softmax": partial(cross_entropy, x, hot),
    }


def sklearn_softmax(numbers: Any, hot: Any, x: Any) -> dict[str, Call]:
    """The mean of scikit-learn's private HalfMultinomialLoss: labels are numbers of classes."""
    from sklearn._loss import HalfMultinomialLoss

    loss = HalfMultinomialLoss(n_classes=x.shape[1]).loss
    # Rows follow each other in memory, as logits come: columns first takes it no less time.
    options = {"y_true": numbers.astype(x.dtype), "raw_prediction": x}
    options["n_threads"] = _options.threads()
    return {"sparse softmax": lambda: loss(**options).mean()}


def jax_softmax(numbers: Any, hot: Any, x: Any) -> dict[str, Call]:
    """The means of optax, under jax.jit."""
    import jax

    numbers, hot, x = map(jax.numpy.asarray, (numbers, hot, x))
    labels = {"sparse softmax": numbers, "softmax": hot}
    return {name: partial(finished, jax.jit(optax_mean(name)), z, x) for name, z in labels.items()}


def numpy_sizes(rival: str, most: int) -> Pairs:
    """For the plot of sizes: one rival, from few elements to many."""
    for power in NUMPY_SIZES:
        inputs = Inputs(*arrays("float32", min(2**power, most)))
        theirs, ours = RIVALS[rival](inputs), contenders.xbce_numpy(inputs)
        yield numpy_name("loss", power, rival), theirs.loss, ours.loss
        yield numpy_name("mean", power, rival), theirs.mean, ours.mean


def numpy_name(task: str, power: int, rival: str) -> str:
    """The name of a pair that only the plot of sizes shows."""
    return f"{task}, {count(power)} elements, beside {rival}"


CLASS_RIVALS = {
    "PyTorch": torch_softmax,
    "scikit-learn": sklearn_softmax,
    "jax.jit of optax": jax_softmax,
}
TABLES: dict[str, list[Callable[[int], Pairs]]] = {
    "PyTorch": [torch_sizes, torch_options, torch_classes, torch_steps],
    "Compiled, 4096 x 1000 with gradient": [torch_compiled, jax_compiled],
    "JAX": [jax_one],
    "NumPy": [numpy_one, numpy_large, *(partial(numpy_classes, name) for name in CLASS_RIVALS)],
}
BY_SIZE = "NumPy by size"
GROUPS = TABLES | {BY_SIZE: [partial(numpy_sizes, name) for name in RIVALS]}
