"""Training loops inside jax.lax.scan with xbce as their loss: what losses of optax reach."""

import numpy as np
import pytest

from xbce.losses import Reduction, sigmoid_cross_entropy, sparse_softmax_cross_entropy

jax = pytest.importorskip("jax")
optax = pytest.importorskip("optax")
jnp = jax.numpy

BATCHES, ROWS, FEATURES, CLASSES = 5, 16, 6, 3


def batches():
    """Features, labels of 0, 1 and between, and a mask of them, all in batches."""
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (BATCHES, ROWS, FEATURES))
    scores = jax.nn.sigmoid(x @ jax.random.normal(keys[1], (FEATURES, CLASSES)))
    hard = jnp.arange(ROWS)[:, None] % 2 == 0
    labels = jnp.where(hard, jnp.round(scores), scores)
    return x, labels, jax.random.bernoulli(keys[2], 0.7, labels.shape)


def network(parameters, x):
    first, second = parameters
    return jnp.tanh(x @ first) @ second


def trained(loss, data, epochs=6):
    """All parameters at the end, and the loss of each batch; one program, compiled."""
    optimizer = optax.sgd(0.5)
    keys = jax.random.split(jax.random.key(1))
    sizes = (FEATURES, 16), (16, CLASSES)
    start = tuple(jax.random.normal(k, s) / 3 for k, s in zip(keys, sizes, strict=True))

    def step(carry, batch):
        parameters, state = carry
        x, *rest = batch
        value, slopes = jax.value_and_grad(lambda p: loss(network(p, x), *rest))(parameters)
        updates, state = optimizer.update(slopes, state)
        return (optax.apply_updates(parameters, updates), state), value

    @jax.jit
    def run(parameters):
        carry, losses = (parameters, optimizer.init(parameters)), []
        for _ in range(epochs):
            carry, values = jax.lax.scan(step, carry, data)
            losses.append(values)
        return carry[0], jnp.concatenate(losses)

    parameters, losses = run(start)
    return np.concatenate([np.ravel(a) for a in (losses, *parameters)])


def equal(actual, desired):
    np.testing.assert_allclose(actual, desired, atol=1e-5)


def test_sigmoid_binary_cross_entropy():
    x, labels, _ = batches()

    def own(logits, labels):
        return optax.sigmoid_binary_cross_entropy(logits, labels).mean()

    def ours(logits, labels):
        return sigmoid_cross_entropy(labels, logits)

    result = trained(ours, (x, labels))
    assert result[BATCHES * 5] < 0.8 * result[0]  # it has learned something
    equal(result, trained(own, (x, labels)))


def test_mask():
    def own(logits, labels, mask):
        losses = optax.sigmoid_binary_cross_entropy(logits, labels)
        return jnp.mean(losses, where=mask)

    def ours(logits, labels, mask):
        return sigmoid_cross_entropy(labels, logits, where=mask)

    equal(trained(ours, batches()), trained(own, batches()))


def test_weights():
    x, labels, _ = batches()
    weights = jnp.arange(labels.size).reshape(labels.shape) % 3.0

    def own(logits, labels, weights):
        return jnp.average(optax.sigmoid_binary_cross_entropy(logits, labels), weights=weights)

    def ours(logits, labels, weights):
        return sigmoid_cross_entropy(labels, logits, weights, reduction=Reduction.MEAN)

    equal(trained(ours, (x, labels, weights)), trained(own, (x, labels, weights)))


def test_integer_labels():
    x, scores, _ = batches()
    labels = scores.argmax(-1)

    def own(logits, labels):
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    def ours(logits, labels):
        return sparse_softmax_cross_entropy(labels, logits)

    equal(trained(ours, (x, labels)), trained(own, (x, labels)))


def test_a_batch_that_is_padding_changes_nothing():
    """With a mean over a mask it would make all parameters NaN."""
    x, labels, mask = batches()
    padding = jnp.arange(BATCHES + 1) == 3

    def padded(array, value):
        return jnp.insert(array, 3, value, axis=0)

    def ours(logits, labels, mask):
        return sigmoid_cross_entropy(labels, logits, where=mask)

    with_padding = trained(
        ours, (padded(x, 0.0), padded(labels, jnp.nan), padded(mask, False)), epochs=1
    )
    losses, parameters = np.split(with_padding, [BATCHES + 1])
    assert losses[padding] == 0
    equal([*losses[~padding], *parameters], trained(ours, (x, labels, mask), epochs=1))
