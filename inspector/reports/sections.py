"""Stretches of a coil with defects, by metre from head and tail: computed, and as CSV."""

from __future__ import annotations

import csv
import io
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from inspector.labels import Severity
from inspector.reports.found import Found, Section
from inspector.reports.report import CoilReport, SectionPart

MAX_SECTIONS = 20_000
"""Kept of a coil: with more, what lies further apart is joined, twice as far each time."""
COLUMNS = (
    "coil_id", "from_head_m", "to_head_m", "from_tail_m", "to_tail_m", "section", "section_offset_m", "code", "name",
    "label", "severity", "count", "from_mm", "to_mm",
)  # fmt: skip
"""Of the CSV; positions across are from the operator side where the station knows it, else from the frame's left."""
_FORMULA = ("=", "+", "-", "@", "\t")


def find_sections(
    defects: Sequence[Found], codes: Sequence[Section], gap_m: float
) -> tuple[tuple[SectionPart, ...], float]:
    """Return the stretches in the order of their starts, and how close defects had to lie to be one.

    Args:
        defects: In any order; those without a place along are left out.
        codes: Printed on the strip.
        gap_m: Defects of one label and severity that lie at most this far apart are one stretch.
    """
    placed = sorted((one for one in defects if one.position_m is not None), key=lambda one: one.position_m or 0.0)
    while True:
        found = list(_joined(placed, gap_m))
        if len(found) <= MAX_SECTIONS:
            break
        gap_m = max(2 * gap_m, 0.1)
    found.sort(key=lambda one: (one.from_m, one.label))
    return _with_codes(found, codes), gap_m


def _joined(placed: Sequence[Found], gap_m: float) -> Iterator[SectionPart]:
    """Yield the stretches; each ends when the next defect of its label and severity lies too far behind it."""
    open_: dict[tuple[str, Severity], list[Found]] = {}
    ends: dict[tuple[str, Severity], float] = {}
    for one in placed:
        key = one.label, one.severity
        start, end = one.position_m or 0.0, one.end_m or 0.0
        if key in open_ and start - ends[key] > gap_m:
            yield _section(open_.pop(key), ends.pop(key))
        open_.setdefault(key, []).append(one)
        ends[key] = max(ends.get(key, end), end)
    for key, members in open_.items():
        yield _section(members, ends[key])


def _section(members: Sequence[Found], end_m: float) -> SectionPart:
    first = members[0]
    lefts = [one.across_mm for one in members if one.across_mm is not None]
    rights = [one.across_mm + (one.width_mm or 0.0) for one in members if one.across_mm is not None]
    return SectionPart.model_construct(
        from_m=round(first.position_m or 0.0, 3), to_m=round(end_m, 3), label=first.label, severity=first.severity,
        count=len(members), from_mm=round(min(lefts), 1) if lefts else None,
        to_mm=round(max(rights), 1) if rights else None, section=None, section_offset_m=None,
    )  # fmt: skip


def _with_codes(found: Sequence[SectionPart], codes: Sequence[Section]) -> tuple[SectionPart, ...]:
    ordered = sorted(codes, key=lambda one: one.at_m)
    places = [one.at_m for one in ordered]
    named = []
    for one in found:
        number = bisect_right(places, one.from_m) - 1
        if number >= 0:
            code = ordered[number]
            one = one.model_copy(update={"section": code.code, "section_offset_m": round(one.from_m - code.at_m, 3)})
        named.append(one)
    return tuple(named)


def sections_csv(report: CoilReport, decimal_comma: bool = False) -> str:
    """Return the list of sections with a head line, as CSV after RFC 4180.

    Args:
        report: Of the coil.
        decimal_comma: `;` between cells and a comma in numbers, as spreadsheets in many countries expect.
    """
    words = {one.label: (one.code, one.name) for one in report.defects}
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=";" if decimal_comma else ",", lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for one in report.sections:
        code, name = words.get(one.label, (None, None))
        tail_from, tail_to = (
            (None, None)
            if report.length_m is None
            else (round(report.length_m - one.to_m, 3), round(report.length_m - one.from_m, 3))
        )
        row = (report.coil_id, one.from_m, one.to_m, tail_from, tail_to, one.section, one.section_offset_m, code, name,
               one.label, one.severity, one.count, one.from_mm, one.to_mm)  # fmt: skip
        writer.writerow([_cell(value, decimal_comma) for value in row])
    return buffer.getvalue()


def _cell(value: str | float | None, decimal_comma: bool) -> str:
    """Return a cell; a text that a spreadsheet would take for a formula gets an apostrophe before it."""
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    text = str(value)
    return text.replace(".", ",") if decimal_comma else text
