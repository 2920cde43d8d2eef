"""Where a finding lies on the strip, in m along and mm across, and how large it is."""

from __future__ import annotations

from typing import Any

from inspector.box import Box
from inspector.strip.position import Along
from inspector.track.rules import TrackRules
from inspector.track.state import TrackState

Edges = tuple[int, int]


def across_mm(box: Box, rules: TrackRules) -> tuple[float, float] | None:
    """Return the left and right edge of a box, in mm from the frame's left; None while the scale is unknown."""
    scale = rules.mm_per_px
    return None if scale is None else (box.x * scale, (box.x + box.width) * scale)


def scale_fields(extent: Box, along: Along | None, rules: TrackRules, edges: Edges | None = None) -> dict[str, Any]:
    """Return where a box lies on the strip and how large it is, in m and mm; None while that is unknown.

    Args:
        extent: In absolute lines, or rows of its frame, and pixels across.
        along: Which place of the coil a row is; None: not known.
        rules: With the scale.
        edges: Columns of the strip's edges; None: not known.
    """
    scale, step = rules.mm_per_px, rules.mm_per_line if along is None else abs(along.mm_per_line)
    return {
        **_along_fields(extent, along),
        "across_mm": None if scale is None else round(extent.x * scale, 2),
        "width_mm": None if scale is None else round(extent.width * scale, 2),
        "length_mm": None if step is None or scale is None else round(extent.height * step, 2),
        **_edge_fields(extent, rules, edges),
    }


def _along_fields(extent: Box, along: Along | None) -> dict[str, Any]:
    head_m, tail_m = (None, None) if along is None else along.places_m(extent.y, extent.height)
    return {
        "position_m": None if head_m is None else round(head_m, 4),
        "from_tail_m": None if tail_m is None else round(tail_m, 4),
    }


def _edge_fields(extent: Box, rules: TrackRules, edges: Edges | None) -> dict[str, Any]:
    """Return mm from the operator's edge, and from the centre line: positive towards the drive side."""
    scale = rules.mm_per_px
    if scale is None or edges is None:
        return {"from_operator_mm": None, "from_centre_mm": None}
    left, right = edges
    mirrored = rules.strip.operator_side == "right"
    from_edge = right - extent.right if mirrored else extent.x - left
    from_centre = extent.x + extent.width / 2 - (left + right) / 2
    return {
        "from_operator_mm": round(from_edge * scale, 2),
        "from_centre_mm": round((-from_centre if mirrored else from_centre) * scale + 0.0, 2),
    }


def place_fields(box: Box, lines: int, state: TrackState, rules: TrackRules) -> dict[str, Any]:
    """Return where a finding lies on the strip, in m along and mm across; None: unknown.

    Args:
        box: In its frame.
        lines: Absolute first line of the frame; 0 where there is none.
        state: Where the frame lies.
        rules: With the scale.
    """
    found = scale_fields(box.moved(dy=lines), state.along, rules)
    return {key: found[key] for key in ("position_m", "across_mm")}
