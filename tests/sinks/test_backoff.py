"""`inspector.sinks.mqtt.backoff`: how long to wait before the next connection."""

from __future__ import annotations

import pytest

from inspector.sinks.mqtt.backoff import AT_ONCE, PAUSE_S, Backoff


@pytest.mark.parametrize("delivered", [True, False], ids=["each delivers something", "none does"])
@pytest.mark.parametrize("lasts_s", [0.0, 0.3, 2.0])
def test_there_is_at_most_one_connection_a_second_on_average(delivered: bool, lasts_s: float) -> None:
    """500 connections that break at once, or soon, take 500 s; the first ones follow quickly, and no pause is long."""
    backoff, now_s, begun, pauses = Backoff(), 1000.0, list[float](), list[float]()
    for _ in range(500):
        begun.append(now_s)
        backoff.begin(now_s)
        now_s += lasts_s
        pauses.append(backoff.pause_s(now_s, delivered, jitter=0.5))
        now_s += pauses[-1]

    assert now_s - begun[0] >= 500 - AT_ONCE
    assert max(pauses) <= PAUSE_S[1]
    assert begun[1] - begun[0] <= lasts_s + 0.4


def test_pauses_grow_until_something_is_delivered() -> None:
    """Where a broker is away, the pauses double up to 5 s; they are shorter by chance, so that stations do not meet."""
    backoff, now_s, pauses = Backoff(), 0.0, list[float]()
    for number in range(8):
        now_s += 100
        backoff.begin(now_s)
        pauses.append(backoff.pause_s(now_s, delivered=number == 6, jitter=1.0))

    assert pauses == pytest.approx([0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 0.2, 0.4])
