"""What a report says: one model, which is the report's JSON; pages, maps and lists are made of it alone.

The JSON is what is kept, so a report can be shown again, in another language too, when the rows it was made of are
gone. Everything in it is bounded: counts are of all defects, lists have their limits, and say so.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from inspector.labels import Severity

SCHEMA = "inspector/coil-report/1"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class GapPart(_Part):
    """A stretch that was not inspected; without places only how many frames it had is known."""

    from_m: float | None
    to_m: float | None
    cause: str
    frames: int = 0


class RestPart(_Part):
    """Gaps of one cause beyond those that are listed."""

    cause: str
    gaps: int
    metres: float
    frames: int


class ClassCount(_Part):
    """The defects of one label and severity.

    `graded` leaves out what lies in the head, in the tail or at a weld, and what a person called a false call.
    """

    label: str
    severity: Severity
    count: int
    per_100_m: float | None
    graded: int = 0
    false_calls: int = 0
    code: str | None = None
    name: str | None = None


class PeriodicPart(_Part):
    """A defect that repeats at a fixed pitch, and the roll that may make it."""

    label: str
    pitch_mm: float
    across_mm: float | None
    count: int
    roll: str | None
    first_m: float | None = None
    last_m: float | None = None


class Sensitivity(_Part):
    """Known defects that were laid onto copies of clean tiles while the coil ran."""

    shown: int | None
    found: int | None
    share: float | None


class ActionPart(_Part):
    """What a person or the plant did while the coil ran."""

    command: str
    at: str
    until: str | None
    person: str | None
    reason: str | None
    asked: dict[str, Any]


class EventPart(_Part):
    """Something that happened to the strip, as a weld or a code that is printed on it."""

    at_m: float | None
    kind: str
    text: str


class SectionPart(_Part):
    """A stretch with defects of one label and severity.

    Attributes:
        section: The code printed on the strip before it, after EN 10372; None: none was supplied.
        section_offset_m: From where that code stands.
    """

    from_m: float
    to_m: float
    label: str
    severity: Severity
    count: int
    from_mm: float | None
    to_mm: float | None
    section: str | None = None
    section_offset_m: float | None = None


class Mark(_Part):
    """A defect, or the defects of one cell, on the map.

    Attributes:
        along, across: In the units of the map.
        severity: Of the worst.
        label: Of the worst.
        count: How many.
    """

    along: float
    across: float | None
    severity: Severity
    label: str
    count: int = 1


class MapPart(_Part):
    """The defects along and across.

    Attributes:
        along_unit: `m` from the head, or `min` from the coil's start where no metres are known.
        across_unit: `mm` or `px`.
        along_to, across_to: Ends of the axes.
        across_from: What the axis across begins at.
        cell_along, cell_across: Size of a cell, if defects are joined in cells; None: each has its own mark.
        marks: What is drawn.
        unplaced: Defects without a place along.
    """

    along_unit: Literal["m", "min"]
    across_unit: Literal["mm", "px"]
    across_from: Literal["operator", "left"]
    along_to: float
    across_to: float
    cell_along: float | None
    cell_across: float | None
    marks: tuple[Mark, ...]
    unplaced: int


class PicturePart(_Part):
    """One of the worst defects, with a picture.

    Attributes:
        file: Name under which the bytes of the picture are handed over; the picture has the defect's box in it.
    """

    defect_id: str
    label: str
    severity: Severity
    score: float
    position_m: float | None
    across_mm: float | None
    width_mm: float | None
    length_mm: float | None
    captured_at: str
    verdict: str | None
    box_px: dict[str, int]
    file: str


class Frames(_Part):
    """Frames of the coil: fed = inspected + missed."""

    fed: int
    inspected: int
    missed: int


class CoilReport(_Part):
    """A coil, as it was seen.

    Attributes:
        run: Number of the coil in the station's store: a name may run twice.
        so_far: The coil still runs.
        made_at: When the report was made.
        length_m, inspected_m: Measured; None: only frames are known.
        coverage: Share of the length, or of the frames where no metres are known, that was inspected.
        assessed: Whether enough of it was inspected, under a reference, to say anything about what was not found.
        not_assessed: Why not.
        surface_class, disposition: By the rules of the plant; None: there are none, or see `class_reason`.
        defects: Counts of all defects, by label and severity.
        sections: Stretches with defects; joined further apart than asked if there are more than are kept.
        section_gap_m: What lies closer is one stretch.
        false_calls: Defects that a person called false calls.
    """

    schema_: str = Field(default=SCHEMA, alias="schema")
    station: str
    coil_id: str
    run: int
    so_far: bool
    made_at: str
    started_at: str
    ended_at: str | None
    product: str | None
    grade: str | None
    width_mm: float | None
    thickness_mm: float | None
    announced_m: float | None
    side: str | None
    position_source: str | None
    mother: str | None
    winding: str | None
    recipe: str | None
    tiles_off_strip: int
    head_m: float
    tail_m: float
    length_m: float | None
    inspected_m: float | None
    gaps: tuple[GapPart, ...]
    gaps_rest: tuple[RestPart, ...] = ()
    coverage: float | None
    frames: Frames
    assessed: bool
    not_assessed: str | None
    surface_class: str | None
    disposition: str | None
    class_reason: str
    defects: tuple[ClassCount, ...]
    periodic: tuple[PeriodicPart, ...]
    sensitivity: Sensitivity
    operator: tuple[ActionPart, ...]
    fingerprints: dict[str, str | None]
    events: tuple[EventPart, ...]
    sections: tuple[SectionPart, ...]
    section_gap_m: float
    defect_map: MapPart
    pictures: tuple[PicturePart, ...]
    false_calls: int

    def as_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return self.model_dump(mode="json", by_alias=True)
