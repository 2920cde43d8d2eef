"""Gaps of one cause that lie close together become one message."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from inspector.drafts import Draft
from inspector.frame import Cause, Frame, Gap
from inspector.track.bodies import coverage_body, frames_of, missed_body
from inspector.track.defects import closed_drafts
from inspector.track.rules import TrackRules
from inspector.track.state import TrackState

GAP_JOIN = timedelta(seconds=2)
"""Gaps of one cause that lie this close together, and belong to no file, are one message ..."""
GAP_MAX = timedelta(seconds=10)
"""... until the stretch is this long, so that a long overload is reported while it lasts."""


def take_gap(
    state: TrackState, gap: Gap, rules: TrackRules, frame: Frame | None = None
) -> tuple[TrackState, list[Draft]]:
    """Join the gap to the previous one if both belong together, and report the still if it was one."""
    drafts: list[Draft] = []
    if gap.identity is not None and rules.frame_messages is not False:
        return state, [Draft(missed_body(state, gap, frame, rules))]
    if gap.source_key is not None:  # its file is done in this transaction
        return state, [Draft(coverage_body(gap, state, rules))]
    if gap.cause in (Cause.SOURCE_DOWN, Cause.PROCESS_DOWN):
        drafts = closed_drafts(state.open, rules)
        state = replace(state, open=())
    state, flushed = flush_gaps(state, gap.since, rules)
    drafts += flushed
    for number, other in enumerate(state.gaps):
        if (other.cause, other.epoch) == (gap.cause, gap.epoch):
            joined = replace(other, since=min(other.since, gap.since), until=max(other.until, gap.until),
                             frames=frames_of(other) + frames_of(gap), detail=gap.detail or other.detail,
                             seen=None, from_m=_of(min, other.from_m, gap.from_m),
                             to_m=_of(max, other.to_m, gap.to_m))  # fmt: skip
            return replace(state, gaps=(*state.gaps[:number], joined, *state.gaps[number + 1 :])), drafts
    return replace(state, gaps=(*state.gaps, replace(gap, seen=None))), drafts


def _of(choose: Callable[[float, float], float], one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else choose(one, other)


def flush_gaps(
    state: TrackState, now: datetime, rules: TrackRules, final: bool = False, cause: Cause | None = None
) -> tuple[TrackState, list[Draft]]:
    """Report the gaps that no later gap can join: all if it is final, those of a cause that ends here."""
    # A clock may be set back: then time differs the other way round.
    ripe = [
        gap
        for gap in state.gaps
        if final or gap.cause is cause or abs(now - gap.until) > GAP_JOIN or abs(now - gap.since) > GAP_MAX
    ]
    if not ripe:
        return state, []
    drafts = [Draft(coverage_body(gap, state, rules)) for gap in ripe]
    return replace(state, gaps=tuple(gap for gap in state.gaps if gap not in ripe)), drafts
