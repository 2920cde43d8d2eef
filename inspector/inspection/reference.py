"""How far a tile is from the good surface of the site, place by place. Pure arithmetic in float64.

A teach-in leaves a *reference*: for each of the network's maps where the places of good tiles lie, as one Gaussian that
all places share (mean and whitening), which makes the distance of a place a Mahalanobis distance (Defard et al.,
"PaDiM", ICPR 2021, with one Gaussian for all places: a strip looks alike wherever a tile is cut). A place is as far as
the map that sees it farthest says, and a tile is as far as its farthest place: a defect fills few of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DISTANCE_DECIMALS = 4
"""Of a tile's distance: the one that is compared is the one that a message shows."""
SHORT_DIGITS = 12
"""Hex digits of a reference's hash in messages."""
_ON_ONE_THREAD = 4 * 256 * 256
"""The largest product that OpenBLAS does without its threads (interface/gemm.c)."""

_Floats = npt.NDArray[np.float64]
Maps = Mapping[str, npt.NDArray[np.int8]]
"""(N, h, w, D) by role, in steps of their quantization."""


@dataclass(frozen=True, slots=True, eq=False)
class PlaceSpace:
    """Where the places of good tiles lie in one of the network's maps.

    Attributes:
        role: Of the map, as the card names it.
        mean: (D,) of the places, in the map's steps.
        whitening: (D, K): places of good tiles, less their mean, times this have covariance 1.
        scale: The distance in this space that counts as 1, so that spaces can be compared.

    Raises:
        ValueError: No role, shapes that do not belong together, a value that is not finite, or a scale that is not
            above 0.
    """

    role: str
    mean: _Floats
    whitening: _Floats
    scale: float

    def __post_init__(self) -> None:
        mean, whitening = self.mean.shape, self.whitening.shape
        if not self.role:
            raise ValueError("a space needs the role of its map")
        if len(mean) != 1 or len(whitening) != 2 or 0 in mean + whitening or mean[0] != whitening[0]:
            raise ValueError(f"mean (D,) and whitening (D, K) are expected: {mean} and {whitening}")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.whitening).all()):
            raise ValueError("mean and whitening must be finite")
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"scale must be finite and above 0: {self.scale}")

    @property
    def depth(self) -> int:
        """D."""
        return len(self.mean)

    def __call__(self, values: npt.NDArray[np.int8]) -> _Floats:
        """Return the (N, h, w) scaled distances of the places of a (N, h, w, D) map.

        Raises:
            ValueError: The map has another depth.
        """
        if values.ndim != 4 or values.shape[3] != self.depth:
            raise ValueError(f"{self.role}: a map (N, h, w, {self.depth}) is expected: {values.shape}")
        count, rows, columns, depth = values.shape
        places = rows * columns if rows * columns * self.whitening.size <= _ON_ONE_THREAD else columns
        pieces = values.reshape(-1, places, depth).astype(np.float64) - self.mean
        projected = np.matmul(pieces, self.whitening)
        lengths = np.sqrt(np.einsum("npk,npk->np", projected, projected))
        return np.asarray(lengths.reshape(count, rows, columns) / self.scale, np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class SiteReference:
    """What a teach-in leaves: the good surface of a site, and from which distance on a tile is not like it.

    Attributes:
        sha256: Of the file that holds it; 64 hex digits.
        spaces: One for each map that counts.
        defect_threshold: Beyond this distance a tile is a defect if the bundle says so.
        unclassified_threshold: Beyond this distance a tile that is no defect is unclassified. Where it is the smaller
            of the two, what the bundle calls a defect between them is recorded without alarm, not passed over.

    Raises:
        ValueError: A hash that is none, no space or two of one map, or thresholds that are not finite or below 0.
    """

    sha256: str
    spaces: tuple[PlaceSpace, ...]
    defect_threshold: float
    unclassified_threshold: float

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"sha256 must be 64 hex digits: {self.sha256!r}")
        if not self.spaces or len(self.roles) != len(self.spaces):
            raise ValueError(f"one space for each of one or more maps is expected: {[s.role for s in self.spaces]}")
        thresholds = (self.defect_threshold, self.unclassified_threshold)
        if not (np.isfinite(thresholds).all() and min(thresholds) >= 0):
            raise ValueError(f"thresholds must be finite and not below 0: {thresholds}")

    @property
    def near_threshold(self) -> float:
        """A tile up to this distance is near: clean, whatever the bundle says."""
        return min(self.defect_threshold, self.unclassified_threshold)

    @property
    def short(self) -> str:
        """The hash as messages carry it."""
        return self.sha256[:SHORT_DIGITS]

    @property
    def roles(self) -> frozenset[str]:
        """Of the maps that it needs."""
        return frozenset(space.role for space in self.spaces)

    def distance_map(self, maps: Maps) -> _Floats:
        """Return the (N, h, w) distances of places, on the finest grid of the maps; coarser ones are grown to it.

        Raises:
            ValueError: A map is missing, or of another depth.
        """
        if missing := sorted(self.roles - set(maps)):
            raise ValueError(f"the reference needs the map {missing[0]!r}, there are: {sorted(maps)}")
        distances = [space(maps[space.role]) for space in self.spaces]
        rows, columns = (max(each.shape[axis] for each in distances) for axis in (1, 2))
        return np.asarray(np.max([_grown(each, rows, columns) for each in distances], axis=0), np.float64)

    def distance(self, maps: Maps) -> _Floats:
        """Return the (N,) distances of tiles, rounded: that of the farthest place.

        Raises:
            ValueError: As `distance_map`.
        """
        return np.array(tile_distances(self.distance_map(maps)), np.float64)


def tile_distances(heat: _Floats) -> list[float]:
    """Return the N rounded distances of tiles whose places have these (N, h, w) distances."""
    farthest: list[float] = heat.max(axis=(1, 2)).round(DISTANCE_DECIMALS).tolist()
    return farthest


def _grown(distances: _Floats, rows: int, columns: int) -> _Floats:
    """Return (N, h, w) distances on a grid of rows x columns: each place takes the value of the one it lies in."""
    _, own_rows, own_columns = distances.shape
    if (own_rows, own_columns) == (rows, columns):
        return distances
    row, column = np.arange(rows) * own_rows // rows, np.arange(columns) * own_columns // columns
    return np.asarray(distances[:, row[:, None], column], np.float64)
