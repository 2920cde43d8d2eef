"""`inspector.store.retention`: the file is bounded by size, age and free space, in slices, and all of it is counted."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from fakes import NOON, FakeClock, entry

from inspector.clock import to_timestamp_ms
from inspector.settings.store import StoreOptions
from inspector.store import retention
from inspector.store.outbox import NO_END, list_numbers
from inspector.store.retention import COUNT_S, Pruned, Retention
from inspector.store.store import Store

PLENTY = 1 << 50


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "SLICE_ROWS", 4)


def make(store: Store, clock: FakeClock, free: int = PLENTY, **limits: Any) -> Retention:
    return Retention(store.database, StoreOptions(**limits), clock, lambda _: free)


def left(store: Store) -> list[int]:
    return [row[0] for row in store.database.all("SELECT seq FROM records ORDER BY seq")]


def test_within_the_bounds_nothing_goes(store: Store, clock: FakeClock) -> None:
    """No record, no file, and no report."""
    store.commit([entry(0, "crack")])
    one = make(store, clock)

    assert (one.prune_records(one.room(), 0, NO_END), one.forget_files(), one.take_pruned()) == (0, 0, None)


def test_records_beyond_the_size_go_oldest_first(store: Store, clock: FakeClock) -> None:
    """A slice at a time; what went is counted with first, last and times, over a restart, until it is taken."""
    store.commit([entry(number, "crack") for number in range(4)])
    one = make(store, clock, records_limit_bytes=1 << 20)
    gone = [one.prune_records(one.room(), -(1 << 30), NO_END) for _ in range(2)]
    kept = left(store)
    again = make(store, clock)
    pruned, twice = again.take_pruned(), again.take_pruned()

    assert (gone, kept) == ([4, 4], [9, 10, 11, 12])
    noon_ms = to_timestamp_ms(NOON)
    assert (pruned, twice) == (Pruned(8, 1, 8, noon_ms, noon_ms + 200), None)


def test_what_waits_keeps_its_record(store: Store, clock: FakeClock) -> None:
    """A message that is damaged in the outbox is read back from its record, so that stays until it is delivered."""
    store.commit([entry(number, "crack") for number in range(2)])
    one = make(store, clock, records_limit_bytes=1 << 20)
    one.prune_records(one.room(), -(1 << 30), 2)

    assert left(store) == [3, 4, 5, 6]


def test_records_that_are_too_old_go(store: Store, clock: FakeClock) -> None:
    """By the time of what they are about, and no younger one before them is skipped."""
    store.commit([entry(0, "crack")])
    clock.advance(10 * 86400)
    one = make(store, clock, records_max_age_days=9.0)
    young = make(store, clock, records_max_age_days=11.0)

    assert young.prune_records(young.room(), 0, NO_END) == 0
    assert one.prune_records(one.room(), 0, NO_END) == 3
    assert left(store) == []


def test_below_the_floor_the_file_does_not_grow(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records go until the file has free pages for what comes, and no further."""
    monkeypatch.setattr(retention, "RESERVE_BYTES", 3 * 4096)
    store.commit([entry(number, "crack", "hole", "rust") for number in range(30)])
    one = make(store, clock, free=1000)
    while one.is_tight(one.room()) and one.prune_records(one.room(), 0, NO_END):
        pass
    before, kept = one.room().file_bytes, len(left(store))
    again = one.prune_records(one.room(), 0, NO_END)

    assert 0 < kept < 30 * 7
    assert (again, one.room().file_bytes) == (0, before)


def test_too_many_files_are_forgotten_longest_finished_first(store: Store, clock: FakeClock) -> None:
    """In slices, at once until the bound holds; then they are counted again after ten minutes."""
    for number in range(11):
        store.commit([entry(number)])
        clock.advance(1)
    one = make(store, clock)
    one._options = StoreOptions.model_construct(ledger_limit_files=5)
    gone = [one.forget_files() for _ in range(3)]
    clock.advance(COUNT_S + 1)

    assert gone == [4, 2, 0]
    assert [row[0] for row in store.database.all("SELECT source_key FROM ledger ORDER BY done_ms")] == [
        f"{number}.jpg" for number in range(6, 11)
    ]
    assert one.forget_files() == 0


def test_the_log_is_measured_and_shrinks(store: Store, clock: FakeClock, tmp_path: Path) -> None:
    """While another process reads, the log grows; afterwards it is cut to 64 MB by the next checkpoint."""
    one = make(store, clock)
    reader = sqlite3.connect(store.folder / "inspector.sqlite3", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM records").fetchall()
    before = one.room().log_bytes
    for number in range(40):
        store.commit([entry(number, "crack")])
    grown = one.room().log_bytes
    reader.close()
    limit = store.database.one("PRAGMA journal_size_limit")

    assert grown > before + 40 * 4096
    assert limit == (64 << 20,)


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        pytest.param([4], "4", id="one"),
        pytest.param([4, 5, 6, 9, 12, 13], "4-6 9 12-13", id="ranges"),
        pytest.param(list(range(1, 900_000)), "1-899999", id="one long range"),
        pytest.param(list(range(1, 900, 2)), None, id="too many"),
    ],
)
def test_lost_numbers_are_listed_exactly_or_not_at_all(numbers: list[int], text: str | None) -> None:
    """A list is complete, or there is none."""
    assert list_numbers(numbers) == text
