"""`inspector.track.operators`: what a person shelved is recorded and raises no alarm; what is not covered alarms."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fakes import NOON, inspected, make_defect, make_frame, track_rules

from inspector.box import Box
from inspector.command_table import COMMANDS
from inspector.inspection.one_frame import Inspection
from inspector.items import Command, Tick
from inspector.messages import AlarmMessage, CoverageMessage, DefectMessage, FrameMessage
from inspector.track.memory import from_text, to_text
from inspector.track.operators import LineState, OperatorState, Shelf, shelved_by
from inspector.track.state import TrackState
from inspector.track.track import Item, track

HOUR = timedelta(hours=1)
ID = "01234567-0123-5123-8123-0123456789ab"


def shelf(label: str | None = None, place: tuple[float, float] | None = None, command_id: str = ID) -> Shelf:
    left, right = place or (None, None)
    return Shelf(command_id, label, left, right, "ann", "known roll mark", NOON, NOON + HOUR)


@pytest.mark.parametrize(
    ("shelf", "across_mm", "covered"),
    [
        pytest.param(shelf(), None, True, id="everything"),
        pytest.param(shelf("crack"), None, True, id="its class"),
        pytest.param(shelf("hole"), None, False, id="another class"),
        pytest.param(shelf("crack", (100, 200)), (110, 120), True, id="in the place"),
        pytest.param(shelf("hole", (100, 200)), (110, 120), False, id="another class in the place"),
        pytest.param(shelf(None, (100, 200)), (90, 110), True, id="half in the place"),
        pytest.param(shelf(None, (100, 200)), (89, 110), False, id="less than half in the place"),
        pytest.param(shelf(None, (100, 200)), (0, 300), False, id="as wide as the strip"),
        pytest.param(shelf(None, (100, 200)), None, False, id="an unknown place"),
    ],
)
def test_a_shelf_covers_its_class_in_its_place(
    shelf: Shelf, across_mm: tuple[float, float] | None, covered: bool
) -> None:
    """A shelf covers what has its class and lies in its place with half of its width; never what lies unknown."""
    assert covered == (shelved_by(OperatorState((shelf,)), "crack", across_mm, NOON) == ID)


def test_the_oldest_of_overlapping_shelves_is_named_until_it_ends() -> None:
    """Of two shelves that cover a defect the older is named; when that has ended, the other; then none."""
    older, newer = shelf("crack"), replace(shelf(None, None, "newer"), until=NOON + 2 * HOUR)
    operators = OperatorState((older, newer))

    assert [shelved_by(operators, "crack", None, NOON + hours * HOUR) for hours in (0, 1, 2)] == [ID, "newer", None]


def see(state: TrackState, number: int, seconds: float, **changes: Any) -> tuple[TrackState, list[Any]]:
    frame = make_frame(number, captured_at=NOON + timedelta(seconds=seconds))
    state, drafts = track(state, inspected(frame, make_defect("crack", Box(40, 0, 20, 20))), track_rules(**changes))
    return state, [draft.body for draft in drafts]


def test_a_shelved_defect_is_recorded_without_alarm_and_alarms_if_it_outlasts_the_shelf() -> None:
    """A shelved defect is published with the command's id and `why.rule` shelved; open at the end, it alarms then."""
    state = TrackState(operators=OperatorState((shelf("crack", (0, 50)),)))
    state, (opened, named) = see(state, 0, 0.0, mm_per_px=0.5)
    assert isinstance(opened, DefectMessage)
    assert (opened.alarm, opened.shelved_by, opened.why.rule, opened.why.key) == (False, ID, "shelved", "cmd/shelve")
    assert (named.kind, named.defect_ids) == ("summary", opened.defect_id)  # it is critical: never silent

    _, bodies = see(from_text(to_text(state)), 1, 3600.0, mm_per_px=0.5)
    assert [type(body) for body in bodies] == [DefectMessage, AlarmMessage]
    assert (bodies[0].phase, bodies[0].alarm, bodies[0].shelved_by) == ("updated", True, None)


def command(name: str, seconds: float = 0.0, **values: Any) -> Command:
    payload = COMMANDS[name].model.model_validate(values).model_dump_json()
    return Command(NOON + timedelta(seconds=seconds), name, payload, f"id-{seconds:g}")


def strip(number: int, seconds: float, *labels: str) -> Inspection:
    frame = make_frame(number, captured_at=NOON + timedelta(seconds=seconds))
    return inspected(frame, *(make_defect(label) for label in labels))


def follow(*items: Item, state: TrackState | None = None) -> tuple[TrackState, list[Any]]:
    state, bodies = state or TrackState(), list[Any]()
    for item in items:
        state, drafts = track(state, item, track_rules())
        bodies += [draft.body for draft in drafts]
        state = from_text(to_text(state))  # as after a kill between any two items
    return state, bodies


def test_frames_of_a_pause_are_one_gap_with_who_and_why() -> None:
    """From the next frame on nothing is inspected: open defects close, and the gap says how much, who, and why."""
    state, bodies = follow(
        strip(0, 0, "crack"), command("pause", 0.5, person="ann", reason="roll change"), strip(1, 1, "crack"),
        strip(2, 2, "hole"), command("pause", 2.5, off=True), strip(3, 3, "hole"),
    )  # fmt: skip
    [gap] = [body for body in bodies if isinstance(body, CoverageMessage)]
    defects = [(body.label, body.phase) for body in bodies if isinstance(body, DefectMessage)]

    assert (gap.cause, gap.frames, gap.person, gap.detail) == ("paused", 2, "ann", "roll change")
    assert (gap.from_, gap.to) == ("2026-03-01T12:00:01.000Z", "2026-03-01T12:00:02.000Z")
    assert defects == [("crack", "opened"), ("crack", "closed"), ("hole", "opened")]
    assert state.operators == OperatorState()


def test_a_still_of_a_pause_is_answered_as_not_inspected() -> None:
    """A picture that comes during a pause has its one frame message, which says that nobody looked at it."""
    still = inspected(make_frame(0, independent=True, source_key="0.jpg"), make_defect("crack"))
    _, bodies = follow(command("pause", reason="lens"), still)

    assert [(type(body), body.verdict, body.reason, body.detail) for body in bodies] == [
        (FrameMessage, "not_inspected", "paused", "lens")
    ]


@pytest.mark.parametrize(
    ("hours", "tick_s", "paused"),
    [
        pytest.param(1, 3599, True, id="before its time"),
        pytest.param(1, 3600, False, id="at its time"),
        pytest.param(8, 8 * 3600 - 1, True, id="a whole shift"),
        pytest.param(1, -8 * 3600, False, id="the clock was set back by a day"),
        pytest.param(1, -3600, True, id="the clock was set back by an hour"),
    ],
)
def test_a_pause_ends_by_itself_by_the_stations_clock(hours: float, tick_s: float, paused: bool) -> None:
    """A tick at its time ends it; the dates of frames, which may be years old, do not."""
    old = strip(0, -1e8)
    state, _ = follow(command("pause", hours=hours), command("shelve", hours=hours), old, strip(1, 1e6))
    assert state.operators.pause is not None
    state, _ = follow(Tick(NOON + timedelta(seconds=tick_s)), state=state)

    assert (state.operators.pause is not None, len(state.operators.shelves)) == (paused, int(paused))


def test_a_shelf_of_the_same_place_replaces_and_off_ends_what_it_names() -> None:
    """One shelf stands for a label and place, the last; `off` ends those of what it names, by itself all."""
    shelves = [command("shelve", 0, label="crack"), command("shelve", 1, label="hole", person="ann"),
               command("shelve", 2, label="crack", hours=2), command("shelve", 3, from_mm=1, to_mm=2)]  # fmt: skip
    names = [
        [shelf.command_id for shelf in follow(*shelves, *more)[0].operators.shelves]
        for more in (
            [], [command("shelve", 9, label="crack", off=True)], [command("shelve", 9, from_mm=1, to_mm=2, off=True)],
            [command("shelve", 9, label="hole", from_mm=1, to_mm=2, off=True)], [command("shelve", 9, off=True)],
        )
    ]  # fmt: skip

    assert names == [
        ["id-1", "id-2", "id-3"], ["id-1", "id-3"], ["id-1", "id-2"], ["id-1", "id-2", "id-3"], [],
    ]  # fmt: skip


def test_the_line_is_what_the_plant_said_last() -> None:
    """Whether it runs, and how fast; ack and verify change nothing here."""
    state, bodies = follow(command("line", 1, running=True, speed_m_s=2.5), command("line", 2, running=False),
                           command("ack", 3, defect_id=None))  # fmt: skip

    assert state.operators.line == LineState(False, None, NOON + timedelta(seconds=2))
    assert bodies == []
