"""`inspector.store.topics`: which topics had subscribers, and until when they are waited for."""

from __future__ import annotations

import pytest
from stores import reopened

from inspector.errors import StoreBusyError
from inspector.store.store import Store


def test_topics_are_known_after_a_restart(store: Store) -> None:
    """Each sink has its own; a grace that began before a death goes on after it; who did not come back is forgotten."""
    store.topics.note("mqtt", "alarm")
    store.topics.note("mqtt", "defect", 5000)
    store.topics.note("mqtt", "frame")
    store.topics.note("other", "frame")
    store.topics.note("other", "coverage", 0)
    store.topics.drop("mqtt", "frame")
    store.topics.drop("mqtt", "never")
    again = reopened(store, clean=False)
    found = again.topics.of("mqtt"), again.topics.of("other"), again.topics.of("new")
    again.topics.note("mqtt", "defect")
    back = again.topics.of("mqtt")
    again.close()

    assert found == ({"alarm": None, "defect": 5000}, {"frame": None, "coverage": 0}, {})
    assert back == {"alarm": None, "defect": None}


def test_a_topic_that_has_its_subscribers_costs_nothing(store: Store) -> None:
    """It is noted with each message, and written once."""
    before = store.database.connection.total_changes
    for _ in range(100):
        store.topics.note("mqtt", "alarm")

    assert store.database.connection.total_changes == before + 1


def test_what_could_not_be_written_is_not_believed(store: Store) -> None:
    """On a full disk the topic is not known, neither now nor later."""
    [(pages,)] = store.database.all("PRAGMA page_count")
    store.database.connection.execute(f"PRAGMA max_page_count = {pages}")

    def note_many() -> None:
        for number in range(10_000):
            store.topics.note("mqtt", f"topic {number} {'x' * 200}")

    with pytest.raises(StoreBusyError):
        note_many()
    known = store.topics.of("mqtt")
    [(count,)] = store.database.all("SELECT count(*) FROM topics")

    assert len(known) == count


def test_a_damaged_row_is_not_believed(store: Store) -> None:
    """What is no time is nothing that is known; the other topics stay."""
    store.topics.note("mqtt", "alarm")
    store.topics.note("mqtt", "defect", 5000)
    with store.database.transaction() as db:
        db.execute("UPDATE topics SET grace_until_ms = 'soon' WHERE topic = 'defect'")
        db.execute("INSERT INTO topics (sink, topic) VALUES ('other', CAST(x'ff' AS TEXT))")
    again = reopened(store)
    found = again.topics.of("mqtt")
    again.close()

    assert found == {"alarm": None}
