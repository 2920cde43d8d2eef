"""Damaged and edited bundles, put in place of the good one of a station that inspects 10 pictures/s, and reloaded.

The oracle compares content: a bundle that is taken must say what the good one says, key by key of the card and byte by
byte of every other file. Forged proofs (all hashes made right) are tried with edits of what decides.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from peers import wait_for
from spoilt_bundles import copy_bundle

from tests.faults.bad_bundles import damage, says_the_same
from tests.faults.line import QUEUE, Line
from tests.faults.row import Plan, Point, Row

PER_S = 10.0
SESSION = 50
"""Reloads of one station, before everything is counted."""
RELOAD_S = 60.0
"""Longest wait for a reload to be refused or done: these tests share the machine."""


def _put(bundle: Path, place: Path) -> None:
    old = place.with_name(f"{place.name}-old")
    if place.exists():
        place.rename(old)
    bundle.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def _try(line: Line, plan: Plan, number: int, good: Path, place: Path) -> Point:
    """Reload with a damaged bundle; returns what is not as promised."""
    spoilt = copy_bundle(place.with_name("spoilt"), good)
    what = damage(spoilt, number, plan.lots(number))
    same = says_the_same(spoilt, good)
    _put(spoilt, place)
    station = line.station
    before = {name: len(station.events(name)) for name in ("reload_refused", "reloaded")}
    station.hang_up()

    def answered() -> str:
        return next((name for name, count in before.items() if len(station.events(name)) > count), "")

    try:
        wait_for(lambda: not line.runs or answered(), "an answer to the reload", RELOAD_S)
    except AssertionError:
        return Point(number, (f"{what.kind}: a reload is neither done nor refused",))
    if not line.runs:
        return Point(number, (f"{what.kind}: a reload ends the station with {station.wait()}",))
    misses = []
    if answered() == "reload_refused":
        reason = str(station.events("reload_refused")[-1]["reason"])
        if what.expected == "taken":
            misses.append(f"{what.kind}: refused: {reason[:200]}")
        if str(place) not in reason:
            misses.append(f"{what.kind}: the refusal does not name the bundle: {reason[:200]}")
    elif not same:
        misses.append(f"{what.kind}: taken")
    health = json.loads(station.get("/healthz"))
    if health["state"] not in ("ok", "idle", "starting"):
        misses.append(f"{what.kind}: health is {health['state']}: {health['reason']}")
    return Point(number, tuple(misses), {"refused": 1.0} if answered() == "reload_refused" else {"harmless": 1.0})


def _session(plan: Plan, points: Sequence[int]) -> Iterator[Point]:
    folder = plan.folder / f"session-{points[0]}"
    shutil.rmtree(folder, ignore_errors=True)
    good, place = copy_bundle(folder / "good"), copy_bundle(folder / "bundle")
    with Line(folder, plan.planted, extra=f'[model]\npath = "{place}"\nworkers = 1') as line:
        line.oracle.start(PER_S)
        line.station.start()
        line.station.started()
        wait_for(lambda: line.consumer.names(), "the first picture")
        for number in points[:-1]:
            yield _try(line, plan, number, good, place)
            if not line.runs:
                line.station.start()
        last = _try(line, plan, points[-1], good, place)
        _put(copy_bundle(folder / "spoilt", good), place)
        findings = line.settle()
        counted = {name: len(line.station.events(name)) for name in ("started", "resumed", "stopped")}
        ended = line.station.stop()
        misses = [*last.misses, *findings.misses(), *([f"the last stop gave exit code {ended}"] if ended else [])]
        if counted != {"started": 1, "resumed": 0, "stopped": 0}:
            misses.append(f"the station did not run on: {counted}")
        yield Point(points[-1], tuple(misses), {**last.facts, "files": len(line.oracle.fed), **findings.facts()})


def _run(plan: Plan) -> Iterator[Point]:
    for at in range(0, len(plan.points), SESSION):
        yield from _session(plan, plan.points[at : at + SESSION])


ROW = Row(
    fault="damaged and edited bundles (any byte, any key, forged hashes, hostile cards, special files), by SIGHUP",
    figure="each refused with the file's name, or proven harmless; the old one runs on, 0 lost",
    n=500,
    core=20,
    judges=("model", "station/reload.py", "station/wiring.py"),
    run=_run,
    raised=(QUEUE,),
)
