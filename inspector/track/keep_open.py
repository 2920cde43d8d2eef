"""Hysteresis: what is too weak to be a defect of its own keeps an open one open."""

from __future__ import annotations

from dataclasses import replace

from inspector.inspection.one_frame import Inspection
from inspector.track.rules import TrackRules
from inspector.track.state import OpenDefect


def kept_open(known: OpenDefect, inspection: Inspection, rules: TrackRules) -> OpenDefect | None:
    """Return an open defect grown by the weak pieces that continue it in a frame that shows no other, or None.

    A piece counts if it has the defect's label, touches it, and reaches `TrackRules.keep_open` of the threshold.
    """
    least = rules.keep_open * rules.thresholds.get(known.best.label, 1.0)
    shift = inspection.frame.first_line or 0
    pieces = [
        defect for defect in inspection.defects
        if defect.candidate and defect.label == known.best.label and defect.score >= least
        and known.extent.touches(defect.tiles_box.moved(dy=shift))
    ]  # fmt: skip
    if not pieces:
        return None
    grown = replace(known, misses=0, frames=known.frames + 1, tiles=known.tiles + sum(one.tiles for one in pieces))
    for piece in pieces:
        extent, shown = piece.tiles_box.moved(dy=shift), piece.box.moved(dy=shift)
        if inspection.frame.first_line is not None:
            extent, shown = grown.extent.union(extent), grown.shown.union(shown)
        grown = replace(grown, extent=extent, shown=shown)
    return grown
