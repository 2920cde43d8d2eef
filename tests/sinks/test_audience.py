"""`inspector.sinks.mqtt.audience`: what the broker's answers say about who listens. Times are arguments."""

from __future__ import annotations

import pytest

from inspector.sinks.mqtt.audience import NEVER, Audience, Heard, Turn

GRACE_S = 600.0
HEARD, WAITS, UNHEARD = Heard.HEARD, Heard.WAITS, Heard.UNHEARD


def audience(known: dict[str, float | None] | None = None, lost: bool = False, doubt_s: float = 0.0) -> Audience:
    """An audience on a new connection at 1000 s."""
    made = Audience(GRACE_S)
    made.restore(known or {}, 1000.0)
    made.open(1000.0, lost, 1000.0 + doubt_s if doubt_s else NEVER)
    return made


@pytest.mark.parametrize(
    ("known", "lost", "at_s", "heard"),
    [
        pytest.param(None, False, 1000.0, WAITS, id="had some: they are waited for"),
        pytest.param(1300.0, False, 1299.0, WAITS, id="a grace that began before the restart goes on"),
        pytest.param(1300.0, False, 1300.0, UNHEARD, id="and ends when it would have ended"),
        pytest.param(9e9, False, 1000.0 + GRACE_S, UNHEARD, id="a clock set back does not lengthen it"),
        pytest.param(900.0, False, 1000.0, UNHEARD, id="they stayed away"),
        pytest.param(900.0, True, 1000.0, WAITS, id="the broker lost their sessions: they may come back"),
        pytest.param(1001.0, True, 1002.0, WAITS, id="and the grace begins anew"),
        pytest.param(NEVER, False, 1000.0, UNHEARD, id="never had any"),
        pytest.param(NEVER, True, 1000.0, UNHEARD, id="never had any, whatever the broker lost"),
    ],
)
def test_only_a_topic_that_had_subscribers_waits(known: float | None, lost: bool, at_s: float, heard: Heard) -> None:
    """What is remembered of a topic decides what no subscriber means."""
    assert audience({"defect": known}, lost).answer("defect", matched=False, now_s=at_s) is heard


@pytest.mark.parametrize(
    ("others", "lost", "doubt_s", "heard"),
    [
        pytest.param({}, True, 0.0, UNHEARD, id="nobody ever listened to anything"),
        pytest.param({"defect": None}, False, 0.0, UNHEARD, id="the broker has its memory"),
        pytest.param({"defect": None}, True, 0.0, WAITS, id="the broker lost its memory"),
        pytest.param({"defect": 900.0}, True, 0.0, WAITS, id="and somebody listened long ago"),
        pytest.param({"defect": None}, False, 5.0, WAITS, id="it lost it before this connection"),
        pytest.param({"defect": NEVER}, True, 0.0, UNHEARD, id="nobody listened to the other topic either"),
    ],
)
def test_a_topic_of_which_nothing_is_known(
    others: dict[str, float | None], lost: bool, doubt_s: float, heard: Heard
) -> None:
    """A first alarm after a power cut waits for the consumers of defects: they may be its consumers, too."""
    made = audience(others, lost, doubt_s)

    assert made.answer("alarm", matched=False, now_s=1001.0) is heard


def test_a_doubtful_topic_waits_once() -> None:
    """After the grace it counts as one that never had subscribers, and says so."""
    made = audience({"defect": None}, lost=True)
    heard = [made.answer("alarm", matched=False, now_s=at_s) for at_s in (1000.0, 1599.0, 1600.0, 1601.0)]

    assert heard == [WAITS, WAITS, UNHEARD, UNHEARD]
    assert made.changes == {"alarm": NEVER}
    assert not made.had_subscribers("alarm")


def test_what_changes_is_to_be_remembered() -> None:
    """Only changes: a topic that keeps its subscribers costs nothing."""
    made, seen = audience(), []
    for matched, at_s in [
        (False, 1000.0),
        (True, 1001.0),
        (True, 1002.0),
        (False, 1003.0),
        (False, 1603.0),
        (True, 1700.0),
    ]:
        made.answer("defect", matched, at_s)
        seen.append(dict(made.changes))
        made.changes.clear()

    assert seen == [{"defect": NEVER}, {"defect": None}, {}, {"defect": 1603.0}, {}, {"defect": None}]


def test_new_subscribers_may_listen_to_more() -> None:
    """When somebody subscribes, what is known of silent topics is old: after a loss they wait, too."""
    made = audience()
    made.answer("alarm", matched=False, now_s=1000.0)
    made.answer("defect", matched=True, now_s=1001.0)
    forgotten = set(made.forgotten)
    made.open(2000.0, lost=True)

    assert forgotten == {"alarm"}
    assert "alarm" not in made.changes
    assert made.answer("alarm", matched=False, now_s=2000.0) is WAITS


def test_who_comes_back_is_asked_about_all_topics() -> None:
    """The first message that is heard again brings forward the next try of all that wait."""
    made = audience({"defect": None, "alarm": None})
    for topic in ("defect", "alarm"):
        made.answer(topic, matched=False, now_s=1000.0)
    before = made.may_ask("alarm", 1000.1)
    made.answer("defect", matched=True, now_s=1000.1)

    assert (before, made.may_ask("alarm", 1000.1)) == (False, True)


def test_without_a_grace_nothing_waits() -> None:
    """`subscriber_grace_s = 0` sends at once, heard or not."""
    made = Audience(0.0)
    made.restore({"defect": None}, 1000.0)
    made.open(1000.0, lost=True)

    assert made.answer("defect", matched=False, now_s=1000.0) is UNHEARD


def test_a_topic_is_asked_with_one_message() -> None:
    """Its next messages pause until the broker has answered; each connection asks anew."""
    made = audience({"defect": None})
    turns = [made.turn("defect")]
    made.ask("defect")
    turns += [made.turn("defect")]
    made.answer("defect", matched=True, now_s=1000.0)
    turns += [made.turn("defect")]
    made.open(2000.0, lost=False)

    assert [*turns, made.turn("defect")] == [Turn.ASK, Turn.PAUSE, Turn.SEND, Turn.ASK]
