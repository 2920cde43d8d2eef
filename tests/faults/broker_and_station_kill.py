"""Power cut of a whole PC: broker and stations are killed together, and the consumer comes back later.

Several trials run beside each other: most of a trial is waiting for the consumer.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack

from peers import Daemon, station_toml

from tests.faults.checker import check
from tests.faults.line import QUEUE, Line
from tests.faults.oracle import Oracle
from tests.faults.row import Plan, Point, Row

PER_S = 5.0
STATIONS = 2
BESIDE = 4
"""Trials at a time."""
AWAY_S = (1.0, 300.0)
CORE_AWAY_S = 12.0
"""Longest absence of the consumer in runs of up to four tries, which are part of the ordinary tests."""


def _try(plan: Plan, number: int, longest_s: float) -> Point:
    lots = plan.lots(number)
    pause = threading.Event()
    away_s = min(longest_s, AWAY_S[0] * (AWAY_S[1] / AWAY_S[0]) ** lots.random())
    with ExitStack() as end:
        line = end.enter_context(Line(plan.folder / f"try-{number}", plan.planted))
        feeders, stations = [line.oracle], [line.station]
        for other in range(1, STATIONS):
            folder = line.folder / f"station-{other}"
            feeders.append(Oracle(folder, f"s{other}-"))
            toml = station_toml(folder, line.broker.port, feeders[-1].source)
            stations.append(Daemon(folder, toml.replace('name = "cam"', f'name = "cam{other}"')))
            end.callback(stations[-1].end)
        for station in stations:
            station.start()
        for station, feeder in zip(stations, feeders, strict=True):
            station.started()
            end.callback(feeder.stop)
            feeder.start(PER_S)
        line.consumer.wait(
            lambda: all(len(line.consumer.roots(kind)) == STATIONS for kind in ("frame", "defect", "alarm"))
        )
        pause.wait(lots.uniform(1.0, 5.0))
        for station in stations:
            station.kill()
        line.broker.kill()
        line.consumer.stop()
        pause.wait(lots.uniform(0.0, 2.0))
        starts = [line.broker.start, *(station.start for station in stations)]
        lots.shuffle(starts)
        for start in starts:
            start()
            pause.wait(lots.uniform(0.0, 0.5))
        pause.wait(min(5.0, away_s))
        for feeder in feeders:
            feeder.stop()
        pause.wait(max(0.0, away_s - 5.0))
        line.consumer.start()
        fed = {name for feeder in feeders for name in feeder.fed}
        line.consumer.wait(lambda: fed <= line.consumer.names(), line.end_s, every_s=0.5)
        line.consumer.wait_quiet()
        findings = check(fed, line.consumer.received())
        misses = [f"consumer back after {away_s:.0f} s: {miss}" for miss in findings.misses()]
        return Point(number, tuple(misses), {"files": len(fed), "max_away_s": round(away_s), **findings.facts()})


def _run(plan: Plan) -> Iterator[Point]:
    longest_s = CORE_AWAY_S if len(plan.points) <= 4 else AWAY_S[1]
    with ThreadPoolExecutor(BESIDE) as pool:
        for done in as_completed([pool.submit(_try, plan, number, longest_s) for number in plan.points]):
            yield done.result()


ROW = Row(
    fault=f"SIGKILL of broker and {STATIONS} stations together, consumer back after {AWAY_S[0]:g}-{AWAY_S[1]:g} s",
    figure="0 lost, 0 phantom, 0 repeated after dedup, order kept, 0 good files given up",
    n=50,
    core=2,
    judges=("store", "sinks", "sources", "station"),
    run=_run,
    raised=(QUEUE, "killed once each topic was delivered: one that never had a subscriber waits for none"),
)
