"""What passes: a frame moves the strip on, and the coils whose heads lie in it begin there, each at its metre.

The coil of a frame's messages is the one that fills more of it. Metres are shared exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from inspector.drafts import Draft
from inspector.frame import Frame, Gap, Seen
from inspector.inspection.one_frame import Inspection
from inspector.items import CoilChange
from inspector.strip.position import Passage
from inspector.strip.record import TOUCH_M
from inspector.track.bodies import frames_of
from inspector.track.coils import (
    advanced,
    announced,
    blinded,
    changed,
    counted_to,
    due_by_patience,
    never_ended,
    own_change,
    with_frame,
)
from inspector.track.coverage import flush_gaps, take_gap
from inspector.track.defects import closed_drafts
from inspector.track.recipes import rules_before
from inspector.track.rolls import at_head, close_periodic
from inspector.track.rules import TrackRules
from inspector.track.state import Coming, TrackState
from inspector.track.welds import passed

MOST_OWN = 100
"""Coils that may begin by themselves within one frame."""


@dataclass(frozen=True, slots=True)
class Later:
    """What is left of a frame after its messages.

    Attributes:
        passage: What passed with it.
        at: UTC, its end.
        coming: Coils whose heads lie in its second half.
        cause: Why it was not inspected, or None.
    """

    passage: Passage
    at: datetime
    coming: tuple[Coming, ...]
    cause: str | None


def take_coil(state: TrackState, change: CoilChange, rules: TrackRules) -> tuple[TrackState, list[Draft]]:
    """Take what the plant says of a coil: it begins here, or waits for its place on the strip."""
    state, now = announced(state, change, rules)
    if now is None:
        return state, []
    head_m, way, along = None, state.way, state.along
    if change.line is not None and along is not None:
        head_m = way.head_m + along.at_m + (change.line - along.line) * along.mm_per_line / 1000
    return begin_coil(state, now, head_m, now.at, rules)


def begin_coil(
    state: TrackState, change: CoilChange, head_m: float | None, at: datetime, rules: TrackRules
) -> tuple[TrackState, list[Draft]]:
    """Close what belongs to the previous coil, and count positions from the head of the next.

    Args:
        state: Before.
        change: Which coil begins, or none.
        head_m: Where its head lies, in run metres; None: here.
        at: UTC, when it passed the camera.
        rules: Of the station.
    """
    ending = rules_before(state, rules)
    state, drafts = flush_gaps(state, at, ending, final=True)
    drafts = closed_drafts(state.open, ending) + drafts
    state, more = close_periodic(state, at, ending)
    counts, before_m = state.along is not None, state.way.head_m
    state = changed(state, change, head_m, at, rules)
    state = at_head(state, state.way.head_m - before_m if counts else None)
    return replace(state, open=(), counted={}), drafts + more


def waited_long_enough(state: TrackState, now: datetime, rules: TrackRules) -> tuple[TrackState, list[Draft]]:
    """Begin the coil that waits for a frame which does not come: the line stands, or nothing is seen."""
    state, first = due_by_patience(state, now, rules)
    if first is None:
        return state, []
    return begin_coil(state, first.change, first.at_m, first.change.at, rules)


def take_outage(state: TrackState, gap: Gap, rules: TrackRules) -> tuple[TrackState, list[Draft]]:
    """Take a gap: one that stands for a frame passes as the frame does, another says that nothing was seen."""
    if gap.seen is None:
        return take_gap(blinded(state, gap, frames_of(gap)), gap, rules)
    return take_missed(state, gap, gap.seen, None, rules)


def take_missed(
    state: TrackState, gap: Gap, seen: Seen, frame: Frame | None, rules: TrackRules
) -> tuple[TrackState, list[Draft]]:
    """Take a frame that came, and was not inspected."""
    before = state.way
    state, drafts, later = pass_by(state, seen, frame, None, gap.cause.value, rules)
    passage, way = later.passage, state.way
    if state.along is not None and passage.high_m > before.furthest_m:
        low_m = max(passage.low_m, before.furthest_m, way.head_m)
        gap = replace(gap, from_m=round(low_m - way.head_m, 4), to_m=round(passage.high_m - way.head_m, 4))
    state, more = take_gap(state, gap, rules, frame)
    state, last = passed_by(state, later, rules)
    return state, drafts + more + last


def pass_by(
    state: TrackState, seen: Seen, frame: Frame | None, inspection: Inspection | None, cause: str | None,
    rules: TrackRules,
) -> tuple[TrackState, list[Draft], Later]:  # fmt: skip
    """Move the strip on by a frame, and begin the coils whose heads lie in its first half.

    Args:
        state: Before.
        seen: Where and when the frame was taken.
        frame: The frame, or None where only a gap stands for it.
        inspection: What was found in it, or None.
        cause: Why it was not inspected, or None.
        rules: Of the station.

    Returns:
        The state for the frame's messages, messages that come before them, and what is left for `passed_by`.
    """
    furthest_m = state.way.furthest_m
    state, passage = advanced(state, seen, rules)
    state, drafts = _located(state, passage), list[Draft]()
    now, later = _due(state.coming, passage)
    for one in now:
        state = counted_to(state, passage, one.at_m or 0.0, cause, rules)
        state, more = begin_coil(state, one.change, one.at_m, seen.at, rules)
        drafts += more
    for _ in range(MOST_OWN):
        if frame is None or (own := own_change(state, frame, rules)) is None:
            break
        change, head_m = own
        if change.coil_id is None and state.coil is not None:
            state = replace(state, coil=never_ended(state.coil, rules))
        head_m = passage.low_m if head_m is None else head_m
        state = counted_to(state, passage, head_m, cause, rules)
        state, more = begin_coil(state, change, head_m, seen.at, rules)
        drafts += more
    end_m = later[0].at_m if later else None
    state = counted_to(state, passage, math.inf if end_m is None else end_m, cause, rules)
    known = state.way.sure and passage.known and passage.high_m > furthest_m
    return passed(with_frame(state, inspection, cause, known), rules), drafts, Later(passage, seen.at, later, cause)


def passed_by(state: TrackState, later: Later, rules: TrackRules) -> tuple[TrackState, list[Draft]]:
    """Begin the coils whose heads lie in the second half of a frame, after its messages."""
    drafts: list[Draft] = []
    for number, one in enumerate(later.coming):
        state, more = begin_coil(state, one.change, one.at_m, later.at, rules)
        drafts += more
        after = later.coming[number + 1].at_m if number + 1 < len(later.coming) else None
        state = counted_to(state, later.passage, math.inf if after is None else after, later.cause, rules)
    return state, drafts


def _due(coming: Sequence[Coming], passage: Passage) -> tuple[tuple[Coming, ...], tuple[Coming, ...]]:
    """Return the coils whose heads lie in the first half of what passed, or before, and those in the second."""
    middle_m, now, later = (passage.low_m + passage.high_m) / 2, list[Coming](), list[Coming]()
    for one in coming:
        if one.at_m is None or one.at_m > passage.high_m + TOUCH_M:
            break
        (now if one.at_m <= middle_m and not later else later).append(one)
    return tuple(now), tuple(later)


def _located(state: TrackState, passage: Passage) -> TrackState:
    """Return the state with the place of the gap that ends with this frame, now that it is known."""
    way = state.way
    if way.blind is None or not state.gaps or not passage.known or not way.sure:
        return state
    from_m = round(way.furthest_m - way.head_m, 4)
    to_m = max(from_m, round(passage.low_m - way.head_m, 4))
    gaps = tuple(
        replace(gap, from_m=from_m, to_m=to_m) if gap.cause.value == way.blind and gap.from_m is None else gap
        for gap in state.gaps
    )
    return replace(state, gaps=gaps)
