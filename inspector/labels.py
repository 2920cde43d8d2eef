"""The words for what a tile shows and how bad a defect is; every station of the way uses them."""

from __future__ import annotations

from typing import Literal

CLEAN = "clean"
UNKNOWN = "unknown"
UNCLASSIFIED = "unclassified"
"""Not like the site's reference, and of no class that the bundle knows."""
OVERRULED = "overruled"
"""How a clean tile counts that is clean for the reference alone: the bundle said defect."""
RESERVED = (UNKNOWN, UNCLASSIFIED, OVERRULED)
"""Words for verdicts, which no class of a defect may have."""

Severity = Literal["minor", "major", "critical"]
BoxFrom = Literal["tile", "cam"]

SEVERITIES: tuple[Severity, ...] = ("minor", "major", "critical")
"""From least to most severe."""
UNCLASSIFIED_SEVERITY: Severity = "minor"
