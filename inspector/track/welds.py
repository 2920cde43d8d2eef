"""Welds: the plant says where one lies, its coil keeps it as an event, and what lies near it raises no alarm."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from inspector.strip.position import Passage, with_mark
from inspector.strip.record import TOUCH_M
from inspector.track.rules import TrackRules
from inspector.track.state import TrackState, Weld

MAX_WELDS = 64
"""Welds that are remembered: on their way to the camera, or behind it, where the strip may go back to them."""
SAME_M = 0.01
"""Two welds that lie less than this apart are one that was said again."""


def named(state: TrackState, at: datetime, at_m: float | None, rules: TrackRules) -> TrackState:
    """Return the state after the plant said where a weld lies.

    Args:
        state: Before.
        at: UTC, when it was said.
        at_m: From the running coil's head; None: where coils are named, `strip.offset_m` before the camera.
        rules: Of the strip.
    """
    way = state.way
    if at_m is not None:
        lies_m = _run_m(state, at_m)
        weld = None if lies_m is None else Weld(lies_m)
    elif way.sure and (rules.mm_per_line is not None or rules.strip.position == "speed"):
        way = with_mark(way, at)
        weld = Weld(None, len(way.legs))
    else:
        weld = None
    if weld is None:  # nothing counts metres: it is known that there is one, and not where
        turned = state.coil is not None and state.coil.winding == "tail_first"
        return _noted(state, None if turned else at_m, rules)
    if weld.at_m is not None and any(_is_same(one, weld.at_m) for one in state.welds):
        return state
    kept = sorted((*state.welds, weld), key=lambda one: not one.told)
    return passed(replace(state, way=way, welds=tuple(kept[-MAX_WELDS:])), rules)


def _run_m(state: TrackState, at_m: float) -> float | None:
    """Return the run metre of a place of the running coil; None: it is not known."""
    way, coil = state.way, state.coil
    if way.at is None or not way.sure:
        return None
    if coil is None or coil.winding == "head_first":
        return way.head_m + at_m
    return None if coil.facts.length_m is None else way.head_m + coil.facts.length_m - at_m


def _is_same(one: Weld, at_m: float) -> bool:
    return one.at_m is not None and abs(one.at_m - at_m) < SAME_M


def located(state: TrackState, passage: Passage, rules: TrackRules) -> TrackState:
    """Return the state after a frame has passed: welds that were said since the one before have a place now."""
    welds: list[Weld] = []
    for one in state.welds:
        if one.leg is None:
            welds.append(one)
        elif not state.way.sure:
            state = _noted(state, None, rules)
        else:
            at_m = passage.bounds[min(one.leg, len(passage.bounds) - 1)] + rules.strip.offset_m
            if not any(_is_same(other, at_m) for other in welds):
                welds.append(Weld(at_m))
    return replace(state, welds=tuple(welds))


def passed(state: TrackState, rules: TrackRules, to_m: float | None = None) -> TrackState:
    """Return the state with each weld that has passed the camera among the events of the coil that runs.

    Args:
        state: Before.
        rules: Of the strip.
        to_m: The coil's end, in run metres; None: it goes on.
    """
    way = state.way
    to_m = way.furthest_m if to_m is None else to_m
    for number, one in enumerate(state.welds):
        if one.told or one.at_m is None or one.at_m > to_m - TOUCH_M:
            continue
        welds = (*state.welds[:number], replace(one, told=True), *state.welds[number + 1 :])
        state = replace(state, welds=welds)
        if one.at_m >= way.head_m - TOUCH_M:
            state = _noted(state, max(0.0, one.at_m - way.head_m), rules)
    return state


def _noted(state: TrackState, at_m: float | None, rules: TrackRules) -> TrackState:
    window_m = rules.strip.weld_window_m
    near = f"; what lies within {window_m:g} m of it raises no alarm (strip.weld_window_m)" if window_m else ""
    if state.coil is None:
        return state
    at_m = None if at_m is None else round(at_m, 4)
    return replace(state, coil=state.coil.with_event(at_m, "weld", f"a weld{near}"))


def is_at_weld(low_m: float, high_m: float, state: TrackState, window_m: float) -> bool:
    """Say whether a finding lies wholly within the window of a weld.

    Args:
        low_m: Where it begins, from the end of the running coil that passed first.
        high_m: Where it ends, likewise.
        state: With the welds.
        window_m: How far the window reaches to both sides; 0: there is none.
    """
    low_m, high_m = low_m + state.way.head_m + TOUCH_M, high_m + state.way.head_m - TOUCH_M
    return window_m > 0 and any(
        one.at_m is not None and high_m - window_m <= one.at_m <= low_m + window_m for one in state.welds
    )
