"""Where a consumer keeps messages: a table of SQLite or lines of JSON, durable before the broker hears that they are.

Nothing is kept twice. A process that dies between keeping and acknowledging gets the same messages again, and knows
them by their ids.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from inspector.consume.intake import Arrival, read_arrival
from inspector.errors import SourceError

_TABLE = """
CREATE TABLE IF NOT EXISTS messages (
  id TEXT NOT NULL UNIQUE, root TEXT NOT NULL, topic TEXT NOT NULL, store_id TEXT NOT NULL, seq INTEGER NOT NULL,
  payload TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS messages_by_seq ON messages (root, store_id, seq);
"""
_STRETCHES = """
SELECT root, store_id, min(seq), max(seq) FROM (
  SELECT rowid AS place, root, store_id, seq,
    seq - row_number() OVER (PARTITION BY root, store_id ORDER BY seq) AS stretch FROM messages
) GROUP BY root, store_id, stretch ORDER BY max(place)
"""

MAX_STATE = 1 << 20
"""Characters of what a station says of itself; what is longer is passed over."""
Stretch = tuple[str, str, int, int]
"""Root, store, first and last `seq`."""


class Kept(Protocol):
    """Messages, each once."""

    def has(self, message_id: str) -> bool:
        """Say whether a message of this id is kept."""
        ...

    def add(self, arrivals: Sequence[Arrival]) -> None:
        """Keep messages that are not kept yet; when this returns, they survive the machine."""
        ...

    def stretches(self) -> list[Stretch]:
        """Return which numbers are kept; the stretch with the newest message comes last."""
        ...

    def losses(self) -> list[Arrival]:
        """Return the kept messages that report lost ones."""
        ...

    def close(self) -> None:
        """End."""
        ...


def open_kept(path: Path) -> Kept:
    """Return where messages are kept, by the name of the file: `.jsonl` is lines, anything else SQLite.

    Raises:
        SourceError: The file cannot be used.
    """
    return KeptLines(path) if path.suffix == ".jsonl" else KeptTable(path)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError, UnicodeDecodeError) as exc:
        raise SourceError(f"{path}: cannot be used: {exc}") from exc


class KeptTable:
    """A table `messages` in a SQLite file, in the order of arrival.

    Raises:
        SourceError: From every method: the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with _named(path):
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._db.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; {_TABLE}")

    def has(self, message_id: str) -> bool:
        """Say whether a message of this id is kept."""
        with _named(self._path):
            return self._db.execute("SELECT 1 FROM messages WHERE id = ?", (message_id,)).fetchone() is not None

    def add(self, arrivals: Sequence[Arrival]) -> None:
        """Keep messages in one transaction."""
        rows = [(one.id, one.root, one.topic, one.store_id, one.seq, one.payload.decode()) for one in arrivals]
        with _named(self._path), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                "INSERT OR IGNORE INTO messages (id, root, topic, store_id, seq, payload) VALUES (?, ?, ?, ?, ?, ?)",
                rows,
            )

    def stretches(self) -> list[Stretch]:
        """Return which numbers are kept."""
        with _named(self._path):
            return self._db.execute(_STRETCHES).fetchall()

    def losses(self) -> list[Arrival]:
        """Return the kept messages that report lost ones."""
        with _named(self._path):
            rows = self._db.execute("SELECT root, payload FROM messages WHERE topic = 'coverage'").fetchall()
        found = [read_arrival(f"{root}/coverage", payload.encode()) for root, payload in rows]
        return [one for one in found if one is not None and one.lost]

    def close(self) -> None:
        """Close the file."""
        self._db.close()


class KeptQueue(KeptTable):
    """A table whose rows another thread reads in their order, each once: it knows how far it was.

    What is no numbered message is a row, too, without a number, and once for each payload that differs from the
    previous one of its topic. Safe to use from several threads.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._guard = threading.RLock()  # no thread may read what another has not committed yet
        self._last: dict[tuple[str, str], str] = {}
        with _named(path):
            columns = {row[1] for row in self._db.execute("PRAGMA table_info(messages)")}
            if "at_ms" not in columns:
                self._db.execute("ALTER TABLE messages ADD COLUMN at_ms INTEGER")

    def has(self, message_id: str) -> bool:
        """Say whether a message of this id is kept."""
        with self._guard:
            return super().has(message_id)

    def add(self, arrivals: Sequence[Arrival]) -> None:
        """Keep messages that are not kept yet."""
        with self._guard:
            super().add(arrivals)

    def put_state(self, root: str, topic: str, payload: bytes) -> None:
        """Add what a station says of itself, unless it said the same before."""
        text = payload.decode(errors="replace")
        if self._last.get((root, topic)) == text or len(text) > MAX_STATE:
            return
        with self._guard, _named(self._path):
            last = self._db.execute(
                "SELECT payload FROM messages WHERE root = ? AND topic = ? ORDER BY rowid DESC LIMIT 1", (root, topic)
            ).fetchone()
            if last is None or last[0] != text:
                self._db.execute(
                    "INSERT INTO messages (id, root, topic, store_id, seq, payload) VALUES (?, ?, ?, '', 0, ?)",
                    (str(uuid.uuid4()), root, topic, text),
                )
        self._last[root, topic] = text

    def last_place(self) -> int:
        """Return the place of the newest row; 0: there is none."""
        with self._guard, _named(self._path):
            return int(self._db.execute("SELECT coalesce(max(rowid), 0) FROM messages").fetchone()[0])

    def after(self, place: int, limit: int) -> list[tuple[int, str, str, str]]:
        """Return the next rows behind a place: their place, root, topic and payload."""
        with self._guard, _named(self._path):
            return self._db.execute(
                "SELECT rowid, root, topic, payload FROM messages WHERE rowid > ? ORDER BY rowid LIMIT ?",
                (place, limit),
            ).fetchall()

    def forget(self, place: int, before_ms: int, now_ms: int) -> int:
        """Date the rows that are new, delete up to a place what came before a moment, and return how many went.

        The newest row of each station and topic stays: it says what a consumer has.
        """
        with self._guard, _named(self._path):
            self._db.execute("UPDATE messages SET at_ms = ? WHERE at_ms IS NULL", (now_ms,))
            return self._db.execute(
                "DELETE FROM messages WHERE rowid <= ? AND at_ms < ? AND rowid NOT IN"
                " (SELECT max(rowid) FROM messages GROUP BY root, topic)",
                (place, before_ms),
            ).rowcount

    def stretches(self) -> list[Stretch]:
        """Return which numbers are kept, of numbered messages."""
        return [one for one in super().stretches() if one[1]]


class KeptLines:
    """Lines of JSON, `{"topic": …, "payload": {…}}`, in the order of arrival; the ids are held in memory.

    Raises:
        SourceError: From every method: the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ids: set[bytes] = set()
        self._stretches: list[Stretch] = []
        self._losses: list[Arrival] = []
        with _named(path):
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
            self._read()

    def _read(self) -> None:
        whole = 0
        with self._path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.endswith(b"\n"):
                    break  # a process that died while it wrote: what it wrote was not acknowledged
                whole += len(line)
                self._note(number, line)
        os.ftruncate(self._fd, whole)

    def _note(self, number: int, line: bytes) -> None:
        try:
            kept = json.loads(line)
            arrival = read_arrival(kept["topic"], json.dumps(kept["payload"]).encode())
        except (ValueError, KeyError, TypeError):
            arrival = None
        if arrival is None:
            raise SourceError(f"{self._path}: line {number} is not from a consumer; nothing was changed")
        self._ids.add(_short(arrival.id))
        if arrival.lost:
            self._losses.append(arrival)
        source = (arrival.root, arrival.store_id)
        if self._stretches and self._stretches[-1][:2] == source and self._stretches[-1][3] == arrival.seq - 1:
            *_, first, _ = self._stretches.pop()  # a stretch for each line would take 300 bytes each
            self._stretches.append((*source, first, arrival.seq))
        else:
            self._stretches.append((*source, arrival.seq, arrival.seq))

    def has(self, message_id: str) -> bool:
        """Say whether a message of this id is kept."""
        return _short(message_id) in self._ids

    def add(self, arrivals: Sequence[Arrival]) -> None:
        """Append lines and sync them."""
        lines = [b'{"topic": %s, "payload": %s}\n' % (json.dumps(f"{one.root}/{one.topic}").encode(), _one_line(one))
                 for one in arrivals]  # fmt: skip
        with _named(self._path):
            left = memoryview(b"".join(lines))
            while left:
                left = left[os.write(self._fd, left) :]
            os.fdatasync(self._fd)
        self._ids |= {_short(one.id) for one in arrivals}

    def stretches(self) -> list[Stretch]:
        """Return which numbers the file had when it was opened."""
        return self._stretches

    def losses(self) -> list[Arrival]:
        """Return the messages that report lost ones and were in the file when it was opened."""
        return self._losses

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def _one_line(arrival: Arrival) -> bytes:
    """Return a payload without line ends, which a station's has none of."""
    return arrival.payload if b"\n" not in arrival.payload else json.dumps(json.loads(arrival.payload)).encode()


def _short(message_id: str) -> bytes:
    try:
        return uuid.UUID(message_id).bytes
    except ValueError:
        return message_id.encode()
