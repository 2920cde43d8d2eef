"""The tables of an export and of the archive: their columns, and how a stored message becomes a row; pure.

A defect is one row: the last that was said about it, at the moment in which it opened. What a table has more tomorrow
is a column; a column that changes or goes is another version, and a reader refuses a version that it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VERSION = 1
SCHEMA = "inspector/archive/1"
"""Stands in each file, under `SCHEMA_KEY`."""
SCHEMA_KEY = "inspector.schema"

_PLACE = {
    "line": "int", "lines": "int", "position_m": "float", "from_tail_m": "float", "position_source": "text",
    "across_mm": "float", "from_operator_mm": "float", "from_centre_mm": "float", "width_mm": "float",
    "length_mm": "float",
}  # fmt: skip
_PRINTS = {
    "recipe": "text", "recipe_hash": "text", "bundle": "text", "config": "text", "reference": "text",
    "simulated": "bool",
}  # fmt: skip
TABLES: Mapping[str, Mapping[str, str]] = {
    "frames": {
        "id": "text", "store_id": "text", "seq": "int", "captured_at": "moment", "coil_id": "text", "line": "int",
        "verdict": "text", "label": "text", "score": "float", "shift": "text", "crew": "text",
    },
    "defects": {
        "defect_id": "text", "store_id": "text", "seq": "int", "captured_at": "moment", "phase": "text",
        "coil_id": "text", "side": "text", "label": "text", "class_code": "text", "class_name": "text",
        "class_group": "text", "score": "float", "distance": "float", "severity": "text", "alarm": "bool", **_PLACE,
        "x": "int", "y": "int", "width": "int", "height": "int", "epoch": "int", "frame_id": "int",
        "source_key": "text", "tiles": "int", "frames": "int", "periodic_id": "text", "roll": "text",
        "shelved_by": "text", "verdict": "text", "verified_label": "text", "person": "text", "product": "text",
        "shift": "text", "crew": "text", "evidence_sha256": "text", **_PRINTS,
    },
    "coils": {
        "run": "int", "store_id": "text", "coil_id": "text", "began_at": "moment", "ended_at": "moment",
        "product": "text", "grade": "text", "width_mm": "float", "thickness_mm": "float", "nominal_length_m": "float",
        "length_m": "float", "inspected_m": "float", "coverage": "float", "assessed": "bool", "not_assessed": "text",
        "side": "text", "mother": "text", "defects": "int", "frames_fed": "int", "frames_inspected": "int",
        "frames_missed": "int", "probes_shown": "int", "probes_found": "int", "recipe": "text", "recipe_hash": "text",
        "gaps": "gaps", "shift": "text", "crew": "text", "record": "text",
    },
    "messages": {
        "id": "text", "store_id": "text", "seq": "int", "captured_at": "moment", "kind": "text", "coil_id": "text",
        "message": "text",
    },
}  # fmt: skip
"""Kind of each column by table and name. `messages` is of the archive alone: every stored byte, so that nothing of a
coil is lost when it leaves the store."""
EXPORTED = ("frames", "defects", "coils")
GAP_FIELDS = {"from_m": "float", "to_m": "float", "cause": "text", "frames": "int"}

_RECORDED = (
    "length_m", "inspected_m", "assessed", "not_assessed", "side", "mother", "frames_fed", "frames_inspected",
    "frames_missed", "probes_shown", "probes_found", "recipe", "recipe_hash",
)  # fmt: skip
_BOX = ("x", "y", "width", "height")
_RENAMED = {"frame": ("epoch", "frame_id", "source_key"), "box_px": _BOX}


def defect_row(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a defect message of any version: what it lacks is None; `captured_at` in ms since 1970."""
    row = {name: message.get(name) for name in TABLES["defects"]}
    for part, names in _RENAMED.items():
        row |= {name: (message.get(part) or {}).get(name) for name in names}
    row["captured_at"] = message.get("timestamp_ms")
    row["evidence_sha256"] = (message.get("evidence") or {}).get("sha256")
    row |= dict.fromkeys(("verdict", "verified_label", "person", "product", "roll", "shift", "crew"))
    return row


def coil_row(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a coil from what the store has of it.

    Args:
        run: `run`, `coil_id`, `began_ms`, `ended_ms`, `facts` and `record`, a mapping each; the record may be empty.
    """
    facts, record = run["facts"], run["record"]
    known = {**facts, **(record.get("facts") or {})}
    row: dict[str, Any] = dict.fromkeys(TABLES["coils"])
    row |= {"run": run["run"], "coil_id": run["coil_id"], "began_at": run["began_ms"], "ended_at": run["ended_ms"]}
    row |= {name: known.get(name) for name in ("product", "grade", "width_mm", "thickness_mm")}
    row["nominal_length_m"] = known.get("length_m")
    for name in _RECORDED:
        value = record.get(name)
        row[name] = round(value, 3) if isinstance(value, float) else value  # metres, as its report says them
    if row["length_m"] and row["inspected_m"] is not None:
        row["coverage"] = round(record["inspected_m"] / record["length_m"], 6)
    row["gaps"] = [{name: gap.get(name) for name in GAP_FIELDS} for gap in record.get("gaps") or ()]
    return row
