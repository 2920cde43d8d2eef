"""The consumer itself: keeps what comes, acknowledges it, and asks for what is missing, until it is told to end."""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import structlog

from inspector.clock import Clock
from inspector.consume.asking import Asking
from inspector.consume.intake import TOPICS, Arrival, Hole, Intake, read_arrival
from inspector.consume.kept import Kept
from inspector.consume.session import Come, Ended, Session, open_session
from inspector.errors import BrokerError
from inspector.json_text import canonical_json
from inspector.sinks.mqtt.options import MqttOptions

BATCH = 200
"""Most messages that are kept at once."""
_PAUSE_S = (0.5, 5.0)
"""Shortest and longest pause before the next connection."""

_log = structlog.get_logger("consume")


@dataclass(frozen=True, slots=True)
class Account:
    """What a consumer did, and what is missing at its end.

    Attributes:
        kept: New messages.
        repeats: Messages that were kept already.
        strange: Messages that no station numbered; they are dropped.
        missing: Messages that did not arrive, and that no station reported as lost.
        reported_lost: Messages that a station reported as lost.
    """

    kept: int
    repeats: int
    strange: int
    missing: int
    reported_lost: int

    def as_dict(self) -> dict[str, int]:
        """Return it by name."""
        return asdict(self)


Ask = Callable[[Hole], None]
"""Asks a station for missing messages in another way than over the broker."""


class Consumer:
    """Keeps every message of some stations once.

    Args:
        options: The broker; `client_id` names the durable session.
        roots: Topic roots; `+` stands for any one level.
        kept: Where messages are kept.
        clock: Time.
        ask: How to ask for missing messages; unset: by `cmd/resend` over the broker.
        also: Given the root, topic and payload of what stations say besides numbered messages, on `more`.
        more: Those topics.

    Attributes:
        intake: What was taken, and what is missing.
        connected: The broker delivers to this consumer.
    """

    def __init__(
        self,
        options: MqttOptions,
        roots: Sequence[str],
        kept: Kept,
        clock: Clock,
        ask: Ask | None = None,
        also: Callable[[str, str, bytes], None] | None = None,
        more: Sequence[str] = (),
    ) -> None:
        self._options = options
        self._also = also
        self._filters = [f"{root}/{topic}" for root in roots for topic in TOPICS]
        self._states = [f"{root}/{topic}" for root in roots for topic in more]
        self._more = frozenset(more)
        self._kept = kept
        self._clock = clock
        self._ask = ask
        self._asking = Asking()
        self._strange = 0
        self.connected = False
        self.intake = Intake()
        self.intake.restore(kept.stretches(), kept.losses())

    def run(self, stopping: threading.Event) -> Account:
        """Consume until `stopping` is set; connections that fail are made again.

        Raises:
            SourceError: The file cannot be written. What it does not have was not acknowledged.
        """
        tries = 0
        while not stopping.is_set():
            try:
                with open_session(self._options, self._filters, self._states) as session:
                    _log.info("consuming", broker=self._options.address, missing=self.intake.missing)
                    tries, self.connected = 0, True
                    self._pump(session, stopping)
            except BrokerError as exc:
                if not stopping.is_set():
                    _log.warning("broker_unavailable", reason=str(exc))
            finally:
                self.connected = False
            low, high = _PAUSE_S
            stopping.wait(random.uniform(0.5, 1) * min(high, low * 2**tries))  # noqa: S311 - jitter
            tries += 1
        return Account(
            self.intake.taken, self.intake.repeats, self._strange, self.intake.missing, self.intake.reported_lost
        )

    def _pump(self, session: Session, stopping: threading.Event) -> None:
        while not stopping.is_set():
            came: list[Come] = []
            ended: Ended | None = None
            try:
                event = session.events.get(timeout=0.2)
                while True:
                    if isinstance(event, Ended):
                        ended = event
                        break
                    came.append(event)
                    if len(came) >= BATCH:
                        break
                    event = session.events.get_nowait()
            except queue.Empty:
                pass
            self._keep(came)
            for one in came:
                session.take(one)  # only now: a death before this makes it come again
            if ended is not None:
                raise BrokerError(ended.reason)
            self._ask_for_missing(session)

    def _keep(self, came: Sequence[Come]) -> None:
        new: dict[str, Arrival] = {}
        for one in came:
            root, _, topic = one.topic.rpartition("/")
            arrival = read_arrival(one.topic, one.payload)
            if topic in self._more and self._also is not None:
                self._also(root, topic, one.payload)
            elif arrival is None:
                self._strange += 1
            elif self.intake.take(arrival, arrival.id in new or self._kept.has(arrival.id)):
                new[arrival.id] = arrival
        if new:
            self._kept.add(list(new.values()))

    def _ask_for_missing(self, session: Session) -> None:
        holes = [hole for hole in self.intake.holes() if self.intake.can_be_asked(hole)]
        for hole in self._asking.due(holes, self._clock.monotonic()):
            _log.info("asking_for_missing", root=hole.root, first_seq=hole.first_seq, last_seq=hole.last_seq)
            if self._ask is not None:
                self._ask(hole)
            else:
                session.publish(f"{hole.root}/cmd/resend", canonical_json({"from_seq": hole.first_seq}))
