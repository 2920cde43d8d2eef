"""`inspector.store.read_only`: what was stored can be read back, and reading waits for nobody."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from fakes import entry

from inspector.errors import StoreBusyError
from inspector.store.store import Store


def test_recent_defects_come_newest_first(store: Store) -> None:
    """The newest defect messages come first, as many as asked for, older than asked for."""
    store.commit([entry(number, "crack") for number in range(5)])
    moments = [row["timestamp_ms"] for row in store.reader.recent_defects(3)]

    assert sorted(moments, reverse=True) == moments
    assert len(moments) == 3
    assert all(row["timestamp_ms"] < moments[-1] for row in store.reader.recent_defects(9, before_ms=moments[-1]))


def test_reading_waits_for_no_commit(store: Store) -> None:
    """While another thread is inside a transaction, what was stored before is read; what it writes is not there yet."""
    store.commit([entry(0, "crack")])
    inside, leave = threading.Event(), threading.Event()

    def write() -> None:
        with store.database.transaction() as db:
            db.execute("DELETE FROM records")
            inside.set()
            leave.wait(60)

    with ThreadPoolExecutor(2) as threads:
        writing = threads.submit(write)
        inside.wait(60)
        try:
            found = threads.submit(store.reader.recent_defects, 9).result(timeout=10)
        finally:
            leave.set()
        writing.result(timeout=60)

    assert [row["label"] for row in found] == ["crack"]
    assert store.reader.recent_defects(9) == []


def test_the_reader_cannot_write(store: Store) -> None:
    """Whatever a page asks, the store stays as it is."""
    with pytest.raises(StoreBusyError, match="readonly"):
        store.reader._all("DELETE FROM records")


def test_defects_can_be_asked_for_by_label(store: Store) -> None:
    """Only those of the label come, newest first, as many as asked for."""
    store.commit([entry(number, "crack", "hole") for number in range(4)])
    found = store.reader.recent_defects(3, label="hole")

    assert [row["label"] for row in found] == ["hole"] * 3
    assert [row["timestamp_ms"] for row in found] == sorted((row["timestamp_ms"] for row in found), reverse=True)


OTHER_BYTES = "CAST(replace(payload, 'crack', 'hole!') AS BLOB)"


@pytest.mark.parametrize(
    ("payload", "crc32", "shown"),
    [
        pytest.param(OTHER_BYTES, "payload_crc32", [0, 2, 3], id="other bytes"),
        pytest.param("x'00'", "payload_crc32", [0, 2, 3], id="no JSON"),
        pytest.param("x'00'", "NULL", [0, 2, 3], id="no JSON, of a previous program"),
        pytest.param(OTHER_BYTES, "NULL", [0, 1, 2], id="other bytes, of a previous program: that is not known"),
    ],
)
def test_a_damaged_record_is_not_shown(store: Store, payload: str, crc32: str, shown: list[int]) -> None:
    """A payload that is not what was stored is no message; the others are shown, as many as were asked for."""
    store.commit([entry(number, "crack") for number in range(5)])
    newest = [row["seq"] for row in store.reader.recent_defects(5)]
    with store.database.transaction() as db:
        statement = f"UPDATE records SET payload = {payload}, payload_crc32 = {crc32} WHERE seq = ?"
        db.execute(statement, (newest[1],))

    assert [newest.index(row["seq"]) for row in store.reader.recent_defects(3)] == shown
