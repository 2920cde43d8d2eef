"""The centred look: what the tiles found is scored once more in a window that has it in the middle.

A tile's edge cuts a defect, and what a tile sees of it at its border may be named wrongly (docs/decisions/0045). The
window sees all of it, wherever the tiles lie. Nothing is computed where nothing was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from inspector.box import Box
from inspector.inspection.pieces import Piece

MOST = 32
"""Pieces of a frame that are looked at again: in a frame full of defects time counts more."""
LEAST_SHIFT = 8
"""A window that is off the only tile of its piece by less than this part of the tile's side shows nothing new."""


def centred_windows(pieces: Sequence[Piece], frame: Box) -> dict[int, Box]:
    """Return the windows to look at, by the number of their piece: as large as its tiles and inside the frame.

    None for candidates, for what has no class, for what no edge of a tile cuts, for pieces larger than a tile, and
    where a tile is centred already.
    """
    windows: dict[int, Box] = {}
    for number, piece in enumerate(pieces):
        tile, shown = piece.tiles[0].window, piece.shown
        if piece.candidate or not piece.is_named or shown == tile:
            continue
        if (
            shown.width > tile.width
            or shown.height > tile.height
            or not any(v.is_cut_towards(frame) for v in piece.tiles)
        ):
            continue
        x = min(max(frame.x, shown.x + (shown.width - tile.width) // 2), frame.right - tile.width)
        y = min(max(frame.y, shown.y + (shown.height - tile.height) // 2), frame.bottom - tile.height)
        if any(
            LEAST_SHIFT * abs(x - view.window.x) < tile.width and LEAST_SHIFT * abs(y - view.window.y) < tile.height
            for view in piece.tiles
        ):
            continue
        windows[number] = replace(tile, x=x, y=y)
        if len(windows) == MOST:
            break
    return windows
