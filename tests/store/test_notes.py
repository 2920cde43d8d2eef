"""`inspector.store.notes`: what the next start wants to know."""

from __future__ import annotations

from fakes import FakeClock
from stores import reopened

from inspector.store.store import Store


def test_configurations_are_remembered(store: Store) -> None:
    """What messages name by fingerprint stays readable; the first text of a fingerprint is kept."""
    store.notes.remember("bundle", "abc", "card")
    store.notes.remember("bundle", "abc", "other")

    assert store.database.connection.execute("SELECT kind, text FROM configurations").fetchall() == [("bundle", "card")]


def test_heartbeat_survives(store: Store, clock: FakeClock) -> None:
    """The next start knows when the last process was alive; a new store knows nothing."""
    before = store.notes.last_alive_ms()
    store.notes.heartbeat()
    again = reopened(store, clean=False)
    alive = again.notes.last_alive_ms()
    again.close()

    assert before is None
    assert round(clock.now().timestamp() * 1000) == alive
