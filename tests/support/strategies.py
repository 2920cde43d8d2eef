"""What hypothesis draws: frame sizes with the tiling of them, boxes on a grid, moments."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import strategies as st

from inspector.box import Box
from inspector.inspection.tiling import TilingRules


@st.composite
def tilings(draw: st.DrawFn, roi: bool = False) -> tuple[int, int, TilingRules]:
    """Height, width and rules; with `roi` a polygon that has at least one pixel in the frame."""
    height, width = draw(st.integers(1, 400)), draw(st.integers(1, 400))
    tile_px = draw(st.integers(16, 150))
    overlap_px = draw(st.integers(0, tile_px // 2))
    corners: list[tuple[int, int]] = []
    if roi:
        inside = st.tuples(st.integers(0, width - 1), st.integers(0, height - 1))
        anywhere = st.tuples(st.integers(-300, 700), st.integers(-300, 700))
        corners = [draw(inside), *draw(st.lists(anywhere, min_size=2, max_size=5))]
    return height, width, TilingRules(tile_px, overlap_px, tuple(corners))


def boxes(side_px: int = 10, cells: int = 8) -> st.SearchStrategy[list[Box]]:
    """Squares at any place of a small field, so that many touch, overlap, or meet at a corner."""
    place = st.integers(0, (cells - 1) * side_px // 5).map(lambda step: step * 5)
    return st.lists(st.builds(Box, place, place, st.just(side_px), st.just(side_px)), max_size=24)


moments = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
"""Moments in UTC, to the microsecond."""
