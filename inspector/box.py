"""An axis-aligned rectangle, in frame pixels or absolute lines: the place of a tile, a finding, a defect."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned rectangle in source-frame pixels; `x`, `y` is the top-left corner, all of it inside the frame."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """First column past the box."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """First row past the box."""
        return self.y + self.height

    def union(self, other: Box) -> Box:
        """Return the smallest box that holds both."""
        x, y = min(self.x, other.x), min(self.y, other.y)
        return Box(x, y, max(self.right, other.right) - x, max(self.bottom, other.bottom) - y)

    def touches(self, other: Box, margin_px: int = 0) -> bool:
        """Say whether the boxes overlap or lie edge to edge (within `margin_px`); corners alone do not touch."""
        dx = min(self.right, other.right) - max(self.x, other.x) + margin_px
        dy = min(self.bottom, other.bottom) - max(self.y, other.y) + margin_px
        return dx >= 0 and dy >= 0 and (dx > 0 or dy > 0)

    @property
    def area_px(self) -> int:
        """Pixels inside."""
        return self.width * self.height

    def shared_px(self, other: Box) -> int:
        """Return how many pixels both boxes cover."""
        width = min(self.right, other.right) - max(self.x, other.x)
        height = min(self.bottom, other.bottom) - max(self.y, other.y)
        return max(0, width) * max(0, height)

    def moved(self, dx: int = 0, dy: int = 0) -> Box:
        """Return the box shifted by `dx`, `dy` pixels."""
        return Box(self.x + dx, self.y + dy, self.width, self.height)
