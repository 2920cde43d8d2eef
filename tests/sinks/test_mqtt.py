"""`inspector.sinks.mqtt` with brokers that mosquitto is not: answers in another order, or refused."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import structlog
from brokers import (
    AnnouncedLog,
    Answer,
    Answered,
    Changes,
    MemoryAside,
    MemoryNotes,
    ScriptedBroker,
    ScriptedOutbox,
    Taken,
    packet,
    puback,
    retained_mark,
    rows,
    suback,
)
from fakes import LABELS, FakeClock
from prometheus_client import CollectorRegistry

from inspector.clock import Clock, SystemClock, to_timestamp_ms
from inspector.command_table import Origin
from inspector.sinks.mqtt import window
from inspector.sinks.mqtt.connection import Arrived
from inspector.sinks.mqtt.options import MqttOptions
from inspector.sinks.mqtt.outgoing import HISTORICAL_AFTER_S, LossReports
from inspector.sinks.mqtt.publisher import MqttPublisher
from inspector.sinks.mqtt.silence import longest_silence_s
from inspector.telemetry.metrics import Metrics

pytestmark = pytest.mark.timeout(60)


class Line:
    """A publisher between an outbox and a scripted broker.

    Attributes:
        looked_s: When the publisher last looked at the retained payloads, the last thing that each of its rounds does.
        lost: What it reported as lost.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        subscribed: Answer | None = None,
        published: Answered | None = None,
        commands: Sequence[str] = (),
        **outbox: Any,
    ) -> None:
        self.changes = Changes()
        self.log = AnnouncedLog(self.changes)
        self.lost: list[tuple[int, int, int, str]] = []
        self.aside = MemoryAside()
        self.looked_s = 0.0
        self._clock = clock or SystemClock()
        self.broker = ScriptedBroker(self.changes, subscribed, published)
        self.outbox = ScriptedOutbox(self.changes, **outbox)
        self.publisher = MqttPublisher(
            MqttOptions(port=self.broker.port, root="root", client_id="id", protocol="5", keepalive_s=10),
            self.outbox,
            MemoryNotes(),
            self.aside,
            self._clock,
            Metrics(CollectorRegistry(), LABELS[:1], {LABELS[0]: "minor"}),
            self._retained,
            LossReports(lambda *report: self.lost.append(report), lambda *_: None),
            self._obey,
            commands=commands,
        )
        self.obeyed = 0

    def _obey(self, name: str, payload: bytes, origin: Origin) -> None:
        """Take a command of a flood: the next one is there before this one is done."""
        self.obeyed += 1
        self.publisher._events.put(("message", f"root/cmd/{name}", Arrived(payload, False, 0, 0)))

    def _retained(self) -> dict[str, bytes]:
        self.looked_s = self._clock.monotonic()
        self.changes.announce()
        return {"health": b"{}"}

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        self.changes.wait_for(condition, what)

    def wait_for_number(self, things: Callable[[], Sequence[object]], number: int, what: str) -> None:
        self.changes.wait_for(lambda: len(things()) >= number, f"{number} {what}")

    def let_pass(self, clock: FakeClock, seconds: float) -> None:
        """Move the clock, and wait until the publisher has looked around at that time."""
        clock.advance(seconds)
        self.publisher.wake()
        self.wait_for(lambda: self.looked_s >= clock.monotonic(), "a round of the publisher")


MakeLine = Callable[..., contextlib.AbstractContextManager[Line]]


@pytest.fixture
def line() -> MakeLine:
    """Return what runs a `Line` for the length of a `with` block."""

    @contextlib.contextmanager
    def run(**parts: Any) -> Iterator[Line]:
        made = Line(**parts)
        before = structlog.get_config()["processors"].copy()
        configured = structlog.get_config()["processors"]
        configured[:] = [made.log]  # in place, as structlog's own capture_logs does: loggers keep the list
        structlog.configure(processors=configured)
        made.publisher.start()
        try:
            yield made
        finally:
            made.publisher.stop(1.0)
            made.broker.close()
            configured[:] = before
            structlog.configure(processors=configured)

    return run


def test_a_flood_of_commands_keeps_no_message_waiting(line: MakeLine) -> None:
    """While commands come faster than they are taken, rounds go on: retained state is looked at, a stop is heard."""
    with line(commands=("ack",)) as made:
        made.wait_for(lambda: made.log.named("broker_connected"), "the connection")
        made.publisher._events.put(("message", "root/cmd/ack", Arrived(b"{}", False, 0, 0)))
        begun_s = made.looked_s
        made.wait_for(lambda: made.obeyed > 100 and made.looked_s > begun_s, "a round in the flood")

    assert not made.publisher._thread.is_alive()


def test_commands_that_the_broker_denies_are_reported(line: MakeLine) -> None:
    """A station that may not read `cmd/` says so in its log, with what fixes it."""
    with line(
        subscribed=lambda packet_id, body: suback(packet_id, 0x87 if b"/cmd/" in body else 0), commands=("coil",)
    ) as made:
        made.wait_for(lambda: made.log.named("commands_not_readable"), "the log")

    assert [entry["topic"] for entry in made.log.named("commands_not_readable")] == ["root/cmd"]


@pytest.mark.parametrize(
    ("mark", "before", "first_kept", "from_seq", "lost"),
    [
        pytest.param(retained_mark("store", 100), True, 1, 101, False, id="all there, the mark before the answer"),
        pytest.param(retained_mark("store", 100), False, 1, 101, False, id="all there, the mark after the answer"),
        pytest.param(retained_mark("store", 40), True, 1, 41, True, id="some lost"),
        pytest.param(retained_mark("store", 10), True, 51, 51, True, id="more lost than is kept"),
        pytest.param(retained_mark("store", 10), True, None, 101, True, id="lost, and nothing is kept"),
        pytest.param(b"", True, 31, 31, True, id="no mark"),
        pytest.param(retained_mark("other", 10), True, 1, 101, False, id="the mark of another store"),
        pytest.param(packet(0x31, b"\x00\x09root/mark\x00{"), True, 1, 1, True, id="a mark that is none"),
    ],
)
def test_the_mark_says_where_to_begin(
    line: MakeLine, mark: bytes, before: bool, first_kept: int | None, from_seq: int, lost: bool
) -> None:
    """After a connect comes what the broker lost and is still kept, or what waits; the mark may come at any time."""

    def subscribed(packet_id: int, body: bytes) -> bytes:
        parts = (mark, suback(packet_id)) if before else (suback(packet_id), mark)
        return b"".join(parts)

    with line(subscribed=subscribed, delivered=100, first_kept=first_kept) as made:
        made.wait_for(lambda: made.log.named("broker_connected"), "the connection")

    assert [entry["from_seq"] for entry in made.log.named("broker_connected")] == [from_seq]
    assert [entry["resend_from"] for entry in made.log.named("broker_lost_messages")] == [from_seq] * lost


@pytest.mark.parametrize(
    ("age_s", "properties"),
    [
        pytest.param(0.0, [], id="fresh"),
        pytest.param(HISTORICAL_AFTER_S, [], id="a minute old"),
        pytest.param(HISTORICAL_AFTER_S + 0.001, [b"&\x00\x0ahistorical\x00\x011"], id="more than a minute old"),
    ],
)
def test_an_old_message_is_marked_as_historical(
    line: MakeLine, clock: FakeClock, age_s: float, properties: list[bytes]
) -> None:
    """On MQTT 5 a message older than a minute has the user property `historical=1`; its bytes stay."""
    stored_ms = to_timestamp_ms(clock.now()) - round(age_s * 1000)
    with line(clock=clock, waiting=rows(1, 1, stored_ms=stored_ms)) as made:
        made.wait_for(lambda: made.outbox.delivered == 1, "the delivery")

    assert HISTORICAL_AFTER_S == 60.0
    content_type = b"\x03\x00\x10application/json"
    assert made.broker.on("defect") == [Taken("root/defect", content_type + b"".join(properties), b"{}")]


def test_what_came_before_a_quota_is_not_sent_again(line: MakeLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker takes 10 of 20 messages and has enough for now: the rest follows later, nothing is lost or repeated."""
    monkeypatch.setattr(window, "REFUSED_PAUSE_S", 0.05)
    answers: list[bytes] = []
    sent = 0

    def published(topic: bytes, packet_id: bytes) -> bytes:
        nonlocal sent
        if topic != b"root/defect":
            return puback(packet_id)
        sent += 1
        answers.append(puback(packet_id, 0 if sent <= 10 or sent > 20 else 0x97))
        if 1 < sent < 20:
            return b""  # the first message of a topic goes alone; all other answers come at once
        return b"".join(answers[1:]) if sent == 20 else answers[-1]

    with line(published=published, waiting=rows(1, 20)) as made:
        made.wait_for(lambda: made.outbox.delivered == 20, "the delivery")

    assert (sent, made.lost) == (30, [])
    assert made.log.warnings() == ["quota_exceeded"]
    assert made.publisher.status.trouble is None


@pytest.mark.parametrize(
    ("topic", "lost"),
    [
        pytest.param("defect", [(1, 1, 1, "refused by the broker: Not authorized")], id="a defect"),
        pytest.param("coverage", [], id="the report of a loss"),
    ],
)
def test_a_message_that_is_refused_for_good_is_reported_once(
    line: MakeLine, clock: FakeClock, topic: str, lost: list[tuple[int, int, int, str]]
) -> None:
    """It is a loss, reported in a `coverage` message; where that is refused, no further one follows, without end."""

    def published(name: bytes, packet_id: bytes) -> bytes:
        return puback(packet_id, 0x87 if name == f"root/{topic}".encode() else 0)

    with line(clock=clock, published=published, waiting=[*rows(1, 1, topic), *rows(2, 3, "alarm")]) as made:
        for tries in range(1, window.MAX_REFUSALS):
            made.wait_for_number(lambda: made.log.named("message_refused"), tries, "refusals")
            clock.advance(4)
            made.publisher.wake()
        made.wait_for(lambda: made.outbox.delivered == 3, "the delivery of the rest")

    assert (len(made.broker.on(topic)), made.lost) == (window.MAX_REFUSALS, lost)
    assert list(made.aside.rows) == [1]
    assert made.publisher.status.trouble == f"the broker refuses the topic {topic}: Not authorized"


def test_a_broker_that_acknowledges_nothing_is_reported_and_left(line: MakeLine, clock: FakeClock) -> None:
    """After 8 s without a PUBACK health says so, once in the log; a new connection sends the same messages."""
    connections, troubles = 0, list[str | None]()

    def published(topic: bytes, packet_id: bytes) -> bytes:
        nonlocal connections
        connections += topic == b"root/status"
        return puback(packet_id) if connections > 2 else b""

    with line(clock=clock, published=published, waiting=rows(1, 3)) as made:
        for tries in (1, 2):
            made.wait_for_number(lambda: made.broker.on("defect"), tries, "messages sent")
            troubles.append(made.publisher.status.trouble)
            for seconds in (longest_silence_s(10) - 1, 0.5):  # not a moment too early
                made.let_pass(clock, seconds)
            assert len(made.broker.on("defect")) == tries
            clock.advance(1)
        made.wait_for(lambda: made.outbox.delivered == 3, "the delivery")

    reported = "the broker is connected and acknowledges nothing for 8 s"
    assert troubles == [None, reported]
    assert [entry["reason"] for entry in made.log.entries if entry["log_level"] == "warning"] == [reported]
    assert made.publisher.status.trouble is None


def test_a_topic_that_waits_for_its_subscribers_is_logged_once(line: MakeLine) -> None:
    """When it begins to wait, and what came of it: not with each try."""
    asked = 0

    def published(topic: bytes, packet_id: bytes) -> bytes:
        nonlocal asked
        asked += topic == b"root/defect"
        return puback(packet_id, window.NO_SUBSCRIBERS if topic == b"root/defect" and asked in (2, 3) else 0)

    with line(published=published, waiting=rows(1, 4)) as made:
        made.wait_for(lambda: made.outbox.delivered == 4, "the delivery")

    assert [(one["topic"], one["from_seq"]) for one in made.log.named("waiting_for_subscribers")] == [("defect", 2)]
    assert [one["topic"] for one in made.log.named("subscribers_back")] == ["defect"]
