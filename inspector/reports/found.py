"""What is read of a coil for its report: the run, its defects, and what happened meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from inspector.labels import Severity
from inspector.strip.record import CoilRecord


class Found(NamedTuple):
    """A defect as its last message says.

    Attributes:
        defect_id: Its id.
        label: What it is.
        severity: How severe.
        score: Highest of its tiles.
        captured_ms: UTC, ms since 1970.
        position_m: Its start from the coil's head; None: not known.
        length_mm, width_mm: Its size; None: no scale.
        across_mm: Its left edge, from the operator side where that is known, else from the frame's left.
        from_operator: Whether it is from the operator side.
        box_px: x, y, width, height in the frame.
        has_picture: Whether a picture of it was kept.
        verdict: What a person said last; None: nothing.
        at_weld: It lies within the window of a weld: it is no defect of the coil.
        code, name: What the plant calls the label.
    """

    defect_id: str
    label: str
    severity: Severity
    score: float
    captured_ms: int
    position_m: float | None
    length_mm: float | None
    width_mm: float | None
    across_mm: float | None
    from_operator: bool
    box_px: tuple[int, int, int, int]
    has_picture: bool
    verdict: str | None = None
    code: str | None = None
    name: str | None = None
    at_weld: bool = False

    @property
    def end_m(self) -> float | None:
        """Where it ends along the coil."""
        return None if self.position_m is None else self.position_m + (self.length_mm or 0.0) / 1000


@dataclass(frozen=True, slots=True)
class Section:
    """A code that is printed on the strip, and where it stands."""

    code: str
    at_m: float


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """All that a report is made of.

    Attributes:
        station: site/line/name
        run: Number of the run in the store.
        record: Of the coil.
        defects: All of them, each once.
        periodic: Payloads of the coil's periodic findings, the last of each.
        actions: What people did, the oldest first: command, at, until, and the command.
        sections: Codes on the strip, in any order.
        program: Version of the program that makes the report.
        made_at: When, RFC 3339.
    """

    station: str
    run: int
    record: CoilRecord
    defects: Sequence[Found]
    periodic: Sequence[Mapping[str, Any]]
    actions: Sequence[Mapping[str, Any]]
    sections: Sequence[Section]
    program: str
    made_at: str
