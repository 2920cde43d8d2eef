"""The durable memory of one station: records, outbox, ledger and counters in one SQLite file.

Messages, their place in the outbox and the done-mark of their file are one transaction (WAL, `synchronous=FULL`), so
a process that dies at any moment has either done a frame or not begun it. The store allocates `epoch` and `seq`, and
nobody else does. One process per store, held by a lock file. Stored payloads never change.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from inspector.clock import Clock, to_timestamp_ms
from inspector.drafts import numbered
from inspector.errors import StoreError, WorkerError
from inspector.faults import crash_point
from inspector.messages import AlarmMessage, Body, CoverageMessage, DefectMessage, FrameMessage
from inspector.messages import encode as encode_message
from inspector.store.entries import REFUSED_OUTCOMES, Entry, OutboxRow, OutboxState
from inspector.store.work_list import WorkList

DATABASE = "inspector.sqlite3"
APPLICATION_ID = 0x1A5BEC70
SCHEMA_VERSION = 1
"""Which programs can work with the file. A release may add tables, columns and indexes without touching it; it grows
only when the release before knows the new number already, so that going back by one version always opens the store."""
MAX_CANDIDATES = 1_000_000
PRUNE_ROWS = 2000
"""Delivered rows removed at once, so that tidying never holds up a commit for long ..."""
PRUNE_TIMES = 5
"""... and how often in one call: called every 5 s, it keeps up with 2,000 messages a second."""


_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
CREATE TABLE records (
  id BLOB PRIMARY KEY, seq INTEGER NOT NULL, kind TEXT NOT NULL, captured_ms INTEGER NOT NULL, defect_id BLOB,
  label TEXT, severity TEXT, score REAL, phase TEXT, alarm INTEGER, payload BLOB
) WITHOUT ROWID;
CREATE INDEX records_by_time ON records (kind, captured_ms);
CREATE TABLE outbox (
  seq INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL, class TEXT NOT NULL, stored_ms INTEGER NOT NULL
);
CREATE INDEX outbox_frames ON outbox (seq) WHERE class = 'frame';
CREATE TABLE cursors (sink TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE ledger (
  source_key TEXT PRIMARY KEY, size_bytes INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, outcome TEXT NOT NULL,
  done_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE deaths (source_key TEXT PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE candidates (
  captured_ms INTEGER NOT NULL, epoch INTEGER NOT NULL, frame_id INTEGER NOT NULL, source_key TEXT, label TEXT NOT NULL,
  score REAL NOT NULL, x INTEGER NOT NULL, y INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
  bundle TEXT NOT NULL
);
CREATE TABLE configurations (
  fingerprint TEXT PRIMARY KEY, kind TEXT NOT NULL, first_ms INTEGER NOT NULL, text TEXT NOT NULL
) WITHOUT ROWID;
"""


# Columns by name: the next version may have added some, and this one must still work with its file (a downgrade).
_PUT_META = "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
_COUNT_DEATH = (
    "INSERT INTO deaths (source_key, times) VALUES (?, 1) ON CONFLICT (source_key) DO UPDATE SET times = times + 1"
)
_INSERT_RECORD = (
    "INSERT INTO records (id, seq, kind, captured_ms, defect_id, label, severity, score, phase, alarm, payload)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_REPLACE_LEDGER = (
    "INSERT OR REPLACE INTO ledger (source_key, size_bytes, mtime_ns, outcome, done_ms) VALUES (?, ?, ?, ?, ?)"
)
_INSERT_CANDIDATE = (
    "INSERT INTO candidates (captured_ms, epoch, frame_id, source_key, label, score, x, y, width, height, bundle)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


@dataclass(slots=True)
class _Waiting:
    """What waits for one sink: kept up to date, because a scan reads up to the outbox limit from disk."""

    cursor: int
    messages: int
    bytes: int


class Store:
    """Opens, or creates, the store in `folder`; safe to use from several threads.

    Args:
        folder: Holds `inspector.sqlite3`, its lock, and the list of files in work.
        clock: Time.
        outbox_limit_bytes: Undelivered payload bytes beyond which the oldest messages are lost.

    Raises:
        StoreError: Another process has it, it is no store of ours, or a newer program wrote it.
    """

    def __init__(self, folder: Path, clock: Clock, outbox_limit_bytes: int = 256 << 20) -> None:
        self.folder = folder
        self._clock = clock
        self._limit_bytes = outbox_limit_bytes
        self._guard = threading.RLock()
        self._waiting: dict[str, _Waiting] = {}
        self._closed = False
        self._lock_fd = _lock(folder)
        try:
            self._db = self._open(folder / DATABASE)
            self.store_id = str(self._meta("store_id") or self._set_meta("store_id", str(uuid.uuid4())))
            self._work = WorkList(folder / "in-work")
            self._blame_files_in_work()
        except BaseException as exc:
            os.close(self._lock_fd)
            if isinstance(exc, (sqlite3.OperationalError, OSError)):  # no room, or a broken disk: waiting may mend it
                raise WorkerError(f"store.path: {folder} cannot be written: {exc}") from exc
            raise

    # --- Opening and closing --------------------------------------------------------------------------------------

    def _open(self, path: Path) -> sqlite3.Connection:
        try:
            db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
        except sqlite3.DatabaseError as exc:
            raise StoreError(f"{path}: cannot be opened: {exc}") from exc
        try:
            application, version = (db.execute(f"PRAGMA {p}").fetchone()[0] for p in ("application_id", "user_version"))
            tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if tables and application != APPLICATION_ID:
                raise StoreError(f"{path}: not a store of inspector (application id {application:#x})")
            if version > SCHEMA_VERSION:
                raise StoreError(
                    f"{path}: written by a newer inspector, schema {version} (this one knows {SCHEMA_VERSION})"
                )
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            if not tables:
                db.executescript(
                    f"BEGIN;{_SCHEMA}PRAGMA application_id = {APPLICATION_ID};"
                    f"PRAGMA user_version = {SCHEMA_VERSION};COMMIT;"
                )
        except BaseException as exc:
            db.close()
            if isinstance(exc, sqlite3.DatabaseError) and not isinstance(exc, sqlite3.OperationalError):
                raise StoreError(f"{path}: cannot be opened: {exc}") from exc
            raise
        return db

    def close(self, clean: bool = True) -> None:
        """Close; `clean` says that the process ends on purpose, so no file in work is to blame. Idempotent."""
        with self._guard:
            if self._closed:
                return
            self._closed = True
            if clean:
                self._work.clear()
            self._work.close()
            self._db.close()
            os.close(self._lock_fd)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._guard:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _meta(self, key: str) -> Any:
        with self._guard:
            row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def _set_meta(self, key: str, value: Any) -> Any:
        with self._transaction() as db:
            db.execute(_PUT_META, (key, value))
        return value

    # --- Counters -------------------------------------------------------------------------------------------------

    def next_epoch(self) -> int:
        """Allocate the next epoch, durably."""
        with self._guard:
            return int(self._set_meta("epoch", int(self._meta("epoch") or 0) + 1))

    def heartbeat(self, moment: datetime | None = None) -> None:
        """Note that somebody looked at `moment` (unset: now), so that the next start knows how long nobody did."""
        self._set_meta("alive_ms", to_timestamp_ms(moment or self._clock.now()))

    def last_alive_ms(self) -> int | None:
        """Return when a process last noted that it was alive, ms since 1970, or None on a new store."""
        value = self._meta("alive_ms")
        return None if value is None else int(value)

    def coil(self) -> tuple[str | None, int]:
        """Return the coil that runs, or None, and since when (ms since 1970; 0: never said)."""
        coil_id, since_ms = json.loads(self._meta("coil") or "[null, 0]")
        return coil_id, int(since_ms)

    def set_coil(self, coil_id: str | None) -> None:
        """Remember the coil that runs, over restarts."""
        self._set_meta("coil", json.dumps([coil_id, to_timestamp_ms(self._clock.now())]))

    def remember(self, kind: str, fingerprint: str, text: str) -> None:
        """Keep a configuration or bundle card by its fingerprint: what messages name must be readable years later."""
        with self._transaction() as db:
            row = (fingerprint, kind, to_timestamp_ms(self._clock.now()), text)
            db.execute(
                "INSERT OR IGNORE INTO configurations (fingerprint, kind, first_ms, text) VALUES (?, ?, ?, ?)", row
            )

    # --- Committing -----------------------------------------------------------------------------------------------

    def commit(self, entries: Sequence[Entry]) -> list[Body]:
        """Store the entries in one transaction and return their numbered messages.

        A message whose id is stored already is left out: it was sent under that id before.

        Raises:
            sqlite3.OperationalError: The disk is full or broken; nothing of the entries is stored.
        """
        with self._guard:
            bodies, size = self._insert(entries)
            for sink, waiting in list(self._waiting.items()):
                if bodies and bodies[0].seq <= waiting.cursor:
                    del self._waiting[sink]  # a cursor ahead of the messages: counted when somebody asks
                waiting.messages += len(bodies)
                waiting.bytes += size
            self._work.finished([entry.done.source_key for entry in entries if entry.done])
        return bodies

    def _insert(self, entries: Sequence[Entry]) -> tuple[list[Body], int]:
        bodies: list[Body] = []
        size = 0
        now_ms = to_timestamp_ms(self._clock.now())
        with self._transaction() as db:
            row = db.execute("SELECT value FROM meta WHERE key = 'seq'").fetchone()
            first = seq = int(row[0]) if row else 0
            for entry in entries:
                for draft in entry.drafts:
                    key = uuid.UUID(draft.body.id).bytes
                    if db.execute("SELECT 1 FROM records WHERE id = ?", (key,)).fetchone():
                        continue
                    seq += 1
                    body = numbered(draft, self.store_id, seq, entry.evidence.get(draft.body.id))
                    payload = encode_message(body)
                    db.execute(_INSERT_RECORD, _record(key, body, payload))
                    row = (seq, draft.topic, payload, "frame" if isinstance(body, FrameMessage) else "event", now_ms)
                    db.execute("INSERT INTO outbox (seq, topic, payload, class, stored_ms) VALUES (?, ?, ?, ?, ?)", row)
                    bodies.append(body)
                    size += len(payload)
                if entry.done is not None:
                    done = entry.done
                    db.execute(
                        _REPLACE_LEDGER,
                        (done.source_key, done.stamp.size_bytes, done.stamp.mtime_ns, done.outcome, now_ms),
                    )
                    db.execute("DELETE FROM deaths WHERE source_key = ?", (done.source_key,))
                db.executemany(
                    _INSERT_CANDIDATE,
                    [
                        (c.captured_ms, c.epoch, c.frame_id, c.source_key, c.label, c.score, c.x, c.y, c.width,
                         c.height, c.bundle)
                        for c in entry.candidates
                    ],
                )  # fmt: skip
            if seq != first:
                db.execute(_PUT_META, ("seq", seq))
            crash_point("commit.inside")
        return bodies, size

    # --- Ledger (`sources.base.Ledger`) ---------------------------------------------------------------------------

    def is_done(self, source_key: str, size_bytes: int, mtime_ns: int) -> bool:
        """Say whether this very file, at this size and time, has been committed before."""
        with self._guard:
            row = self._db.execute(
                "SELECT size_bytes, mtime_ns FROM ledger WHERE source_key = ?", (source_key,)
            ).fetchone()
        return bool(row == (size_bytes, mtime_ns))

    def was_refused(self, source_key: str) -> bool:
        """Say whether the finished file of this name could not be inspected."""
        with self._guard:
            row = self._db.execute("SELECT outcome FROM ledger WHERE source_key = ?", (source_key,)).fetchone()
        return row is not None and row[0] in REFUSED_OUTCOMES

    def suspects(self) -> dict[str, int]:
        """Return the files that were in work when the process died, and how often that happened."""
        with self._guard:
            return dict(self._db.execute("SELECT source_key, times FROM deaths ORDER BY source_key").fetchall())

    def starting(self, source_key: str) -> None:
        """Note that work on a file begins; survives the death of the process (not of the machine)."""
        with self._guard:
            self._work.started(source_key, to_timestamp_ms(self._clock.now()))

    def _blame_files_in_work(self) -> None:
        with self._transaction() as db:
            for key, started_ms in self._work.left_over.items():
                done = db.execute("SELECT done_ms FROM ledger WHERE source_key = ?", (key,)).fetchone()
                if done is not None and done[0] >= started_ms:
                    continue  # committed; the process died before it could strike the file off the list
                db.execute(_COUNT_DEATH, (key,))
        self._work.clear()

    # --- Outbox (`sinks.base.Outbox`) -----------------------------------------------------------------------------

    def cursor(self, sink: str) -> int:
        """Return the last `seq` up to which `sink` has delivered everything, 0 at first."""
        with self._guard:
            row = self._db.execute("SELECT seq FROM cursors WHERE sink = ?", (sink,)).fetchone()
        return int(row[0]) if row else 0

    def pending(self, after_seq: int, limit: int) -> list[OutboxRow]:
        """Return the next messages after `after_seq`, at most `limit`, in order."""
        with self._guard:
            rows = self._db.execute(
                "SELECT seq, topic, payload, stored_ms FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?",
                (after_seq, limit),
            ).fetchall()
        return [OutboxRow(*row) for row in rows]

    def acknowledge(self, sink: str, seq: int) -> None:
        """Move the sink's cursor to `seq`: everything up to it has arrived."""
        with self._guard:
            waiting = self._waiting.pop(sink, None)
            with self._transaction() as db:
                db.execute(
                    "INSERT INTO cursors (sink, seq) VALUES (?, ?) ON CONFLICT (sink) DO UPDATE SET seq = excluded.seq",
                    (sink, seq),
                )
                if waiting is not None and seq >= waiting.cursor:
                    count, size = db.execute(
                        "SELECT count(*), coalesce(sum(length(payload)), 0) FROM outbox WHERE seq > ? AND seq <= ?",
                        (waiting.cursor, seq),
                    ).fetchone()
                    arrived = _Waiting(seq, waiting.messages - count, waiting.bytes - size)
                else:
                    return  # nobody asked yet, or the cursor went back: counted when somebody asks
            self._waiting[sink] = arrived

    def outbox_state(self, sink: str) -> OutboxState:
        """Return how much waits for `sink`; cheap, whatever waits."""
        with self._guard:
            waiting = self._waiting_for(sink)
            oldest = self._db.execute(
                "SELECT stored_ms FROM outbox WHERE seq > ? ORDER BY seq LIMIT 1", (waiting.cursor,)
            ).fetchone()
            return OutboxState(
                waiting.messages, waiting.bytes, oldest[0] if oldest else None, int(self._meta("seq") or 0)
            )

    def _waiting_for(self, sink: str) -> _Waiting:
        if sink not in self._waiting:
            cursor = self.cursor(sink)
            count, size = self._db.execute(
                "SELECT count(*), coalesce(sum(length(payload)), 0) FROM outbox WHERE seq > ?", (cursor,)
            ).fetchone()
            self._waiting[sink] = _Waiting(cursor, int(count), int(size))
        return self._waiting[sink]

    def first_kept_seq(self) -> int | None:
        """Return the oldest message that can still be sent again."""
        with self._guard:
            return self._db.execute("SELECT min(seq) FROM outbox").fetchone()[0]  # type: ignore[no-any-return]

    def prune(self, sink: str, horizon_s: float) -> tuple[int, int, int] | None:
        """Forget what was delivered longer than `horizon_s` ago, and shrink an outbox that is over its limit.

        Frame messages go before events, the oldest first. Of much that was delivered a part is left to the next call.

        Returns:
            What was lost although it was never delivered: how many messages, the first and the last `seq`; or None.
        """
        for _ in range(PRUNE_TIMES):
            if self._prune_delivered(sink, int(horizon_s * 1000)) < PRUNE_ROWS:
                break
        with self._guard:
            waiting = self._waiting_for(sink)
            lost: list[tuple[int, int]] = []
            with self._transaction() as db:
                db.execute(
                    "DELETE FROM candidates WHERE rowid <= (SELECT max(rowid) FROM candidates) - ?", (MAX_CANDIDATES,)
                )
                excess = waiting.bytes - self._limit_bytes
                for kind in ("class = 'frame'", "class <> 'frame'"):
                    if excess <= 0:
                        break  # not even the first row is looked for: among frame messages that is a scan
                    rows = db.execute(
                        f"SELECT seq, length(payload) FROM outbox WHERE seq > ? AND {kind} ORDER BY seq",  # noqa: S608
                        (waiting.cursor,),
                    )
                    while excess > 0 and (row := rows.fetchone()) is not None:
                        lost.append(row)
                        excess -= row[1]
                    rows.close()
                db.executemany("DELETE FROM outbox WHERE seq = ?", [(seq,) for seq, _ in lost])
            self._waiting = {}  # of other sinks, too: counted again when somebody asks
            if not lost:
                self._waiting[sink] = waiting
                return None
            size = sum(size for _, size in lost)
            self._waiting[sink] = _Waiting(waiting.cursor, waiting.messages - len(lost), waiting.bytes - size)
        return len(lost), min(lost)[0], max(lost)[0]

    def _prune_delivered(self, sink: str, horizon_ms: int) -> int:
        """Remove the oldest delivered rows up to the first that is young enough, and return how many went."""
        now_ms = to_timestamp_ms(self._clock.now())
        last, count = 0, 0
        with self._transaction() as db:
            rows = db.execute(
                "SELECT seq, stored_ms FROM outbox WHERE seq <= ? ORDER BY seq LIMIT ?", (self.cursor(sink), PRUNE_ROWS)
            )
            for seq, stored_ms in rows:
                if abs(now_ms - stored_ms) <= horizon_ms:  # either way: a clock set back must not keep all that follow
                    break
                last, count = seq, count + 1
            rows.close()
            db.execute("DELETE FROM outbox WHERE seq <= ?", (last,))
        return count

    def forget(self, from_ms: int, to_ms: int) -> tuple[int, list[str]]:
        """Delete records, delivered messages and candidates captured in [from_ms, to_ms); what waits for a sink stays.

        Returns:
            How many records went, and the defects whose pictures are to go with them.
        """
        with self._transaction() as db:
            waiting_from = db.execute("SELECT coalesce(min(seq), 0) FROM cursors").fetchone()[0]
            chosen = "captured_ms >= ? AND captured_ms < ? AND seq <= ?"
            span = (from_ms, to_ms, waiting_from)
            defects = db.execute(f"SELECT DISTINCT defect_id FROM records WHERE kind = 'defect' AND {chosen}", span)  # noqa: S608
            names = [str(uuid.UUID(bytes=row[0])) for row in defects.fetchall()]
            db.execute(f"DELETE FROM outbox WHERE seq IN (SELECT seq FROM records WHERE {chosen})", span)  # noqa: S608
            count = db.execute(f"DELETE FROM records WHERE {chosen}", span).rowcount  # noqa: S608
            db.execute("DELETE FROM candidates WHERE captured_ms >= ? AND captured_ms < ?", (from_ms, to_ms))
        with self._guard:
            self._db.execute("VACUUM")  # deleted rows must not be readable in the file
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return count, names

    # --- Reading back ---------------------------------------------------------------------------------------------

    def recent_defects(
        self, limit: int, before_ms: int | None = None, from_ms: int | None = None
    ) -> list[dict[str, Any]]:
        """Return the newest defect messages captured in [from_ms, before_ms), newest first, as parsed JSON."""
        first_ms, end_ms = -1 << 62 if from_ms is None else from_ms, 1 << 62 if before_ms is None else before_ms
        with self._guard:
            rows = self._db.execute(
                "SELECT payload FROM records WHERE kind = 'defect' AND captured_ms >= ? AND captured_ms < ? "
                "ORDER BY captured_ms DESC, seq DESC LIMIT ?",
                (first_ms, end_ms, limit),
            ).fetchall()
        return [json.loads(row[0]) for row in rows]

    def counts(self) -> dict[str, int]:
        """Return how many messages of each kind were ever stored."""
        with self._guard:
            return dict(self._db.execute("SELECT kind, count(*) FROM records GROUP BY kind").fetchall())


def _record(key: bytes, body: Body, payload: bytes) -> tuple[Any, ...]:
    if isinstance(body, DefectMessage):
        return (key, body.seq, "defect", body.timestamp_ms, uuid.UUID(body.defect_id).bytes, body.label, body.severity,
                body.score, body.phase, int(body.alarm), payload)  # fmt: skip
    if isinstance(body, AlarmMessage):
        return (key, body.seq, "alarm", body.timestamp_ms, uuid.UUID(body.defect_id).bytes, body.label, body.severity,
                body.score, body.kind, 1, payload)  # fmt: skip
    if isinstance(body, CoverageMessage):
        return (key, body.seq, "coverage", body.timestamp_ms, None, body.cause, None, None, None, None, payload)
    return (key, body.seq, "frame", body.timestamp_ms, None, body.label, None, body.score, body.verdict, None, None)


def _lock(folder: Path) -> int:
    path = folder / "lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as exc:
        raise StoreError(f"store.path: {folder} cannot be used: {exc.strerror}") from exc
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        holder = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(fd)
        raise StoreError(f"store.path: {folder} is in use by another inspector, process {holder}") from exc
    except OSError as exc:
        os.close(fd)
        raise StoreError(f"store.path: {folder} cannot be locked: {exc.strerror}") from exc
    os.ftruncate(fd, 0)
    os.pwrite(fd, str(os.getpid()).encode(), 0)
    return fd
