"""Millimetres per pixel across and along, from a picture of a test target: a chessboard, or a grid of lines or dots.

A target repeats itself, so its spectrum has peaks at its lattice (R. N. Bracewell, The Fourier Transform and Its
Applications, 3rd edition, 2000). Two of them give the sides of a square in pixels. That these are equally long and at
right angles gives both scales, also where lines lie further apart than pixels, and where the target is turned.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from inspector.errors import RefusedError

MAX_PX = 1024
"""Of a larger picture the middle is measured, as it holds enough squares for 0.1 %; else all of it, made smaller."""
MIN_SQUARES = 6.0
"""Fewer each way are not measured to half a percent."""
PEAKS = 12
MIN_CONTRAST = 40.0
"""Of a target's peaks above the median of the spectrum; the pictures of steel in the tests stay below."""
FUNDAMENTAL_SHARE = 0.25
"""A lower frequency in the same direction is the target's if its peak has this share of the strongest."""
CHESSBOARD_DEG = 20.0
"""The two strongest waves of a chessboard run along its diagonals, so both are further from the picture's sides."""
MAX_SPREAD_PERCENT = 3.0
"""Quarters of the picture that differ by more do not show one flat target."""
MAX_SKEW_DEG = 3.0
"""A lattice that is further from a right angle is no test target, or the camera does not look at it straight."""

Floats = npt.NDArray[np.float64]


class CalibrationError(RefusedError):
    """The picture shows no test target that can be measured."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a picture of a test target says.

    Attributes:
        kind: `chessboard`, or `grid` of lines or dots.
        mm_per_px: Across, millimetres per pixel.
        mm_per_line: Along, millimetres per line.
        angle_deg: How far the target is turned against the picture.
        spread_percent: How much the scale in a quarter of the picture differs from the whole, at most.
        sides: (2, 2) sides of a square as (x, y) in pixels, the one that lies more across first.
        crossing: (x, y) of a corner of squares, a crossing of lines or the middle of a dot, in pixels.
    """

    kind: str
    mm_per_px: float
    mm_per_line: float
    angle_deg: float
    spread_percent: float
    sides: Floats
    crossing: Floats


def calibrate(pixels: npt.NDArray[np.uint8], grid_mm: float) -> Calibration:
    """Measure the scale in a picture of a test target.

    Args:
        pixels: (H, W) grey or (H, W, 3), uint8.
        grid_mm: Side of a chessboard's square, or distance of lines or dots, in mm.

    Raises:
        CalibrationError: No target is seen, too little of it, or it is not flat and square in the picture.
    """
    return _calibrated(pixels.astype(np.float64) if pixels.ndim == 2 else pixels.mean(axis=2), grid_mm)


def _calibrated(grey: Floats, grid_mm: float) -> Calibration:
    """Return the scale as `calibrate` does, of a grey picture."""
    try:
        return _measure(grey, grid_mm)
    except CalibrationError:
        if max(grey.shape) <= MAX_PX:
            raise
    smaller = np.asarray(cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.float64)
    found = _calibrated(smaller, grid_mm)
    by = np.divide(grey.shape, smaller.shape)[::-1]
    return replace(
        found, mm_per_px=found.mm_per_px / float(by[0]), mm_per_line=found.mm_per_line / float(by[1]),
        sides=found.sides * by, crossing=(found.crossing + 0.5) * by - 0.5,
    )  # fmt: skip


def _measure(grey: Floats, grid_mm: float) -> Calibration:
    """Return the scale in the middle of a picture; errors as of `calibrate`."""
    top, left = (max(0, (side - MAX_PX) // 2) for side in grey.shape)
    grey = grey[top : top + MAX_PX, left : left + MAX_PX]
    target = _find_target(_Spectrum(grey))
    scale, skew_deg = _scale(target.waves, grid_mm)
    if skew_deg > MAX_SKEW_DEG:
        raise CalibrationError(
            f"the target's sides are not at right angles (off by {skew_deg:.1f} degrees): lay it flat, and let the "
            "camera look straight at it"
        )
    spread = max(
        abs(part / whole - 1) * 100
        for quarter in _quarters(grey)
        for part, whole in zip(_scale(target.in_part(quarter), grid_mm)[0], scale, strict=True)
    )
    if not spread <= MAX_SPREAD_PERCENT:
        raise CalibrationError(
            f"the target is not the same all over the picture (quarters differ by {spread:.1f} %): lay it flat, fill "
            "the picture with it, and let the camera look straight at it"
        )
    sides: Floats = np.linalg.inv(target.waves).T.astype(np.float64)
    turned = sides[0] * scale
    return Calibration(
        kind=target.kind,
        mm_per_px=float(scale[0]),
        mm_per_line=float(scale[1]),
        angle_deg=float(np.degrees(np.arctan2(turned[1], turned[0]))),
        spread_percent=float(spread),
        sides=sides,
        crossing=np.add(target.crossing(grey), (left, top)),
    )


class _Spectrum:
    """What repeats in a picture: magnitudes of its waves, without what is wider than a few squares."""

    def __init__(self, grey: Floats) -> None:
        self.shape = grey.shape
        height, width = grey.shape
        flat = grey - cv2.GaussianBlur(grey, (0, 0), min(height, width) / MIN_SQUARES / 2)
        window = np.outer(np.hanning(height), np.hanning(width))
        self._size = tuple(cv2.getOptimalDFTSize(2 * side) for side in grey.shape)
        self.size_xy = np.array(self._size[::-1], np.float64)
        self._magnitude = np.abs(np.fft.rfft2(flat * window, self._size))
        self._median = float(np.median(self._magnitude[:, : self._magnitude.shape[1] // 2])) + 1e-9

    def peaks(self) -> list[tuple[Floats, float]]:
        """Return the strongest waves: (x, y) in cycles per pixel, x not negative, and their contrast."""
        left = self._magnitude.copy()
        lowest = MIN_SQUARES / 2 / np.array(self.shape[::-1])
        y, x = np.meshgrid(np.fft.fftfreq(self._size[0]), np.fft.rfftfreq(self._size[1]), indexing="ij")
        left[(x < lowest[0]) & (np.abs(y) < lowest[1])] = 0
        found: list[tuple[Floats, float]] = []
        for _ in range(PEAKS):
            row, column = np.unravel_index(int(left.argmax()), left.shape)
            wave = np.array([column, row if row < self._size[0] / 2 else row - self._size[0]]) / self.size_xy
            found.append(self.refined(wave))
            rows = np.arange(row - 8, row + 9) % self._size[0]
            left[rows, max(0, column - 8) : column + 9] = 0
            if column <= 8:  # the same wave, counted from the other end
                left[(-rows) % self._size[0], : 9 - column] = 0
        return found

    def refined(self, wave: Floats, reach: int = 3) -> tuple[Floats, float]:
        """Return the strongest wave near one, between bins by a parabola through the logarithms, and its contrast."""
        column, row = np.rint(wave * self.size_xy).astype(int)
        offsets = list(itertools.product(range(-reach, reach + 1), repeat=2))
        dx, dy = max(offsets, key=lambda each: self._at(column + each[0], row + each[1]))
        column, row = column + dx, row + dy
        best = np.array([column + self._vertex(column, row, 1, 0), row + self._vertex(column, row, 0, 1)])
        return best / self.size_xy, self._at(column, row) / self._median

    def _at(self, column: int, row: int) -> float:
        if column < 0:
            column, row = -column, -row
        return float(self._magnitude[row % self._size[0], min(column, self._magnitude.shape[1] - 1)])

    def _vertex(self, column: int, row: int, dx: int, dy: int) -> float:
        before, here, after = np.log([self._at(column + k * dx, row + k * dy) + 1e-12 for k in (-1, 0, 1)])
        bend = before - 2 * here + after
        return float(np.clip((before - after) / bend / 2, -1, 1)) if bend < 0 else 0.0


@dataclass(frozen=True, slots=True)
class _Target:
    """A target's kind and (2, 2) its two strongest waves in cycles per pixel: of a chessboard along its diagonals."""

    kind: str
    strongest: Floats

    @property
    def waves(self) -> Floats:
        """(2, 2) waves with the squares' period, the one that runs more across first."""
        one, other = self.strongest
        pair = (one + other, one - other) if self.kind == "chessboard" else (one, other)
        across, along = sorted(pair, key=lambda wave: -abs(wave[0]))
        return np.array([across * np.sign(across[0]), along * (np.sign(along[1]) or 1)])

    def in_part(self, grey: Floats) -> Floats:
        """Return the waves as a part of the picture shows them."""
        spectrum = _Spectrum(grey)
        return _Target(self.kind, np.array([spectrum.refined(wave, reach=4)[0] for wave in self.strongest])).waves

    def crossing(self, grey: Floats) -> Floats:
        """Return (x, y) of the corner of squares or crossing of lines that is nearest to the middle."""
        height, width = grey.shape
        x, y = np.arange(width) - width / 2, np.arange(height) - height / 2
        flat = (grey - grey.mean()) * np.outer(np.hanning(height), np.hanning(width))
        turns = [np.angle(np.exp(-2j * np.pi * wave[1] * y) @ flat @ np.exp(-2j * np.pi * wave[0] * x)) / 2 / np.pi
                 for wave in self.strongest]  # fmt: skip
        one, other = self.strongest
        if self.kind == "chessboard":
            left = np.array([(one + other) / 2, (one - other) / 2])
            right = 0.25 - np.array([turns[0] + turns[1], turns[0] - turns[1]]) / 2
            right -= np.rint(right * 2) / 2
        else:
            dark = np.median(grey) > grey.mean()
            left, right = self.strongest, (0.5 if dark else 0.0) - np.array(turns)
            right -= np.rint(right)
        return np.add(np.linalg.solve(left, right), (width / 2, height / 2))


def _find_target(spectrum: _Spectrum) -> _Target:
    peaks = [peak for peak in spectrum.peaks() if peak[1] >= MIN_CONTRAST]
    first = peaks[0][0] if peaks else None
    second = next((wave for wave, _ in peaks[1:] if first is not None and _apart(first, wave)), None)
    if first is None or second is None:
        raise CalibrationError(
            f"no test target is seen: it takes a chessboard, or a grid of lines or dots, with at least {MIN_SQUARES:g} "
            "squares each way, and sharp"
        )
    strongest = np.array([_fundamental(spectrum, wave) for wave in (first, second)])
    slopes = [np.degrees(np.arctan2(*np.sort(np.abs(wave)))) for wave in strongest]
    target = _Target("chessboard" if min(slopes) > CHESSBOARD_DEG else "grid", strongest)
    squares = np.abs(target.waves).max(axis=1) * spectrum.shape[::-1]
    if squares.min() < MIN_SQUARES:
        raise CalibrationError(
            f"too little of the target is seen: {squares[0]:.1f} squares across and {squares[1]:.1f} along, it takes "
            f"{MIN_SQUARES:g}"
        )
    return target


def _apart(one: Floats, other: Floats) -> bool:
    """Whether two waves run in directions that differ by more than 20 degrees."""
    cross = abs(one[0] * other[1] - one[1] * other[0])
    return bool(cross > np.sin(np.radians(20)) * np.linalg.norm(one) * np.linalg.norm(other))


def _fundamental(spectrum: _Spectrum, wave: Floats) -> Floats:
    strongest = spectrum.refined(wave)
    for part in (4, 3, 2):
        lower, contrast = spectrum.refined(strongest[0] / part, reach=2)
        if contrast >= FUNDAMENTAL_SHARE * strongest[1] and np.abs(lower * spectrum.shape[::-1]).max() >= MIN_SQUARES:
            return lower
    return strongest[0]


def _quarters(grey: Floats) -> list[Floats]:
    height, width = (side // 2 for side in grey.shape)
    return [grey[y : y + height, x : x + width] for y in (0, height) for x in (0, width)]


def _scale(waves: Floats, grid_mm: float) -> tuple[Floats, float]:
    """Return mm per pixel and per line, and how far the scaled sides are from a right angle, in degrees.

    Both sides of a square are `grid_mm` long: two linear equations for the squares of the two scales.
    """
    sides = np.linalg.inv(waves).T
    squared = np.linalg.solve(sides**2, np.full(2, grid_mm**2))
    if squared.min() <= 0:
        return np.full(2, np.nan), 90.0
    scale = np.sqrt(squared)
    one, other = sides * scale
    return scale, float(np.degrees(np.arcsin(np.clip(abs(one @ other) / grid_mm**2, 0, 1))))
