"""What the strip's coordinates and its coils depend on besides what passes: the section `[strip]`, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from inspector.strip.record import PositionSource, Side

MIN_COVERAGE = 0.9
LONGEST_M = 50_000.0


@dataclass(frozen=True, slots=True)
class StripRules:
    """How metres are counted, and what a coil is.

    Attributes:
        position: What metres are counted from.
        mm_per_line: Along the strip; None: as across.
        line_rate_hz: Lines a second of a camera without encoder, for `rate`.
        runs_on: The strip goes on while nothing is read from the source: a camera's does, a folder's does not.
        side: Which side of the strip the camera sees.
        operator_side: Which side of the picture is the operator's; a mirrored camera has it at the right.
        edges: Columns of the strip's edges in the picture, px; None: the picture's own, or those that were found.
        offset_m: From the point at which the plant announces a coil to the camera's line, along the strip.
        head_m, tail_m: Lengths at both ends of a coil that are not graded.
        weld_window_m: What lies so near a weld, to both sides, raises no alarm; 0: there is no window.
        min_coverage: A coil of which a smaller share was inspected is not assessed.
        longest_m: A coil that does not end by then is ended.
        coil_length_m: A coil begins after so many metres by itself; None: it does not.
        coil_pattern: A coil's name in that of its file, as a regular expression with a group `coil`; None: it is not.
    """

    position: PositionSource = "lines"
    mm_per_line: float | None = None
    line_rate_hz: float | None = None
    runs_on: bool = True
    side: Side | None = None
    operator_side: Literal["left", "right"] = "left"
    edges: tuple[int, int] | None = None
    offset_m: float = 0.0
    head_m: float = 0.0
    tail_m: float = 0.0
    weld_window_m: float = 1.0
    min_coverage: float = MIN_COVERAGE
    longest_m: float = LONGEST_M
    coil_length_m: float | None = None
    coil_pattern: str | None = None
