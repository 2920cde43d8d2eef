"""The strangest tiles of a lesson as one picture, numbered, for a person to strike out what is a defect."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from inspector.frame import Pixels

STRANGEST = 24
_COLUMNS, _SIDE_PX, _HEAD_PX, _GAP_PX = 6, 200, 26, 6


def strangest(distances: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Return the numbers of the tiles with the largest distances, the strangest first."""
    return np.argsort(-distances, kind="stable")[:STRANGEST]


def draw_sheet(tiles: npt.NDArray[np.uint8], distances: npt.NDArray[np.float64], threshold: float) -> bytes:
    """Return the strangest tiles as a PNG: number and distance over each, a star where it is beyond the threshold.

    Args:
        tiles: (N, H, W).
        distances: (N,).
        threshold: From which a tile is unlike the rest.
    """
    chosen = strangest(distances)
    rows = -(-len(chosen) // _COLUMNS)
    step_x, step_y = _SIDE_PX + _GAP_PX, _SIDE_PX + _HEAD_PX + _GAP_PX
    sheet: Pixels = np.full((rows * step_y + _GAP_PX, _COLUMNS * step_x + _GAP_PX), 255, np.uint8)
    for place, number in enumerate(chosen):
        y, x = (place // _COLUMNS) * step_y + _GAP_PX, (place % _COLUMNS) * step_x + _GAP_PX
        star = "*" if distances[number] > threshold else ""
        text = f"{place + 1}: {distances[number]:.2f}{star}"
        cv2.putText(sheet, text, (x + 2, y + 19), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 0, 1, cv2.LINE_AA)
        tile = cv2.resize(tiles[number], (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_LINEAR)
        sheet[y + _HEAD_PX : y + _HEAD_PX + _SIDE_PX, x : x + _SIDE_PX] = tile
    return bytes(cv2.imencode(".png", sheet)[1])


def tile_rows(distances: npt.NDArray[np.float64], groups: npt.NDArray[np.int32], frames: npt.NDArray[np.int32]) -> str:
    """Return every tile of the lesson as CSV, the strangest first: what `tiles.csv` holds."""
    lines = ["rank,tile,coil,frame,distance"]
    for rank, number in enumerate(np.argsort(-distances, kind="stable")):
        lines.append(f"{rank + 1},{number},{groups[number]},{frames[number]},{distances[number]:.4f}")
    return "\n".join(lines) + "\n"
