"""`inspector.track.operators`: what a person shelved is recorded and raises no alarm; what is not covered alarms."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fakes import NOON, inspected, make_defect, make_frame, track_rules

from inspector.box import Box
from inspector.messages import AlarmMessage, DefectMessage
from inspector.track.memory import from_text, to_text
from inspector.track.operators import OperatorState, Shelf, shelved_by
from inspector.track.state import TrackState
from inspector.track.track import track

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
    state, (opened,) = see(state, 0, 0.0, mm_per_px=0.5)
    assert isinstance(opened, DefectMessage)
    assert (opened.alarm, opened.shelved_by, opened.why.rule, opened.why.key) == (False, ID, "shelved", "cmd/shelve")

    _, bodies = see(from_text(to_text(state)), 1, 3600.0, mm_per_px=0.5)
    assert [type(body) for body in bodies] == [DefectMessage, AlarmMessage]
    assert (bodies[0].phase, bodies[0].alarm, bodies[0].shelved_by) == ("updated", True, None)
