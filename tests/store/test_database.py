"""`inspector.store.database`: one file, held by one process, and only a file of ours."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeClock, entry

from inspector.errors import StoreBusyError, StoreDamagedError, StoreError
from inspector.store.store import Store


def test_a_second_instance_is_refused(store: Store) -> None:
    """Two processes on one store are refused, naming the folder and the process that has it."""
    with pytest.raises(StoreError, match=f"{re.escape(str(store.folder))} is in use .* process {os.getpid()}$"):
        Store(store.folder, FakeClock())


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
        pytest.param(torn, StoreDamagedError, id="a damaged file does not"),
    ],
)
def test_no_error_of_sqlite_leaves_the_store(store: Store, harm: Any, expected: type[Exception]) -> None:
    """Whoever commits learns whether waiting may help, without knowing what the store is made of."""
    harm(store)
    with pytest.raises(expected):
        store.commit([entry(number, "crack", "hole", "rust") for number in range(40)])
