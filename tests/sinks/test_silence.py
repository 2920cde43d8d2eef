"""`inspector.sinks.mqtt.silence`: since when a broker owes an answer and says nothing."""

from __future__ import annotations

import pytest

from inspector.sinks.mqtt.retained import STATE_PERIOD_S
from inspector.sinks.mqtt.silence import Owed, longest_silence_s


def test_it_is_known_since_when_a_broker_is_silent() -> None:
    """The wait counts from the first packet that is to be answered, or from the last word of the broker."""
    owed = Owed()
    seen = [owed.silent_since()]
    owed.add(1, 1010.0)
    owed.add(2, 1020.0)
    seen.append(owed.silent_since())
    owed.hear(1030.0)
    seen.append(owed.silent_since())
    owed.hear(1040.0, 1)
    seen.append(owed.silent_since())
    owed.hear(1050.0, 2)

    assert [*seen, owed.silent_since(), len(owed)] == [None, 1010.0, 1030.0, 1040.0, None, 0]


@pytest.mark.parametrize(("keepalive_s", "limit_s"), [(2, 5.0), (10, 8.0), (60, 48.0), (3600, 60.0)])
def test_it_is_told_within_one_and_a_half_keepalives(keepalive_s: float, limit_s: float) -> None:
    """Health is published every 5 s: with a keepalive of 10 s a half-open connection is known in 13 s."""
    assert longest_silence_s(keepalive_s) == limit_s
    assert longest_silence_s(10) + STATE_PERIOD_S < 15
