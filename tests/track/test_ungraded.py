"""`inspector.track.ungraded`: what lies in a head or a tail is recorded, and raises no alarm."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from fakes import NOON, inspected, make_defect, make_frame, track_all, track_rules

from inspector.box import Box
from inspector.inspection.one_frame import Inspection
from inspector.items import Command
from inspector.messages import AlarmMessage, DefectMessage
from inspector.strip.record import CoilRecord
from inspector.strip.rules import StripRules
from inspector.track.memory import from_text, to_text
from inspector.track.rules import TrackRules
from inspector.track.state import TrackState
from inspector.track.track import Item, track

ROWS = 50
"""Lines of a frame; at 2 mm each it is 0.1 m long."""
PIXELS = np.full((ROWS, 64), 90, np.uint8)


def rules(**strip: Any) -> TrackRules:
    return track_rules(
        mm_per_px=1.0, scale_source="configuration", periodic=None, strip=StripRules(mm_per_line=2.0, **strip)
    )


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
    items: list[Item] = [say("coil", coil_id="A", **coil), frame(0, SMALL), frame(1), frame(2, SMALL)]
    found = told([*items, frame(3), frame(4), frame(5, SMALL)], rules(**strip))

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


def welded(*items: Command, kill: bool = False, **strip: Any) -> tuple[list[str], list[list[tuple[float | None, str]]]]:
    """The rule of each of six defects, 0.1 m apart from 0.02 m on, and the events of each coil."""
    state, found, coils = TrackState(), list[str](), list[CoilRecord]()
    line_: list[tuple[datetime, Item]] = [(one.at, one) for one in items]
    line_ += [(one.frame.captured_at, one) for one in (frame(number, SMALL) for number in range(6))]
    for _, item in sorted(line_, key=lambda one: one[0]):
        state, drafts = track(state, item, rules(**strip))
        state = from_text(to_text(state)) if kill else state
        coils, state = [*coils, *state.ended], replace(state, ended=())
        bodies = [draft.body for draft in drafts]
        found += [one.why.rule for one in bodies if isinstance(one, DefectMessage) and one.phase == "opened"]
    coils += [state.coil] if state.coil else []
    return found, [[(at_m, kind) for at_m, kind, _ in one.events] for one in coils]


def line(at_s: float, speed_m_s: float) -> Command:
    return say("line", at_s, running=True, speed_m_s=speed_m_s, person=None, reason=None)


OUT, IN = "threshold", "weld"
AROUND = [OUT, OUT, IN, IN, IN, OUT]


@pytest.mark.parametrize(
    ("items", "strip", "found", "events"),
    [
        pytest.param([say("weld", 0.11, at_m=0.3)], {}, AROUND, [[(0.3, "weld")]], id="at a metre"),
        pytest.param([say("weld", 0.11, at_m=0.3)], {"weld_window_m": 0}, [OUT] * 6, [[(0.3, "weld")]], id="no window"),
        pytest.param([say("weld", 0.11, at_m=0.3)] * 3, {}, AROUND, [[(0.3, "weld")]], id="said again"),
        pytest.param(
            [line(0, 1.0), say("weld", 0.15, at_m=None)], {"offset_m": 0.2, "weld_window_m": 0.05},
            [OUT, OUT, OUT, IN, OUT, OUT], [[(0.35, "weld")]], id="where coils are named, in mid-frame",
        ),
        pytest.param(
            [line(0, 1.0), say("coil", 0.15, coil_id="B"), say("weld", 0.15, at_m=None)], {"offset_m": 0.2},
            AROUND, [[], [(0.0, "weld")]], id="over a coil's end: it belongs to the next",
        ),
        pytest.param([say("weld", 0.11, at_m=9.0)], {}, [OUT] * 6, [[]], id="on its way"),
        pytest.param(
            [say("coil", 0.02, coil_id="B", winding="tail_first", length_m=0.6), say("weld", 0.15, at_m=0.25)], {},
            AROUND, [[], [(0.35, "weld")]], id="the tail passes first",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kill", [False, True])
def test_what_lies_at_a_weld_raises_no_alarm(
    items: list[Command], strip: dict[str, Any], found: list[str], events: list[Any], kill: bool
) -> None:
    """Within the window of a weld, on both sides of it, whatever the state lives through."""
    settings = {"weld_window_m": 0.15} | strip

    assert welded(say("coil", 0, coil_id="A"), *items, kill=kill, **settings) == (found, events)


def test_a_weld_without_metres_is_an_event_without_a_place() -> None:
    """Where nothing says how far the strip ran, the coil keeps that there is a weld."""
    state, _ = track_all([say("coil", coil_id="A"), say("weld", at_m=None)], track_rules())

    assert state.coil is not None
    assert [(at_m, kind) for at_m, kind, _ in state.coil.events] == [(None, "weld")]
