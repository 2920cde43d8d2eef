"""Geometry and seed of a strip, and what was drawn where."""

from __future__ import annotations

from dataclasses import dataclass

from inspector.box import Box
from inspector.errors import ConfigError

KINDS = ("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches")
DEMO_SEED = 0
TRAINING_SEEDS = 1_000_000
"""Training draws with seeds from here on, golden tiles from `GOLDEN_SEEDS` on; the demo and the tests stay below."""
GOLDEN_SEEDS = 2_000_000


DEFAULT_MM_PER_PX = 0.5
MAX_DEFECT_TILES = 1.2
"""Longest side of a defect, in tiles."""
SAME_LABEL_GAP_TILES = 2
"""Between any two boxes, across or along: tiles of one then never touch tiles of the other, wherever the grid lies."""


@dataclass(frozen=True, slots=True)
class DrawnDefect:
    """What was drawn where.

    Attributes:
        label: One of `KINDS`, or the folder's name of a pasted picture.
        box: Tight, `y` in absolute lines.
        ordinal: Counts the defects along the strip from 0.
    """

    label: str
    box: Box
    ordinal: int


@dataclass(frozen=True, slots=True)
class StripSpec:
    """Geometry and seed of a strip.

    Attributes:
        seed: What is drawn.
        width_px: Pixels across.
        mm_per_px: Scale, both ways.
        defects_per_m: Defects on each metre of strip; 0 gives clean strip.
        tile_px: Side of the tiles that will inspect it: defects measure 0.4 to 1.2 of it, gaps twice.
    """

    seed: int = DEMO_SEED
    width_px: int = 1600
    mm_per_px: float = DEFAULT_MM_PER_PX
    defects_per_m: float = 3.0
    tile_px: int = 200

    def __post_init__(self) -> None:
        if self.seed < 0 or self.mm_per_px <= 0 or self.defects_per_m < 0:
            raise ConfigError(f"a strip needs seed >= 0, a scale > 0 and defects_per_m >= 0: {self}")
        if self.tile_px < 64 or self.width_px < 1.5 * self.tile_px:
            raise ConfigError(f"a strip needs tile_px >= 64 and a width of 1.5 tiles: {self.width_px} / {self.tile_px}")
        if self.defects_per_m and self.bay_lines < self._least_bay_lines:
            most = self.columns * 1000 / (self.mm_per_px * self._least_bay_lines)
            raise ConfigError(f"defects would touch: at most {most:.2f} a metre fit: {self.defects_per_m}")

    @property
    def columns(self) -> int:
        """Defects that lie beside each other."""
        return max(1, int(self.width_px / ((MAX_DEFECT_TILES + SAME_LABEL_GAP_TILES) * self.tile_px)))

    @property
    def bay_lines(self) -> float:
        """Length of a piece of strip that holds one defect in each column."""
        return self.columns * 1000 / (self.defects_per_m * self.mm_per_px)

    @property
    def _least_bay_lines(self) -> int:
        return int((MAX_DEFECT_TILES + SAME_LABEL_GAP_TILES + 0.3) * self.tile_px)
