"""Reads what is stored, on a connection of its own: a page never waits for a commit, and a commit never for a page.

With WAL each query sees the file as it was when the query began. This connection cannot write, and takes no lock that
the station's own connection needs; a long query only keeps the WAL file from shrinking.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import uuid
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from inspector.errors import StoreBusyError, StoreDamagedError
from inspector.store.coils import CoilRun, read_run
from inspector.store.damage import as_ours
from inspector.store.defect_query import DefectQuery
from inspector.store.notes import REFERENCE_PROOF
from inspector.store.stored_commands import ACTIONS, ACTIONS_QUERY, Action, read_actions

_WAIT_S = 5.0
"""Longest wait for the file: only its first opening and its closing lock readers out."""


_log = structlog.get_logger("store")


class StoredRow(NamedTuple):
    """What is stored of one message, without the message itself.

    Attributes:
        seq: Its number.
        kind: Its topic.
        captured_ms: UTC, ms since 1970.
        label: Of a defect; of a gap its cause.
        severity: Of a defect.
        score: Of a defect, or of the most severe one of a frame.
        phase: Of a defect; of a frame its verdict, of an alarm its kind.
    """

    seq: int
    kind: str
    captured_ms: int
    label: str | None
    severity: str | None
    score: float | None
    phase: str | None


@dataclass(frozen=True, slots=True)
class CoilQuery:
    """A question for coils; what is None is not asked for.

    Attributes:
        limit: How many at most.
        coil_id: Of this name.
        from_ms, to_ms: That ran in [from_ms, to_ms), ms since 1970, for any part of it.
        before_id: Only runs with a lower number, for the next page.
    """

    limit: int
    coil_id: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    before_id: int | None = None


class StoreReader:
    """The queries of pages and reports; safe to use from several threads, which wait for each other.

    Args:
        path: The file of a store that is open in this process or another.
        records: `Database.records_name`.
        damaged: Called with the reason when a query finds the file broken.

    Raises:
        StoreBusyError: The file cannot be read now; every query raises it too.
    """

    def __init__(self, path: Path, records: str, damaged: Callable[[str], None] = lambda _: None) -> None:
        self._records = records
        self._damaged = damaged
        self._guard = threading.Lock()
        try:
            uri = f"{path.absolute().as_uri()}?mode=ro"
            self._db = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None, timeout=_WAIT_S)
        except sqlite3.Error as exc:
            raise StoreBusyError(str(exc)) from exc

    def close(self) -> None:
        """Close the connection; later queries are refused."""
        with self._guard:
            self._db.close()

    def recent_defects(
        self,
        limit: int,
        before_ms: int | None = None,
        from_ms: int | None = None,
        label: str | None = None,
        coil_id: str | None = None,
        severity: str | None = None,
    ) -> list[dict[str, Any]]:
        """Return the newest defect messages captured in [from_ms, before_ms), newest first, as parsed JSON.

        A message whose bytes differ from those that were stored is left out, and logged.

        Args:
            limit: How many at most.
            before_ms: End of the period, ms since 1970; None: no end.
            from_ms: Its start; None: no start.
            label: Of this label only.
            coil_id: Of this coil only.
            severity: Of this severity only.
        """
        return self.defects(DefectQuery(limit, before_ms, from_ms, label, coil_id, severity))

    def defects(self, query: DefectQuery) -> list[dict[str, Any]]:
        """Return the newest defect messages that are asked for, newest first, as parsed JSON.

        A message whose bytes differ from those that were stored is left out, and logged.
        """
        statement, values = query.statement(self._records)
        asked = query.limit
        while True:
            rows = self._all(f"{statement} LIMIT ?", (*values, asked))
            found = [message for seq, payload, crc32 in rows if (message := read_message(seq, payload, crc32))]
            if len(found) >= query.limit or len(rows) < asked:
                return found[: query.limit]
            asked += query.limit - len(found)

    def messages(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return the defect messages with these ids, newest first, as parsed JSON."""
        places = ", ".join("?" * len(ids))
        rows = self._all(
            f"SELECT seq, payload, payload_crc32 FROM {self._records} WHERE id IN ({places})"  # noqa: S608
            " AND kind = 'defect' ORDER BY seq DESC",
            [uuid.UUID(one).bytes for one in ids],
        )
        return [message for seq, payload, crc32 in rows if (message := read_message(seq, payload, crc32))]

    def rows(self, numbers: tuple[int, int] | None, newest: int) -> list[StoredRow]:
        """Return what is stored under these numbers in their order.

        Args:
            numbers: First and last; None: the newest ones.
            newest: How many of those.
        """
        columns = ", ".join(StoredRow._fields)
        if numbers is None:
            found = self._all(f"SELECT {columns} FROM records ORDER BY seq DESC LIMIT ?", (newest,))[::-1]  # noqa: S608
        else:
            found = self._all(f"SELECT {columns} FROM records WHERE seq BETWEEN ? AND ? ORDER BY seq", numbers)  # noqa: S608
        return [StoredRow(*row) for row in found]

    def coil_runs(self, coil_id: str | None = None, limit: int = 100, before_id: int | None = None) -> list[CoilRun]:
        """Return the runs of a coil, or of all, the newest first; as `coils`."""
        return self.coils(CoilQuery(limit, coil_id, before_id=before_id))

    def coils(self, query: CoilQuery) -> list[CoilRun]:
        """Return the runs of coils that are asked for, the newest first.

        A run that a previous program wrote has a record of its times alone; one that is damaged, too, and it is logged.
        """
        wanted = {
            "coil_id = ?": query.coil_id,
            "id < ?": query.before_id,
            "coalesce(ended_ms, 9e15) >= ?": query.from_ms,
            "began_ms < ?": query.to_ms,
        }
        chosen = {text: value for text, value in wanted.items() if value is not None}
        where = " AND ".join(["1", *chosen])
        statement = (
            f"SELECT id, coil_id, began_ms, ended_ms, facts, record FROM coils WHERE {where}"  # noqa: S608
            " ORDER BY id DESC LIMIT ?"
        )
        return [read_run(row) for row in self._all(statement, (*chosen.values(), query.limit))]

    def coil_verdicts(self, runs: Sequence[int]) -> dict[int, tuple[str | None, str | None]]:
        """Return the surface class and the disposition of runs, as their reports said."""
        rows = self._all(
            "SELECT id, facts ->> 'surface_class', facts ->> 'disposition' FROM coils"  # noqa: S608
            f" WHERE id IN ({', '.join('?' * len(runs))})",
            runs,
        )
        return {number: (surface_class, disposition) for number, surface_class, disposition in rows}

    def coil_period(self, coil_id: str) -> tuple[int, int | None] | None:
        """Return when the last coil of this name began and ended, ms since 1970; None: there was none."""
        rows = self._all("SELECT began_ms, ended_ms FROM coils WHERE coil_id = ? ORDER BY id DESC LIMIT 1", (coil_id,))
        return rows[0] if rows else None

    def actions(self, from_ms: int, to_ms: int, newest: int) -> list[Action]:
        """Return what people did in [from_ms, to_ms), or what was in force then, the oldest first."""
        return read_actions(self._all(ACTIONS_QUERY, (*ACTIONS, to_ms, from_ms, to_ms, from_ms, newest)))

    def reference_proof(self) -> str | None:
        """Return the text of `StationNotes.reference_proof`, or None."""
        rows = self._all("SELECT value FROM meta WHERE key = ?", (REFERENCE_PROOF,))
        return str(rows[0][0]) if rows else None

    def counts(self) -> dict[str, int]:
        """Return how many messages of each kind were ever stored."""
        return dict(self._all("SELECT kind, count(*) FROM records GROUP BY kind"))

    @property
    def records(self) -> str:
        """Table or view that has all columns of the records."""
        return self._records

    def select(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return the rows of a statement, for the other readers of this folder."""
        return self._all(statement, values)

    def _all(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        try:
            with self._guard:
                return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as exc:
            ours = as_ours(exc)
            if isinstance(ours, StoreDamagedError):
                self._damaged(str(ours))
            raise ours if isinstance(ours, StoreBusyError) else StoreBusyError(str(exc)) from exc


def read_message(seq: int, payload: bytes, crc32: int | None) -> dict[str, Any] | None:
    """Return a stored message as JSON, or None if it is damaged; without a checksum, if it is not JSON."""
    try:
        if crc32 in (None, zlib.crc32(payload)):
            return dict(json.loads(payload))
    except (ValueError, TypeError):
        pass
    _log.error("record_damaged", seq=seq)
    return None
