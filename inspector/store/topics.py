"""Which topics had subscribers: remembered over a restart, so that the first messages after it wait for them too."""

from __future__ import annotations

from inspector.store.database import Database


class SubscribedTopics:
    """Topics that had subscribers, and how long messages wait for missing ones.

    Only changes are written: a topic that has its subscribers costs nothing per message.

    Args:
        database: Holds them.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        rows = database.all("SELECT CAST(sink AS BLOB), CAST(topic AS BLOB), grace_until_ms FROM topics")
        self._known: dict[tuple[str, str], int | None] = {
            (sink.decode(errors="replace"), topic.decode(errors="replace")): until_ms
            for sink, topic, until_ms in rows
            if isinstance(until_ms, int | None)
        }

    def of(self, sink: str) -> dict[str, int | None]:
        """Return the topics of a sink that had subscribers.

        Returns:
            For each topic the time until which messages wait for them, ms since 1970; None while they are there, 0 if
            it never had any.
        """
        with self._database.guard:
            return {topic: until_ms for (name, topic), until_ms in self._known.items() if name == sink}

    def note(self, sink: str, topic: str, grace_until_ms: int | None = None) -> None:
        """Note that a topic has subscribers, or that it had some and messages wait for them until a time.

        Raises:
            StoreBusyError: The disk is full or broken; nothing has changed.
        """
        with self._database.guard:
            if (sink, topic) in self._known and self._known[sink, topic] == grace_until_ms:
                return
            with self._database.transaction() as db:
                db.execute(
                    "INSERT INTO topics (sink, topic, grace_until_ms) VALUES (?, ?, ?)"
                    " ON CONFLICT (sink, topic) DO UPDATE SET grace_until_ms = excluded.grace_until_ms",
                    (sink, topic, grace_until_ms),
                )
            self._known[sink, topic] = grace_until_ms

    def drop(self, sink: str, topic: str) -> None:
        """Note that a topic's subscribers did not come back.

        Raises:
            StoreBusyError: The disk is full or broken; nothing has changed.
        """
        with self._database.guard:
            if (sink, topic) not in self._known:
                return
            with self._database.transaction() as db:
                db.execute("DELETE FROM topics WHERE sink = ? AND topic = ?", (sink, topic))
            del self._known[sink, topic]
