"""The audit: any implementation of a loss, held against the exact one."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from xbce import _arguments, _backends, _losses
from xbce._losses import Loss
from xbce._typing import Array, Namespace
from xbce.testing._oracle import as_numpy, exact_gradient, exact_loss, loss_of, ulp_error
from xbce.testing._report import Region, Report, Rule, Special

Function = Callable[[Array, Array], Array]

SPECIAL_LOGITS = (0.0, -0.0, "subnormal", "-subnormal", np.inf, -np.inf, np.nan)
SPECIAL_LABELS = (0.0, 1.0, 0.25)


def audit(
    loss_fn: Function,
    xp: Namespace,
    dtypes: Sequence[str] = ("float32", "float64"),
    *,
    loss: str | Loss | None = None,
    gradient_fn: Function | None = None,
    classes: int | None = None,
    samples: int = 300,
    name: str | None = None,
    **parameters: Any,
) -> Report:
    """Measure an implementation of a loss against the exact one.

    Parameters
    ----------
    loss_fn : callable
        ``loss_fn(labels, logits) -> losses``, element by element, or over the classes on the
        last axis.
    xp : module
        The array namespace of the arrays it takes: ``numpy``, ``torch``,
        ``jax.numpy`` or another, wrapped by array-api-compat or not.
    dtypes : sequence of str
        Names of the floating dtypes to audit it in.
    loss : str or Loss, optional
        Which loss it is, as for `exact_loss`; by default sigmoid cross entropy, focal
        where there is an `alpha` or `gamma`, or softmax where there are `classes`.
    gradient_fn : callable, optional
        ``gradient_fn(labels, logits)``, the derivative of each loss by its logit.
        Where it is not given, PyTorch and JAX differentiate `loss_fn`, and other
        libraries are audited without a gradient. Of the focal loss and of losses over
        classes only the value is audited.
    classes : int, optional
        The number of classes of a loss over them, 10 by default. Logits are of several
        scales, with ties and masked classes.
    samples : int
        Inputs a region: 300 take about a second a dtype.
    name : str, optional
        What to call it in the report.
    **parameters : float
        Those of the loss, as for `exact_loss`: `pos_weight`, `alpha`, `gamma`.

    Returns
    -------
    Report
        Print it, ``check(max_ulp=4)`` it, or keep its ``to_dict()``.

    See Also
    --------
    exact_loss : The exact numbers.
    ulp_error : How errors are measured.

    Notes
    -----
    The regions cross the labels (hard; soft, with many very close to 0 and 1), the
    side of 0 the logit is on (agreeing with the label or not), and its size: tiny
    (below 1e-3), moderate (up to 8), large (to where exp(-|x|) underflows), and huge
    (to the largest number). With hard labels the gradient's error is measured in ulp of
    the gradient. With soft labels that is a difference, and the error is measured in ulp
    of the sum of its two terms, (1 - z)*sigmoid(x) and z*sigmoid(-x).

    Examples
    --------
    >>> import numpy as np
    >>> from xbce.testing import audit
    >>> def naive(labels, logits):
    ...     return np.maximum(logits, 0) - logits * labels + np.log1p(np.exp(-np.abs(logits)))
    >>> with np.errstate(all="ignore"):
    ...     report = audit(naive, np, ["float32"], samples=50)
    >>> report.largest("loss") > 4
    True
    """
    xp = _arguments.namespace_of(xp.asarray([0.0]))
    report = Report(name or str(getattr(loss_fn, "__qualname__", loss_fn)))
    if loss is None and classes is not None:
        loss = _losses.SOFTMAX
    loss, parameters = loss_of(loss, parameters)
    gradient_fn = gradient_fn or _autodiff(loss_fn, xp)
    if not loss.linear:
        gradient_fn = None  # its terms may cancel: there is no ulp to measure it in
    for dtype in dtypes:
        if loss.over_classes:
            report.regions.extend(
                _class_regions(loss_fn, xp, dtype, loss, classes or 10, samples, parameters)
            )
            continue
        measure = _Measure(loss_fn, gradient_fn, xp, dtype, {"loss": loss, **parameters})
        report.regions.extend(measure.regions(samples))
        report.specials.extend(measure.specials())
        report.rules.extend(measure.rules())
    return report


class _Measure:
    """One dtype of an audit."""

    def __init__(
        self,
        loss_fn: Function,
        gradient_fn: Function | None,
        xp: Namespace,
        dtype: str,
        options: dict[str, Any],
    ) -> None:
        self.options = options
        self.functions = {"loss": loss_fn, "gradient": gradient_fn}
        self.xp, self.name = xp, dtype
        self.dtype = getattr(xp, dtype, None) or np.dtype(dtype)
        info = xp.finfo(self.dtype)
        self.eps, self.tiny = float(info.eps), float(info.smallest_normal)
        self.largest = float(info.max)

    def regions(self, samples: int) -> Iterator[Region]:
        """Errors in ulp, region by region."""
        for name, labels, logits in _regions(samples, self.eps, self.tiny, self.largest):
            z, x = self._array(labels), self._array(logits)
            labels, logits = as_numpy(z), as_numpy(x)  # rounded to the dtype
            for quantity, function in self.functions.items():
                if function is None:
                    continue
                actual = function(z, x)
                if quantity == "loss":
                    exact = exact_loss(labels=labels, logits=logits, **self.options)
                    errors = ulp_error(actual, exact)
                else:
                    exact = exact_gradient(labels=labels, logits=logits, **self.options)
                    errors = self._gradient_errors(actual, exact, labels, logits)
                errors = errors.ravel()
                worst = int(np.argmax(errors))
                yield Region(
                    self.name,
                    quantity,
                    name,
                    float(errors[worst]),
                    float(np.sort(errors)[int(0.99 * (errors.size - 1))]),
                    (
                        float(labels[worst]),
                        float(logits[worst]),
                        float(np.resize(as_numpy(actual), errors.shape)[worst]),
                        float(as_numpy(exact)[worst]),
                    ),
                )

    def _gradient_errors(self, actual: Array, exact: Any, labels: Any, logits: Any) -> np.ndarray:
        return ulp_error(actual, exact, scale=self._terms(labels, logits))

    def _terms(self, labels: Any, logits: Any) -> np.ndarray:
        """The size of what is subtracted in the gradient: with hard labels it is the gradient."""
        options = self.options
        probability = as_numpy(exact_gradient(labels=0 * labels, logits=logits, **options))
        complement = -as_numpy(exact_gradient(labels=0 * labels + 1, logits=logits, **options))
        return (1 - labels) * probability + labels * complement

    def specials(self) -> Iterator[Special]:
        """Zeros, subnormal numbers, infinities and NaN."""
        pairs = [(z, self._number(x)) for x in SPECIAL_LOGITS for z in SPECIAL_LABELS]
        labels, logits = (self._array(column) for column in zip(*pairs, strict=True))
        slopes = as_numpy(exact_gradient(labels=labels, logits=logits, **self.options))
        terms = self._terms(as_numpy(labels), as_numpy(logits))
        losses = as_numpy(exact_loss(labels=labels, logits=logits, **self.options))
        for quantity, exact in {"loss": losses, "gradient": slopes}.items():
            function = self.functions[quantity]
            if function is None:
                continue
            actual = np.resize(as_numpy(function(labels, logits)), len(pairs))
            with np.errstate(invalid="ignore"):
                scale = np.abs(exact if quantity == "loss" else terms)
                right = np.abs(actual - exact) <= 8 * self.eps * scale
                # Where the loss is infinite, a library may give the largest number instead.
                right |= np.isinf(exact) & (actual >= self.largest * np.minimum(np.abs(slopes), 1))
            right |= (actual == exact) | (np.isnan(actual) & np.isnan(exact))
            rows = zip(pairs, actual.tolist(), exact.tolist(), right.tolist(), strict=True)
            for (z, x), value, wanted, is_right in rows:
                yield Special(self.name, quantity, z, x, value, f"{wanted:g}", is_right)

    def rules(self) -> Iterator[Rule]:
        """Dtype and shape of the result, and inputs left as they were."""
        function = self.functions["loss"]
        assert function is not None
        for shape in ((3,), (2, 3), (1, 2, 3), (), (0,)):
            rng = np.random.default_rng(0)
            labels, logits = rng.random(shape).round(), rng.normal(size=shape)
            z, x = self._array(labels), self._array(logits)
            before = as_numpy(z).copy(), as_numpy(x).copy()
            broken = []
            try:
                result = function(z, x)
                if tuple(result.shape) != shape:
                    broken.append(f"the result has shape {tuple(result.shape)}")
                if result.dtype != self.dtype:
                    broken.append(f"the result has dtype {result.dtype}")
                for was, now in zip(before, (z, x), strict=True):
                    if not np.array_equal(was, as_numpy(now)):
                        broken.append("an input was written to")
            except Exception as error:  # whatever the implementation raises is its finding
                broken.append(f"{type(error).__name__}: {str(error).splitlines()[:1]}")
            yield Rule(self.name, f"arrays of shape {shape}", "; ".join(broken))

    def _number(self, special: Any) -> float:
        if special == "subnormal":
            return self.tiny / 4
        return -self.tiny / 4 if special == "-subnormal" else float(special)

    def _array(self, values: Any) -> Array:
        return self.xp.asarray(np.asarray(values, dtype=np.float64), dtype=self.dtype)


def _regions(
    samples: int, eps: float, tiny: float, largest: float
) -> Iterator[tuple[str, Any, Any]]:
    """Names, labels and logits of the regions, spread evenly over the exponents."""
    rng = np.random.default_rng(0)
    underflow = -np.log(tiny)
    bounds = {
        "tiny": (max(tiny, 1e-30), 1e-3),
        "moderate": (1e-3, 8.0),
        "large": (8.0, underflow),
        "huge": (underflow, largest / 4),
    }
    for kind in ("hard", "soft"):
        for side in ("agreeing", "disagreeing"):
            for size, (low, high) in bounds.items():
                logits = np.exp(rng.uniform(np.log(low), np.log(high), samples))
                logits *= rng.choice([-1.0, 1.0], samples)
                certain = (logits > 0) == (side == "agreeing")
                doubt = 0.0 if kind == "hard" else np.exp2(rng.uniform(np.log2(eps), -1, samples))
                labels = np.where(certain, 1 - doubt, doubt)
                yield f"{kind} {side} labels, {size} logits", labels, logits


def _class_regions(
    loss_fn: Function,
    xp: Namespace,
    dtype: str,
    loss: Loss,
    classes: int,
    samples: int,
    parameters: dict[str, Any],
) -> Iterator[Region]:
    """Errors of a loss over classes in ulp, by the labels and the scale of the logits."""
    rng = np.random.default_rng(0)
    rows = max(4, samples // classes)
    made = getattr(xp, dtype, None) or np.dtype(dtype)
    for kind in ("hard",) if loss.class_numbers else ("hard", "soft"):
        for scale in (1e-3, 1.0, 1e2, 1e3):
            logits = scale * rng.normal(size=(rows, classes))
            logits[0] = logits[0, 0]  # all tied
            numbers = rng.integers(0, classes, rows)
            labels = np.eye(classes)[numbers]
            if kind == "soft":
                labels = 0.9 * labels + 0.1 / classes
            else:
                masked = (labels[1] == 0) & (rng.random(classes) < 0.5)
                logits[1, masked] = -np.inf
            x = xp.asarray(logits, dtype=made)
            z = xp.asarray(labels, dtype=made)
            if loss.class_numbers:
                z = xp.asarray(numbers, dtype=xp.int32)
            labels, logits = as_numpy(z), as_numpy(x)
            exact = exact_loss(labels=labels, logits=logits, loss=loss, **parameters)
            actual = loss_fn(z, x)
            errors = ulp_error(actual, exact)
            worst = int(np.argmax(errors))
            values = (np.max(labels[worst]), np.max(logits[worst]), as_numpy(actual)[worst])
            yield Region(
                dtype,
                "loss",
                f"{kind} labels, {classes} classes, logits of scale {scale:g}",
                float(errors[worst]),
                float(np.quantile(errors, 0.99, method="lower")),
                (*map(float, values), float(as_numpy(exact)[worst])),  # type: ignore[arg-type]
            )


def _autodiff(loss_fn: Function, xp: Namespace) -> Function | None:
    """The derivative of each loss by its logit, where the library differentiates."""
    differentiate = _backends.of(xp).gradient
    if differentiate is None:
        return None

    def slopes(labels: Array, logits: Array) -> Array:
        return differentiate(lambda x: loss_fn(labels, x).sum(), logits)

    return slopes
