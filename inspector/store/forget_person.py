"""Removes the name of a person from what was stored: the one exception to stored bytes that never change.

Ids, numbers and everything else stay, so coverage still adds up; only the name becomes null.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from dataclasses import dataclass, replace

from inspector.frame import Cause
from inspector.json_text import canonical_json
from inspector.store.database import Database, put_meta
from inspector.store.notes import TRACK_STATE
from inspector.track.memory import from_text, to_text
from inspector.track.operators import OperatorState


@dataclass(frozen=True, slots=True)
class PersonForgotten:
    """Where the name stood.

    Attributes:
        records: Delivered messages that named the person.
        commands, reviews: Rows that did.
        waiting: Messages that still wait for a sink, and keep the name until then.
    """

    records: int
    commands: int
    reviews: int
    waiting: int


def forget_person(database: Database, person: str, delivered_seq: int, dry_run: bool = False) -> PersonForgotten:
    """Make a person's name null, so that no file of the store contains it any more.

    Args:
        database: The store's.
        person: As the commands gave it.
        delivered_seq: `StoredOutbox.delivered_seq`: what comes after it waits for a sink and stays.
        dry_run: Only count.
    """
    with database.transaction() as db:
        rows = [row for row in _gaps(db, person) if row[1] <= delivered_seq]
        waiting = len(_gaps(db, person)) - len(rows)
        commands = db.execute("SELECT id, payload FROM commands WHERE payload ->> 'person' = ?", (person,)).fetchall()
        [(reviews,)] = db.execute("SELECT count(*) FROM reviews WHERE person = ?", (person,)).fetchall()
        found = PersonForgotten(len(rows), len(commands), reviews, waiting)
        if dry_run:
            return found
        for key, seq, payload in rows:
            text = canonical_json({**json.loads(payload), "person": None})
            db.execute("UPDATE records SET payload = ?, payload_crc32 = ? WHERE id = ?", (text, zlib.crc32(text), key))
            db.execute("DELETE FROM outbox WHERE seq = ?", (seq,))
            db.execute("DELETE FROM set_aside WHERE seq = ?", (seq,))
        for number, payload in commands:
            text = canonical_json({**json.loads(payload), "person": None})
            db.execute("UPDATE commands SET payload = ?, digest = NULL WHERE id = ?", (text.decode(), number))
        db.execute("UPDATE reviews SET person = NULL WHERE person = ?", (person,))
        _forget_in_state(db, database, person)
    database.shrink()
    return found


def _gaps(db: sqlite3.Connection, person: str) -> list[tuple[bytes, int, bytes]]:
    rows: list[tuple[bytes, int, bytes]] = db.execute(
        "SELECT id, seq, payload FROM records WHERE kind = 'coverage' AND label = ?", (Cause.PAUSED.value,)
    ).fetchall()
    return [row for row in rows if _person_of(row[2]) == person]


def _person_of(payload: bytes) -> str | None:
    try:
        person = json.loads(payload).get("person")
    except (ValueError, AttributeError):  # damaged: it is never sent
        return None
    return person if isinstance(person, str) else None


def _forget_in_state(db: sqlite3.Connection, database: Database, person: str) -> None:
    text = database.meta(TRACK_STATE)
    if text is None:
        return
    try:
        state = from_text(text)
    except ValueError:  # the next start begins with an empty one
        put_meta(db, TRACK_STATE, "{}")
        return
    asked = state.operators
    operators = OperatorState(
        tuple(replace(shelf, person=None) if shelf.person == person else shelf for shelf in asked.shelves),
        replace(asked.pause, person=None) if asked.pause is not None and asked.pause.person == person else asked.pause,
        asked.line,
    )
    put_meta(db, TRACK_STATE, to_text(replace(state, operators=operators)))
