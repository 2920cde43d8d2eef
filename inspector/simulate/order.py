"""What strip is asked for, refused by the option's name where it cannot be made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from inspector.drawn.spec import MAX_DEFECT_TILES, SAME_LABEL_GAP_TILES

Format = Literal["raw", "folder", "video"]
GAP_PX = SAME_LABEL_GAP_TILES * 200
"""Between any two defects, across or along: two tiles of the shipped bundles."""
MIN_WIDTH_PX, MAX_WIDTH_PX = 64, 65_536
MIN_SIZE_PX, MAX_SIZE_PX = 4, 2048
NATURAL_PX = (80, int(MAX_DEFECT_TILES * 200))
"""Least and most length of a defect where no size is asked for."""
MARK_PX = 48
"""Side of a roll's mark."""


class OrderError(Exception):
    """A strip that cannot be made.

    Attributes:
        option: Which option is wrong.
    """

    def __init__(self, option: str, reason: str) -> None:
        super().__init__(f"{option}: {reason}")
        self.option = option


@dataclass(frozen=True, slots=True)
class Order:
    """A strip that is asked for.

    Attributes:
        seed: The same seed and order, the same bytes.
        metres: Of strip.
        width_px: Of the picture.
        mm_per_px: Both ways.
        defects_per_m: On each metre; 0: a clean strip.
        size_px: Least and most longer side of a defect; None: as the generator draws them, or as the pictures are.
        contrast: Change of grey at a defect's plainest tenth, as a share of the light; None: as drawn or photographed.
        roll_mark_mm: Distance of a mark that a damaged roll prints; None: no mark.
        images: Folder of pictures of real defects; None: they are drawn.
        ground: Folder of pictures of clean surface; None: it is drawn.
        edges: The strip is narrower than the picture.
        faults: The camera and the stream have faults.
        frame_lines: Of a still or video frame.
    """

    seed: int
    metres: float
    width_px: int
    mm_per_px: float
    defects_per_m: float = 0.0
    size_px: tuple[int, int] | None = None
    contrast: float | None = None
    roll_mark_mm: float | None = None
    images: Path | None = None
    ground: Path | None = None
    edges: bool = False
    faults: bool = False
    frame_lines: int = 400

    def __post_init__(self) -> None:
        for wrong, option, reason in (
            (self.seed < 0, "--seed", f"0 or more is expected: {self.seed}"),
            (not 0 < self.mm_per_px <= 100, "--mm-per-px", f"more than 0 and at most 100: {self.mm_per_px:g}"),
            (not MIN_WIDTH_PX <= self.width_px <= MAX_WIDTH_PX, "--width-px", f"64 to 65536: {self.width_px}"),
            (not 0 < self.metres < math.inf, "--metres", f"more than 0 is expected: {self.metres:g}"),
            (not 0 <= self.defects_per_m < math.inf, "--defects-per-m", f"0 or more: {self.defects_per_m:g}"),
            (not 16 <= self.frame_lines <= 65_536, "--frame-lines", f"16 to 65536: {self.frame_lines}"),
        ):
            if wrong:
                raise OrderError(option, reason)
        if self.lines < 1:
            raise OrderError("--metres", f"less than one line of {self.mm_per_px:g} mm: {self.metres:g}")
        self._check_defects()
        if self.faults and self.lines < 3000:
            raise OrderError("--faults", f"at least 3000 lines have room for them: {self.lines}")

    def _check_defects(self) -> None:
        low, high = self.size_px or NATURAL_PX
        if not MIN_SIZE_PX <= low <= high <= MAX_SIZE_PX:
            raise OrderError("--size-px", f"MIN,MAX with 4 <= MIN <= MAX <= 2048 is expected: {low},{high}")
        if self.contrast is not None and not 0 < self.contrast <= 2:
            raise OrderError("--contrast", f"more than 0 and at most 2 is expected: {self.contrast:g}")
        if self.roll_mark_mm is not None:
            if not 2 * MARK_PX * self.mm_per_px <= self.roll_mark_mm < math.inf:
                least = 2 * MARK_PX * self.mm_per_px
                raise OrderError("--roll-mark", f"marks would touch: at least {least:g} mm: {self.roll_mark_mm:g}")
            if self.lane_px + MARK_PX > self.sound_px:
                raise OrderError("--width-px", f"no room for the roll's mark: {self.width_px}")
        if not self.defects_per_m:
            return
        if self.lane_px + self.most_px > self.sound_px:
            raise OrderError("--width-px", f"no room for defects of {self.most_px} px: {self.width_px}")
        if self.bay_lines < self.least_bay_lines:
            most = self.columns * 1000 / (self.mm_per_px * self.least_bay_lines)
            raise OrderError("--defects-per-m", f"they would touch, at most {most:.2f} fit: {self.defects_per_m:g}")

    @property
    def lines(self) -> int:
        """Of the strip, as it passes once."""
        return round(self.metres * 1000 / self.mm_per_px)

    @property
    def margin_px(self) -> int:
        """Background on each side, at most."""
        return max(16, self.width_px // 16) if self.edges else 0

    @property
    def sound_px(self) -> int:
        """Columns that are always strip."""
        return self.width_px - 2 * self.margin_px

    @property
    def lane_px(self) -> int:
        """Columns at the left that the roll's mark has for itself, where there are other defects, too."""
        return MARK_PX + GAP_PX if self.roll_mark_mm is not None and self.defects_per_m else 0

    @property
    def most_px(self) -> int:
        """Longest side of a defect."""
        return (self.size_px or NATURAL_PX)[1]

    @property
    def columns(self) -> int:
        """Defects that lie beside each other."""
        return max(1, (self.sound_px - self.lane_px) // (self.most_px + GAP_PX))

    @property
    def bay_lines(self) -> float:
        """Length of a piece of strip that holds one defect in each column."""
        return self.columns * 1000 / (self.defects_per_m * self.mm_per_px)

    @property
    def least_bay_lines(self) -> int:
        """Shortest such piece in which none touches the next."""
        return self.most_px + GAP_PX + 60
