"""What the station remembers of its broker, over connections and restarts: who listened, and which life it is in.

`audience` and `lives` decide; here it is read from the store and kept there. What cannot be kept costs repeats after a
restart, never a message.
"""

from __future__ import annotations

from typing import Protocol

import structlog

from inspector.clock import Clock, to_timestamp_ms
from inspector.errors import StoreBusyError
from inspector.sinks.base import Outbox
from inspector.sinks.mqtt.audience import NEVER, Audience
from inspector.sinks.mqtt.connection import Connection
from inspector.sinks.mqtt.lives import GONE, SETTLED_S, Life, Settling, next_life
from inspector.sinks.mqtt.options import MqttOptions
from inspector.sinks.mqtt.retained import seq_of_mark

KEEP_S = 1.0
"""How often progress within a life is kept while there is some."""
_LIFE = "life"

_log = structlog.get_logger("mqtt")


class Notes(Protocol):
    """Where it is kept; `store.broker_notes` is one."""

    def topics(self) -> dict[str, int | None]:
        """Return what is known of topics: None, until when messages wait (ms since 1970), or 0 for never."""
        ...

    def note_topic(self, topic: str, grace_until_ms: int | None) -> None:
        """Note what is known of a topic."""
        ...

    def drop_topic(self, topic: str) -> None:
        """Note that nothing is known of a topic."""
        ...

    def note(self, name: str) -> str | None:
        """Return a text that was kept by name."""
        ...

    def keep(self, name: str, text: str) -> None:
        """Keep a text by name."""
        ...


class BrokerMemory:
    """The memory of one broker.

    Args:
        options: The broker.
        outbox: What was sent, and how far.
        notes: Where it is kept.
        clock: Time.
        sink: Name of the cursor.

    Attributes:
        audience: Who listens.
        life: The present life.
        lost: Whether this connection found that the broker has lost its memory.
    """

    def __init__(self, options: MqttOptions, outbox: Outbox, notes: Notes, clock: Clock, sink: str) -> None:
        self._options = options
        self._outbox = outbox
        self._notes = notes
        self._clock = clock
        self._sink = sink
        self._settling = Settling()
        self._kept_text = Life().text
        self._kept_s = 0.0
        self.audience = Audience(options.subscriber_grace_s)
        self.life = Life()
        self.lost = False
        self._read = False
        outbox.hold(sink, True)

    def open(self, connection: Connection) -> int:
        """Begin a connection: find out what the broker still has, and return the `seq` after which to send.

        Raises:
            StoreBusyError: The store cannot be read.
        """
        self._restore()
        now_s, now_ms = self._clock.monotonic(), to_timestamp_ms(self._clock.now())
        start = self._find_start(connection, now_ms)
        self._settling.open(SETTLED_S if self.life.empty else self._options.subscriber_grace_s)
        left_s = (self.life.began_ms - now_ms) / 1000 + self._options.subscriber_grace_s
        doubt_until_s = now_s + min(left_s, self._options.subscriber_grace_s) if self.life.base else NEVER
        self.audience.open(now_s, self.lost, doubt_until_s)
        self._hold()
        return start

    def close(self) -> None:
        """End a connection: what was delivered is kept until the next one shows what the broker still has."""
        self._outbox.hold(self._sink, True)

    def _restore(self) -> None:
        if self._read:
            return
        now_s, now_ms = self._clock.monotonic(), to_timestamp_ms(self._clock.now())
        known = self._notes.topics()
        self.audience.restore(
            {topic: (now_s + (ms - now_ms) / 1000 if ms else NEVER) if ms is not None else None
             for topic, ms in known.items()},
            now_s,
        )  # fmt: skip
        self.life = Life.read(self._notes.note(_LIFE))
        self._read = True

    def _find_start(self, connection: Connection, now_ms: int) -> int:
        self.lost = False
        cursor = self._outbox.cursor(self._sink)
        if cursor <= 0:  # nothing of this store's own was acknowledged
            return cursor
        payload = connection.read_retained("mark") if connection.limits.retains else None
        mark = GONE if payload == b"" else seq_of_mark(payload, self._outbox.store_id, f"{self._options.root}/mark")
        first_kept = self._outbox.first_kept_seq()
        self.life, start, self.lost = next_life(self.life, cursor, mark, first_kept, now_ms)
        if self.lost:
            if connection.protocol != "5":
                self.life = self.life.sent_once_more(start + 1)
            _log.warning("broker_lost_messages", acknowledged=cursor, found=max(mark or 0, 0), resend_from=start + 1)
            self._keep_life(force=True)
        return start

    def take_again_from(self, now_ms: int) -> int | None:
        """Return from where everything is to be sent once more now, because nobody could tell who got it."""
        if not self.life.again_from or now_ms < self.life.began_ms + 1000 * self._options.subscriber_grace_s:
            return None
        first, self.life = self.life.again_from, self.life.sent_once_more(0)
        self._keep_life(force=True)
        return first

    def advance(self, acknowledged: int) -> None:
        """Take into account up to where everything has arrived, and keep what has changed."""
        now_s = self._clock.monotonic()
        self.life = self.life.after(acknowledged, self._settling.settled(acknowledged, now_s))
        self._keep_life()
        self._keep_topics(now_s)
        self._hold()

    def _hold(self) -> None:
        self._outbox.hold(self._sink, not self.life.caught_up)

    def _keep_life(self, force: bool = False) -> None:
        now_s, text = self._clock.monotonic(), self.life.text
        if text == self._kept_text or not (force or now_s - self._kept_s >= KEEP_S):
            return
        self._kept_s = now_s
        try:
            self._notes.keep(_LIFE, text)
            self._kept_text = text
        except StoreBusyError as exc:  # after a restart more is sent again than needed
            self._complain(exc)

    def _keep_topics(self, now_s: float) -> None:
        audience = self.audience
        try:
            while audience.forgotten:
                self._notes.drop_topic(next(iter(audience.forgotten)))
                audience.forgotten.pop()
            while audience.changes:
                topic, until_s = next(iter(audience.changes.items()))
                self._notes.note_topic(topic, self._to_ms(until_s, now_s))
                del audience.changes[topic]
        except StoreBusyError as exc:  # tried again with the next message
            self._complain(exc)

    def _to_ms(self, until_s: float | None, now_s: float) -> int | None:
        if until_s is None:
            return None
        return 0 if until_s == NEVER else to_timestamp_ms(self._clock.now()) + round((until_s - now_s) * 1000)

    def _complain(self, exc: StoreBusyError) -> None:
        _log.warning("broker_not_remembered", reason=str(exc))
