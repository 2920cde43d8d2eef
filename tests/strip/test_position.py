"""`inspector.strip.position`: how far the strip has run, whatever the line does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from fakes import NOON

from inspector.frame import Seen
from inspector.strip.position import MAX_LEGS, Along, Passage, Way, pass_frame, with_mark, with_speed
from inspector.strip.rules import StripRules

LINES = StripRules()
SPEED = StripRules(position="speed")


def lines(number: int, at_s: float, *, epoch: int = 1, rows: int = 100, mono: bool = True) -> Seen:
    """Frame `number` of `rows` lines of 1 mm without overlap, 0.1 m long."""
    return Seen(NOON + timedelta(seconds=at_s), 50.0 + at_s if mono else None, epoch, rows, number * rows)


def still(at_s: float, rows: int = 500) -> Seen:
    return Seen(NOON + timedelta(seconds=at_s), 50.0 + at_s, 1, rows)


def walked(steps: list[Seen | tuple[float, float | None]], rules: StripRules, way: Way = Way()) -> tuple[Way, Passage]:  # noqa: B008
    """Where the strip is after frames, and after speeds that the plant says at some second."""
    passage = Passage(0, 0, (0,))
    for step in steps:
        if isinstance(step, Seen):
            way, passage, _ = pass_frame(way, step, 1.0, rules)
            way = replace(way, furthest_m=max(way.furthest_m, passage.high_m))
        else:
            way = with_speed(way, NOON + timedelta(seconds=step[0]), step[1])
    return way, passage


@pytest.mark.parametrize(
    ("steps", "expected_m"),
    [
        pytest.param([lines(0, 0.1), lines(1, 0.2)], 0.2, id="lines count, whatever the speed"),
        pytest.param([lines(0, 0.1), (0.1, 1.0), lines(1, 0.2), (0.2, -1.0), lines(2, 0.3)], 0.1, id="backwards"),
        pytest.param([(0.0, 1.0), lines(0, 0.1), (0.15, -1.0), lines(1, 0.2)], 0.1, id="a turn in mid-frame"),
        pytest.param([(0.0, 1.0), lines(0, 0.1), (0.12, 0.0), (5.0, 1.0), lines(1, 5.08)], 0.2, id="a stop"),
        pytest.param([lines(0, 0.1), lines(0, 9.0, epoch=2)], 0.2, id="a reconnect without a speed"),
        pytest.param(
            [(0.0, 2.0), lines(0, 0.1), (0.1, 2.0), lines(0, 5.1, epoch=2)], 10.1, id="a reconnect at a speed"
        ),
        pytest.param(
            [(0.0, 2.0), lines(0, 0.1), (2.1, 1.0), lines(0, 5.1, epoch=2, mono=False)],
            7.1,
            id="a restart at two speeds",
        ),
        pytest.param(
            [(0.0, 2.0), lines(0, 0.1), lines(0, -60, epoch=2, mono=False)], 0.2, id="a clock set back meanwhile"
        ),
        pytest.param(
            [(0.0, 2.0), lines(0, 0.1), (2.1, -1.0), lines(0, 3.1, epoch=2)], 3.1, id="a reconnect while it goes back"
        ),
        pytest.param([lines(0, 0.1), lines(3, 0.4)], 0.4, id="lines that are missing"),
    ],
)
def test_lines_say_how_far_the_strip_ran(steps: list[Seen | tuple[float, float | None]], expected_m: float) -> None:
    """Each line is one step, forward or back as the plant says; what no line showed is speed times time."""
    assert walked(steps, LINES)[0].run_m == pytest.approx(expected_m, abs=1e-9)


@pytest.mark.parametrize(
    ("steps", "expected_m"),
    [
        pytest.param([(0.0, 1.0), still(1.0), still(2.0), still(3.5)], 3.0, id="one speed"),
        pytest.param([(0.0, 1.0), still(1.0), (1.5, 3.0), still(2.0)], 0.5 + 0.5 + 1.5, id="it changes between two"),
        pytest.param([(0.0, 1.0), still(1.0), (1.5, 0.0), still(9.0), (9.5, 1.0), still(10.0)], 1.5, id="a stop"),
        pytest.param([(0.0, 1.0), still(1.0), (2.0, -1.0), still(2.5)], 1.0, id="backwards"),
    ],
)
def test_speed_over_time_says_how_far_the_strip_ran(
    steps: list[Seen | tuple[float, float | None]], expected_m: float
) -> None:
    """A plain camera's picture lies where speed and time put it; the first one is 0.5 m long and begins at 0."""
    way, passage = walked(steps, SPEED)

    assert way.run_m == pytest.approx(expected_m, abs=1e-9)
    assert passage.high_m - passage.low_m == pytest.approx(0.5)


def test_a_fixed_rate_needs_the_speed() -> None:
    """At 1,000 lines a second and 2 m/s two lines lie 2 mm apart; without a speed nothing is known."""
    rules = StripRules(position="rate", line_rate_hz=1000)
    known, _ = walked([(0.0, 2.0), lines(0, 0.1), lines(1, 0.2)], rules)
    unknown, passage = walked([lines(0, 0.1)], rules)

    assert known.run_m == pytest.approx(0.4)
    assert (unknown.run_m, passage.known) == (0.0, False)


def test_a_mark_is_found_again_in_the_next_frame() -> None:
    """What happens half-way between two frames lies half-way between them."""
    way, _ = walked([(0.0, 1.0), lines(0, 0.1)], LINES)
    way = with_mark(way, NOON + timedelta(seconds=0.15))
    _, passage, _ = pass_frame(way, lines(1, 0.2), 1.0, LINES)

    assert list(passage.bounds) == pytest.approx([0.1, 0.15, 0.2])


def test_speeds_between_two_frames_stay_bounded() -> None:
    """However often the plant says another speed while nothing is read, no metre of it is lost."""
    way, _ = walked([(0.0, 1.0), lines(0, 0.1)], LINES)
    for number in range(1000):
        way = with_speed(way, NOON + timedelta(seconds=0.1 + number), 1.0 + number % 2)
    after, _, _ = pass_frame(way, lines(0, 1000.1, epoch=2), 1.0, LINES)

    assert len(way.legs) == MAX_LEGS
    assert after.run_m == pytest.approx(0.1 + 1500, rel=1e-9)


@pytest.mark.parametrize(
    ("along", "expected"),
    [
        pytest.param(Along(100, 5.0, 1.0), (4.95, None), id="forward"),
        pytest.param(Along(100, 5.0, -1.0), (5.04, None), id="backwards"),
        pytest.param(Along(100, 5.0, 1.0, 20.0), (4.95, 15.04), id="a known length"),
        pytest.param(Along(100, 5.0, 1.0, 20.0, True), (15.04, 4.95), id="the tail first"),
        pytest.param(Along(100, 0.02, 1.0), (0.0, None), id="before the head"),
    ],
)
def test_rows_are_places(along: Along, expected: tuple[float, float | None]) -> None:
    """Ten rows from row 50 on, as metres from head and tail."""
    assert along.places_m(50, 10) == tuple(None if one is None else pytest.approx(one) for one in expected)
