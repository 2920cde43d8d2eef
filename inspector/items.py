"""What happens to a station in order, besides frames and gaps: each has its time, and takes its place among them.

Frames and gaps come from the source; these come from the plant, from a sink, or from the passing of time. `track` takes
all of them through one inbox, so that a coil changes where it changed and not where the message about it arrived.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Winding = Literal["head_first", "tail_first"]
"""Which end of a coil passes the camera first."""
MESSAGES_LOST = "messages_lost"
"""The cause in `coverage` of what was inspected, but not delivered."""
RECORDS_PRUNED = "records_pruned"
"""The cause in `coverage` of old records that were deleted to make room; their messages were delivered."""
STORE_SET_ASIDE = "store_set_aside"
"""The cause in `coverage` of a store that was broken: a new one begins, with what could be read of it."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed without an item; `final` closes what is open, at the end of a run."""

    now: datetime
    final: bool = False


@dataclass(frozen=True, slots=True)
class CoilFacts:
    """What the plant says about a coil; None: it did not.

    Attributes:
        product: What it becomes.
        grade: Of the steel.
        width_mm, thickness_mm: Of the strip.
        length_m: Of the coil, as the plant knows it.
    """

    product: str | None = None
    grade: str | None = None
    width_mm: float | None = None
    thickness_mm: float | None = None
    length_m: float | None = None


@dataclass(frozen=True, slots=True)
class CoilChange:
    """Another coil begins, or none.

    Attributes:
        at: UTC, when it was announced.
        coil_id: The coil that begins, or None between coils.
        line: Absolute line of the coil's head, where it is known; else it begins with the next frame.
        facts: What the plant says about it.
        mother: The coil that it was split from; of a joined one both, as `A+B`.
        winding: Which of its ends passes first.
    """

    at: datetime
    coil_id: str | None
    line: int | None = None
    facts: CoilFacts = CoilFacts()
    mother: str | None = None
    winding: Winding = "head_first"


@dataclass(frozen=True, slots=True)
class Lost:
    """Messages that a sink will never deliver or that nobody got, or a store that was set aside.

    Attributes:
        at: UTC, when they were dropped or delivered.
        sink: Which sink; None: all.
        first_seq, last_seq: Of the lost messages; others between them may have been delivered. None: unknown, or none.
        count: How many were lost.
        reason: A sentence for a person.
        cause: The same in one word.
        seqs: Exactly which numbers, as `4-9 12`; None: too many to list.
    """

    at: datetime
    sink: str | None
    first_seq: int | None
    last_seq: int | None
    count: int
    reason: str
    cause: str = MESSAGES_LOST
    seqs: str | None = None


@dataclass(frozen=True, slots=True)
class AreaLink:
    """From here on the other stations of the operator's area can be heard, or not any more."""

    at: datetime
    linked: bool


@dataclass(frozen=True, slots=True)
class AreaWord:
    """What another station of the operator's area says about its alarms.

    Attributes:
        at: UTC, when it said so, by its clock.
        station: site/line/name.
        alarms: When alarms left there in the last hour.
        summary: Id of what it holds back, or None ...
        summary_at: ... when that last grew ...
        held: ... and how many that are.
        wanted: Alarms that it would have raised in the last ten minutes, with those held back.
    """

    at: datetime
    station: str
    alarms: tuple[datetime, ...]
    summary: str | None = None
    summary_at: datetime | None = None
    held: int = 0
    wanted: int = 0


@dataclass(frozen=True, slots=True)
class Command:
    """A command that was accepted: it takes effect, and is recorded, at its place among the frames.

    Attributes:
        at: UTC, when it was accepted.
        name: Of the table of commands.
        payload: Canonical JSON of the command.
        command_id: Names it; empty where it was not stored before.
        number: Of its row in the store; 0 where it was not stored before.
    """

    at: datetime
    name: str
    payload: str
    command_id: str = ""
    number: int = 0
