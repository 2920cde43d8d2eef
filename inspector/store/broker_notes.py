"""What a sink remembers of its broker over a restart: who listened, and how far it is in the broker's present life."""

from __future__ import annotations

from inspector.store.database import Database
from inspector.store.topics import SubscribedTopics


class BrokerNotes:
    """The notes of one sink.

    Args:
        database: Holds them.
        topics: Topics that had subscribers.
        sink: Whose they are.
    """

    def __init__(self, database: Database, topics: SubscribedTopics, sink: str) -> None:
        self._database = database
        self._topics = topics
        self._sink = sink

    def topics(self) -> dict[str, int | None]:
        """Return what is known of topics: None while one has subscribers, else until when messages wait, ms since 1970.

        0 stands for a topic that never had any.
        """
        return self._topics.of(self._sink)

    def note_topic(self, topic: str, grace_until_ms: int | None) -> None:
        """Note what is known of a topic, as `topics` returns it.

        Raises:
            StoreBusyError: The disk is full or broken; nothing has changed.
        """
        self._topics.note(self._sink, topic, grace_until_ms)

    def drop_topic(self, topic: str) -> None:
        """Note that nothing is known of a topic.

        Raises:
            StoreBusyError: The disk is full or broken; nothing has changed.
        """
        self._topics.drop(self._sink, topic)

    def note(self, name: str) -> str | None:
        """Return a text that was kept by name, or None."""
        value = self._database.meta(f"{self._sink}_{name}")
        return None if value is None else str(value)

    def keep(self, name: str, text: str) -> None:
        """Keep a text by name.

        Raises:
            StoreBusyError: The disk is full or broken; nothing has changed.
        """
        self._database.set_meta(f"{self._sink}_{name}", text)
