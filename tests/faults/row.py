"""A row of the fault suite: one kind of fault, tried n times, each try counted against what was fed.

A row is a module of this folder with a `ROW`; `rows.NAMES` lists them. Its `run` tries the points of a plan and yields
what came of each. With `plan.planted` it spoils one thing behind the product's back (a message that the consumer
forgets, a file that the oracle never fed); a row that then finds no miss is no proof, so a test demands the miss.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Plan:
    """What to try.

    Attributes:
        folder: For whatever the row writes; may hold what an earlier, interrupted run left.
        points: Numbers of the points to try, ascending; with `--resume` those that are still open.
        seed: Of everything that is drawn by lot.
        planted: Spoil one thing, which the row has to find.
    """

    folder: Path
    points: Sequence[int]
    seed: int
    planted: bool = False

    def lots(self, point: int) -> random.Random:
        """Return the lots of one point: the same, whatever was tried before."""
        return random.Random(f"{self.seed}-{point}")

    def sessions(self, size: int) -> Iterator[Sequence[int]]:
        """Cut the points into sessions, each of one store; what a session finds counts for its last point."""
        for at in range(0, len(self.points), size):
            yield self.points[at : at + size]


@dataclass(frozen=True)
class Point:
    """What came of one try.

    Attributes:
        number: Which point of the plan.
        misses: Each broken promise, in words; empty: all held.
        facts: Measured figures. Over a run they are summed; of those named `max_…` and `min_…` the extreme is kept.
    """

    number: int
    misses: tuple[str, ...] = ()
    facts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One kind of fault.

    Attributes:
        fault: What is done to the station, in one line.
        figure: What has to come of it.
        n: Points of the full run.
        core: Points of the run that is part of the ordinary tests.
        planted: Points after which its planted fault has to show.
        judges: Folders and files below `inspector/` whose code decides the figure.
        run: Tries the points of a plan.
        raised: Limits and time-outs that differ from what the product ships with, or from the figure, each with why.
        known: What does not hold today, in one line; empty: all of it holds.
        known_miss: Words of the only miss that `known` excuses in the core.
    """

    fault: str
    figure: str
    n: int
    core: int
    judges: tuple[str, ...]
    run: Callable[[Plan], Iterator[Point]]
    planted: int = 1
    raised: tuple[str, ...] = ()
    known: str = ""
    known_miss: str = ""
