"""`inspector.track.ungraded`: what lies in a head or a tail is recorded, and raises no alarm."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from fakes import NOON, inspected, make_defect, make_frame, track_all, track_rules

from inspector.box import Box
from inspector.inspection.one_frame import Inspection
from inspector.items import Command
from inspector.messages import AlarmMessage, DefectMessage
from inspector.strip.rules import StripRules
from inspector.track.rules import TrackRules
from inspector.track.track import Item

ROWS = 50
"""Lines of a frame; at 2 mm each it is 0.1 m long."""
PIXELS = np.full((ROWS, 64), 90, np.uint8)


def rules(**strip: Any) -> TrackRules:
    return track_rules(mm_per_px=1.0, scale_source="configuration", strip=StripRules(mm_per_line=2.0, **strip))


def say(command: str, at_s: float = 0, **asked: Any) -> Command:
    return Command(NOON + timedelta(seconds=at_s), command, json.dumps(asked))


def frame(number: int, *boxes: Box) -> Inspection:
    """Frame `number`, at 1 m/s, with a defect of each box: a row is 2 mm."""
    shown = make_frame(
        number, PIXELS, epoch=1, first_line=number * ROWS, identity=f"1:{number}",
        captured_at=NOON + timedelta(seconds=(number + 1) / 10), captured_mono_s=50 + number / 10,
    )  # fmt: skip
    return inspected(shown, *(make_defect(box=box) for box in boxes))


def told(items: list[Item], by: TrackRules) -> list[tuple[float | None, str, bool]]:
    """Of each defect where it lies, the rule of its first message, and whether it raised an alarm in the end."""
    _, bodies = track_all(items, by)
    alarms = {body.defect_id for body in bodies if isinstance(body, AlarmMessage)}
    opened = [body for body in bodies if isinstance(body, DefectMessage) and body.phase == "opened"]
    return [(body.position_m, body.why.rule, body.defect_id in alarms) for body in opened]


SMALL = Box(0, 10, 8, 5)
"""From 20 to 30 mm within its frame."""


@pytest.mark.parametrize(
    ("strip", "coil", "expected"),
    [
        pytest.param({}, {}, ["threshold", "threshold", "threshold"], id="all is graded"),
        pytest.param({"head_m": 0.2}, {}, ["head", "threshold", "threshold"], id="a head"),
        pytest.param({"head_m": 0.025}, {}, ["threshold"] * 3, id="a head that ends within the defect"),
        pytest.param({"tail_m": 0.2}, {}, ["threshold"] * 3, id="a tail, and nobody said how long the coil is"),
        pytest.param({"tail_m": 0.2}, {"length_m": 0.6}, ["threshold", "threshold", "tail"], id="a tail"),
        pytest.param(
            {"tail_m": 0.2, "head_m": 0.4}, {"winding": "tail_first", "length_m": 0.6}, ["tail", "head", "head"],
            id="the tail passes first",
        ),
        pytest.param(
            {"tail_m": 0.2, "head_m": 0.4}, {"winding": "tail_first"}, ["tail", "threshold", "threshold"],
            id="the tail passes first, and nobody said how long the coil is",
        ),
    ],
)  # fmt: skip
def test_head_and_tail_raise_no_alarm(strip: dict[str, Any], coil: dict[str, Any], expected: list[str]) -> None:
    """Defects at 0.02, 0.22 and 0.52 m of a coil: those that lie wholly in its head or tail are recorded alone."""
    items = [say("coil", coil_id="A", **coil), frame(0, SMALL), frame(1), frame(2, SMALL), *map(frame, (3, 4))]
    found = told([*items, frame(5, SMALL)], rules(**strip))

    assert [(rule, alarm) for _, rule, alarm in found] == [(rule, rule == "threshold") for rule in expected]


def test_a_defect_that_grows_out_of_the_head_alarms() -> None:
    """What begins in the head and goes on behind it is graded."""
    coil, long = say("coil", coil_id="A"), Box(0, 0, 8, ROWS)
    short, grown = (
        told([coil, *(frame(n, *([long] if n < count else [])) for n in range(6))], rules(head_m=0.3))
        for count in (3, 4)
    )

    assert (short, grown) == ([(0.0, "head", False)], [(0.0, "head", True)])


def test_a_strip_without_a_coil_has_neither() -> None:
    """Between coils everything is graded: nobody said where a head is."""
    assert told([frame(0, SMALL)], rules(head_m=5.0)) == [(0.02, "threshold", True)]
