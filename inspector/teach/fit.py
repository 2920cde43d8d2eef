"""From a lesson to a reference: a Gaussian of places for each map, and thresholds that keep to an aim.

PaDiM (Defard et al., ICPR 2021) with one Gaussian for all places of a map. The strangest tiles are dropped and the
Gaussian is fitted again: 1 % of defects in a lesson cost 25 points of recall without that. Thresholds rest on distances
that are *cross-fitted*: each tile's from the Gaussians of other coils, because its own coil knows it too well. Their
tail is exponential beyond its start, fitted by maximum likelihood with the strangest tiles censored, that is counted
and not measured (Epstein and Sobel, "Life testing", JASA 48, 1953): a generalized Pareto tail by probability-weighted
moments follows the defects that slipped into a lesson (training/LOG.md has both). float64, seeded, no thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inspector.errors import LessonError
from inspector.inspection.reference import PlaceSpace, SiteReference
from inspector.teach.aim import Aim
from inspector.teach.files import build_reference

DROPPED_SHARE = 0.05
"""Strangest tiles of a lesson that the Gaussians are not fitted to."""
RIDGE = 0.01
"""Of the mean variance, added to every variance: no direction is trusted beyond it. 0.001 and 0.1 find as much."""
TAIL_FROM = 0.80
"""Share of the lesson's tiles below the tail."""
MEASURED_TO = 1 - DROPPED_SHARE
"""Tiles of the tail beyond this share are censored."""
FOLDS = 5
LEAST_TILES, FEW_TILES, FEW_COILS = 50, 300, 6
"""Fewer tiles are refused; fewer than these are taken with a warning."""
SCALED_AT = 0.01
"""Share of good tiles beyond the distance that counts as 1 in every map, by its tail. At the 95 % quantile instead, two
maps together found no more than one of them alone (CR7, 0.5 % of clear tiles alarming: 70 instead of 73 %)."""
MANY_DEFECTS = 0.03
"""Share of a lesson's tiles that the bundle calls defects, beyond which a person is asked to look."""
COIL_FACTORS = {1: 13.0, 2: 8.0, 3: 5.3, 6: 4.0, 12: 2.6, 19: 1.2}
"""By how much more other coils alarmed than was aimed at, taught on so many coils (NEU, aim 0.1 %)."""

_Bools = npt.NDArray[np.bool_]
_Floats = npt.NDArray[np.float64]
_Maps = Mapping[str, npt.NDArray[np.int8]]


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """Tiles of good surface as the network sees them.

    Attributes:
        maps: (N, h, w, D) int8 by role.
        groups: (N,) numbers of coils, or of what stands for them.
        frames: (N,) numbers of frames.
        tiles: (N, H, W) uint8.
        defects: (N,) whether the bundle, without a reference, calls the tile a defect.
        coils_known: Whether groups are coils.
    """

    maps: _Maps
    groups: npt.NDArray[np.int32]
    frames: npt.NDArray[np.int32]
    tiles: npt.NDArray[np.uint8]
    defects: _Bools
    coils_known: bool

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def coils(self) -> int:
        """How many groups there are."""
        return len(np.unique(self.groups))

    def part(self, rows: _Bools) -> Lesson:
        """Return some of its tiles."""
        maps = {role: values[rows] for role, values in self.maps.items()}
        picked = (self.groups[rows], self.frames[rows], self.tiles[rows], self.defects[rows])
        return Lesson(maps, *picked, self.coils_known)


@dataclass(frozen=True, slots=True)
class Tail:
    """How distances of good tiles thin out.

    Attributes:
        start: Distance at which the tail begins.
        above: Share of tiles beyond it.
        mean: Mean excess of the exponential.
        measured: Tiles that it rests on.
    """

    start: float
    above: float
    mean: float
    measured: int

    def distance_at(self, share: float) -> float:
        """Return the distance beyond which this share of good tiles lies."""
        return self.start + self.mean * float(np.log(self.above / min(share, self.above)))

    def share_beyond(self, distance: float, widened: float = 1.0) -> float:
        """Return the share of good tiles beyond a distance, with a mean excess that is so many times as large."""
        return self.above * float(np.exp(-max(0.0, distance - self.start) / (self.mean * widened)))


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Sums over places of maps, of whole numbers and therefore exact: what is left out is subtracted, not summed anew.

    Attributes:
        count: Places.
        first: (D,) their sum.
        second: (D, D) the sum of their products.
    """

    count: int
    first: _Floats
    second: _Floats

    @staticmethod
    def of(values: npt.NDArray[np.int8]) -> Moments:
        """Return the moments of (N, h, w, D) maps."""
        places = values.reshape(-1, values.shape[-1]).astype(np.float64)
        return Moments(len(places), places.sum(axis=0), places.T @ places)

    def __sub__(self, other: Moments) -> Moments:
        return Moments(self.count - other.count, self.first - other.first, self.second - other.second)

    def gaussian(self, role: str) -> PlaceSpace:
        """Return the Gaussian of the places, whitened, of scale 1."""
        mean = self.first / self.count
        covariance = (self.second - self.count * np.outer(mean, mean)) / max(self.count - 1, 1)
        variances, directions = np.linalg.eigh(covariance)
        ridge = RIDGE * max(float(variances.mean()), 1e-3)
        return PlaceSpace(role, mean, directions / np.sqrt(np.maximum(variances, 0) + ridge), 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A reference and what it rests on.

    Attributes:
        reference: It.
        distances: (N,) cross-fitted distances of the lesson's tiles.
        dropped: (N,) whether a tile was too strange for the Gaussians.
        tail: Of the distances.
        defect_share: Of far tiles, how many the bundle calls a defect.
        warnings: What a person should know.
        basis: All of it as JSON values.
    """

    reference: SiteReference
    distances: _Floats
    dropped: _Bools
    tail: Tail
    defect_share: float
    warnings: tuple[str, ...]
    basis: dict[str, Any]


def fit_reference(lesson: Lesson, aim: Aim) -> Fitted:
    """Return the reference that a lesson gives.

    Raises:
        LessonError: Too few tiles.
    """
    if len(lesson) < LEAST_TILES:
        raise LessonError(f"at least {LEAST_TILES} tiles of good surface are needed: {len(lesson)}")
    sums = {role: Moments.of(values) for role, values in lesson.maps.items()}
    crossed = _cross_fitted(lesson, sums)
    scales = {role: fit_tail(values).distance_at(SCALED_AT) for role, values in crossed.items()}
    distances = np.max([values / scales[role] for role, values in crossed.items()], axis=0)
    tail = fit_tail(distances)
    far = distances > np.quantile(distances, MEASURED_TO)  # where thresholds lie: nearer, the bundle seldom alarms
    defect_share = float((lesson.defects[far].sum() + 1) / (far.sum() + 2))
    near_at = tail.distance_at(aim.tile_share / defect_share)
    strange_at = tail.distance_at(aim.unclassified_share)
    fitted = {role: fit_space(role, values, sums[role]) for role, values in lesson.maps.items()}
    spaces = tuple(
        PlaceSpace(role, space.mean, space.whitening, scales[role]) for role, (space, _) in sorted(fitted.items())
    )
    reference = build_reference(spaces, round(near_at, 4), round(strange_at, 4))
    dropped = np.any([rows for _, rows in fitted.values()], axis=0)
    basis = _basis(lesson, aim, reference, distances, dropped, tail, defect_share)
    return Fitted(reference, distances, dropped, tail, defect_share, _warnings(lesson), basis)


def fit_space(role: str, values: npt.NDArray[np.int8], known: Moments | None = None) -> tuple[PlaceSpace, _Bools]:
    """Return the Gaussian of a map's places, of scale 1, and which tiles were too strange for it.

    Args:
        role: Of the map.
        values: (N, h, w, D).
        known: The moments of these places, where they are known.
    """
    moments = known or Moments.of(values)
    space = moments.gaussian(role)
    distances = tile_distances(space, values)
    dropped = distances > np.quantile(distances, 1 - DROPPED_SHARE)
    if dropped.all() or not dropped.any():
        return space, dropped
    return (moments - Moments.of(values[dropped])).gaussian(role), dropped


def tile_distances(space: PlaceSpace, values: npt.NDArray[np.int8]) -> _Floats:
    """Return the (N,) distances of tiles in one map: that of their farthest place."""
    return np.asarray(space(values).max(axis=(1, 2)), np.float64)


def fit_tail(distances: _Floats) -> Tail:
    """Return the exponential tail of the distances, those beyond `MEASURED_TO` counted and not measured."""
    start, end = (float(value) for value in np.quantile(distances, [TAIL_FROM, MEASURED_TO]))
    excesses = np.minimum(distances[distances > start], end) - start
    measured = int((distances[distances > start] <= end).sum())
    mean = max(float(excesses.sum()) / max(measured, 1), 1e-6)
    return Tail(start, float((distances > start).mean()) or 1 / len(distances), mean, measured)


def _cross_fitted(lesson: Lesson, sums: Mapping[str, Moments]) -> dict[str, _Floats]:
    """Return the distances of tiles by role, each from the Gaussian of the folds that it is not in."""
    folds = assign_folds(lesson, FOLDS)
    crossed = {role: np.zeros(len(lesson)) for role in lesson.maps}
    for fold in np.unique(folds):
        held = folds == fold
        for role, values in lesson.maps.items():
            space, _ = fit_space(role, values[~held], sums[role] - Moments.of(values[held]))
            crossed[role][held] = tile_distances(space, values[held])
    return crossed


def assign_folds(lesson: Lesson, count: int) -> npt.NDArray[np.intp]:
    """Return a fold for each tile: coils whole, the largest first to the smallest fold; of one coil, frames whole."""
    units = lesson.groups if lesson.coils > 1 else lesson.frames
    names, rows, sizes = np.unique(units, return_inverse=True, return_counts=True)
    if len(names) < 2:  # of one frame: parts of it
        return np.arange(len(lesson)) * count // len(lesson)
    fold_of, held = np.zeros(len(names), np.intp), np.zeros(min(count, len(names)), np.intp)
    for name in np.argsort(-sizes, kind="stable"):
        fold_of[name] = int(held.argmin())
        held[fold_of[name]] += sizes[name]
    return fold_of[rows.ravel()]


def _warnings(lesson: Lesson) -> tuple[str, ...]:
    found = []
    if (share := float(lesson.defects.mean())) > MANY_DEFECTS:
        found.append(
            f"the bundle calls {share:.1%} of these tiles defects: look whether some of the strangest are, and strike"
            " them out: defects in a lesson hide their like"
        )
    if len(lesson) < FEW_TILES:
        found.append(f"{len(lesson)} tiles are few, {FEW_TILES} and more are advised: the bounds are wide")
    if not lesson.coils_known:
        found.append("the coils are unknown: other coils may alarm several times as often as this surface says")
    elif lesson.coils < FEW_COILS:
        found.append(f"{lesson.coils} coil(s) are few, at least {FEW_COILS} are advised: coils matter more than tiles")
    return tuple(found)


def poisson_bound(seen: int) -> float:
    """Return the number of events that is exceeded in expectation with 5 % chance only, where so many were seen.

    Wilson and Hilferty's approximation of the chi-squared quantile; none seen gives 3 (the rule of three).
    """
    shape = seen + 1
    return float(shape * (1 - 1 / (9 * shape) + 1.645 / (3 * np.sqrt(shape))) ** 3) if seen else 3.0


def _basis(
    lesson: Lesson, aim: Aim, reference: SiteReference, distances: _Floats, dropped: _Bools, tail: Tail,
    defect_share: float,
) -> dict[str, Any]:  # fmt: skip
    """Return what stands behind a reference, as JSON values."""
    threshold = reference.defect_threshold
    far = distances > threshold
    strange = ~(far & lesson.defects) & (distances > reference.unclassified_threshold)
    seen, share = int((far & lesson.defects).sum()), tail.share_beyond(threshold) * defect_share
    coils = lesson.coils if lesson.coils_known else 1
    factor = float(np.interp(coils, list(COIL_FACTORS), list(COIL_FACTORS.values())))
    widened = 1 + 1.645 / np.sqrt(max(tail.measured, 1))
    worst = min(1.0, tail.share_beyond(threshold, widened) * defect_share * factor)
    return {
        "tiles": len(lesson),
        "coils": lesson.coils if lesson.coils_known else None,
        "groups": lesson.coils,
        "frames": len(np.unique(lesson.frames)),
        "dropped": int(dropped.sum()),
        "bundle_defect_share": round(float(lesson.defects.mean()), 6),
        "bundle_defect_share_of_far": round(defect_share, 4),
        "tail": {"start": round(tail.start, 4), "mean_excess": round(tail.mean, 4), "measured": tail.measured},
        "expected_false_calls": round(aim.calls_at(share), 4),
        "at_most_false_calls": round(aim.calls_at(worst), 4),
        "proven": {
            "share_of_aim_unit": round(len(lesson) / aim.tiles, 6),
            "false_calls_seen": seen,
            "false_calls_at_most": round(poisson_bound(seen) / (len(lesson) / aim.tiles), 3),
            "needed_for_aim": round(3 / aim.false_calls, 3) if aim.false_calls else None,
        },
        "unclassified_share_of_lesson": round(float(strange.mean()), 6),
    }  # fmt: skip
