"""Whether pictures and findings are still those of the accepted state; pure.

What is compared: brightness, sharpness and noise of whole frames, how strongly tiles look like a defect, how large
defects are, and how many there are. Each has a bound; what left it is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log10
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from inspector.acceptance.statistics import (
    kolmogorov_smirnov,
    noise_of,
    same_rate,
    sharpness_of,
    stability_index,
)
from inspector.inspection.one_frame import Inspection
from inspector.labels import CLEAN

SCHEMA = "inspector/stability/1"
BINS = 10
MIN_FRAMES, MIN_TILES, MIN_SIZES = 5, 200, 20
"""Fewer are not judged."""
KEPT_SIZES = 2000
RATE_CHANCE = 0.001
"""Two rates that are less likely equal than this are not."""
_SPREADS = 3.0
"""Bounds are at least so many robust standard deviations of the accepted frames wide."""
_NARROWEST = {"brightness": 6.0, "sharpness": 0.15, "noise": 0.15}
"""Narrowest bound: grey levels; tenths of a factor ten (0.15: 40 %)."""


class Spread(BaseModel):
    """A figure over frames: its middle, and how far frames lie around it (1.4826 times the median deviation)."""

    model_config = ConfigDict(frozen=True)

    median: float
    sigma: float


class Accepted(BaseModel):
    """A state as it was recorded.

    Attributes:
        schema_: Version.
        recorded_at: When.
        bundle, reference: What inspected it; another bundle's figures cannot be compared.
        measure: What tile strengths are: `score`, or `distance` from the reference.
        frames: How many.
        figures: Brightness, sharpness and noise.
        edges: Of the bins of tile strengths: each has a tenth of the recorded tiles.
        tiles: How many tiles.
        shares: What each bin had.
        sizes_mm: Longer sides of defects, mm or, without a scale, px.
        defects, exposure, unit: How many there were, on how much: `m` of strip or `h` of inspection.
    """

    schema_: str = SCHEMA
    recorded_at: str
    bundle: str
    reference: str | None
    measure: str
    frames: int
    figures: dict[str, Spread]
    edges: tuple[float, ...]
    tiles: int
    shares: tuple[float, ...]
    sizes_mm: tuple[float, ...]
    defects: int
    exposure: float
    unit: str


class Seen:
    """What frames show, added one by one."""

    def __init__(self, taught: bool) -> None:
        self.measure = "distance" if taught else "score"
        self._frames: list[tuple[float, float, float]] = []
        self.strengths: list[float] = []

    @property
    def count(self) -> int:
        """How many frames."""
        return len(self._frames)

    def add(self, grey: npt.NDArray[np.uint8], inspection: Inspection) -> None:
        """Add a frame: its grey pixels, and what was found in it."""
        self._frames.append(
            (float(grey.mean()), log10(max(1e-3, sharpness_of(grey))), log10(max(1e-3, noise_of(grey))))
        )
        for one in inspection.verdicts:
            if self.measure == "distance":
                self.strengths.append(one.distance or 0.0)
            else:
                self.strengths.append(one.runner_up_score if one.top == CLEAN else one.score)

    def figures(self) -> dict[str, Spread]:
        """Return the figures over all frames."""
        rows = np.asarray(self._frames)
        medians = np.median(rows, axis=0)
        sigmas = 1.4826 * np.median(np.abs(rows - medians), axis=0)
        return {
            name: Spread(median=float(middle), sigma=float(sigma))
            for name, middle, sigma in zip(_NARROWEST, medians, sigmas, strict=True)
        }


def bin_edges(strengths: Sequence[float]) -> tuple[float, ...]:
    """Return inner edges between which each bin has the same share, as far as values differ."""
    return tuple(sorted({float(edge) for edge in np.quantile(strengths, np.linspace(0, 1, BINS + 1)[1:-1])}))


def shares_of(strengths: Sequence[float], edges: Sequence[float]) -> tuple[float, ...]:
    """Return the share of each bin."""
    places = np.searchsorted(np.asarray(edges), np.asarray(strengths), side="left")
    return tuple(np.bincount(places, minlength=len(edges) + 1) / max(1, len(strengths)))


class Figure(BaseModel):
    """One comparison.

    Attributes:
        name: What is compared.
        accepted, now: Its values then and now.
        low, high: Bounds of `now`; None: none on that side.
        good: Whether it is within; None: too little to judge.
        says: What it is, with its unit.
    """

    name: str
    accepted: float | None
    now: float | None
    low: float | None
    high: float | None
    good: bool | None
    says: str


def compare_frames(accepted: Accepted, seen: Seen) -> list[Figure]:
    """Return the comparisons of pictures and tiles."""
    says = {"brightness": "mean grey level", "sharpness": "log10 of the Laplacian's variance",
            "noise": "log10 of the noise in grey levels"}  # fmt: skip
    found = []
    now = seen.figures() if seen.count >= MIN_FRAMES else {}
    for name, before in accepted.figures.items():
        half = max(_NARROWEST[name], _SPREADS * before.sigma)
        low, high = before.median - half, before.median + half
        value = now[name].median if name in now else None
        what = says[name] if value is not None else f"fewer than {MIN_FRAMES} frames: not judged"
        found.append(_figure(name, before.median, value, low, high, what))
    judged = min(len(seen.strengths), accepted.tiles) >= MIN_TILES
    index = stability_index(accepted.shares, shares_of(seen.strengths, accepted.edges)) if judged else None
    what = f"stability index of the tiles' {accepted.measure}" if judged else f"under {MIN_TILES} tiles: not judged"
    found.append(_figure("tile_scores", 0.0, index, None, 0.25, what))
    return found


def compare_findings(accepted: Accepted, sizes: Sequence[float], defects: int, exposure: float) -> list[Figure]:
    """Return the comparisons of what was found: sizes, and how often.

    Args:
        accepted: The recorded state.
        sizes: Longer sides, in the unit of the recorded ones.
        defects: How many there were ...
        exposure: ... on how much, in the unit of the recorded state.
    """
    found = []
    if min(len(sizes), len(accepted.sizes_mm)) >= MIN_SIZES:
        away, bound = kolmogorov_smirnov(accepted.sizes_mm, sizes)
        found.append(_figure("sizes", 0.0, away, None, bound, "largest distance of the distributions of sizes"))
    else:
        found.append(_figure("sizes", 0.0, None, None, None, f"fewer than {MIN_SIZES} defects: not judged"))
    if accepted.exposure <= 0 or exposure <= 0:
        found.append(_figure("defect_rate", None, None, None, None, "nothing was inspected: not judged"))
        return found
    before, now = accepted.defects / accepted.exposure, defects / exposure
    chance = same_rate(defects, exposure, accepted.defects, accepted.exposure)
    figure = _figure("defect_rate", before, now, None, None, f"defects per {accepted.unit}; chance of it: {chance:.2g}")
    found.append(figure.model_copy(update={"good": chance >= RATE_CHANCE}))
    return found


def _figure(
    name: str, before: float | None, now: float | None, low: float | None, high: float | None, says: str
) -> Figure:
    good = None if now is None else (low is None or low <= now) and (high is None or now <= high)
    return Figure(name=name, accepted=before, now=now, low=low, high=high, good=good, says=says)


def as_table(figures: Sequence[Figure]) -> list[str]:
    """Return lines of text."""
    lines = [f"{'figure':<12}  {'accepted':>9}  {'now':>9}  {'from':>9}  {'to':>9}  {'':<7}  what"]
    for one in figures:
        cells = [_cell(value) for value in (one.accepted, one.now, one.low, one.high)]
        word = {True: "ok", False: "LEFT", None: "–"}[one.good]
        lines.append(f"{one.name:<12}  {'  '.join(f'{cell:>9}' for cell in cells)}  {word:<7}  {one.says}")
    return lines


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def as_dict(figures: Sequence[Figure]) -> dict[str, Any]:
    """Return the comparisons by name."""
    return {one.name: one.model_dump(exclude={"name"}) for one in figures}
