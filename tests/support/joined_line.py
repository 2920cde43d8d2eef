"""What the stations of one strip say, for tests of the joiner: two cameras above that share 100 mm, and one below."""

from __future__ import annotations

import json
from typing import Any

from fakes import NOON, make_defect, make_frame, track_all, track_rules
from fakes import inspected as seen_by

from inspector.box import Box
from inspector.clock import to_timestamp_ms
from inspector.ids import Ids
from inspector.json_text import canonical_json
from inspector.messages import CoilMessage

NOON_MS = to_timestamp_ms(NOON)
LEFT, RIGHT, BELOW = "mill/l1/left", "mill/l1/right", "mill/l1/below"
WIDE = {
    "strip": {"site": "mill", "line": "l1"},
    "station": [
        {"root": LEFT, "width_mm": 600},
        {"root": RIGHT, "width_mm": 600, "offset_mm": 500},
        {"root": BELOW, "width_mm": 1100, "side": "bottom", "mirrored": True},
    ],
}
"""Two cameras above that share 100 mm, and one below whose left is the drive side."""


def defect(root: str, number: int, at_m: float, across_mm: float, **changes: Any) -> str:
    """A closed defect of a station, 20 mm by 20 mm, as it publishes it."""
    frame = make_frame(number, independent=True, source_key=f"{number}.jpg")
    rules = track_rules(ids=Ids(root), station=root, mm_per_px=1.0)
    _, bodies = track_all([seen_by(frame, make_defect("crack", Box(0, 0, 20, 20)))], rules)
    message = json.loads(bodies[0].model_dump_json(by_alias=True))
    place = {"coil_id": "7731", "position_m": at_m, "across_mm": across_mm, "width_mm": 20.0, "length_mm": 20.0}
    return canonical_json(message | {"store_id": root, "seq": number + 1} | place | changes).decode()


def coil(root: str, coil_id: str | None, at_s: float, **changes: Any) -> str:
    """What a station says of the coil that runs there."""
    since = f"2026-03-01T12:{int(at_s // 60):02}:{int(at_s % 60):02}.000Z"
    body = CoilMessage(station=root, coil_id=coil_id, since=since, report=None)
    return canonical_json(json.loads(body.model_dump_json(by_alias=True)) | changes).decode()


def ended(root: str, at_s: float = 100, length_m: float = 100.0, assessed: bool = True) -> str:
    """What a station says once its coil has ended and was reported."""
    told = {"report": "/api/coils/7731/report?run=1", "ended_at": "2026-03-01T12:01:40.000Z", "length_m": length_m}
    return coil(root, None, at_s, assessed=assessed, **told)


def gap(root: str, from_m: float | None, to_m: float | None, cause: str = "source_down") -> str:
    """A gap of a station."""
    return canonical_json({
        "schema": "inspector/coverage/2", "id": Ids(root).of(from_m, to_m), "store_id": root, "seq": 9, "station": root,
        "captured_at": "2026-03-01T12:00:30.000Z", "timestamp_ms": NOON_MS + 30_000, "coil_id": "7731", "bundle": "b",
        "config": "c", "simulated": False, "from": "2026-03-01T12:00:20.000Z", "to": "2026-03-01T12:00:30.000Z",
        "cause": cause, "frames": 4, "epoch": 1, "source_key": None, "from_m": from_m, "to_m": to_m, "detail": None,
        "first_seq": None, "last_seq": None, "a_key_of_tomorrow": 1,
    }).decode()  # fmt: skip
