"""SIGKILL of the station at random moments, every third one while it starts, under 20 pictures a second."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from tests.faults.line import QUEUE, Line
from tests.faults.row import Plan, Point, Row

PER_S = 20.0
SESSION = 20
"""Kills of one store, before everything is counted."""


def _run(plan: Plan) -> Iterator[Point]:
    pause = threading.Event()
    for points in plan.sessions(SESSION):
        folder = plan.folder / f"session-{points[0]}"
        with Line(folder, plan.planted) as line:
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
            misses = [*findings.misses(), *line.left_behind()]
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
