"""The figures: what was found of what was there, and what was published besides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import floor, log2, sqrt
from typing import Any

import numpy as np

from inspector.box import Box
from inspector.score.detectability import Curve, fit_curve
from inspector.score.matching import Matching, find_touching, found_by_chance, iou, match
from inspector.score.reading import Event, Heard, Truth

SCHEMA = "inspector/score/1"
HELD = 0.9
"""Share of a defect that its event's box should hold."""


@dataclass(frozen=True, slots=True)
class Given:
    """What neither messages nor truth say.

    Attributes:
        metres: Length of strip that was inspected.
        speed_m_s: Of the strip: hours follow from it.
        mm_per_px: Scale.
    """

    metres: float | None = None
    speed_m_s: float | None = None
    mm_per_px: float | None = None


def wilson(k: float, n: int) -> dict[str, Any]:
    """Return k of n with its 95 % score interval (Wilson, JASA 22, 1927); of none, the interval says nothing."""
    if n == 0:
        return {"k": 0, "n": 0, "share": None, "low": 0.0, "high": 1.0}
    z, p = 1.959963984540054, k / n
    middle, half = (p + z * z / (2 * n)), z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = ((middle + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    return {"k": k, "n": n, "share": round(p, 4), "low": round(max(0.0, low), 4), "high": round(min(1.0, high), 4)}


def score(truth: Truth, heard: Heard, given: Given = Given()) -> dict[str, Any]:
    """Return the figures of a run; docs/simulate.md says what each is."""
    heard = replace(heard, events=_on_nothing_hidden(truth, heard.events))
    events = heard.events
    boxes = [event.box for event in events]
    found = match(truth.boxes, boxes)
    lines = truth.lines or max([box.bottom for box in (*truth.boxes, *boxes)], default=0)
    chance = found_by_chance(truth.boxes, boxes, lines)
    mm_per_px = given.mm_per_px or truth.mm_per_px
    hits = [event is not None for event in found.event_of]
    pairs = [(row, events[event]) for row, event in enumerate(found.event_of) if event is not None]
    return {
        "schema": SCHEMA, "station": heard.station, "defects": len(truth.boxes), "events": len(events),
        "open": sum(event.is_open for event in events), "missing_seqs": heard.missing,
        "recall": wilson(sum(hits), len(hits)), "by_chance": _mean(chance),
        "precision": wilson(len(pairs), len(events) - _continued(found, events)),
        "right_class": wilson(sum(truth.labels[row] == event.label for row, event in pairs), len(pairs)),
        "alarmed": wilson(sum(event.alarm for _, event in pairs), len(hits)),
        **_events(truth, events, found), **_places(truth, pairs),
        "by_class": _by_class(truth, hits, found, events),
        "by_size_px": _by_size(_sizes(truth.boxes, 1.0), hits, chance),
        "by_size_mm": None if mm_per_px is None else _by_size(_sizes(truth.boxes, mm_per_px), hits, chance),
        "a90": _a90(_sizes(truth.boxes, 1.0), hits, mm_per_px),
        "alarms": dict(heard.alarms),
        **_rates(truth, heard, found, given, lines, mm_per_px),
    }  # fmt: skip


def _mean(values: Any) -> float | None:
    return round(float(np.mean(values)), 4) if len(values) else None


def _on_nothing_hidden(truth: Truth, events: Sequence[Event]) -> tuple[Event, ...]:
    """Return the events without those that lie on a hidden defect and on no other."""
    boxes = [event.box for event in events]
    hidden = {i for row in find_touching(truth.hidden, boxes) for i in row}
    seen = {i for row in find_touching(truth.boxes, boxes) for i in row}
    return tuple(event for i, event in enumerate(events) if i not in hidden or i in seen)


def _continued(found: Matching, events: Sequence[Event]) -> int:
    """Return how many events of stills show the rest of a defect that another still has shown."""
    rest: set[int] = set()
    for own, touching in zip(found.event_of, found.touching, strict=True):
        if own is not None:
            rest.update(i for i in touching if events[i].still != events[own].still)
    return len(rest - set(found.event_of))


def _others(row: int, found: Matching, events: Sequence[Event]) -> list[Event]:
    """Return the events on a defect besides its own: of stills, those in the same picture."""
    own = found.event_of[row]
    if own is None:
        return []
    return [
        events[i]
        for i in found.touching[row]
        if i != own and i not in found.event_of and events[i].still == events[own].still
    ]


def _events(truth: Truth, events: Sequence[Event], found: Matching) -> dict[str, Any]:
    seconds = {row: _others(row, found, events) for row in range(len(truth.boxes))}
    touched = [i for row in found.touching for i in row]
    counts = np.bincount(np.array(touched, np.intp), minlength=len(events)) if touched else np.zeros(len(events))
    found_rows = [row for row, event in enumerate(found.event_of) if event is not None]
    false = [event for event, count in zip(events, counts, strict=True) if not count]
    return {
        "one_event": wilson(sum(not seconds[row] for row in found_rows), len(found_rows)),
        "second_events": len({event.defect_id for others in seconds.values() for event in others}),
        "wrong_seconds": len(
            {event.defect_id for row, others in seconds.items() for event in others if event.label != truth.labels[row]}
        ),
        "merged": int((counts > 1).sum()),
        "false_calls": len(false),
        "false_alarms": sum(event.alarm for event in false),
    }


def _places(truth: Truth, pairs: Sequence[tuple[int, Event]]) -> dict[str, Any]:
    ious = [iou(truth.boxes[row], event.box) for row, event in pairs]
    held = [truth.boxes[row].shared_px(event.box) >= HELD * truth.boxes[row].area_px for row, event in pairs]
    off = [abs(event.position_m - truth.positions_m[row]) for row, event in pairs if event.position_m is not None]
    shift = [abs(event.box.y - truth.boxes[row].y) for row, event in pairs]
    return {
        "iou_mean": _mean(ious), "box_holds_90": wilson(sum(held), len(held)),
        "position_error_m": _spread(off), "line_error": _spread(shift),
    }  # fmt: skip


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {
        "mean": round(float(np.mean(values)), 4), "p95": round(float(np.quantile(values, 0.95)), 4),
        "max": round(float(max(values)), 4),
    }  # fmt: skip


def _by_class(truth: Truth, hits: Sequence[bool], found: Matching, events: Sequence[Event]) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for label in sorted(set(truth.labels)):
        mine = [row for row, name in enumerate(truth.labels) if name == label]
        own = [events[i].label for row in mine if (i := found.event_of[row]) is not None]
        rows[label] = {**wilson(sum(hits[row] for row in mine), len(mine)), "right_class": own.count(label)}
    return rows


def _sizes(boxes: Sequence[Box], mm_per_px: float) -> list[float]:
    """Return the longer side of each."""
    return [max(box.width, box.height) * mm_per_px for box in boxes]


def _by_size(sizes: Sequence[float], hits: Sequence[bool], chance: Any) -> list[dict[str, Any]]:
    """Return how many are found in each octave of size, with chance beside it."""
    octaves = [floor(log2(size)) for size in sizes]
    rows = []
    for octave in sorted(set(octaves)):
        mine = [i for i, each in enumerate(octaves) if each == octave]
        rows.append(
            {
                "from": 2.0**octave, "to": 2.0 ** (octave + 1), **wilson(sum(hits[i] for i in mine), len(mine)),
                "by_chance": _mean([chance[i] for i in mine]),
            }
        )  # fmt: skip
    return rows


def _a90(sizes: Sequence[float], hits: Sequence[bool], mm_per_px: float | None) -> dict[str, Any] | None:
    curve = fit_curve(sizes, [float(hit) for hit in hits]) if sizes else None
    return None if curve is None else curve_row(curve, min(sizes), max(sizes), mm_per_px)


def curve_row(curve: Curve, least: float, most: float, mm_per_px: float | None) -> dict[str, Any]:
    """Return a curve as figures; a size outside of what was shown is extrapolated, and says so."""

    def scaled(size: float | None, by: float | None) -> float | None:
        return None if size is None or by is None else round(size * by, 2)

    return {
        "px": scaled(curve.a90, 1), "px_95": scaled(curve.a90_95, 1), "mm": scaled(curve.a90, mm_per_px),
        "mm_95": scaled(curve.a90_95, mm_per_px), "offset": round(curve.offset, 4), "slope": round(curve.slope, 4),
        "extrapolated": curve.a90 is None or not least <= curve.a90 <= most,
    }  # fmt: skip


def _rates(
    truth: Truth, heard: Heard, found: Matching, given: Given, lines: int, mm_per_px: float | None
) -> dict[str, Any]:
    """Return alarms and false calls by length and by time, with where both come from."""
    metres: float | None
    if given.metres is not None:
        metres, length_from = given.metres, "stated"
    elif mm_per_px is None:
        metres, length_from = None, "unknown: no scale"
    else:
        metres, length_from = lines * mm_per_px / 1000, "truth" if truth.lines is not None else "last box"
    seconds: float | None
    stated = truth.strip.get("seconds")
    if given.speed_m_s is not None and metres is not None:
        seconds, time_from = metres / given.speed_m_s, "speed"
    elif stated is not None:
        seconds, time_from = float(stated), "speed profile"
    else:
        seconds, time_from = heard.seconds, "messages"
    touched = {i for row in found.touching for i in row}
    false = len(heard.events) - len(touched)
    alarms = heard.alarms.get("defect", 0)

    def per(count: int, whole: float | None) -> float | None:
        return round(count / whole, 4) if whole else None

    km, hours = None if metres is None else metres / 1000, None if seconds is None else seconds / 3600
    return {
        "metres": None if metres is None else round(metres, 3), "metres_from": length_from,
        "hours": None if hours is None else round(hours, 5), "hours_from": time_from,
        "alarms_per_km": per(alarms, km), "false_calls_per_km": per(false, km),
        "alarms_per_operator_hour": per(alarms, hours),
    }  # fmt: skip
