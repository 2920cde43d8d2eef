"""How far the strip has run: from the lines that were read, from the plant's speed over time, or from both.

Everything is in *run metres*: they count from the first frame of the station on, back where the strip goes back, and
never jump at a reconnect, a restart or a coil. A coil's positions are run metres less those of its head.

Between two frames the plant may say several speeds. The lines of the second frame are shared among these *legs* by how
far the strip ran in each, so that a stop or a turn in the middle of a frame lies where it was. While nothing is read,
what ran is speed times time, where the plant has said a speed; otherwise nothing is known of it, and it is not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from inspector.frame import Seen
from inspector.strip.rules import StripRules

MAX_LEGS = 64
"""Speeds between two frames that are kept apart; the last and later ones are one leg at their mean speed."""
MEETS_SHARE = 0.05
"""Pictures of a plain camera that lie this share of a picture apart, or less, meet: times and speeds are not exact."""


@dataclass(frozen=True, slots=True)
class Leg:
    """A time at one speed.

    Attributes:
        seconds: How long.
        speed_m_s: Negative: backwards; None: the plant has not said.
    """

    seconds: float
    speed_m_s: float | None

    @property
    def metres(self) -> float:
        """How far the strip ran; 0 where that is not known."""
        return self.seconds * (self.speed_m_s or 0.0)


@dataclass(frozen=True, slots=True)
class Way:
    """How far the strip has run, at the end of the last frame.

    Attributes:
        run_m: Where the strip is.
        head_m: Where the running coil's head was.
        furthest_m: How far it had come at most: what lies beyond has not passed yet.
        at: UTC, when the last frame ended; None: there was none.
        mono_s: The same on the monotonic clock of this process; None: it was another process.
        epoch: Of the last frame.
        next_line: Its first line that was not seen; None: it has none.
        speed_m_s: As the plant said last; None: it has not said.
        since: UTC, when the leg that lasts began.
        legs: Those before it, since the last frame.
        blind: Why nothing has been seen since then, or None.
        blind_frames: How many frames are missing since then.
        sure: False if the strip ran an unknown way since the coil's head, by a camera that counts no lines.
    """

    run_m: float = 0.0
    head_m: float = 0.0
    furthest_m: float = 0.0
    at: datetime | None = None
    mono_s: float | None = None
    epoch: int | None = None
    next_line: int | None = None
    speed_m_s: float | None = None
    since: datetime | None = None
    legs: tuple[Leg, ...] = ()
    blind: str | None = None
    blind_frames: int = 0
    sure: bool = True

    @property
    def position_m(self) -> float:
        """Metres from the coil's head."""
        return self.run_m - self.head_m


@dataclass(frozen=True, slots=True)
class Passage:
    """What passed with a frame, in run metres.

    Attributes:
        low_m, high_m: What the frame shows that is new to it: its rows without those of the previous frame.
        bounds: Where the strip was when each leg since the previous frame began, and where it is at its end.
        known: False: the strip ran an unknown way before this frame.
    """

    low_m: float
    high_m: float
    bounds: tuple[float, ...]
    known: bool = True


@dataclass(frozen=True, slots=True)
class Along:
    """Which place of the coil a row is.

    Attributes:
        line: A row, as an absolute line or in its frame ...
        at_m: ... where it lies, from the coil's head ...
        mm_per_line: ... and how far the next row lies from it; negative while the strip goes back.
        length_m: Of the coil, as the plant knows it; None: not known.
        tail_first: The coil's tail passes first: metres count from it, and its head is the other end.
    """

    line: int
    at_m: float
    mm_per_line: float
    length_m: float | None = None
    tail_first: bool = False

    def places_m(self, first: int, count: int) -> tuple[float | None, float | None]:
        """Return how far rows lie from the coil's head and from its tail: their ends that are nearer to each.

        In the frame in which a head lies, rows before it have the head's place.
        """
        low, high = self.span_m(first, count)
        near, far = max(0.0, low), None if self.length_m is None else self.length_m - high
        return (far, near) if self.tail_first else (near, far)

    def span_m(self, first: int, count: int) -> tuple[float, float]:
        """Return where rows begin and end, from the end of the coil that passes first."""
        begin = self.at_m + (first - self.line) * self.mm_per_line / 1000
        end = begin + count * self.mm_per_line / 1000
        return min(begin, end), max(begin, end)


def with_speed(way: Way, at: datetime, speed_m_s: float | None) -> Way:
    """Return the way from a moment on, at which the plant says a speed."""
    return way if speed_m_s == way.speed_m_s else replace(with_mark(way, at), speed_m_s=speed_m_s)


def with_mark(way: Way, at: datetime) -> Way:
    """Return the way with a leg that ends at a moment: `Passage.bounds` says later where the strip was then."""
    if way.since is None:
        return way
    leg = Leg(max(0.0, (at - way.since).total_seconds()), way.speed_m_s)
    legs = (*way.legs, leg) if len(way.legs) < MAX_LEGS else (*way.legs[:-1], _joined(way.legs[-1], leg))
    return replace(way, legs=legs, since=max(at, way.since))


def _joined(first: Leg, second: Leg) -> Leg:
    seconds = first.seconds + second.seconds
    known = _are_known((first, second))
    return Leg(seconds, (first.metres + second.metres) / seconds if known and seconds > 0 else second.speed_m_s)


def legs_until(way: Way, at: datetime, mono_s: float | None = None) -> list[Leg]:
    """Return all legs since the last frame, the one that lasts included.

    The monotonic clock says how long they are together, where it is that of the last frame, too: a wall clock that was
    set meanwhile changes nothing. One that was set back over a restart gives no time at all.
    """
    if way.at is None:
        return [Leg(0.0, way.speed_m_s)]
    total_s = (at - way.at).total_seconds() if mono_s is None or way.mono_s is None else mono_s - way.mono_s
    total_s = max(0.0, total_s)
    before_s = sum(leg.seconds for leg in way.legs)
    scale = total_s / before_s if before_s > total_s else 1.0
    legs = [replace(leg, seconds=leg.seconds * scale) for leg in way.legs]
    return [*legs, Leg(max(0.0, total_s - before_s), way.speed_m_s)]


def _walk(start_m: float, steps_m: Sequence[float]) -> tuple[float, ...]:
    places = [start_m]
    for step_m in steps_m:
        places.append(places[-1] + step_m)
    return tuple(places)


def _are_known(legs: Sequence[Leg]) -> bool:
    return all(leg.speed_m_s is not None for leg in legs if leg.seconds > 0)


def _shared(metres: float, legs: Sequence[Leg]) -> list[float]:
    """Return how far the strip ran in each leg, if lines say that it ran so far in all of them, either way."""
    weights = [abs(leg.metres) for leg in legs] if _are_known(legs) else [leg.seconds for leg in legs]
    total = sum(weights)
    if total <= 0:
        weights, total = [0.0] * (len(legs) - 1) + [1.0], 1.0
    return [
        metres * weight / total * (-1 if (leg.speed_m_s or 0.0) < 0 else 1)
        for weight, leg in zip(weights, legs, strict=True)
    ]


def pass_frame(way: Way, seen: Seen, mm_per_line: float | None, rules: StripRules) -> tuple[Way, Passage, Along | None]:
    """Return the way after a frame, what passed with it, and which place each of its rows is.

    Args:
        way: Before it.
        seen: The frame.
        mm_per_line: Along the strip; None: not known, and nothing is counted but by `speed`.
        rules: What is counted from.
    """
    legs = legs_until(way, seen.at, seen.mono_s)
    if rules.position == "speed":
        passage, step_mm = _by_speed(way, seen, legs, mm_per_line, rules)
    elif seen.first_line is not None:
        passage, step_mm = _by_lines(way, seen, legs, mm_per_line, rules)
    else:
        passage, step_mm = Passage(way.run_m, way.run_m, _walk(way.run_m, [0.0] * len(legs)), known=False), None
    end_m = passage.bounds[-1]
    end_line = seen.rows if seen.first_line is None else seen.first_line + seen.rows
    after = replace(
        way, run_m=end_m, at=seen.at, mono_s=seen.mono_s, epoch=seen.epoch, since=seen.at, legs=(),
        next_line=None if seen.first_line is None else end_line,
    )  # fmt: skip
    return after, passage, None if step_mm is None else Along(end_line, end_m - way.head_m, step_mm)


def _by_lines(
    way: Way, seen: Seen, legs: list[Leg], mm_per_line: float | None, rules: StripRules
) -> tuple[Passage, float | None]:
    first = (seen.first_line or 0) + seen.overlap_lines
    same = way.epoch == seen.epoch and way.next_line is not None
    missing = max(0, first - (way.next_line or 0)) if same else 0
    sign = -1 if (legs[-1].speed_m_s or 0.0) < 0 else 1
    by_rate = rules.position == "rate"
    step_mm = _rate_step_mm(legs if same else legs[-1:], rules) if by_rate else mm_per_line
    if step_mm is None:
        return Passage(way.run_m, way.run_m, _walk(way.run_m, [0.0] * len(legs)), known=False), None
    if same:
        new = max(0, (seen.first_line or 0) + seen.rows - (way.next_line or 0))
        bounds = _walk(way.run_m, _shared(new * step_mm / 1000, legs))
        lowest, highest = min(bounds), max(bounds)
        gap_m = min(missing * step_mm / 1000, highest - lowest)
        low, high = (lowest + gap_m, highest) if sign > 0 else (lowest, highest - gap_m)
        return Passage(low, high, bounds), sign * step_mm
    own_m = seen.rows * step_mm / 1000  # nothing before it showed any of its rows
    known = way.at is None or not rules.runs_on or _are_known(legs)
    ran_m = sum(leg.metres for leg in legs) if known and rules.runs_on and way.at is not None else 0.0
    enough = sum(abs(leg.metres) for leg in legs) >= own_m  # else it began to run later, or faster, than was said
    end_m = way.run_m + (ran_m if ran_m and enough else sign * own_m)
    steps = [leg.metres for leg in legs[:-1]] if ran_m else [0.0] * (len(legs) - 1)
    bounds = (*_walk(way.run_m, steps), end_m)
    return Passage(min(end_m, end_m - sign * own_m), max(end_m, end_m - sign * own_m), bounds, known), sign * step_mm


def _rate_step_mm(legs: Sequence[Leg], rules: StripRules) -> float | None:
    """Return the way between two lines at a fixed rate of lines: speed over rate, weighed by time."""
    if rules.line_rate_hz is None or not _are_known(legs) or legs[-1].speed_m_s is None:
        return None
    seconds = sum(leg.seconds for leg in legs)
    if seconds <= 0:
        return abs(legs[-1].speed_m_s or 0.0) / rules.line_rate_hz * 1000
    return sum(abs(leg.metres) for leg in legs) / seconds / rules.line_rate_hz * 1000


def _by_speed(
    way: Way, seen: Seen, legs: list[Leg], mm_per_line: float | None, rules: StripRules
) -> tuple[Passage, float | None]:
    known = _are_known(legs) and legs[-1].speed_m_s is not None
    waits = not rules.runs_on and way.epoch != seen.epoch
    bounds = _walk(way.run_m, [0.0 if waits else leg.metres for leg in legs])
    sign = -1 if (legs[-1].speed_m_s or 0.0) < 0 else 1
    own = seen.rows - seen.overlap_lines
    if seen.first_line is not None and way.epoch == seen.epoch and way.at is not None:
        low, high = min(bounds), max(bounds)  # lines come without a break: what ran is what they show
        step_mm = None if not known or own <= 0 else sign * (high - low) / own * 1000
        return Passage(low, high, bounds, known), step_mm
    if mm_per_line is None:
        return Passage(bounds[-1], bounds[-1], bounds, known), None
    own_m = own * mm_per_line / 1000
    if way.at is None:
        bounds = (*bounds[:-1], bounds[-1] + sign * own_m)  # the first frame is the first that passes
    end_m = bounds[-1]
    low, high = min(end_m, end_m - sign * own_m), max(end_m, end_m - sign * own_m)
    if 0 < low - way.furthest_m <= MEETS_SHARE * own_m:
        low = way.furthest_m
    return Passage(low, high, bounds, known), sign * mm_per_line
