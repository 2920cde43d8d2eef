"""The record of the coil that runs: it begins, grows with each frame and gap, and ends, as part of the state."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from inspector.frame import Gap
from inspector.inspection.one_frame import Inspection
from inspector.items import CoilChange
from inspector.strip.record import CoilRecord, Fingerprints, Stretch
from inspector.track.rules import TrackRules
from inspector.track.state import TrackState


def begun(state: TrackState, change: CoilChange, rules: TrackRules) -> TrackState:
    """Return the state with the record of the coil that begins here, or with none; the one that ran has ended."""
    ended = state.ended if state.coil is None else (*state.ended, _ended(state.coil, change.at, rules))
    coil = None
    if change.coil_id is not None:
        coil = CoilRecord(
            change.coil_id,
            change.at,
            facts=change.facts,
            fingerprints=Fingerprints(rules.bundle, rules.config, rules.reference),
        )
    return replace(state, coil=coil, ended=ended)


def _ended(coil: CoilRecord, at: datetime, rules: TrackRules) -> CoilRecord:
    reason = None
    if not coil.frames_inspected:
        reason = "nothing of it was inspected"
    elif rules.reference is None:
        reason = "it was inspected without a reference of good surface"
    return replace(coil, ended_at=max(at, coil.began_at), assessed=reason is None, not_assessed=reason)


def with_inspected(state: TrackState, inspection: Inspection, rules: TrackRules) -> TrackState:
    """Return the state after a frame that was inspected: the coil has grown by what no frame had shown before."""
    coil, frame = state.coil, inspection.frame
    if coil is None:
        return state
    coil = replace(coil, frames_fed=coil.frames_fed + 1, frames_inspected=coil.frames_inspected + 1)
    if frame.first_line is not None and rules.mm_per_px is not None:
        metres = (frame.height_px - frame.overlap_lines) * rules.mm_per_px / 1000
        coil = replace(
            coil,
            length_m=(coil.length_m or 0.0) + metres,
            inspected_m=(coil.inspected_m or 0.0) + metres,
            position_source="lines",
        )
    return replace(state, coil=coil)


def with_gap(state: TrackState, gap: Gap, frames: int, lines: int, rules: TrackRules) -> TrackState:
    """Return the state after frames that were not inspected.

    Args:
        state: Before.
        gap: Why.
        frames: How many are missing; 0: not known.
        lines: New lines among them, where a line stream delivered them.
        rules: With the scale.
    """
    coil = state.coil
    if coil is None:
        return state
    from_m = to_m = None
    if lines and rules.mm_per_px is not None:
        from_m = coil.length_m or 0.0
        to_m = from_m + lines * rules.mm_per_px / 1000
        coil = replace(coil, length_m=to_m, inspected_m=coil.inspected_m or 0.0, position_source="lines")
    coil = replace(coil, frames_fed=coil.frames_fed + frames, frames_missed=coil.frames_missed + frames)
    return replace(state, coil=coil.with_gap(Stretch(from_m, to_m, gap.cause.value, frames)))
