"""`inspector.telemetry.health`: from facts to a state; and `notify`, which tells the supervisor."""

from __future__ import annotations

import inspect
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from fakes import NOON, FakeClock
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from inspector.telemetry.health import Facts, HealthBoard, HealthLimits, judge_health
from inspector.telemetry.metrics import HEALTH_REASONS, Metrics
from inspector.telemetry.notify import Notifier
from inspector.track.operators import LineState, OperatorState, Pause, Shelf

GOOD = Facts(started=True)


def paused(reason: str | None = "roll change") -> Facts:
    return replace(GOOD, operators=OperatorState(pause=Pause("id", "ann", reason, NOON, NOON + timedelta(hours=1))))


def stands(running: bool = False) -> Facts:
    return replace(GOOD, operators=OperatorState(line=LineState(running, None, NOON)))


@pytest.mark.parametrize(
    ("facts", "state", "reason"),
    [
        pytest.param(Facts(), "starting", None, id="before the first read"),
        pytest.param(GOOD, "ok", None, id="all is well"),
        pytest.param(replace(GOOD, source_reason="cam0: absent"), "blind", "source_down: cam0: absent", id="no source"),
        pytest.param(Facts(source_reason="cam0: absent"), "blind", "source_down: cam0: absent", id="never a source"),
        pytest.param(replace(GOOD, store_reason="disk full"), "blind", "store: disk full", id="nothing can be kept"),
        pytest.param(replace(GOOD, missed_frames=4, missed_cause="blank"), "ok", None, id="four frames missed"),
        pytest.param(
            replace(GOOD, missed_frames=5, missed_cause="blank"), "blind", "blank: 5 frames in a row", id="five missed"
        ),
        pytest.param(
            replace(GOOD, missed_frames=1, missed_cause="frozen", live=True, idle_s=99.0), "blind",
            "frozen: the camera repeats one picture", id="a frozen camera says it once",
        ),
        pytest.param(replace(GOOD, live=True, idle_s=10.0), "ok", None, id="a camera may pause"),
        pytest.param(
            replace(GOOD, live=True, idle_s=10.1), "blind", "no_frames: the camera is open and delivers nothing",
            id="a silent camera is blind",
        ),
        pytest.param(paused(), "paused", "paused: roll change", id="a pause with its reason"),
        pytest.param(paused(reason=None), "paused", "paused", id="a pause without a reason"),
        pytest.param(
            replace(paused(), missed_frames=9, missed_cause="blank", dropped_share=1.0), "paused",
            "paused: roll change", id="what was missed before the pause",
        ),
        pytest.param(
            replace(paused(), source_reason="absent"), "blind", "source_down: absent", id="a pause hides no dead camera"
        ),
        pytest.param(
            replace(paused(), store_reason="full"), "blind", "store: full", id="a pause hides no full disk"
        ),
        pytest.param(
            replace(stands(), live=True, idle_s=99.0, missed_frames=9, missed_cause="frozen"), "idle",
            "line_stands: the plant says that the line does not run", id="a line that stands is idle, not blind",
        ),
        pytest.param(
            replace(stands(), source_reason="absent"), "blind", "source_down: absent", id="no camera, line stands"
        ),
        pytest.param(
            replace(stands(), delivery_reason="broker: refused"), "degraded", "broker: refused",
            id="no broker at a line that stands",
        ),
        pytest.param(stands(running=True), "ok", None, id="a line that runs"),
        pytest.param(replace(GOOD, idle_s=10.1), "idle", "no_frames: nothing to inspect", id="an empty folder is idle"),
        pytest.param(
            replace(GOOD, source_ended=True, idle_s=99.0, live=True), "idle",
            "ended: the source has delivered everything", id="the end of a file",
        ),
        pytest.param(
            replace(GOOD, delivery_reason="broker: refused"), "degraded", "broker: refused",
            id="no broker: still inspecting",
        ),
        pytest.param(
            replace(GOOD, source_report="file_open: a.jpg", delivery_reason=None), "degraded", "file_open: a.jpg",
            id="a file that nobody closes",
        ),
        pytest.param(replace(GOOD, outbox_share=0.8), "ok", None, id="outbox at the limit"),
        pytest.param(
            replace(GOOD, outbox_share=0.81, delivery_reason="broker: refused"), "degraded",
            "outbox_filling: 81% of its limit",
            id="an outbox that fills comes before its reason",
        ),
        pytest.param(
            replace(GOOD, unknown_share=0.6, recent_tiles=50), "degraded",
            "off_domain: 60% of the tiles are unknown to the model", id="foreign surface",
        ),
        pytest.param(
            replace(GOOD, unknown_share=0.6, recent_tiles=49), "ok", None,
            id="too few tiles say nothing",
        ),
        pytest.param(
            replace(GOOD, unknown_share=0.5, recent_tiles=500), "ok", None, id="at the limit"
        ),
        pytest.param(
            replace(GOOD, insensitive="insensitive: 3 of 60 known defects found (all), 50 expected", unknown_share=0.9,
                    recent_tiles=500), "degraded", "insensitive: 3 of 60 known defects found (all), 50 expected",
            id="what is not seen comes before what is not known",
        ),
        pytest.param(
            replace(GOOD, live=True, dropped_share=0.51), "degraded", "falling_behind: 51% of the frames dropped",
            id="too slow",
        ),
        pytest.param(
            replace(GOOD, untaught="no reference", unknown_share=0.9, recent_tiles=500), "degraded",
            "untaught: no reference", id="that an untaught surface is foreign is no news",
        ),
        pytest.param(
            replace(GOOD, untaught="no reference", live=True, dropped_share=0.51), "degraded",
            "falling_behind: 51% of the frames dropped", id="frames that are lost come before teaching",
        ),
        pytest.param(
            replace(GOOD, untaught="no reference", idle_s=99.0), "degraded", "untaught: no reference",
            id="an idle station that nobody taught says so",
        ),
        pytest.param(
            replace(GOOD, store_reason="disk full", source_reason="gone", delivery_reason="broker: gone"), "blind",
            "store: disk full", id="the worst comes first",
        ),
        pytest.param(
            replace(GOOD, source_ended=True, delivery_reason="broker: gone"), "degraded", "broker: gone",
            id="an idle station without broker is degraded",
        ),
    ],
)  # fmt: skip
def test_judgement(facts: Facts, state: str, reason: str | None) -> None:
    """Whatever keeps the surface from being inspected is blind; what endangers delivery or trust is degraded."""
    assert (state, reason) == judge_health(facts, HealthLimits())


@given(
    st.builds(
        Facts,
        source_reason=st.none() | st.just("gone"),
        store_reason=st.none() | st.just("full"),
        delivery_reason=st.none() | st.just("broker: away"),
        started=st.booleans(),
        missed_frames=st.integers(0, 10),
        missed_cause=st.just("blank"),
        idle_s=st.floats(0, 100),
        live=st.booleans(),
    )
)
def test_blind_is_never_clean(facts: Facts) -> None:
    """Without source or store, or after five missed frames, no state but `blind` (or `starting`) is ever shown."""
    state, reason = judge_health(facts, HealthLimits())

    assert facts.source_reason is None or state == "blind"
    assert facts.store_reason is None or state == "blind"
    assert facts.missed_frames < 5 or state in ("blind", "starting")
    assert (reason is None) == (state in ("ok", "starting"))


def test_board_keeps_since_and_shows_the_present_reason(clock: FakeClock) -> None:
    """`since` tells when the state began; figures in a reason move on without counting as a change."""
    board = HealthBoard("site/line/cam", clock)
    clock.advance(10)
    changes = [board.update("blind", "blank: 5 frames in a row")]
    clock.advance(10)
    changes.append(board.update("blind", "blank: 9 frames in a row"))
    clock.advance(1)
    same_state = board.message()
    changes.append(board.update("blind", "source_down: gone"))
    other_reason = board.message()
    changes.append(board.update("ok", None))
    recovered = board.message()

    assert changes == [True, False, True, True]
    assert (same_state.reason, same_state.since) == ("blank: 9 frames in a row", "2026-03-01T12:00:10.000Z")
    assert (other_reason.reason, other_reason.since) == ("source_down: gone", "2026-03-01T12:00:10.000Z")
    assert (recovered.state, recovered.reason, recovered.since) == ("ok", None, "2026-03-01T12:00:21.000Z")
    assert recovered.valid_until == "2026-03-01T12:00:36.000Z"


def test_asking_renews_nothing(clock: FakeClock) -> None:
    """A state is worth 15 s from when it was judged; later nothing but `blind` is shown, until it is judged again."""
    board = HealthBoard("site/line/cam", clock)
    board.update("ok", None)
    shown = []
    for step in (0.0, 15.0, 0.5, 60.0):
        clock.advance(step)
        message = board.message()
        shown.append((message.state, message.reason, message.valid_until))
    board.update("ok", None)
    until = "2026-03-01T12:00:15.000Z"

    assert shown == [
        ("ok", None, until),
        ("ok", None, until),
        ("blind", "unjudged: nothing has looked after the station for 16 s", until),
        ("blind", "unjudged: nothing has looked after the station for 76 s", until),
    ]
    assert (board.message().state, board.message().valid_until) == ("ok", "2026-03-01T12:01:30.500Z")


def test_board_starts_by_starting(clock: FakeClock) -> None:
    """Before anything is known the station says so."""
    message = HealthBoard("site/line/cam", clock).message()

    assert (message.state, message.reason, message.station) == ("starting", None, "site/line/cam")


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[socket.socket]:
    """A notification socket like systemd's."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    channel.bind(str(tmp_path / "notify"))
    channel.settimeout(10)
    yield channel
    channel.close()


def test_supervisor_hears(supervisor: socket.socket) -> None:
    """READY with a status, pings, and the end reach the socket that the environment names."""
    notifier = Notifier({"NOTIFY_SOCKET": supervisor.getsockname(), "WATCHDOG_USEC": "30000000"})
    notifier.ready("up")
    notifier.status("inspecting")
    notifier.alive()
    notifier.stopping()
    expected = [b"READY=1\nSTATUS=up", b"STATUS=inspecting", b"WATCHDOG=1", b"STOPPING=1"]

    assert expected == [supervisor.recv(100) for _ in expected]
    assert notifier.watchdog_s == 30.0


def test_reload_is_stamped(supervisor: socket.socket) -> None:
    """A reload begins with the monotonic time, as sd_notify wants it."""
    Notifier({"NOTIFY_SOCKET": supervisor.getsockname()}).reloading()
    lines = dict(line.split("=") for line in supervisor.recv(100).decode().splitlines())

    assert lines["RELOADING"] == "1"
    assert int(lines["MONOTONIC_USEC"]) > 0


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        pytest.param({}, None, id="no watchdog"),
        pytest.param({"WATCHDOG_USEC": "2000000"}, 2.0, id="for everybody"),
        pytest.param({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}, 2.0, id="for this process"),
        pytest.param({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}, None, id="for another process"),
    ],
)
def test_watchdog_period(environ: dict[str, str], expected: float | None) -> None:
    """The watchdog's period counts only where it is meant for this process."""
    assert expected == Notifier(environ).watchdog_s


def test_no_supervisor_is_nobodys_error(tmp_path: Path) -> None:
    """Without a socket, or with one that has gone, nothing is said and nothing fails."""
    Notifier({}).alive()
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).alive()


def test_each_reason_is_a_label_value() -> None:
    """`inspector_health_info` has a value for the first word of every reason that the rule can give, and for others."""
    text = inspect.getsource(judge_health) + inspect.getsource(HealthBoard.message)
    words = set(re.findall(r"f?\"(\w+): ", text))
    registry = CollectorRegistry()
    metrics = Metrics(registry, ["crack"], {"crack": "minor"})

    assert words - set(HEALTH_REASONS) == set()
    assert len(words) > 7
    for reason, shown in (("store: the disk is full", "store"), ("of a later release: x", "other")):
        metrics.show_health("blind", reason)
        values = {word: registry.get_sample_value("inspector_health_info", {"reason": word}) for word in HEALTH_REASONS}
        assert [word for word, value in values.items() if value] == [shown]
    metrics.show_health("ok", None)
    assert not any(registry.get_sample_value("inspector_health_info", {"reason": word}) for word in HEALTH_REASONS)


def test_state_and_reference_go_together(clock: FakeClock) -> None:
    """A reference that is put in force shows with the next judgement, which is news; no message mixes two."""
    in_force: list[str | None] = [None]
    board = HealthBoard("s/l/n", clock, lambda: in_force[0])
    board.update("degraded", "untaught: nobody")
    in_force[0] = "abc"
    mixed = board.message()
    changed = board.update("ok", None), board.update("ok", None)
    in_force[0] = "def"

    assert (mixed.reason, mixed.reference) == ("untaught: nobody", None)
    assert (changed, board.message().reference) == ((True, False), "abc")
    assert board.update("ok", None)


def test_health_shows_what_people_asked_for() -> None:
    """Who paused it until when, how many shelves stand, and what the line does; each change is published."""
    said = [OperatorState()]
    board = HealthBoard("a/b/c", FakeClock(), operators=lambda: said[-1])
    changes = [board.update("ok", None)]
    until, line = NOON + timedelta(hours=1), LineState(True, 2.5, NOON)
    for one in (
        OperatorState(line=line),
        OperatorState(line=line, shelves=(Shelf("s", None, None, None, None, None, NOON, until),)),
        OperatorState(line=line, pause=Pause("p", "ann", "why", NOON, until)),
    ):
        said.append(one)
        changes += [board.update("ok", None), board.update("ok", None)]
    message = board.message()

    assert changes == [True, True, False, True, False, True, False]
    assert (message.running, message.speed_m_s, message.shelved) == (True, 2.5, 0)
    assert (message.person, message.until) == ("ann", "2026-03-01T13:00:00.000Z")
