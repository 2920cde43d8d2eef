"""Before and after a teach-in, on coils that were not taught: what falls silent, and what is still found.

Each half of the coils is judged under the reference of the other half. Detection is that of generated defects, laid
onto the site's own tiles: a reference that calls them good surface, because defects lay in the lesson or the surface
is too strange for this network, loses more of them than a setting allows and is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from inspector.box import Box
from inspector.drawn.defects import draw_defect
from inspector.drawn.noise import ONE
from inspector.drawn.spec import KINDS
from inspector.drawn.stamp import Stamp, lay
from inspector.frame import Pixels
from inspector.inspection.decision import DecisionRules, Verdict, compare
from inspector.inspection.one_frame import judge_tiles
from inspector.inspection.predictions import Classify
from inspector.labels import UNCLASSIFIED
from inspector.teach.aim import UNCLASSIFIED_A_CALL, UNCLASSIFIED_SHARE, Aim
from inspector.teach.fit import LEAST_TILES, Fitted, Lesson, assign_folds, fit_reference

SHOWN = 240
"""Generated defects that are laid onto good tiles."""
MAX_LOSS = 0.15
"""Largest loss of generated defects, as a share of those laid, that is not refused."""
SEED = 24
AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Judgement:
    """What changes on coils that were not taught.

    Attributes:
        tiles: Good tiles that were judged.
        alarms_before: Of these called a defect by the bundle alone.
        alarms_after: Called a defect under the reference.
        unclassified_after: Called unclassified.
        shown: Generated defects that were laid onto good tiles.
        found_before: Called a defect by the bundle alone.
        found_after: Called a defect under the reference.
        unclassified_shown: Called unclassified under it: recorded, no alarm.
        halved: The coils were judged under the reference of others; else there were too few tiles for halves, and the
            lesson judged itself.
        refused: Why the reference is refused, or None.
    """

    tiles: int
    alarms_before: int
    alarms_after: int
    unclassified_after: int
    shown: int
    found_before: int
    found_after: int
    unclassified_shown: int
    halved: bool = True
    refused: str | None = None

    @property
    def loss(self) -> float:
        """Share of the shown defects that the bundle alone finds and that neither alarm nor are unclassified now."""
        return (self.found_before - self.found_after - self.unclassified_shown) / max(self.shown, 1)

    @property
    def lines(self) -> list[str]:
        """It, for people."""
        share = 100 / max(self.tiles, 1)
        whose = "of coils that were not taught" if self.halved else "of the lesson itself, which has too few for halves"
        return [
            f"good tiles {whose} ({self.tiles}): {self.alarms_before * share:.2f} % alarmed"
            f" before, {self.alarms_after * share:.2f} % now, {self.unclassified_after * share:.2f} % are unclassified",
            f"generated defects on them ({self.shown}): {self.found_before} found before, {self.found_after} now, and"
            f" {self.unclassified_shown} unclassified",
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {**asdict(self), "loss": round(self.loss, 4)}


def judge_fit(
    lesson: Lesson, aim: Aim, classify: Classify, rules: DecisionRules, max_loss: float = MAX_LOSS
) -> Judgement:
    """Return what teaching on one half of the coils changes on the other, both ways.

    Args:
        lesson: All of it; a half has `LEAST_TILES` at least, or the whole lesson judges itself.
        aim: Of the reference.
        classify: The network, with places.
        rules: Without a reference.
        max_loss: A larger loss is refused.
    """
    halves = assign_folds(lesson, 2)
    parts = [halves == half for half in np.unique(halves)]
    if len(parts) < 2 or min(int(part.sum()) for part in parts) < LEAST_TILES:
        everything = np.ones(len(lesson), bool)
        pairs = [(everything, everything)]
    else:
        pairs = [(parts[0], parts[1]), (parts[1], parts[0])]
    seen = _Seen()
    for taught, held in pairs:
        fitted = fit_reference(lesson.part(taught), aim)
        seen.add(lesson.part(held), fitted, aim, classify, rules, SHOWN // len(pairs))
    judgement = seen.judgement(halved=len(pairs) > 1)
    if judgement.loss > max_loss:
        return replace(judgement, refused=_why(judgement, max_loss, aim, seen.bearable(max_loss)))
    return judgement


def _why(judgement: Judgement, max_loss: float, aim: Aim, bearable: float) -> str:
    unit = "per km and side" if aim.per == "km" else "per 1,000 pictures"
    return (
        f"of {judgement.shown} generated defects {judgement.found_before} were found before and"
        f" {judgement.found_after + judgement.unclassified_shown} now: it loses {judgement.loss:.0%}, more than"
        f" {max_loss:.0%} (teach.max_loss); about {bearable:.2g} false calls {unit} would lose no more"
    )


@dataclass(slots=True)
class _Seen:
    """What was counted so far, in the order of `Judgement`, and false calls for which each defect would be lost."""

    counts: list[int] = field(default_factory=lambda: [0] * 8)
    lost_at: list[float] = field(default_factory=list)

    def judgement(self, halved: bool) -> Judgement:
        """Return it."""
        tiles, before, after, unclassified, shown, *found = self.counts
        return Judgement(tiles, before, after, unclassified, shown, found[0], found[1], found[2], halved)

    def bearable(self, max_loss: float) -> float:
        """Return the false calls, in the unit of the aim, that cost no more defects than allowed."""
        allowed = int(max_loss * self.counts[4])
        return sorted(self.lost_at)[-1 - min(allowed, len(self.lost_at) - 1)] if self.lost_at else 0.0

    def add(
        self, lesson: Lesson, fitted: Fitted, aim: Aim, classify: Classify, rules: DecisionRules, shown: int
    ) -> None:
        """Judge one half under the reference of the other."""
        reference = fitted.reference
        distances = reference.distance(lesson.maps)
        far = distances > reference.defect_threshold
        strange = distances > reference.unclassified_threshold
        good = np.flatnonzero(~strange & ~lesson.defects)
        chosen = good if len(good) else np.arange(len(lesson))
        laid = list(laid_tiles([lesson.tiles[i] for i in chosen], shown))
        found, under = [0, 0, 0], replace(rules, reference=reference)
        for start in range(0, len(laid), AT_ONCE):
            part = laid[start : start + AT_ONCE]
            predictions, before = judge_tiles(part, classify, rules)
            after = compare(before, before, reference.distance(predictions.maps).tolist(), under)
            found[0] += _defects(before)
            found[1] += _defects(after)
            found[2] += sum(verdict.label == UNCLASSIFIED for verdict in after)
            self.lost_at += [
                _lost_at(new.distance or 0.0, fitted, aim)
                for old, new in zip(before, after, strict=True)
                if old.is_defect
            ]
        more = [
            len(lesson), int(lesson.defects.sum()), int((far & lesson.defects).sum()),
            int((strange & ~(far & lesson.defects)).sum()), len(laid), *found,
        ]  # fmt: skip
        self.counts = [have + new for have, new in zip(self.counts, more, strict=True)]


def _lost_at(distance: float, fitted: Fitted, aim: Aim) -> float:
    """Return the false calls, in the unit of the aim, from which on a tile so far is an alarm or unclassified."""
    beyond = fitted.tail.share_beyond(distance)
    calls = aim.calls_at(beyond * fitted.defect_share)
    return calls if beyond > UNCLASSIFIED_SHARE else min(calls, aim.calls_at(beyond / UNCLASSIFIED_A_CALL))


def _defects(verdicts: Sequence[Verdict]) -> int:
    return sum(verdict.is_defect for verdict in verdicts)


def laid_tiles(tiles: Sequence[Pixels], count: int) -> Iterator[Pixels]:
    """Yield good tiles with a generated defect on each, of every kind equally often, seeded."""
    rng = np.random.default_rng(SEED)
    for number in range(count):
        tile = tiles[int(rng.integers(len(tiles)))]
        side = min(tile.shape)
        stamp = draw_defect(KINDS[number % len(KINDS)], rng, max(side, 100))
        height, width = stamp.delta.shape
        x, y = (
            int(rng.integers(min(0, room), max(0, room) + 1))
            for room in (tile.shape[1] - width, tile.shape[0] - height)
        )
        grey = tile.astype(np.int16) * ONE
        lay(grey, Box(0, 0, tile.shape[1], tile.shape[0]), Stamp(x, y, stamp.delta, stamp.cover, stamp.ink))
        yield np.asarray((grey.astype(np.int32) // ONE).clip(0, 255), np.uint8)
