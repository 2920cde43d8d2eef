"""Accepted commands: each with its time, and which of them are in force now, also after a restart."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from inspector.clock import to_timestamp_ms
from inspector.items import Command
from inspector.store.database import Database

_COLUMNS = "name, subject, payload, at_ms, until_ms"
_IN_FORCE = "ended_ms IS NULL AND (until_ms IS NULL OR until_ms > ?)"


@dataclass(frozen=True, slots=True)
class CommandInForce:
    """A command that has not ended.

    Attributes:
        name: Of the table of commands.
        subject: What it is about, if several of one name can be in force: a label; otherwise empty.
        payload: Canonical JSON of the command.
        at_ms: When it was accepted, ms since 1970.
        until_ms: When it ends by itself; None: it does not.
    """

    name: str
    subject: str
    payload: str
    at_ms: int
    until_ms: int | None


class StoredCommands:
    """The accepted commands of a station.

    Args:
        database: Holds them.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def insert(self, db: sqlite3.Connection, command: Command, subject: str = "", until_ms: int | None = None) -> None:
        """Keep a command, inside a transaction; it ends the previous one of its name and subject."""
        at_ms = to_timestamp_ms(command.at)
        self._end(db, command.name, subject, at_ms)
        db.execute(
            f"INSERT INTO commands ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)",  # noqa: S608
            (command.name, subject, command.payload, at_ms, until_ms),
        )

    def end(self, name: str, at_ms: int, subject: str = "") -> None:
        """Note that a command is no longer in force.

        Raises:
            StoreBusyError: The disk is full or broken; nothing has changed.
        """
        with self._database.transaction() as db:
            self._end(db, name, subject, at_ms)

    def _end(self, db: sqlite3.Connection, name: str, subject: str, at_ms: int) -> None:
        values = (at_ms, name, subject)
        db.execute("UPDATE commands SET ended_ms = ? WHERE name = ? AND subject = ? AND ended_ms IS NULL", values)

    def in_force(self, now_ms: int) -> list[CommandInForce]:
        """Return what is in force at a time, the oldest first."""
        rows = self._database.all(f"SELECT {_COLUMNS} FROM commands WHERE {_IN_FORCE} ORDER BY at_ms, id", (now_ms,))  # noqa: S608
        return [CommandInForce(*row) for row in rows]
