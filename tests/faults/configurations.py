"""Invalid configurations: at a start, and put in place of the good one of a station that inspects 10 pictures/s."""

from __future__ import annotations

import fcntl
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from peers import PROGRAM, wait_for

from tests.faults.bad_configurations import Bad, Place, draw_bad
from tests.faults.line import QUEUE, Line
from tests.faults.row import Plan, Point, Row

PER_S = 10.0
SESSION = 50
"""Reloads of one station, before everything is counted."""
START_S = 60.0
"""Longest wait for a start to be refused, or for a reload to be: these tests share the machine."""


def put(content: bytes | None, path: Path) -> None:
    """Put a configuration in place at once, as an editor does; None: a folder of its name."""
    beside = path.with_suffix(".new")
    if path.is_dir():
        path.rmdir()
    if content is None:
        path.unlink(missing_ok=True)
        path.mkdir()
        return
    beside.write_bytes(content)
    beside.rename(path)


def try_start(bad: Bad, path: Path) -> list[str]:
    """Start a station with it; returns what is not as promised."""
    put(bad.content, path)
    done = subprocess.run(
        [*PROGRAM, "run", "--config", path], capture_output=True, text=True, timeout=START_S, check=False
    )
    last = done.stderr.rpartition("inspector: ")[2]
    misses = [] if done.returncode == 78 else [f"a start ends with {done.returncode}: {done.stderr[-300:]}"]
    misses += [f"a start does not name {name}: {last[:300]}" for name in (path.name, bad.names) if name not in last]
    return misses + (["a start shows a traceback"] if "Traceback" in done.stderr else [])


def try_reload(line: Line, bad: Bad) -> list[str]:
    """Put it in place of the configuration of a running station; returns what is not as promised."""
    station = line.station
    before = len(station.events("reload_refused"))
    put(bad.content, station.config)
    station.hang_up()
    try:
        wait_for(lambda: not line.runs or len(station.events("reload_refused")) > before, "a refusal", START_S)
    except AssertionError:
        return ["a reload is not refused"]
    if not line.runs:
        return [f"a reload ends the station with {station.wait()}"]
    said = str(station.events("reload_refused")[-1]["reason"])
    misses = [
        f"a reload does not name {name}: {said[:300]}" for name in (station.config.name, bad.names) if name not in said
    ]
    health = json.loads(station.get("/healthz"))
    if health["state"] not in ("ok", "idle"):
        misses.append(f"after a reload health is {health['state']}: {health['reason']}")
    return misses


def _session(plan: Plan, points: Sequence[int], held: tuple[int, Path]) -> Iterator[Point]:
    folder = plan.folder / f"session-{points[0]}"
    with Line(folder, plan.planted) as line:
        good = line.station.config.read_bytes()
        line.oracle.start(PER_S)
        line.station.start()
        line.station.started()
        wait_for(lambda: line.consumer.names(), "the first picture")
        misses: list[str] = []
        for number in points:
            (own := folder / f"point-{number}").mkdir()
            place = Place(own, *held, line.oracle.watched)
            bad = draw_bad(number, good.decode(), plan.lots(number), place)
            misses = [f"{bad.kind}: {miss}" for miss in try_reload(line, bad)]
            if not plan.planted:
                (alone := own / "alone").mkdir()  # the running station has its store
                text = good.decode().replace(str(folder / "state"), str(alone / "state"))
                bad = draw_bad(number, text, plan.lots(number), Place(alone, *held, line.oracle.watched))
                misses += [f"{bad.kind}: {miss}" for miss in try_start(bad, alone / "station.toml")]
            if not line.runs:
                line.station.start()
            if number != points[-1]:
                yield Point(number, tuple(misses), {"refused": 1})
        put(good + b"\n[events]\nalarm_hits = 1\nalarm_window = 2\n", line.station.config)
        line.station.hang_up()
        wait_for(lambda: line.station.events("reloaded"), "the good configuration to be taken")
        misses += _told(line)
        findings = line.settle()
        ended = line.station.stop()
        misses += [*findings.misses(), *([f"the last stop gave exit code {ended}"] if ended else [])]
        yield Point(points[-1], tuple(misses), {"refused": 1, "files": len(line.oracle.fed), **findings.facts()})


def _told(line: Line) -> list[str]:
    """Return what the log and the messages say of a moment without inspection before the last, good reload."""
    station = line.station
    states = [str(event["state"]) for event in station.events("health")]
    misses = [f"health was {state}" for state in states if state in ("blind", "degraded")]
    counted = {name: len(station.events(name)) for name in ("started", "reloaded", "resumed", "stopped")}
    if counted != {"started": 1, "reloaded": 1, "resumed": 0, "stopped": 0}:
        misses.append(f"the station did not run on: {counted}")
    return misses


def _run(plan: Plan) -> Iterator[Point]:
    with ExitStack() as held:
        listener = held.enter_context(socket.create_server(("127.0.0.1", 0)))
        store = plan.folder / "taken"
        shutil.rmtree(store, ignore_errors=True)
        store.mkdir(parents=True)
        lock = held.enter_context((store / "lock").open("w"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        for at in range(0, len(plan.points), SESSION):
            yield from _session(plan, plan.points[at : at + SESSION], (int(listener.getsockname()[1]), store))


ROW = Row(
    fault="invalid configurations (nested, huge, NUL, wrong types, what only a start finds), at a start and by SIGHUP",
    figure="78 at a start with file, key and reason; on a reload the old one stays, no blind second, 0 lost",
    n=200,
    core=13,
    judges=("settings", "station/run.py", "station/reload.py", "station/wiring.py", "model/bundle.py"),
    run=_run,
    raised=(QUEUE,),
)
