"""The second pure function: inspections and gaps in order, messages out.

One owner calls `track` for one frame after the other. It joins what neighbouring frames show of the same defect,
decides which defects need a person, holds repeated alarms back, and merges gaps. For independent stills it joins
nothing. It reads no clock: time comes with the items, and with a `Tick` while none arrive.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from inspector.clock import to_timestamp_ms
from inspector.drafts import Draft
from inspector.frame import Cause, Gap
from inspector.inspection.one_frame import Inspection
from inspector.items import AreaLink, AreaWord, CoilChange, CoilFacts, Command, Lost, Tick
from inspector.strip.position import with_speed
from inspector.track.alarms import flush_limits, place_of
from inspector.track.area import Peer, acknowledged, heard, update_summary
from inspector.track.bodies import lost_body
from inspector.track.coverage import flush_gaps
from inspector.track.defects import closed_drafts, track_still, track_stream
from inspector.track.operators import OperatorState, obey, paused_gap, without_past
from inspector.track.passing import pass_by, passed_by, take_coil, take_missed, take_outage, waited_long_enough
from inspector.track.recipes import with_recipe
from inspector.track.rolls import close_periodic
from inspector.track.rules import TrackRules
from inspector.track.state import Sight, TrackState
from inspector.track.welds import named as weld_named

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
            return take_outage(state, item, rules)
        case Lost():
            return state, [Draft(lost_body(item, state, rules))]
        case CoilChange():
            return take_coil(state, item, rules)
        case AreaLink():
            return replace(state, area=replace(state.area, linked=item.linked, linked_at=item.at)), []
        case AreaWord():
            said = Peer(item.at, item.alarms, item.summary, item.summary_at, item.held, item.wanted)
            return replace(state, area=heard(state.area, item.station, said)), []
        case Command():
            return _obey(state, item, rules)
    return _take_inspection(state, item, rules)


def _take_inspection(state: TrackState, item: Inspection, rules: TrackRules) -> tuple[TrackState, list[Draft]]:
    frame = item.frame
    if state.operators.pause is not None:
        return take_missed(state, paused_gap(state.operators.pause, frame), frame.seen, frame, rules)
    if item.cause is not None:
        gap = Gap(item.cause, frame.captured_at, frame.captured_at, frame.epoch, 1, frame.frame_id,
                  frame.identity if frame.independent else None, frame.source_key, detail=item.detail)  # fmt: skip
        return take_missed(state, gap, frame.seen, frame, rules)
    state, drafts, later = pass_by(state, frame.seen, frame, item, None, rules)
    state = replace(with_recipe(state, rules), edges=item.edges or rules.strip.edges or (0, frame.width_px))
    state, gaps = flush_gaps(state, frame.captured_at, rules)
    state = replace(state, sights=_remember(state.sights, item, rules.alarm_window))
    state, more = track_still(state, item, rules) if frame.independent else track_stream(state, item, rules)
    state, late = flush_limits(state, frame.captured_at, rules)
    area, summed = update_summary(state.area, frame.captured_at, rules)
    state, last = passed_by(state if area is state.area else replace(state, area=area), later, rules)
    return state, drafts + gaps + more + late + summed + last


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


def _obey(state: TrackState, command: Command, rules: TrackRules) -> tuple[TrackState, list[Draft]]:
    asked = json.loads(command.payload)
    if command.name == "coil":
        named = (asked["coil_id"], to_timestamp_ms(command.at))
        return take_coil(replace(state, named=named), coil_change(command.at, asked), rules)
    if command.name == "ack":
        state = replace(state, area=acknowledged(state.area, asked["defect_id"]))
    elif command.name == "weld":
        state = weld_named(state, command.at, asked["at_m"], rules)
    elif command.name == "line":
        speed_m_s = asked["speed_m_s"] if asked["running"] else 0.0
        state = replace(state, way=with_speed(state.way, command.at, speed_m_s))
    return _ask(state, obey(state.operators, command), command.at, rules)


def coil_change(at: datetime, asked: Mapping[str, Any]) -> CoilChange:
    """Return the change that the payload of a `coil` command asks for."""
    facts = CoilFacts(**{key: asked.get(key) for key in CoilFacts.__slots__})
    return CoilChange(at, asked["coil_id"], None, facts, asked.get("mother"), asked.get("winding") or "head_first")


def _remember(
    sights: tuple[tuple[Sight, ...], ...], inspection: Inspection, window: int
) -> tuple[tuple[Sight, ...], ...]:
    still = inspection.frame.independent
    now = tuple(Sight(defect.label, place_of(defect.box, still)) for defect in inspection.published[:MAX_SIGHTS])
    return (*sights, now)[-window:]


def _take_tick(state: TrackState, tick: Tick, rules: TrackRules) -> tuple[TrackState, list[Draft]]:
    state, drafts = _ask(state, without_past(state.operators, tick.now), tick.now, rules)
    state, begun = waited_long_enough(state, tick.now, rules)
    state, gaps = flush_gaps(state, tick.now, rules, tick.final)
    drafts += [*begun, *gaps]
    if tick.final:
        drafts = closed_drafts(state.open, rules) + drafts
        state, periodic = close_periodic(replace(state, open=()), tick.now, rules, final=True)
        drafts += periodic
    state, more = flush_limits(state, tick.now, rules, True, tick.final)
    area, summed = update_summary(state.area, tick.now, rules, True, tick.final)
    return (state if area is state.area else replace(state, area=area)), drafts + more + summed
