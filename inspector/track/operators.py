"""What people have asked for, as `track` remembers it: shelved alarms, a pause, and whether the line runs.

Each ends by itself at its time, which comes with the items. Nothing here can name a blindness or a failed self-test, so
nothing here silences one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from inspector.command_table import MAX_HOURS
from inspector.frame import Cause, Frame, Gap
from inspector.items import Command
from inspector.strip.periodic import Roll, pitch_of

SHELVED_SHARE = 0.5
"""A shelf for a place covers a defect that lies in it with at least this much of its width."""
MAX_ROLLS = 64
"""Places of rolls that are remembered; of more, the one that was named first is forgotten."""
_LONGEST = timedelta(hours=MAX_HOURS, minutes=1)
"""What would last longer than this from now on has begun by a clock that was set back since: it is over."""

Place = tuple[str | None, float | None, float | None]
"""What a shelf is for: label, left and right end across in mm; None: any."""


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

    @property
    def place(self) -> Place:
        """What it is for."""
        return self.label, self.from_mm, self.to_mm

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
        rolls: What the plant said about rolls, the latest of each place; one without a pitch has been taken out.
    """

    shelves: tuple[Shelf, ...] = ()
    pause: Pause | None = None
    line: LineState | None = None
    rolls: tuple[Roll, ...] = ()

    def is_due(self, now: datetime) -> bool:
        """Say whether something in force is over at this time of the station's clock."""
        return any(_is_over(one.until, now) for one in (*self.shelves, self.pause) if one is not None)


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


def obey(operators: OperatorState, command: Command) -> OperatorState:
    """Return what is in force after a command; one that asks for nothing here changes nothing."""
    asked = json.loads(command.payload)
    if command.name == "line":
        return replace(operators, line=LineState(asked["running"], asked["speed_m_s"], command.at))
    if command.name == "rolls":
        roll = Roll(asked["stand"], asked["position"], asked["roll_id"],
                    pitch_of(asked["diameter_mm"] or 0.0, asked["elongation"]))  # fmt: skip
        kept = [one for one in operators.rolls if (one.stand, one.position) != (roll.stand, roll.position)]
        return replace(operators, rolls=(*kept, roll)[-MAX_ROLLS:])
    if command.name not in ("pause", "shelve"):
        return operators
    name, until = command.command_id, command.at + timedelta(hours=asked["hours"])
    person, reason = asked["person"], asked["reason"]
    if command.name == "pause":
        return replace(operators, pause=None if asked["off"] else Pause(name, person, reason, command.at, until))
    place: Place = asked["label"], asked["from_mm"], asked["to_mm"]
    if asked["off"]:
        return replace(operators, shelves=tuple(shelf for shelf in operators.shelves if not ends(place, shelf.place)))
    others = tuple(shelf for shelf in operators.shelves if shelf.place != place)
    shelf = Shelf(name, *place, person, reason, command.at, until)
    return replace(operators, shelves=(*others, shelf))


def ends(off: Place, shelved: Place) -> bool:
    """Say whether `off` for a label and a place ends a shelf for another: what `off` names must be the same."""
    return off[0] in (None, shelved[0]) and off[1:] in ((None, None), shelved[1:])


def without_past(operators: OperatorState, now: datetime) -> OperatorState:
    """Return what is still in force at this time of the station's clock."""
    if not operators.is_due(now):
        return operators
    pause = operators.pause
    return replace(
        operators,
        shelves=tuple(shelf for shelf in operators.shelves if not _is_over(shelf.until, now)),
        pause=None if pause is None or _is_over(pause.until, now) else pause,
    )


def paused_gap(pause: Pause, frame: Frame) -> Gap:
    """Return what stands for a frame that passes during a pause."""
    return Gap(Cause.PAUSED, frame.captured_at, frame.captured_at, frame.epoch, 1, frame.frame_id,
               frame.identity if frame.independent else None, frame.source_key, frame.file_stamp, pause.reason or "",
               frame.file_digest, frame.seen)  # fmt: skip


def _is_over(until: datetime, now: datetime) -> bool:
    return now >= until or until - now > _LONGEST
