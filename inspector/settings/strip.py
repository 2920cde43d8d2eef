"""`[strip]`: what runs past the camera, and what returns along it."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from inspector.settings.rolls import RollRow
from inspector.settings.section import Section

Pitch = Annotated[float, Field(ge=20, le=50_000)]
Scale = Annotated[float | None, Field(gt=0, le=100)]
Column = Annotated[int, Field(ge=0, le=65_536)]


class Strip(Section):
    """What runs past the camera, and what returns along it."""

    mm_per_px: Scale = Field(default=None, description="Scale across; unset: source.mm_per_px, else the card's.")
    mm_per_line: Scale = Field(default=None, description="Scale along; unset: as across.")
    edges: Literal["picture", "find"] | tuple[Column, Column] = Field(
        default="picture", description="The strip's edges: the picture's, found in each frame, or [left, right] in px."
    )
    background: Literal["dark", "bright"] = Field(
        default="dark", description="What lies beside the strip, for edges = 'find'."
    )
    side: Literal["top", "bottom"] | None = Field(default=None, description="Which side of the strip the camera sees.")
    operator_side: Literal["left", "right"] = Field(
        default="left", description="Where the operator's side is in the picture; 'right': a mirrored camera."
    )
    position: Literal["lines", "speed", "rate"] = Field(
        default="lines",
        description="Metres from lines; from cmd/line's speed over time; or from lines at a fixed rate and that speed.",
    )
    line_rate_hz: float | None = Field(
        default=None, gt=0, le=1e6, description="Lines a second of a camera without encoder; needed by 'rate'."
    )
    offset_m: float = Field(
        default=0,
        ge=0,
        le=10_000,
        description="From the point where cmd/coil names a coil to the camera, along the strip.",
    )
    head_m: float = Field(
        default=0, ge=0, le=10_000, description="Length at a coil's head that is neither graded nor alarmed."
    )
    tail_m: float = Field(
        default=0, ge=0, le=10_000, description="Length at its tail, likewise; alarms need its length_m."
    )
    weld_window_m: float = Field(
        default=1,
        ge=0,
        le=100,
        description="What lies so near a weld (cmd/weld) raises no alarm; 0: off.",
    )
    min_coverage: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.9, description="A coil of which a smaller share was inspected is not assessed."
    )
    longest_m: float = Field(default=50_000, gt=0, le=1e6, description="A coil that does not end by then is ended.")
    coil_length_m: float | None = Field(
        default=None, gt=0, le=1e6, description="A coil begins by itself after so many metres; unset: by cmd/coil."
    )
    coil_pattern: str | None = Field(
        default=None,
        min_length=6,
        max_length=200,
        description="The coil in a file's path: {coil} stands for it, * for anything, as '{coil}/*' or '{coil}_*.png'.",
    )
    periodic: bool = Field(
        default=True, description="false: defects that return at a fixed distance are not looked for."
    )
    pitch_mm: tuple[Pitch, Pitch] = Field(
        default=(100.0, 10_000.0), description="Shortest and longest distance that is tried without a known roll."
    )
    rolls: tuple[RollRow, ...] = Field(
        default=(), max_length=64, description="Tables [[strip.rolls]]: the rolls that the mill begins with."
    )

    @model_validator(mode="after")
    def _check_position(self) -> Self:
        if (self.position == "rate") != (self.line_rate_hz is not None):
            raise ValueError("line_rate_hz belongs to position = 'rate': set both, or neither")
        if isinstance(self.edges, tuple) and self.edges[0] >= self.edges[1]:
            raise ValueError(f"edges: the left must be less than the right: {list(self.edges)}")
        if self.coil_pattern is not None and self.coil_pattern.count("{coil}") != 1:
            raise ValueError(f"coil_pattern: {{coil}} is expected once: {self.coil_pattern!r}")
        if self.coil_pattern is not None and self.coil_length_m is not None:
            raise ValueError("coil_pattern and coil_length_m exclude each other: one of them begins coils")
        return self

    @property
    def coil_expression(self) -> str | None:
        """`coil_pattern` as a regular expression with a group `coil`; None: it is not set."""
        if self.coil_pattern is None:
            return None
        text = re.escape(self.coil_pattern).replace(r"\{coil\}", "(?P<coil>[^/]{1,64}?)").replace(r"\*", ".*")
        return rf"\A(?:.*/)?{text}\Z"

    @model_validator(mode="after")
    def _check_periodic(self) -> Self:
        if self.pitch_mm[0] >= self.pitch_mm[1]:
            raise ValueError(f"pitch_mm: the first must be less than the second: {list(self.pitch_mm)}")
        seen: set[tuple[str, str]] = set()
        for number, row in enumerate(self.rolls):
            place = row.stand, row.position
            if place in seen:
                raise ValueError(f"rolls.{number}: another row is about {' '.join(place)}, too")
            seen.add(place)
        return self
