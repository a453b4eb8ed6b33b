"""What an audit found: as a table, as a dict, as an assertion."""

from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any


@dataclass(frozen=True)
class Region:
    """Errors in ulp over one region of labels and logits.

    `quantity` is ``"loss"`` or ``"gradient"``; `worst` is the input with the
    largest error: label, logit, actual and exact value.
    """

    dtype: str
    quantity: str
    name: str
    largest: float
    percentile_99: float
    worst: tuple[float, float, float, float]


@dataclass(frozen=True)
class Special:
    """What came of one special input, and whether it is right."""

    dtype: str
    quantity: str
    label: float
    logit: float
    actual: float
    expected: str
    right: bool


@dataclass(frozen=True)
class Rule:
    """A rule about dtypes, shapes or inputs, and what broke it; empty where it holds."""

    dtype: str
    name: str
    broken: str


@dataclass(frozen=True)
class Report:
    """The result of `audit`.

    Attributes
    ----------
    name : str
        What was audited.
    regions : list of Region
        Errors in ulp by dtype, quantity and region.
    specials : list of Special
        Zeros, infinities, NaN and subnormal logits.
    rules : list of Rule
        Dtype, shape, and inputs left as they were.

    See Also
    --------
    audit : Makes the report.

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

    def largest(self, quantity: str = "loss", dtype: str | None = None) -> float:
        """The largest error in ulp of ``"loss"`` or ``"gradient"``; NaN where none was measured."""
        found = [
            region.largest
            for region in self.regions
            if region.quantity == quantity and dtype in (None, region.dtype)
        ]
        return max(found, default=float("nan"))

    def failures(self, max_ulp: float = 4) -> list[str]:
        """What breaks the promise of `max_ulp`, worst first; empty where all is right."""
        lines = []
        for region in sorted(self.regions, key=lambda region: -region.largest):
            if not region.largest <= max_ulp:
                label, logit, actual, exact = region.worst
                lines.append(
                    f"{region.dtype} {region.quantity}, {region.name}: {_ulps(region.largest)} ulp "
                    f"at label {label!r}, logit {logit!r}: got {actual!r}, exact is {exact!r}"
                )
        for special in self.specials:
            if not special.right:
                lines.append(
                    f"{special.dtype} {special.quantity} at label {special.label!r}, logit "
                    f"{special.logit!r}: got {special.actual!r}, should be {special.expected}"
                )
        lines += [f"{rule.dtype}: {rule.name}: {rule.broken}" for rule in self.rules if rule.broken]
        return lines

    def check(self, max_ulp: float = 4) -> None:
        """Raise AssertionError, the worst input first, unless all is right to `max_ulp` ulp."""
        failures = self.failures(max_ulp)
        if failures:
            listed = "\n  ".join(failures)
            raise AssertionError(
                f"{self.name} breaks {len(failures)} promises of {max_ulp} ulp:\n  {listed}"
            )

    def to_dict(self) -> dict[str, Any]:
        """The report in plain lists, dicts, strings and numbers."""
        return asdict(self)

    def __str__(self) -> str:
        """The report as a table."""
        lines = [self.name, "", f"{'error in ulp':48}{'loss':>18}{'gradient':>18}"]
        lines += [f"{'':48}{'99 %':>9}{'largest':>9}{'99 %':>9}{'largest':>9}"]
        rows: dict[str, str] = {}
        for region in self.regions:
            title = f"{region.dtype}, {region.name}"
            errors = f"{_ulps(region.percentile_99):>9}{_ulps(region.largest):>9}"
            rows[title] = rows.get(title, f"{title:48}") + errors
        lines += rows.values()
        wrong = [special for special in self.specials if not special.right]
        lines += [
            "",
            f"special values: {len(self.specials) - len(wrong)} right, {len(wrong)} wrong",
        ]
        for special in wrong:
            lines.append(
                f"  {special.dtype} {special.quantity}, label {special.label:g}, logit "
                f"{special.logit:g}: got {special.actual:g}, should be {special.expected}"
            )
        broken = [rule for rule in self.rules if rule.broken]
        lines += [f"rules: {len(self.rules) - len(broken)} hold, {len(broken)} broken"]
        lines += [f"  {rule.dtype}: {rule.name}: {rule.broken}" for rule in broken]
        return "\n".join(lines)


def _ulps(error: float) -> str:
    if not isfinite(error):
        return "inf"
    return f"{error:.1f}" if error < 1000 else f"{error:.1e}"
