"""From what was stored of a coil to its report. Time is in what comes in; nothing is read here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from statistics import fmean
from typing import Any

from inspector.clock import from_timestamp_ms, to_rfc3339, to_timestamp_ms
from inspector.labels import Severity
from inspector.reports.found import Found, Material
from inspector.reports.places import place_defects
from inspector.reports.report import (
    ActionPart,
    ClassCount,
    CoilReport,
    EventPart,
    Frames,
    GapPart,
    PeriodicPart,
    PicturePart,
    RestPart,
    Sensitivity,
)
from inspector.reports.rules import SEVERITIES, Judged, ReportRules, judge
from inspector.reports.sections import find_sections
from inspector.strip.record import CoilRecord

MAX_ACTIONS = 500
"""The last ones are listed."""
MAX_PERIODIC = 100
MAX_EVENTS = 1000
FALSE_CALL = "false_call"
_SAME_LABEL = 3
"""Pictures of one label before others have their turn."""
_RANK = {name: number for number, name in enumerate(SEVERITIES)}
_COMMON = {"request_id", "person", "reason"}


def build_report(material: Material, rules: ReportRules) -> CoilReport:
    """Return the report of a coil, or of a coil that still runs what can be said so far."""
    record = material.record
    began_ms = to_timestamp_ms(record.began_at)
    ended_ms = to_timestamp_ms(record.ended_at or datetime.fromisoformat(material.made_at))
    tail_m = record.tail_m if record.ended_at is not None else 0.0
    defects = material.defects
    graded_m = _graded_m(record, tail_m)
    counts = _count(defects, record, tail_m)
    so_far = record.ended_at is None
    judged = (
        Judged(None, None, "it runs")
        if so_far
        else judge(rules, record.assessed, counts, len(material.periodic), graded_m)
    )
    sections, gap_m = find_sections(defects, material.sections, rules.section_gap_m)
    facts = record.facts
    share = None if not record.probes_shown else (record.probes_found or 0) / record.probes_shown
    return CoilReport(
        station=material.station,
        coil_id=record.coil_id,
        run=material.run,
        so_far=so_far,
        made_at=material.made_at,
        started_at=to_rfc3339(record.began_at),
        ended_at=None if record.ended_at is None else to_rfc3339(record.ended_at),
        product=facts.product,
        grade=facts.grade,
        width_mm=facts.width_mm,
        thickness_mm=facts.thickness_mm,
        announced_m=facts.length_m,
        side=record.side,
        position_source=record.position_source,
        mother=record.mother,
        winding=record.winding,
        recipe=record.recipe,
        tiles_off_strip=record.tiles_off_strip,
        head_m=record.head_m,
        tail_m=record.tail_m,
        length_m=_rounded(record.length_m, 3),
        inspected_m=_rounded(record.inspected_m, 3),
        gaps=tuple(GapPart(from_m=_rounded(gap.from_m, 3), to_m=_rounded(gap.to_m, 3), cause=gap.cause,
                           frames=gap.frames) for gap in record.gaps),
        gaps_rest=tuple(RestPart(cause=one.cause, gaps=one.gaps, metres=one.metres, frames=one.frames)
                        for one in record.rest),
        coverage=_rounded(record.coverage, 6),
        frames=Frames(fed=record.frames_fed, inspected=record.frames_inspected, missed=record.frames_missed),
        assessed=record.assessed,
        not_assessed=record.not_assessed,
        surface_class=judged.surface_class,
        disposition=judged.disposition,
        class_reason=judged.reason,
        defects=counts,
        periodic=_periodic_parts(material.periodic[:MAX_PERIODIC], defects),
        sensitivity=Sensitivity(shown=record.probes_shown, found=record.probes_found, share=_rounded(share)),
        operator=tuple(_action(one) for one in material.actions[-MAX_ACTIONS:]),
        fingerprints={
            "program": material.program,
            "bundle": record.fingerprints.bundle,
            "config": record.fingerprints.config,
            "reference": record.fingerprints.reference,
            "recipe": record.recipe_hash,
        },
        events=tuple(EventPart(at_m=at_m, kind=kind, text=text) for at_m, kind, text in record.events[:MAX_EVENTS]),
        sections=sections,
        section_gap_m=gap_m,
        defect_map=place_defects(defects, record.length_m, facts.width_mm, began_ms, ended_ms),
        pictures=tuple(_picture(one) for one in worst_with_picture(defects, rules.pictures)),
        false_calls=sum(one.false_calls for one in counts),
    )  # fmt: skip


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(value, digits)


def _graded_m(record: CoilRecord, tail_m: float) -> float | None:
    """Return how many metres between head and tail were inspected."""
    if record.length_m is None or record.inspected_m is None:
        return None
    if not record.head_m and not tail_m:
        return record.inspected_m
    first, last = min(record.head_m, record.length_m), max(record.head_m, record.length_m - tail_m)
    missed = sum(
        max(0.0, min(gap.to_m, last) - max(gap.from_m, first))
        for gap in record.gaps
        if gap.from_m is not None and gap.to_m is not None
    )
    return max(0.0, min(record.inspected_m, last - first - missed))


def _count(defects: Sequence[Found], record: CoilRecord, tail_m: float) -> tuple[ClassCount, ...]:
    """Count by label and severity, the worst and then the most frequent first."""
    all_: dict[tuple[str, Severity], list[int]] = {}
    words: dict[str, tuple[str | None, str | None]] = {}
    last_m = None if record.length_m is None else record.length_m - tail_m
    for one in defects:
        tally = all_.setdefault((one.label, one.severity), [0, 0, 0])
        tally[0] += 1
        if one.verdict == FALSE_CALL:
            tally[2] += 1
        elif not one.at_weld and _is_graded(one, record.head_m, last_m if tail_m else None):
            tally[1] += 1
        if one.code is not None or one.name is not None:
            words[one.label] = one.code, one.name
    ordered = sorted(all_.items(), key=lambda item: (_RANK[item[0][1]], -item[1][0], item[0][0]))
    inspected_m = record.inspected_m
    return tuple(
        ClassCount(
            label=label, severity=severity, count=count, graded=graded, false_calls=false_calls,
            per_100_m=round(count * 100 / inspected_m, 4) if inspected_m else None,
            code=words.get(label, (None, None))[0], name=words.get(label, (None, None))[1],
        )
        for (label, severity), (count, graded, false_calls) in ordered
    )  # fmt: skip


def _is_graded(one: Found, first_m: float, last_m: float | None) -> bool:
    """Say whether a defect lies, or reaches, between head and tail; what has no place does."""
    if one.position_m is None:
        return True
    return (not first_m or (one.end_m or 0.0) > first_m) and (last_m is None or one.position_m <= last_m)


def worst_with_picture(defects: Sequence[Found], most: int) -> list[Found]:
    """Return the worst defects that have a picture, but of one label only a few before the others have their turn."""
    pictured = sorted(
        (one for one in defects if one.has_picture and one.verdict != FALSE_CALL),
        key=lambda one: (_RANK[one.severity], -_size(one), -one.score, one.captured_ms, one.defect_id),
    )
    first, rest, seen = list[Found](), list[Found](), dict[str, int]()
    for one in pictured:
        seen[one.label] = seen.get(one.label, 0) + 1
        (first if seen[one.label] <= _SAME_LABEL else rest).append(one)
    return sorted((first + rest)[:most], key=pictured.index) if most < len(pictured) else pictured


def _size(one: Found) -> float:
    return max(one.box_px[2], one.box_px[3])


def _picture(one: Found) -> PicturePart:
    x, y, width, height = one.box_px
    return PicturePart(
        defect_id=one.defect_id, label=one.label, severity=one.severity, score=one.score, position_m=one.position_m,
        across_mm=one.across_mm, width_mm=one.width_mm, length_mm=one.length_mm,
        captured_at=to_rfc3339(from_timestamp_ms(one.captured_ms)), verdict=one.verdict,
        box_px={"x": x, "y": y, "width": width, "height": height}, file=f"{one.defect_id}.jpg",
    )  # fmt: skip


def _periodic_parts(messages: Sequence[Mapping[str, Any]], defects: Sequence[Found]) -> tuple[PeriodicPart, ...]:
    """Return the periodic findings, across from the operator side as their defects where the strip's edges are known.

    A message counts from the frame's left; the marks by which it was found say where that is on the strip.
    """
    marks = [str(one.get("defect_ids", "")).split() for one in messages]
    wanted = {key for keys in marks for key in keys}
    middles = {
        one.defect_id: one.across_mm + (one.width_mm or 0.0) / 2
        for one in defects
        if one.defect_id in wanted and one.from_operator and one.across_mm is not None
    }
    parts = []
    for payload, keys in zip(messages, marks, strict=True):
        known = [middles[key] for key in keys if key in middles]
        part = PeriodicPart(
            label=payload["label"], pitch_mm=payload["pitch_mm"],
            across_mm=round(fmean(known), 2) if known else payload.get("across_mm"), count=payload["count"],
            roll=payload.get("roll"), first_m=payload.get("first_m"), last_m=payload.get("last_m"),
        )  # fmt: skip
        parts.append(part)
    return tuple(parts)


def _action(one: Mapping[str, Any]) -> ActionPart:
    asked = one["asked"]
    return ActionPart(
        command=one["command"], at=one["at"], until=one["until"], person=asked.get("person"),
        reason=asked.get("reason"), asked={key: asked[key] for key in asked if key not in _COMMON},
    )  # fmt: skip
