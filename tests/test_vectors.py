"""The test vectors: what they should hold, each number right, and the page that explains them."""

import io
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import exact
import mpmath
import numpy as np
import pytest

from xbce import losses
from xbce._evaluate import Weighting, evaluate
from xbce._losses import ASYMMETRIC, LOSSES, named
from xbce.losses import Reduction
from xbce.testing import __main__ as command
from xbce.testing import _vectors, ulp_error

PAGE = Path(__file__).parent.parent.joinpath("docs", "vectors.md").read_text("utf-8")
PLANTED = 60  # as many ulp of float64 as no loss is off by
REDUCED = {
    "sigmoid_cross_entropy": losses.sigmoid_cross_entropy,
    "weighted_cross_entropy": losses.sigmoid_cross_entropy,
    "softmax_cross_entropy": losses.softmax_cross_entropy,
    "sparse_softmax_cross_entropy": losses.sparse_softmax_cross_entropy,
}
numpy_only = pytest.mark.backend("numpy")


@cache
def written():
    return _vectors.text(_vectors.vectors())


@cache
def reader():
    """The code on the page."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names = {}
    exec(code, names)
    return names["read"]


@cache
def cases():
    return list(reader()(io.StringIO(written())))


# --- what xbce makes of a case -------------------------------------------------------


def arguments(case, asarray, dtype):
    """Labels and logits as arrays of a library; and, by their names, all that goes with them."""
    numbers = case["labels"].dtype.kind == "i"
    labels = asarray(case["labels"], "int64" if numbers else dtype)
    logits = asarray(case["logits"], dtype)
    if "reduction" not in case:
        return labels, logits, case["parameters"]
    weights, where, options = case["weights"], case["where"], {"reduction": case["reduction"]}
    options["weights"] = asarray(weights, dtype) if weights.ndim else float(weights)
    options["where"] = asarray(where, "bool") if where.ndim else bool(where)
    if not numbers:
        options["label_smoothing"] = float(case["label_smoothing"])
    return labels, logits, case["parameters"] | options


def by_numpy(case, dtype):
    """Each result of a case by the closed forms."""
    z, x, options = arguments(case, np.asarray, dtype)
    loss, arrays = named(case["loss"]), {"labels": z, "logits": x}
    if "reduction" not in case:
        yield "value", evaluate(loss, arrays, **options)
        yield "gradient", evaluate(loss, arrays, output="gradient", **options)
        if loss.gradient_and_hessian is not None:
            yield "hessian", evaluate(loss, arrays, output="gradient_and_hessian", **options)[1]
        return
    yield "value", REDUCED[case["loss"]](z, x, **options)
    parameters = {name: options.pop(name) for name in case["parameters"]}
    weighting = Weighting(**options)
    both = evaluate(loss, arrays, output="value_and_gradient", weighting=weighting, **parameters)
    yield from zip(("value", "gradient"), both, strict=True)


def by_torch(case, dtype):
    """The value, and its derivative by autograd."""
    torch = pytest.importorskip("torch")

    def asarray(values, name):
        return torch.asarray(values.tolist(), dtype=getattr(torch, name))

    z, x, options = arguments(case, asarray, dtype)
    x.requires_grad_()
    if "reduction" in case:
        value = REDUCED[case["loss"]](z, x, **options)
    else:
        value = evaluate(named(case["loss"]), {"labels": z, "logits": x}, **options)
    yield "value", value.detach()
    yield "gradient", torch.autograd.grad(value.sum(), x)[0]


def wrong(given, way):
    """What is further from the file than xbce promises, in each dtype that holds the inputs."""
    found = []
    for case in given:
        about = [case.get(key) for key in ("loss", "parameters", "about", "reduction")]
        promised = named(case["loss"]).promised
        for dtype in ("float32", "float64") if case["dtype"] == "float32" else ("float64",):
            limit = promised(dtype) + (0.5 if dtype == "float64" else 0)  # as the file is rounded
            for quantity, actual in way(case, dtype):
                assert tuple(actual.shape) == case[quantity].shape, (about, quantity)
                errors = ulp_error(actual, case[quantity], case.get(f"{quantity}_scale"))
                if not np.max(errors) <= limit:
                    found.append(f"{about} {dtype} {quantity}: {np.max(errors)} ulp, not {limit}")
    return found


@numpy_only
def test_every_number_is_as_near_as_it_is_promised_by_the_closed_forms():
    assert wrong(cases(), by_numpy) == []


@pytest.mark.backend("torch")
def test_every_number_is_as_near_as_it_is_promised_by_autograd():
    assert wrong(cases(), by_torch) == []


@numpy_only
@pytest.mark.parametrize(
    ("quantity", "wanted"),
    [
        ("value", {"loss": "sigmoid_cross_entropy", "about": "finite"}),
        ("gradient", {"loss": "weighted_cross_entropy", "about": "finite"}),
        ("hessian", {"loss": "sigmoid_cross_entropy", "about": "finite"}),
        ("hessian", {"loss": "sigmoid_focal", "about": "finite"}),
        ("value", {"loss": "softmax_cross_entropy", "about": "special"}),
        ("value", {"about": "plain", "reduction": "weighted_mean"}),
        ("gradient", {"about": "smoothed labels", "reduction": "none"}),
        ("gradient", {"about": "a mask a row", "reduction": "weighted_sum"}),
    ],
    ids=str,
)
def test_one_wrong_number_is_found(quantity, wanted):
    case = next(c for c in cases() if all(c.get(k) == v for k, v in wanted.items()))
    assert wrong([case], by_numpy) == []
    numbers = np.atleast_1d(case[quantity])
    scale = np.atleast_1d(case.get(f"{quantity}_scale", numbers))
    place = np.argmax(np.isfinite(numbers) & (numbers > 0.5 * scale) & (scale > 0.01))
    planted = numbers.copy()
    planted.flat[place] += PLANTED * np.spacing(numbers.flat[place])
    messages = wrong([case | {quantity: planted.reshape(case[quantity].shape)}], by_numpy)
    assert messages
    assert all(f"float64 {quantity}: " in message for message in messages)


# --- against other definitions --------------------------------------------------------


@numpy_only
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_finite_numbers_are_those_of_other_definitions(loss):
    mine = [c for c in cases() if c["loss"] == loss.name and c["about"] == "finite"]
    assert len(mine) == 2 * len(loss.examples())
    for case in mine:
        z, x, parameters = case["labels"], case["logits"], dict(case["parameters"])
        near = slice(None)
        if loss.over_classes:
            z = np.eye(x.shape[-1])[z] if loss.class_numbers else z
            value, gradient, hessian, scale = exact.exact_softmax(z, x)
            np.testing.assert_allclose(case["gradient_scale"], scale, rtol=1e-15)
        else:
            near = np.abs(x) < 1000  # beyond, 400 digits take long, and tell nothing new
            if loss is ASYMMETRIC:
                found = exact.exact_asymmetric(z[near], x[near], **parameters)
            else:
                q = parameters.pop("pos_weight", 1.0)
                found = exact.exact_family(z[near], x[near], q, **parameters)
            value, gradient, hessian = found
        np.testing.assert_array_equal(case["hessian"][near], hessian)
        np.testing.assert_array_equal(case["value"][near], value)
        np.testing.assert_array_equal(case["gradient"][near], gradient)


FORMULA = re.compile(r"^\| (\w+) \| `([^`|]+)` \| `([^`|]+)` \|$", re.MULTILINE)


def names_of_the_page(case, i):
    """What the formulas on the page are made of, of one element or row, in many digits."""
    given = {name: mpmath.mpf(value) for name, value in case["parameters"].items()}
    long = {"pos_weight": "q", "gamma": "g", "gamma_positive": "gp", "gamma_negative": "gn"}
    names = {long.get(name, name): value for name, value in given.items()}
    z, x = case["labels"][i], np.vectorize(mpmath.mpf, otypes=[object])(case["logits"][i])
    names |= {"log": np.frompyfunc(mpmath.log, 1, 1), "sum": np.sum, "z": z}
    if case["logits"].ndim > 1:
        powers = np.frompyfunc(mpmath.exp, 1, 1)(x - np.max(x))
        names["z"] = z if z.ndim == 0 else np.vectorize(mpmath.mpf, otypes=[object])(z)
        return names | {"p": powers / np.sum(powers), "gradient": case["gradient"][i]}
    z, x = mpmath.mpf(float(z)), mpmath.mpf(float(case["logits"][i]))
    s, r = 1 / (1 + mpmath.exp(-x)), 1 / (1 + mpmath.exp(x))
    alpha = given.get("alpha")
    names |= {"z": z, "s": s, "r": r, "u": z * r + (1 - z) * s, "log": mpmath.log}
    names["l"] = -z * mpmath.log(s) - (1 - z) * mpmath.log(r)
    names["a"] = 1 if alpha is None else alpha * z + (1 - alpha) * (1 - z)
    p = max(s - given.get("clip", 0), 0)
    return names | {"p": p or mpmath.mpf("1e-400")}  # where 0 over 0 is to be 0


@numpy_only
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_finite_numbers_are_those_of_the_formulas_on_the_page(loss):
    formulas = {name: both for name, *both in FORMULA.findall(PAGE)}
    assert list(formulas) == [known.name for known in LOSSES]
    mine = [c for c in cases() if c["loss"] == loss.name and c["about"] == "finite"]
    for case in (c for c in mine if "reduction" not in c):
        for i, logits in enumerate(case["logits"]):
            if np.max(np.abs(logits)) > 800:  # more digits take long, and tell nothing new
                continue
            with mpmath.workdps(1000):
                names = names_of_the_page(case, i)
                for quantity, formula in zip(
                    ("value", "gradient_scale"), formulas[loss.name], strict=True
                ):
                    found = np.asarray(eval(formula, names.copy())).astype(float)
                    np.testing.assert_allclose(
                        found, case[quantity][i], rtol=3e-16, atol=1e-323, err_msg=formula
                    )


@numpy_only
def test_a_clip_bounds_the_loss_of_an_infinite_logit_as_the_page_says():
    formula = "-(1 - z)*(1 - m)**gn*log(m)"
    assert f"`{formula}`" in PAGE
    seen = set()
    for case in cases():
        if case["loss"] == ASYMMETRIC.name and case["about"] == "special":
            at = case["logits"] == np.inf
            z, gn, m = (
                case["labels"][at],
                case["parameters"]["gamma_negative"],
                case["parameters"]["clip"],
            )
            if m > 0:
                wanted = eval(formula, {"z": z, "m": m, "gn": gn, "log": np.log})
                np.testing.assert_allclose(case["value"][at], wanted, rtol=1e-14)
                np.testing.assert_array_equal(case["gradient"][at], 0 * z)
                seen |= {round(float(value), 2) for value in wanted}
    assert 2.44 in seen


# --- what is in the file --------------------------------------------------------------


@numpy_only
def test_every_loss_reduction_and_special_value_is_there():
    found = [c for c in cases() if "reduction" not in c]
    for loss in LOSSES:
        for dtype in ("float32", "float64"):
            mine = [c for c in found if (c["loss"], c["dtype"]) == (loss.name, dtype)]
            assert len(mine) == 2 * len(loss.examples())
            assert {frozenset(c["parameters"]) for c in mine} == {
                frozenset(example) for example in loss.examples()
            }
            for case in mine:
                assert ("hessian" in case) == (loss.gradient_and_hessian is not None)
                if case["about"] == "special":
                    check_specials(loss, case, np.finfo(dtype).smallest_normal)
    for name in REDUCED:
        shapes = {(3, 1)[: 2 - named(name).over_classes]}
        if not named(name).over_classes:
            shapes |= {(3, 2), (1, 2)}
        for reduction in Reduction:
            mine = [c for c in cases() if (c["loss"], c.get("reduction")) == (name, reduction)]
            abouts = {c["about"] for c in mine}
            assert len(abouts) == len(mine) >= 15
            assert {"plain", "all left out", "NaN and infinity left out"} <= abouts
            assert shapes <= {c["weights"].shape for c in mine}
            assert any(np.any(c["where"]) and not np.all(c["where"]) for c in mine)
            assert named(name).class_numbers or any(c["label_smoothing"] > 0 for c in mine)


def check_specials(loss, case, tiny):
    z, x = case["labels"], case["logits"]
    assert np.any((x == 0) & np.signbit(x))
    assert np.any((x == 0) & ~np.signbit(x))
    assert np.any((x > 0) & (x < tiny))
    assert np.any((-tiny < x) & (x < 0))
    assert {np.inf, -np.inf} <= set(x.ravel().tolist())
    assert np.any(np.isnan(x))
    far = np.isinf(x)
    if loss.over_classes:
        far = np.any(far, axis=-1)
        assert np.any(np.sum(x == np.inf, axis=-1) == 2)
    for value in (0.0, np.inf):  # an infinite logit that agrees, and one that does not
        assert np.any(far & (case["value"] == value))
    powers = any(name.startswith("gamma") for name in case["parameters"])  # which underflow
    if case["dtype"] == "float64" and not powers:
        assert np.any((case["value"] > 0) & (case["value"] < tiny))
    assert {0.0, 1.0} <= set(z.ravel().tolist())


@numpy_only
def test_inputs_are_exact_in_their_dtype_and_not_below_it():
    for case in cases():
        names = ["logits", "weights", "label_smoothing"]
        names += ["labels"] if case["labels"].dtype.kind == "f" else []
        arrays = [case[name] for name in names if name in case]
        if case["dtype"] == "float32":
            for array in [*arrays, *map(np.asarray, case["parameters"].values())]:
                np.testing.assert_array_equal(array, array.astype("float32").astype(float))
        elif case["about"] == "finite":
            with np.errstate(over="ignore"):
                assert np.any(case["logits"] != case["logits"].astype("float32"), axis=-1).all()


@numpy_only
def test_it_is_strict_json_with_an_array_a_line():
    def refuse(constant):
        raise AssertionError(constant)

    found = json.loads(written(), parse_constant=refuse)
    assert list(found) == ["format", "version", "xbce", "losses", "reductions"]
    keys = sum(len(case) for case in found["losses"] + found["reductions"])
    assert sum(line.startswith("      ") for line in written().splitlines()) == keys
    assert len(written()) < 1_000_000
    assert "[]" not in written()


# --- the page and the command -----------------------------------------------------------


@numpy_only
def test_the_page_explains_every_key_and_has_the_promises():
    assert all(f"`{key}`" in PAGE for case in cases() for key in case)
    for loss in LOSSES:
        row = f"| {loss.name} | {loss.promised('float32')} | {loss.promised('float64')} |"
        assert row in PAGE.splitlines()
    assert all(f"`{reduction}`" in PAGE for reduction in Reduction)


@numpy_only
def test_another_process_writes_the_same_bytes_and_imports_no_library_but_numpy(tmp_path):
    file = tmp_path / "vectors.json"
    run = [sys.executable, "-W", "error", "-X", "importtime", "-m", "xbce.testing", "vectors"]
    done = subprocess.run([*run, "--output", str(file)], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert file.read_bytes() == written().encode()
    assert all(line.startswith("import time:") for line in done.stderr.splitlines())
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert {"numpy", "mparray"} <= imported
    assert not imported & {"torch", "jax", "dask", "cupy", "array_api_strict"}


@numpy_only
def test_the_command_line(monkeypatch, capsys):
    monkeypatch.setattr(_vectors, "vectors", lambda: {"format": "xbce-vectors", "losses": []})
    assert command.main(["vectors"]) == 0
    assert json.loads(capsys.readouterr().out) == {"format": "xbce-vectors", "losses": []}
    for arguments, code in (["--help"], "0"), (["vectors", "--help"], "0"), ([], "2"):
        with pytest.raises(SystemExit, match=code):
            command.main(arguments)
    assert "write exact test vectors as JSON" in capsys.readouterr().out

    def missing():
        raise ImportError("The oracle needs mparray: pip install xbce[testing].")

    monkeypatch.setattr(_vectors, "vectors", missing)
    assert command.main(["vectors"]) == 1
    assert "pip install xbce[testing]" in capsys.readouterr().err


@numpy_only
def test_a_file_that_can_not_be_written_is_told_in_one_line_before_anything_is_computed(
    monkeypatch, capsys, tmp_path
):
    computed = []
    monkeypatch.setattr(_vectors, "vectors", lambda: computed.append(1) or {"losses": []})
    for file, reason in (
        (tmp_path / "missing" / "x.json", f"there is no folder {tmp_path / 'missing'}."),
        (tmp_path, "it is a folder."),
    ):
        assert command.main(["vectors", "--output", str(file)]) == 2
        assert capsys.readouterr().err == f"python -m xbce.testing: --output {file}: {reason}\n"
    monkeypatch.setattr(command.os, "access", lambda *arguments: False)
    assert command.main(["vectors", "--output", str(tmp_path / "x.json")]) == 2
    assert "may not be written" in capsys.readouterr().err
    assert not computed
    monkeypatch.undo()
    monkeypatch.setattr(_vectors, "vectors", lambda: {"losses": []})

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert command.main(["vectors", "--output", str(tmp_path / "x.json")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
