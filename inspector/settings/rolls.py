"""`[[strip.rolls]]`: which rolls the mill begins with; the plant says on `cmd/rolls` what is exchanged."""

from __future__ import annotations

from pydantic import Field

from inspector.command_table import Name
from inspector.settings.section import Section


class RollRow(Section):
    """A row of [[strip.rolls]]: the roll that runs at a place of the mill, unless `cmd/rolls` names another one."""

    stand: Name = Field(description="Where, as F4.")
    position: Name = Field(description="Which roll of the stand, as top.")
    roll_id: Name | None = Field(default=None, description="Its own name.")
    diameter_mm: float = Field(gt=0, le=10_000, description="As it is ground now.")
    elongation: float = Field(
        default=1, ge=0.1, le=1000, description="How many times longer the strip is at the camera than at the roll."
    )
