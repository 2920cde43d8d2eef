"""Marks of rolls: defects of one class at one place across that return at a fixed distance.

Each new mark looks back for others at equal distances behind it. A row is taken for a roll's mark if rows so long and
so exact would come together by chance less than once in `CHANCE_M` metres: with the density of such marks as a Poisson
process, the expected number of rows that end at a mark is their density times the pitches that are tried, times for
each further member the density times how far the worst of them lies off (D. R. Cox and P. A. W. Lewis, The Statistical
Analysis of Series of Events, 1966). So clutter raises what is asked for, and a known roll, whose pitch is given, lowers
it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

CHANCE_M = 1_000_000.0
"""Length of strip in which one row by chance is expected, at most: ten times what is allowed."""
MIN_MEMBERS, MAX_MEMBERS = 3, 12
MAX_MARKS = 600
"""Marks that are remembered, the latest; of one class half of them."""
MAX_NEAR = 60
"""So many marks behind a new one are tried as its neighbour: with more in `max_mm` no row is more than chance."""
MAX_FINDINGS = 64
"""Findings of a coil; there are no more rolls. Later ones are not taken."""
LIVE_TURNS = 12
"""A finding goes on after so many marks in a row that were not seen; after more it is found again first."""
MIN_OFF_MM = 5.0
"""Marks are not placed more exactly than this, whatever a row says."""
PIECE_MM = 100.0
"""What lies this close to the last mark of a finding, and is of its class, is a piece of it: it is not counted."""
ROLL_SHARE = 0.015
"""A roll's mark may be off its pitch by this share: diameters are ground down, and the strip slips."""
HARMONICS = ((1, 1), (1, 2), (2, 1), (1, 3), (3, 1), (1, 4), (4, 1))
"""(turns, marks): a mark may be missed each other turn, and a roll may have several."""


def pitch_of(diameter_mm: float, elongation: float) -> float:
    """Return the distance of a roll's marks on the strip in mm: strip that grows after the roll stretches it."""
    return math.pi * diameter_mm * elongation


@dataclass(frozen=True, slots=True)
class Roll:
    """A roll that the plant named.

    Attributes:
        stand: Where it runs.
        position: In the stand, as `top`.
        roll_id: Its own name; None: not said.
        pitch_mm: Distance of its marks on the strip: pi times diameter times elongation.
    """

    stand: str
    position: str
    roll_id: str | None
    pitch_mm: float

    @property
    def name(self) -> str:
        """How a finding names it."""
        return " ".join(filter(None, (self.stand, self.position, self.roll_id)))


@dataclass(frozen=True, slots=True)
class Suspect:
    """The roll whose marks a pitch fits.

    Attributes:
        name: Of the roll.
        harmonic: `1`: one mark a turn; `1/2`: two marks a turn; `2`: one mark in two turns.
    """

    name: str
    harmonic: str


@dataclass(frozen=True, slots=True)
class PeriodicRules:
    """What counts as a mark at a fixed distance.

    Attributes:
        min_mm, max_mm: Pitches that are tried.
        tolerance_mm: How far a mark may lie from where its row expects it, along.
        across_mm: How far marks of a row may lie apart across.
        window_m: How far back marks are remembered: the density is counted there.
    """

    min_mm: float = 100.0
    max_mm: float = 10_000.0
    tolerance_mm: float = 30.0
    across_mm: float = 25.0
    window_m: float = 60.0


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a defect lies: the middle of its box in mm, along from the coil's head and across."""

    label: str
    along_mm: float
    across_mm: float
    defect_id: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A mark that returns.

    Attributes:
        finding_id: defect_id of the mark that completed its first row.
        label: Of its marks.
        pitch_mm: Their distance.
        across_mm: Where they lie, on average.
        first_mm, last_mm: Along, of the first and the last.
        from_mm: Along, of the mark from which the pitch is counted.
        count: How many were seen.
        turns: Pitches between `from_mm` and `last_mm`.
        members: defect_id of those by which it was found.
    """

    finding_id: str
    label: str
    pitch_mm: float
    across_mm: float
    first_mm: float
    last_mm: float
    from_mm: float
    count: int
    turns: int
    members: tuple[str, ...]

    @property
    def phase_mm(self) -> float:
        """Where its marks lie within a pitch, from the coil's head."""
        return self.from_mm % self.pitch_mm


@dataclass(frozen=True, slots=True)
class PeriodicState:
    """What is remembered between marks: those that belong to no finding, and the findings of the coil that runs."""

    marks: tuple[Mark, ...] = ()
    findings: tuple[Finding, ...] = ()

    def at_head(self, passed_mm: float | None) -> PeriodicState:
        """Return what is left where another coil begins.

        Marks stay, so that the density of clutter is known; rows do not reach over the head.

        Args:
            passed_mm: Length of the coil that ends; None: not known, and nothing is left.
        """
        if passed_mm is None:
            return PeriodicState()
        return PeriodicState(tuple(replace(mark, along_mm=mark.along_mm - passed_mm) for mark in self.marks))


def suspect_of(pitch_mm: float, rolls: Sequence[Roll]) -> Suspect | None:
    """Return the roll whose marks would come at this pitch, or at a part or multiple of it; None: no roll."""
    for turns, marks in HARMONICS:
        fitting = [roll for roll in rolls if abs(pitch_mm * marks / (roll.pitch_mm * turns) - 1) <= ROLL_SHARE]
        if fitting:
            nearest = min(fitting, key=lambda roll: abs(pitch_mm * marks / turns - roll.pitch_mm))
            return Suspect(nearest.name, str(turns) if marks == 1 else f"{turns}/{marks}")
    return None


def take_mark(
    state: PeriodicState, mark: Mark, rules: PeriodicRules, rolls: Sequence[Roll] = ()
) -> tuple[PeriodicState, Finding | None]:
    """Return the next state, and the finding that this mark belongs to: a new one, one that goes on, or None.

    Marks come in the order of their frames; one that lies a little before the last one is taken, too.
    """
    for number, one in enumerate(state.findings):
        grown = _grown(one, mark, rules)
        if grown is not None:
            return replace(state, findings=(*state.findings[:number], grown, *state.findings[number + 1 :])), grown
    oldest_mm = mark.along_mm - rules.window_m * 1000
    marks = tuple(other for other in state.marks if other.along_mm >= oldest_mm)
    found = _new_finding(marks, mark, rules, rolls)
    if found is None:
        return replace(state, marks=_remembered(marks, mark)), None
    left = tuple(other for other in marks if other.defect_id not in found.members)
    for number, one in enumerate(state.findings):
        if _is_same(one, found, rules):  # it came back after a pause
            found = replace(
                found, finding_id=one.finding_id, first_mm=one.first_mm, count=one.count + found.count,
                members=one.members,
            )  # fmt: skip
            return PeriodicState(left, (*state.findings[:number], found, *state.findings[number + 1 :])), found
    if len(state.findings) >= MAX_FINDINGS:
        return replace(state, marks=_remembered(marks, mark)), None
    return PeriodicState(left, (*state.findings, found)), found


def moved_mark(state: PeriodicState, mark: Mark) -> PeriodicState:
    """Return the state after a later frame has shown more of a defect, so that its middle is known better."""
    if all(other.defect_id != mark.defect_id for other in state.marks):
        return state
    return replace(state, marks=tuple(mark if other.defect_id == mark.defect_id else other for other in state.marks))


def _remembered(marks: tuple[Mark, ...], mark: Mark) -> tuple[Mark, ...]:
    kept = [*marks, mark]
    same = [other for other in kept if other.label == mark.label]
    if len(same) > MAX_MARKS // 2:
        kept.remove(same[0])
    return tuple(kept[-MAX_MARKS:])


def _grown(one: Finding, mark: Mark, rules: PeriodicRules) -> Finding | None:
    """Return a finding with one more mark, or with a piece of one; None if the mark does not lie where it expects."""
    off_across_mm = abs(mark.across_mm - one.across_mm)
    if mark.label != one.label or off_across_mm > PIECE_MM:
        return None
    turns = round((mark.along_mm - one.last_mm) / one.pitch_mm)
    off_mm = abs(mark.along_mm - one.last_mm - turns * one.pitch_mm)
    if turns == 0:
        return one if off_mm <= min(PIECE_MM, one.pitch_mm / 8) else None
    if not 0 < turns <= LIVE_TURNS or off_mm > rules.tolerance_mm or off_across_mm > rules.across_mm:
        return None
    turns += one.turns
    return replace(
        one,
        pitch_mm=(mark.along_mm - one.from_mm) / turns,
        across_mm=one.across_mm + (mark.across_mm - one.across_mm) / (one.count + 1),
        last_mm=mark.along_mm,
        count=one.count + 1,
        turns=turns,
    )


def _is_same(one: Finding, found: Finding, rules: PeriodicRules) -> bool:
    return (
        one.label == found.label
        and abs(one.across_mm - found.across_mm) <= 2 * rules.across_mm
        and abs(found.pitch_mm / one.pitch_mm - 1) <= ROLL_SHARE
    )


def _new_finding(marks: Sequence[Mark], mark: Mark, rules: PeriodicRules, rolls: Sequence[Roll]) -> Finding | None:
    """Return the row that ends at a mark, with the shortest pitch of those that are no chance; None without one."""
    near = [
        other for other in marks
        if other.label == mark.label and abs(other.across_mm - mark.across_mm) <= rules.across_mm
    ]  # fmt: skip
    behind = sorted((other for other in near if 0 <= other.along_mm < mark.along_mm), key=lambda other: -other.along_mm)
    places = [other.along_mm for other in behind]
    since_mm = rules.window_m * 1000
    if len(marks) >= MAX_MARKS // 2:  # some may have been forgotten
        since_mm = mark.along_mm - marks[0].along_mm
    longest_mm = max([rules.max_mm, *((1 + ROLL_SHARE) * roll.pitch_mm for roll in rolls)])
    for along_mm in places[:MAX_NEAR]:
        pitch_mm = mark.along_mm - along_mm
        if pitch_mm < rules.min_mm:
            continue
        if pitch_mm > longest_mm:
            break
        row, worst_mm = _row(places, mark.along_mm, pitch_mm, rules.tolerance_mm)
        if len(row) + 1 < MIN_MEMBERS:
            continue
        fitted_mm = (mark.along_mm - places[row[-1]]) / len(row)
        of_kind, of_all = (_at_most(count - len(row)) / since_mm for count in (len(near), len(marks)))
        tried_mm = rules.max_mm - rules.min_mm
        suspect = suspect_of(fitted_mm, rolls)
        if suspect is not None and suspect.harmonic == "1":
            tried_mm = min(tried_mm, sum(2 * ROLL_SHARE * roll.pitch_mm for roll in rolls))
        elif fitted_mm > rules.max_mm:
            continue
        within_mm = 2 * max(worst_mm, MIN_OFF_MM)
        chances = of_all * of_kind * tried_mm * (of_kind * within_mm) ** (len(row) - 1)  # rows a mm of strip
        if chances * CHANCE_M * 1000 > 1:
            continue
        members = [behind[index] for index in row]
        return Finding(
            finding_id=mark.defect_id,
            label=mark.label,
            pitch_mm=fitted_mm,
            across_mm=math.fsum(one.across_mm for one in (mark, *members)) / (len(row) + 1),
            first_mm=members[-1].along_mm,
            last_mm=mark.along_mm,
            from_mm=members[-1].along_mm,
            count=len(row) + 1,
            turns=len(row),
            members=(*(one.defect_id for one in reversed(members)), mark.defect_id),
        )
    return None


def _at_most(count: int) -> float:
    """Return how many marks are expected where so many were counted, if chance had kept some away."""
    return count + math.sqrt(count) + 1


def _row(places: Sequence[float], along_mm: float, pitch_mm: float, tolerance_mm: float) -> tuple[list[int], float]:
    """Return which places lie at multiples of a pitch behind a mark, without a hole, and how far the worst is off.

    Args:
        places: Along, the nearest first.
        along_mm: Of the mark.
        pitch_mm: To the first of the row.
        tolerance_mm: How far the next may lie from where the row so far expects it.
    """
    row: list[int] = []
    worst_mm, start = 0.0, 0
    while len(row) + 1 < MAX_MEMBERS:
        last_mm = places[row[-1]] if row else along_mm
        expected_mm = last_mm - ((along_mm - last_mm) / len(row) if row else pitch_mm)
        best, best_off = -1, tolerance_mm
        for index in range(start, len(places)):
            off = places[index] - expected_mm
            if off < -tolerance_mm:
                break
            if abs(off) <= best_off:
                best, best_off = index, abs(off)
        if best < 0:
            break
        worst_mm = max(worst_mm, best_off)
        row.append(best)
        start = best + 1
    return row, worst_mm
