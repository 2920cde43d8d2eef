"""`inspector.store.stored_commands`: accepted commands are kept, and those in force are known over a restart."""

from __future__ import annotations

from datetime import timedelta

from fakes import NOON
from stores import reopened

from inspector.clock import to_timestamp_ms
from inspector.items import Command
from inspector.store.entries import Entry
from inspector.store.store import Store
from inspector.store.stored_commands import CommandInForce

NOON_MS = to_timestamp_ms(NOON)


def asked(name: str, payload: str = "{}", seconds: float = 0) -> Command:
    return Command(NOON + timedelta(seconds=seconds), name, payload)


def test_an_accepted_command_is_kept_with_what_it_changed(store: Store) -> None:
    """A command is committed with the messages of its place, and is there at the next start."""
    store.commit([Entry([], {}, commands=[asked("coil", '{"coil_id":"A"}'), asked("resend", '{"from_seq":1}', 5)])])
    again = reopened(store, clean=False)
    kept = again.commands.in_force(NOON_MS)
    again.close()

    assert kept == [
        CommandInForce("coil", "", '{"coil_id":"A"}', NOON_MS, None),
        CommandInForce("resend", "", '{"from_seq":1}', NOON_MS + 5000, None),
    ]


def test_a_command_holds_until_the_next_its_time_or_its_end(store: Store) -> None:
    """One of a name and subject is in force at a time; others of the name, about another subject, stand beside it."""
    with store.database.transaction() as db:
        store.commands.insert(db, asked("pause", '{"n":1}'))
        store.commands.insert(db, asked("pause", '{"n":2}', 1))
        store.commands.insert(db, asked("shelve", '{"n":3}', 2), "crack", NOON_MS + 60_000)
        store.commands.insert(db, asked("shelve", '{"n":4}', 3), "rust")
    at_once = [one.payload for one in store.commands.in_force(NOON_MS + 3000)]
    later = [one.payload for one in store.commands.in_force(NOON_MS + 60_000)]
    store.commands.end("pause", NOON_MS + 61_000)
    at_last = [one.payload for one in store.commands.in_force(NOON_MS + 61_000)]
    [(count,)] = store.database.all("SELECT count(*) FROM commands")

    assert (at_once, later, at_last) == (['{"n":2}', '{"n":3}', '{"n":4}'], ['{"n":2}', '{"n":4}'], ['{"n":4}'])
    assert count == 4
