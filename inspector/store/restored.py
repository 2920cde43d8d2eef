"""A coil that has left the store, as a small store of its own again: what reads a store reads it unchanged."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from inspector.store.database import DATABASE
from inspector.store.records import added_columns
from inspector.store.schema import COLUMNS, RECORDS, create


def restore_coil(folder: Path, run: Mapping[str, Any], messages: Iterable[tuple[str, str]]) -> Path:
    """Write a coil into a new file in a folder, and return it.

    Args:
        folder: Holds nothing yet.
        run: `run`, `coil_id`, `began_ms`, `ended_ms` and `record`, JSON or None.
        messages: Kind and JSON of each, as it was published.
    """
    path = folder / DATABASE
    places = ", ".join("?" * len(COLUMNS))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        create(db)
        db.execute("BEGIN")
        db.execute(
            "INSERT INTO coils (id, coil_id, began_ms, ended_ms, record) VALUES (?, ?, ?, ?, ?)",
            [run[name] for name in ("run", "coil_id", "began_ms", "ended_ms", "record")],
        )
        db.executemany(
            f"INSERT INTO {RECORDS} ({', '.join(COLUMNS)}) VALUES ({places})",  # noqa: S608
            (_row(kind, text.encode()) for kind, text in messages),
        )
        db.execute("COMMIT")
    return path


def _row(kind: str, payload: bytes) -> tuple[Any, ...]:
    body = json.loads(payload)
    defect_id = body.get("defect_id")
    first = (uuid.UUID(body["id"]).bytes, body["seq"], kind, body["timestamp_ms"],
             None if defect_id is None else uuid.UUID(defect_id).bytes, body.get("label", body.get("cause")),
             body.get("severity"), body.get("score"), body.get("phase", body.get("kind")), body.get("alarm"),
             payload)  # fmt: skip
    return (*first, *added_columns(payload))
