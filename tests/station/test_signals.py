"""`inspector.station.signals`: no signal is forgotten, whichever station runs when it comes."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from inspector.station.signals import PendingSignals

STOP, HUP = signal.SIGTERM, signal.SIGHUP


class Asked:
    """A station that only notes what it is asked to do."""

    def __init__(self) -> None:
        self.verbs: list[str] = []

    def request(self, verb: str) -> None:
        self.verbs.append(verb)


@pytest.fixture
def station() -> Any:
    return Asked()


@pytest.mark.parametrize(
    ("number", "verb"), [(signal.SIGTERM, "stop"), (signal.SIGINT, "stop"), (signal.SIGHUP, "reload")]
)
def test_a_signal_reaches_the_station(station: Any, number: int, verb: str) -> None:
    """SIGTERM and SIGINT stop, SIGHUP reloads."""
    signals = PendingSignals()
    signals.forward_to(station)
    signals.note(number, None)

    assert station.verbs == [verb]


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        pytest.param([], [], id="none"),
        pytest.param([HUP], ["reload"], id="a reload"),
        pytest.param([STOP], ["stop"], id="a stop"),
        pytest.param([STOP, HUP], ["stop"], id="a stop counts more"),
    ],
)
def test_what_came_before_the_station_is_told_at_once(station: Any, before: list[int], expected: list[str]) -> None:
    """Signals between two stations, or before the first, wait for the next one."""
    signals = PendingSignals()
    for number in before:
        signals.note(number, None)
    signals.forward_to(station)

    assert station.verbs == expected


def test_a_reload_satisfies_the_requests_before_it(station: Any) -> None:
    """The configuration is read after `begin_reload`: the next station need not reload for the same signal."""
    signals, following = PendingSignals(), Asked()
    signals.forward_to(station)
    signals.note(HUP, None)
    signals.begin_reload()
    signals.forward_to(following)  # type: ignore[arg-type]

    assert (station.verbs, following.verbs) == (["reload"], [])


def test_a_reload_that_comes_while_one_is_checked_is_another(station: Any) -> None:
    """What was written after the configuration was read is read again."""
    signals, following = PendingSignals(), Asked()
    signals.forward_to(station)
    signals.begin_reload()
    signals.note(HUP, None)
    signals.forward_to(following)  # type: ignore[arg-type]

    assert following.verbs == ["reload"]


def test_a_stop_is_repeated_over_a_reload(station: Any) -> None:
    """A stop that came with a reload is not lost by it: the present station hears it again, and the next one, too."""
    signals, following = PendingSignals(), Asked()
    signals.forward_to(station)
    signals.note(STOP, None)
    signals.note(HUP, None)
    signals.begin_reload()
    signals.forward_to(following)  # type: ignore[arg-type]

    assert station.verbs == ["stop", "reload", "stop"]
    assert following.verbs == ["stop"]
