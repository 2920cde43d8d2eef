"""SIGTERM from 200 ms after the start on, with a broker that works, hangs, or is not there: the station ends with 0."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

from peers import Daemon, free_port, station_toml

from tests.faults.line import Line
from tests.faults.row import Plan, Point, Row

FIRST_S, LAST_S = 0.2, 6.0
CORE_FIRST_S = 1.0
"""In runs of up to four tries, which are part of the ordinary tests: on a busy machine Python itself starts slowly."""
WITHIN_S = 5.0
BROKERS = ("works", "hangs", "never answers", "is not there")
SESSION = 12


def _stop(daemon: Daemon, after_s: float, planted: bool) -> tuple[float, int]:
    """Start and stop a station; returns how long the stop took and the exit code."""
    pause = threading.Event()
    daemon.start()
    process = daemon._process
    assert process is not None
    pause.wait(after_s)
    sent_s = time.monotonic()
    os.kill(process.pid, signal.SIGKILL if planted else signal.SIGTERM)
    try:
        code = process.wait(60)
    except subprocess.TimeoutExpired:
        daemon.kill()
        code = -9
    return time.monotonic() - sent_s, code


def _silent_server() -> socket.socket:
    """Return a server whose connections are accepted by the system and by nobody else."""
    return socket.create_server(("127.0.0.1", 0), backlog=128)


def _port(kind: str, line: Line, silent: socket.socket) -> int:
    if kind == "never answers":
        return int(silent.getsockname()[1])
    return free_port() if kind == "is not there" else line.broker.port


def _run(plan: Plan) -> Iterator[Point]:
    first_s = FIRST_S if len(plan.points) > 4 else CORE_FIRST_S
    for points in plan.sessions(SESSION):
        folder = plan.folder / f"session-{points[0]}"
        with Line(folder) as line, _silent_server() as silent:
            line.oracle.start(5.0)
            for number in points:
                lots = plan.lots(number)
                kind = BROKERS[number % len(BROKERS)]
                port = _port(kind, line, silent)
                line.station.config.write_text(station_toml(folder, port, line.oracle.source))
                after_s = first_s * (LAST_S / first_s) ** lots.random()
                broker = line.broker.pid
                timer = threading.Timer(after_s * 0.8, os.kill, (broker, signal.SIGSTOP))
                if kind == "hangs":
                    timer.start()
                try:
                    took_s, code = _stop(line.station, after_s, plan.planted and number == points[-1])
                finally:
                    timer.cancel()
                    os.kill(broker, signal.SIGCONT)
                misses = [f"exit code {code}, {after_s:.2f} s after the start"] if code else []
                if took_s > WITHIN_S:
                    misses.append(f"took {took_s:.1f} s, {after_s:.2f} s after the start, with a broker that {kind}")
                yield Point(number, tuple(misses), {"max_stop_s": took_s})


ROW = Row(
    fault="SIGTERM 0.2-6 s after the start, with a broker that works, hangs, never answers, or is not there",
    figure="exit 0 within 5 s",
    n=200,
    core=4,
    judges=("station", "sinks", "http", "cli.py", "__main__.py"),
    run=_run,
    raised=("runs of up to four tries begin at 1 s",),
)
