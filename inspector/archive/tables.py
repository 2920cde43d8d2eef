"""The tables of an inspected archive: their columns, and how an inspection becomes rows; pure.

A frame is one row, also one that was refused; a defect is one, a tile is one where tiles are asked for. What a table
has more tomorrow is a column; a column that changes or goes is another version, and a reader refuses one that it does
not know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inspector.inspection.one_frame import Inspection
from inspector.messages import Body, DefectMessage, FrameMessage

SCHEMA = "inspector/inspected/1"
"""Stands in each file, under `SCHEMA_KEY`."""

_WHERE = {"x": "int", "y": "int", "width": "int", "height": "int"}
_FILE = {"path": "text", "source_key": "text", "sha256": "text", "captured_at": "moment"}
_PRINTS = {"bundle": "text", "reference": "text", "config": "text"}
TABLES: Mapping[str, Mapping[str, str]] = {
    "frames": {
        **_FILE, "size_bytes": "int", "id": "text", "folder": "text", "verdict": "text", "reason": "text",
        "detail": "text", "label": "text", "score": "float", "defects": "int", "tiles": "int", "unknown_tiles": "int",
        "unclassified_tiles": "int", "width_px": "int", "height_px": "int", **_PRINTS,
    },
    "defects": {
        **_FILE, "defect_id": "text", "id": "text", "folder": "text", "label": "text", "score": "float",
        "runner_up": "text", "runner_up_score": "float", "severity": "text", "distance": "float", **_WHERE,
        "tiles": "int", "line": "int", "lines": "int", "position_m": "float", "coil_id": "text", **_PRINTS,
    },
    "tiles": {
        **_FILE, "tile": "int", "folder": "text", **_WHERE, "label": "text", "score": "float", "top": "text",
        "runner_up": "text", "runner_up_score": "float", "distance": "float", "candidate": "bool", "overruled": "bool",
        **_PRINTS,
    },
}  # fmt: skip
"""Kind of each column by table and name. `folder` is the part of `source_key` above the file: a coil, where pictures
lie by coil."""


def frame_row(message: FrameMessage, base: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a frame, inspected or not."""
    return {
        **base, "id": message.id, "verdict": message.verdict, "reason": message.reason, "detail": message.detail,
        "label": message.label, "score": message.score, "defects": message.defects, "tiles": message.tiles,
        "unknown_tiles": message.unknown_tiles, "unclassified_tiles": message.unclassified_tiles,
        "width_px": message.width_px, "height_px": message.height_px,
    }  # fmt: skip


def defect_row(message: DefectMessage, base: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a defect, as it was said last."""
    box = message.box_px
    return {
        **base, "defect_id": message.defect_id, "id": message.id, "label": message.label, "score": message.score,
        "runner_up": message.runner_up.label, "runner_up_score": message.runner_up.score, "severity": message.severity,
        "distance": message.distance, "x": box.x, "y": box.y, "width": box.width, "height": box.height,
        "tiles": message.tiles, "line": message.line, "lines": message.lines, "position_m": message.position_m,
        "coil_id": message.coil_id,
    }  # fmt: skip


def tile_rows(inspection: Inspection, base: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a frame's tiles."""
    return [
        {
            **base, "tile": number, "x": box.x, "y": box.y, "width": box.width, "height": box.height,
            "label": verdict.label, "score": verdict.score, "top": verdict.top, "runner_up": verdict.runner_up,
            "runner_up_score": verdict.runner_up_score, "distance": verdict.distance, "candidate": verdict.candidate,
            "overruled": verdict.overruled,
        }
        for number, (box, verdict) in enumerate(zip(inspection.boxes, inspection.verdicts, strict=True))
    ]  # fmt: skip


def last_said(bodies: Sequence[Body]) -> list[DefectMessage]:
    """Return the last message of each defect, in the order in which they opened."""
    said: dict[str, DefectMessage] = {}
    for body in bodies:
        if isinstance(body, DefectMessage):
            said[body.defect_id] = body
    return list(said.values())
