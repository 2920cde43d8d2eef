"""A store that is damaged while the station is down: its file, its log, its index, and the small files beside it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator

from damaged_stores import WAYS, fill, try_way

from tests.faults.row import Plan, Point, Row


def _run(plan: Plan) -> Iterator[Point]:
    filled = fill(plan.folder / "filled")
    ways = list(WAYS)
    for number in plan.points:
        way, folder = ways[number % len(ways)], plan.folder / f"try-{number}"
        seed = random.Random(f"{plan.seed}-{number}").randrange(1 << 30)
        verdict = try_way(filled, way, seed, folder, plan.planted)
        shutil.rmtree(folder)
        facts = {"set aside": float(verdict.aside), "waiting": verdict.waiting, "lost and reported": verdict.lost}
        yield Point(number, tuple(f"{way}: {miss}" for miss in verdict.misses), facts)


ROW = Row(
    fault="a store damaged in one of 33 ways: bits, bytes, pages, cuts, header, schema, values, log, a folder or"
    " another program's file in its place",
    figure="starts, says so, and delivers only what was stored; every whole message saved; no number given twice",
    n=500,
    core=33,
    judges=("store",),
    run=_run,
)
