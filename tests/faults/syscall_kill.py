"""SIGKILL of the station at its n-th call of one kind, by strace; every start ends so, and the next one continues."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator

from tests.faults.line import QUEUE, Line
from tests.faults.row import Plan, Point, Row

CALLS = {
    "pwrite64": 600, "fdatasync": 40, "write": 60, "sendto": 120, "rename": 30, "linkat": 40, "unlink": 40,
    "ftruncate": 2, "openat": 1700, "fcntl": 400,
}  # fmt: skip
"""System calls, each with a number that a thread reaches within some seconds of its start."""
PER_S = 8.0
SESSION = 20
REACH_S = 12.0
"""A call that is not reached in this time is asked for again at half its number."""


def _kill_at(line: Line, call: str, number: int) -> int:
    """Start the station and have it killed at this call of a thread; returns the number at which it was."""
    while True:
        line.station.start(
            under=("strace", "-D", "-f", "-qqq", "-o", "/dev/null", "-e", f"trace={call}", "-e", "signal=none",
                   "-e", f"inject={call}:signal=KILL:when={number}")
        )  # fmt: skip
        process = line.station._process
        assert process is not None
        try:
            process.wait(REACH_S)
        except subprocess.TimeoutExpired:
            line.station.kill()
            if number == 1:
                return 0
            number = max(1, number // 2)
        else:
            return number


def _run(plan: Plan) -> Iterator[Point]:
    for points in plan.sessions(SESSION):
        with Line(plan.folder / f"session-{points[0]}", plan.planted) as line:
            line.oracle.start(PER_S)
            reached: Counter[str] = Counter()
            for number in points:
                lots = plan.lots(number)
                call = lots.choice(list(CALLS))
                at = _kill_at(line, call, int(CALLS[call] ** lots.random()))
                reached[f"at_{call}"] += at > 0
                if number != points[-1]:
                    yield Point(number, () if at else (f"{call} was never called",))
            line.station.start()
            findings = line.settle()
            ended = line.station.stop()
            misses = [*findings.misses(), *line.left_behind(), *([f"exit code {ended}"] if ended else [])]
            yield Point(points[-1], tuple(misses), {"files": len(line.oracle.fed), **reached, **findings.facts()})


ROW = Row(
    fault=f"SIGKILL at the n-th {', '.join(CALLS)} of a thread, every start killed",
    figure="0 lost, 0 phantom, 0 repeated after dedup, order kept, 0 good files given up",
    n=1000,
    core=3,
    planted=3,
    judges=("store", "sinks", "sources", "station"),
    run=_run,
    raised=(QUEUE,),
)
