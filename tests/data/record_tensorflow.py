"""Record what TensorFlow answers: writes ``tensorflow.json`` beside this file.

Run it with tensorflow-cpu installed: ``python tests/data/record_tensorflow.py``. The
file names the version of TensorFlow that answered; ``tests/test_tensorflow.py``
compares with it, and needs no TensorFlow.
"""

import itertools
import json
import math
import random
from pathlib import Path

import numpy as np

DTYPES = ["float16", "bfloat16", "float32", "float64"]
SHAPES = [(4,), (3, 2), (2, 1, 3), (0, 3)]
REDUCTIONS = [
    "none",
    "weighted_sum",
    "weighted_mean",
    "weighted_sum_over_batch_size",
    "weighted_sum_by_nonzero_weights",
]
WEIGHTS = [1.0, 2.5, -0.5, 0.0, 3]
WEIGHTS += ["rows", "columns", "full", "negative", "cancelling", "zeros", "ints", "bools"]

VALUES = {
    # Eighths up to 20 in size: every dtype holds them exactly, and TensorFlow is accurate there.
    "logits": [0.0, 1.5, -2.25, 20.0, -20.0, 0.125, -0.5, 7.75, -11.0, 3.0, -5.125],
    "hard": [1, 0, 0, 1, 1, 0, 1],
    "soft": [0.25, 1.0, 0.75, 0.0, 0.5, 0.125, 0.875],
    "losses": [0.5, 2.0, 0.0, 0.125, 12.0, 1.75, 3.0],
    "rows": [0.25, 3.0, 0.0, 2.0],
    "columns": [1.5, 0.0, 2.0],
    "full": [2.0, 0.0, 0.75, 1.0, 0.0],
    "negative": [-1.5, 1.0, -0.0, -0.5],
    "cancelling": [1.0, -1.0],
    "zeros": [0.0],
    "ints": [2, 0, -3, 1, 5],
    "bools": [True, True, False],
    "wrong": [1.0],
}
"""What fills the arrays of a kind, again and again."""

arrays = {}
"""Every input that is used, once, by its name; a case may give it another dtype."""


def array(kind, shape):
    """The name of an array of this kind, for losses of this shape."""
    if kind == "rows":
        shape = (shape[0], *(1 for _ in shape[1:]))
    elif kind == "columns":
        shape = (*(1 for _ in shape[1:]), shape[-1])
    name = f"{kind} {'x'.join(map(str, shape)) or 'scalar'}"
    if name not in arrays:
        values = VALUES[kind]
        first = 4 * len(shape) if len(values) > 5 else 0  # not the same few in every shape
        filled = itertools.islice(itertools.cycle(values), first, first + math.prod(shape))
        dtype = {"ints": "int32", "bools": "bool"}.get(kind, "float32")
        arrays[name] = {"dtype": dtype, "shape": shape, "values": list(filled)}
    return name


def planned_cases():
    """Each dtype, reduction and kind of weights; the other arguments are drawn."""
    draw = random.Random(0)
    shapes = itertools.cycle([*SHAPES[:3] * 3, SHAPES[3]])
    for dtype, reduction, weights in itertools.product(DTYPES, REDUCTIONS, WEIGHTS):
        shape = next(shapes)
        weighted = {
            "weights": array(weights, shape) if isinstance(weights, str) else weights,
            "reduction": reduction,
        }
        label_dtype = draw.choice([dtype, "int32", "bool", "float32"])
        hard = label_dtype in ("int32", "bool") or draw.random() < 0.3
        yield {
            "function": "sigmoid_cross_entropy",
            "dtype": dtype,
            "logits": array("logits", shape),
            "multi_class_labels": array("hard" if hard else "soft", shape),
            "label_dtype": label_dtype,
            "label_smoothing": draw.choice([0, 0.1, -0.3]),
        } | weighted
        if draw.random() < 0.4:
            losses = array("losses", shape)
            yield {"function": "compute_weighted_loss", "dtype": dtype, "losses": losses} | weighted
    for dtype, shape, labels in itertools.product(DTYPES, SHAPES, ["hard", "soft"]):
        yield {
            "function": "sigmoid_cross_entropy_with_logits",
            "dtype": dtype,
            "logits": array("logits", shape),
            "labels": array(labels, shape),
            "label_dtype": dtype,
        }


def planned_errors():
    """Calls that go wrong, with an array's name or None for each argument."""
    x, z = array("logits", (3, 2)), array("hard", (3, 2))
    others = [(1, 2), (2,), (3, 1), (1, 3, 2), ()]
    element_wise = [{"labels": None}, {"logits": None}]
    element_wise += [{"labels": array("wrong", shape)} for shape in others]
    for wrong in element_wise:
        yield {"function": "sigmoid_cross_entropy_with_logits", "labels": z, "logits": x} | wrong
    weighted = [{"weights": None}, {"reduction": "mean"}, {"reduction": None}]
    others = [(3,), (2,), (1,), (2, 2), (3, 3), (0, 2), (3, 2, 1), (1, 3, 2)]
    weighted += [{"weights": array("wrong", shape)} for shape in others]
    for wrong in [{"losses": None}, *weighted]:
        yield {"function": "compute_weighted_loss", "losses": x} | wrong
    weighted += [{"multi_class_labels": None}, {"logits": None}]
    weighted += [{"multi_class_labels": array("wrong", shape)} for shape in [(1, 2), (2,), (3, 1)]]
    for wrong in weighted:
        yield {"function": "sigmoid_cross_entropy", "multi_class_labels": z, "logits": x} | wrong


def main():
    import tensorflow as tf

    functions = {
        "sigmoid_cross_entropy": tf.compat.v1.losses.sigmoid_cross_entropy,
        "compute_weighted_loss": tf.compat.v1.losses.compute_weighted_loss,
        "sigmoid_cross_entropy_with_logits": tf.nn.sigmoid_cross_entropy_with_logits,
    }

    def arguments_of(case):
        arguments = {key: value for key, value in case.items() if key not in ("function", "dtype")}
        label_dtype = arguments.pop("label_dtype", "float32")
        dtypes = dict.fromkeys(["logits", "losses"], case.get("dtype", "float32"))
        dtypes |= dict.fromkeys(["labels", "multi_class_labels"], label_dtype)
        for key, name in arguments.items():
            if name in arrays:
                made = np.reshape(arrays[name]["values"], arrays[name]["shape"])
                dtype = dtypes.get(key, arrays[name]["dtype"])
                arguments[key] = tf.cast(tf.constant(made), dtype)
        return arguments

    def numbers(tensor, dtype):
        """As flat numbers, of as many digits as tell those of the dtype apart."""
        digits = {"float16": 5, "bfloat16": 4, "float32": 9, "float64": 17}[dtype]
        values = tf.cast(tensor, "float64").numpy()
        assert np.all(np.isfinite(values))
        return [float(f"{value:.{digits}g}") for value in values.ravel()]

    cases, errors = [], []
    for case in planned_cases():
        arguments = arguments_of(case)
        by = arguments["losses" if "losses" in arguments else "logits"]
        with tf.GradientTape() as tape:
            tape.watch(by)
            value = functions[case["function"]](**arguments)
        assert value.dtype == case["dtype"]
        gradient = tape.gradient(value, by)
        value, gradient = numbers(value, case["dtype"]), numbers(gradient, case["dtype"])
        cases.append(case | {"value": value, "gradient": gradient})
    for case in planned_errors():
        try:
            functions[case["function"]](**arguments_of(case))
        except Exception as error:
            message = str(error).partition(" Received ")[0].partition("Received:")[0]
            errors.append(case | {"error": type(error).__name__, "message": message})
        else:
            raise AssertionError(f"TensorFlow takes {case}")

    def lines(rows):
        return ",\n".join(json.dumps(row, allow_nan=False, separators=(",", ":")) for row in rows)

    inputs = lines({"name": name} | made for name, made in arrays.items())
    with open(Path(__file__).with_name("tensorflow.json"), "w", encoding="utf-8") as file:
        file.write(f'{{"tensorflow":"{tf.__version__}",\n"arrays":[\n{inputs}],\n')
        file.write(f'"cases":[\n{lines(cases)}],\n"errors":[\n{lines(errors)}]}}\n')
    print(f"TensorFlow {tf.__version__}: {len(cases)} cases, {len(errors)} errors")


if __name__ == "__main__":
    main()
