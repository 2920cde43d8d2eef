"""Run rows of the fault suite.

    python -m tests.faults                                    # every row, as large as the table says; prints the table
    python -m tests.faults random_kill --n 100 --seed 7       # one row; appends to results/random_kill.json
    python -m tests.faults random_kill --n 100 --seed 7 --resume   # go on where an interrupted run stopped
    python -m tests.faults random_kill --planted              # with a planted fault: exit 0 if the row finds it
    python -m tests.faults --table                            # write the table into docs/guarantees.md
    python -m tests.faults --older                            # mark figures whose code has changed since

Exit code: 0 without misses, 1 with some.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "support")]

from tests.faults import results  # noqa: E402 - finds what tests/support holds
from tests.faults.row import Plan, Point  # noqa: E402
from tests.faults.rows import NAMES, load_row  # noqa: E402


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def earlier_points(path: Path) -> list[Point]:
    """Return the points that an interrupted run has tried."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return [Point(one["number"], tuple(one["misses"]), one["facts"]) for one in map(json.loads, lines)]


def run_row(name: str, n: int | None, seed: int, resume: bool, folder: Path) -> int:
    """Try a row's points, keep each as it comes, append the run to the results; returns the misses."""
    row = load_row(name)
    asked = n or row.n
    folder = folder / f"{name}-{asked}-{seed}"
    if not resume:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    progress = folder / "points.jsonl"
    points = earlier_points(progress)
    tried = {point.number for point in points}
    started_s = time.monotonic()
    plan = Plan(folder, [number for number in range(asked) if number not in tried], seed)
    with progress.open("a", encoding="utf-8") as log:
        for point in row.run(plan):
            points.append(point)
            log.write(json.dumps(asdict(point)) + "\n")
            log.flush()
            for miss in point.misses:
                say(f"{name} {point.number}: {miss}")
    record = results.sum_up(name, row, points, asked, seed, time.monotonic() - started_s)
    results.append(record)
    say(json.dumps(record, indent=1, ensure_ascii=False))
    return int(record["misses"])


def run_planted(name: str, seed: int, folder: Path) -> int:
    """Try a row's first points with its planted fault; returns 0 if it was found."""
    row = load_row(name)
    folder = folder / f"{name}-planted"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    misses = [miss for point in row.run(Plan(folder, range(row.planted), seed, planted=True)) for miss in point.misses]
    say(f"{name}: " + ("; ".join(misses) or "the planted fault was NOT found"))
    return 0 if misses else 1


def main() -> int:
    assert __doc__ is not None
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("row", nargs="*", choices=[*NAMES, []], help="none: all")
    options.add_argument("--n", type=int, help="points to try; unset: as many as the table asks for")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--resume", action="store_true")
    options.add_argument("--planted", action="store_true")
    options.add_argument("--table", action="store_true")
    options.add_argument("--older", action="store_true")
    options.add_argument("--folder", type=Path, default=results.ROOT / "build" / "faults", help="for working files")
    given = options.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that brokers and stations end, too
    if given.older:
        say("\n".join(results.mark_older()))
    if given.table or given.older:
        results.PAGE.write_text(results.written_page(results.PAGE.read_text("utf-8")), "utf-8")
        return 0
    names = given.row or NAMES
    if given.planted:
        return max(run_planted(name, given.seed, given.folder) for name in names)
    misses = sum(run_row(name, given.n, given.seed, given.resume, given.folder) for name in names)
    say(results.table(names))
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
