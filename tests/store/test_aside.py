"""`inspector.store.aside`: a broken store is set aside, what can be read of it is saved, and a new one begins."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import damaged_stores
import pytest
from damaged_stores import NAME, SINK, Filled, draw, try_way
from fakes import FakeClock, entry

from inspector.errors import StoreBusyError, StoreDamagedError, StoreError, WorkerError
from inspector.store import aside as setting_aside
from inspector.store import proof
from inspector.store.aside import KEPT_ASIDE, finish_setting_aside
from inspector.store.damage import as_ours
from inspector.store.rows import SHIFT
from inspector.store.set_aside import SetAside
from inspector.store.store import Store

CORE = 40
"""Ways of damage that are tried here; `tests/faults` tries hundreds."""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    return damaged_stores.fill(tmp_path_factory.mktemp("filled"), frames=12)


@pytest.mark.parametrize(("way", "seed"), list(draw(CORE, seed=7)))
def test_a_damaged_store_starts_and_says_so(filled: Filled, tmp_path: Path, way: str, seed: int) -> None:
    """It starts, delivers only what was stored, saves what is whole, reports what is gone, and reuses no number."""
    assert try_way(filled, way, seed, tmp_path / "store").misses == []


def test_a_judge_that_is_lied_to_notices(filled: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the proof at the start, and without the check of payloads, the same ways give misses."""
    monkeypatch.setattr("inspector.store.database.require_whole", lambda *_: None)
    monkeypatch.setattr("inspector.store.outbox.row_crc32", lambda *_: 0)
    found = [
        miss
        for number, (way, seed) in enumerate(draw(CORE, seed=7))
        for miss in try_way(filled, way, seed, tmp_path / str(number)).misses
    ]

    assert found


def broken(store: Store) -> None:
    """Close a store, and break its header."""
    store.close()
    with (store.folder / NAME).open("r+b") as file:
        file.write(bytes(100))


def again(store: Store, clock: FakeClock) -> Store:
    one = Store(store.folder, clock)
    one.outbox.enable([SINK])
    return one


def test_what_waits_is_delivered_first_under_its_old_numbers(store: Store, clock: FakeClock) -> None:
    """Old messages keep their bytes and come before new ones, which count from 1 under another store_id."""
    old = store.commit([entry(0, "crack"), entry(1)])
    payloads = [row.payload for row in store.outbox.pending(0, 9)]
    broken(store)
    one = again(store, clock)
    new = one.commit([entry(2)])
    rows = one.outbox.pending(one.outbox.cursor(SINK), 9)
    one.outbox.acknowledge(SINK, rows[1].seq)
    rest = one.outbox.outbox_state(SINK).messages
    one.close()

    assert [json.loads(row.payload)["seq"] for row in rows] == [1, 2, 3, 4, 1]
    assert [row.payload for row in rows[:4]] == payloads
    assert {body.store_id for body in old}.isdisjoint(body.store_id for body in new)
    assert rest == 3


def test_it_is_reported(store: Store, clock: FakeClock) -> None:
    """The new store knows what was set aside, under which name, why, and how much was saved and lost."""
    store.commit([entry(number, "crack") for number in range(3)])
    store.outbox.enable([SINK])
    store.outbox.acknowledge(SINK, 4)
    broken(store)
    one = again(store, clock)
    aside = one.aside
    one.close()

    assert aside is not None
    assert (aside.file, aside.store_id) == (f"{NAME}.aside-20260301T120000Z", store.store_id)
    assert (aside.waiting, aside.lost, aside.records, aside.files) == (5, 0, 9, 3)
    assert (store.folder / aside.file).is_file()
    assert "file is not a database" in aside.text


def test_finished_files_and_records_are_kept(store: Store, clock: FakeClock) -> None:
    """A finished file is not inspected again, a stored message is not sent again, and pages show old defects."""
    store.commit([entry(0, "crack")])
    broken(store)
    one = again(store, clock)
    done, repeated = one.ledger.find("0.jpg") is not None, one.commit([entry(0, "crack")])
    shown = one.reader.recent_defects(9)
    one.close()

    assert (done, repeated, len(shown)) == (True, [], 1)


def test_a_second_break_loses_nothing_more(store: Store, clock: FakeClock) -> None:
    """Messages that were saved once are saved again, in order, and the newest files set aside are kept."""
    expected = [body.id for body in store.commit([entry(0, "crack")])]
    one = store
    for number in range(1, KEPT_ASIDE + 3):
        broken(one)
        clock.advance(60)
        one = again(one, clock)
        expected += [body.id for body in one.commit([entry(number)])]
    rows = one.outbox.pending(one.outbox.cursor(SINK), 99)
    one.close()

    assert [json.loads(row.payload)["id"] for row in rows] == expected
    assert len(list(one.folder.glob(f"{NAME}.aside-*"))) == KEPT_ASIDE


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_refuses_is_no_damage(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Where the disk refuses to read, nothing is renamed, and the next start finds everything."""
    store.commit([entry(0, "crack")])
    store.close()

    def refuse(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(proof, "_require_header", refuse)
        with pytest.raises(WorkerError):
            Store(store.folder, clock)
    one = again(store, clock)
    rows = one.outbox.pending(0, 9)
    one.close()

    assert (len(rows), list(store.folder.glob("*.aside-*"))) == (3, [])


def test_a_locked_file_is_no_damage(store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that another program holds is waited for, not set aside."""
    store.close()
    monkeypatch.setattr(proof, "_TIMEOUT_S", 0.1)
    holder = sqlite3.connect(store.folder / NAME, isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(WorkerError, match="locked"):
        Store(store.folder, clock)
    holder.close()
    one = again(store, clock)
    one.close()

    assert one.aside is None


def test_no_room_for_a_new_one_leaves_the_old(store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the new store cannot be written, the broken one stays in its place; the next start sets it aside."""
    store.commit([entry(0, "crack")])
    broken(store)

    def refuse(*_: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(setting_aside, "salvage", refuse)
        with pytest.raises(WorkerError, match="full"):
            Store(store.folder, clock)
    kept = (store.folder / NAME).stat().st_size
    one = again(store, clock)
    one.close()

    assert kept > 100
    assert one.aside is not None
    assert one.aside.waiting == 3


@pytest.mark.parametrize("renamed", [0, 1, 2], ids=["nothing", "the log", "log and file"])
def test_a_death_while_it_is_set_aside_is_finished(
    store: Store, clock: FakeClock, tmp_path: Path, renamed: int
) -> None:
    """Whatever was renamed when the process died, the next start has the same new store."""
    store.commit([entry(0, "crack")])
    broken(store)
    path = store.folder / NAME
    path.with_name(NAME + "-wal").write_bytes(b"log")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setting_aside, "finish_setting_aside", lambda _: None)
        patch.setattr(setting_aside, "_drop_oldest", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            setting_aside.set_aside(path, "broken", clock.now())
    names = [NAME + "-wal", NAME][:renamed]
    for name in names:
        (store.folder / name).rename(store.folder / name.replace(NAME, f"{NAME}.aside-20260301T120000Z"))
    finish_setting_aside(path)
    one = again(store, clock)
    rows = one.outbox.pending(one.outbox.cursor(SINK), 9)
    one.close()

    assert len(rows) == 3
    assert (store.folder / f"{NAME}.aside-20260301T120000Z-wal").is_file()


def test_damage_that_shows_while_it_is_open_is_set_aside_next_time(store: Store, clock: FakeClock) -> None:
    """A query that finds the file broken makes the store fail; the next start replaces it, whatever it sees then."""
    store.commit([entry(0, "crack")])
    store.database.connection.execute("ALTER TABLE ledger RENAME TO somewhere")
    with pytest.raises(StoreDamagedError, match="no such table: ledger"):
        store.ledger.find("0.jpg")
    failure = store.failure
    store.database.connection.execute("ALTER TABLE somewhere RENAME TO ledger")
    store.close()
    one = again(store, clock)
    one.close()
    two = Store(store.folder, clock)
    two.close()

    assert isinstance(failure, StoreDamagedError)
    assert one.aside is not None
    assert "no such table: ledger" in one.aside.reason
    assert (two.store_id, two.failure) == (one.store_id, None)


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        pytest.param(sqlite3.SQLITE_CORRUPT, "malformed", StoreDamagedError, id="corrupt"),
        pytest.param(sqlite3.SQLITE_CORRUPT | 1 << 8, "malformed", StoreDamagedError, id="corrupt, extended"),
        pytest.param(sqlite3.SQLITE_NOTADB, "not a database", StoreDamagedError, id="not a database"),
        pytest.param(sqlite3.SQLITE_ERROR, "no such table: ledger", StoreDamagedError, id="no table"),
        pytest.param(sqlite3.SQLITE_IOERR, "disk I/O error", StoreBusyError, id="EIO"),
        pytest.param(sqlite3.SQLITE_FULL, "full", StoreBusyError, id="full"),
        pytest.param(sqlite3.SQLITE_READONLY, "readonly", StoreBusyError, id="read-only"),
        pytest.param(sqlite3.SQLITE_BUSY, "locked", StoreBusyError, id="busy"),
        pytest.param(sqlite3.SQLITE_CANTOPEN, "unable to open", StoreBusyError, id="cannot open"),
        pytest.param(sqlite3.SQLITE_NOMEM, "out of memory", StoreBusyError, id="memory"),
        pytest.param(sqlite3.SQLITE_TOOBIG, "too big", ValueError, id="too big"),
        pytest.param(None, "Cannot operate on a closed database.", StoreBusyError, id="closed"),
    ],
)
def test_only_broken_contents_are_damage(code: int | None, text: str, kind: type[Exception]) -> None:
    """Every error of SQLite is a store that refuses, a value that cannot be stored, or proven damage."""
    error = sqlite3.DatabaseError(text)
    if code is not None:
        error.sqlite_errorcode = code

    assert type(as_ours(error)) is kind


def test_a_damaged_message_is_never_delivered(store: Store) -> None:
    """It comes from its record if that is whole; otherwise it is deleted and reported with its number."""
    store.outbox.enable([SINK])
    store.commit([entry(0, "crack")])
    whole = [row.payload for row in store.outbox.pending(0, 9)]
    store.database.connection.execute("UPDATE outbox SET payload = 'x' || payload")
    rows = store.outbox.pending(0, 9)

    assert [row.payload for row in rows] == whole[:2]  # the frame's message has no record
    assert store.outbox.take_damaged() == [3]
    assert store.outbox.take_damaged() == []
    assert store.outbox.outbox_state(SINK).messages == 2


def test_a_damaged_cursor_sends_again(store: Store) -> None:
    """A cursor that is not what was stored counts as none; the one of a previous program, without checksum, holds."""
    store.outbox.enable([SINK])
    store.commit([entry(0, "crack")])
    store.outbox.acknowledge(SINK, 1)
    db = store.database.connection
    db.execute("DROP TRIGGER cursors_of_the_first_program")
    db.execute("UPDATE cursors SET seq = 3")

    assert store.outbox.cursor(SINK) == 0

    store.outbox.acknowledge(SINK, 2)
    store.close()
    one = Store(store.folder, FakeClock())
    one.database.connection.execute("UPDATE cursors SET seq = 3")  # as the previous program moves it

    assert one.outbox.cursor(SINK) == 3
    one.close()


@pytest.mark.parametrize("value", ['{"base": "x"}', "[1]", "{", b"\xff", 7])
def test_a_damaged_life_of_a_broker_is_damage(store: Store, clock: FakeClock, value: Any) -> None:
    """What a sink keeps about its broker would end its thread; a new store begins without."""
    store.database.set_meta("mqtt_life", '{"base": 5, "began_ms": 7, "empty": true}')
    store.close()
    whole = again(store, clock)
    whole.database.set_meta("mqtt_life", value)
    whole.close()
    one = again(store, clock)
    one.close()

    assert whole.aside is None
    assert one.aside is not None
    assert one.aside.reason == "the value of mqtt_life is damaged"


def test_a_store_path_that_is_a_file_is_refused(tmp_path: Path, clock: FakeClock) -> None:
    """A folder that cannot be one is a mistake of the configuration, and nothing is set aside."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"store\.path: .*file cannot be used"):
        Store(tmp_path / "file", clock)


def test_shifted_numbers_stay_apart() -> None:
    """Numbers of many generations of stores fit into SQLite's."""
    assert SHIFT * 1000 < 1 << 63


def test_messages_that_a_broker_does_not_take_are_saved(store: Store, clock: FakeClock) -> None:
    """They are tried again another day, by the new store as well, and never mixed with its own numbers."""
    store.commit([entry(0, "crack")])
    row = store.outbox.pending(0, 1)[0]
    SetAside(store.database, clock, SINK).add(row, "too long")
    broken(store)
    one = again(store, clock)
    again_row = SetAside(one.database, clock, SINK).next_to_try(1 << 50)
    one.close()

    assert again_row is not None
    assert (again_row.seq + SHIFT, again_row.payload) == (row.seq, row.payload)
