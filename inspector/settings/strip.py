"""`[strip]`: what runs past the camera, and what returns along it."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from inspector.settings.rolls import RollRow
from inspector.settings.section import Section

Pitch = Annotated[float, Field(ge=20, le=50_000)]


class Strip(Section):
    """What runs past the camera, and what returns along it."""

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
