"""The record of one coil: how long it was, what of it was inspected, what was not and why.

It grows with the coil as a value of `track`, and is stored in the transaction of the coil's messages. However the line
behaves, its size is bounded: neighbouring gaps of one cause are one, and beyond `MAX_GAPS` they are summed by cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from inspector.items import CoilFacts, Winding

MAX_GAPS = 2000
"""Gaps that are listed one by one."""
MAX_EVENTS = 200
"""Events that are listed; later ones are counted."""
TOUCH_M = 1e-6
"""Stretches that lie less than this apart touch: a rounding of the arithmetic, no strip."""

Side = Literal["top", "bottom"]
PositionSource = Literal["lines", "speed", "rate", "encoder"]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A piece of the coil that was not inspected.

    Attributes:
        from_m, to_m: From the coil's head; None: it is not known how much strip ran meanwhile ("frames only").
        cause: Why, a word of the coverage causes.
        frames: Frames that are missing; 0: not known.
    """

    from_m: float | None
    to_m: float | None
    cause: str
    frames: int = 0

    @property
    def metres(self) -> float | None:
        """Its length, m; None: not known."""
        return None if self.from_m is None or self.to_m is None else self.to_m - self.from_m

    def joined(self, after: Stretch) -> Stretch | None:
        """Return both as one stretch if `after` goes on where this one ends, for the same cause; else None."""
        if after.cause != self.cause or (self.to_m is None) != (after.from_m is None):
            return None
        if self.to_m is not None and after.from_m is not None and abs(after.from_m - self.to_m) > TOUCH_M:
            return None
        return Stretch(self.from_m, after.to_m, self.cause, self.frames + after.frames)


@dataclass(frozen=True, slots=True)
class Rest:
    """Gaps of one cause beyond those that are listed.

    Attributes:
        cause: Why.
        gaps: How many they are.
        metres: Their length together, as far as it is known.
        frames: Frames that are missing in them.
    """

    cause: str
    gaps: int
    metres: float
    frames: int


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """What inspected the coil, by hash; None: nothing did.

    Attributes:
        bundle: name@version+fingerprint of the model bundle.
        config: Fingerprint of the configuration.
        reference: Hash of the site's reference; None: not taught.
    """

    bundle: str | None = None
    config: str | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class CoilRecord:
    """One run of one coil past the camera.

    Attributes:
        coil_id: As the plant calls it.
        began_at: UTC, when its head passed the camera.
        ended_at: When its tail did; None: it runs.
        facts: What the plant says about it.
        length_m: How much of it has passed, measured; None: no scale, or no speed.
        inspected_m: How much of that was inspected: the sum of what frames showed, never `length_m` less the gaps.
        gaps: What was not, in the order of the strip.
        rest: Of gaps beyond `MAX_GAPS`, what is left of them.
        frames_fed: Frames of the coil that the source delivered, or that are known to be missing.
        frames_inspected, frames_missed: What became of them; they add up to `frames_fed`.
        tiles_off_strip: Tiles that were not inspected because no strip was in them.
        position_source: What metres were counted from.
        side: Which side of the strip.
        head_m, tail_m: Lengths at both ends that are not graded.
        assessed: Whether enough was inspected, with a reference, to judge it; False while it runs.
        not_assessed: Why it is not, in one sentence.
        mother: The coil that it was split from.
        winding: Which end of the mother passes first; positions count from the coil's head, whichever it is.
        events: What happened at which metre: (m from the head or None, kind, sentence). Welds are among them.
        events_beyond: How many more there were than are listed.
        recipe, recipe_hash: In force when the coil began.
        probes_shown, probes_found: Known defects laid onto copies of its clean tiles, and how many were found.
        fingerprints: What inspected it.
    """

    coil_id: str
    began_at: datetime
    ended_at: datetime | None = None
    facts: CoilFacts = field(default_factory=CoilFacts)
    length_m: float | None = None
    inspected_m: float | None = None
    gaps: tuple[Stretch, ...] = ()
    rest: tuple[Rest, ...] = ()
    frames_fed: int = 0
    frames_inspected: int = 0
    frames_missed: int = 0
    tiles_off_strip: int = 0
    position_source: PositionSource | None = None
    side: Side | None = None
    head_m: float = 0.0
    tail_m: float = 0.0
    assessed: bool = False
    not_assessed: str | None = "it runs"
    mother: str | None = None
    winding: Winding = "head_first"
    events: tuple[tuple[float | None, str, str], ...] = ()
    events_beyond: int = 0
    recipe: str | None = None
    recipe_hash: str | None = None
    probes_shown: int | None = None
    probes_found: int | None = None
    fingerprints: Fingerprints = field(default_factory=Fingerprints)

    @property
    def coverage(self) -> float | None:
        """Which share of the coil was inspected, 0 to 1; None: nothing is known of its length, nor of frames."""
        if self.length_m is not None and self.inspected_m is not None and self.length_m > 0:
            return min(1.0, self.inspected_m / self.length_m)
        return self.frames_inspected / self.frames_fed if self.frames_fed else None

    @property
    def gaps_m(self) -> float:
        """Length of all gaps together, as far as it is known."""
        return sum(gap.metres or 0.0 for gap in self.gaps) + sum(one.metres for one in self.rest)

    def missed_by_cause(self) -> Mapping[str, tuple[float, int]]:
        """Return metres and frames that were not inspected, by cause."""
        found: dict[str, tuple[float, int]] = {}
        for cause, metres, frames in (
            *((gap.cause, gap.metres or 0.0, gap.frames) for gap in self.gaps),
            *((one.cause, one.metres, one.frames) for one in self.rest),
        ):
            before = found.get(cause, (0.0, 0))
            found[cause] = before[0] + metres, before[1] + frames
        return found

    def with_gap(self, gap: Stretch) -> CoilRecord:
        """Return the record with one more gap, which lies behind those that it has."""
        if self.gaps and (joined := self.gaps[-1].joined(gap)) is not None:
            return replace(self, gaps=(*self.gaps[:-1], joined))
        if len(self.gaps) < MAX_GAPS:
            return replace(self, gaps=(*self.gaps, gap))
        rest = {one.cause: one for one in self.rest}
        before = rest.get(gap.cause, Rest(gap.cause, 0, 0.0, 0))
        rest[gap.cause] = Rest(
            gap.cause, before.gaps + 1, before.metres + (gap.metres or 0.0), before.frames + gap.frames
        )
        return replace(self, rest=tuple(rest.values()))

    def with_event(self, at_m: float | None, kind: str, text: str) -> CoilRecord:
        """Return the record with one more event; beyond `MAX_EVENTS` it is counted."""
        if len(self.events) >= MAX_EVENTS:
            return replace(self, events_beyond=self.events_beyond + 1)
        return replace(self, events=(*self.events, (at_m, kind, text[:300])))


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[CoilRecord]:
    return TypeAdapter(CoilRecord)


def to_json(record: CoilRecord) -> str:
    """Return a record as JSON."""
    return _adapter().dump_json(record).decode()


def from_json(text: str) -> CoilRecord:
    """Return the record that `to_json` wrote; keys of a later program are passed over.

    Raises:
        ValueError: It is damaged.
    """
    try:
        return _adapter().validate_json(text)
    except ValidationError as exc:
        raise ValueError(f"the record of a coil cannot be read: {exc.errors()[0]['msg']}") from exc
