"""What was asked for, false calls per km and side or per 1,000 pictures, as the share of good tiles that it allows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import comb
from typing import Any

from inspector.inspection.tiling import TilingRules
from inspector.settings.sections import Settings

PER_KM = 0.5
"""False calls per km and side, where nothing else is asked for."""
PER_1000 = 4.0
"""False calls per 1,000 pictures of stills, where nothing else is asked for."""
ASSUMED_MM_PER_PX = 0.5
"""Where neither the configuration nor the bundle says the scale."""
LARGEST_SHARE = 0.05
UNCLASSIFIED_SHARE, UNCLASSIFIED_A_CALL = 0.01, 100
"""Share of good tiles that may be called unclassified, which is recorded without alarm: at most, and so many times as
many as may be called a defect."""


@dataclass(frozen=True, slots=True)
class Aim:
    """False calls that are allowed, and what makes tiles of them.

    Attributes:
        false_calls: Per km and side, or per 1,000 pictures.
        per: `km`, or `1000 pictures`.
        tiles: Tiles in a km of one side, or in 1,000 pictures.
        tiles_per_frame: Of one frame.
        mm_per_px: Reckoned with; None for stills.
        assumed_scale: The scale was assumed.
        alarm_hits: N of the last `alarm_window` frames make an alarm; stills alarm alone.
        alarm_window: M.
    """

    false_calls: float
    per: str
    tiles: float
    tiles_per_frame: float
    mm_per_px: float | None = None
    assumed_scale: bool = False
    alarm_hits: int = 1
    alarm_window: int = 1

    @property
    def tile_share(self) -> float:
        """Share of good tiles that may be called a defect, at most `LARGEST_SHARE`.

        With N of M, a false call counts when N - 1 of the other M - 1 frames have one, too: frames are taken to be
        independent, tiles of a frame as well, and no two false calls are taken to merge into one.
        """
        frames = self.tiles / self.tiles_per_frame
        wanted = self.false_calls / frames
        low, high = 0.0, min(1.0, LARGEST_SHARE * self.tiles_per_frame)
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self._alarming(middle) < wanted else (low, middle)
        return min(LARGEST_SHARE, high / self.tiles_per_frame)

    @property
    def unclassified_share(self) -> float:
        """Share of good tiles that may be called unclassified."""
        return min(UNCLASSIFIED_SHARE, UNCLASSIFIED_A_CALL * self.tile_share)

    def calls_at(self, tile_share: float) -> float:
        """Return the false calls in the unit of the aim at a share of good tiles that are called a defect."""
        return self._alarming(min(1.0, tile_share * self.tiles_per_frame)) * self.tiles / self.tiles_per_frame

    def _alarming(self, frame_share: float) -> float:
        others, needed = self.alarm_window - 1, self.alarm_hits - 1
        return frame_share * sum(
            comb(others, hits) * frame_share**hits * (1 - frame_share) ** (others - hits)
            for hits in range(needed, others + 1)
        )

    @property
    def text(self) -> str:
        """The aim for people, with what was assumed."""
        if self.per != "km":
            return f"{self.false_calls:g} false calls per 1,000 pictures"
        assumed = ", assumed: set strip.mm_per_px" if self.assumed_scale else ""
        scale = f"{self.tiles:.0f} tiles, {self.mm_per_px:g} mm/px{assumed}"
        return f"{self.false_calls:g} false calls per km and side ({scale})"

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {**asdict(self), "tile_share": self.tile_share}


def aim_for(
    settings: Settings, value: float | None, *, tile_px: int, card_mm_per_px: float | None, tiles_across: int,
    tiles_per_frame: float,
) -> Aim:  # fmt: skip
    """Return the aim of a station.

    Args:
        settings: Its configuration: stills, from a watched folder, are counted by the picture, all else by the km.
        value: What was asked for; None takes the default.
        tile_px: Field of view of a tile.
        card_mm_per_px: The bundle's scale.
        tiles_across: Tiles side by side over the width of a frame.
        tiles_per_frame: Of a frame, on the mean.
    """
    if settings.source.kind == "folder":
        calls = PER_1000 if value is None else value
        return Aim(calls, "1000 pictures", 1000 * tiles_per_frame, tiles_per_frame)
    scale = settings.mm_per_px or card_mm_per_px
    overlap_px = TilingRules(tile_px, settings.tiling.overlap_px).overlap_of(still=False)
    step_mm = (tile_px - overlap_px) * (scale or ASSUMED_MM_PER_PX)
    return Aim(
        PER_KM if value is None else value,
        "km",
        1e6 / step_mm * tiles_across,
        tiles_per_frame,
        scale or ASSUMED_MM_PER_PX,
        scale is None,
        settings.events.alarm_hits,
        settings.events.alarm_window,
    )
