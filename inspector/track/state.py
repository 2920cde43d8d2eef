"""All that `track` remembers between items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from inspector.box import Box
from inspector.frame import Gap
from inspector.inspection.merge import Defect
from inspector.items import CoilChange
from inspector.labels import Severity
from inspector.messages import AlarmMessage, DefectMessage
from inspector.strip.periodic import PeriodicState
from inspector.strip.position import Along, Way
from inspector.strip.record import CoilRecord
from inspector.track.area import AreaState
from inspector.track.operators import OperatorState


@dataclass(frozen=True, slots=True, eq=False)
class OpenDefect:
    """A defect that the next frame may continue.

    Attributes:
        defect_id: Its id.
        extent: Of its tiles, in absolute lines on a line stream, else frame pixels: what continues it must touch this.
        shown: Where it shows, likewise: what is published.
        best: The finding with the highest score among those of its label.
        last: The last message body, with the reason of the last judgement.
        tiles, frames: Findings so far.
        misses: Frames since it was last seen.
        revision: Messages so far.
        along: Which place of the coil each of its rows is; None: not known.
        edges: Columns of the strip's edges where it was seen last.
        silent: Unclassified, and beyond the limit: it is followed, so that it counts once, and never published.
        votes: Of its findings so far, summed by label: the label with the most has it.
        rivals: Of each label it was given, the finding with the highest score.
        periodic_id: Of the finding of marks that it belongs to, or None.
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
    along: Along | None = None
    edges: tuple[int, int] | None = None
    silent: bool = False
    votes: tuple[tuple[str, float], ...] = ()
    rivals: tuple[Defect, ...] = ()
    periodic_id: str | None = None


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
class UnclassifiedState:
    """Unclassified defects of the current hour.

    Attributes:
        since: Of the first, by the frames' time.
        published: How many of them were published.
        held_back: How many were not, ever.
    """

    since: datetime
    published: int
    held_back: int = 0


@dataclass(frozen=True, slots=True)
class Told:
    """What was told of a finding of marks that return.

    Attributes:
        severity: Of its most severe defect.
        simulated: It was found on generated pictures.
        count: Its marks when it was told last; 0: not yet.
        revision: Messages so far.
        alarmed: How severe it was when it raised an alarm, or would have but for a limit; None: it did not.
    """

    severity: Severity
    simulated: bool
    count: int = 0
    revision: int = 0
    alarmed: Severity | None = None


@dataclass(frozen=True, slots=True)
class Sight:
    """What a frame showed and where, for N of M.

    Attributes:
        label: Of the finding.
        box: Where it shows; on a stream only its columns count.
    """

    label: str
    box: Box


@dataclass(frozen=True, slots=True)
class Coming:
    """A coil that the plant has named, on its way to the camera.

    Attributes:
        change: What was named.
        leg: Which of `Passage.bounds` of the next frame it was named at; None: that frame has passed.
        at_m: Where its head lies, in run metres; None: not known before that frame.
    """

    change: CoilChange
    leg: int | None = None
    at_m: float | None = None


@dataclass(frozen=True, slots=True)
class Weld:
    """A weld that the plant has named.

    Attributes:
        at_m: Where it lies, in run metres; None: not known before the next frame.
        leg: Which of `Passage.bounds` of that frame it was named at; None: it has passed.
        told: It is among the events of its coil.
    """

    at_m: float | None
    leg: int | None = None
    told: bool = False


@dataclass(frozen=True, slots=True)
class TrackState:
    """All memory between items; it is stored with the messages, so that a crash forgets nothing.

    Attributes:
        open: Defects that the next frame may continue.
        sights: What each of the last frames showed, for N of M.
        limits: Alarms of the current window, by label.
        gaps: Stretches that the next gap may extend.
        coil_id: The coil that runs, or None.
        coil: Its record so far.
        ended: Records of coils that have ended, and are not stored yet.
        named: What the plant said last, and when in ms since 1970: this state has it.
        way: How far the strip has run.
        along: Which place of the coil each row of the last frame is; None: not known.
        edges: Columns of the strip's edges in the last frame.
        coming: Coils that were named and have not reached the camera, in order.
        welds: Welds that were named.
        unclassified: Of the current hour; None until the first.
        area: Alarms here and at the other stations of the operator's area.
        counted: Where defects of a label lay, in m, for rules of severity that count.
        operators: What people have asked for.
        periodic: Marks of the coil that may return, and those that do.
        told: What was told of these, by `periodic_id`.
    """

    open: tuple[OpenDefect, ...] = ()
    sights: tuple[tuple[Sight, ...], ...] = ()
    limits: Mapping[str, LimitState] = field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()
    coil_id: str | None = None
    unclassified: UnclassifiedState | None = None
    area: AreaState = field(default_factory=AreaState)
    counted: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    operators: OperatorState = field(default_factory=OperatorState)
    coil: CoilRecord | None = None
    ended: tuple[CoilRecord, ...] = ()
    named: tuple[str | None, int] | None = None
    periodic: PeriodicState = field(default_factory=PeriodicState)
    told: Mapping[str, Told] = field(default_factory=dict)
    way: Way = field(default_factory=Way)
    along: Along | None = None
    edges: tuple[int, int] | None = None
    coming: tuple[Coming, ...] = ()
    welds: tuple[Weld, ...] = ()

    @property
    def held_back(self) -> int:
        """How many unclassified defects were not published, ever."""
        return 0 if self.unclassified is None else self.unclassified.held_back
