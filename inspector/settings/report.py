"""`[report]`: what becomes of a coil by its defects, and what its report shows."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from inspector.settings.section import Section

Text = Annotated[str, Field(min_length=1, max_length=64)]
Name = Annotated[str, Field(min_length=1, max_length=64)]


class SurfaceClass(Section):
    """A row of [[report.surface_class]]: a class, and the most that a coil of it may have."""

    name: Text = Field(description="Of the class, as the plant calls it.")
    max_per_100m: dict[Name, Annotated[float, Field(ge=0)]] = Field(
        default={}, description="Most defects in 100 m, by severity or label: { critical = 0, scratches = 2 }."
    )
    max_count: dict[Name, Annotated[int, Field(ge=0)]] = Field(
        default={}, description="Most defects on the coil, by severity or label."
    )
    max_periodic: int | None = Field(default=None, ge=0, description="Most periodic defects; unset: any number.")
    disposition: Text | None = Field(default=None, description="What becomes of such a coil, in the plant's words.")


class Report(Section):
    """The report of a coil: its surface class and disposition by rule, and what it shows."""

    write: bool = Field(default=True, description="false: no report is written by itself at the end of a coil.")
    surface_class: tuple[SurfaceClass, ...] = Field(
        default=(),
        max_length=50,
        description="Tables [[report.surface_class]], the best first: the first whose limits all hold is the coil's.",
    )
    not_assessed: Text | None = Field(
        default="hold", description="Disposition of a coil that is not assessed, where there are classes."
    )
    none_fits: Text | None = Field(default="hold", description="Disposition of a coil that no class fits.")
    section_gap_m: float = Field(
        default=1, ge=0, le=1000, description="Defects of one class and severity that lie closer are one section."
    )
    pictures: int = Field(default=8, ge=0, le=50, description="Pictures of the worst defects that a report keeps.")
    language: Literal["en", "de"] = Field(default="en", description="Of the page that is kept.")
    decimal_comma: bool = Field(default=False, description="true: the CSV has ; between cells and a comma in numbers.")

    @field_validator("surface_class")
    @classmethod
    def _check_names(cls, value: tuple[SurfaceClass, ...]) -> tuple[SurfaceClass, ...]:
        names = [row.name for row in value]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"each class has one row: {twice!r}")
        return value
