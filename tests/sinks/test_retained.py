"""`inspector.sinks.mqtt.retained`: what is published again, and when. No broker."""

from __future__ import annotations

import json

import pytest

from inspector.messages import MarkMessage, encode
from inspector.sinks.mqtt.retained import REPEAT_PERIOD_S, STATE_PERIOD_S, RetainedState, seq_of_mark


class Published:
    """Notes what is published; packet ids count from 1."""

    def __init__(self) -> None:
        self.topics: list[str] = []
        self.payloads: list[bytes] = []
        self.health = {"state": "ok", "valid_until": "2026-03-01T12:00:10.000Z"}

    def __call__(self, topic: str, payload: bytes) -> int:
        self.topics.append(topic)
        self.payloads.append(payload)
        return len(self.topics)

    def state(self) -> RetainedState:
        return RetainedState(self, lambda: {"about": b"{}", "health": json.dumps(self.health).encode()}, "store")


@pytest.mark.parametrize(
    ("key", "after_s", "published"),
    [
        pytest.param(None, 0.2, False, id="nothing new"),
        pytest.param("valid_until", 0.2, False, id="only its expiry moved"),
        pytest.param("state", 0.2, True, id="changed"),
        pytest.param("state", 0.1, False, id="changed, and compared a moment ago"),
        pytest.param(None, STATE_PERIOD_S, True, id="unchanged for long"),
    ],
)
def test_health_follows_its_changes(key: str | None, after_s: float, published: bool) -> None:
    """Health is compared five times a second, published when it changed, and repeated while it holds."""
    broker = Published()
    state = broker.state()
    state.publish_all(1000.0)
    state.refresh(1000.0)
    if key is not None:
        broker.health[key] = "something else"
    state.refresh(1000.0 + after_s)

    assert broker.topics == ["status", "about", "health"] + ["health"] * published


@pytest.mark.parametrize(
    ("key", "published"),
    [("coil_id", True), ("report", True), ("probes_shown", False)],
    ids=["begins", "report", "probe"],
)
def test_a_coil_is_told_at_once(key: str, published: bool) -> None:
    """Whoever named it; what proves all day that the station sees waits for the next minute."""
    broker, coil = Published(), {"coil_id": "7731", "report": None, "probes_shown": 1}
    state = RetainedState(broker, lambda: {"coil": json.dumps(coil).encode()}, "store")
    state.publish_all(1000.0)
    coil[key] = "9"
    state.refresh(1000.2)
    state.refresh(1000.4)

    assert [topic for topic in broker.topics if topic == "coil"] == ["coil"] * (1 + published)


def test_what_somebody_cleared_is_back_within_a_minute() -> None:
    """All of the retained state, the mark too, is published again once a minute."""
    broker = Published()
    state = broker.state()
    state.publish_all(1000.0)
    state.leave_mark(7)
    state.ack(len(broker.topics))
    before = len(broker.topics)
    state.refresh(1000.0 + REPEAT_PERIOD_S - 0.1)
    between = broker.topics[before:]
    state.refresh(1000.0 + REPEAT_PERIOD_S + 0.2)
    state.refresh(1000.0 + REPEAT_PERIOD_S + 0.4)

    assert REPEAT_PERIOD_S <= 60
    assert between == ["health"]
    assert broker.topics[before + 1 :] == ["status", "about", "health", "mark"]
    assert json.loads(broker.payloads[-1])["seq"] == 7


def test_one_mark_is_under_way_at_a_time() -> None:
    """The mark follows the cursor once the previous one is acknowledged; the last one does not wait."""
    broker = Published()
    state = broker.state()
    for seq in (0, 3, 5):
        state.leave_mark(seq)
    taken = [state.ack(7), state.ack(1), state.ack(1)]
    state.leave_mark(8)
    state.leave_mark(9)
    state.leave_mark(9, last=True)
    state.leave_mark(9, last=True)

    assert taken == [False, True, False]
    assert [json.loads(payload)["seq"] for payload in broker.payloads] == [3, 8, 9]


def test_a_broker_that_lost_its_memory_gets_a_mark_at_once() -> None:
    """Also that of nothing: the next connection then knows that it is the same life of the broker."""
    broker = Published()
    RetainedState(broker, dict, "store", marked=-1).leave_mark(0)

    assert [json.loads(payload)["seq"] for payload in broker.payloads] == [0]


@pytest.mark.parametrize(
    ("payload", "seq"),
    [
        pytest.param(encode(MarkMessage(store_id="store", seq=7)), 7, id="ours"),
        pytest.param(encode(MarkMessage(store_id="other", seq=7)), None, id="of another store"),
        pytest.param(b"", 0, id="none"),
        pytest.param(None, None, id="not readable"),
        pytest.param(b"\xff", 0, id="no JSON"),
        pytest.param(b'{"seq": 7}', 0, id="no mark"),
        pytest.param(b"[" * 100_000, 0, id="nested without end"),
        pytest.param(rb'{"store_id": "\ud800", "seq": 7}', 0, id="half a character"),
    ],
)
def test_a_mark_says_how_far_the_broker_got(payload: bytes | None, seq: int | None) -> None:
    """No mark, or none that is understood, means that the broker has nothing; a foreign one means nothing at all."""
    assert seq_of_mark(payload, "store", "root/mark") == seq
