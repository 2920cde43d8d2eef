"""`inspector.sinks.mqtt.lives`: what is sent again to a broker that has lost its memory, and what is not."""

from __future__ import annotations

import pytest

from inspector.sinks.mqtt.lives import GONE, Life, Settling, next_life

FIRST = Life()
DAMAGED = (None, "", "[]", "7", "{", '{"strange": 1}', '{"base": "7"}', '{"base": null}', "[" * 100_000)


@pytest.mark.parametrize(
    ("cursor", "mark", "first_kept", "start", "new"),
    [
        pytest.param(100, 100, 1, 100, False, id="the broker has everything"),
        pytest.param(100, 120, 1, 100, False, id="a mark ahead: the store was put back"),
        pytest.param(100, None, 1, 100, False, id="the mark says nothing"),
        pytest.param(100, 40, 1, 40, True, id="the broker lost some"),
        pytest.param(100, GONE, 1, 0, True, id="the broker lost all"),
        pytest.param(100, 0, 1, 0, True, id="it kept a mark, and nothing else"),
        pytest.param(100, 10, 51, 50, True, id="more than is still kept"),
        pytest.param(100, 10, 101, 100, True, id="nothing of it is kept: only what waits"),
        pytest.param(100, 10, 130, 100, True, id="not even all that waits is kept"),
        pytest.param(100, 10, None, 100, True, id="nothing is kept"),
    ],
)
def test_a_connection_begins_after_what_the_broker_still_has(
    cursor: int, mark: int | None, first_kept: int | None, start: int, new: bool
) -> None:
    """From the mark on is sent again what is still kept; never is it begun behind the kept messages."""
    life, found, is_new = next_life(FIRST, cursor, mark, first_kept, 5)

    assert (found, is_new) == (start, new)
    assert life == (Life(cursor, start, 0, 0, mark == GONE, 5) if new else FIRST)


@pytest.mark.parametrize(
    ("mark", "start", "new"),
    [
        pytest.param(60, 60, False, id="where it was"),
        pytest.param(75, 75, False, id="the mark went on, and this was not kept"),
        pytest.param(None, 60, False, id="the mark says nothing"),
        pytest.param(59, 59, True, id="behind: another death"),
        pytest.param(GONE, 0, True, id="gone: another death"),
    ],
)
def test_a_life_goes_on_where_it_was(mark: int | None, start: int, new: bool) -> None:
    """A connection or process that ends while messages are sent again is not a death of the broker."""
    _, found, is_new = next_life(Life(base=100, reached=60, empty=True, began_ms=1), 100, mark, 1, 2)

    assert (found, is_new) == (start, new)


def test_what_was_sent_again_and_had_time_to_arrive_is_not_sent_a_third_time() -> None:
    """In a life that began empty, subscribers came back: they have it. New messages are sent again once."""
    life, start, _ = next_life(FIRST, 100, GONE, 1, 1)
    life = life.after(150, settled=120)
    second, again, _ = next_life(life, 150, GONE, 1, 2)

    assert (start, again) == (0, 100)
    assert second.after(150, settled=150).safe == 150


def test_nothing_is_sent_again_in_a_third_life_that_began_empty() -> None:
    """Lives that are too short for anything to settle repeat a message twice, not for ever."""
    life, starts, cursor = FIRST, [], 0
    for number in range(6):
        cursor += 100
        life, start, _ = next_life(life.after(cursor, 0), cursor, GONE, 1, number)
        starts.append(start)
        life = life.after(cursor, 0)

    assert starts == [0, 0, 100, 200, 300, 400]


def test_with_an_older_memory_only_the_grace_makes_it_safe() -> None:
    """Sessions of consumers that are away may have survived without what was sent since: it is sent each time."""
    life, starts = FIRST, []
    for number in range(4):
        life, start, _ = next_life(life, 100, 40, 1, number)
        life = life.after(100, settled=0)
        starts.append(start)
    life = life.after(100, settled=100)

    assert starts == [40] * 4
    assert next_life(life, 130, 40, 1, 9)[1] == 100


def test_a_life_is_read_as_it_was_kept() -> None:
    """Its text brings it back; what is no life is the first one."""
    life = Life(100, 60, 40, 20, False, 5, 41)

    assert Life.read(life.text) == life
    assert [Life.read(text) for text in DAMAGED] == [FIRST] * len(DAMAGED)


def test_a_life_is_caught_up_when_all_was_sent_again() -> None:
    """Until then what is delivered must be kept."""
    life, _, _ = next_life(FIRST, 100, GONE, 1, 1)
    seen = [FIRST.caught_up, life.caught_up, life.after(99, 0).caught_up, life.after(120, 0).caught_up]

    assert seen == [True, False, False, True]
    assert (life.arrived(100), life.after(99, 0).arrived(100), life.after(120, 0).arrived(120)) == (0, 99, 120)


def test_what_arrived_counts_after_a_while() -> None:
    """Not what arrived a moment ago, and not what arrived on an earlier connection."""
    settling = Settling()
    settling.open(2.0)
    seen = [
        settling.settled(acknowledged, at_s) for acknowledged, at_s in [(5, 0), (9, 1), (9, 1.9), (12, 2), (12, 3.1)]
    ]
    settling.open(2.0)

    assert seen == [0, 0, 0, 5, 9]
    assert settling.settled(12, 9) == 0
