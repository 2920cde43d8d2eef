"""`inspector.station.paused`: only a frame that lies in a pause for certain is spared the inspection."""

from __future__ import annotations

from datetime import timedelta

from fakes import NOON

from inspector.station.paused import ON_THE_WAY, PauseMark
from inspector.track.operators import Pause

PAUSE = Pause("id", "ann", None, NOON, NOON + timedelta(hours=1))


def test_a_frame_of_a_pause_is_spared_until_its_end_is_asked_for() -> None:
    """Frames captured since the pause took its place are spared; the moment somebody ends it none is any more."""
    mark = PauseMark()
    mark.follow(PAUSE, 10.0)
    before, within = mark.of(9.9, NOON), mark.of(10.0, NOON)
    mark.end_soon()

    assert (before, within, mark.of(11.0, NOON)) == (None, PAUSE, None)


def test_a_pause_whose_end_is_on_its_way_spares_nothing() -> None:
    """Ended before it took its place: the frames after its end are inspected; the next pause holds."""
    mark = PauseMark()
    mark.end_soon()
    mark.follow(PAUSE, 10.0)
    between = mark.of(11.0, NOON)
    mark.ended()
    mark.follow(PAUSE, 12.0)

    assert (between, mark.of(12.0, NOON)) == (None, PAUSE)


def test_the_last_seconds_of_a_pause_are_inspected() -> None:
    """A frame that is taken before the end may be committed after it; then its tiles must have been scored."""
    mark = PauseMark()
    mark.follow(PAUSE, 0.0)

    last = PAUSE.until - ON_THE_WAY
    assert (mark.of(1.0, last), mark.of(1.0, last + timedelta(milliseconds=1))) == (PAUSE, None)
