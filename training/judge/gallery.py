"""Pictures for the report: what a person should see before believing a figure."""

from __future__ import annotations

from dataclasses import dataclass, field

from inspector.box import Box
from inspector.frame import Pixels


@dataclass(frozen=True, slots=True, eq=False)
class Exhibit:
    """One picture.

    Attributes:
        pixels: (H, W) uint8.
        caption: The text below it.
        weight: The heaviest are shown first.
        box: To draw into it.
    """

    pixels: Pixels
    caption: str
    weight: float
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class Gallery:
    """Exhibits by room, in the order in which rooms were opened."""

    rooms: dict[str, list[Exhibit]] = field(default_factory=dict)

    def show(self, room: str, exhibit: Exhibit) -> None:
        """Hang up one more."""
        self.rooms.setdefault(room, []).append(exhibit)
