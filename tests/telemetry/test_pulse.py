"""`inspector.telemetry.pulse`: the heartbeat ends with the main loop, and with nothing later."""

from __future__ import annotations

import json

import pytest
from fakes import FakeClock

from inspector.telemetry.health import HealthBoard
from inspector.telemetry.pulse import Pulse


@pytest.mark.parametrize(
    ("after_s", "beats"),
    [
        pytest.param(None, False, id="never judged"),
        pytest.param(0.0, True, id="just now"),
        pytest.param(1.0, True, id="a second ago"),
        pytest.param(1.01, False, id="the main loop hangs"),
    ],
)
def test_a_heartbeat_needs_a_judgement_of_the_last_second(after_s: float | None, beats: bool) -> None:
    """Only a main loop that judged all parts within a second has a heartbeat."""
    clock = FakeClock()
    pulse = Pulse(HealthBoard("site/line/cam", clock), clock)
    if after_s is not None:
        pulse.judged()
        clock.advance(after_s)

    assert (pulse.beat() is not None) is beats


def test_beats_are_counted_and_carry_the_state() -> None:
    """A consumer sees by the number which beats it missed; silence uses none up."""
    clock = FakeClock()
    board = HealthBoard("site/line/cam", clock)
    pulse = Pulse(board, clock)
    pulse.judged()
    first = json.loads(pulse.beat() or b"")
    board.update("degraded", "broker: away")
    clock.advance(2.0)
    assert pulse.beat() is None
    pulse.judged()
    second = json.loads(pulse.beat() or b"")

    assert {"schema", "at", "state", "beat"} == set(first) == set(second)
    assert (first["schema"], first["state"], first["beat"]) == ("inspector/heartbeat/1", "starting", 1)
    assert (second["state"], second["beat"]) == ("degraded", 2)
