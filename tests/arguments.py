"""Arguments that each public function takes, and what it says of one that it does not."""

import inspect

import numpy as np
import pytest

from xbce import derivatives, losses, nn
from xbce.testing import as_numpy

ARRAYS = ("multi_class_labels", "onehot_labels", "labels", "logits", "losses")
BESIDE = ("weights", "where", "pos_weight")


def parameters_of(function):
    return inspect.signature(function).parameters


def with_parameter(*names):
    """The public functions that take one of these arguments."""
    public = [
        getattr(module, name)
        for module in (nn, losses, derivatives)
        for name in sorted(module.__all__)
    ]
    functions = [function for function in public if inspect.isfunction(function)]
    return [function for function in functions if set(names) & set(parameters_of(function))]


FUNCTIONS = with_parameter("logits", "losses")
PLACES = [
    pytest.param(function, argument, id=f"{function.__name__}-{argument}")
    for function in FUNCTIONS
    for argument in (*ARRAYS, *BESIDE)
    if argument in parameters_of(function)
]
FOCAL = with_parameter("alpha")
CLIPPED = with_parameter("clip")


def good(function, make=np.asarray):
    """Arguments that the function takes: three rows of two classes, made by `make`."""
    arguments = {}
    for argument, parameter in parameters_of(function).items():
        if argument in ("logits", "losses"):
            arguments[argument] = make(np.array([[1.0, -2.0], [0.5, 3.0], [-1.0, 0.0]], "f4"))
        elif argument in ARRAYS and "sparse" in function.__name__:
            arguments[argument] = make(np.array([0, 1, 1], "i4"))
        elif argument in ARRAYS:
            arguments[argument] = make(np.array([[1, 0], [0, 1], [0, 1]], "i4"))
        elif parameter.default is parameter.empty:
            arguments[argument] = 2.0
    return arguments


def message(error, function, **arguments):
    """What the call raises; it ends with the name of the call, wherever it can have one."""
    called = {key: "xyz" for key in ("name", "scope") if key in parameters_of(function)}
    with pytest.raises(error) as raised:
        function(**arguments, **called)
    text = str(raised.value)
    if called:
        assert text.endswith("(in 'xyz')"), text
    return text


def flat(result):
    parts = result if isinstance(result, tuple) else (result,)
    return np.concatenate([as_numpy(part).reshape(-1) for part in parts])
