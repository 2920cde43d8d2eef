"""Which pictures show the same piece of surface: exact copies, near copies, and overlapping views.

Overlapping views are found by phase correlation of high-passed pictures (Kuglin and Hines, 1975): the peak proposes a
shift, and the shift counts when the two pictures correlate well over the area they would share. Pictures of one series
are compared with those at most `reach` places away in natural order, folder by folder, because cameras number what they
see; `train` and `validation` are one series, so a view is found on either side.

A surface may be photographed again much later. Those distant views are looked for in pictures of half the size, among
`FAR_REACH` places, and count when the peak stands out as well: chance has many more pairs to choose from.

What is not found: views under two labels or of two sizes, which are compared only byte by byte.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt
from scipy import fft  # type: ignore[import-untyped]
from scipy.sparse import coo_array  # type: ignore[import-untyped]
from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

from inspector.frame import Pixels
from training.data.dataset import Picture, natural_key

REACH = 10
MIN_OVERLAP_PX = 40
MIN_CORRELATION = 0.8
NEAR_COPY_BITS = 4
FAR_REACH = 1000
FAR_PEAK = 9.0
"""Least height of a distant pair's peak, in standard deviations of the surface that it stands on."""


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


def overlapping_pairs(
    pictures: Sequence[Picture],
    pixels: Sequence[Pixels],
    *,
    reach: int = REACH,
    on_step: Callable[[int], None] = lambda done: None,
) -> list[tuple[int, int]]:
    """Return index pairs of pictures that show a common piece of surface; copies are among them.

    Args:
        pictures: Whose labels and names say what is compared with what.
        pixels: Theirs, grey.
        reach: How many places apart in one label's natural order two pictures may be.
        on_step: Called with the count of pictures done.
    """
    pairs: set[tuple[int, int]] = set()
    by_hash: dict[str, int] = {}
    for index, picture in enumerate(pictures):
        first = by_hash.setdefault(picture.sha256, index)
        if first != index:
            pairs.add((first, index))
    done = 0
    for members in _series(pictures, pixels).values():
        hashes = [perceptual_hash(pixels[index]) for index in members]
        window: list[tuple[int, _Floats, npt.NDArray[np.complex64]]] = []
        for place, index in enumerate(members):
            for earlier in range(max(0, place - 200), place):
                if (hashes[earlier] ^ hashes[place]).bit_count() <= NEAR_COPY_BITS and _same(
                    pixels[members[earlier]], pixels[index]
                ):
                    pairs.add((members[earlier], index))
            passed = high_pass(pixels[index])
            if min(passed.shape) >= MIN_OVERLAP_PX:
                spectrum = np.asarray(fft.rfft2(passed), np.complex64)
                for other, its_pixels, its_spectrum in window:
                    if overlap(passed, its_pixels, (spectrum, its_spectrum)) > MIN_CORRELATION:
                        pairs.add((other, index))
                window = [*window, (index, passed, spectrum)][-reach:]
            done += 1
            on_step(done)
    return sorted(pairs)


def distant_pairs(
    pictures: Sequence[Picture],
    pixels: Sequence[Pixels],
    *,
    reach: int = REACH,
    on_step: Callable[[int], None] = lambda done: None,
) -> list[tuple[int, int]]:
    """Return index pairs of one label and size, more than `reach` places apart, that show a common piece of surface.

    Args:
        pictures: Whose labels and names say what is compared with what.
        pixels: Theirs, grey.
        reach: Up to where `overlapping_pairs` has looked.
        on_step: Called with the count of pictures done.
    """
    pairs: list[tuple[int, int]] = []
    done = 0
    for members in _series(pictures, pixels).values():
        height, width = (side // 2 for side in pixels[members[0]].shape)
        passed = [high_pass(pixels[index]) for index in members]
        spectra = np.empty((len(members), height, width // 2 + 1), np.complex64)
        for place, picture in enumerate(passed):
            if 2 * min(height, width) >= MIN_OVERLAP_PX:
                half = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
                spectrum = np.asarray(fft.rfft2(half), np.complex64)
                spectra[place] = spectrum / (np.abs(spectrum) + 1e-9)
                first = max(0, place - FAR_REACH)
                found = _far(passed, spectra, place, range(first, place - reach), (height, width))
                pairs += [(members[other], members[place]) for other in found]
            done += 1
            on_step(done)
    return sorted(pairs)


def _far(
    passed: Sequence[_Floats],
    spectra: npt.NDArray[np.complex64],
    place: int,
    others: range,
    shape: tuple[int, int],
) -> list[int]:
    if not others:
        return []
    surfaces = fft.irfft2(spectra[place] * np.conj(spectra[others.start : others.stop]), s=shape, axes=(1, 2))
    flat = surfaces.reshape(len(others), -1)
    peaks = flat.argmax(axis=1)
    heights = flat[np.arange(len(others)), peaks] / flat.std(axis=1)
    found = []
    for number in np.flatnonzero(heights > FAR_PEAK):
        y, x = (2 * int(value) for value in divmod(int(peaks[number]), shape[1]))
        shifts = [
            (y + dy - top, x + dx - left)
            for dy in (-1, 0, 1, 2) for dx in (-1, 0, 1, 2)  # the peak is known to two pixels
            for top in (0, 2 * shape[0]) for left in (0, 2 * shape[1])
        ]  # fmt: skip
        other = others[int(number)]
        if max(correlation_at(passed[place], passed[other], *shift) for shift in shifts) > MIN_CORRELATION:
            found.append(other)
    return found


def _series(pictures: Sequence[Picture], pixels: Sequence[Pixels]) -> dict[tuple[str, tuple[int, ...]], list[int]]:
    """Return the pictures of each label and size in natural order."""
    series: dict[tuple[str, tuple[int, ...]], list[int]] = defaultdict(list)
    for index in sorted(range(len(pictures)), key=lambda index: _place(pictures[index])):
        series[pictures[index].label, pixels[index].shape].append(index)
    return series


def _place(picture: Picture) -> tuple[list[tuple[int, str]], ...]:
    return natural_key(picture.folder), natural_key(picture.name), natural_key(picture.path)


def _same(first: Pixels, second: Pixels) -> bool:
    # Plain surfaces have near-equal hashes and brightness without being copies: their grain must agree as well.
    return correlation_at(high_pass(first), high_pass(second), 0, 0) > MIN_CORRELATION


def group_names(pictures: Sequence[Picture], pairs: Sequence[tuple[int, int]]) -> list[str]:
    """Return one group name a picture: the connected sets of overlapping views, named after their first picture.

    Where two pictures have one name, in two folders, a group is named after the first one's path.
    """
    count = len(pictures)
    rows, columns = ([], []) if not pairs else zip(*pairs, strict=True)
    graph = coo_array((np.ones(len(pairs)), (rows, columns)), shape=(count, count))
    _, component = connected_components(graph, directed=False)
    uses = Counter(picture.name for picture in pictures)
    first: dict[int, str] = {}
    for index, number in enumerate(component):
        picture = pictures[index]
        first.setdefault(int(number), picture.name if uses[picture.name] == 1 else picture.path)
    return [first[int(number)] for number in component]
