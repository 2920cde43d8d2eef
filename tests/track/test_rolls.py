"""`inspector.track.rolls`: one `periodic` event for a roll's marks, and no alarm for each of them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from fakes import NOON, inspected, make_defect, make_frame, track_all, track_rules

from inspector.box import Box
from inspector.command_table import RollsCommand
from inspector.inspection.one_frame import Inspection
from inspector.items import CoilChange, Command, Tick
from inspector.messages import AlarmMessage, DefectMessage, PeriodicMessage
from inspector.strip.periodic import Roll
from inspector.track.memory import from_text, to_text
from inspector.track.rolls import rolls_of
from inspector.track.state import TrackState
from inspector.track.track import Item

RULES = track_rules(mm_per_px=1.0, rolls=(Roll("F4", "top", None, 1500.0),), alarm_limit=1000)
LINES = 500


def strip(marks: int, label: str = "rust", every: int = 1500, first: int = 0) -> list[Inspection]:
    """Frames of 500 lines, with a mark of 20 lines at a fixed distance."""
    frames = []
    for number in range(first, first + marks * every // LINES):
        at = -(-number * LINES // every) * every
        seen = at + 20 < (number + 1) * LINES and at >= number * LINES
        frame = make_frame(number, first_line=number * LINES)
        defects = [make_defect(label, Box(200, at - number * LINES + 10, 30, 20))] if seen else []
        frames.append(inspected(frame, *defects))
    return frames


def only(kind: type, bodies: list[Any]) -> list[Any]:
    return [body for body in bodies if isinstance(body, kind)]


def test_one_event_says_that_a_mark_returns() -> None:
    """It is opened once, told again at twice the marks, and closed with the coil; the roll of its pitch is named."""
    items: list[Item] = [CoilChange(NOON, "C1"), *strip(20), CoilChange(NOON, "C2")]
    items.append(Tick(NOON + timedelta(hours=1)))  # nothing passes any more: the head is here
    _, bodies = track_all(items, RULES)
    told = only(PeriodicMessage, bodies)

    assert [(body.phase, body.count) for body in told] == [
        ("opened", told[0].count), ("updated", 2 * told[0].count), *([("updated", 4 * told[0].count)]
        if told[0].count <= 5 else []), ("closed", 20),
    ]  # fmt: skip
    assert told[0].count <= 5
    assert {body.periodic_id for body in told} == {told[0].periodic_id}
    last = told[-1]
    assert (last.label, last.roll, last.harmonic, last.coil_id, last.severity) == ("rust", "F4 top", "1", "C1", "minor")
    assert (last.pitch_mm, last.across_mm, last.phase_mm) == (1500, 215, 20)
    assert (last.first_m, last.last_m) == (0.02, 28.52)


def test_its_marks_raise_no_alarm_of_their_own() -> None:
    """Those before it is known do, then one that names the roll; later ones say why not, and name the finding."""
    _, bodies = track_all(strip(20), RULES)
    alarms, opened = only(AlarmMessage, bodies), [b for b in only(DefectMessage, bodies) if b.phase == "opened"]
    [first, *_] = only(PeriodicMessage, bodies)

    assert len(alarms) == first.count
    assert "returns every 1500 mm" in alarms[-1].text
    assert "roll F4 top" in alarms[-1].text
    assert [body.why.rule for body in opened] == ["threshold"] * first.count + ["periodic"] * (20 - first.count)
    assert [body.periodic_id for body in opened[first.count - 1 :]] == [first.periodic_id] * (21 - first.count)
    assert first.defect_ids.split() == [body.defect_id for body in opened[: first.count]]


def test_a_more_severe_mark_is_an_alarm() -> None:
    """The alarm of a minor finding does not stand for a major defect of it."""
    severe = track_rules(mm_per_px=1.0, alarm_limit=1000, severity={"rust": "major", "crack": "minor", "hole": "minor"})
    state, _ = track_all(strip(10), RULES)
    _, bodies = track_all(strip(3, first=30), severe, state)

    assert [alarm.severity for alarm in only(AlarmMessage, bodies)] == ["major"]


def test_it_goes_on_after_a_death() -> None:
    """The stored state has the marks and what was told: the next process opens no second event."""
    before, first = track_all(strip(10), RULES)
    _, after = track_all([*strip(10, first=30), Tick(NOON, final=True)], RULES, from_text(to_text(before)))
    told = only(PeriodicMessage, first + after)

    assert [body.phase for body in told].count("opened") == 1
    assert told[-1].count == 20
    assert len(only(AlarmMessage, after)) == 0


def test_without_a_scale_or_if_it_is_switched_off_nothing_returns() -> None:
    """A place in metres is needed."""
    for changes in ({"mm_per_px": None}, {"mm_per_px": 1.0, "periodic": None}):
        assert only(PeriodicMessage, track_all(strip(10), track_rules(**changes))[1]) == []


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"stand": "F4", "position": "top", "roll_id": "W2", "diameter_mm": 600, "elongation": 1.5}, {"F4 top W2"}),
        ({"stand": "F4", "position": "top", "diameter_mm": None}, set()),
        ({"stand": "F5", "position": "top", "diameter_mm": 400}, {"F4 top", "F5 top"}),
    ],
)
def test_the_plant_says_which_roll_runs(said: dict[str, Any], expected: set[str]) -> None:
    """The latest of a place counts, before the configuration."""
    payload = json.dumps(RollsCommand.model_validate(said).model_dump(mode="json"))
    state, _ = track_all([Command(NOON, "rolls", payload)], RULES, TrackState())

    rolls = {roll.name: roll.pitch_mm for roll in rolls_of(state, RULES)}
    assert set(rolls) == expected
    if "F4 top W2" in rolls:
        assert rolls["F4 top W2"] == pytest.approx(2827.43, abs=0.01)
