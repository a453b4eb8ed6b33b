"""What docs/peers.py measures of one loss of one library: errors, special values, curves."""

from importlib import metadata
from typing import Any

import numpy as np
from peer_adapters import OTHERS, PEERS, Adapter, Peer

from xbce.testing import Report, audit, exact_loss, ulp_error

ALL = PEERS | OTHERS
QUANTITIES = ("loss", "gradient")
DOUBT = {"hard": 0.0, "soft": 1e-6}  # how far the labels of the plots are from 0 or 1
EDGES = np.logspace(-3, 3, 61)  # of the bins of |logit| in the plots
POINTS = 12  # a bin


def measure(name: str) -> dict[str, Any]:
    """Audit one peer in this process."""
    peer = ALL[name]
    result: dict[str, Any] = {"loss": peer.loss, "versions": {}, "wrong": [], "rules": []}
    wrong: dict[str, dict[str, None]] = {}
    for dtype in peer.dtypes:
        try:
            library = peer.adapt(dtype)
        except ImportError as error:
            return {"skipped": f"{error.name} is not installed"}
        try:
            found = audited(peer, library, dtype)
        except Exception as error:  # which is what it does with a special value
            return result | {"versions": installed(peer), "raises": raised(error)}
        result[dtype] = regions(found, library)
        for case in [case for case in found.specials if not case.right]:
            if told(case, library):
                result["wrong"].append(line(case))
                wrong.setdefault(f"{shown(case.actual)} {case.quantity}", {})[place(case)] = None
        result["rules"] += [
            f"{rule.dtype} {rule.name}: {rule.broken}"
            for rule in found.rules
            if rule.broken and library.loss
        ]
        if library.loss and peer.loss == "sigmoid":
            drawn = {f"{kind} {dtype}": curves(library, kind, dtype) for kind in DOUBT}
            result["curves"] = result.get("curves", {}) | drawn
    result["wrong of"] = [f"{what} at {', '.join(places)}" for what, places in wrong.items()]
    return result | {"versions": installed(peer)}


def installed(peer: Peer) -> dict[str, str]:
    """The versions of its packages."""
    return {package: metadata.version(package) for package in peer.packages}


def raised(error: Exception) -> str:
    """An error in a line."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def audited(peer: Peer, library: Adapter, dtype: str) -> Report:
    """The audit of one dtype."""
    loss = library.loss or (lambda z, x: np.zeros_like(x))  # a stand-in, dropped later
    return audit(loss, library.xp, [dtype], gradient_fn=library.gradient, **peer.options)


def regions(report: Report, library: Adapter) -> dict[str, dict[str, list[Any]]]:
    """Largest and 99th-percentile error in ulp by quantity and region."""
    figures: dict[str, dict[str, list[Any]]] = {}
    for region in report.regions:
        if region.quantity not in QUANTITIES or not (library.loss or region.quantity != "loss"):
            continue
        if region.name.startswith(library.kinds):
            largest = region.largest
            if "classes" in region.name:  # of which some are masked: NaN there is told apart
                finite = [error for _, error in region.points if np.isfinite(error)]
                largest = max(finite, default=region.largest)
            errors = [round_off(largest), round_off(region.percentile_99)]
            figures.setdefault(region.quantity, {})[region.name] = errors
    return figures


def told(case: Any, library: Adapter) -> bool:
    """Whether a wrong special value is one of what the library is made for."""
    if case.quantity not in QUANTITIES or isinstance(case.logit, tuple):
        return case.quantity in QUANTITIES
    given = library.loss or (case.quantity != "loss" and not np.isnan(case.logit))
    return bool(given) and (case.label in (0, 1) or "soft" in library.kinds)


def line(case: Any) -> str:
    """What came of a special value, and what should have."""
    label, logit = (
        f"[{', '.join(f'{n:g}' for n in number)}]" if isinstance(number, tuple) else f"{number:g}"
        for number in (case.label, case.logit)
    )
    return (
        f"{case.dtype} {case.quantity}, label {label}, logit {logit}: "
        f"got {case.actual:g}, should be {case.expected}"
    )


def shown(actual: float) -> str:
    """A wrong value by its kind."""
    return "NaN" if np.isnan(actual) else "wrong"


def place(case: Any) -> str:
    """What kind of special value a case is; the label of a row of classes is its first."""
    logits = case.logit if isinstance(case.logit, tuple) else (case.logit,)
    if np.isnan(logits).any() or np.isnan(case.label).any():
        return "NaN"
    if not isinstance(case.logit, tuple):
        return "±inf" if np.isinf(case.logit) else "finite logits"
    if np.inf in logits:
        return "a logit of inf"
    return "a masked class" if -np.inf in logits else "finite logits"


def curves(peer: Adapter, kind: str, dtype: str) -> list[list[Any]]:
    """The largest error in ulp by bin of |logit|, for negative logits and for positive ones."""
    where = np.random.default_rng(0).random((EDGES.size - 1, POINTS))
    sizes = EDGES[:-1, None] * (EDGES[1:, None] / EDGES[:-1, None]) ** where
    found = []
    for sign, label in ((-1, DOUBT[kind]), (1, 1 - DOUBT[kind])):
        logits = (sign * sizes.ravel()).astype(dtype)
        labels = np.full_like(logits, label)
        exact = exact_loss(labels=labels, logits=logits)
        errors = ulp_error(peer.loss(peer.xp.asarray(labels), peer.xp.asarray(logits)), exact)
        found.append([round_off(error) for error in errors.reshape(sizes.shape).max(axis=1)])
    return found


def round_off(error: float) -> float | str:
    """To three digits; JSON has no infinity, so that is a string."""
    return float(f"{error:.3g}") if np.isfinite(error) else str(error)
