"""The words for what a tile shows and how bad a defect is, which every station of the way speaks."""

from __future__ import annotations

from typing import Literal

CLEAN = "clean"
UNKNOWN = "unknown"

Severity = Literal["minor", "major", "critical"]
BoxFrom = Literal["tile", "cam"]

SEVERITIES: tuple[Severity, ...] = ("minor", "major", "critical")
"""From least to most severe."""
