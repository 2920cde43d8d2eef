"""What leaves the station: its sinks, started, woken, watched and stopped together, and what waits for them.

Only this module of the station knows which sinks there are. How a sink delivers is its own business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import structlog

from inspector.clock import Clock
from inspector.command_table import Origin
from inspector.items import Lost
from inspector.messages import ReplyMessage
from inspector.settings.sections import Settings
from inspector.sinks.base import LastWord, ResendingSink, Sink, SinkStatus
from inspector.sinks.jsonl import JsonlSink
from inspector.sinks.mqtt.area import AreaPort
from inspector.sinks.mqtt.options import BrokerStatus
from inspector.sinks.mqtt.outgoing import LossReports
from inspector.sinks.mqtt.publisher import MqttPublisher
from inspector.station.inbox import Inbox
from inspector.station.wiring import jsonl_options, mqtt_options
from inspector.store.broker_notes import BrokerNotes
from inspector.store.outbox import StoredOutbox
from inspector.store.set_aside import SetAside
from inspector.store.store import Store
from inspector.telemetry.metrics import Metrics

SINK_GRACE_S = 5.0
"""Shorter outages of a sink are not reported."""
HEALTH_WORD = {"mqtt": "broker"}
"""First word of a reason of health, if it is not the sink's name."""

UNHEARD = "messages_unheard"
"""Cause of the coverage message on messages that were delivered to nobody."""

_log = structlog.get_logger("daemon")


class Delivery:
    """The enabled sinks.

    Args:
        sinks: In the order in which they are started, stopped, and reported.
    """

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self.sinks = tuple(sinks)
        self._away_since_s: dict[str, float] = {}

    def start(self) -> None:
        """Begin to deliver."""
        for sink in self.sinks:
            sink.start()

    def wake(self) -> None:
        """There is something new in the outbox, or in the retained state."""
        for sink in self.sinks:
            sink.wake()

    def stop(self, timeout_s: float, status: LastWord) -> None:
        """Deliver what is possible within `timeout_s` seconds for each sink, and end."""
        for sink in self.sinks:
            sink.stop(timeout_s, status)

    def resend(self, from_seq: int) -> str:
        """Send kept messages again from this `seq` on, by a sink that can; returns a sentence about it."""
        said = [sink.resend(from_seq) for sink in self.sinks if isinstance(sink, ResendingSink)]
        return "; ".join(said) or "there is no broker: mqtt.enabled = false"

    def reason(self, now_mono_s: float) -> str | None:
        """Return what is wrong with a sink, for health, or None; the first sink comes first."""
        reasons = [self._reason_of(sink, now_mono_s) for sink in self.sinks]
        return next((reason for reason in reasons if reason), None)

    def _reason_of(self, sink: Sink, now_mono_s: float) -> str | None:
        status = sink.status
        if status.connected:
            self._away_since_s.pop(sink.name, None)
        since = now_mono_s if status.connected else self._away_since_s.setdefault(sink.name, now_mono_s)
        why = status.trouble
        if now_mono_s - since > SINK_GRACE_S:
            why = why or status.reason or "not connected"
        return why and f"{HEALTH_WORD.get(sink.name, sink.name)}: {why}"

    @property
    def broker(self) -> BrokerStatus | None:
        """What is known about the broker; None if delivery to one is disabled."""
        found = (sink.status for sink in self.sinks)
        return next((status for status in found if isinstance(status, BrokerStatus)), None)

    @property
    def files(self) -> SinkStatus | None:
        """What is known about the message files; None if they are disabled."""
        return next((sink.status for sink in self.sinks if isinstance(sink, JsonlSink)), None)


def open_sinks(
    settings: Settings,
    store: Store,
    clock: Clock,
    metrics: Metrics,
    *,
    retained: Callable[[], Mapping[str, bytes]],
    losses: Losses,
    on_command: Callable[[str, bytes, Origin], ReplyMessage | None],
    beat: Callable[[], bytes | None] = lambda: None,
    area: AreaPort | None = None,
) -> list[Sink]:
    """Return the enabled sinks, not started; from here on nothing is kept for others.

    Args:
        settings: The configuration.
        store: What they deliver, and its folder.
        clock: Time.
        metrics: Where they count.
        retained: Gives the retained payloads of the broker, by topic below the root.
        losses: Where messages that did not arrive are reported.
        on_command: Carries a command out; see `MqttPublisher`.
        beat: Returns the next heartbeat, or None while the main loop hangs.
        area: What the stations of the operator's area tell each other; None: it has only this one.
    """
    sinks: list[Sink] = []
    if settings.mqtt.enabled:
        sinks.append(
            MqttPublisher(
                mqtt_options(settings),
                store.outbox,
                BrokerNotes(store.database, store.topics, MqttPublisher.name),
                SetAside(store.database, clock, MqttPublisher.name),
                clock,
                metrics,
                retained=retained,
                losses=LossReports(
                    lambda first, last, count, reason: losses.report(MqttPublisher.name, first, last, count, reason),
                    lambda first, last, count: losses.report_unheard(MqttPublisher.name, first, last, count),
                ),
                on_command=on_command,
                commands=settings.mqtt.commands,
                beat=beat,
                area=area,
            )
        )
    if settings.jsonl.enabled:
        sinks.append(JsonlSink(jsonl_options(settings, store.folder), store.outbox, clock))
    store.outbox.enable([sink.name for sink in sinks])
    return sinks


class Losses:
    """Reports messages that will not be delivered, in the stream of messages itself."""

    def __init__(self, inbox: Inbox, clock: Clock) -> None:
        self._inbox = inbox
        self._clock = clock

    def report(
        self, sink: str, first_seq: int, last_seq: int, count: int, reason: str, seqs: str | None = None
    ) -> None:
        """Report in a coverage message that `count` messages from `first_seq` to `last_seq` are lost for a sink.

        Args:
            sink: Which.
            first_seq: Of the first lost message.
            last_seq: Of the last one.
            count: How many.
            reason: For a person.
            seqs: As in `Lost`.
        """
        self._inbox.put(Lost(self._clock.now(), sink, first_seq, last_seq, count, reason, seqs=seqs))

    def report_unheard(self, sink: str, first_seq: int, last_seq: int, count: int) -> None:
        """Report in a coverage message that a sink delivered messages to nobody: their subscribers stayed away."""
        reason = "the broker accepted them, and their subscribers were away for longer than mqtt.subscriber_grace_s"
        self._inbox.put(Lost(self._clock.now(), sink, first_seq, last_seq, count, reason, UNHEARD))

    def report_damaged(self, seq: int) -> None:
        """Report in a coverage message that one message is damaged in the store, so that no sink delivers it."""
        self._inbox.put(Lost(self._clock.now(), None, seq, seq, 1, "damaged in the store: never delivered"))


class OutboxCare:
    """Prunes what was delivered, reports what had to be dropped undelivered, and measures what is left.

    Args:
        outbox: What waits for delivery.
        losses: Where deleted messages are reported.
        metrics: Where fill and losses are shown.
        sinks: Names of the enabled ones.
        limit_bytes: Payload bytes that may wait for one sink.
        horizon_s: How long delivered messages are kept, for a broker that loses them.

    Attributes:
        waiting_bytes: What waits for the slowest sink, as of the last `refresh`.
        share: Fill of the fullest sink's outbox, 0 to 1, as of the last `refresh`.
    """

    def __init__(
        self,
        outbox: StoredOutbox,
        losses: Losses,
        metrics: Metrics,
        *,
        sinks: Sequence[str],
        limit_bytes: int,
        horizon_s: float,
    ) -> None:
        self._outbox = outbox
        self._losses = losses
        self._metrics = metrics
        self._sinks = sinks
        self._limit_bytes = limit_bytes
        self._horizon_s = horizon_s
        self.share = 0.0
        self.waiting_bytes = 0

    def prune(self) -> None:
        """Delete what is no longer needed, and what no longer fits.

        Raises:
            StoreBusyError: The store refuses.
        """
        for loss in self._outbox.prune(self._horizon_s):
            self._metrics.outbox_lost.labels(loss.sink, "outbox_full").inc(loss.messages)
            _log.error("messages_lost", sink=loss.sink, count=loss.messages, first_seq=loss.first_seq,
                       last_seq=loss.last_seq, reason="outbox full")  # fmt: skip
            self._losses.report(
                loss.sink, loss.first_seq, loss.last_seq, loss.messages, "the outbox was full", loss.seqs
            )
        self._report_damaged()

    def _report_damaged(self) -> None:
        """Report messages that were stored and cannot be read any more, each by its number."""
        for seq in self._outbox.take_damaged():
            for sink in self._sinks:
                self._metrics.outbox_lost.labels(sink, "damaged").inc()
            self._losses.report_damaged(seq)

    def refresh(self) -> None:
        """Set share and metrics as of now."""
        shares, sizes = [0.0], [0]
        for sink in self._sinks:
            state = self._outbox.outbox_state(sink)
            shares.append(state.bytes / self._limit_bytes)
            sizes.append(state.bytes)
            self._metrics.outbox_messages.labels(sink).set(state.messages)
            self._metrics.outbox_bytes.labels(sink).set(state.bytes)
            self._metrics.outbox_oldest.labels(sink).set((state.oldest_ms or 0) / 1000)
        self.share, self.waiting_bytes = max(shares), max(sizes)


def open_outbox_care(
    settings: Settings, store: Store, losses: Losses, metrics: Metrics, sinks: Sequence[Sink]
) -> OutboxCare:
    """Return what keeps the outbox of these sinks within the limits of the configuration."""
    return OutboxCare(
        store.outbox,
        losses,
        metrics,
        sinks=[sink.name for sink in sinks],
        limit_bytes=settings.store.outbox_limit_bytes,
        horizon_s=settings.mqtt.resend_horizon_s,
    )
