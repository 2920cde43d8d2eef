"""`inspector.store.migration`: a store of the previous program is taken over while the station runs, and given back.

`tests/compat/0.1.0/inspector.sqlite3` was written by the program of commit 6550eb6: six stills, a strip with a coil, an
outage, a delivery up to number 9, and a death over `deadly.jpg`. `PreviousProgram` holds that program's statements, to
the letter.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fakes import STAMP, FakeClock, entry

from inspector.frame import FileStamp, FinishedFile
from inspector.store import migration, schema
from inspector.store.entries import DoneMark, Entry
from inspector.store.forget import forget
from inspector.store.records import added_columns
from inspector.store.schema import MigrationStage
from inspector.store.store import Store

PREVIOUS = Path(__file__).parents[1] / "compat" / "0.1.0" / "inspector.sqlite3"
SINK = "mqtt"
COUNTS = {"alarm": 8, "coverage": 1, "defect": 10, "frame": 6}


class PreviousProgram:
    """What the program of 6550eb6 asks of its file."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)

    def close(self) -> None:
        self._db.close()

    def has(self, key: bytes) -> bool:
        return self._db.execute("SELECT 1 FROM records WHERE id = ?", (key,)).fetchone() is not None

    def insert(self, row: tuple[Any, ...]) -> None:
        self._db.execute(
            "INSERT INTO records (id, seq, kind, captured_ms, defect_id, label, severity, score, phase, alarm, payload)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )

    def recent_defects(self, limit: int) -> list[bytes]:
        rows = self._db.execute(
            "SELECT payload FROM records WHERE kind = 'defect' AND captured_ms >= ? AND captured_ms < ? "
            "ORDER BY captured_ms DESC, seq DESC LIMIT ?",
            (-1 << 62, 1 << 62, limit),
        ).fetchall()
        return [row[0] for row in rows]

    def counts(self) -> dict[str, int]:
        return dict(self._db.execute("SELECT kind, count(*) FROM records GROUP BY kind").fetchall())

    def lost(self, first: int, last: int) -> list[tuple[Any, ...]]:
        """The runbook's question."""
        return self._db.execute(
            "SELECT seq, kind, datetime(captured_ms / 1000, 'unixepoch'), label, score, phase FROM records "
            f"WHERE seq BETWEEN {first} AND {last} ORDER BY seq"
        ).fetchall()

    def forget(self, from_ms: int, to_ms: int) -> list[bytes]:
        self._db.execute("BEGIN IMMEDIATE")
        waiting_from = self._db.execute("SELECT coalesce(min(seq), 0) FROM cursors").fetchone()[0]
        chosen = "captured_ms >= ? AND captured_ms < ? AND seq <= ?"
        span = (from_ms, to_ms, waiting_from)
        defects = self._db.execute(f"SELECT DISTINCT defect_id FROM records WHERE kind = 'defect' AND {chosen}", span)
        names = [row[0] for row in defects.fetchall()]
        self._db.execute(f"DELETE FROM outbox WHERE seq IN (SELECT seq FROM records WHERE {chosen})", span)
        self._db.execute(f"DELETE FROM records WHERE {chosen}", span)
        self._db.execute("DELETE FROM candidates WHERE captured_ms >= ? AND captured_ms < ?", (from_ms, to_ms))
        self._db.execute("COMMIT")
        self._db.execute("VACUUM")
        return names


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the previous program's store, moved four rows at a time."""
    monkeypatch.setattr(migration, "SLICE_ROWS", 4)
    shutil.copy(PREVIOUS, tmp_path / "inspector.sqlite3")
    return tmp_path


def tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as db:
        return {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")}


def move_all(store: Store) -> int:
    """Do all there is to do; returns how many slices it took."""
    slices = 1
    while store.migration.step():
        slices += 1
    return slices


@pytest.fixture(params=list(MigrationStage), ids=lambda stage: stage.name.lower())
def stage(request: pytest.FixtureRequest) -> MigrationStage:
    """How far the records are when something happens."""
    given: MigrationStage = request.param
    return given


def brought_to(folder: Path, stage: MigrationStage) -> Store:
    """Open the store and go on until some slices into a stage."""
    store = Store(folder, FakeClock())
    while store.migration.stage is not stage:
        store.migration.step()
    for _ in range(2 if stage in (MigrationStage.COPYING, MigrationStage.DRAINING) else 0):
        store.migration.step()
    assert store.migration.stage is stage
    return store


def test_nothing_is_lost_on_the_way(folder: Path, stage: MigrationStage) -> None:
    """What the previous program stored is there at every stage: messages, outbox, cursor, ledger, coil, suspects."""
    with closing(sqlite3.connect(PREVIOUS)) as db:
        payloads = [row[0] for row in db.execute(
            "SELECT payload FROM records WHERE kind = 'defect' ORDER BY captured_ms DESC, seq DESC"
        )]  # fmt: skip
    with closing(brought_to(folder, stage)) as store:
        store.outbox.enable([SINK])
        assert store.reader.recent_defects(99) == [json.loads(payload) for payload in payloads]
        assert store.reader.counts() == COUNTS
        assert [row.seq for row in store.outbox.pending(store.outbox.cursor(SINK), 99)] == list(range(10, 26))
        assert store.ledger.find("0.jpg") == FinishedFile(FileStamp(*STAMP[:2]), None, refused=False, proven=False)
        assert store.ledger.suspects() == {"deadly.jpg": 1}
        assert store.coils.current()[0] == "C-17"
        assert store.notes.next_epoch() == 4


def test_a_message_of_the_previous_program_is_known(folder: Path, stage: MigrationStage) -> None:
    """What is inspected again after the upgrade is stored once, and numbers go on without a gap."""
    with closing(brought_to(folder, stage)) as store:
        again = store.commit([entry(3, "crack", "hole")])
        new = store.commit([entry(99, "crack")])
        counts = store.reader.counts()

    assert ([body.seq for body in again], [body.seq for body in new]) == ([], [26, 27, 28])
    assert counts == {"alarm": 9, "coverage": 1, "defect": 11, "frame": 7}


def test_the_way_has_an_end(folder: Path) -> None:
    """25 rows in slices of four; then one table with rows, checksums, coils and places, and nothing of the way."""
    path = folder / "inspector.sqlite3"
    with closing(Store(folder, FakeClock())) as store:
        slices = move_all(store)
        rows = store.database.all(
            "SELECT rowid, payload, payload_crc32, coil_id, line, position_mm FROM records ORDER BY seq"
        )
    Store(folder, FakeClock()).close()
    with closing(sqlite3.connect(path)) as db:
        moved = dict(db.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall())
    Store(folder / "new", FakeClock()).close()
    with closing(sqlite3.connect(folder / "new" / "inspector.sqlite3")) as db:
        new = dict(db.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall())

    assert slices == 18  # begin, seven to copy, their end, seven to empty, their end, nothing to complete
    assert len({row[0] for row in rows}) == 25
    assert all(crc32 == (None if payload is None else zlib.crc32(payload)) for _, payload, crc32, *_ in rows)
    assert [row[3:] for row in rows[17:]] == [
        (None, None, None),
        ("C-17", 232, 116.0), ("C-17", None, None), ("C-17", 232, 116.0),
        ("C-17", 512, 256.0), ("C-17", None, None), ("C-17", 512, 256.0),
        ("C-17", None, None),
    ]  # fmt: skip
    bare = [{name: sql and "".join(sql.replace('"', "").split()) for name, sql in one.items()} for one in (moved, new)]
    assert bare[0] == bare[1]


def test_a_coil_is_found_at_every_stage(folder: Path, stage: MigrationStage) -> None:
    """Rows that are not moved yet are asked by what their payload says."""
    with closing(brought_to(folder, stage)) as store:
        found = [row["label"] for row in store.reader.recent_defects(99, coil_id="C-17")]
        name = store.database.records_name
        places = store.database.all(f"SELECT line, position_mm FROM {name} WHERE line IS NOT NULL ORDER BY seq")

    assert found == ["rust", "rust", "hole", "hole"]
    assert places == [(232, 116.0), (232, 116.0), (512, 256.0), (512, 256.0)]


def test_the_previous_program_works_with_it(folder: Path, stage: MigrationStage, tmp_path: Path) -> None:
    """At every stage its statements find, store and delete what they do in a file that was never moved."""
    brought_to(folder, stage).close()
    untouched = tmp_path / "untouched.sqlite3"
    shutil.copy(PREVIOUS, untouched)
    answers = []
    for path in (folder / "inspector.sqlite3", untouched):
        with closing(PreviousProgram(path)) as program:
            before = program.recent_defects(99), program.counts(), program.lost(4, 21)
            key = bytes(range(16))
            program.insert(
                (key, 26, "defect", 1772366500000, key, "hole", "major", 0.9, "closed", 1, b'{"coil_id":"D"}')
            )
            known = program.has(key), program.has(bytes(16))
            after = program.recent_defects(3), program.counts()
            gone = sorted(program.forget(1772366400000, 1772366400200))
            answers.append((before, known, after, gone, program.counts(), program.lost(1, 99)))

    assert answers[0] == answers[1]
    assert answers[0][1] == (True, False)


def test_what_the_previous_program_wrote_meanwhile_is_taken_over(folder: Path, stage: MigrationStage) -> None:
    """After a downgrade and an upgrade, its rows are there, and get what it did not store."""
    brought_to(folder, stage).close()
    with closing(PreviousProgram(folder / "inspector.sqlite3")) as program:
        key, payload = bytes(range(16)), b'{"coil_id":"D-1","line":7,"position_m":0.5}'
        program.insert((key, 26, "defect", 1772366500000, key, "hole", "major", 0.9, "closed", 1, payload))
    with closing(Store(folder, FakeClock())) as store:
        move_all(store)
        rows = store.database.all("SELECT payload_crc32, coil_id, line, position_mm FROM records WHERE id = ?", [key])
        counts = store.reader.counts()

    assert rows == [(zlib.crc32(payload), "D-1", 7, 500.0)]
    assert counts == {**COUNTS, "defect": 11}


def test_a_file_that_the_previous_program_finished_again_is_unproven(tmp_path: Path) -> None:
    """Its statement replaces the row, so nothing that it does not know of stays behind."""
    store = Store(tmp_path, FakeClock())
    store.commit([Entry([], {}, DoneMark("a.jpg", STAMP, "clean", "ab"))])
    store.close()
    with closing(sqlite3.connect(tmp_path / "inspector.sqlite3")) as db, db:
        db.execute(
            "INSERT OR REPLACE INTO ledger (source_key, size_bytes, mtime_ns, outcome, done_ms) VALUES (?, ?, ?, ?, ?)",
            ("a.jpg", 7, 8, "clean", 9),
        )
    with closing(Store(tmp_path, FakeClock())) as store:
        found = store.ledger.find("a.jpg")

    assert found == FinishedFile(FileStamp(7, 8), None, refused=False, proven=False)


def test_a_payload_that_no_one_can_read_holds_nothing_up(folder: Path) -> None:
    """A damaged row of the previous program is moved as it is; it has no checksum that would call it whole."""
    with closing(sqlite3.connect(folder / "inspector.sqlite3")) as db:
        db.execute("UPDATE records SET payload = x'00' WHERE seq IN (1, 2, 4, 5, 6, 7)")
        db.commit()
    with closing(Store(folder, FakeClock())) as store:
        slices = move_all(store)
        [(whole,)] = store.database.all("SELECT count(payload_crc32) FROM records")
        counts = store.reader.counts()

    assert (slices, whole, counts) == (20, 13, COUNTS)


def test_a_death_between_slices_loses_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice that fails in its middle leaves every row where it was; the next start goes on."""
    real, calls = added_columns, 0

    def fail(payload: bytes | None) -> tuple[Any, ...]:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise KeyboardInterrupt
        return real(payload)

    monkeypatch.setattr(migration, "added_columns", fail)
    with closing(Store(folder, FakeClock())) as store:
        with pytest.raises(KeyboardInterrupt):
            move_all(store)
        counts = store.reader.counts()
    with closing(Store(folder, FakeClock())) as store:
        move_all(store)
        assert counts == store.reader.counts() == COUNTS


def ask_page(store: Store) -> None:
    store.reader.recent_defects(10)


def ask_commit(store: Store) -> None:
    store.records.has("0" * 32)


@pytest.mark.parametrize("ask", [ask_page, ask_commit])
def test_what_is_asked_often_reads_no_whole_table(folder: Path, ask: Callable[[Store], None]) -> None:
    """A page and a commit cost the same whether 25 or 4,000 records wait to be moved."""
    path = folder / "inspector.sqlite3"
    few = instructions(folder, ask)
    with closing(sqlite3.connect(path)) as db:
        [payload] = db.execute("SELECT payload FROM records WHERE seq = 19").fetchone()
        db.executemany(
            "INSERT INTO records (id, seq, kind, captured_ms, label, severity, payload) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (number.to_bytes(16, "big"), number, "defect", 1772366400000 + number, "hole", "major", payload)
                for number in range(100, 4100)
            ],
        )
        db.commit()
    many = instructions(folder, ask)

    assert many < 2 * few + 100


def instructions(folder: Path, ask: Callable[[Store], None]) -> int:
    """How many instructions of SQLite's machine it takes."""
    count: list[None] = []
    with closing(Store(folder, FakeClock())) as store:
        for connection in (store.database.connection, store.reader._db):
            connection.set_progress_handler(lambda: count.append(None), 1)
        ask(store)
    return len(count)


def test_opening_reads_no_record(tmp_path: Path) -> None:
    """However many records a previous program has left, taking them over costs the same."""
    counts = []
    for rows in (0, 4000):
        path = tmp_path / f"{rows}.sqlite3"
        shutil.copy(PREVIOUS, path)
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("BEGIN")
            db.executemany(
                "INSERT INTO records (id, seq, kind, captured_ms) VALUES (?, ?, 'frame', 0)",
                [(number.to_bytes(16, "big"), number) for number in range(100, 100 + rows)],
            )
            db.execute("COMMIT")
            count: list[None] = []
            db.set_progress_handler(partial(count.append, None), 1)
            schema.bring_up_to_date(db)
            counts.append(len(count))

    assert counts[1] <= counts[0]


def test_without_room_the_records_stay_and_work(folder: Path) -> None:
    """A copy that does not fit on the disk is not begun; messages are stored and found all the same."""
    with closing(Store(folder, FakeClock())) as store:
        free = [migration.SPARE_BYTES]
        waiting = migration.RecordsMigration(store.database, lambda _: free[0])
        went_on = waiting.step(), waiting.stage
        store.commit([entry(99, "crack")])
        found = [row["label"] for row in store.reader.recent_defects(99, label="crack")], store.reader.counts()
        free[0] = 1 << 40
        waiting.step()

    assert went_on == (False, MigrationStage.PREVIOUS)
    assert found == (["crack"] * 3, {**COUNTS, "defect": 11, "alarm": 9, "frame": 7})
    assert waiting.stage is MigrationStage.COPYING


def test_a_message_stored_on_the_way_has_all_columns(folder: Path, stage: MigrationStage) -> None:
    """What this program stores has its checksum at the end, whenever it was stored."""
    with closing(brought_to(folder, stage)) as store:
        [defect, _, frame] = store.commit([entry(99, "crack")])
        move_all(store)
        rows = store.database.all("SELECT payload, payload_crc32 FROM records WHERE seq = ?", [defect.seq])
        [(crc32,)] = store.database.all("SELECT payload_crc32 FROM records WHERE seq = ?", [frame.seq])

    assert [zlib.crc32(payload) for payload, _ in rows] == [crc for _, crc in rows]
    assert (crc32 is None) == (stage is MigrationStage.PREVIOUS)  # the previous table has no room for it


def test_what_is_forgotten_on_the_way_is_gone(folder: Path, stage: MigrationStage) -> None:
    """Deleted records are in none of the tables, and in no byte of the file."""
    store = brought_to(folder, stage)
    store.outbox.enable([])
    count, _ = forget(store.database, 0, 1 << 62, store.outbox.delivered_seq())
    move_all(store)
    store.close()

    assert count == 25
    left = b"".join(path.read_bytes() for path in folder.glob("inspector.sqlite3*"))
    assert b'"coil_id":"C-17"' not in left
