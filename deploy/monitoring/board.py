"""What a dashboard is made of, as data: queries in panels, panels in rows, rows in a board."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["stat", "lines", "stacked", "bars", "heatmap", "timeline", "table"]


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel; `legend` is Grafana's pattern."""

    expr: str
    legend: str = "{{station}}"


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Attributes:
        text: What it shows, for the panel's tooltip and the documentation.
        unit: Grafana's unit id.
        size: Columns (of 24) and rows.
        limits: Values at which the colour turns orange and red; falling when the second is smaller.
        top: Upper end of the axis; None: as the values are.
        signed: Values may be negative.
        states: Values are state codes.
        colours: Fixed colours by series name.
    """

    title: str
    text: str
    kind: Kind
    queries: tuple[Query, ...]
    unit: str = "short"
    size: tuple[int, int] = (8, 7)
    limits: tuple[float, float] | None = None
    top: float | None = None
    signed: bool = False
    states: bool = False
    colours: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A titled group of panels."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Annotation:
    """Marks on every time axis of a dashboard."""

    name: str
    text: str
    expr: str
    colour: str
    title: str


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard."""

    uid: str
    title: str
    text: str
    many: bool
    rows: tuple[Row, ...]
    annotations: tuple[Annotation, ...]
