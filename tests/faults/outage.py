"""A broker that was away for as many messages as a day has, and is drained while inspection continues.

The messages are laid into the store as the station lays them there, without pictures: 864,000 pictures take a day.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

from fakes import entry

from inspector.clock import SystemClock
from inspector.store.store import Store
from tests.faults.checker import check
from tests.faults.line import QUEUE, Line
from tests.faults.row import Plan, Point, Row
from tests.faults.spoilt_pictures import Memory

STEP = 1000
"""Messages of a point."""
PER_MESSAGE = 3
"""Messages of a stored frame: defect, alarm, frame."""
TOGETHER = 200
PER_S = 10.0
RATE, MORE_MB, SLOWER = 2000.0, 20, 0.05
LIMIT_BYTES = 2 << 30


def _fill(line: Line, frames: int) -> list[str]:
    """Lay frames with their messages into the store; returns their names."""
    store = Store(line.folder / "state", SystemClock(), LIMIT_BYTES)
    try:
        for at in range(0, frames, TOGETHER):
            store.commit([entry(number, "crack") for number in range(at, min(at + TOGETHER, frames))])
    finally:
        store.close()
    return [f"{number}.jpg" for number in range(frames)]


def _inspected(line: Line) -> float:
    return line.station.metrics()['inspector_frames_total{outcome="inspected"}']


def _drain(line: Line, messages: int) -> dict[str, float]:
    """Measure inspection without a broker, then the drain; returns the figures."""
    pause = threading.Event()
    line.broker.stop()  # in order, and so it keeps the consumer's session: the station's store knows no topics yet
    line.station.start()
    line.station.started()
    line.oracle.start(PER_S)
    pause.wait(3.0)
    before, began_s = _inspected(line), time.monotonic()
    pause.wait(6.0)
    idle_rate = (_inspected(line) - before) / (time.monotonic() - began_s)
    memory = Memory(line.pid)
    line.broker.start()
    line.consumer.wait(lambda: line.consumer.count() > 0)
    before, began_s = _inspected(line), time.monotonic()
    line.consumer.wait(lambda: line.consumer.count() >= messages - 1, max(120.0, messages / 200), every_s=0.5)
    took_s = time.monotonic() - began_s
    drained_rate = (_inspected(line) - before) / took_s
    return {
        "messages": messages,
        "min_messages_per_s": messages / took_s,
        "max_more_mb": memory.stop(),
        "max_inspection_slower_percent": 100 * (1 - drained_rate / max(idle_rate, 0.001)),
    }


def _misses(facts: dict[str, float]) -> Iterator[str]:
    if facts["min_messages_per_s"] < RATE:
        yield f"{facts['min_messages_per_s']:,.0f} messages a second"
    if facts["max_more_mb"] > MORE_MB:
        yield f"{facts['max_more_mb']:g} MB more memory"
    if facts["max_inspection_slower_percent"] > 100 * SLOWER:
        yield f"inspection {facts['max_inspection_slower_percent']:.0f} % slower"


def _session(plan: Plan, points: Sequence[int]) -> Point:
    frames = len(points) * STEP // PER_MESSAGE
    with Line(plan.folder / f"session-{points[0]}", plan.planted) as line:
        text = line.station.config.read_text()
        line.station.config.write_text(text.replace("[store]", f"[store]\noutbox_limit_bytes = {LIMIT_BYTES}"))
        stored = _fill(line, frames)
        facts = _drain(line, frames * PER_MESSAGE)
        line.settle()
        findings = check([*stored, *line.oracle.fed], line.consumer.received())
        ended = line.station.stop()
    enough = len(points) >= 20  # a smaller drain is over before it has a rate
    misses = [*findings.misses(), *(_misses(facts) if enough else ()), *([f"exit code {ended}"] if ended else [])]
    return Point(points[-1], tuple(misses), {**facts, **findings.facts()})


def _run(plan: Plan) -> Iterator[Point]:
    last = _session(plan, plan.points)
    yield from (Point(number) for number in plan.points[:-1])
    yield last


ROW = Row(
    fault=f"the broker is away for n x {STEP:,} messages, then drained, {PER_S:g} pictures/s continuing",
    figure="0 lost, order kept, at least 2,000/s, inspection at most 5 % slower, at most +20 MB",
    n=864,
    core=3,
    judges=("store", "sinks", "station"),
    run=_run,
    raised=(
        QUEUE,
        f"store.outbox_limit_bytes is {LIMIT_BYTES >> 30} GiB",
        "the messages are laid into the store without pictures, with rate, memory and speed judged from 20,000 on",
    ),
)
