"""How far a tile is from everything the network was shown, in feature space. Pure arithmetic in float64.

A space is some of the features and where known tiles lie in it: places (several a label) and a whitening, which make
the distance to the nearest one a Mahalanobis distance with one covariance (Lee et al., "A simple unified framework for
detecting out-of-distribution samples", NeurIPS 2018). The space in which a tile is farthest decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

_ROWS = 4
"""4 x 256 x 256 is the largest product that OpenBLAS does without its threads (interface/gemm.c)."""


_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """Some of the features, and where known tiles lie in it.

    Attributes:
        start: First of the D features.
        means: (P, D) places of known tiles, as the features are after `unit_length`.
        whitening: (D, K).
        unit_length: Groups of these features, first and one past the last of them counted from `start`, each brought to
            Euclidean length 1: what shows, not how strongly, for contrast and light change from line to line.

    Raises:
        ValueError: Shapes that do not belong together, a group outside the space, or a value that is not finite.
    """

    start: int
    means: _Floats
    whitening: _Floats
    unit_length: tuple[tuple[int, int], ...] = ()
    _centres: _Floats = field(init=False, repr=False)
    _lengths: _Floats = field(init=False, repr=False)
    """The squares of the centres' lengths."""

    def __post_init__(self) -> None:
        means, whitening = self.means.shape, self.whitening.shape
        if len(means) != 2 or len(whitening) != 2 or 0 in means + whitening or means[1] != whitening[0]:
            raise ValueError(f"means (P, D) and whitening (D, K) are wanted: {means} and {whitening}")
        if not (np.isfinite(self.means).all() and np.isfinite(self.whitening).all()):
            raise ValueError("means and whitening must be finite")
        if strange := [group for group in self.unit_length if not 0 <= group[0] < group[1] <= self.size]:
            raise ValueError(f"unit_length must lie within {self.size} features: {strange[0]}")
        centres = _product(self.means, self.whitening)
        object.__setattr__(self, "_centres", centres)
        object.__setattr__(self, "_lengths", (centres**2).sum(axis=1))

    @property
    def size(self) -> int:
        """D."""
        return len(self.whitening)

    def __call__(self, features: _Floats) -> _Floats:
        """Return (N,) distances of (N, F) features to the nearest place."""
        rows = to_unit_length(features[:, self.start : self.start + self.size], self.unit_length)
        projected = _product(rows, self.whitening)
        shared = _product(projected, self._centres.T)
        lengths = (projected**2).sum(axis=1)[:, None] + self._lengths
        return np.asarray(np.sqrt(np.maximum(lengths - 2 * shared, 0).min(axis=1)), np.float64)


@dataclass(frozen=True, slots=True)
class FeatureDistance:
    """The largest distance over one or more spaces, which are in one unit."""

    spaces: tuple[Space, ...]

    @property
    def width(self) -> int:
        """How many features it needs."""
        return max(space.start + space.size for space in self.spaces)

    def __call__(self, features: _Floats) -> _Floats:
        """Return (N,) distances of (N, F) features."""
        return np.asarray(np.max([space(features) for space in self.spaces], axis=0), np.float64)


def to_unit_length(rows: _Floats, groups: Sequence[tuple[int, int]]) -> _Floats:
    """Return a copy of (N, D) rows, each group of columns brought to Euclidean length 1."""
    scaled = rows.astype(np.float64)
    for first, end in groups:
        group = scaled[:, first:end]
        group /= np.maximum(np.sqrt((group**2).sum(axis=1, keepdims=True)), 1e-9)
    return scaled


def _product(rows: _Floats, matrix: _Floats) -> _Floats:
    """Return `rows @ matrix`, a few rows at a time.

    A product this small stays on the calling thread; a larger one wakes BLAS threads that fight the workers for the
    cores (measured on two busy cores: 217 instead of 8 µs a tile). And as every piece has one shape, a tile's distance
    does not depend on how many tiles its frame has.
    """
    padded = np.zeros((-(-len(rows) // _ROWS) * _ROWS, rows.shape[1]))
    padded[: len(rows)] = rows
    pieces = [padded[start : start + _ROWS] @ matrix for start in range(0, len(padded), _ROWS)]
    return np.concatenate(pieces)[: len(rows)] if pieces else np.zeros((0, matrix.shape[1]))
