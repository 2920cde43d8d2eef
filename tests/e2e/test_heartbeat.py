"""A station that dies or hangs, seen by somebody who only listens to a real broker."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable

import pytest
from peers import Daemon, Listener

pytestmark = pytest.mark.real

KNOWN_S = 3.0
"""What a consumer may wait: `heartbeat` comes once a second."""


@pytest.fixture
def station(make_daemon: Callable[..., Daemon], listener: Listener) -> Daemon:
    """A station that beats."""
    daemon = make_daemon('kind = "demo"\nspeed_m_s = 0.2')
    daemon.start()
    listener.wait(lambda: listener.count("heartbeat") >= 3, "heartbeats")
    return daemon


def test_a_hung_station_is_known_within_three_seconds(station: Daemon, listener: Listener) -> None:
    """Stopped as it stands, a station sends no heartbeat any more, and goes on when it is released."""
    os.kill(station.pid, signal.SIGSTOP)
    try:
        count = listener.count("heartbeat")
        with pytest.raises(AssertionError, match="timed out"):  # one may have been on its way
            listener.wait(lambda: listener.count("heartbeat") > count + 1, "no heartbeat", KNOWN_S)
    finally:
        os.kill(station.pid, signal.SIGCONT)
    listener.wait(lambda: listener.count("heartbeat") > count + 1, "the heartbeat of a station that goes on")
    beats = [json.loads(payload) for topic, payload in listener.messages if topic.endswith("/heartbeat")]

    assert all({"schema", "at", "state", "beat"} == set(beat) for beat in beats)
    assert [beat["beat"] for beat in beats] == sorted({beat["beat"] for beat in beats})


def test_a_killed_station_is_known_within_three_seconds(station: Daemon, listener: Listener) -> None:
    """The kernel closes the connection of a process that dies, and the broker publishes the will."""
    station.kill()
    listener.wait(lambda: ("inspector/test/line/cam/status", b"offline") in listener.messages, "the will", KNOWN_S)
