"""`inspector.sinks.mqtt.window`: answers of a broker in any order, and what they mean. No socket, no clock."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.sinks.mqtt.audience import ASK_AGAIN_S, ASK_OTHERS_S, Audience, Turn
from inspector.sinks.mqtt.window import (
    MAX_REFUSALS,
    NO_SUBSCRIBERS,
    QUOTA_EXCEEDED,
    REFUSED_PAUSE_S,
    Fate,
    Window,
)
from inspector.store.entries import OutboxRow

OK, DENIED = 0, 0x87
GRACE_S = 60.0


def row(seq: int, topic: str = "defect") -> OutboxRow:
    return OutboxRow(seq, topic, b"{}", 0)


def opened(size: int = 20, accepted: bool = True, heard: Iterable[str] = ("defect", "alarm")) -> Window:
    """A window at the start of a connection, at 1000 s; the broker has accepted something, unless said otherwise.

    Args:
        size: Of the window.
        accepted: Whether the broker has accepted something.
        heard: Topics that have subscribers, as the broker said on this connection.
    """
    audience = Audience(GRACE_S)
    window = Window(size, audience)
    window.open(0)
    audience.open(1000.0, lost=False)
    for topic in heard:
        audience.answer(topic, matched=True, now_s=1000.0)
    if accepted:
        window.hear(OK)
    return window


def send(window: Window, seqs: Iterable[int], now_s: float = 1000.0, topic: str = "defect", packets: int = 0) -> None:
    """Send messages, each as the packet of its own number, moved by `packets`."""
    for seq in seqs:
        window.send(packets + seq, row(seq, topic))


def answer(window: Window, packet: int, code: int, now_s: float = 1000.0) -> Fate | None:
    """Take an answer as the publisher does."""
    window.hear(code)
    found = window.ack(packet, code, now_s)
    window.advance()
    return None if found is None else found.fate


@pytest.mark.parametrize(
    ("sent", "answered", "reached"),
    [
        pytest.param([1, 2, 3], [1, 2, 3], [1, 2, 3], id="in order"),
        pytest.param([1, 2, 3], [3, 2, 1], [0, 0, 3], id="in reverse"),
        pytest.param([1, 2, 3, 4], [2, 4, 1], [0, 0, 2], id="a hole stays"),
        pytest.param([2, 5, 9], [5, 2, 9], [1, 8, 9], id="numbers that the store has dropped"),
        pytest.param([1, 2], [1, 1, 2], [1, 1, 2], id="answered twice"),
        pytest.param([1, 2], [7, 1], [0, 1], id="a packet of something else"),
    ],
)
def test_the_cursor_moves_over_what_arrived_without_a_hole(
    sent: list[int], answered: list[int], reached: list[int]
) -> None:
    """Whatever the order of the answers, nothing that has not arrived lies behind the cursor."""
    window, seen = opened(), []
    send(window, sent)
    for packet in answered:
        answer(window, packet, OK)
        seen.append(window.acknowledged)

    assert reached == seen


def test_no_more_are_under_way_than_the_window_holds() -> None:
    """There is room for what is not under way; an answer makes room for one more."""
    window = opened(size=3)
    rooms = [window.room(1000)]
    send(window, [1, 2, 3])
    rooms.append(window.room(1000))
    answer(window, 2, OK)

    assert [*rooms, window.room(1000)] == [3, 0, 1]


def test_a_message_that_alone_is_refused_is_set_aside_after_five_tries() -> None:
    """Each try comes later than the one before; at the fifth the delivery goes on without the message."""
    window, now_s, seen = opened(), 1000.0, list[tuple[Fate | None, int]]()
    for number in range(MAX_REFUSALS):
        send(window, [1], now_s, packets=10 * number)
        fate = answer(window, 10 * number + 1, DENIED, now_s)
        seen.append((fate, window.acknowledged))
        if fate is Fate.REFUSED:
            pause_s = 0.4 * 2**number
            assert (window.room(now_s + 0.99 * pause_s), window.room(now_s + pause_s)) == (0, 20)
            now_s += pause_s

    assert seen == [(Fate.REFUSED, 0)] * 4 + [(Fate.SET_ASIDE, 1)]


@pytest.mark.parametrize(
    ("topic", "between", "fate"),
    [
        pytest.param("defect", None, Fate.SET_ASIDE, id="the same topic: one try"),
        pytest.param("alarm", None, Fate.REFUSED, id="another topic: five tries"),
        pytest.param("defect", OK, Fate.REFUSED, id="the topic was accepted since: five tries"),
    ],
)
def test_what_follows_on_a_refused_topic_is_tried_once(topic: str, between: int | None, fate: Fate) -> None:
    """A topic that the broker denies holds up the others once, and not for each of its messages."""
    window = opened()
    for number in range(MAX_REFUSALS):
        send(window, [1], packets=number)
        answer(window, 1 + number, DENIED)
    if between is not None:
        send(window, [2], packets=100)
        answer(window, 102, between)
    send(window, [3], topic=topic, packets=200)

    assert fate is answer(window, 203, DENIED)


def test_a_refused_topic_is_remembered_over_connections() -> None:
    """A new connection does not give a denied topic five tries again, nor a message that had four of them."""
    window = opened()
    for _ in range(MAX_REFUSALS):
        window.open(0)
        window.hear(OK)
        send(window, [1])
        last = answer(window, 1, DENIED)
    window.open(1)
    window.hear(OK)
    send(window, [2])

    assert (last, answer(window, 2, DENIED)) == (Fate.SET_ASIDE, Fate.SET_ASIDE)


def test_an_acceptance_forgets_the_refusals_before_it() -> None:
    """A message that a broker took at the fifth try, and lost, has five tries again."""
    window = opened()
    for number in range(MAX_REFUSALS):
        send(window, [1], packets=number)
        answer(window, 1 + number, OK if number == MAX_REFUSALS - 1 else DENIED)
    window.open(0)
    window.hear(OK)
    send(window, [1])

    assert answer(window, 1, DENIED) is Fate.REFUSED


@pytest.mark.parametrize(
    ("code", "now_s", "fate", "pause_s"),
    [
        pytest.param(DENIED, 1000.0, Fate.REFUSED, 0.4, id="refused"),
        pytest.param(QUOTA_EXCEEDED, 1000.0, Fate.HELD, REFUSED_PAUSE_S, id="over the quota"),
    ],
)
def test_all_that_has_not_arrived_is_sent_again(code: int, now_s: float, fate: Fate, pause_s: float) -> None:
    """What came before the refused message stays delivered; the rest goes back, and late answers count for nothing."""
    window = opened()
    send(window, range(1, 7))
    window.ack(1, OK, now_s)  # all answers come at once: the cursor follows when they are taken
    window.ack(2, OK, now_s)
    window.ack(5, OK, now_s)
    refused = window.ack(3, code, now_s)
    late = window.ack(4, OK, now_s)

    assert refused is not None
    assert (fate, None) == (refused.fate, late)
    assert (window.acknowledged, window.position, window.in_flight) == (2, 2, 0)
    assert (window.room(now_s + pause_s - 0.01), window.room(now_s + pause_s)) == (0, 20)


@pytest.mark.parametrize("code", [OK, DENIED])
def test_an_answer_to_an_earlier_sending_counts_for_nothing(code: int) -> None:
    """Sent again after a pause, a message is answered by the answer to its new packet alone."""
    window = opened()
    send(window, [1, 2])
    answer(window, 1, QUOTA_EXCEEDED)
    send(window, [1, 2], packets=10)
    late = answer(window, 2, code)

    assert (late, answer(window, 11, OK), answer(window, 12, OK)) == (None, Fate.ARRIVED, Fate.ARRIVED)


@pytest.mark.parametrize("code", [DENIED, QUOTA_EXCEEDED])
def test_where_everything_is_refused_nothing_is_set_aside(code: int) -> None:
    """A broker that has accepted nothing yet, or asks to wait, makes all messages wait, for as long as it does so."""
    window = opened(accepted=code == QUOTA_EXCEEDED)
    fates = set()
    for number in range(3 * MAX_REFUSALS):
        send(window, [1, 2], packets=10 * number)
        fates.add(answer(window, 10 * number + 1, code))

    assert ({Fate.HELD}, 0) == (fates, window.acknowledged)


def test_messages_of_other_topics_pass_those_that_wait_for_subscribers() -> None:
    """A topic whose subscribers are away holds back its own messages and the cursor, and nothing else."""
    window = opened(heard=("defect", "frame"))
    send(window, [1], topic="defect")
    send(window, [2], topic="frame")
    fates = [answer(window, 1, NO_SUBSCRIBERS), answer(window, 2, OK)]
    turns = [window.turn(row(3, "defect")), window.turn(row(4, "frame"))]
    window.pass_by(row(3, "defect"))
    send(window, [4], topic="frame")
    fates.append(answer(window, 4, OK))

    assert fates == [Fate.UNMATCHED, Fate.ARRIVED, Fate.ARRIVED]
    assert turns == [Turn.PASS, Turn.SEND]
    assert (window.acknowledged, window.position, window.waiting) == (0, 4, {"defect": 1})


def test_what_waited_follows_in_its_order() -> None:
    """When subscribers are back, what was passed by is read again, and what has arrived is not sent."""
    window = opened(heard=("defect", "frame"))
    send(window, [1, 3], topic="defect")
    send(window, [2, 4], topic="frame")
    answer(window, 1, NO_SUBSCRIBERS)
    late = answer(window, 3, OK)
    for packet in (2, 4):
        answer(window, packet, OK)
    early = window.due(1000.0 + ASK_AGAIN_S - 0.01)
    [question] = window.due(1000.0 + ASK_AGAIN_S)
    window.send(101, question)
    asked = window.turn(row(5, "defect"))
    fate = answer(window, 101, OK, 1001.0)

    assert (late, early, question.seq, asked, fate) == (None, [], 1, Turn.PAUSE, Fate.ARRIVED)
    assert window.position == 1
    assert [window.turn(row(seq, topic)) for seq, topic in [(2, "frame"), (3, "defect"), (4, "frame")]] == [
        Turn.PASS,
        Turn.SEND,
        Turn.PASS,
    ]


def test_of_all_that_waits_the_first_is_tried_most_often() -> None:
    """A consumer of all topics is found back by the first message, so that the order stays; others are tried, too."""
    window = opened(heard=("defect", "frame"))
    send(window, [1], topic="frame")
    send(window, [2], topic="defect")
    for packet in (1, 2):
        answer(window, packet, NO_SUBSCRIBERS)
    seen = [[one.seq for one in window.due(1000.0 + after_s)] for after_s in (0.1, ASK_AGAIN_S, ASK_OTHERS_S)]
    window.send(101, row(1, "frame"))
    answer(window, 101, OK, 1000.5)

    assert seen == [[], [1], [1, 2]]
    assert [one.seq for one in window.due(1000.5)] == [2]


def test_the_first_message_of_a_topic_goes_alone() -> None:
    """Until the broker has said whether anybody listens, nothing else of the topic is sent: its order stays."""
    window = opened(heard=())
    first = window.turn(row(1, "defect"))
    send(window, [1], topic="defect")
    between = window.turn(row(2, "defect")), window.turn(row(3, "frame"))
    answer(window, 1, OK)

    assert (first, between, window.turn(row(2, "defect"))) == (Turn.ASK, (Turn.PAUSE, Turn.ASK), Turn.SEND)


def test_after_the_grace_messages_go_unheard() -> None:
    """Subscribers that stay away hold messages back for the grace, and not for longer."""
    window = opened()
    send(window, [1])
    fates = [answer(window, 1, NO_SUBSCRIBERS)]
    for number, after_s in enumerate((GRACE_S - 1, GRACE_S), 1):
        window.send(100 * number, row(1))
        fates.append(answer(window, 100 * number, NO_SUBSCRIBERS, 1000.0 + after_s))
    send(window, [2], 2000.0, packets=500)
    fates.append(answer(window, 502, NO_SUBSCRIBERS, 2000.0))

    assert fates == [Fate.UNMATCHED, Fate.UNMATCHED, Fate.UNHEARD, Fate.UNHEARD]
    assert (window.acknowledged, window.waiting) == (2, {})


CODES = st.sampled_from([OK, OK, OK, NO_SUBSCRIBERS, DENIED, QUOTA_EXCEEDED])


@given(st.lists(st.tuples(st.integers(0, 9), CODES, st.booleans()), max_size=120), st.integers(1, 6))
def test_nothing_is_ever_passed_over(script: list[tuple[int, int, bool]], size: int) -> None:
    """Whatever the answers, their order and the reconnects: all behind the cursor has arrived, or is set aside."""
    audience = Audience(GRACE_S)
    window, settled, under_way, packet, now_s = Window(size, audience), set[int](), dict[int, int](), 0, 1000.0
    window.open(0)
    rows = {seq: row(seq, "defect" if seq % 3 else "alarm") for seq in range(1, 30)}

    def send_one(one: OutboxRow) -> None:
        nonlocal packet
        packet += 1
        under_way[packet] = one.seq
        window.send(packet, one)

    for choice, code, reconnect in script:
        now_s += 7.0
        if reconnect and choice == 0:
            audience.open(now_s, lost=code == OK)
            window.open(window.acknowledged)
            under_way.clear()
        for one in window.due(now_s)[: window.room(now_s)]:
            send_one(one)
        while window.room(now_s) and (following := rows.get(window.position + 1)):
            turn = window.turn(following)
            if turn is Turn.PAUSE:
                break
            if turn is Turn.PASS:
                window.pass_by(following)
            else:
                send_one(following)
        assert window.in_flight <= size
        if under_way:
            chosen = sorted(under_way)[choice % len(under_way)]
            seq = under_way.pop(chosen)
            window.hear(code)
            found = window.ack(chosen, code, now_s)
            if found is not None and found.fate in (Fate.ARRIVED, Fate.UNHEARD, Fate.SET_ASIDE):
                assert seq == found.row.seq
                settled.add(seq)
        window.advance()
        assert set(range(1, window.acknowledged + 1)) <= settled
