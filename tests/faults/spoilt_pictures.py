"""Mutated and crafted pictures and bombs before a running station: one message each, in bounds, beside good ones."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.faults.checker import check
from tests.faults.line import QUEUE, Line
from tests.faults.row import Plan, Point, Row
from tests.faults.spoilt import BOMB_PX, BOMBS, crafted, mutated

SESSION = 100
BOMB_EVERY, MUTATED_EVERY, GOOD_EVERY = 25, 4, 10
HANG_S, MORE_MB = 2.0, 256
EACH_S = 60.0
"""Longest wait for a message; it is a miss from `HANG_S` on, of the station's own processor time."""


def _rss_mb(pid: int) -> int:
    """Return the memory of a process and its children."""
    total, pids = 0, [pid]
    while pids:
        one = pids.pop()
        try:
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            pids += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
    return total >> 20


class Memory:
    """Looks at the memory of a station every 20 ms; the highest is kept."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._stopping = threading.Event()
        self.first_mb = self.highest_mb = _rss_mb(pid)
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._stopping.wait(0.02):
            self.highest_mb = max(self.highest_mb, _rss_mb(self._pid))

    def stop(self) -> int:
        """Return how much more than at the first look it was."""
        self._stopping.set()
        self._thread.join()
        return self.highest_mb - self.first_mb


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _feed(line: Line, plan: Plan, number: int) -> tuple[str, bool]:
    """Feed the file of a point; returns its name, and whether it is a good picture."""
    lots = plan.lots(number)
    if number % GOOD_EVERY == 1:
        return line.oracle.feed(), True
    if number % BOMB_EVERY == 0:
        suffix, make = BOMBS[number // BOMB_EVERY % len(BOMBS)]
        return line.oracle.feed(make(BOMB_PX), suffix), False
    if number % MUTATED_EVERY == 0:
        return line.oracle.feed(mutated(lots), ".jpg"), False
    suffix, data = crafted(lots)
    return line.oracle.feed(data, suffix), False


def _run(plan: Plan) -> Iterator[Point]:
    for points in plan.sessions(SESSION):
        with Line(plan.folder / f"session-{points[0]}", plan.planted) as line:
            line.station.start()
            line.station.started()
            for _ in range(3):
                line.oracle.feed()
            line.consumer.wait(lambda: line.consumer.count("frame") >= 3)
            memory = Memory(line.pid)
            bad = set()
            for number in points:
                used_s, misses = _cpu_s(line.pid), []
                name, good = _feed(line, plan, number)
                if not good:
                    bad.add(name)
                began_s = time.monotonic()
                came = line.consumer.wait(lambda name=name: name in line.consumer.names(), EACH_S)  # type: ignore[misc]
                if not line.runs:
                    misses.append(f"{name}: the station has ended")
                    line.station.start()
                    line.station.started()
                elif (took_s := _cpu_s(line.pid) - used_s) > HANG_S:
                    misses.append(
                        f"{name} took {took_s:.1f} s of the processor, {time.monotonic() - began_s:.1f} s in all"
                    )
                if not came and not plan.planted:
                    misses.append(f"{name}: no message within {EACH_S:g} s")
                if number != points[-1]:
                    yield Point(number, tuple(misses))
            more_mb = memory.stop()
            line.oracle.stop()
            line.consumer.wait_quiet()
            findings = check(line.oracle.fed, line.consumer.received(), bad)
            ended = line.station.stop()
            misses += [*findings.misses(), *line.left_behind()]
            misses += [f"{more_mb} MB more memory than idle"] if more_mb > MORE_MB else []
            misses += [f"exit code {ended}"] if ended not in (0, -signal.SIGKILL) else []
            yield Point(points[-1], tuple(misses), {"max_more_mb": more_mb, "bad_files": len(bad), **findings.facts()})


ROW = Row(
    fault="crafted TIFF, PNG, JPEG, BMP, mutated ones, bombs of 9,999 x 9,999 in every depth, before a running station",
    figure="0 crashes, 0 hangs > 2 s, at most +256 MB, exactly one message each, good pictures beside them inspected",
    n=1000,
    core=12,
    judges=("pictures", "sources", "station"),
    run=_run,
    raised=(QUEUE, "2 s are the station's own processor time, because the suite shares its cores"),
)
