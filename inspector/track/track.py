"""The second pure function: inspections and gaps in order, messages out.

One owner calls `track` for one frame after the other. It joins what neighbouring frames show of the same defect,
decides which defects need a person, holds repeated alarms back, and merges gaps. For independent stills it joins
nothing. It reads no clock: time comes with the items, and with a `Tick` while none arrive.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime

from inspector.drafts import Draft
from inspector.frame import Cause, Gap
from inspector.inspection.one_frame import Inspection
from inspector.items import AreaLink, AreaWord, CoilChange, Command, Lost, Tick
from inspector.track.alarms import flush_limits, place_of
from inspector.track.area import Peer, acknowledged, heard, update_summary
from inspector.track.bodies import frames_of, lost_body
from inspector.track.coils import begun, with_gap, with_inspected
from inspector.track.coverage import flush_gaps, take_gap
from inspector.track.defects import closed_drafts, track_still, track_stream
from inspector.track.operators import OperatorState, obey, paused_gap, without_past
from inspector.track.rolls import at_head, close_periodic
from inspector.track.rules import TrackRules
from inspector.track.state import Place, Sight, TrackState

MAX_SIGHTS = 100
"""Defects of a frame that count for N of M: a frame with more is lost anyway."""
Item = Inspection | Gap | Lost | CoilChange | Command | AreaLink | AreaWord | Tick
"""What is ordered: all that can happen to a station."""


def track(state: TrackState, item: Item, rules: TrackRules) -> tuple[TrackState, list[Draft]]:
    """Return the next state and the messages that `item` causes, in the order in which they are published."""
    match item:
        case Tick():
            return _take_tick(state, item, rules)
        case Gap():
            return take_gap(with_gap(state, item, frames_of(item), 0, rules), item, rules)
        case Lost():
            return state, [Draft(lost_body(item, state, rules))]
        case CoilChange():
            return _change_coil(state, item, rules)
        case AreaLink():
            return replace(state, area=replace(state.area, linked=item.linked, linked_at=item.at)), []
        case AreaWord():
            said = Peer(item.at, item.alarms, item.summary, item.summary_at, item.held, item.wanted)
            return replace(state, area=heard(state.area, item.station, said)), []
        case Command():
            return _ask(_note_command(state, item), obey(state.operators, item), item.at, rules)
    return _take_inspection(state, item, rules)


def _take_inspection(state: TrackState, item: Inspection, rules: TrackRules) -> tuple[TrackState, list[Draft]]:
    frame = item.frame
    new_lines = 0 if frame.first_line is None else frame.height_px - frame.overlap_lines
    if state.operators.pause is not None:
        gap = paused_gap(state.operators.pause, frame)
        return take_gap(with_gap(state, gap, 1, new_lines, rules), gap, rules, frame)
    if item.cause is not None:
        gap = Gap(item.cause, frame.captured_at, frame.captured_at, frame.epoch, 1, frame.frame_id,
                  frame.identity if frame.independent else None, frame.source_key, detail=item.detail)  # fmt: skip
        return take_gap(with_gap(state, gap, 1, new_lines, rules), gap, rules, frame)
    state, drafts = flush_gaps(with_inspected(state, item, rules), frame.captured_at, rules)
    state = replace(state, sights=_remember(state.sights, item, rules.alarm_window))
    state, more = track_still(state, item, rules) if frame.independent else track_stream(state, item, rules)
    drafts += more
    state, late = flush_limits(state, frame.captured_at, rules)
    area, summed = update_summary(state.area, frame.captured_at, rules)
    return (state if area is state.area else replace(state, area=area)), drafts + late + summed


def _ask(
    state: TrackState, operators: OperatorState, now: datetime, rules: TrackRules
) -> tuple[TrackState, list[Draft]]:
    """Put in force what people ask for; a pause closes what is open, and reports what it missed at its own end."""
    drafts: list[Draft] = []
    if operators.pause != state.operators.pause:
        state, drafts = flush_gaps(state, now, rules, cause=Cause.PAUSED)
        if operators.pause is not None:
            drafts = closed_drafts(state.open, rules) + drafts
            state = replace(state, open=())
    return replace(state, operators=operators), drafts


def _change_coil(state: TrackState, change: CoilChange, rules: TrackRules) -> tuple[TrackState, list[Draft]]:
    """Close what belongs to the previous coil, and count positions from the head of the next."""
    if change.coil_id == state.coil_id:
        return state, []  # said again, as after a reconnect
    state, drafts = flush_gaps(state, change.at, rules, final=True)
    drafts = closed_drafts(state.open, rules) + drafts
    state, more = close_periodic(state, change.at, rules)
    drafts += more
    place = state.place
    state = at_head(state, passed_m(place, rules))
    if place is not None:
        place = replace(place, head_line=place.next_line if change.line is None else change.line)
    state = begun(state, change, rules)
    return replace(state, open=(), coil_id=change.coil_id, place=place, counted={}), drafts


def passed_m(place: Place | None, rules: TrackRules) -> float | None:
    """Return how much of the coil has passed, or None while that is not known."""
    if place is None or rules.mm_per_px is None:
        return None
    return (place.next_line - place.head_line) * rules.mm_per_px / 1000


def _note_command(state: TrackState, command: Command) -> TrackState:
    if command.name != "ack":
        return state
    return replace(state, area=acknowledged(state.area, json.loads(command.payload)["defect_id"]))


def _remember(
    sights: tuple[tuple[Sight, ...], ...], inspection: Inspection, window: int
) -> tuple[tuple[Sight, ...], ...]:
    still = inspection.frame.independent
    now = tuple(Sight(defect.label, place_of(defect.box, still)) for defect in inspection.published[:MAX_SIGHTS])
    return (*sights, now)[-window:]


def _take_tick(state: TrackState, tick: Tick, rules: TrackRules) -> tuple[TrackState, list[Draft]]:
    state, drafts = _ask(state, without_past(state.operators, tick.now), tick.now, rules)
    state, gaps = flush_gaps(state, tick.now, rules, tick.final)
    drafts += gaps
    if tick.final:
        drafts = closed_drafts(state.open, rules) + drafts
        state, periodic = close_periodic(replace(state, open=()), tick.now, rules, final=True)
        drafts += periodic
    state, more = flush_limits(state, tick.now, rules, True, tick.final)
    area, summed = update_summary(state.area, tick.now, rules, True, tick.final)
    return (state if area is state.area else replace(state, area=area)), drafts + more + summed
