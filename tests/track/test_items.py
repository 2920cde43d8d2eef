"""What is ordered besides frames: coils, losses and commands take their place, and nothing of it is forgotten."""

from __future__ import annotations

from datetime import timedelta

import pytest
from fakes import NOON, inspected, make_defect, make_frame, make_gap, still, track_all, track_rules

from inspector.box import Box
from inspector.frame import Cause, Frame
from inspector.inspection.one_frame import Inspection
from inspector.items import CoilChange, Command, Lost, Tick
from inspector.messages import CoverageMessage, DefectMessage
from inspector.track.memory import from_text, to_text
from inspector.track.state import TrackState
from inspector.track.track import Item, track

SCALED = track_rules(mm_per_px=0.5, scale_source="configuration", alarm_limit=1)


def lines(number: int, epoch: int = 1, first_line: int | None = None) -> Frame:
    """Frame `number` of a line stream of 64 lines a frame, 8 of them shown before."""
    first = 56 * number if first_line is None else first_line
    return make_frame(
        number, epoch=epoch, first_line=first, overlap_lines=8 if first else 0, identity=f"{epoch}:{first}"
    )


def with_defect(frame: Frame, y: int = 20) -> Inspection:
    return inspected(frame, make_defect(box=Box(0, y, 32, 10)))


def change(seconds: float, coil_id: str | None, line: int | None = None) -> CoilChange:
    return CoilChange(NOON + timedelta(seconds=seconds), coil_id, line)


def positions(items: list[Item]) -> list[float | None]:
    """Where the defects lie that are opened, m from the coil's head."""
    bodies = track_all(items, SCALED)[1]
    return [body.position_m for body in bodies if isinstance(body, DefectMessage) and body.phase == "opened"]


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        pytest.param([with_defect(lines(0))], [0.01], id="no coil: from the first line"),
        pytest.param([with_defect(lines(0)), with_defect(lines(3))], [0.01, 0.094], id="further along"),
        pytest.param(
            [inspected(lines(0)), inspected(lines(1)), change(0.1, "B"), with_defect(lines(2))],
            [0.006],
            id="a head is the first line that no frame showed",
        ),
        pytest.param(
            [inspected(lines(0)), change(1, "B", 40), with_defect(lines(1))], [0.018], id="a head whose line is known"
        ),
        pytest.param(
            [inspected(lines(0)), inspected(lines(1)), with_defect(lines(0, epoch=2))],
            [0.07],
            id="a source that counts anew goes on",
        ),
        pytest.param(
            [change(0, "A"), inspected(lines(0)), change(1, "A"), with_defect(lines(1))],
            [0.038],
            id="the same coil said again",
        ),
        pytest.param([with_defect(make_frame())], [None], id="no lines"),
    ],
)
def test_positions_count_from_the_coils_head(items: list[Item], expected: list[float | None]) -> None:
    """`position_m` is the way from the coil's head, also over a reconnect in the middle of the coil."""
    assert expected == positions(items)


def test_a_coil_changes_at_its_place() -> None:
    """What came before the change is of the previous coil, to its last word; what comes after is of the next."""
    dropped = make_gap(Cause.DROPPED, 0.02, 0.03, frames=2)
    items: list[Item] = [change(0, "A"), with_defect(lines(0), 60), dropped]
    items += [change(0.04, "B"), with_defect(lines(1), 2)]
    _, bodies = track_all([*items, Tick(NOON, final=True)], SCALED)
    said = [(type(body).__name__, getattr(body, "phase", None), body.coil_id) for body in bodies]

    assert said == [
        ("DefectMessage", "opened", "A"),
        ("AlarmMessage", None, "A"),
        ("DefectMessage", "closed", "A"),
        ("CoverageMessage", None, "A"),
        ("DefectMessage", "opened", "B"),
        ("AlarmMessage", None, "B"),
        ("DefectMessage", "closed", "B"),
        ("AlarmMessage", None, "B"),
    ]


def test_lost_messages_are_reported_exactly() -> None:
    """A loss says which sink lost how many messages of which range, and why, in the coil that runs."""
    lost = Lost(NOON, "mqtt", 4, 90, 7, "the outbox is full")
    _, (body,) = track_all([change(0, "A"), lost])

    assert isinstance(body, CoverageMessage)
    assert (body.cause, body.sink, body.lost, body.first_seq, body.last_seq) == ("messages_lost", "mqtt", 7, 4, 90)
    assert (body.detail, body.coil_id, body.frames) == ("the outbox is full", "A", 0)


def test_a_command_is_no_message() -> None:
    """A command changes nothing by itself that a consumer sees."""
    state = TrackState(coil_id="A")

    assert track(state, Command(NOON, "resend", "{}"), SCALED) == (state, [])


HISTORY: list[Item] = [
    change(0, "A"),
    with_defect(lines(0)),
    make_gap(Cause.DROPPED, 0.1, 0.2, frames=3),
    with_defect(lines(1), 0),
    inspected(
        lines(2), make_defect("hole"), make_defect("hole", Box(40, 0, 20, 20)), make_defect("rust", Box(0, 60, 9, 4))
    ),
    make_gap(Cause.DROPPED, 0.3, 0.4, frames=1),
    still(9, "crack", "crack"),
    change(2, "B"),
    with_defect(lines(4)),
    with_defect(lines(0, epoch=2)),
    make_gap(Cause.PROCESS_DOWN, 5.0, 60.0),
    with_defect(lines(1, epoch=2)),
    Tick(NOON + timedelta(seconds=500)),
    Tick(NOON + timedelta(seconds=900), final=True),
]


@pytest.mark.parametrize("kept", range(len(HISTORY)))
def test_a_state_that_was_stored_goes_on_as_if_nothing_had_happened(kept: int) -> None:
    """Stored and read back between any two items, the state gives the same messages for all that follow."""
    state, _ = track_all(HISTORY[:kept], SCALED)
    expected = track_all(HISTORY[kept:], SCALED, state)[1]

    assert expected == track_all(HISTORY[kept:], SCALED, from_text(to_text(state)))[1]


@pytest.mark.parametrize("follows", ["the process was down", "the stream goes on"])
def test_a_defect_that_was_open_at_a_crash_is_closed(follows: str) -> None:
    """The next start closes what the last one had opened, under the same id, and counts its findings."""
    state, opened = track_all([change(0, "A"), with_defect(lines(0), 40)], SCALED)
    item = make_gap(Cause.PROCESS_DOWN, 1.0, 30.0) if "down" in follows else inspected(lines(0, epoch=2))
    _, bodies = track_all([item], SCALED, from_text(to_text(state)))
    closed = [body for body in bodies if isinstance(body, DefectMessage)]

    assert [(body.phase, body.defect_id, body.coil_id) for body in closed] == [("closed", opened[0].defect_id, "A")]


def test_a_defect_of_another_bundle_is_closed_as_it_was_judged() -> None:
    """A label that the next bundle does not have keeps the severity and threshold under which it was opened."""
    state, opened = track_all([inspected(lines(0), make_defect("rust", Box(0, 40, 9, 9)))], SCALED)
    fewer = track_rules(thresholds={"crack": 0.5}, severity={"crack": "minor"})
    _, drafts = track(from_text(to_text(state)), inspected(lines(0, epoch=2)), fewer)
    closed = drafts[0].body

    assert isinstance(closed, DefectMessage)
    assert (closed.phase, closed.severity, closed.why) == ("closed", opened[0].severity, opened[0].why)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "cannot be read"),
        ("{}", "cannot be read"),
        ('{"version": 1, "state": {"gaps": 7}}', "cannot be read"),
        (to_text(TrackState()).replace('"version":1', '"version":2'), "another form, 2"),
    ],
)
def test_a_state_that_cannot_be_read_is_refused(text: str, expected: str) -> None:
    """A damaged state, or one of another form, is a ValueError that says so, never half a state."""
    with pytest.raises(ValueError, match=expected):
        from_text(text)
