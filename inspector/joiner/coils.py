"""Coils of the whole width: which stations saw how much of them, and what of the surface no station saw; pure.

Surface is counted as metres by width: a station that was away is a gap of its width, unless another saw the same place.
A station counts as having seen a coil only if it has said so itself: that the coil ran there, and that it ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from pydantic import BaseModel

from inspector.joiner.settings import JoinerSettings, StationPlace

AWAY = "station_away"
"""Cause of a gap of a station that has not ended a coil that others have."""
NO_CAMERA = "no_camera"
"""Cause of a gap where no station looks."""
KEPT_COILS = 8
"""Coils that late messages still change."""
MAX_GAPS = 2000
Span = tuple[float, float]


class StationGap(BaseModel):
    """What one station did not inspect.

    Attributes:
        from_m, to_m: From the coil's head; None: not known, frames only.
        cause: A word of the coverage causes.
        frames: That are missing; 0: not known.
    """

    from_m: float | None
    to_m: float | None
    cause: str
    frames: int = 0


class StationShare(BaseModel):
    """What one station said of a coil.

    Attributes:
        last_m: The furthest place that it spoke of.
        length_m: The coil's length, as it measured it; None: it did not say.
        gaps: What it did not inspect.
        gaps_beyond: How many more there were than are listed.
        ended: Whether it said that the coil has ended there.
        assessed: Whether the station assessed it; None: it has not said so.
        bundle, config, reference: What inspected it.
    """

    last_m: float | None = None
    length_m: float | None = None
    gaps: tuple[StationGap, ...] = ()
    gaps_beyond: int = 0
    ended: bool = False
    assessed: bool | None = None
    bundle: str | None = None
    config: str | None = None
    reference: str | None = None


class JoinedCoil(BaseModel):
    """A coil as its stations tell of it.

    Attributes:
        coil_id: As the plant calls it.
        began_ms: When the first station named it, ms since 1970.
        ended_ms: When the last one ended it.
        shares: What each station said, by its number.
        due_ms: When it is closed, ms since 1970; None: no station has ended it, or it is.
        closed: Whether it was; what comes later closes it again.
        facts: What the plant said of it.
    """

    coil_id: str
    began_ms: int
    ended_ms: int | None = None
    shares: dict[int, StationShare] = {}
    due_ms: int | None = None
    closed: bool = False
    facts: dict[str, Any] = {}

    @property
    def length_m(self) -> float | None:
        """Its length by the station that saw most of it; None: no station has positions."""
        said = [share.length_m for share in self.shares.values() if share.length_m is not None]
        seen = [share.last_m for share in self.shares.values() if share.last_m is not None]
        return max([*said, *seen], default=None)

    def gaps_of(self, number: int) -> tuple[StationGap, ...]:
        """Return what a station did not inspect, up to the end if it has not ended the coil."""
        share, length_m = self.shares.get(number, StationShare()), self.length_m
        if share.ended:
            return share.gaps
        from_m = None if length_m is None else min(share.last_m or 0.0, length_m)
        return (*share.gaps, StationGap(from_m=from_m, to_m=length_m, cause=AWAY))


class Surface(BaseModel):
    """How much of a coil's surface was seen.

    Attributes:
        coverage: Share of both sides' surface, 0 to 1; None: the length is not known, or a gap has no metres.
        gaps: What no station saw: station, or None where none looks; side, from and to in mm, and the gap.
    """

    coverage: float | None
    gaps: tuple[tuple[str | None, str, float, float, StationGap], ...]


def surface_of(coil: JoinedCoil, settings: JoinerSettings) -> Surface:
    """Return how much of a coil was seen: each stretch of width by all the stations that look at it."""
    length_m, vague, missed, whole = coil.length_m, False, 0.0, 0.0
    gaps: list[tuple[str | None, str, float, float, StationGap]] = []
    for number, place in enumerate(settings.station):
        for gap in coil.gaps_of(number):
            gaps.append((place.root, place.side, *place.edges, gap))
            vague |= gap.from_m is None or gap.to_m is None
        vague |= bool(coil.shares.get(number, StationShare()).gaps_beyond)
    for side, low, high in settings.uncovered():
        gaps.append((None, side, low, high, StationGap(from_m=0.0, to_m=length_m, cause=NO_CAMERA)))
    for side in settings.sides:
        stations = [(number, one) for number, one in enumerate(settings.station) if one.side == side]
        for low, high in _slices(settings.edges, [one for _, one in stations]):
            lookers = [number for number, one in stations if one.edges[0] <= low and high <= one.edges[1]]
            whole += (high - low) * (length_m or 0.0)
            missed += (high - low) * _missed_m(coil, lookers, length_m or 0.0)
    known = length_m and not vague
    return Surface(coverage=1 - missed / whole if known and whole else None, gaps=tuple(gaps))


def _slices(edges: Span, stations: Sequence[StationPlace]) -> list[Span]:
    """Return the widths between which the same stations look."""
    cuts = sorted({*edges, *(min(max(cut, edges[0]), edges[1]) for one in stations for cut in one.edges)})
    return list(pairwise(cuts))


def _missed_m(coil: JoinedCoil, lookers: Iterable[int], length_m: float) -> float:
    """Return how many metres none of these stations saw: where all of them have a gap."""
    missed: list[Span] = [(0.0, length_m)]
    for number in lookers:
        spans = sorted(
            (max(0.0, gap.from_m), min(length_m, gap.to_m))
            for gap in coil.gaps_of(number)
            if gap.from_m is not None and gap.to_m is not None
        )
        missed = [
            (max(one[0], other[0]), min(one[1], other[1]))
            for one in missed
            for other in _united(spans)
            if max(one[0], other[0]) < min(one[1], other[1])
        ]
    return sum(end - begin for begin, end in missed)


def _united(spans: Iterable[Span]) -> list[Span]:
    found: list[Span] = []
    for begin, end in spans:
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((begin, end))
    return found


def not_assessed(coil: JoinedCoil, surface: Surface, settings: JoinerSettings) -> str | None:
    """Return why a coil is not assessed, or None if it is."""
    for number, place in enumerate(settings.station):
        share = coil.shares.get(number, StationShare())
        if not share.ended:
            return f"{place.root} was away at its end"
        if share.assessed is not True:
            word = "has not assessed it" if share.assessed is False else "has not said whether it assessed it"
            return f"{place.root} {word}"
    if surface.coverage is None:
        return "it is not known how much of its surface was inspected"
    if surface.coverage < settings.strip.min_coverage:
        return f"{surface.coverage:.1%} of its surface was inspected, {settings.strip.min_coverage:.1%} are asked for"
    return None


def with_share(coil: JoinedCoil, number: int, **changes: Any) -> JoinedCoil:
    """Return a coil with what a station said of it."""
    share = coil.shares.get(number, StationShare()).model_copy(update=changes)
    return coil.model_copy(update={"shares": {**coil.shares, number: share}})


def with_gap(coil: JoinedCoil, number: int, gap: StationGap) -> JoinedCoil:
    """Return a coil with one more gap of a station."""
    share = coil.shares.get(number, StationShare())
    if len(share.gaps) >= MAX_GAPS:
        return with_share(coil, number, gaps_beyond=share.gaps_beyond + 1)
    return with_share(coil, number, gaps=(*share.gaps, gap))


def moment_ms(text: str) -> int:
    """Return a moment of a message in ms since 1970."""
    return int(datetime.fromisoformat(text).timestamp() * 1000)
