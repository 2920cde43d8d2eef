"""Whether two pictures show the same piece of surface: exact copies, near copies, and overlapping views.

Overlapping views are found by phase correlation of high-passed pictures (Kuglin and Hines, 1975): the peak proposes a
shift, and the shift counts when the two pictures correlate well over the area they would share. Pictures of one series
are compared with those at most `Reach.near` places away in natural order, folder by folder, because cameras number what
they see; `train` and `validation` are one series, so a view is found on either side.

A surface may be photographed again much later. Those distant views are looked for in pictures of half the size, among
`Reach.far` places, and count when the peak stands out as well: chance has many more pairs to choose from.

Which pictures are a series, and how a long one is cut, is in `blocks`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy import fft  # type: ignore[import-untyped]

from inspector.frame import Pixels

MIN_OVERLAP_PX = 40
MIN_CORRELATION = 0.8
FAR_PEAK = 9.0
"""Least height of a distant pair's peak, in standard deviations of the surface that it stands on."""
AT_ONCE_PX = 160_000
"""Surfaces computed at once: they stay in the processor's cache, which halves the time."""

_Floats = npt.NDArray[np.float32]


def high_pass(pixels: Pixels, sigma_px: float = 8.0) -> _Floats:
    """Return the picture less its slow brightness, zero mean, float32."""
    floats = pixels.astype(np.float32)
    return np.asarray(floats - cv2.GaussianBlur(floats, (0, 0), sigma_px), np.float32)


def perceptual_hash(pixels: Pixels) -> int:
    """Return 64 bits: which of the low DCT coefficients of the 32 px thumbnail exceed their median."""
    small = cv2.resize(pixels, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:8, :8].ravel()
    bits = low > np.median(low[1:])
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def correlation_at(first: _Floats, second: _Floats, dy: int, dx: int) -> float:
    """Return the correlation of two pictures over the area they share when `second` is moved by (dy, dx)."""
    height, width = first.shape
    a = first[max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)]
    b = second[max(0, -dy) : height + min(0, -dy), max(0, -dx) : width + min(0, -dx)]
    if min(*a.shape, *b.shape) < MIN_OVERLAP_PX:  # a shift by more than a side leaves one of them empty
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    power = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / power) if power else 0.0


def overlap(first: _Floats, second: _Floats, spectra: tuple[npt.NDArray[np.complex64], ...]) -> float:
    """Return the best correlation over the shifts that phase correlation proposes."""
    height, width = first.shape
    cross = spectra[0] * np.conj(spectra[1])
    surface = fft.irfft2(cross / (np.abs(cross) + 1e-9), s=(height, width))
    best = 0.0
    for peak in np.argpartition(surface.ravel(), -3)[-3:]:
        y, x = divmod(int(peak), width)
        # The transform is circular: each peak stands for four shifts.
        shifts = [(y - top, x - left) for top in (0, height) for left in (0, width)]
        best = max(best, *(correlation_at(first, second, dy, dx) for dy, dx in shifts))
    return best


@dataclass(frozen=True, slots=True)
class Reach:
    """How far apart in a series two pictures may be.

    Attributes:
        near: Places within which views are looked for in full size.
        far: Places within which they are looked for in half size.
        block: Pictures that are one task.
    """

    near: int = 10
    far: int = 1000
    block: int = 1000


REACH = Reach()


@dataclass(frozen=True, slots=True)
class Looked:
    """What one stretch of a series shows.

    Attributes:
        near: Pairs of places that show a common piece of surface, at most `Reach.near` apart.
        far: Pairs of places farther apart that do.
        hashes: The perceptual hash of each picture behind the halo.
    """

    near: tuple[tuple[int, int], ...]
    far: tuple[tuple[int, int], ...]
    hashes: tuple[int, ...]


def look(pixels: Iterable[Pixels], halo: int = 0, reach: Reach = REACH) -> Looked:
    """Compare each picture with those before it in its series, up to `reach.far` places.

    Held are the pixels of so many pictures and the half-size spectra of twice as many, however long the series is.

    Args:
        pixels: Grey, of one label and size, in natural order.
        halo: How many of the first are only compared with; their own pairs were found with the stretch before.
        reach: How many places apart views are looked for.
    """
    near: list[tuple[int, int]] = []
    far: list[tuple[int, int]] = []
    hashes: list[int] = []
    window: list[tuple[int, _Floats, npt.NDArray[np.complex64]]] = []
    earlier: deque[Pixels] = deque(maxlen=reach.far)
    ring = _Spectra(reach.far)
    for place, picture in enumerate(pixels):
        passed = high_pass(picture)
        if min(passed.shape) >= MIN_OVERLAP_PX:
            if place >= halo - reach.near:
                spectrum = np.asarray(fft.rfft2(passed), np.complex64)
                for other, its_pixels, its_spectrum in window if place >= halo else ():
                    if overlap(passed, its_pixels, (spectrum, its_spectrum)) > MIN_CORRELATION:
                        near.append((other, place))
                window = [*window, (place, passed, spectrum)][-reach.near :]
            half = ring.add(passed)
            if place >= halo:
                first = max(0, place - reach.far)
                others = range(first, max(first, place - reach.near))
                kept = place - len(earlier)
                far += [
                    (other, place)
                    for other, shift in _peaks(half, ring.of(others, place), others, ring.shape)
                    if _agrees(passed, high_pass(earlier[other - kept]), shift, ring.shape)
                ]
        if place >= halo:
            hashes.append(perceptual_hash(picture))
        earlier.append(picture)
    return Looked(tuple(near), tuple(far), tuple(hashes))


class _Spectra:
    """Normalised spectra, at half size, of the newest pictures of a series: twice `far` places in one array."""

    def __init__(self, far: int) -> None:
        self._far = far
        self.shape = (0, 0)
        self._rows = np.empty((0, 0, 0), np.complex64)
        self._used = 0

    def add(self, passed: _Floats) -> npt.NDArray[np.complex64]:
        """Return the spectrum of the next picture, and keep it."""
        if not self._rows.size:
            height, width = self.shape = passed.shape[0] // 2, passed.shape[1] // 2
            self._rows = np.empty((2 * self._far, height, width // 2 + 1), np.complex64)
        if self._used == len(self._rows):
            self._rows[: self._far] = self._rows[-self._far :]
            self._used = self._far
        half = cv2.resize(passed, self.shape[::-1], interpolation=cv2.INTER_AREA)
        spectrum = np.asarray(fft.rfft2(half), np.complex64)
        normalised: npt.NDArray[np.complex64] = spectrum / (np.abs(spectrum) + 1e-9)
        self._rows[self._used] = normalised
        self._used += 1
        return normalised

    def of(self, places: range, newest: int) -> npt.NDArray[np.complex64]:
        """Return those of some places, where the newest kept is that of place `newest`."""
        start = self._used - 1 - newest
        return self._rows[places.start + start : places.stop + start]


def _peaks(
    spectrum: npt.NDArray[np.complex64],
    spectra: npt.NDArray[np.complex64],
    others: range,
    shape: tuple[int, int],
) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield the pictures whose surface has a peak that stands out, and the shift in full pixels that it proposes."""
    at_once = max(1, AT_ONCE_PX // (shape[0] * shape[1]))
    for start in range(0, len(others), at_once):
        some = spectra[start : start + at_once]
        surfaces = fft.irfft2(spectrum * np.conj(some), s=shape, axes=(1, 2))
        flat = surfaces.reshape(len(some), -1)
        peaks = flat.argmax(axis=1)
        heights = flat[np.arange(len(some)), peaks] / flat.std(axis=1)
        for number in np.flatnonzero(heights > FAR_PEAK):
            y, x = divmod(int(peaks[number]), shape[1])
            yield others[start + int(number)], (2 * y, 2 * x)


def _agrees(passed: _Floats, other: _Floats, shift: tuple[int, int], shape: tuple[int, int]) -> bool:
    shifts = [
        (shift[0] + dy - top, shift[1] + dx - left)
        for dy in (-1, 0, 1, 2) for dx in (-1, 0, 1, 2)  # the peak is known to two pixels
        for top in (0, 2 * shape[0]) for left in (0, 2 * shape[1])
    ]  # fmt: skip
    return max(correlation_at(passed, other, *each) for each in shifts) > MIN_CORRELATION


def same(first: Pixels, second: Pixels) -> bool:
    """Return whether two pictures with near-equal hashes are copies: plain surfaces differ in their grain alone."""
    return correlation_at(high_pass(first), high_pass(second), 0, 0) > MIN_CORRELATION
