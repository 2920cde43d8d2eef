"""The report of a shift: what ran, what was found, what was not seen, who did what; as JSON and as one page.

Everything is counted by the store, so that a shift with a million records takes no longer than one without.
"""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from inspector.clock import from_timestamp_ms, to_rfc3339, to_timestamp_ms
from inspector.pages.language import visible
from inspector.store.years import PeriodReader
from inspector.years.gather import Row
from inspector.years.shifts import Shift, Shifts
from inspector.years.tables import coil_row

SCHEMA = "inspector/shift/1"
_COIL = ("coil_id", "product", "length_m", "inspected_m", "coverage", "assessed", "not_assessed")


def shift_report(reader: PeriodReader, shift: Shift, shifts: Shifts, station: str) -> Row:
    """Return the report of a shift as JSON.

    Args:
        reader: The store.
        shift: Which.
        shifts: The plant's, for its zone.
        station: site/line/name
    """
    from_ms, to_ms = to_timestamp_ms(shift.began_at), to_timestamp_ms(shift.ends_at)
    frames: dict[str, int] = defaultdict(int)
    alarms: dict[str, int] = defaultdict(int)
    defects: dict[tuple[str, str], int] = defaultdict(int)
    for kind, label, severity, phase, count in reader.counts(from_ms, to_ms):
        if kind == "frame":
            frames[str(phase)] += count
        elif kind == "alarm" and phase == "defect":
            alarms[str(label)] += count
        elif kind == "defect" and phase == "closed":  # each defect closes once
            defects[str(label), str(severity)] += count
    return {
        "schema": SCHEMA, "station": station, "shift": shift.name, "day": shift.day.isoformat(), "crew": shift.crew,
        "began_at": to_rfc3339(shift.began_at), "ended_at": to_rfc3339(shift.ends_at),
        "hours": (shift.ends_at - shift.began_at).total_seconds() / 3600, "timezone": str(shifts.zone),
        "coils": [_coil(run.as_dict()) for run in reader.coils_within(from_ms, to_ms)],
        "frames": dict(frames), "alarms": dict(alarms),
        "defects": [
            {"label": label, "severity": severity, "count": count}
            for (label, severity), count in sorted(defects.items(), key=lambda one: (-one[1], one[0]))
        ],
        "gaps": _gaps(reader, from_ms, to_ms),
        "verified": reader.verdicts(from_ms, to_ms),
        "operator": [one | {"at": _moment(one["at"])} for one in reader.actions(from_ms, to_ms)],
    }  # fmt: skip


def _coil(run: Row) -> Row:
    row = coil_row(run)
    ended = None if row["ended_at"] is None else _moment(row["ended_at"])
    return {**{name: row[name] for name in _COIL}, "began_at": _moment(row["began_at"]), "ended_at": ended}


def _gaps(reader: PeriodReader, from_ms: int, to_ms: int) -> list[Row]:
    """Return what was not inspected, by cause: how often, how long within the period, and how many frames."""
    found: dict[str, list[float]] = {}
    for one in reader.records(("coverage",), from_ms, to_ms):
        message = one.message
        if message.get("sink") is not None or "from" not in message:
            continue  # messages that were lost are nothing of the surface
        began = max(from_ms, to_timestamp_ms(datetime.fromisoformat(message["from"])))
        ended = to_timestamp_ms(datetime.fromisoformat(message["to"]))
        sums = found.setdefault(str(one.label), [0, 0.0, 0])
        sums[0], sums[1] = sums[0] + 1, sums[1] + max(0, ended - began) / 60_000
        sums[2] += message.get("frames") or 0
    return [
        {"cause": cause, "count": int(count), "minutes": round(minutes, 2), "frames": int(frames)}
        for cause, (count, minutes, frames) in sorted(found.items(), key=lambda item: -item[1][1])
    ]


def _moment(ms: int) -> str:
    return to_rfc3339(from_timestamp_ms(ms))


def as_html(report: Row, shifts: Shifts) -> str:
    """Return the report as one page that needs nothing else, with moments by the plant's clock."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined,
        finalize=visible, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["local"] = lambda text: f"{datetime.fromisoformat(text).astimezone(shifts.zone):%d %b %H:%M %Z}"
    return environment.get_template("shift.html").render(report=report)


def as_json(report: Row) -> str:
    """Return the report as JSON."""
    return json.dumps(report, indent=1, ensure_ascii=False) + "\n"
