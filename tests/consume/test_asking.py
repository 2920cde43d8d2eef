"""`inspector.consume.asking`: when a station is asked for what is missing."""

from __future__ import annotations

from inspector.consume.asking import AGAIN_S, SETTLE_S, Asking
from inspector.consume.intake import Hole

HOLE, LATER, OTHER = Hole("r", "s", 4, 6), Hole("r", "s", 9, 9), Hole("q", "s", 1, 1)


def test_a_hole_is_asked_for_once_it_stays_and_then_ever_more_rarely() -> None:
    """Not before it had time to close; then after 30 s, a minute, and so on."""
    asking = Asking()
    times = [0.0, SETTLE_S - 0.1, SETTLE_S, 20.0, SETTLE_S + AGAIN_S[0], 90.0, SETTLE_S + 3 * AGAIN_S[0]]

    assert [bool(asking.due([HOLE], now_s)) for now_s in times] == [False, False, True, False, True, False, True]


def test_one_request_serves_all_holes_of_a_station() -> None:
    """What is sent again from the first hole on fills the later ones; other stations are asked by themselves."""
    asking = Asking()
    asking.due([OTHER, HOLE, LATER], 0.0)

    assert asking.due([OTHER, HOLE, LATER], SETTLE_S) == [OTHER, HOLE]
    assert asking.due([OTHER, HOLE, LATER], SETTLE_S + 1) == []


def test_a_hole_that_closed_is_forgotten() -> None:
    """The same numbers are a new hole when they are missing again; one that shrinks is the same."""
    asking = Asking()
    asking.due([HOLE], 0.0)
    asking.due([], 1.0)
    asking.due([HOLE], 2.0)

    assert asking.due([HOLE], 2.0 + SETTLE_S - 0.1) == []
    assert asking.due([Hole("r", "s", 5, 6)], 2.0 + SETTLE_S) == [Hole("r", "s", 5, 6)]
