"""The retained state: `status`, `about`, `health`, `coil` and `mark`, what is published again and when.

A broker can lose all of it at any time, and anybody may clear it, so everything is published on each connect and once a
minute. In between `health` follows its changes and is repeated while it holds; the `mark` follows the cursor, one at a
time. Nothing here talks to a broker: publishing is a function that is handed in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import structlog

from inspector.faults import crash_point
from inspector.json_text import parse_json
from inspector.messages import MarkMessage, encode

STATE_PERIOD_S = 5.0
"""Health is published again after this time without a change."""
REPEAT_PERIOD_S = 60.0
"""All of it is published again after this time: what somebody cleared at the broker is back within a minute."""
LOOK_PERIOD_S = 0.2
"""Health is compared this often."""

Publish = Callable[[str, bytes], int]
"""Publishes a retained payload on a topic below the root, and returns its packet id."""

_log = structlog.get_logger("mqtt")


def seq_of_mark(payload: bytes | None, store_id: str, topic: str) -> int | None:
    """Return how far the broker got, by the mark it kept.

    Args:
        payload: The mark; empty: it has none; None: it may not be read.
        store_id: Of the sending store.
        topic: Of the mark, for the log.

    Returns:
        The last `seq`; 0 if there is no mark or it is not understood; None if it is not about this store.
    """
    if payload is None:
        _log.warning("mark_not_readable", topic=topic, mend="allow this station to read its own mark")
        return None
    if not payload:
        return 0
    try:
        mark = MarkMessage.model_validate(parse_json(payload))
    except ValueError:
        _log.warning("mark_not_understood", topic=topic, payload=payload[:200])
        return 0
    if mark.store_id != store_id:
        _log.warning("mark_of_another_store", topic=topic, store_id=mark.store_id)
        return None  # another station publishes here, or did: what we sent is still there
    return mark.seq


class RetainedState:
    """The retained state of one connection.

    Args:
        publish: Publishes one payload.
        payloads: Gives the retained payloads (`about`, `health`, `coil`) by topic below the root, as of now.
        store_id: Of the store, for the mark.
        marked: The mark that needs not be published; -1: each must.
    """

    def __init__(
        self, publish: Publish, payloads: Callable[[], Mapping[str, bytes]], store_id: str, marked: int = 0
    ) -> None:
        self._publish = publish
        self._payloads = payloads
        self._store_id = store_id
        self._mark_packet: int | None = None
        self._marked = marked
        self._looked_s = 0.0
        self._health_s = 0.0
        self._all_s = 0.0
        self._health = self._coil = b""

    def publish_all(self, now_s: float) -> None:
        """Publish that the station is online, and all payloads as they are now."""
        self._all_s = now_s
        self._publish("status", b"online")
        for topic, payload in self._payloads().items():
            self._publish_one(topic, payload, now_s)

    def refresh(self, now_s: float) -> None:
        """Publish health and the coil if they changed, compared five times a second, and all once a minute.

        Health is published every `STATE_PERIOD_S`, too. A coil that began, ended or was reported is told at once,
        whoever named it: who joins several stations counts on each of them.
        """
        if now_s - self._looked_s < LOOK_PERIOD_S:
            return
        self._looked_s = now_s
        if now_s - self._all_s >= REPEAT_PERIOD_S:
            self.publish_all(now_s)
            if self._mark_packet is None and self._marked > 0:
                self._mark_packet = self._publish("mark", self._mark(self._marked))
            return
        payloads = self._payloads()
        health, coil = payloads.get("health", b""), payloads.get("coil", b"")
        if _without(coil, "probes_shown", "probes_found") != self._coil:
            self._publish_one("coil", coil, now_s)
        if now_s - self._health_s >= STATE_PERIOD_S or _without(health, "valid_until") != self._health:
            self._publish_one("health", health, now_s)

    def _publish_one(self, topic: str, payload: bytes, now_s: float) -> None:
        if topic == "health":
            self._health, self._health_s = _without(payload, "valid_until"), now_s
        elif topic == "coil":
            self._coil = _without(payload, "probes_shown", "probes_found")
        self._publish(topic, payload)

    def leave_mark(self, seq: int, last: bool = False) -> None:
        """Publish how far the broker got, unless it has it already or the previous mark is unanswered.

        Args:
            seq: The last `seq` up to which everything has arrived.
            last: Do not wait for the previous mark: the connection ends.
        """
        if (self._mark_packet is None or last) and seq > self._marked:
            packet_id = self._publish("mark", self._mark(seq))
            crash_point("mark.sent")
            self._mark_packet, self._marked = packet_id, seq

    def _mark(self, seq: int) -> bytes:
        return encode(MarkMessage(store_id=self._store_id, seq=seq))

    def ack(self, packet_id: int) -> bool:
        """Take the answer to a packet; returns whether it was the mark."""
        if packet_id != self._mark_packet:
            return False
        self._mark_packet = None
        return True


def _without(payload: bytes, *keys: str) -> bytes:
    """Return a payload without what changes although nothing has happened."""
    if not payload:
        return b""
    return json.dumps(
        {key: value for key, value in json.loads(payload).items() if key not in keys}, sort_keys=True
    ).encode()
