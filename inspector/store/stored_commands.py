"""Accepted commands: each with its time, which wait for their place, and which are in force, also after a restart.

A command is stored before it is answered, and again when it takes its place among the frames, in the transaction of
what the tracker remembers then. So a process that dies at any moment has done it once or not yet; the next one does it.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from inspector.clock import from_timestamp_ms, to_timestamp_ms
from inspector.command_table import COMMANDS, Origin
from inspector.items import Command
from inspector.store.coils import note_named
from inspector.store.database import Database, put_meta
from inspector.store.notes import obeyed_value
from inspector.store.reviews import Review, insert_review
from inspector.track.operators import ends

REPEAT_MS = 3_600_000
"""For how long the same command under the same request id is the same."""
RECENT = 256
"""Among the last so many commands the broker's own repetition of one is looked for: far more than it has on the way."""
_COLUMNS = "name, subject, payload, at_ms, until_ms"
_IN_FORCE = "pending IS NULL AND ended_ms IS NULL AND (until_ms IS NULL OR until_ms > ?)"


@dataclass(frozen=True, slots=True)
class CommandInForce:
    """A command that has not ended.

    Attributes:
        name: Of the table of commands.
        subject: What it is about, if several of one name can be in force: label and place; otherwise empty.
        payload: Canonical JSON of the command.
        at_ms: When it was accepted, ms since 1970.
        until_ms: When it ends by itself; None: it does not.
    """

    name: str
    subject: str
    payload: str
    at_ms: int
    until_ms: int | None


@dataclass(frozen=True, slots=True)
class Action:
    """What somebody did, for the record of a coil.

    Attributes:
        name: Of the table of commands.
        at_ms: When, ms since 1970.
        until_ms: When it ended, or would end by itself; None: it is in force, or was done at once.
        asked: The command.
    """

    name: str
    at_ms: int
    until_ms: int | None
    asked: dict[str, Any]


class StoredCommands:
    """The accepted commands of a station.

    Args:
        database: Holds them.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- Before the answer ----------------------------------------------------------------------------------------

    def accept(
        self, command: Command, digest: str, origin: Origin, *, pending: bool = True, request_id: str | None = None
    ) -> Command:
        """Keep a command before it is answered; returns it with its number and id.

        Args:
            command: What was asked.
            digest: Of its payload as it came.
            origin: How it came.
            pending: It waits for its place among the frames.
            request_id: The sender's.

        Raises:
            StoreBusyError: The disk is full or broken; nothing is kept.
        """
        asked = json.loads(command.payload)
        at_ms = to_timestamp_ms(command.at)
        hours = asked.get("hours")
        row = (command.name, _subject(command.name, asked), command.payload, at_ms,
               None if hours is None or asked["off"] else at_ms + round(hours * 3_600_000),
               1 if pending else None, origin.packet, request_id, digest)  # fmt: skip
        with self._database.transaction() as db:
            number = db.execute(
                f"INSERT INTO commands ({_COLUMNS}, pending, packet, request_id, digest)"  # noqa: S608
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            ).lastrowid
            put_meta(db, *obeyed_value(self._database, command.name, digest))
            if command.name == "coil":
                note_named(db, asked["coil_id"], at_ms)
            kept = self._named(command.at, command.name, command.payload, number or 0)
            if not pending:
                self._end(db, kept, asked)
        return kept

    def repeated(self, name: str, digest: str, origin: Origin, request_id: str | None, now_ms: int) -> int | None:
        """Return when the same command was accepted, if this one only repeats it; None: it is a new one.

        A broker that was not answered sends the same packet again. A sender that was not answered sends the same
        command under its request id again; that the same id served for another command meanwhile makes it a new one.
        """
        if origin.again and origin.packet is not None:
            row = self._database.one(
                "SELECT at_ms FROM commands WHERE id > (SELECT coalesce(max(id), 0) FROM commands) - ?"
                " AND packet = ? AND name = ? AND digest = ? ORDER BY id DESC LIMIT 1",
                (RECENT, origin.packet, name, digest),
            )
            if row is not None:
                return int(row[0])
        if request_id is None:
            return None
        row = self._database.one(
            "SELECT at_ms, digest FROM commands WHERE request_id = ? AND name = ? ORDER BY id DESC LIMIT 1",
            (request_id, name),
        )
        return int(row[0]) if row is not None and row[1] == digest and abs(now_ms - row[0]) < REPEAT_MS else None

    def waiting(self) -> list[Command]:
        """Return the accepted commands that have not taken their place, in order."""
        rows = self._database.all("SELECT at_ms, name, payload, id FROM commands WHERE pending = 1 ORDER BY id")
        return [self._named(from_timestamp_ms(at_ms), name, payload, number) for at_ms, name, payload, number in rows]

    # --- At its place ---------------------------------------------------------------------------------------------

    def take(self, db: sqlite3.Connection, command: Command) -> None:
        """Note that a command takes effect, inside the transaction of what it changes; a verdict becomes a review."""
        asked = json.loads(command.payload)
        db.execute("UPDATE commands SET pending = NULL WHERE id = ?", (command.number,))
        self._end(db, command, asked)
        if command.name == "verify":
            insert_review(
                db,
                Review(asked["defect_id"], to_timestamp_ms(command.at), asked["verdict"], asked["label"],
                       asked["person"], asked["reason"], asked["request_id"]),
            )  # fmt: skip

    def _end(self, db: sqlite3.Connection, command: Command, asked: dict[str, Any]) -> None:
        """End what a command ends: what it replaces, what it switches off, and itself if nothing of it lasts."""
        at_ms, name = to_timestamp_ms(command.at), command.name
        rows = db.execute(
            "SELECT id, subject, payload FROM commands WHERE name = ? AND ended_ms IS NULL AND id < ?",
            (name, command.number),
        ).fetchall()
        subject, off = _subject(name, asked), asked.get("off", False)
        over = [(at_ms, number) for number, other, _ in rows if (_ends(asked, other) if off else other == subject)]
        if off or COMMANDS[name].instant:
            over.append((at_ms, command.number))
        db.executemany("UPDATE commands SET ended_ms = ? WHERE id = ?", over)
        if name == "section":  # a printer may say a thousand a coil: they have a table of their own
            db.execute("DELETE FROM commands WHERE name = ? AND id < ?", (name, command.number - RECENT))
        if name == "line":  # a PLC may say its speed every second: only starts and stops are kept
            same = [(number,) for number, _, text in rows if json.loads(text)["running"] == asked["running"]]
            db.executemany("DELETE FROM commands WHERE id = ?", same)

    def _named(self, at: Any, name: str, payload: str, number: int) -> Command:
        key = f"inspector:{self._database.store_id}:command:{number}"
        return Command(at, name, payload, str(uuid.uuid5(uuid.NAMESPACE_URL, key)), number)

    # --- Reading --------------------------------------------------------------------------------------------------

    def in_force(self, now_ms: int) -> list[CommandInForce]:
        """Return what is in force at a time, the oldest first."""
        rows = self._database.all(f"SELECT {_COLUMNS} FROM commands WHERE {_IN_FORCE} ORDER BY at_ms, id", (now_ms,))  # noqa: S608
        return [CommandInForce(*row) for row in rows]


def _subject(name: str, asked: dict[str, Any]) -> str:
    return json.dumps([asked["label"], asked["from_mm"], asked["to_mm"]]) if name == "shelve" else ""


def _ends(asked: dict[str, Any], subject: str) -> bool:
    if not subject:
        return True
    label, left, right = json.loads(subject)
    return ends((asked["label"], asked["from_mm"], asked["to_mm"]), (label, left, right))


ACTIONS = ("pause", "shelve", "ack", "verify", "line")
"""What people and the plant do to a station while a coil runs."""
ACTIONS_QUERY = (
    "SELECT name, at_ms, min(coalesce(until_ms, ended_ms), coalesce(ended_ms, until_ms)), payload FROM commands"  # noqa: S608
    f" WHERE pending IS NULL AND name IN ({', '.join('?' * len(ACTIONS))}) AND at_ms < ?"
    " AND (at_ms >= ? OR coalesce(min(coalesce(until_ms, ended_ms), coalesce(ended_ms, until_ms)), ?) > ?)"
    " ORDER BY at_ms DESC, id DESC LIMIT ?"
)


def read_actions(rows: Sequence[Sequence[Any]]) -> list[Action]:
    """Return what `ACTIONS_QUERY` found, the oldest first."""
    return [Action(name, at_ms, until_ms, json.loads(payload)) for name, at_ms, until_ms, payload in reversed(rows)]
