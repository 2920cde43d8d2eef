"""What is not graded: findings at a coil's head, tail and welds raise no alarm; they are recorded, and say so."""

from __future__ import annotations

from typing import Literal

from inspector.box import Box
from inspector.strip.record import TOUCH_M
from inspector.track.rules import TrackRules
from inspector.track.state import TrackState
from inspector.track.welds import is_at_weld

Ungraded = Literal["weld", "head", "tail"]
KEYS: dict[Ungraded, str] = {"weld": "strip.weld_window_m", "head": "strip.head_m", "tail": "strip.tail_m"}
"""The key of the configuration that says how far each reaches."""


def ungraded(box: Box, lines: int, state: TrackState, rules: TrackRules) -> Ungraded | None:
    """Return where a finding lies that is not graded, or None; all of it must lie there, what reaches beyond is graded.

    A tail is known where the plant said how long the coil is, and in a coil whose tail passes first.

    Args:
        box: In its frame.
        lines: Absolute first line of the frame; 0 where there is none.
        state: Where the frame lies, and the coil.
        rules: With the window of a weld.
    """
    along, coil = state.along, state.coil
    if along is None:
        return None
    low_m, high_m = along.span_m(box.y + lines, box.height)
    if is_at_weld(low_m, high_m, state, rules.strip.weld_window_m):
        return "weld"
    if coil is None:
        return None
    to_end_m = None if along.length_m is None else along.length_m - low_m
    head, tail = (to_end_m, high_m) if along.tail_first else (high_m, to_end_m)
    if coil.head_m and head is not None and head <= coil.head_m + TOUCH_M:
        return "head"
    return "tail" if coil.tail_m and tail is not None and tail <= coil.tail_m + TOUCH_M else None
