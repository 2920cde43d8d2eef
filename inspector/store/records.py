"""Every message that was ever made, by its id: what was found, still readable years later.

A record is written once and never changes. The payload of a frame message is not kept: its verdict is.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
import zlib
from typing import Any

from inspector.messages import AlarmMessage, Body, CoverageMessage, DefectMessage, PeriodicMessage
from inspector.store.database import Database
from inspector.store.schema import COLUMNS


class Records:
    """What was stored; `StoreReader` reads it back.

    Args:
        database: Holds them.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._name = database.records_name
        columns, places = ", ".join(COLUMNS), ", ".join("?" * len(COLUMNS))
        self._insert = f"INSERT INTO {self._name} ({columns}) VALUES ({places})"  # noqa: S608

    def has(self, message_id: str) -> bool:
        """Say whether a message of this id is stored already."""
        return self._database.one("SELECT 1 FROM records WHERE id = ?", (uuid.UUID(message_id).bytes,)) is not None

    def message(self, message_id: str) -> dict[str, Any] | None:
        """Return the stored message of this id as parsed JSON; None: it is not kept, or damaged."""
        row = self._database.one(f"SELECT payload FROM {self._name} WHERE id = ?", (uuid.UUID(message_id).bytes,))  # noqa: S608
        try:
            found = json.loads(row[0]) if row is not None and row[0] is not None else None
        except ValueError:
            return None
        return found if isinstance(found, dict) else None

    def has_alarm(self, defect_id: str, from_ms: int) -> bool:
        """Say whether a defect raised an alarm of its own, captured at `from_ms` (ms since 1970) or later."""
        found = self._database.one(
            f"SELECT 1 FROM {self._name} WHERE kind = 'alarm' AND captured_ms >= ? AND defect_id = ?"  # noqa: S608
            " AND phase = 'defect' LIMIT 1",
            (from_ms, uuid.UUID(defect_id).bytes),
        )
        return found is not None

    def insert(self, db: sqlite3.Connection, body: Body, payload: bytes) -> None:
        """Keep a numbered message, inside the transaction that stores it."""
        db.execute(self._insert, (*_first_columns(body, payload), *added_columns(payload)))


def _first_columns(body: Body, payload: bytes) -> tuple[Any, ...]:
    key = uuid.UUID(body.id).bytes
    if isinstance(body, DefectMessage):
        return (key, body.seq, "defect", body.timestamp_ms, uuid.UUID(body.defect_id).bytes, body.label, body.severity,
                body.score, body.phase, int(body.alarm), payload)  # fmt: skip
    if isinstance(body, AlarmMessage):
        return (key, body.seq, "alarm", body.timestamp_ms, uuid.UUID(body.defect_id).bytes, body.label, body.severity,
                body.score, body.kind, 1, payload)  # fmt: skip
    if isinstance(body, PeriodicMessage):
        return (key, body.seq, "periodic", body.timestamp_ms, uuid.UUID(body.periodic_id).bytes, body.label,
                body.severity, None, body.phase, None, payload)  # fmt: skip
    if isinstance(body, CoverageMessage):
        return (key, body.seq, "coverage", body.timestamp_ms, None, body.cause, None, None, None, None, payload)
    return (key, body.seq, "frame", body.timestamp_ms, None, body.label, None, body.score, body.verdict, None, None)


def added_columns(payload: bytes | None) -> tuple[int | None, str | None, int | None, float | None]:
    """Return the columns that the first program did not have, from a record's payload.

    Returns:
        Checksum, coil, line and position; all None if the payload was not kept or is damaged.
    """
    if payload is None:
        return None, None, None, None
    try:
        message = json.loads(payload)
        metres = message.get("position_m", message.get("from_m", message.get("first_m")))
        position_mm = None if metres is None else round(metres * 1000, 3)
        return zlib.crc32(payload), message["coil_id"], message.get("line"), position_mm
    except (ValueError, LookupError, AttributeError):
        return None, None, None, None
