"""Pictures for the report: what a person should see before believing a figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from inspector.box import Box
from inspector.frame import Pixels


@dataclass(frozen=True, slots=True, eq=False)
class Exhibit:
    """One picture.

    Attributes:
        pixels: (H, W) uint8.
        caption: The text below it, marked for the catalogue, with places for `values`.
        weight: The heaviest are shown first.
        box: To draw into it.
        values: Put into the caption; numbers with three digits after the point.
    """

    pixels: Pixels
    caption: str
    weight: float
    box: Box | None = None
    values: Mapping[str, str | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Room:
    """What the pictures of one kind have in common.

    Attributes:
        text: Its heading, marked for the catalogue.
        of: Name of the data set that they are of; empty where that is clear.
    """

    text: str
    of: str = ""


@dataclass(frozen=True, slots=True)
class Gallery:
    """Exhibits by room, in the order in which rooms were opened."""

    rooms: dict[Room, list[Exhibit]] = field(default_factory=dict)

    def show(self, room: Room, exhibit: Exhibit) -> None:
        """Hang up one more."""
        self.rooms.setdefault(room, []).append(exhibit)
