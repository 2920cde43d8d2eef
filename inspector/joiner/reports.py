"""The report of a coil of the whole width: JSON and one page, made from the strip's store whenever it is needed."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from inspector.clock import from_timestamp_ms, to_rfc3339
from inspector.joiner.settings import JoinerSettings
from inspector.pages.language import visible
from inspector.store.years import CoilRun, PeriodReader

FOLDER = "coils"
MAX_DRAWN = 5000
"""Defects on the map; more are counted and not drawn."""


def name_of(run: CoilRun) -> str:
    """Return how the files of a coil's report are called."""
    return f"{re.sub(r'[^A-Za-z0-9.-]', '_', run.coil_id)[:80]}-{run.run}"


def coil_report(reader: PeriodReader, run: CoilRun, settings: JoinerSettings) -> dict[str, Any]:
    """Return the report of a coil as JSON: the keys of a station's, and for each gap and defect its side."""
    record = run.record
    defects: dict[str, dict[str, Any]] = {}  # of one that was published again, the last
    for one in reader.coil_records(run):
        if one.kind == "defect" and one.text is not None and one.defect_id is not None:
            defects[one.defect_id] = one.message
    periodic = {}
    for one in reader.coil_records(run):
        if one.kind == "periodic" and one.text is not None:
            periodic[one.message["periodic_id"]] = one.message
    counts: dict[tuple[str, str, str], int] = defaultdict(int)
    for message in defects.values():
        counts[message["label"], message["severity"], message["side"]] += 1
    length_m, inspected_m = record.get("length_m"), record.get("inspected_m")
    return {
        "coil_id": run.coil_id,
        "started_at": to_rfc3339(from_timestamp_ms(run.began_ms)),
        "ended_at": None if run.ended_ms is None else to_rfc3339(from_timestamp_ms(run.ended_ms)),
        "length_m": length_m,
        "inspected_m": inspected_m,
        "gaps": record.get("gaps") or [],
        "coverage": inspected_m / length_m if length_m and inspected_m is not None else None,
        "assessed": record.get("assessed", False),
        "not_assessed": record.get("not_assessed"),
        "surface_class": None,
        "defects": [
            {"label": label, "severity": severity, "side": side, "count": count,
             "per_100_m": round(100 * count / length_m, 3) if length_m else None}
            for (label, severity, side), count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))
        ],
        "periodic": [
            {name: message[name] for name in ("label", "pitch_mm", "across_mm", "count", "roll", "side")}
            for message in periodic.values()
        ],
        "stations": [
            {"root": one.root, "side": one.side, "from_mm": one.edges[0], "to_mm": one.edges[1]}
            for one in settings.station
        ],
        "width_mm": settings.edges[1] - settings.edges[0],
        "map": [
            {name: message[name] for name in ("side", "label", "severity", "position_m", "from_operator_mm", "width_mm",
                                              "length_mm")}
            for message in list(defects.values())[:MAX_DRAWN]
            if message["position_m"] is not None and message["from_operator_mm"] is not None
        ],
    }  # fmt: skip


def write_report(folder: Path, run: CoilRun, report: dict[str, Any], settings: JoinerSettings) -> Path:
    """Write a report as NAME.json and NAME.html and return the page; each file is whole or the previous one.

    Raises:
        OSError: It cannot be written.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined,
        finalize=visible, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    page = environment.get_template("strip.html").render(report=report, sides=settings.sides, low=settings.edges[0])
    text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name_of(run)}.html"
    for name, content in ((path.with_suffix(".json"), text), (path, page)):
        part = name.with_name(f".{name.name}.part")
        with part.open("w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(name)
    return path
