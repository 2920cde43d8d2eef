"""What is not graded: findings at a coil's head and tail raise no alarm; they are recorded, and say so."""

from __future__ import annotations

from typing import Literal

from inspector.box import Box
from inspector.strip.record import TOUCH_M
from inspector.track.state import TrackState

Ungraded = Literal["head", "tail"]
KEYS: dict[Ungraded, str] = {"head": "strip.head_m", "tail": "strip.tail_m"}
"""The key of the configuration that says how far each reaches."""


def ungraded(box: Box, lines: int, state: TrackState) -> Ungraded | None:
    """Return where a finding lies that is not graded, or None; all of it must lie there, what reaches beyond is graded.

    A tail is known where the plant said how long the coil is, and in a coil whose tail passes first.

    Args:
        box: In its frame.
        lines: Absolute first line of the frame; 0 where there is none.
        state: Where the frame lies, and the coil.
    """
    along, coil = state.along, state.coil
    if along is None or coil is None:
        return None
    low_m, high_m = along.span_m(box.y + lines, box.height)
    to_end_m = None if along.length_m is None else along.length_m - low_m
    head, tail = (to_end_m, high_m) if along.tail_first else (high_m, to_end_m)
    if coil.head_m and head is not None and head <= coil.head_m + TOUCH_M:
        return "head"
    return "tail" if coil.tail_m and tail is not None and tail <= coil.tail_m + TOUCH_M else None
