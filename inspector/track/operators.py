"""What people have asked for, as `track` remembers it: shelved alarms, a pause, and whether the line runs.

Each ends by itself at its time, which comes with the items. Nothing here can name a blindness or a failed self-test, so
nothing here silences one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

SHELVED_SHARE = 0.5
"""A shelf for a place covers a defect that lies in it with at least this much of its width."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """Alarms that somebody does not want for a while; the defects are recorded as ever.

    Attributes:
        command_id: Of the command; `shelved_by` of a defect names it.
        label: Of the defects; None: all.
        from_mm, to_mm: Where they lie, across from the frame's left; None: anywhere.
        person, reason: Who asked, and why.
        since, until: UTC; at `until` it is over.
    """

    command_id: str
    label: str | None
    from_mm: float | None
    to_mm: float | None
    person: str | None
    reason: str | None
    since: datetime
    until: datetime

    def covers(self, label: str, across_mm: tuple[float, float] | None) -> bool:
        """Say whether it holds for a defect; one of an unknown place is in no shelf that names a place."""
        if self.label not in (None, label):
            return False
        if self.from_mm is None or self.to_mm is None:
            return True
        if across_mm is None:
            return False
        left, right = across_mm
        inside = min(right, self.to_mm) - max(left, self.from_mm)
        return inside >= SHELVED_SHARE * (right - left)


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is inspected for a while; what passes meanwhile is a gap with the cause `paused`.

    Attributes:
        command_id: Of the command.
        person, reason: Who asked, and why.
        since, until: UTC; at `until` it is over.
    """

    command_id: str
    person: str | None
    reason: str | None
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class LineState:
    """What the plant said about its line.

    Attributes:
        running: Whether it runs.
        speed_m_s: How fast; None: not said.
        since: UTC, when it was said.
    """

    running: bool
    speed_m_s: float | None
    since: datetime


@dataclass(frozen=True, slots=True)
class OperatorState:
    """What is in force.

    Attributes:
        shelves: The oldest first.
        pause: None: the station inspects.
        line: None: nobody has said.
    """

    shelves: tuple[Shelf, ...] = ()
    pause: Pause | None = None
    line: LineState | None = None


def shelved_by(
    operators: OperatorState, label: str, across_mm: tuple[float, float] | None, now: datetime
) -> str | None:
    """Return the id of the command that shelves a defect, or None; of several, the oldest.

    Args:
        operators: What is in force.
        label: Of the defect.
        across_mm: Its left and right edge, from the frame's left; None: unknown.
        now: Time of its frame, UTC.
    """
    for shelf in operators.shelves:
        if now < shelf.until and shelf.covers(label, across_mm):
            return shelf.command_id
    return None
