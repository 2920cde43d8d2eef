"""Coils and defects for the tests of reports."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from inspector.reports.build import build_report
from inspector.reports.found import Found, Material
from inspector.reports.report import CoilReport
from inspector.reports.rules import ReportRules
from inspector.strip.record import CoilRecord, Fingerprints, Stretch

BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)
SEVERITY = {"crack": "critical", "hole": "major", "rust": "minor"}


def record_of(**changes: Any) -> CoilRecord:
    """A coil of 1,000 m in ten minutes, of which 50 m were not inspected; it is assessed."""
    return replace(
        CoilRecord(
            "7731", BEGAN, BEGAN + timedelta(minutes=10), length_m=1000.0, inspected_m=950.0,
            gaps=(Stretch(100.0, 150.0, "paused", 50),), frames_fed=1000, frames_inspected=950, frames_missed=50,
            position_source="lines", assessed=True, not_assessed=None, probes_shown=40, probes_found=38,
            fingerprints=Fingerprints("neu@1+ab", "c0ffee", "5afe"),
        ),
        **changes,
    )  # fmt: skip


def found_at(number: int, label: str = "crack", **changes: Any) -> Found:
    """Defect `number`, a metre further than the one before, 10 x 20 mm, 100 mm from the left."""
    values: dict[str, Any] = {
        "defect_id": f"{number:08x}-0000-5000-8000-000000000000", "label": label, "severity": SEVERITY[label],
        "score": 0.9, "captured_ms": round(BEGAN.timestamp() * 1000) + number * 100, "position_m": float(number),
        "length_mm": 20.0, "width_mm": 10.0, "across_mm": 100.0, "from_operator": False, "box_px": (200, 8, 20, 40),
        "has_picture": True,
    }  # fmt: skip
    return Found(**{**values, **changes})


def report_of(*defects: Found, rules: ReportRules | None = None, **changes: Any) -> CoilReport:
    """The report of `record_of`, made of these defects; changes are of the record or of the material."""
    parts = {key: changes.pop(key) for key in ("periodic", "actions", "sections") if key in changes}
    material = Material(
        "site/line/cam", 7, record_of(**changes), defects, parts.get("periodic", ()), parts.get("actions", ()),
        parts.get("sections", ()), "1.2.3", "2026-03-01T12:20:00.000Z",
    )  # fmt: skip
    return build_report(material, rules or ReportRules())
