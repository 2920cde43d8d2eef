"""What a broker does not take: kept in the store, reported by count, and tried again another time.

Once a day, and after a change of `[mqtt]`, each message that was set aside is sent again, alone and behind everything
else. What ends the connection, or is refused again, waits for the next time; after some ended connections all of it
does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Protocol

import structlog

from inspector.clock import Clock, to_timestamp_ms
from inspector.errors import StoreBusyError
from inspector.sinks.mqtt.memory import Notes
from inspector.sinks.mqtt.options import MqttOptions
from inspector.sinks.mqtt.unheard import REPORT_S
from inspector.store.entries import OutboxRow
from inspector.store.set_aside import AsideReport
from inspector.telemetry.metrics import Metrics

AGAIN_S = 86400.0
"""After this time all of it is tried again."""
LOOK_S = 600.0
"""How often is looked whether it is time."""
MOST_DROPS = 5
"""Connections that may end over such a message before the rest waits for the next time."""
_NOTE = "tried_again"

_log = structlog.get_logger("mqtt")


class Aside(Protocol):
    """Where they are kept; `store.set_aside` is one."""

    def add(self, row: OutboxRow, reason: str, reported: bool = False) -> None:
        """Set a message aside."""
        ...

    def count(self) -> int:
        """Return how many there are."""
        ...

    def next_to_try(self, before_ms: int) -> OutboxRow | None:
        """Return the first message that was not tried since then, and note that it is tried now."""
        ...

    def remove(self, seq: int) -> None:
        """Note that a message has arrived after all."""
        ...

    def take_report(self) -> AsideReport | None:
        """Return what is to be reported, and note that it is."""
        ...


class SecondTry:
    """The messages that a broker did not take.

    Args:
        options: The broker.
        aside: Where they are kept.
        notes: Where it is kept when they were tried.
        clock: Time.
        metrics: Where their number is shown.
        report: Called with first `seq`, last `seq`, count and reason of what was set aside.
    """

    def __init__(
        self,
        options: MqttOptions,
        aside: Aside,
        notes: Notes,
        clock: Clock,
        metrics: Metrics,
        report: Callable[[int, int, int, str], object],
    ) -> None:
        self._key = hashlib.sha256(options.model_dump_json().encode()).hexdigest()[:16]
        self._aside = aside
        self._notes = notes
        self._clock = clock
        self._metrics = metrics
        self._report = report
        self._round_ms: int | None = None
        self._drops = 0
        self._under_way: tuple[int, OutboxRow] | None = None
        self._report_mono_s: float | None = None
        self._reported_mono_s = self._looked_mono_s = clock.monotonic()
        self._pause_s = 0.0

    def put(self, row: OutboxRow, reason: str) -> None:
        """Set a message aside; a report that is refused is not reported again, without end."""
        try:
            self._aside.add(row, reason, reported=row.topic == "coverage")
            self._metrics.mqtt_set_aside.set(self._aside.count())
        except StoreBusyError as exc:  # the record of the message stays
            _log.warning("not_set_aside", seq=row.seq, reason=str(exc))
        if self._report_mono_s is None and row.topic != "coverage":
            now = self._clock.monotonic()
            quiet = now - self._reported_mono_s > 2 * max(self._pause_s, REPORT_S[0])
            self._pause_s = 0.0 if quiet else self._pause_s
            self._report_mono_s = max(now, self._reported_mono_s + self._pause_s)
            self._pause_s = min(REPORT_S[1], max(REPORT_S[0], 2 * self._pause_s))

    def open(self) -> bool:
        """Begin a connection; returns whether it is time to try again."""
        if self._under_way is not None:
            self._drops += 1
            self._under_way = None
        if self._report_mono_s is None:
            self._report_mono_s = self._clock.monotonic()  # what an earlier process left unreported
        begun = self._begin_round()
        if self._drops >= MOST_DROPS:
            self._round_ms = None
        return begun

    def _begin_round(self) -> bool:
        self._looked_mono_s = self._clock.monotonic()
        try:
            count = self._aside.count()
            self._metrics.mqtt_set_aside.set(count)
            if not self._is_time():
                return False
            now_ms = to_timestamp_ms(self._clock.now())
            self._notes.keep(_NOTE, json.dumps({"at_ms": now_ms, "key": self._key}))
        except StoreBusyError as exc:
            _log.warning("set_aside_not_read", reason=str(exc))
            return False
        self._round_ms, self._drops = (now_ms if count else None), 0
        if count:
            _log.info("trying_set_aside_again", messages=count)
        return True

    def _is_time(self) -> bool:
        try:
            known = json.loads(self._notes.note(_NOTE) or "{}")
            age_s = to_timestamp_ms(self._clock.now()) / 1000 - int(known["at_ms"]) / 1000
            return bool(known["key"] != self._key or abs(age_s) >= AGAIN_S)
        except (ValueError, TypeError, KeyError):
            return True

    def following(self) -> OutboxRow | None:
        """Return the next message to try, or None; while one is under way, there is none."""
        if self._under_way is not None or self._round_ms is None:
            return None
        try:
            row = self._aside.next_to_try(self._round_ms)
        except StoreBusyError:
            row = None
        if row is None:
            self._round_ms = None
        return row

    def sent(self, packet_id: int, row: OutboxRow) -> None:
        """Note that a message is under way."""
        self._under_way = (packet_id, row)

    def ack(self, packet_id: int, taken: bool) -> bool:
        """Take the answer to a packet; returns whether it was one of these messages."""
        if self._under_way is None or self._under_way[0] != packet_id:
            return False
        row = self._under_way[1]
        self._under_way = None
        if taken:
            try:
                self._aside.remove(row.seq)
                self._metrics.mqtt_set_aside.set(self._aside.count())
            except StoreBusyError as exc:  # sent again another time, under the same id
                _log.warning("set_aside_not_removed", seq=row.seq, reason=str(exc))
            _log.info("set_aside_arrived", seq=row.seq, topic=row.topic)
        return True

    def look(self, last: bool = False) -> bool:
        """Report what was set aside, if it is time or the last chance; returns whether it is time to try again."""
        now = self._clock.monotonic()
        if self._report_mono_s is not None and (now >= self._report_mono_s or last):
            self._tell(now)
        return not last and now - self._looked_mono_s >= LOOK_S and self._begin_round()

    def _tell(self, now: float) -> None:
        self._report_mono_s, self._reported_mono_s = None, now
        try:
            report = self._aside.take_report()
        except StoreBusyError:
            return
        if report is not None:
            self._report(report.first_seq, report.last_seq, report.count, report.reason)
