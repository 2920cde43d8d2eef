"""`inspector.joiner`: what several stations say of one strip, joined; and what no station saw of it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from joined_line import BELOW, LEFT, NOON_MS, RIGHT, WIDE, coil, defect, ended, gap

from inspector.errors import ConfigError
from inspector.ids import Ids
from inspector.joiner.coils import AWAY, NO_CAMERA
from inspector.joiner.fold import Fold, JoinerState
from inspector.joiner.settings import JoinerSettings, load_joiner
from inspector.json_text import canonical_json
from inspector.strip.record import CoilRecord


@dataclass
class Line:
    """A fold, fed by hand."""

    settings: JoinerSettings
    state: JoinerState = field(default_factory=JoinerState)
    now_ms: int = NOON_MS
    bodies: list[Any] = field(default_factory=list)
    records: list[CoilRecord] = field(default_factory=list)

    def take(self, root: str, topic: str, payload: str) -> None:
        step = Fold(self.settings).take(self.state, root, topic, payload, self.now_ms)
        self.state = JoinerState.model_validate_json(step.state.model_dump_json())  # as after a kill
        self.bodies += [draft.body for draft in step.drafts]

    def wait(self, seconds: float) -> None:
        self.now_ms += int(seconds * 1000)
        step = Fold(self.settings).tick(self.state, self.now_ms)
        self.state = JoinerState.model_validate_json(step.state.model_dump_json())
        self.bodies += [draft.body for draft in step.drafts]
        self.records += step.records

    def begin(self) -> None:
        for root in (LEFT, RIGHT, BELOW):
            self.take(root, "coil", coil(root, "7731", 0, product="door"))


@pytest.fixture
def line() -> Line:
    return Line(JoinerSettings.model_validate(WIDE))


def test_what_two_cameras_share_is_one_defect(line: Line) -> None:
    """At one metre and in both pictures: one message, as wide as both saw it, under the worst severity, once."""
    line.take(LEFT, "defect", defect(LEFT, 1, 41.20, 585, score=0.9, severity="major"))
    line.take(RIGHT, "defect", defect(RIGHT, 1, 41.21, 95, score=0.95, severity="critical", alarm=False))
    line.wait(9.9)
    early = list(line.bodies)
    line.wait(0.2)
    line.wait(100)

    (body,) = line.bodies
    assert early == []
    assert (body.position_m, body.from_operator_mm, body.width_mm, body.length_mm) == (41.2, 585.0, 30.0, 30.0)
    assert (body.severity, body.score, body.alarm, body.side, body.tiles) == ("critical", 0.95, True, "top", 2)
    assert (body.station, body.coil_id, body.phase, body.from_centre_mm) == ("mill/l1/strip", "7731", "closed", 50.0)


@pytest.mark.parametrize(
    ("root", "at_m", "across_mm", "changes"),
    [
        pytest.param(RIGHT, 41.4, 95, {}, id="further along"),
        pytest.param(RIGHT, 41.2, 130, {}, id="further across"),
        pytest.param(BELOW, 41.2, 495, {}, id="on the other side"),
        pytest.param(LEFT, 41.2, 585, {}, id="of the same camera"),
        pytest.param(RIGHT, 41.2, 95, {"coil_id": "7732"}, id="of another coil"),
        pytest.param(RIGHT, None, 95, {}, id="without a position, and no error of time is configured"),
    ],
)
def test_what_is_apart_is_two(line: Line, root: str, at_m: float, across_mm: float, changes: dict[str, Any]) -> None:
    line.take(LEFT, "defect", defect(LEFT, 1, 41.2, 585))
    line.take(root, "defect", defect(root, 2, at_m, across_mm, **changes))
    line.wait(11)

    assert len(line.bodies) == len({body.defect_id for body in line.bodies}) == 2


def test_time_joins_within_its_stated_error() -> None:
    """Where a camera has no positions, what was seen within the error at one place across is one."""
    settings = JoinerSettings.model_validate(WIDE | {"join": {"time_error_s": 0.15}})
    found = []
    for later in (1, 2):  # a tenth of a second each
        line = Line(settings)
        line.take(LEFT, "defect", defect(LEFT, 0, 41.2, 585))
        line.take(RIGHT, "defect", defect(RIGHT, later, 0, 95, position_m=None))
        line.wait(11)
        found.append(len(line.bodies))

    assert found == [1, 2]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_order_of_arrival_does_not_matter(line: Line, order: tuple[int, ...]) -> None:
    """A scratch that one camera saw whole and the other in two pieces is one defect, whichever came first."""
    said = [
        (LEFT, defect(LEFT, 1, 41.2, 585, length_mm=500.0)), (RIGHT, defect(RIGHT, 1, 41.21, 95)),
        (RIGHT, defect(RIGHT, 2, 41.6, 95)),
    ]  # fmt: skip
    for number in order:
        line.take(said[number][0], "defect", said[number][1])
    line.wait(11)

    assert [(body.position_m, body.length_mm, body.tiles) for body in line.bodies] == [(41.2, 500.0, 3)]


def test_a_late_finding_joins_what_was_published(line: Line) -> None:
    """Under the same id, as another message; a message that comes twice changes nothing."""
    line.take(LEFT, "defect", defect(LEFT, 1, 41.2, 585))
    line.wait(11)
    line.take(RIGHT, "defect", defect(RIGHT, 1, 41.21, 95))
    line.wait(1)
    first, second = line.bodies

    assert (first.defect_id, first.width_mm, second.width_mm) == (second.defect_id, 20.0, 30.0)
    assert first.id != second.id


def test_a_mirrored_camera_is_turned(line: Line) -> None:
    """Its left is the drive side; places count from the strip's operator side on both sides."""
    line.take(BELOW, "defect", defect(BELOW, 1, 10, 100))
    line.wait(11)

    assert (line.bodies[0].from_operator_mm, line.bodies[0].side) == (980.0, "bottom")


def close(line: Line, *roots: str, **told: Any) -> CoilRecord:
    for root in roots:
        line.take(root, "coil", ended(root, **told))
    line.wait(70)
    return line.records[-1]


def test_a_coil_that_all_saw_is_assessed(line: Line) -> None:
    """A whole coil without a defect: its stations said that it ran, that it ended, and that they assessed it."""
    line.begin()
    record = close(line, LEFT, RIGHT, BELOW)

    assert (record.coil_id, record.length_m, record.inspected_m, record.assessed, record.gaps) == (
        "7731", 100.0, 100.0, True, (),
    )  # fmt: skip
    assert record.facts.product == "door"


def test_a_gap_counts_by_its_width(line: Line) -> None:
    """20 m of one camera of 600 mm: but what the other saw of it is seen; of 2,200 mm on both sides 500 are missing."""
    line.begin()
    line.take(LEFT, "coverage", gap(LEFT, 30.0, 50.0))
    record = close(line, LEFT, RIGHT, BELOW)
    (body,) = line.bodies

    assert record.inspected_m == pytest.approx(100 * (1 - 20 * 500 / (100 * 2200)))
    assert (body.cause, body.from_m, body.to_m, body.side) == ("source_down", 30.0, 50.0, "top")
    assert body.detail == "mill/l1/left, top, 0 to 600 mm"
    assert record.gaps[0].cause == "source_down (mill/l1/left, top, 0 to 600 mm)"


def test_a_station_that_is_away_is_a_gap_of_its_width(line: Line) -> None:
    """From the last place that it spoke of; the coil is not assessed, though nothing else is wrong."""
    line.begin()
    line.take(RIGHT, "defect", defect(RIGHT, 1, 25.0, 300))
    record = close(line, LEFT, BELOW)
    away = [body for body in line.bodies if getattr(body, "cause", None) == AWAY]

    assert record.inspected_m == pytest.approx(100 * (1 - (100 - 25.02) * 500 / (100 * 2200)))
    assert (record.assessed, record.not_assessed) == (False, "mill/l1/right was away at its end")
    assert [(body.from_m, body.to_m, body.side) for body in away] == [(25.02, 100.0, "top")]


def test_a_station_that_comes_back_closes_the_coil_again(line: Line) -> None:
    """What it had kept for the broker arrives, and the record has it: one coil, no metre twice."""
    line.begin()
    first = close(line, LEFT, BELOW)
    line.take(RIGHT, "coverage", gap(RIGHT, 10.0, 20.0))
    line.take(RIGHT, "coil", ended(RIGHT))
    line.wait(6)
    again = line.records[-1]

    assert (first.began_at, first.assessed) == (again.began_at, False)
    assert again.inspected_m == pytest.approx(100 * (1 - 10 * 500 / (100 * 2200)))
    assert again.assessed


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        pytest.param([(LEFT, "coverage", gap(LEFT, None, None))], "it is not known how much", id="frames only"),
        pytest.param(
            [(LEFT, "coverage", gap(LEFT, None, None, "messages_lost"))], "it is not known how much", id="lost messages"
        ),
        pytest.param(
            [(LEFT, "coverage", gap(LEFT, 0, 60)), (RIGHT, "coverage", gap(RIGHT, 0, 60))],
            "70.0% of its surface was inspected, 95.0% are asked for", id="too little",
        ),
    ],
)  # fmt: skip
def test_a_coil_that_was_not_seen_is_not_assessed(line: Line, said: list[tuple[str, str, str]], reason: str) -> None:
    """Each with its reason; the two cameras above are the half of the surface."""
    line.begin()
    for one in said:
        line.take(*one)
    record = close(line, LEFT, RIGHT, BELOW)

    assert not record.assessed
    assert reason in (record.not_assessed or "")


def test_where_no_camera_looks_is_a_gap() -> None:
    """Of a strip that is wider than its cameras see."""
    line = Line(JoinerSettings.model_validate(WIDE | {"strip": {"site": "mill", "line": "l1", "width_mm": 1200}}))
    line.begin()
    record = close(line, LEFT, RIGHT, BELOW)

    assert line.settings.uncovered() == [("top", 1100, 1200), ("bottom", 1100, 1200)]
    assert record.inspected_m == pytest.approx(100 * 1100 / 1200)
    assert NO_CAMERA in record.gaps[0].cause


def test_coils_follow_each_other(line: Line) -> None:
    """The next coil begins before the last is reported: each has its own record; a name that returns is another run."""
    line.begin()
    for at_s, name in ((100, "7732"), (200, "7731")):
        for root in (LEFT, RIGHT, BELOW):
            line.take(root, "coil", coil(root, name, at_s))
        line.wait(70)

    assert [(record.coil_id, record.began_at.second) for record in line.records] == [("7731", 0), ("7732", 40)]
    assert [one.coil_id for one in line.state.coils] == ["7731", "7732", "7731"]


@pytest.mark.parametrize(
    "payload",
    ["", "[]", "{}", "null", '{"coil_id": 7}', "\x00", '{"since": "x", "coil_id": "a"}', "[" * 100_000],
)
@pytest.mark.parametrize("topic", ["defect", "coverage", "coil"])
def test_what_is_no_message_is_counted(line: Line, topic: str, payload: str) -> None:
    """And changes nothing else; a root that is not configured is none of this strip's."""
    line.take(LEFT, topic, payload)
    line.take("mill/l1/other", topic, payload)
    line.wait(100)

    assert (line.state.strange, line.bodies, line.records) == (1, [], [])


@pytest.mark.parametrize(
    ("topic", "change"),
    [
        ("defect", {"score": None}),
        ("defect", {"score": "high"}),
        ("defect", {"severity": "dire"}),
        ("defect", {"tiles": "2"}),
        ("defect", {"bundle": 7}),
        ("defect", {"position_m": math.nan}),
        ("defect", {"position_m": 1e300}),
        ("defect", {"timestamp_ms": 1 << 53}),
        ("defect", {"timestamp_ms": math.inf}),
        ("defect", {"coil_id": ["a"]}),
        ("coverage", {"from_m": -math.inf}),
        ("coverage", {"frames": -1}),
        ("coverage", {"timestamp_ms": 1 << 52}),
        ("coil", {"product": ["door"]}),
        ("coil", {"width_mm": "wide"}),
        ("coil", {"since": "9999-99-99T00:00:00.000Z"}),
        ("coil", {"length_m": math.inf}),
        ("coil", {"assessed": "perhaps"}),
    ],
)
def test_one_strange_value_stops_nothing(line: Line, topic: str, change: dict[str, Any]) -> None:
    """It is counted at its arrival, before anything is kept of it: at no later time, and at no start, it fails."""
    line.begin()
    said = {"defect": defect(LEFT, 1, 41.2, 585), "coverage": gap(LEFT, 1, 2), "coil": coil(LEFT, "7732", 9)}[topic]
    line.take(LEFT, topic, json.dumps(json.loads(said) | change))
    line.take(LEFT, "defect", defect(LEFT, 2, 50.0, 100))
    line.wait(100)

    assert line.state.strange == 1
    assert [body.position_m for body in line.bodies] == [50.0]


def test_a_station_with_another_scale_is_named(line: Line) -> None:
    """A place outside of the picture that was configured, and none at all, each once."""
    for number in (1, 2):
        line.take(LEFT, "defect", defect(LEFT, number, 1, 900))
        line.take(RIGHT, "defect", defect(RIGHT, number, 1, 0, width_mm=None))

    assert list(line.state.troubles.values()) == [
        "other_scale: mill/l1/left sees a defect at 920 mm of a picture that is 600 mm wide",
        "no_scale: mill/l1/right gives no place across, so nothing of it is joined",
    ]


def test_a_roll_mark_is_passed_on(line: Line) -> None:
    """At its place on the strip, whichever way its camera looks; its defects name it still."""
    key = Ids(BELOW).of("period")
    message = json.loads(gap(BELOW, None, None)) | {
        "schema": "inspector/periodic/1", "periodic_id": key, "phase": "opened", "label": "crack", "severity": "major",
        "pitch_mm": 1570.0, "across_mm": 100.0, "phase_mm": 12.0, "count": 4, "first_m": 3.0, "last_m": 7.71,
        "roll": "S3 top R17", "defect_ids": "",
    }  # fmt: skip
    line.take(BELOW, "periodic", canonical_json(message).decode())
    line.take(BELOW, "defect", defect(BELOW, 1, 3.0, 90, periodic_id=key))
    line.wait(11)
    period, found = line.bodies

    assert (period.across_mm, period.side, period.station, period.roll) == (
        1000.0,
        "bottom",
        "mill/l1/strip",
        "S3 top R17",
    )
    assert (found.periodic_id, period.periodic_id) == (key, key)


SMALL = '[strip]\nsite = "mill"\nline = "l1"\n'
STATION = '[[station]]\nroot = "a"\nwidth_mm = 600\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param(SMALL, "station: missing", id="no station"),
        pytest.param(SMALL + STATION + STATION, "two stations have one root: a", id="one root twice"),
        pytest.param(SMALL + STATION + STATION.replace('"a"', '"b"'), "two stations at one place: a and b", id="place"),
        pytest.param(
            SMALL + "width_mm = 500\n" + STATION + "offset_mm = 500\n", "a sees nothing of the strip", id="off"
        ),
        pytest.param(SMALL + STATION + "offset = 5\n", "station.0.offset: unknown key", id="unknown key"),
        pytest.param("[strip\n", "not TOML", id="no TOML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, told: str) -> None:
    """With file and key, before anything is joined."""
    (tmp_path / "strip.toml").write_text(text)

    with pytest.raises(ConfigError, match=told):
        load_joiner(tmp_path / "strip.toml", {})
