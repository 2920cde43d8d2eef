"""The scale from a picture of a test target, with a picture of what was found on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from inspector.frame import Pixels
from inspector.pictures.decode import decode_picture
from inspector.pictures.files import read_picture_file
from inspector.strip.calibration import Calibration, CalibrationError, calibrate

MAX_BYTES, MAX_PX = 256 * 2**20, 100_000_000
_GREEN, _RED = (0, 160, 0), (0, 0, 220)


def measure_picture(picture: Path, grid_mm: float) -> tuple[Pixels, Calibration]:
    """Return a picture and what it says about the scale.

    Raises:
        PictureError: It cannot be read or decoded.
        CalibrationError: It shows no test target that can be measured; the error names the picture.
    """
    data = read_picture_file(picture, MAX_BYTES)
    pixels = decode_picture(data, name=str(picture), max_px=MAX_PX)
    try:
        return pixels, calibrate(pixels, grid_mm)
    except CalibrationError as exc:
        raise CalibrationError(f"{picture}: {exc}") from exc


def as_dict(found: Calibration, drawn: Path) -> dict[str, Any]:
    """Return what was measured as JSON values."""
    return {
        "target": found.kind,
        "mm_per_px": round(found.mm_per_px, 6),
        "mm_per_line": round(found.mm_per_line, 6),
        "angle_deg": round(found.angle_deg, 3),
        "spread_percent": round(found.spread_percent, 3),
        "picture": str(drawn),
    }


def as_text(found: Calibration, grid_mm: float, drawn: Path) -> str:
    """Return what was measured for a person, the keys ready to be copied."""
    return "\n".join(
        (
            f"# a {found.kind} of {grid_mm:g} mm, turned by {found.angle_deg:.2f} degrees; quarters of the picture "
            f"differ by {found.spread_percent:.2f} %",
            "[strip]",
            f"mm_per_px = {found.mm_per_px:.6g}",
            f"mm_per_line = {found.mm_per_line:.6g}",
            f"# look at {drawn}: each red cross has to lie on a corner, a crossing or a dot",
        )
    )


def draw_found(pixels: Pixels, found: Calibration) -> bytes:
    """Return the picture as a PNG with the lattice over it: a cross on each corner, one square's sides in green."""
    canvas = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR) if pixels.ndim == 2 else pixels.copy()
    height, width = pixels.shape[:2]
    corners = np.array([(0, 0), (width, 0), (0, height), (width, height)], np.float64)
    steps = np.linalg.solve(found.sides.T, (corners - found.crossing).T)
    first, last = np.floor(steps.min(axis=1)).astype(int), np.ceil(steps.max(axis=1)).astype(int)
    arm = max(2.0, 0.15 * float(np.abs(found.sides).max(axis=1).min()))
    thick = max(1, round(arm / 4))
    for across in range(first[0], last[0] + 1):
        for along in range(first[1], last[1] + 1):
            x, y = found.crossing + np.array([across, along]) @ found.sides
            if 0 <= x < width and 0 <= y < height:
                for dx, dy in ((arm, 0.0), (0.0, arm)):
                    cv2.line(canvas, _at(x - dx, y - dy), _at(x + dx, y + dy), _RED, thick, cv2.LINE_AA, 4)
    for side in found.sides:
        cv2.line(canvas, _at(*found.crossing), _at(*(found.crossing + side)), _GREEN, thick + 1, cv2.LINE_AA, 4)
    return bytes(cv2.imencode(".png", canvas)[1])


def _at(x: float, y: float) -> tuple[int, int]:
    """Return a point for drawing in sixteenths of a pixel, whose middle is at its number."""
    return round((x - 0.5) * 16), round((y - 0.5) * 16)
