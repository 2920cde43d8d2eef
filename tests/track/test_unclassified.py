"""What is unclassified leaves as a defect without alarm, merged per place, so many an hour; the rest is counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fakes import NOON, STAMP, inspected, make_defect, make_frame, track_all, track_rules

from inspector.box import Box
from inspector.drafts import Draft
from inspector.inspection.decision import Verdict
from inspector.inspection.merge import Defect
from inspector.inspection.one_frame import Inspection
from inspector.items import Lost, Tick
from inspector.labels import CLEAN, UNCLASSIFIED, UNKNOWN
from inspector.messages import AlarmMessage, DefectMessage, FrameMessage
from inspector.track.memory import from_text, to_text
from inspector.track.rules import TrackRules
from inspector.track.state import TrackState
from inspector.track.track import track

HASH = "0123456789ab"


def taught(**changes: Any) -> TrackRules:
    return track_rules(reference=HASH, unclassified_threshold=4.0, **changes)


def strange(box: Box | None = None, distance: float = 5.25, **changes: Any) -> Defect:
    return make_defect(UNCLASSIFIED, box, 0.6, distance=distance, runner_up="hole", runner_up_score=0.6, **changes)


def still(number: int, *defects: Defect, verdicts: tuple[Verdict, ...] = ()) -> Inspection:
    frame = make_frame(number, independent=True, source_key=f"{number}.jpg", file_stamp=STAMP)
    return Inspection(frame, None, (Box(0, 0, 32, 32),) * len(verdicts), verdicts, defects)


def camera(number: int, *defects: Defect) -> Inspection:
    return inspected(make_frame(number), *defects)


def tile(label: str, distance: float) -> Verdict:
    return Verdict(label, 0.9, "crack", "hole", 0.05, distance=distance)


def only(kind: type, bodies: list[Any]) -> list[Any]:
    return [body for body in bodies if isinstance(body, kind)]


def test_an_unclassified_defect_says_why() -> None:
    """Minor, without alarm, with its distance; `why` compares distances and names the key that would change it."""
    _, bodies = track_all([still(0, strange())], taught())
    (defect,), (frame,) = only(DefectMessage, bodies), only(FrameMessage, bodies)

    assert (defect.label, defect.severity, defect.alarm, defect.distance) == (UNCLASSIFIED, "minor", False, 5.25)
    assert (defect.runner_up.label, defect.runner_up.score) == ("hole", 0.6)
    why = defect.why
    assert (why.measure, why.threshold, why.score, why.margin) == ("distance", 4.0, 5.25, 1.25)
    assert (why.rule, why.key) == ("severity", "events.alarm_unclassified")
    assert not only(AlarmMessage, bodies)
    assert (frame.defects, frame.defect_ids, frame.label) == (1, defect.defect_id, UNCLASSIFIED)


@pytest.mark.parametrize(
    ("rules", "rule", "key", "alarms"),
    [
        pytest.param({}, "threshold", "events.alarm_unclassified", 1, id="it may be an alarm"),
        pytest.param({"mode": "observe"}, "mode", "decision.mode", 0, id="observe mode"),
        pytest.param({"alarm_min_severity": "major"}, "severity", "events.alarm_min_severity", 0, id="too harmless"),
        pytest.param({"alarm_hits": 2, "alarm_window": 3}, "n_of_m", "events.alarm_hits", 0, id="the first of two"),
        pytest.param({"alarm_limit": 0}, "limit", "events.alarm_limit", 0, id="too many already"),
    ],
)
def test_with_alarm_unclassified_it_is_judged_like_others(
    rules: dict[str, Any], rule: str, key: str, alarms: int
) -> None:
    """`events.alarm_unclassified` lets it be an alarm, under the rules that hold for all."""
    _, bodies = track_all([still(0, strange())], taught(alarm_unclassified=True, **rules))
    (defect,), raised = only(DefectMessage, bodies), only(AlarmMessage, bodies)

    assert (rule, key, "distance") == (defect.why.rule, defect.why.key, defect.why.measure)
    assert alarms == len(raised)
    assert [(UNCLASSIFIED, 5.25, HASH)] * alarms == [(each.label, each.distance, each.reference) for each in raised]


@pytest.mark.parametrize(
    ("labels", "defects", "verdict", "reason"),
    [
        pytest.param((CLEAN, CLEAN), (), "pass", None, id="clean"),
        pytest.param((UNKNOWN, CLEAN), (), "unknown", None, id="unknown"),
        pytest.param((UNCLASSIFIED, CLEAN), (strange(),), "unknown", UNCLASSIFIED, id="nothing but unclassified"),
        pytest.param((UNCLASSIFIED, UNKNOWN), (strange(),), "unknown", UNCLASSIFIED, id="unclassified before unknown"),
        pytest.param(("crack", UNCLASSIFIED), (make_defect(), strange()), "fail", None, id="a defect before all"),
    ],
)
def test_the_verdict_of_a_taught_frame(
    labels: tuple[str, ...], defects: tuple[Defect, ...], verdict: str, reason: str | None
) -> None:
    """Defect, unclassified, unknown, clean, in this order; the frame has its largest distance."""
    verdicts = tuple(tile(label, 1.5 + number) for number, label in enumerate(labels))
    _, bodies = track_all([still(0, *defects, verdicts=verdicts)], taught())
    (frame,) = only(FrameMessage, bodies)

    assert (verdict, reason) == (frame.verdict, frame.reason)
    assert frame.unclassified_tiles == labels.count(UNCLASSIFIED)
    assert frame.unknown_tiles == labels.count(UNKNOWN)
    assert frame.distance == 2.5


def test_an_untaught_frame_says_that_it_is() -> None:
    """Without a reference, whatever the bundle's own distance: no hash, no distance, no count."""
    verdicts = (tile("crack", 9.0), tile(CLEAN, 9.0))
    _, bodies = track_all([still(0, make_defect(), verdicts=verdicts), Lost(NOON, None, 1, 2, 2, "x")])

    assert len(bodies) == 4
    assert {body.reference for body in bodies} == {None}
    assert {body.distance for body in only(DefectMessage, bodies)} == {None}
    assert [(f.distance, f.unclassified_tiles) for f in only(FrameMessage, bodies)] == [(None, None)]


def test_every_event_of_a_taught_station_names_its_reference() -> None:
    """Defects, alarms, frames, and what is said of gaps or losses."""
    _, bodies = track_all([still(0, make_defect(distance=7.5), strange()), Lost(NOON, None, 1, 2, 2, "x")], taught())

    assert len(bodies) == 5
    assert {body.reference for body in bodies} == {HASH}
    assert [body.distance for body in only(DefectMessage, bodies)] == [7.5, 5.25]
    assert [body.distance for body in only(AlarmMessage, bodies)] == [7.5]


def published(bodies: list[Any]) -> list[tuple[str, str]]:
    """Phase and label of the defects."""
    return [(body.phase, body.label) for body in only(DefectMessage, bodies)]


END = Tick(NOON.replace(hour=23), final=True)


def test_on_a_stream_one_place_is_one_event() -> None:
    """What stays in its place for ten frames is one unclassified event, opened and closed once."""
    _, bodies = track_all([*(camera(n, strange()) for n in range(10)), END], taught())

    assert published(bodies) == [("opened", UNCLASSIFIED), ("closed", UNCLASSIFIED)]
    assert bodies[-1].frames == 10
    assert bodies[-1].distance == 5.25


@pytest.mark.parametrize("limit", [pytest.param(60, id="published"), pytest.param(0, id="held back")])
def test_what_gets_a_name_alarms(limit: int) -> None:
    """A place that was unclassified and is then a crack is a crack, with an alarm, published or not before."""
    items: list[Inspection | Tick] = [
        camera(0, strange()),
        camera(1, make_defect(score=0.81)),
        camera(2, strange(distance=90.0)),
        END,
    ]
    _, bodies = track_all(items, taught(unclassified_limit=limit))
    last = only(DefectMessage, bodies)[-1]

    assert [(body.label, body.severity) for body in only(AlarmMessage, bodies)] == [("crack", "critical")]
    assert (last.phase, last.label, last.severity, last.score, last.alarm) == (
        "closed",
        "crack",
        "critical",
        0.81,
        True,
    )
    assert (last.why.measure, last.why.threshold, last.why.score) == ("score", 0.8, 0.81)
    assert published(bodies)[0] == (("opened", UNCLASSIFIED) if limit else ("opened", "crack"))


def test_at_most_so_many_an_hour_are_published_and_the_rest_is_counted() -> None:
    """Of 100 places in each of two hours 60 are published; the others are counted, and named ones all leave."""
    items: list[Inspection] = []
    for number in range(200):
        frame = still(number, make_defect("crack"), strange())
        later = frame.frame.captured_at.replace(hour=12 + number // 100, minute=number % 50)
        items.append(inspected(make_frame(number, independent=True, captured_at=later), *frame.defects))
    state, bodies = track_all(items, taught(alarm_unclassified=True, alarm_limit=1000))
    labels = [body.label for body in only(DefectMessage, bodies)]
    frames = only(FrameMessage, bodies)

    assert (labels.count("crack"), labels.count(UNCLASSIFIED), state.held_back) == (200, 120, 80)
    assert sum(body.label == UNCLASSIFIED for body in only(AlarmMessage, bodies)) == 120
    assert sum(frame.defects for frame in frames) == 320 == sum(len(frame.defect_ids.split()) for frame in frames)


def test_a_place_that_is_held_back_counts_once() -> None:
    """On a stream a held-back place is followed like any other: one event, no message, no id in any frame."""
    rules = taught(unclassified_limit=0, frame_messages=True, alarm_unclassified=True)
    state, bodies = track_all([*(camera(n, strange()) for n in range(10)), END], rules)

    assert state.held_back == 1
    assert {type(body) for body in bodies} == {FrameMessage}
    assert {(body.defects, body.defect_ids, body.label) for body in bodies} == {(0, "", None)}


def test_the_hour_is_remembered() -> None:
    """What was published in this hour, and what was held back, survives a restart with the state."""
    rules = taught(unclassified_limit=1)
    state, _ = track_all([camera(0, strange()), camera(1, strange(Box(900, 0, 32, 32)))], rules)
    again = from_text(to_text(state))

    assert (state.held_back, again.held_back) == (1, 1)
    assert again.unclassified == state.unclassified
    assert [(known.silent, known.best) for known in again.open] == [(x.silent, x.best) for x in state.open]
    assert {known.silent for known in again.open} == {False, True}


def test_a_state_of_the_release_before_is_read() -> None:
    """A state without the fields of the reference is one in which nothing was unclassified."""
    old = '{"version":1,"state":{"open":[],"recent":[],"limits":{},"gaps":[],"coil_id":"C-1","place":null}}'

    assert from_text(old) == TrackState(coil_id="C-1")


def pictures(drafts: list[Draft]) -> list[Any]:
    return [draft.picture for draft in drafts if draft.picture is not None]


def test_the_picture_of_something_strange_comes_with_its_heat() -> None:
    """The tiles of an unclassified defect come with the distances of their places; a named one needs none."""
    boxes = tuple(Box(32 * n, 0, 32, 32) for n in range(3))
    heat = np.arange(12, dtype=np.float64).reshape(3, 2, 2)
    frame = make_frame(0, independent=True)
    defects = (make_defect("crack", boxes[0]), strange(boxes[2]))
    _, drafts = track(TrackState(), Inspection(frame, None, boxes, (), defects, heat=heat), taught())
    named, unclassified = pictures(drafts)

    assert named.heat is None
    assert unclassified.heat.boxes == (boxes[2],)
    assert unclassified.heat.distances.tolist() == [[[8.0, 9.0], [10.0, 11.0]]]
    assert unclassified.heat.limit == 4.0
