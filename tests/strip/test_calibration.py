"""The scale from a picture of a test target."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from typer.testing import CliRunner

from inspector.cli import app
from inspector.drawn.tiles import draw_tile
from inspector.strip.calibration import CalibrationError, calibrate

GRID_MM = 10.0
FINE = 3


def target(
    kind: str, size: tuple[int, int], scale: tuple[float, float], turned_deg: float = 0.0, seed: int = 1
) -> npt.NDArray[np.uint8]:
    """Draw a target as a camera sees it: unsharp, unevenly lit, with noise."""
    rng = np.random.default_rng(seed)
    width, height = size
    y, x = np.mgrid[0 : height * FINE, 0 : width * FINE].astype(np.float32)
    x, y = (x + 0.5) / FINE * scale[0] + rng.uniform(0, 9), (y + 0.5) / FINE * scale[1] + rng.uniform(0, 9)
    cos, sin = np.cos(np.radians(turned_deg)), np.sin(np.radians(turned_deg))
    across, along = (x * cos + y * sin) / GRID_MM, (y * cos - x * sin) / GRID_MM
    off_x, off_y = np.abs(across - np.rint(across)), np.abs(along - np.rint(along))
    drawn = {
        "chessboard": (np.floor(across) + np.floor(along)) % 2,
        "lines": (np.minimum(off_x, off_y) > 0.06).astype(np.float32),
        "dots": (np.hypot(off_x, off_y) > 0.25).astype(np.float32),
    }[kind].astype(np.float32)
    seen = cv2.GaussianBlur(cv2.resize(drawn, size, interpolation=cv2.INTER_AREA), (0, 0), 1.0)
    lit = (50 + 150 * seen) * np.linspace(0.6, 1.0, width)[None] + rng.normal(0, 4, (height, width))
    return np.asarray(np.clip(lit, 0, 255), np.uint8)


@pytest.mark.parametrize("kind", ["chessboard", "lines", "dots"])
@pytest.mark.parametrize(
    ("scale", "turned_deg"),
    [((0.5, 0.5), 0.0), ((0.8, 0.4), 1.5), ((0.4, 0.8), -7.0), ((0.5, 0.5), 12.0)],
)
def test_both_scales_are_right_to_half_a_percent(kind: str, scale: tuple[float, float], turned_deg: float) -> None:
    """Across and along, with lines further apart than pixels or closer, and with a turned target."""
    found = calibrate(target(kind, (480, 400), scale, turned_deg), GRID_MM)

    assert found.kind == ("chessboard" if kind == "chessboard" else "grid")
    assert found.mm_per_px == pytest.approx(scale[0], rel=0.005)
    assert found.mm_per_line == pytest.approx(scale[1], rel=0.005)
    assert found.angle_deg == pytest.approx(turned_deg, abs=0.3)


def test_large_squares_are_measured_in_a_large_picture() -> None:
    """Where the middle holds too few squares, all of the picture counts; the crossing stays a corner of squares."""
    grey = cv2.resize(target("chessboard", (480, 400), (0.5, 0.4)), (1920, 1600), interpolation=cv2.INTER_LINEAR)
    found = calibrate(np.asarray(grey, np.uint8), GRID_MM)

    assert found.mm_per_px == pytest.approx(0.125, rel=0.005)
    assert found.mm_per_line == pytest.approx(0.1, rel=0.005)
    x, y = np.rint(found.crossing).astype(int)
    one, other = (float(grey[y + dy, x + dx]) for dx, dy in ((16, 20), (16, -20)))
    assert abs(one - other) > 60


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (np.full((300, 300), 128, np.uint8), "no test target"),
        (np.random.default_rng(3).integers(0, 256, (300, 300), np.uint8), "no test target"),
        (draw_tile("crazing", 4, 400), "no test target"),
        (target("chessboard", (480, 400), (0.1, 0.1)), "."),
        (target("lines", (480, 400), (0.5, 0.5))[:60], "."),
    ],
    ids=["plain", "noise", "steel", "too few squares", "a slice"],
)
def test_a_picture_without_a_target_is_refused(picture: npt.NDArray[np.uint8], reason: str) -> None:
    """Plain, noisy or drawn surfaces, and too little of a target, give a reason and no scale."""
    with pytest.raises(CalibrationError, match=reason):
        calibrate(picture, GRID_MM)


def test_a_target_that_lies_aslant_is_refused() -> None:
    """A perspective view has another scale in each quarter."""
    flat = target("chessboard", (480, 400), (0.5, 0.5))
    corners = np.array([(0, 0), (480, 0), (0, 400), (480, 400)], np.float32)
    seen = np.array([(60, 0), (420, 0), (0, 400), (480, 400)], np.float32)
    aslant = cv2.warpPerspective(flat, cv2.getPerspectiveTransform(corners, seen), (480, 400))[:, 60:420]

    with pytest.raises(CalibrationError, match="straight"):
        calibrate(np.ascontiguousarray(aslant), GRID_MM)


def test_the_command_prints_keys_and_draws_what_it_found(tmp_path: Path) -> None:
    """Its crosses lie on the corners of the squares: there the four quarters around are bright and dark in turns."""
    path = tmp_path / "target.png"
    cv2.imwrite(str(path), target("chessboard", (480, 400), (0.8, 0.5)))

    result = CliRunner().invoke(app, ["calibrate", str(path), "--grid-mm", "10", "--json"])

    assert result.exit_code == 0, result.output
    row = json.loads(result.output)
    assert (row["mm_per_px"], row["mm_per_line"]) == (pytest.approx(0.8, rel=0.005), pytest.approx(0.5, rel=0.005))
    drawn, grey = cv2.imread(row["picture"]), cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert drawn is not None
    assert grey is not None
    x, y = np.rint(calibrate(grey.astype(np.uint8), 10).crossing).astype(int)
    one, other = (float(grey[y + dy, x + dx]) for dx, dy in ((4, 6), (4, -6)))
    assert abs(one - other) > 60
    assert abs(float(grey[y - 6, x - 4]) - one) < 30
    assert tuple(drawn[y - 1, x - 1]) != (grey[y - 1, x - 1],) * 3


def test_the_command_names_the_picture_that_shows_no_target(tmp_path: Path) -> None:
    """Exit 1, the file and the reason."""
    path = tmp_path / "steel.png"
    cv2.imwrite(str(path), draw_tile("scratches", 1, 300))

    result = CliRunner().invoke(app, ["calibrate", str(path), "--grid-mm", "10"])

    assert result.exit_code == 1
    assert "steel.png: no test target is seen" in result.output
