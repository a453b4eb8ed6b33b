"""``python -m xbce``: a report on the array libraries installed here.

For each library: its version and devices, what it can do, the largest error of each loss in a
quick audit, in ulp, and the time of the loss and of loss with gradient beside the
library's own function, where it has one. The exit code is 1 where a promise of
accuracy is broken.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Callable
from importlib import import_module, metadata
from importlib.util import find_spec
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from xbce import derivatives, losses, nn
from xbce._backends import BACKENDS, Backend
from xbce._evaluate import evaluate
from xbce._losses import LOSSES, Loss
from xbce._typing import Output
from xbce.testing import Report, audit
from xbce.testing._report import QUANTITIES

SIZE = 1_000_000
CAPABILITIES = ("autodiff", "lazy", "devices")


def main(arguments: list[str] | None = None) -> int:
    """Print the report; return 1 where a promise is broken, else 0."""
    parser = argparse.ArgumentParser(prog="python -m xbce", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--samples", type=int, default=50, help="inputs a region of the audit")
    parser.add_argument("--size", type=int, default=SIZE, help="elements of the timed arrays")
    names = [backend.name for backend in BACKENDS]
    parser.add_argument("--backend", action="append", choices=names, help="only this library")
    options = parser.parse_args(arguments)
    chosen = [backend for backend in BACKENDS if backend.name in (options.backend or names)]
    installed = [backend for backend in chosen if backend.installed()]
    steps = [(backend, step) for backend in installed for step in (_describe, _audit, _time)]
    reports: dict[str, dict[str, Any]] = {backend.name: {} for backend in installed}
    for number, (backend, step) in enumerate(steps):
        _progress(number, len(steps), f"{backend.name}: {step.__name__.strip('_')}")
        if "unusable" not in reports[backend.name]:
            reports[backend.name] |= step(backend, options)
    _progress(len(steps), len(steps), "")
    missing = [backend.name for backend in chosen if backend not in installed]
    if options.json:
        print(json.dumps({"libraries": reports, "not installed": missing}, indent=2))
    else:
        print(_table(reports, options.size))
        print(f"\nnot installed: {', '.join(missing) or 'none'}")
    return int(any(report.get("broken") for report in reports.values()))


def _describe(backend: Backend, options: argparse.Namespace) -> dict[str, Any]:
    """Version, devices and capabilities."""
    try:
        xp = backend.namespace()
        xp.asarray([0.0])
        with warnings.catch_warnings():  # PyTorch tries each device it ever had a name for
            warnings.simplefilter("ignore")
            found = xp.__array_namespace_info__().devices()
        devices = [str(device) for device in found if device is not None]
    except Exception as error:  # installed, but not to be used here: CuPy without a GPU
        return {"unusable": f"{type(error).__name__}: {str(error).splitlines()[0]}"}
    return {
        "version": _version(backend),
        "devices": devices,
        "dtypes": _dtypes(backend, xp),
        "capabilities": [name for name in CAPABILITIES if getattr(backend, name)],
    }


def _version(backend: Backend) -> str:
    """The version of the distribution that gives the module."""
    names = metadata.packages_distributions().get(backend.module, [backend.module])
    return metadata.version(names[0])


def _dtypes(backend: Backend, xp: Any) -> list[str]:
    """The floating dtypes that there are, without float64 where it is switched off."""
    narrow = backend.sums_in(xp, xp.asarray([0.0])) != xp.float64
    return [n for n in backend.dtypes if hasattr(xp, n) and not (n == "float64" and narrow)]


def _audit(backend: Backend, options: argparse.Namespace) -> dict[str, Any]:
    """The largest errors in ulp, and every promise that is broken."""
    xp = backend.namespace()
    largest: dict[str, dict[str, dict[str, float]]] = {}
    broken = []
    for loss in LOSSES:
        for dtype in _dtypes(backend, xp):
            report = _audit_one(loss, xp, dtype, options.samples)
            promised = {what: loss.promised(dtype, what) for what in QUANTITIES}
            errors = {what: report.largest(what) for what in QUANTITIES}
            measured = {what: error for what, error in errors.items() if error == error}
            largest.setdefault(loss.name, {})[dtype] = measured
            broken += [f"{loss.name}, {f}" for f in report.failures(promised)]
    return {"largest ulp": largest, "broken": broken}


def _audit_one(loss: Loss, xp: Any, dtype: str, samples: int) -> Report:
    """An audit of a loss, and of its closed-form derivatives, with the first of its examples."""
    parameters = loss.examples()[0]

    def of(output: Output) -> Callable[[Any, Any], Any]:
        return lambda z, x: evaluate(loss, {"labels": z, "logits": x}, output=output, **parameters)

    def hessian(z: Any, x: Any) -> Any:
        return of("gradient_and_hessian")(z, x)[1]

    return audit(
        of("value"),
        xp,
        [dtype],
        loss=loss,
        gradient_fn=of("gradient"),
        hessian_fn=None if loss.gradient_and_hessian is None else hessian,
        samples=samples,
        **parameters,
    )


def _time(backend: Backend, options: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds, as medians of runs in turn; float32."""
    xp = backend.namespace()
    rng = np.random.default_rng(0)
    x = xp.asarray(4 * rng.normal(size=options.size), dtype=xp.float32)
    z = xp.asarray(rng.random(options.size).round(), dtype=xp.float32)
    functions: dict[str, Callable[[], Any]] = {
        "loss": lambda: nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x),
        "mean loss": lambda: losses.sigmoid_cross_entropy(z, x),
        "value_and_grad": lambda: derivatives.value_and_grad(z, x),
    }
    own = _own_loss(backend.name)
    if own is not None:
        functions[own[0]] = lambda: own[1](z, x)
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(6):
        for name, function in functions.items():
            start = perf_counter()
            result = function()
            for array in result if isinstance(result, tuple) else (result,):
                backend.wait(array)
            times[name].append(perf_counter() - start)
    return {"milliseconds": {name: 1e3 * median(all_[1:]) for name, all_ in times.items()}}


def _own_loss(name: str) -> tuple[str, Callable[[Any, Any], Any]] | None:
    """The library's own element-wise function of labels and logits, and what it is called."""
    if name == "torch":
        own = import_module("torch").nn.functional.binary_cross_entropy_with_logits
        return "its own loss", lambda z, x: own(x, z, reduction="none")
    if name == "jax" and find_spec("optax"):
        own = import_module("jax").jit(import_module("optax").sigmoid_binary_cross_entropy)
        return "optax's loss, jitted", lambda z, x: own(x, z)
    if name == "numpy" and find_spec("scipy"):
        log_expit = import_module("scipy.special").log_expit
        return "SciPy's log_expit", lambda z, x: -z * log_expit(x) - (1 - z) * log_expit(-x)
    return None


def _progress(done: int, steps: int, doing: str) -> None:
    """A progress bar on the terminal, where there is one."""
    if sys.stderr.isatty():
        bar = "#" * (30 * done // steps)
        end = "\n" if done == steps else ""
        print(f"\r[{bar:30}] {done}/{steps} {doing:30}", end=end, file=sys.stderr, flush=True)


def _table(reports: dict[str, dict[str, Any]], size: int) -> str:
    lines = []
    for name, report in reports.items():
        if "unusable" in report:
            lines += [f"{name}: installed, not usable here ({report['unusable']})", ""]
            continue
        lines.append(f"{name} {report['version']}  devices: {', '.join(report['devices'])}")
        lines.append(f"  capabilities: {', '.join(report['capabilities']) or 'the standard'}")
        lines.append("  largest error in ulp:")
        for loss, dtypes in report["largest ulp"].items():
            for dtype, errors in dtypes.items():
                figures = ", ".join(f"{what} {ulp:.2f}" for what, ulp in errors.items())
                lines.append(f"    {loss}, {dtype}: {figures}")
        for what, milliseconds in report["milliseconds"].items():
            lines.append(f"  {what}, {size:,} float32: {milliseconds:.2f} ms")
        lines += [f"  BROKEN: {broken}" for broken in report["broken"]]
        lines.append("")
    return "\n".join(lines).rstrip()


if __name__ == "__main__":
    sys.exit(main())
