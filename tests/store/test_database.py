"""`inspector.store.database`: one file, held by one process, and only a file of ours."""

from __future__ import annotations

import os
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeClock, entry

from inspector.errors import StoreBusyError, StoreError, WorkerError
from inspector.store.store import Store


def foreign_database(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE photos (name TEXT)")
    db.close()


def newer_store(path: Path) -> None:
    Store(path.parent, FakeClock()).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()


def test_a_second_instance_is_refused(store: Store) -> None:
    """Two processes on one store are refused, naming the folder and the process that has it."""
    with pytest.raises(StoreError, match=f"{re.escape(str(store.folder))} is in use .* process {os.getpid()}$"):
        Store(store.folder, FakeClock())


@pytest.mark.parametrize(
    ("prepare", "text"),
    [
        pytest.param(foreign_database, "not a store of inspector", id="another program's database"),
        pytest.param(newer_store, r"written by a newer inspector, schema 99 \(this one knows 1\)", id="newer schema"),
        pytest.param(lambda path: path.write_bytes(b"no database " * 99), "cannot be opened", id="no database"),
        pytest.param(lambda path: path.mkdir(), "cannot be opened", id="a folder"),
    ],
)
def test_what_is_no_store_of_ours_is_refused(tmp_path: Path, prepare: Any, text: str) -> None:
    """Foreign, newer and damaged files are refused by name, stay as they were, and are not left locked."""
    path = tmp_path / "inspector.sqlite3"
    prepare(path)
    before = path.read_bytes() if path.is_file() else b""
    for _ in range(2):
        with pytest.raises(StoreError, match=f"{re.escape(str(path))}: .*{text}"):
            Store(tmp_path, FakeClock())

    assert before == (path.read_bytes() if path.is_file() else b"")


def test_a_place_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    """A store path that is a file is refused with the key."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"store\.path: .*file cannot be used"):
        Store(tmp_path / "file", FakeClock())


def no_room(store: Store) -> None:
    pages = store.database.connection.execute("PRAGMA page_count").fetchone()[0]
    store.database.connection.execute(f"PRAGMA max_page_count = {pages}")


def torn(store: Store) -> None:
    """The file as a broken disk leaves it: every page but the first is zero."""
    store.database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path = store.folder / "inspector.sqlite3"
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(bytes(path.stat().st_size - 4096))
    store.database.connection.execute("PRAGMA cache_size = 0")
    store.database.connection.execute("PRAGMA shrink_memory")


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        pytest.param(no_room, StoreBusyError, id="a full disk passes"),
        pytest.param(torn, WorkerError, id="a damaged file does not"),
    ],
)
def test_no_error_of_sqlite_leaves_the_store(store: Store, harm: Any, expected: type[Exception]) -> None:
    """Whoever commits learns whether waiting may help, without knowing what the store is made of."""
    harm(store)
    with pytest.raises(expected):
        store.commit([entry(number, "crack", "hole", "rust") for number in range(40)])
