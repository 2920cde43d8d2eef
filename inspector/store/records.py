"""Every message that was ever made, by its id: the answer to what was found, years later.

A record is written once and never changes. The payload of a frame message is not kept: its verdict is.
"""

from __future__ import annotations

import sqlite3
import uuid
from typing import Any

from inspector.messages import AlarmMessage, Body, CoverageMessage, DefectMessage
from inspector.store.database import Database

_INSERT = (
    "INSERT INTO records (id, seq, kind, captured_ms, defect_id, label, severity, score, phase, alarm, payload)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class Records:
    """What was stored; `StoreReader` reads it back.

    Args:
        database: Holds them.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def has(self, message_id: str) -> bool:
        """Say whether a message of this id is stored already."""
        return self._database.one("SELECT 1 FROM records WHERE id = ?", (uuid.UUID(message_id).bytes,)) is not None

    def insert(self, db: sqlite3.Connection, body: Body, payload: bytes) -> None:
        """Keep a numbered message, inside the transaction that stores it."""
        db.execute(_INSERT, _row(body, payload))


def _row(body: Body, payload: bytes) -> tuple[Any, ...]:
    key = uuid.UUID(body.id).bytes
    if isinstance(body, DefectMessage):
        return (key, body.seq, "defect", body.timestamp_ms, uuid.UUID(body.defect_id).bytes, body.label, body.severity,
                body.score, body.phase, int(body.alarm), payload)  # fmt: skip
    if isinstance(body, AlarmMessage):
        return (key, body.seq, "alarm", body.timestamp_ms, uuid.UUID(body.defect_id).bytes, body.label, body.severity,
                body.score, body.kind, 1, payload)  # fmt: skip
    if isinstance(body, CoverageMessage):
        return (key, body.seq, "coverage", body.timestamp_ms, None, body.cause, None, None, None, None, payload)
    return (key, body.seq, "frame", body.timestamp_ms, None, body.label, None, body.score, body.verdict, None, None)
