"""Which defects cost most: counted by class, shift, crew, roll, product or station, the most frequent first.

What a person found to be a false call is not counted as a defect but beside it; what was reclassified counts as what
it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from inspector.years.gather import Row

BY: Mapping[str, str] = {
    "class": "coalesce(verified_label, label)",
    "shift": "shift",
    "crew": "crew",
    "roll": "roll",
    "product": "product",
    "station": "station",
    "side": "side",
    "severity": "severity",
}
"""What defects are counted by, and the expression over an archive's columns."""
UNKNOWN = "–"
"""What a defect is counted under that has no such value."""
MOST_BARS = 20
_SEVERITIES = ("minor", "major", "critical")
_COLOURS = ("#9db7d5", "#d79b4a", "#b03a3a")


@dataclass(frozen=True, slots=True)
class Bar:
    """What defects have in common, and how many there are.

    Attributes:
        value: Say, a class.
        defects: All that are no false calls.
        minor, major, critical: Of them.
        false_calls: What people found to be nothing.
        share: Of all defects.
        cumulative: The same with all bars before it.
    """

    value: str
    defects: int
    minor: int
    major: int
    critical: int
    false_calls: int
    share: float
    cumulative: float

    def as_dict(self) -> dict[str, Any]:
        """Return it by name."""
        return asdict(self)


def count_rows(rows: Iterable[Row], by: str, station: str) -> list[tuple[Any, ...]]:
    """Return rows of defects counted as `Archive.count` does."""
    found: dict[Any, list[int]] = {}
    for row in rows:
        named = (row["verified_label"] or row["label"]) if by == "class" else station if by == "station" else row[by]
        counts = found.setdefault(named, [0, 0, 0, 0])
        at = 3 if row["verdict"] == "false_call" else _SEVERITIES.index(row["severity"])
        counts[at] += 1
    return [(value, *counts) for value, counts in found.items()]


def pareto(counted: Iterable[Sequence[Any]]) -> list[Bar]:
    """Return the bars, the longest first; the same value of several counts is one bar."""
    sums: dict[str, list[int]] = {}
    for value, *counts in counted:
        old = sums.setdefault(UNKNOWN if value is None else str(value), [0, 0, 0, 0])
        sums[UNKNOWN if value is None else str(value)] = [a + b for a, b in zip(old, counts, strict=True)]
    total = sum(sum(counts[:3]) for counts in sums.values())
    bars, before = [], 0
    for value, counts in sorted(sums.items(), key=lambda one: (-sum(one[1][:3]), one[0])):
        number = sum(counts[:3])
        before += number
        shares = (round(part / total, 4) if total else 0.0 for part in (number, before))
        bars.append(Bar(value, number, *counts, *shares))
    return bars


def as_table(bars: Sequence[Bar], by: str) -> list[str]:
    """Return lines of text."""
    width = max([len(by), *(len(bar.value) for bar in bars)])
    head = f"{by:{width}}  {'defects':>9}  {'share':>6}  {'sum':>6}  {'critical':>8}  {'major':>8}  {'minor':>8}  false"
    return [head] + [
        f"{bar.value:{width}}  {bar.defects:>9}  {bar.share:>6.1%}  {bar.cumulative:>6.1%}  {bar.critical:>8}"
        f"  {bar.major:>8}  {bar.minor:>8}  {bar.false_calls}"
        for bar in bars
    ]


def as_svg(bars: Sequence[Bar], by: str, title: str) -> str:
    """Return a picture: a bar each, severities apart by shade and order, and the sum as a line."""
    shown = bars[:MOST_BARS]
    step, top, height, left = 44, 66, 260, 60
    width = left + step * max(4, len(shown)) + 60
    most = max([1, *(bar.defects for bar in shown)])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top + height + 120}" font-family="sans-serif"'
        f' font-size="12"><rect width="{width}" height="{top + height + 120}" fill="white"/>'
        f'<text x="{left}" y="20" font-size="15">{escape(title)}</text>'
    ]
    line = []
    for number, bar in enumerate(shown):
        x, y = left + number * step, float(top + height)
        for severity, colour in zip(reversed(_SEVERITIES), reversed(_COLOURS), strict=True):
            tall = height * getattr(bar, severity) / most
            y -= tall
            parts.append(
                f'<rect x="{x}" y="{y:.1f}" width="{step - 10}" height="{tall:.1f}" fill="{colour}" stroke="#333"'
                f' stroke-width="0.5"><title>{escape(bar.value)}: {getattr(bar, severity)} {severity}</title></rect>'
            )
        parts.append(f'<text x="{x + 17}" y="{y - 4:.1f}" text-anchor="middle">{bar.defects}</text>')
        parts.append(
            f'<text transform="translate({x + 20},{top + height + 12}) rotate(45)">{escape(bar.value[:18])}</text>'
        )
        line.append(f"{x + 17},{top + height * (1 - bar.cumulative):.1f}")
    parts.append(f'<polyline points="{" ".join(line)}" fill="none" stroke="#222" stroke-width="1.5"/>')
    right = left + step * max(4, len(shown))
    parts += [
        f'<text x="{right + 6}" y="{top + height * (1 - share) + 4:.1f}">{share:.0%}</text>'
        for share in (0, 0.5, 0.8, 1)
    ]
    for number, (severity, colour) in enumerate(zip(_SEVERITIES, _COLOURS, strict=True)):
        x = left + number * 90
        parts.append(f'<rect x="{x}" y="28" width="11" height="11" fill="{colour}" stroke="#333"/>')
        parts.append(f'<text x="{x + 16}" y="38">{severity}</text>')
    more = len(bars) - len(shown)
    foot = f"by {by}" + (f"; {more} more are in the table" if more > 0 else "")
    parts.append(f'<text x="{left}" y="{top + height + 112}">{escape(foot)}</text></svg>')
    return "\n".join(parts) + "\n"
