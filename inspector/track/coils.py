"""Coils: each begins and ends at its place on the strip, and its record grows with what passes, as part of the state.

Metres are those of `strip.position`. What a frame shows and no frame had shown before counts for the coil, as inspected
or as a gap with its cause; what lies between is a gap, too. So length, inspected metres and gaps are counted from what
was fed, each by itself, and must agree in the end. A place that passes again, after the strip went back, counts once.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta

from inspector.frame import Cause, Frame, Gap, Seen
from inspector.inspection.one_frame import Inspection
from inspector.items import CoilChange, CoilFacts
from inspector.strip.position import Along, Passage, Way, legs_until, pass_frame, with_mark
from inspector.strip.record import TOUCH_M, CoilRecord, Fingerprints, Stretch
from inspector.track.rules import TrackRules
from inspector.track.state import Coming, TrackState
from inspector.track.welds import located, passed

BETWEEN = "between_frames"
"""The cause of metres that passed between two pictures of a plain camera: it takes too few of them."""
PATIENCE = timedelta(seconds=2)
"""A change waits this long for the frame in which it lies; then nothing is passing, and it takes place."""
JUMP_BACK = timedelta(seconds=1)
"""A clock that goes back by more was set back."""
MAX_COMING = 64
"""Changes between the tracking point and the camera."""


# --- What passes ------------------------------------------------------------------------------------------------------


def advanced(state: TrackState, seen: Seen, rules: TrackRules) -> tuple[TrackState, Passage]:
    """Return the state after a frame has passed, before anything of it is counted, and what passed with it."""
    before = state.way
    way, passage, along = pass_frame(before, seen, rules.mm_per_line, rules.strip)
    if rules.strip.position != "lines" and not passage.known:
        way = replace(way, sure=False)
    coil = state.coil
    if coil is not None and before.at is not None and before.at - seen.at > JUMP_BACK:
        text = f"the clock was set back by {(before.at - seen.at).total_seconds():.0f} s; metres do not depend on it"
        coil = coil.with_event(_position(way), "clock_set_back", text)
    along = _of_coil(along, coil) if way.sure else None
    coming = tuple(
        one if one.leg is None else replace(one, leg=None, at_m=passage.bounds[min(one.leg, len(passage.bounds) - 1)]
                                            + rules.strip.offset_m)
        for one in state.coming
    )  # fmt: skip
    return located(replace(state, way=way, along=along, coil=coil, coming=coming), passage, rules), passage


def counted_to(state: TrackState, passage: Passage, end_m: float, cause: str | None, rules: TrackRules) -> TrackState:
    """Return the state after what lies in a passage up to `end_m`, in run metres, counts for the running coil."""
    way, coil = state.way, state.coil
    high_m = min(passage.high_m, end_m)
    if coil is None:
        way = replace(way, furthest_m=max(way.furthest_m, high_m))
        return replace(state, way=way if end_m < passage.low_m else _unblind(way))
    if not passage.known or (way.blind_frames and passage.low_m <= way.furthest_m + TOUCH_M):
        if way.blind is not None:  # nothing is known of how much strip ran meanwhile, or it stood
            coil = coil.with_gap(Stretch(None, None, way.blind, way.blind_frames))
        way = _unblind(way)
    if passage.high_m <= passage.low_m or not way.sure:
        return replace(state, coil=coil, way=_unblind(way))
    seen_m = min(max(passage.low_m, way.furthest_m), end_m)
    if seen_m - way.furthest_m > TOUCH_M:
        why, frames = way.blind or _why(rules), way.blind_frames
        coil = coil.with_gap(Stretch(way.furthest_m - way.head_m, seen_m - way.head_m, why, frames))
        way = replace(way, furthest_m=seen_m, blind_frames=0)
    if high_m > way.furthest_m:
        begin_m, end = way.furthest_m - way.head_m, high_m - way.head_m
        if cause is None:
            coil = replace(coil, inspected_m=(coil.inspected_m or 0.0) + (end - begin_m))
        else:
            coil = coil.with_gap(Stretch(begin_m, end, cause))
        way = replace(way, furthest_m=high_m)
    coil = replace(
        coil,
        length_m=way.furthest_m - way.head_m,
        inspected_m=coil.inspected_m or 0.0,
        position_source=rules.strip.position,
    )
    return replace(state, coil=coil, way=way if end_m < passage.low_m else _unblind(way))


def _of_coil(along: Along | None, coil: CoilRecord | None) -> Along | None:
    if along is None or coil is None:
        return along
    return replace(along, length_m=coil.facts.length_m, tail_first=coil.winding == "tail_first")


def _why(rules: TrackRules) -> str:
    return BETWEEN if rules.strip.position == "speed" else Cause.DROPPED.value


def _unblind(way: Way) -> Way:
    return way if way.blind is None else replace(way, blind=None, blind_frames=0)


def _position(way: Way) -> float | None:
    return round(way.position_m, 4) if way.at is not None and way.sure else None


def with_frame(state: TrackState, inspection: Inspection | None, cause: str | None, known: bool) -> TrackState:
    """Return the state after one more frame of the running coil; `known`: metres say which piece of it was missed."""
    coil = state.coil
    if coil is None:
        return state
    done = cause is None
    coil = replace(
        coil,
        frames_fed=coil.frames_fed + 1,
        frames_inspected=coil.frames_inspected + done,
        frames_missed=coil.frames_missed + (not done),
        tiles_off_strip=coil.tiles_off_strip + (0 if inspection is None else inspection.off_strip),
    )
    if cause is not None:
        if not known:
            coil = coil.with_gap(Stretch(None, None, cause, 1))
        elif coil.gaps and coil.gaps[-1].cause == cause:
            coil = replace(coil, gaps=(*coil.gaps[:-1], replace(coil.gaps[-1], frames=coil.gaps[-1].frames + 1)))
    return replace(state, coil=coil)


def blinded(state: TrackState, gap: Gap, frames: int) -> TrackState:
    """Return the state after something that was not seen, and of which no frame came: the next one says how far."""
    way, coil = state.way, state.coil
    if coil is not None:
        coil = replace(coil, frames_fed=coil.frames_fed + frames, frames_missed=coil.frames_missed + frames)
        if way.at is None and (frames or gap.cause in (Cause.SOURCE_DOWN, Cause.PROCESS_DOWN)):
            coil = coil.with_gap(Stretch(None, None, gap.cause.value, frames))
    if way.at is not None:
        way = replace(way, blind=gap.cause.value, blind_frames=way.blind_frames + frames)
    return replace(state, coil=coil, way=way)


# --- Coils ------------------------------------------------------------------------------------------------------------


def announced(state: TrackState, change: CoilChange, rules: TrackRules) -> tuple[TrackState, CoilChange | None]:
    """Return the state after the plant names a coil, and the change if it takes place at once.

    Where metres are counted, the change waits for the frame in which the coil's head lies: that of the moment at which
    it was named, and `strip.offset_m` later. The same coil said again adds what is new about it.
    """
    last = state.coming[-1].change if state.coming else None
    if change.coil_id == (state.coil_id if last is None else last.coil_id):
        return _with_facts(state, change.facts), None
    waits = state.way.at is not None and state.way.sure and change.line is None and len(state.coming) < MAX_COMING
    if not waits or (rules.mm_per_line is None and rules.strip.position != "speed"):
        return state, change
    way = with_mark(state.way, change.at)
    return replace(state, way=way, coming=(*state.coming, Coming(change, len(way.legs)))), None


def _with_facts(state: TrackState, facts: CoilFacts) -> TrackState:
    told = {key: value for key in facts.__slots__ if (value := getattr(facts, key)) is not None}
    if not told:
        return state
    if state.coming:
        last = state.coming[-1]
        change = replace(last.change, facts=replace(last.change.facts, **told))
        return replace(state, coming=(*state.coming[:-1], replace(last, change=change)))
    return (
        state
        if state.coil is None
        else replace(state, coil=replace(state.coil, facts=replace(state.coil.facts, **told)))
    )


def due_by_patience(state: TrackState, now: datetime, rules: TrackRules) -> tuple[TrackState, Coming | None]:
    """Return the change that waits for a frame that does not come, with its place, or None."""
    if not state.coming or rules.strip.offset_m or abs(now - state.coming[0].change.at) <= PATIENCE:
        return state, None
    first, way = state.coming[0], state.way
    legs = legs_until(way, now)
    ran_m = sum(leg.metres for leg in legs[: first.leg or 0]) if way.blind and rules.strip.runs_on else 0.0
    return state, replace(first, leg=None, at_m=way.run_m + max(0.0, ran_m))


def changed(state: TrackState, change: CoilChange, head_m: float | None, at: datetime, rules: TrackRules) -> TrackState:
    """Return the state with the coil that begins, or with none; the record of the one that ran is complete.

    Args:
        state: Before.
        change: What was announced.
        head_m: Where the head lies, in run metres; None: here.
        at: UTC, when it passed the camera.
        rules: Of the strip.
    """
    way = state.way
    head_m = way.run_m if head_m is None else head_m
    if state.coil is not None and head_m - way.furthest_m > TOUCH_M and way.sure:  # it ran on while nothing was seen
        empty = Passage(head_m, head_m + TOUCH_M, (head_m,))
        state = counted_to(state, empty, head_m, None, rules)
    elif state.coil is not None and way.blind is not None and way.blind_frames:
        coil = state.coil.with_gap(Stretch(None, None, way.blind, way.blind_frames))
        state = replace(state, coil=coil, way=replace(way, blind_frames=0))
    state = passed(state, rules, head_m)
    begins: CoilRecord | None = None
    if change.coil_id is not None:
        begins = CoilRecord(
            change.coil_id,
            at if state.coil is None else max(at, state.coil.began_at + timedelta(milliseconds=1)),
            facts=change.facts,
            side=rules.strip.side,
            head_m=rules.strip.head_m,
            tail_m=rules.strip.tail_m,
            mother=change.mother,
            winding=change.winding,
            fingerprints=Fingerprints(rules.bundle, rules.config, rules.reference),
        )
    ended = state.ended if state.coil is None else (*state.ended, _complete(state.coil, at, rules))
    way = replace(state.way, head_m=head_m, furthest_m=head_m, sure=True)
    along = state.along
    if along is not None:
        along = _of_coil(replace(along, at_m=along.at_m + state.way.head_m - head_m), begins)
    coming = tuple(one for one in state.coming if one.change is not change)
    return replace(state, coil=begins, coil_id=change.coil_id, ended=ended, way=way, along=along, coming=coming)


def _complete(coil: CoilRecord, at: datetime, rules: TrackRules) -> CoilRecord:
    coverage, reason = coil.coverage, coil.not_assessed if coil.not_assessed != "it runs" else None
    if not coil.frames_inspected:
        reason = "nothing of it was inspected"
    elif rules.reference is None:
        reason = "it was inspected without a reference of good surface"
    elif coverage is not None and coverage < rules.strip.min_coverage:
        reason = f"{coverage:.1%} of it was inspected, less than strip.min_coverage ({rules.strip.min_coverage:.0%})"
    if coil.winding == "tail_first" and coil.length_m is not None:
        length_m = coil.length_m
        events = tuple(
            (None if at_m is None else round(length_m - at_m, 4), kind, text) for at_m, kind, text in coil.events
        )
        coil = replace(coil, gaps=tuple(_turned(gap, length_m) for gap in reversed(coil.gaps)), events=events)
    return replace(coil, ended_at=max(at, coil.began_at), assessed=reason is None, not_assessed=reason)


def _turned(gap: Stretch, length_m: float) -> Stretch:
    if gap.from_m is None or gap.to_m is None:
        return gap
    return replace(gap, from_m=length_m - gap.to_m, to_m=length_m - gap.from_m)


def own_change(state: TrackState, frame: Frame, rules: TrackRules) -> tuple[CoilChange, float | None] | None:
    """Return the coil that begins with this frame by itself: by its file's name, by length, or because none ended."""
    strip, way, coil = rules.strip, state.way, state.coil
    if strip.coil_pattern is not None and frame.source_key is not None:
        found = re.search(strip.coil_pattern, frame.source_key)
        name = None if found is None else found["coil"][:64]
        return None if name == state.coil_id else (CoilChange(frame.captured_at, name), None)
    if strip.coil_length_m is not None and way.at is not None and way.sure:
        if coil is None:
            return CoilChange(frame.captured_at, named_by_time(frame.captured_at)), way.furthest_m
        if way.run_m - way.head_m >= strip.coil_length_m:
            return CoilChange(frame.captured_at, named_by_time(frame.captured_at)), way.head_m + strip.coil_length_m
    elif coil is not None and (coil.length_m or 0.0) > strip.longest_m:
        return CoilChange(frame.captured_at, None), None
    return None


def named_by_time(at: datetime) -> str:
    """Return the name of a coil that nobody named."""
    return f"L-{at:%Y%m%d-%H%M%S}"


def never_ended(coil: CoilRecord, rules: TrackRules) -> CoilRecord:
    """Return the record of a coil that is ended because the plant did not end it."""
    text = f"no end was announced in {rules.strip.longest_m:g} m (strip.longest_m); it is ended here"
    return replace(coil.with_event(coil.length_m, "never_ended", text), not_assessed=text)
