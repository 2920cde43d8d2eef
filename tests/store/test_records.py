"""`inspector.store.records`: what was stored can be read back."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

from fakes import entry

from inspector.store.store import Store


def test_recent_defects_come_newest_first(store: Store) -> None:
    """The newest defect messages come first, as many as asked for, older than asked for."""
    store.commit([entry(number, "crack") for number in range(5)])
    moments = [row["timestamp_ms"] for row in store.records.recent_defects(3)]

    assert sorted(moments, reverse=True) == moments
    assert len(moments) == 3
    assert all(row["timestamp_ms"] < moments[-1] for row in store.records.recent_defects(9, before_ms=moments[-1]))


def test_the_runbook_can_say_what_was_lost(store: Store) -> None:
    """The runbook's command for lost messages names each of the range by kind, time, label and verdict."""
    store.commit([entry(0, "crack"), entry(1)])
    runbook = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text("utf-8")
    [query] = re.findall(r'"(SELECT .* FROM records .*)"', runbook)
    with closing(sqlite3.connect(store.folder / "inspector.sqlite3")) as db:
        rows = db.execute(query.replace("BETWEEN 100 AND 200", "BETWEEN 2 AND 4")).fetchall()

    assert rows == [
        (2, "alarm", "2026-03-01 12:00:00", "crack", 0.9, "defect"),
        (3, "frame", "2026-03-01 12:00:00", "crack", 0.9, "fail"),
        (4, "frame", "2026-03-01 12:00:00", None, None, "pass"),
    ]
