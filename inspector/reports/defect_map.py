"""The map of a coil as SVG: where defects lie along and across, what was not seen, and where each class lies.

Severity is a shape and a colour, a class a letter and a lane of its own: a black-and-white print says the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from inspector.pages.language import Language
from inspector.reports.report import CoilReport, MapPart, Mark
from inspector.reports.rules import SEVERITIES

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MAX_LANES = 12
"""Classes with a lane of their own; the others share the last."""
MAX_LETTERED = 80
"""Marks that have the letter of their class beside them."""
_WIDTH, _LEFT, _RIGHT, _TOP, _HEIGHT = 1000.0, 58.0, 16.0, 10.0, 250.0
_LANE, _BINS = 22.0, 100
_INNER = _WIDTH - _LEFT - _RIGHT


@dataclass(frozen=True, slots=True)
class Scale:
    """From the units of a map to those of the picture."""

    defect_map: MapPart

    def x(self, along: float) -> float:
        """Return the place along."""
        return _LEFT + _INNER * min(1.0, max(0.0, along / self.defect_map.along_to))

    def y(self, across: float | None) -> float:
        """Return the place across; without one the middle."""
        share = 0.5 if across is None else min(1.0, max(0.0, across / self.defect_map.across_to))
        return _TOP + _HEIGHT * share


def letters_of(report: CoilReport) -> dict[str, str]:
    """Return the letter of each label, the worst and most frequent first; beyond Z it is `*`."""
    labels = dict.fromkeys(one.label for one in report.defects)
    return {label: LETTERS[at] if at < len(LETTERS) else "*" for at, label in enumerate(labels)}


def draw_map(report: CoilReport, names: Mapping[str, str], language: Language) -> Markup:
    """Return the map as one SVG element, which needs the classes of the page's style."""
    lanes = list(_lanes(report))
    height = _TOP + _HEIGHT + 42 + _LANE * len(lanes) + (30 if lanes else 0)
    scale = Scale(report.defect_map)
    parts = [
        Markup(
            '<svg class="map" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}" xmlns="http://www.w3.org/2000/svg">'
        ).format(_WIDTH, height, language.phrase("map of the defects along and across")),
        Markup(
            '<defs><pattern id="missed" width="8" height="8" patternUnits="userSpaceOnUse" '
            'patternTransform="rotate(45)"><rect width="3" height="8" class="hatch"/></pattern></defs>'
        ),
        Markup('<rect class="strip" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
            _LEFT, _TOP, _INNER, _HEIGHT
        ),
        *_not_graded(report, scale, language),
        *_gaps(report, scale, language),
        *_axes(report.defect_map, scale, language),
        *_periodic(report, scale),
        *_marks(report, scale, names),
        *_draw_lanes(lanes, report, names, language),
        Markup("</svg>"),
    ]
    return Markup("\n").join(parts)


def _box(kind: str, x0: float, x1: float, title: str) -> Markup:
    width = max(1.0, x1 - x0)
    return Markup(
        '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>'
    ).format(kind, x0, _TOP, width, _HEIGHT, title)


def _not_graded(report: CoilReport, scale: Scale, language: Language) -> Iterator[Markup]:
    if report.defect_map.along_unit != "m":
        return
    if report.head_m:
        yield _box("ungraded", scale.x(0), scale.x(report.head_m), language.phrase("head, not graded"))
    if report.tail_m and report.length_m is not None and not report.so_far:
        start = scale.x(report.length_m - report.tail_m)
        yield _box("ungraded", start, scale.x(report.length_m), language.phrase("tail, not graded"))


def _gaps(report: CoilReport, scale: Scale, language: Language) -> Iterator[Markup]:
    if report.defect_map.along_unit != "m":
        return
    for gap in report.gaps:
        if gap.from_m is not None and gap.to_m is not None:
            title = f"{language.number(gap.from_m, 1)}–{language.number(gap.to_m, 1)} m: {gap.cause}"
            yield _box("missed", scale.x(gap.from_m), scale.x(gap.to_m), title)


def _axes(defect_map: MapPart, scale: Scale, language: Language) -> Iterator[Markup]:
    bottom = _TOP + _HEIGHT
    for value in _ticks(defect_map.along_to, 8):
        x = scale.x(value)
        yield Markup('<line class="tick" x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}"/>').format(
            x, bottom, bottom + 5
        )
        yield _label(x, bottom + 19, language.number(value, _digits(defect_map.along_to)), "middle")
    for value in _ticks(defect_map.across_to, 4):
        y = scale.y(value)
        yield Markup('<line class="grid" x1="{0:.1f}" x2="{1:.1f}" y1="{2:.1f}" y2="{2:.1f}"/>').format(
            _LEFT, _LEFT + _INNER, y
        )
        yield _label(_LEFT - 6, y + 5, language.number(value, _digits(defect_map.across_to)), "end")
    in_m = defect_map.along_unit == "m"
    along = language.phrase("m from the head") if in_m else language.phrase("minutes from the start")
    yield _label(_LEFT + _INNER, bottom + 36, along, "end")
    from_operator = defect_map.across_from == "operator"
    side = language.phrase("from the operator side") if from_operator else language.phrase("from the left of the frame")
    yield _label(_LEFT, bottom + 36, f"↓ {defect_map.across_unit} {side}", "start")


def _ticks(end: float, count: int) -> list[float]:
    step = 10 ** math.floor(math.log10(end / count)) if end > 0 else 1.0
    step *= next((factor for factor in (1, 2, 5, 10) if end / (step * factor) <= count), 10)
    return [number * step for number in range(math.floor(end / step + 1e-9) + 1)]


def _digits(end: float) -> int:
    return 0 if end >= 10 else 1 if end >= 1 else 2


def _label(x: float, y: float, text: str, anchor: str, kind: str = "axis") -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(kind, x, y, anchor, text)


def _periodic(report: CoilReport, scale: Scale) -> Iterator[Markup]:
    defect_map = report.defect_map
    if (defect_map.along_unit, defect_map.across_unit) != ("m", "mm"):
        return
    for one in report.periodic:
        if one.across_mm is None:
            continue
        first, last = one.first_m or 0.0, defect_map.along_to if one.last_m is None else one.last_m
        yield Markup(
            '<line class="period" x1="{0:.1f}" x2="{1:.1f}" y1="{2:.1f}" y2="{2:.1f}">'
            "<title>{3} ⟳ {4:.0f} mm × {5}</title></line>"
        ).format(scale.x(first), scale.x(last), scale.y(one.across_mm), one.label, one.pitch_mm, one.count)


def _marks(report: CoilReport, scale: Scale, names: Mapping[str, str]) -> Iterator[Markup]:
    marks, letters = report.defect_map.marks, letters_of(report)
    lettered = len(marks) <= MAX_LETTERED
    for severity in reversed(SEVERITIES):  # the worst on top
        for one in marks:
            if one.severity != severity:
                continue
            x, y, size = scale.x(one.along), scale.y(one.across), 5.0 + min(5.0, 1.6 * math.log10(one.count))
            title = f"{names.get(one.label, one.label)}, {one.severity}"
            if one.count > 1:
                title = f"{one.count}: {title}"
            yield Markup('<g class="{}">{}<title>{}</title></g>').format(severity, shape(severity, x, y, size), title)
            if lettered:
                yield _label(x + size + 2, y + 4, letters.get(one.label, "*"), "start", "letter")


def shape(severity: str, x: float, y: float, size: float) -> Markup:
    """Return the shape of a severity: a triangle is critical, a square major, a ring minor."""
    if severity == "critical":
        return Markup('<path d="M{:.1f} {:.1f}l{:.1f} {:.1f}h{:.1f}z"/>').format(
            x, y - size * 1.2, size * 1.15, size * 2, -size * 2.3
        )
    if severity == "major":
        return Markup('<rect x="{0:.1f}" y="{1:.1f}" width="{2:.1f}" height="{2:.1f}"/>').format(
            x - size * 0.85, y - size * 0.85, size * 1.7
        )
    return Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{:.1f}"/>').format(x, y, size * 0.8)


def _lanes(report: CoilReport) -> Iterator[tuple[Sequence[str], list[int]]]:
    """Yield for each lane its labels and how many of their defects lie in each piece of the length."""
    labels = list(letters_of(report))
    groups: list[Sequence[str]] = [[label] for label in labels[:MAX_LANES]]
    if len(labels) > MAX_LANES:
        groups[-1] = labels[MAX_LANES - 1 :]
    lane = {label: at for at, group in enumerate(groups) for label in group}
    bins = [[0] * _BINS for _ in groups]
    for mark in report.defect_map.marks:
        if mark.label in lane:
            bins[lane[mark.label]][_bin(mark, report.defect_map)] += mark.count
    yield from zip(groups, bins, strict=True)


def _bin(mark: Mark, defect_map: MapPart) -> int:
    return min(_BINS - 1, max(0, int(mark.along / defect_map.along_to * _BINS)))


def _draw_lanes(
    lanes: Sequence[tuple[Sequence[str], list[int]]],
    report: CoilReport,
    names: Mapping[str, str],
    language: Language,
) -> Iterator[Markup]:
    if not lanes:
        return
    letters, top = letters_of(report), _TOP + _HEIGHT + 60
    yield _label(
        _LEFT, top - 6, language.phrase("each class along the coil; a bar is higher where there are more"), "start"
    )
    most = max((max(bins) for _, bins in lanes), default=1) or 1
    width = _INNER / _BINS
    for at, (labels, bins) in enumerate(lanes):
        bottom = top + _LANE * (at + 1) - 3
        yield Markup('<line class="lane" x1="{0:.1f}" x2="{1:.1f}" y1="{2:.1f}" y2="{2:.1f}"/>').format(
            _LEFT, _LEFT + _INNER, bottom
        )
        letter = letters[labels[0]] if len(labels) == 1 else "…"
        yield _label(_LEFT - 6, bottom, letter, "end", "letter")
        bars = Markup("").join(
            Markup("M{:.1f} {:.1f}v{:.1f}h{:.1f}v{:.1f}z").format(
                _LEFT + width * place, bottom, -height, max(1.5, width - 1), height
            )
            for place, count in enumerate(bins)
            if count and (height := 3 + (_LANE - 8) * math.log1p(count) / math.log1p(most))
        )
        text = ", ".join(names.get(label, label) for label in labels)
        yield Markup('<path class="bar" d="{}"><title>{}</title></path>').format(bars, text)
