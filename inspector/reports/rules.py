"""The surface class and the disposition of a coil, by the rules of the plant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from inspector.reports.report import ClassCount

SEVERITIES = ("critical", "major", "minor")
"""The worst first."""


@dataclass(frozen=True, slots=True)
class ClassRule:
    """A surface class, and the most that a coil of it may have. Of a severity or label that is not named: any number.

    Attributes:
        name: Of the class.
        max_per_100m: Most defects in 100 m, by severity or label.
        max_count: Most defects on the coil, likewise.
        max_periodic: Most periodic findings; None: any number.
        disposition: What becomes of such a coil.
    """

    name: str
    max_per_100m: Mapping[str, float] = field(default_factory=dict)
    max_count: Mapping[str, int] = field(default_factory=dict)
    max_periodic: int | None = None
    disposition: str | None = None


@dataclass(frozen=True, slots=True)
class ReportRules:
    """What a plant decides about its reports.

    Attributes:
        classes: The best first: the first that fits counts.
        not_assessed: Disposition of a coil that is not assessed.
        none_fits: Disposition of a coil that no class fits.
        section_gap_m: Defects of one label and severity that lie closer are one section.
        pictures: Most pictures in a report.
    """

    classes: tuple[ClassRule, ...] = ()
    not_assessed: str | None = None
    none_fits: str | None = None
    section_gap_m: float = 1.0
    pictures: int = 8


@dataclass(frozen=True, slots=True)
class Judged:
    """A class and a disposition, with the reason."""

    surface_class: str | None
    disposition: str | None
    reason: str


def judge(
    rules: ReportRules, assessed: bool, counts: Iterable[ClassCount], periodic: int, graded_m: float | None
) -> Judged:
    """Return the class of a coil: the first whose limits all hold.

    A coil that is not assessed has no class. Where a limit per 100 m decides and no metres are known, there is none.

    Args:
        rules: The plant's.
        assessed: Whether the coil is.
        counts: Of its defects.
        periodic: Periodic findings.
        graded_m: Metres that were inspected and are graded; None: not known.
    """
    if not rules.classes:
        return Judged(None, None, "no rules: [[report.surface_class]]")
    if not assessed:
        return Judged(None, rules.not_assessed, "the coil is not assessed")
    totals = _totals(counts)
    for rule in rules.classes:
        if rule.max_per_100m and not graded_m:
            return Judged(None, rules.none_fits, f"{rule.name} is by 100 m, and no metres are known")
        over = _over(rule, totals, periodic, graded_m or 0.0)
        if over is None:
            return Judged(rule.name, rule.disposition, f"the first class whose limits hold: {rule.name}")
    return Judged(None, rules.none_fits, f"no class fits; {rules.classes[-1].name}: {over}")


def _totals(counts: Iterable[ClassCount]) -> dict[str, int]:
    """Return graded defects by severity and by label."""
    totals: dict[str, int] = {}
    for one in counts:
        for name in (one.severity, one.label):
            totals[name] = totals.get(name, 0) + one.graded
    return totals


def _over(rule: ClassRule, totals: Mapping[str, int], periodic: int, graded_m: float) -> str | None:
    """Return which limit of a class does not hold, or None."""
    for name, limit in rule.max_per_100m.items():
        rate = totals.get(name, 0) * 100 / graded_m
        if rate > limit:
            return f"{name} {rate:.2f} > {limit:g} per 100 m"
    for name, most in rule.max_count.items():
        if totals.get(name, 0) > most:
            return f"{name} {totals[name]} > {most}"
    if rule.max_periodic is not None and periodic > rule.max_periodic:
        return f"periodic {periodic} > {rule.max_periodic}"
    return None
