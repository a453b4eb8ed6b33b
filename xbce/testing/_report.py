"""What an audit found: as a table, as a dict, as Markdown, as a plot, as an assertion."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from xbce.testing import _bounds, _given

Promise = float | Mapping[str, float]
"""The largest errors in ulp that are allowed: one number, or one by quantity."""
QUANTITIES = ("loss", "gradient", "hessian")
Number = float | tuple[float, ...]
"""A label or a logit; all of a row where a loss has classes."""


@dataclass(frozen=True)
class Region:
    """Errors in ulp over one region of labels and logits.

    `quantity` is ``"loss"``, ``"gradient"`` or ``"hessian"``; `worst` is the input with the
    largest error: label, logit, actual and exact value; `points` are all logits with their errors.
    """

    dtype: str
    quantity: str
    name: str
    largest: float
    percentile_99: float
    worst: tuple[Number, Number, float, float]
    points: list[tuple[float, float]] = field(default_factory=list, repr=False, compare=False)


@dataclass(frozen=True)
class Special:
    """What came of one special input, and whether it is right."""

    dtype: str
    quantity: str
    label: Number
    logit: Number
    actual: float
    expected: str
    right: bool


@dataclass(frozen=True)
class Rule:
    """A rule, why it is one, what broke it, and the smallest input that does; empty if none."""

    dtype: str
    name: str
    broken: str
    reason: str = ""
    example: str = ""


@dataclass(frozen=True)
class Report:
    """The result of an audit.

    Attributes
    ----------
    name : str
        What was audited.
    regions : list of Region
        Errors in ulp by dtype, quantity and region.
    specials : list of Special
        Zeros, infinities, NaN and subnormal logits.
    rules : list of Rule
        What holds whatever the numbers: of dtypes, shapes and inputs, of masks and weights.
    diagnoses : list of str
        What it is instead, where what came fits a known way of being wrong.
    notes : list of str
        What is worth to be known, and is no failure.
    about : str
        What it was held against: the loss, the reduction, the library.
    promise : dict of float
        What is allowed by default: the largest error in ulp by quantity that xbce promises.
    reference : str
        What the right numbers are: those of ``"exact"``, or of ``"eager"``, functions.

    See Also
    --------
    audit, audit_modes, audit_reduction : Make the report.

    Examples
    --------
    >>> import numpy as np
    >>> from xbce import sigmoid_cross_entropy_with_logits
    >>> from xbce.testing import audit
    >>> def loss(labels, logits):
    ...     return sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
    >>> report = audit(loss, np, ["float32"], samples=20)
    >>> report.check(max_ulp=4)
    >>> report.failures()
    []
    """

    name: str
    regions: list[Region] = field(default_factory=list)
    specials: list[Special] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    diagnoses: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    about: str = ""
    promise: dict[str, float] = field(default_factory=dict)
    reference: str = "exact"

    def largest(self, quantity: str = "loss", dtype: str | None = None) -> float:
        """The largest error in ulp of a quantity; NaN where none was measured."""
        _given.one_of(QUANTITIES, quantity=quantity)
        if dtype is not None:
            _given.one_of(_given.DTYPES, dtype=dtype)
        found = [
            region.largest
            for region in self.regions
            if region.quantity == quantity and dtype in (None, region.dtype)
        ]
        return max(found, default=float("nan"))

    def _promise(self, max_ulp: Promise | None) -> Promise:
        """What is allowed."""
        if isinstance(max_ulp, Mapping) and not set(max_ulp) <= set(QUANTITIES):
            raise ValueError(f"`max_ulp` must have keys among {QUANTITIES}; got {list(max_ulp)}.")
        if max_ulp is not None:
            for number in max_ulp.values() if isinstance(max_ulp, Mapping) else [max_ulp]:
                _bounds.tolerance(number)
            return max_ulp
        measured = {region.quantity for region in self.regions}
        return {q: ulp for q, ulp in self.promise.items() if q in measured}

    def failures(self, max_ulp: Promise | None = None) -> list[str]:
        """What is wrong: its name, broken rules, and errors, worst first; empty if nothing is.

        `max_ulp` is a number, or a dict of them by quantity; what is not in it may be anything. By
        default it is what xbce promises of this loss, or twice that where modes are compared.
        """
        max_ulp = self._promise(max_ulp)
        lines = [f"diagnosis: {diagnosis}" for diagnosis in self.diagnoses]
        for rule in self.rules:
            if rule.broken:
                example = f" (with {rule.example})" if rule.example else ""
                lines.append(f"{rule.dtype}: {rule.name}: {rule.broken}{example}")
        for region in sorted(self.regions, key=lambda region: -region.largest):
            if not region.largest <= _allowed(max_ulp, region.quantity):
                label, logit, actual, exact = region.worst
                lines.append(
                    f"{region.dtype} {region.quantity}, {region.name}: {ulps(region.largest)} ulp "
                    f"at label {label!r}, logit {logit!r}: got {actual!r}, "
                    f"{self.reference} is {exact!r}"
                )
        lines += [
            f"{special.dtype} {special.quantity} at label {special.label!r}, logit "
            f"{special.logit!r}: got {special.actual!r}, should be {special.expected}"
            for special in self._wrong_specials()
        ]
        return lines

    def _wrong_specials(self) -> list[Special]:
        """Those that are wrong, finite logits first."""
        wrong = [special for special in self.specials if not special.right]
        return sorted(wrong, key=lambda special: not np.all(np.isfinite(special.logit)))

    def check(self, max_ulp: Promise | None = None) -> None:
        """Raise AssertionError with the failures, unless all is right to `max_ulp` ulp.

        `max_ulp` is as for `failures`.
        """
        max_ulp = self._promise(max_ulp)
        failures = self.failures(max_ulp)
        if failures:
            listed = "\n  ".join(failures)
            broken = len(failures) - len(self.diagnoses)
            what = f"promises of {_named(max_ulp)}" if self.regions else "rules"
            raise AssertionError(f"{self.name} breaks {broken} {what}:\n  {listed}")

    def to_dict(self) -> dict[str, Any]:
        """The report in plain lists, dicts, strings and numbers, without the points of plots.

        As JSON has them: what is not finite is a string, ``"nan"``, ``"inf"`` or ``"-inf"``.
        """
        plain = _plain(asdict(self))
        for region in plain["regions"]:
            del region["points"]
            region["worst"] = dict(
                zip(("label", "logit", "actual", "expected"), region["worst"], strict=True)
            )
        return plain

    def to_markdown(self, max_ulp: Promise | None = None) -> str:
        """The report in Markdown, for a comment on a pull request; `max_ulp` as for `failures`."""
        max_ulp = self._promise(max_ulp)
        failures = self.failures(max_ulp)
        promise = f" (promise: {_named(max_ulp)})" if self.regions else ""
        lines = [f"### {self.name}: {'wrong' if failures else 'all right'}{promise}"]
        lines += ["", self.about] if self.about else []
        told = [f"- **{d}**" for d in self.diagnoses] + [f"- Note: {note}" for note in self.notes]
        lines += ["", *told] if told else []
        dtypes = list(dict.fromkeys(region.dtype for region in self.regions))
        if dtypes:
            lines += ["", f"| largest error in ulp | {' | '.join(dtypes)} |"]
            lines += [f"| --- |{' ---: |' * len(dtypes)}"]
        for quantity in QUANTITIES:
            errors = [self.largest(quantity, dtype) for dtype in dtypes]
            if any(error == error for error in errors):
                lines.append(f"| {quantity} | {' | '.join(map(ulps, errors))} |")
        wrong = sum(not special.right for special in self.specials)
        broken = [rule for rule in self.rules if rule.broken]
        if self.specials:
            lines += ["", f"Special values: {len(self.specials) - wrong} right, {wrong} wrong."]
        if self.rules:
            lines += ["", f"Rules: {len(self.rules) - len(broken)} hold, {len(broken)} broken."]
        for rule in {rule.name: rule for rule in broken}.values():
            lines.append(f"- **{rule.name}**, since {rule.reason}")
        if failures:
            lines += ["", "<details><summary>What is wrong</summary>", "", "```"]
            lines += [*failures, "```", "", "</details>"]
        return "\n".join(lines)

    def plot(self, path: str | Path | None = None, max_ulp: Promise | None = None) -> Any:
        """Draw errors in ulp against logits, a panel a quantity; save it if there is a path.

        Of losses over classes the logit is the largest of a row. What is allowed is a line;
        `max_ulp` is as for `check`. Returns the figure of matplotlib, which must be installed.
        ValueError where nothing was measured, as of a reduction.
        """
        from xbce.testing._plot import draw

        allowed = self._promise(max_ulp)
        if not self.regions:
            raise ValueError(f"{self.name} has no errors in ulp to draw: nothing was measured.")
        return draw(self, path, allowed)

    def __str__(self) -> str:
        """The report as a table."""
        lines = [self.name, *([f"  {self.about}"] if self.about else [])]
        lines += [f"  {diagnosis}" for diagnosis in self.diagnoses]
        lines += [f"  note: {note}" for note in self.notes]
        width = max((len(f"{r.dtype}, {r.name}") for r in self.regions), default=0) + 2
        quantities = [q for q in QUANTITIES if self.largest(q) == self.largest(q)]
        if quantities:
            lines += ["", f"{'error in ulp':{width}}" + "".join(f"{q:>18}" for q in quantities)]
            lines += [f"{'':{width}}" + f"{'99 %':>9}{'largest':>9}" * len(quantities)]
        rows: dict[str, dict[str, str]] = {}
        for region in self.regions:
            errors = f"{ulps(region.percentile_99):>9}{ulps(region.largest):>9}"
            rows.setdefault(f"{region.dtype}, {region.name}", {})[region.quantity] = errors
        lines += [
            f"{title:{width}}" + "".join(row.get(q, " " * 18) for q in quantities).rstrip()
            for title, row in rows.items()
        ]
        wrong = self._wrong_specials()
        right = len(self.specials) - len(wrong)
        lines += (
            ["", f"special values: {right} right, {len(wrong)} wrong"] if self.specials else [""]
        )
        for special in wrong:
            lines.append(
                f"  {special.dtype} {special.quantity}, label {_short(special.label)}, logit "
                f"{_short(special.logit)}: got {special.actual:g}, should be {special.expected}"
            )
        broken = [rule for rule in self.rules if rule.broken]
        lines += [f"rules: {len(self.rules) - len(broken)} hold, {len(broken)} broken"]
        for rule in broken:
            lines.append(f"  {rule.dtype}: {rule.name}: {rule.broken}")
            lines += [f"    since {rule.reason}"] if rule.reason else []
            lines += [f"    with {rule.example}"] if rule.example else []
        return "\n".join(lines)


def _plain(value: Any) -> Any:
    """Numbers, lists and dicts as JSON has them."""
    if isinstance(value, dict):
        return {key: _plain(of) for key, of in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(of) for of in value]
    return str(value) if isinstance(value, float) and not isfinite(value) else value


def ulps(error: float) -> str:
    """An error for people: 0.5, 31.2, 9.0e+15; nothing where there is none."""
    if error != error:
        return ""
    if not isfinite(error):
        return "inf"
    return f"{error:.1f}" if error < 1000 else f"{error:.1e}"


def told(error: Exception) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def _allowed(max_ulp: Promise, quantity: str) -> float:
    return max_ulp.get(quantity, float("inf")) if isinstance(max_ulp, Mapping) else max_ulp


def _named(max_ulp: Promise) -> str:
    if isinstance(max_ulp, Mapping):
        return ", ".join(f"{ulp:g} ulp of the {quantity}" for quantity, ulp in max_ulp.items())
    return f"{max_ulp:g} ulp"


def _short(number: Number) -> str:
    return str(list(number)) if isinstance(number, tuple) else repr(number)
