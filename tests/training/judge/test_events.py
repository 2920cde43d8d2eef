"""`training.judge.events`: how many events one defect gives."""

from __future__ import annotations

import numpy as np
import pytest

from inspector.box import Box
from training.judge.events import Event, figures, match
from training.judge.runs import Run, Truth

FIRST, NEAR, FAR = Box(100, 100, 100, 100), Box(250, 100, 100, 100), Box(100, 900, 100, 100)
RUN = Run("composed", np.zeros((1, 1), np.uint8), (Truth("a", FIRST), Truth("b", NEAR), Truth("c", FAR)))
CLEARLY = [Event("a", FIRST, 0), Event("b", NEAR, 0), Event("c", FAR, 0)]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param(CLEARLY, {"exactly_one": 3}, id="one each"),
        pytest.param(CLEARLY[1:], {"exactly_one": 2, "missed": 1}, id="missed"),
        pytest.param([*CLEARLY, Event("a", Box(180, 180, 60, 60), 0)], {"exactly_one": 2, "second_events": 1},
                     id="a second one"),
        pytest.param([*CLEARLY, Event("b", Box(180, 180, 60, 60), 0)],
                     {"exactly_one": 2, "second_events": 1, "wrong_seconds": 1}, id="a second one of another name"),
        pytest.param([Event("a", Box(100, 100, 250, 99), 0), CLEARLY[2]],
                     {"exactly_one": 2, "missed": 1, "merged": 1}, id="a pair in one event"),
        pytest.param([Event("a", Box(100, 100, 100, 900), 0), CLEARLY[1]],
                     {"exactly_one": 2, "missed": 1, "merged": 1, "far_merges": 1}, id="two that lie far apart in one"),
        pytest.param([*CLEARLY, Event("a", Box(500, 500, 9, 9), 0)], {"exactly_one": 3, "false_events": 1},
                     id="an event on nothing"),
    ],
)  # fmt: skip
def test_each_error_is_counted(events: list[Event], expected: dict[str, int]) -> None:
    """An event belongs to the defect of which it covers most; what is beyond one, missing or merged is an error."""
    outcomes, false, far = match(RUN, events)
    found = figures(outcomes, false, far)
    rows = {"missed": 0, "merged": 0, "second_events": 0, "wrong_seconds": 0, "false_events": 0, "far_merges": 0}
    rows |= expected

    assert rows.pop("exactly_one") == found["exactly_one"]["k"]
    assert rows == {name: found[name] for name in rows}


def test_a_box_is_judged_by_what_it_holds_and_by_its_overlap() -> None:
    """A box twice as wide as its defect holds it, at an IoU of a half; one over half of it does not."""
    wide, half = Event("a", Box(50, 100, 200, 100), 0), Event("c", Box(100, 900, 100, 50), 0)
    found = figures(match(RUN, [wide, half])[0])

    assert (found["box_holds"]["k"], found["box_holds"]["n"], found["box_iou_mean"]) == (1, 2, 0.5)
