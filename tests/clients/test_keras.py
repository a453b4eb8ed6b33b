"""Keras models trained with xbce as their loss: the numbers of Keras' own losses.

Keras takes its backend from the environment when it is imported, so that each has a process of
its own, which runs this file.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

import xbce

ROWS, CLASSES = 60, 3
SPECIAL = {"weighted": {"sample_weight": np.arange(ROWS) % 3.0}}  # of them a third is 0
SPECIAL["class weights"] = {"class_weight": {0: 0.5, 1: 2.0, 2: 0.0}}


def sigmoid(y_true, y_pred):
    """A mean a sample, which Keras weighs and reduces."""
    return xbce.sigmoid_cross_entropy(y_true, y_pred, axis=-1)


def sparse(y_true, y_pred):
    """Keras hands labels over as float32, whatever they were."""
    from keras import ops

    labels = ops.cast(y_true, "int32")
    return xbce.losses.sparse_softmax_cross_entropy(labels, y_pred, reduction="none")


def softmax(y_true, y_pred):
    return xbce.losses.softmax_cross_entropy(y_true, y_pred, reduction="none")


def smoothed(**options):
    """A loss with settings of its own."""
    import keras

    class SigmoidCrossEntropy(keras.losses.Loss):
        def __init__(self, label_smoothing=0.0, **options):
            super().__init__(**options)
            self.label_smoothing = label_smoothing

        def call(self, y_true, y_pred):
            return xbce.sigmoid_cross_entropy(
                y_true, y_pred, label_smoothing=self.label_smoothing, axis=-1
            )

    return SigmoidCrossEntropy(label_smoothing=0.1, **options)


def labels(shape):
    """Features, and labels of a kind: numbers of 2 or 3 classes, or 0 and 1 of any shape."""
    random = np.random.default_rng(0)
    x = random.normal(size=(ROWS, 4)).astype("float32")
    scores = x @ random.normal(size=(4, CLASSES))
    hard = {"binary": scores[:, 0] > 0, "several": scores > 0, "classes": scores.argmax(axis=1)}
    hard["rows"] = np.eye(CLASSES)[hard["classes"]]
    return x, hard[shape].astype("int64" if shape == "classes" else "float32")


def fitted(loss, kind, options):
    """Losses of each epoch, and the weights at the end."""
    import keras

    keras.utils.set_random_seed(0)
    x, y = labels(kind)
    model = keras.Sequential([keras.layers.Dense(1 if kind == "binary" else CLASSES)])
    model.compile(optimizer=keras.optimizers.SGD(0.5), loss=loss)
    history = model.fit(x, y, batch_size=16, epochs=3, verbose=0, **options)
    return np.concatenate([history.history["loss"], *map(np.ravel, model.get_weights())])


def run():
    """All pairs of a loss of xbce and that of Keras, as JSON."""
    import keras

    own = keras.losses
    binary = own.BinaryCrossentropy(from_logits=True)
    by_weights = {"reduction": "mean_with_sample_weight"}
    calls = [
        (sigmoid, binary, "binary", "plain"),
        (sigmoid, binary, "binary", "weighted"),
        (sigmoid, binary, "binary", "class weights"),
        (sigmoid, binary, "several", "weighted"),
        (
            smoothed(**by_weights),
            own.BinaryCrossentropy(from_logits=True, label_smoothing=0.1, **by_weights),
            "several",
            "weighted",
        ),
        (softmax, own.CategoricalCrossentropy(from_logits=True), "rows", "weighted"),
        (sparse, own.SparseCategoricalCrossentropy(from_logits=True), "classes", "plain"),
        (sparse, own.SparseCategoricalCrossentropy(from_logits=True), "classes", "class weights"),
    ]
    return [
        [fitted(loss, kind, SPECIAL.get(special, {})).tolist() for loss in pair]
        for *pair, kind, special in calls
    ]


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_the_numbers_of_keras(backend):
    for module in ("keras", backend):  # not imported here, for the process is not to have them
        if find_spec(module) is None:
            pytest.skip(f"no {module}")
    done = subprocess.run(
        [sys.executable, __file__],
        env=os.environ | {"KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for ours, own in json.loads(done.stdout):
        assert own[0] > own[2] > 0  # it has learned something
        np.testing.assert_allclose(ours, own, atol=1e-5)


if __name__ == "__main__":
    print(json.dumps(run()))
