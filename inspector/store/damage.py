"""What an error of SQLite means: a disk that refuses, a value that cannot be stored, or a file that is broken.

Only what SQLite proves of the file's contents is damage. A disk that is full, read-only, slow, failing or locked is
not: there the file may be whole, so the station waits and touches nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from inspector.errors import InspectorError, StoreBusyError, StoreDamagedError

_BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})
_VALUE = frozenset({sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_RANGE})
_SCHEMA_GONE = (
    "no such table", "no such column", "no such index", "malformed database schema", "unsupported file format",
    "Could not decode to UTF-8",
)  # fmt: skip
"""Messages of errors without a code of their own: our tables are there, or the file is not what we made."""
_NUMBER_TAKEN = "UNIQUE constraint failed: outbox.seq"


def as_ours(exc: sqlite3.Error) -> InspectorError | ValueError:
    """Return the error of ours that an error of SQLite is."""
    code = getattr(exc, "sqlite_errorcode", None)
    primary, text = None if code is None else code & 0xFF, str(exc)
    if primary in _BROKEN or text == _NUMBER_TAKEN:
        return StoreDamagedError(text)
    if primary in (None, sqlite3.SQLITE_ERROR) and text.startswith(_SCHEMA_GONE):
        return StoreDamagedError(text)
    if primary in _VALUE or isinstance(exc, sqlite3.DataError | sqlite3.IntegrityError | sqlite3.InterfaceError):
        return ValueError(f"the store cannot hold this: {exc}")
    if isinstance(exc, sqlite3.ProgrammingError) and "binding" in text:
        return ValueError(f"the store cannot hold this: {exc}")
    return StoreBusyError(text)


@contextmanager
def translated() -> Iterator[None]:
    """Translate every error of SQLite in the block.

    Raises:
        StoreBusyError: The disk refuses, or another program holds the file; waiting may help.
        StoreDamagedError: The file is broken.
        ValueError: A value cannot be stored.
    """
    try:
        yield
    except sqlite3.Error as exc:
        raise as_ours(exc) from exc
