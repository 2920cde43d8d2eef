"""Measure how a large store of the previous program is taken over: `python scripts/measure_migration.py FOLDER`.

Makes a store of `--gigabytes` as the program of tests/compat/0.1.0 left it (rows cloned from that file, with new ids,
numbers and times), opens it as the station does, commits and reads while it is moved, and prints one line a figure. A
cold cache is what a machine has after it was switched on: as root, the page cache is dropped before the opening.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import structlog

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path += [str(REPOSITORY), str(REPOSITORY / "tests" / "support")]

from fakes import entry  # noqa: E402

from inspector.clock import SystemClock  # noqa: E402
from inspector.store.store import Store  # noqa: E402

PREVIOUS = REPOSITORY / "tests" / "compat" / "0.1.0" / "inspector.sqlite3"
COLUMNS = "id, seq, kind, captured_ms, defect_id, label, severity, score, phase, alarm, payload"
PREVIOUS_PAGE = (
    "SELECT payload FROM records WHERE kind = 'defect' AND captured_ms >= ? AND captured_ms < ? "
    "ORDER BY captured_ms DESC, seq DESC LIMIT ?"
)
"""What the previous program asks for its page."""


def main() -> None:
    """Make the store, unless it is there, and take it over."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a new folder; the store is left there")
    parser.add_argument("--gigabytes", type=float, default=2.0)
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    path = arguments.folder / "inspector.sqlite3"
    if not path.exists():
        arguments.folder.mkdir(parents=True, exist_ok=True)
        make_previous(path, int(arguments.gigabytes * (1 << 30)))
    show("store", f"{path.stat().st_size / (1 << 30):.2f} GiB")
    take_over(arguments.folder)


def make_previous(path: Path, size: int) -> None:
    """Write a store of the previous program of about `size` bytes."""
    shutil.copy(PREVIOUS, path)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA synchronous = OFF")
    db.execute("PRAGMA cache_size = -2000000")
    rows = db.execute(f"SELECT {COLUMNS} FROM records ORDER BY seq").fetchall()  # noqa: S608
    seq, place = 1000, ", ".join("?" * 11)
    while path.stat().st_size + path.with_name(path.name + "-wal").stat().st_size < size:
        db.execute("BEGIN")
        db.executemany(f"INSERT INTO records ({COLUMNS}) VALUES ({place})", clones(rows, seq, 100_000))  # noqa: S608
        db.execute("UPDATE meta SET value = ? WHERE key = 'seq'", (seq + 100_000,))
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        seq += 100_000
    db.close()


def clones(rows: list[tuple[Any, ...]], first_seq: int, count: int) -> Iterator[tuple[Any, ...]]:
    """Return copies of these rows with other ids, numbers and times, as a year of a station would leave them."""
    for number in range(first_seq, first_seq + count):
        row = rows[number % len(rows)]
        yield (random.randbytes(16), number, row[2], row[3] + number * 500, *row[4:])  # noqa: S311 - no secret


def take_over(folder: Path) -> None:
    """Open the store, and move its records to the end, with a commit and a page now and then."""
    drop_caches()
    began = time.monotonic()
    store = Store(folder, SystemClock())
    opened = time.monotonic()
    store.outbox.enable(["mqtt"])
    store.outbox.outbox_state("mqtt")
    store.commit([entry(10_000_000, "crack")])
    committed = time.monotonic()
    store.reader.recent_defects(200)
    show("opened after", f"{opened - began:.3f} s")
    show("first commit after", f"{committed - began:.3f} s")
    show("first page after", f"{time.monotonic() - began:.3f} s")
    previous_s = timed(lambda: store.database.all(PREVIOUS_PAGE, (-1 << 62, 1 << 62, 200)))
    show("page of the previous program, before anything is moved", f"{previous_s:.2f} s")
    slices, commits, pages, number = [], [], [], 0
    began, more = time.monotonic(), True
    while more:
        step_began = time.monotonic()
        more = store.migration.step()
        slices.append(time.monotonic() - step_began)
        if len(slices) % 50 == 0:
            number += 1
            one = entry(20_000_000 + number, "crack")
            commits.append(timed(lambda one=one: store.commit([one])))
            pages.append(timed(lambda: store.reader.recent_defects(200)))
    spent = time.monotonic() - began
    show("moved in", f"{spent:.0f} s of work, {len(slices)} slices")
    for name, times in (("slice", slices), ("commit meanwhile", commits), ("page meanwhile", pages)):
        times.sort()
        worst, late = times[-1], times[int(len(times) * 0.99)]
        show(name, f"median {statistics.median(times) * 1000:.1f}, p99 {late * 1000:.1f}, worst {worst * 1000:.1f} ms")
    [(rows,)] = store.database.all("SELECT count(*) FROM records")
    show("rows", f"{rows}")
    store.close()
    show("store afterwards", f"{(folder / 'inspector.sqlite3').stat().st_size / (1 << 30):.2f} GiB")


def timed(call: Callable[[], Any]) -> float:
    """Return how many seconds a call takes."""
    began = time.monotonic()
    call()
    return time.monotonic() - began


def drop_caches() -> None:
    """Forget what the page cache knows of the store."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3")
        show("cache", "cold")
    except OSError:
        show("cache", "warm: only root can drop it")


def show(name: str, value: str) -> None:
    """Print one figure."""
    print(f"{name}: {value}", flush=True)  # noqa: T201 - a command line


if __name__ == "__main__":
    main()
