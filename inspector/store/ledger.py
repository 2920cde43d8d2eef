"""Which files are finished, and which the process died over; `sources.base.Ledger`.

A file is finished in the transaction that stores its messages. A file that is being worked on is only on the work list,
which need not survive the machine.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from inspector.clock import Clock, to_timestamp_ms
from inspector.frame import FileStamp, FinishedFile
from inspector.store.database import Database
from inspector.store.entries import REFUSED_OUTCOMES, DoneMark
from inspector.store.work_list import WorkList

_COUNT_DEATH = (
    "INSERT INTO deaths (source_key, times) VALUES (?, 1) ON CONFLICT (source_key) DO UPDATE SET times = times + 1"
)
_REPLACE = (
    "INSERT OR REPLACE INTO ledger (source_key, size_bytes, mtime_ns, inode, changed_ns, digest, outcome, done_ms)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_CONFIRM = (
    "UPDATE ledger SET inode = ?, changed_ns = ?, digest = ? WHERE source_key = ? AND size_bytes = ? AND mtime_ns = ?"
)
_FIND = "SELECT size_bytes, mtime_ns, inode, changed_ns, digest, outcome FROM ledger WHERE source_key = ?"


class FileLedger:
    """The files that came and what became of them.

    When the ledger is made, each file that a dead process was working on counts one more death.

    Args:
        database: Holds the finished ones; its folder holds the work list.
        clock: Time.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._work = WorkList(database.folder / "in-work")
        try:
            self._blame_files_in_work()
        except BaseException:
            self._work.close()
            raise

    def find(self, source_key: str) -> FinishedFile | None:
        """Return what is known of the finished file of this name."""
        if (row := self._database.one(_FIND, (source_key,))) is None:
            return None
        size_bytes, mtime_ns, inode, changed_ns, digest, outcome = row
        stamp = FileStamp(size_bytes, mtime_ns, inode or 0, changed_ns or 0)
        return FinishedFile(stamp, digest, outcome in REFUSED_OUTCOMES, proven=inode is not None)

    def confirm(self, files: Sequence[tuple[str, FileStamp, str | None]]) -> None:
        """Remember other stamps, and digests, of finished files whose size and time are the same.

        Raises:
            StoreBusyError: The disk is full or broken; nothing is remembered.
        """
        with self._database.transaction() as db:
            db.executemany(
                _CONFIRM, [(stamp.inode, stamp.changed_ns, digest, key, *stamp[:2]) for key, stamp, digest in files]
            )

    def suspects(self) -> dict[str, int]:
        """Return the files that were being worked on when the process died, and how often that happened."""
        return dict(self._database.all("SELECT source_key, times FROM deaths ORDER BY source_key"))

    def starting(self, source_key: str) -> None:
        """Note that work on a file begins; survives the death of the process (not of the machine)."""
        with self._database.guard:
            self._work.started(source_key, to_timestamp_ms(self._clock.now()))

    def finish(self, db: sqlite3.Connection, done: DoneMark, now_ms: int) -> None:
        """Mark a file as done, inside the transaction that stores its messages."""
        db.execute(_REPLACE, (done.source_key, *done.stamp, done.digest, done.outcome, now_ms))
        db.execute("DELETE FROM deaths WHERE source_key = ?", (done.source_key,))

    def strike_off(self, source_keys: Sequence[str]) -> None:
        """Take finished files off the work list, after their commit."""
        with self._database.guard:
            self._work.finished(source_keys)

    def close(self, clean: bool) -> None:
        """Close the work list; `clean` says that the process ends on purpose, so no file is to blame."""
        if clean:
            self._work.clear()
        self._work.close()

    def _blame_files_in_work(self) -> None:
        with self._database.transaction() as db:
            for key, started_ms in self._work.left_over.items():
                done = db.execute("SELECT done_ms FROM ledger WHERE source_key = ?", (key,)).fetchone()
                if done is not None and done[0] >= started_ms:
                    continue  # committed; the process died before it could strike the file off the list
                db.execute(_COUNT_DEATH, (key,))
        self._work.clear()
