"""SIGKILL of the station at random moments, every third one while it starts, under 20 pictures a second."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.faults.line import QUEUE, Line
from tests.faults.row import Plan, Point, Row

PER_S = 20.0
SESSION = 20
"""Kills of one store, before everything is counted."""


def sessions(points: Sequence[int], size: int = SESSION) -> Iterator[Sequence[int]]:
    """Cut points into sessions; what a session finds counts for its last point."""
    for at in range(0, len(points), size):
        yield points[at : at + size]


def put_away(folder: Path, fed: Sequence[str]) -> tuple[str, ...]:
    """Return as a miss what is not moved once: neither left behind nor doubled."""
    there = sorted(path.name for path in folder.rglob("*") if path.is_file())
    return () if there == sorted(fed) else (f"{len(there)} files put away of {len(fed)} fed",)


def _run(plan: Plan) -> Iterator[Point]:
    pause = threading.Event()
    for points in sessions(plan.points):
        folder = plan.folder / f"session-{points[0]}"
        done = folder / "done"
        move = f'finished = "move"\nfinished_dir = "{done}"\nrefused = "move"\nrefused_dir = "{done}"'
        with Line(folder, plan.planted, source=move) as line:
            line.oracle.start(PER_S)
            for number in points:
                lots = plan.lots(number)
                line.station.start()
                if number % 3:
                    line.station.started()
                    pause.wait(lots.uniform(0.05, 2.0))
                else:
                    pause.wait(lots.uniform(0.02, 1.5))
                line.station.kill()
                if number != points[-1]:
                    yield Point(number)
            line.station.start()
            findings = line.settle()
            ended = line.station.stop()
            misses = [*findings.misses(), *put_away(done, line.oracle.fed)]
            misses += [f"the last stop gave exit code {ended}"] if ended else []
            yield Point(points[-1], tuple(misses), {"files": len(line.oracle.fed), **findings.facts()})


ROW = Row(
    fault="SIGKILL of the station at random moments, one in three during its start, under 20 pictures/s",
    figure="0 lost, 0 phantom, 0 repeated after dedup, order kept, 0 good files given up",
    n=300,
    core=6,
    judges=("store", "sinks", "sources", "station"),
    run=_run,
    raised=(QUEUE,),
)
