"""Reads whole periods and whole coils out of a store, slice by slice, while a station may write it.

On a connection of its own that cannot write. Between two slices no transaction is open, so the log can shrink.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from inspector.errors import StoreBusyError
from inspector.store.damage import as_ours
from inspector.store.stored_commands import ACTIONS, ACTIONS_QUERY, read_actions

SLICE_ROWS = 5000
"""Rows read at once."""
LONGEST_DEFECT_MS = 3_600_000
"""How long before a period a defect of it may have opened, at most."""
_WAIT_S = 5.0
_LATEST_MS = 1 << 53
_RECORD = "id, seq, kind, captured_ms, defect_id, label, score, phase, payload, payload_crc32, coil_id, line"


class StoredRecord(NamedTuple):
    """A record as it is stored; `message` is None for a kind whose bytes are not kept, or if they are damaged."""

    id: str
    seq: int
    kind: str
    captured_ms: int
    defect_id: str | None
    label: str | None
    score: float | None
    phase: str | None
    coil_id: str | None
    line: int | None
    text: str | None

    @property
    def message(self) -> dict[str, Any]:
        """The message, as JSON."""
        return dict(json.loads(self.text or "{}"))


@dataclass(frozen=True, slots=True)
class CoilRun:
    """A coil that ran once, with its record as JSON.

    Attributes:
        run: Its number in the store.
        coil_id: As the plant calls it.
        began_ms, ended_ms: UTC, ms since 1970; no end: it runs.
        facts: What the plant said of it.
        record: What was found out while it ran; empty: the store has none.
    """

    run: int
    coil_id: str
    began_ms: int
    ended_ms: int | None
    facts: Mapping[str, Any]
    record: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return it by name."""
        return {name: getattr(self, name) for name in self.__slots__}


class PeriodReader:
    """The stored records of periods.

    Args:
        path: The file of a store.

    Raises:
        StoreBusyError: The file cannot be read now; every query raises it, too.
    """

    def __init__(self, path: Path) -> None:
        with _translated():
            uri = f"{path.absolute().as_uri()}?mode=ro"
            self._db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_WAIT_S)
            self.store_id = str(self._one("SELECT value FROM meta WHERE key = 'store_id'"))
            views = self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'messages'").fetchone()
            self._records = "messages" if views else "records"
            self._has_record = self._one("SELECT count(*) FROM pragma_table_info('coils') WHERE name = 'record'")

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def span(self) -> tuple[int, int]:
        """Return the first and the last moment of frames, defects and coils, ms since 1970; (0, -1): there are none."""
        found = [
            row
            for kind in ("frame", "defect")
            for row in self._all(
                f"SELECT min(captured_ms), max(captured_ms) FROM {self._records} WHERE kind = ?",  # noqa: S608
                (kind,),
            )
        ]
        found += self._all("SELECT min(began_ms), max(began_ms) FROM coils")
        known = [row for row in found if row[0] is not None]
        return (min(row[0] for row in known), max(row[1] for row in known)) if known else (0, -1)

    def records(self, kinds: Sequence[str], from_ms: int, to_ms: int) -> Iterator[StoredRecord]:
        """Yield the records of these kinds captured in [from_ms, to_ms), kind by kind, in the order of their time."""
        for kind in kinds:
            yield from self._slices("kind = ? AND captured_ms < ?", (kind, to_ms), from_ms)

    def coil_records(self, run: CoilRun) -> Iterator[StoredRecord]:
        """Yield the records of one run of a coil, kind by kind, in the order of their time.

        A record belongs to the run of its coil that had begun last when it was captured, as in a report.
        """
        begins = "SELECT {}(began_ms) FROM coils WHERE coil_id = ? AND id {} ?"
        before, after = (
            self._all(begins.format(*words), (run.coil_id, run.run))[0][0] for words in (("max", "<"), ("min", ">"))
        )
        from_ms, to_ms = (-_LATEST_MS if before is None else run.began_ms), (_LATEST_MS if after is None else after)
        kinds = self._all(f"SELECT DISTINCT kind FROM {self._records} WHERE coil_id = ?", (run.coil_id,))  # noqa: S608
        for (kind,) in sorted(kinds):
            yield from self._slices("coil_id = ? AND kind = ? AND captured_ms < ?", (run.coil_id, kind, to_ms), from_ms)

    def opened_before(self, from_ms: int) -> set[str]:
        """Return the defects that may reach into a period from the time before it."""
        rows = self._all(
            f"SELECT DISTINCT defect_id FROM {self._records} WHERE kind = 'defect' AND captured_ms >= ?"  # noqa: S608
            " AND captured_ms < ?",
            (from_ms - LONGEST_DEFECT_MS, from_ms),
        )
        return {_name(row[0]) for row in rows}

    def coils(self, from_ms: int, to_ms: int, coil_id: str | None = None) -> list[CoilRun]:
        """Return the coils that began in [from_ms, to_ms), the oldest first; a name may come several times."""
        named, values = ("", ()) if coil_id is None else (" AND coil_id = ?", (coil_id,))
        return self._runs(f"began_ms >= ? AND began_ms < ?{named}", (from_ms, to_ms, *values))

    def coils_within(self, from_ms: int, to_ms: int) -> list[CoilRun]:
        """Return the coils that ran at some time of a period, the oldest first."""
        return self._runs("began_ms < ? AND coalesce(ended_ms > ?, true)", (to_ms, from_ms))

    def _runs(self, where: str, values: tuple[Any, ...]) -> list[CoilRun]:
        record = "record" if self._has_record else "NULL"
        rows = self._all(
            f"SELECT id, coil_id, began_ms, ended_ms, facts, {record} FROM coils WHERE {where} ORDER BY id",  # noqa: S608
            values,
        )
        return [
            CoilRun(run, name, began_ms, ended_ms, json.loads(facts or "{}"), json.loads(found or "{}"))
            for run, name, began_ms, ended_ms, facts, found in rows
        ]

    def counts(self, from_ms: int, to_ms: int) -> list[tuple[str, str | None, str | None, str | None, int]]:
        """Return how many records were captured in a period, by kind, label, severity and phase."""
        return self._all(
            "SELECT kind, label, severity, phase, count(*) FROM " + self._records +  # noqa: S608
            " WHERE kind IN ('frame', 'defect', 'alarm') AND captured_ms >= ? AND captured_ms < ?"
            " GROUP BY kind, label, severity, phase ORDER BY 1, 2, 3, 4",
            (from_ms, to_ms),
        )  # fmt: skip

    def actions(self, from_ms: int, to_ms: int) -> list[dict[str, Any]]:
        """Return what people did in a period, the newest 1,000, the oldest first."""
        rows = self._all(ACTIONS_QUERY, (*ACTIONS, to_ms, from_ms, to_ms, from_ms, 1000))
        return [{"at": one.at_ms, "command": one.name, **one.asked} for one in read_actions(rows)]

    def verdicts(self, from_ms: int, to_ms: int) -> dict[str, int]:
        """Return how many reviews were given in a period, by verdict."""
        statement = "SELECT verdict, count(*) FROM reviews WHERE reviewed_ms >= ? AND reviewed_ms < ? GROUP BY verdict"
        return dict(self._all(statement, (from_ms, to_ms)))

    def reviews(self) -> dict[str, tuple[str, str | None, str | None]]:
        """Return the last verdict on each defect that has one: verdict, right label, person."""
        rows = self._all("SELECT defect_id, verdict, label, person FROM reviews ORDER BY id")
        return {_name(row[0]): row[1:] for row in rows}

    def every_review(self) -> list[tuple[str, str | None, str, str | None, bool]]:
        """Return all reviews, the oldest first: defect, person, verdict, label, whether that person did before."""
        seen: set[tuple[str, str | None]] = set()
        found = []
        for key, person, verdict, label in self._all(
            "SELECT defect_id, person, verdict, label FROM reviews ORDER BY id"
        ):
            named = (_name(key), person)
            found.append((*named, verdict, label, named in seen))
            seen.add(named)
        return found

    def _slices(self, where: str, values: tuple[Any, ...], from_ms: int) -> Iterator[StoredRecord]:
        after = (from_ms, -(1 << 62))
        while True:
            rows = self._all(
                f"SELECT {_RECORD} FROM {self._records} WHERE {where} AND captured_ms >= ?"  # noqa: S608
                f" AND (captured_ms, seq) > (?, ?) ORDER BY captured_ms, seq LIMIT {SLICE_ROWS}",
                (*values, after[0], *after),
            )
            for row in rows:
                yield _record(row)
            if len(rows) < SLICE_ROWS:
                return
            after = (rows[-1][3], rows[-1][1])

    def _all(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        with _translated():
            return self._db.execute(statement, values).fetchall()

    def _one(self, statement: str) -> Any:
        row = self._db.execute(statement).fetchone()
        return row[0] if row else None


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as exc:
        ours = as_ours(exc)
        raise ours if isinstance(ours, StoreBusyError) else StoreBusyError(str(exc)) from exc


def _name(key: bytes) -> str:
    return str(uuid.UUID(bytes=bytes(key)))


def _record(row: Sequence[Any]) -> StoredRecord:
    key, seq, kind, captured_ms, defect_id, label, score, phase, payload, crc32, coil_id, line = row
    whole = payload is not None and crc32 in (None, zlib.crc32(payload))
    return StoredRecord(
        _name(key), seq, kind, captured_ms, None if defect_id is None else _name(defect_id), label, score, phase,
        coil_id, line, bytes(payload).decode() if whole else None,
    )  # fmt: skip
