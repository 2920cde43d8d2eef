"""All that `track` remembers between items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from inspector.box import Box
from inspector.frame import Gap
from inspector.inspection.merge import Defect
from inspector.messages import AlarmMessage, DefectMessage


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed without an item; `final` closes what is open, at the end of a run."""

    now: datetime
    final: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class OpenDefect:
    """A defect that the next frame may continue.

    Attributes:
        defect_id: Its id.
        extent: Of its tiles, in absolute lines on a line stream, else frame pixels: what continues it must touch this.
        shown: Where it shows, likewise: what is published.
        best: The finding with the highest score.
        last: The last message body, with the reason of the last judgement.
        tiles, frames: Findings so far.
        misses: Frames since it was last seen.
        revision: Messages so far.
    """

    defect_id: str
    extent: Box
    shown: Box
    best: Defect
    last: DefectMessage
    tiles: int
    frames: int
    misses: int = 0
    revision: int = 0


@dataclass(frozen=True, slots=True)
class LimitState:
    """Alarms of one label in the current window, and what was held back.

    Attributes:
        since: Of the first alarm, by the frames' time.
        sent, suppressed: How many left, and how many did not.
        first: The first that did not.
        ticked: First tick of the window. Ticks are compared with ticks: frames may be years old when they are read.
    """

    since: datetime
    sent: int
    suppressed: int = 0
    first: AlarmMessage | None = None
    ticked: datetime | None = None


@dataclass(frozen=True, slots=True)
class TrackState:
    """All memory between frames."""

    open: tuple[OpenDefect, ...] = ()
    recent: tuple[frozenset[str], ...] = ()
    limits: Mapping[str, LimitState] = field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()
    coil_id: str | None = None
