"""What an operator gets: N of M at one place, severity by rule, hysteresis, a limit over an area, one summary."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from fakes import NOON, inspected, make_defect, make_frame, still, track_all, track_rules
from hypothesis import given, settings
from hypothesis import strategies as st

from inspector.box import Box
from inspector.frame import Frame
from inspector.inspection.merge import Defect
from inspector.items import AreaLink, AreaWord, Command, Tick
from inspector.messages import AlarmMessage, DefectMessage
from inspector.track.area import HOUR, alarm_figures, own_report
from inspector.track.memory import from_text, to_text
from inspector.track.rules import ClassWords, SeverityRule, TrackRules
from inspector.track.state import TrackState
from inspector.track.track import Item, track

PIXELS = np.full((64, 64), 128, np.uint8)
FIVE_AN_HOUR = 5
"""Alarms that leave one by one: the sixth of an hour is the summary."""


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def seen(number: int, seconds: float, *defects: Defect, **changes: Any) -> Item:
    """A frame of a plain camera at this time."""
    return inspected(make_frame(number, PIXELS, captured_at=at(seconds), **changes), *defects)


def only(kind: type, bodies: Iterable[Any]) -> list[Any]:
    return [body for body in bodies if isinstance(body, kind)]


# --- N of M ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("boxes", "px", "alarms"),
    [
        pytest.param([(0, 0), (0, 500)], 200, 1, id="a stream: the same columns"),
        pytest.param([(0, 0), (200, 0)], 200, 1, id="a tile's side away"),
        pytest.param([(0, 0), (600, 0)], 200, 0, id="elsewhere across"),
    ],
)
def test_n_of_m_counts_at_one_place(boxes: list[tuple[int, int]], px: int, alarms: int) -> None:
    """Two of three frames make an alarm only if they show the class at the same place across, within a tile's side."""
    items = [seen(n, n / 10, make_defect("hole", Box(x, y, 50, 50))) for n, (x, y) in enumerate(boxes)]
    _, bodies = track_all(items, track_rules(alarm_hits=2, alarm_window=3, place_px=px))

    assert alarms == len(only(AlarmMessage, bodies))


@pytest.mark.parametrize(("y", "alarms"), [pytest.param(100, 1, id="near"), pytest.param(900, 0, id="below")])
def test_n_of_m_of_stills_counts_both_ways(y: int, alarms: int) -> None:
    """In stills the place is that in the picture, also from top to bottom."""
    frames = [still(n) for n in range(2)]
    items = [replace(frame, defects=(make_defect("hole", Box(0, n * y, 50, 50)),)) for n, frame in enumerate(frames)]
    _, bodies = track_all(items, track_rules(alarm_hits=2, alarm_window=2, place_px=200))

    assert alarms == len(only(AlarmMessage, bodies))


# --- Severity -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        pytest.param({"label": "hole"}, True, id="its label"),
        pytest.param({"label": "crack"}, False, id="another label"),
        pytest.param({"size_px": 60}, True, id="long enough, in pixels"),
        pytest.param({"size_px": 61}, False, id="too short"),
        pytest.param({"size_mm": 30}, True, id="long enough, in mm"),
        pytest.param({"size_mm": 31}, False, id="too short, in mm"),
        pytest.param({"score": 0.9}, True, id="sure enough"),
        pytest.param({"score": 0.91}, False, id="not sure enough"),
        pytest.param({"from_mm": 0, "to_mm": 60}, True, id="in the zone"),
        pytest.param({"from_mm": 70, "to_mm": 90}, False, id="right of it"),
        pytest.param({"from_mm": 0, "to_mm": 50}, False, id="left of it"),
        pytest.param({"label": "hole", "size_px": 61}, False, id="all of it must fit"),
    ],
)
def test_severity_by_rule(rule: dict[str, Any], fits: bool) -> None:
    """The first rule that fits says how severe a defect is, and `why` names it; else its label does."""
    rules = track_rules(
        mm_per_px=0.5,
        severity_rules=(SeverityRule("critical", **rule), SeverityRule("major", label="hole", size_px=1e6)),
    )
    _, (defect, alarm) = track_all([seen(0, 0, make_defect("hole", Box(100, 0, 20, 60)))], rules)
    expected = ("critical", "alarm.severity.0") if fits else ("major", None)

    assert expected == (defect.severity, defect.why.severity_key)
    assert expected == (alarm.severity, alarm.why.severity_key)


def test_severity_by_count_on_100_m() -> None:
    """With the third of a label within 100 m it is more severe; further on it is as before."""
    rules = track_rules(mm_per_px=10.0, severity_rules=(SeverityRule("critical", label="rust", per_100m=3),))

    def line(number: int, line: int) -> Item:
        frame = make_frame(number, first_line=line, overlap_lines=0)
        return inspected(frame, make_defect("rust", Box(0, 0, 9, 9)))

    _, bodies = track_all([line(0, 0), line(1, 3000), line(2, 6000), line(3, 40_000)], rules)

    assert [body.severity for body in bodies if getattr(body, "phase", "") == "opened"] == [
        "minor", "minor", "critical", "minor",
    ]  # fmt: skip


# --- Hysteresis -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weak", "phases"),
    [
        pytest.param(make_defect(score=0.7, candidate=True), ["opened", "closed"], id="strong enough to keep it open"),
        pytest.param(make_defect(score=0.6, candidate=True), ["opened", "closed", "opened", "closed"], id="too weak"),
        pytest.param(make_defect("hole", score=0.7, candidate=True), ["opened", "closed"] * 2, id="another label"),
    ],
)
def test_a_weaker_piece_keeps_a_defect_open(weak: Defect, phases: list[str]) -> None:
    """At 0.8 of the threshold of 0.8 an open defect goes on; such a piece opens none of its own."""

    def strip(number: int, *defects: Defect) -> Item:
        return inspected(make_frame(number, first_line=number * 32, overlap_lines=0), *defects)

    items = [strip(0, make_defect()), strip(1, weak), strip(2, make_defect()), strip(3), strip(4, weak)]
    _, bodies = track_all([*items, Tick(at(9), final=True)], track_rules(keep_open=0.8))

    assert phases == [body.phase for body in only(DefectMessage, bodies) if body.phase != "updated"]


# --- Words ----------------------------------------------------------------------------------------------------------


def test_an_alarm_is_one_line_to_act_on() -> None:
    """It says what, how severe, where, at which station, and how to silence it, in the plant's words, with a link."""
    rules = track_rules(
        mm_per_px=0.5, public_url="https://pc/i", words={"hole": ClassWords("312", "Loch", "surface")}, area="hall"
    )
    _, (defect, alarm) = track_all([seen(0, 0, make_defect("hole", Box(40, 0, 20, 20)))], rules)

    assert "\n" not in alarm.text
    assert alarm.text.startswith(
        "Loch (312) 0.90 (major) at site/line/cam, 20 mm across; to silence: inspector do shelve"
    )
    assert alarm.url == f"https://pc/i/defects/{defect.defect_id}"
    assert {("312", "Loch", "surface")} == {
        (one.class_code, one.class_name, one.class_group) for one in (defect, alarm)
    }
    assert (alarm.area, alarm.across_mm) == ("hall", 20.0)


# --- The operator's hour --------------------------------------------------------------------------------------------


def test_the_hour_has_five_alarms_and_one_summary_that_is_updated() -> None:
    """Of twenty defects in an hour five alarm; the others are one summary under one id, updated every 10 s at most."""
    items = [seen(n, 4.0 * n, make_defect("hole", Box(0, 0, 9, 9)), epoch=n) for n in range(20)]
    state, bodies = track_all([*items, Tick(at(200), final=True)], track_rules(alarms_per_hour=6))
    alarms = only(AlarmMessage, bodies)
    told = [body for body in alarms if body.kind == "summary"]
    gaps = [later.timestamp_ms - body.timestamp_ms for body, later in pairwise(told)]

    assert sum(body.kind == "defect" for body in alarms) == FIVE_AN_HOUR
    assert len({body.defect_id for body in told}) == 1
    assert len({body.id for body in told}) == len(told)
    assert told[-1].suppressed == 15
    assert min(gaps[:-1]) >= 10_000
    held = [body.defect_id for body in only(DefectMessage, bodies) if body.why.key == "alarm.per_hour"]
    assert set(held) == {one for body in told for one in body.defect_ids.split()}
    assert alarm_figures(state.area, at(80), track_rules(alarms_per_hour=6)).last_hour == 6


def test_a_simulated_day_with_two_percent_defective_metres() -> None:
    """At 2 m/s for a day, 2 % of the metres defective: at most 6 alarms an hour, each critical one named in 10 s."""
    chance, rules = random.Random(25), track_rules(alarms_per_hour=6)
    state, named, criticals, alarmed = (
        TrackState(),
        dict[str, datetime](),
        dict[str, datetime](),
        list[tuple[datetime, str]](),
    )
    for second in range(86_400):
        now = at(second)
        items: list[Item] = [Tick(now)] if second % 3 == 0 else []
        if chance.random() < 1 - 0.98**2:
            label = chance.choices(("rust", "hole", "crack"), (80, 15, 5))[0]
            box = Box(chance.randrange(4000), 0, 20, 20)
            items.append(seen(second, second, make_defect(label, box), epoch=second))
        for item in items:
            state, drafts = track(state, item, rules)
            for body in (draft.body for draft in drafts):
                if isinstance(body, DefectMessage) and body.phase == "opened" and body.severity == "critical":
                    criticals[body.defect_id] = now
                if isinstance(body, AlarmMessage) and body.kind != "suppressed":
                    alarmed.append((now, body.defect_id))
                    for one in (body.defect_ids or body.defect_id).split():
                        named.setdefault(one, now)
    per_hour = [
        len({name for when, name in alarmed if begun <= when < begun + HOUR})
        for begun in (at(minute * 60) for minute in range(0, 1440 - 59, 10))
    ]

    assert len(criticals) > 100
    assert max(per_hour) <= 6
    assert max(named[one] - since for one, since in criticals.items()) <= timedelta(seconds=10)


def test_standing_alarms_end_with_an_ack() -> None:
    """An alarm stands until somebody acknowledges it, or all of them."""
    state, bodies = track_all([seen(n, n, make_defect("hole"), epoch=n) for n in range(3)])
    first = only(AlarmMessage, bodies)[0].defect_id
    standing = []
    for payload in ("{}", f'{{"defect_id":"{first}"}}', '{"defect_id":null}'):
        if payload != "{}":
            state, _ = track(state, Command(at(9), "ack", payload), track_rules())
        standing.append(alarm_figures(state.area, at(9), track_rules()).standing)

    assert standing == [3, 2, 0]


def test_a_flood_is_more_than_ten_in_ten_minutes() -> None:
    """What a person would have had to take counts, also what was held back."""
    rules = track_rules(alarms_per_hour=6)
    flood = []
    for count in (10, 11):
        state, _ = track_all([seen(n, n, make_defect("hole"), epoch=n) for n in range(count)], rules)
        flood += [alarm_figures(state.area, at(60), rules).in_flood, alarm_figures(state.area, at(900), rules).in_flood]

    assert flood == [False, False, True, False]


# --- An area --------------------------------------------------------------------------------------------------------


class Area:
    """Stations that hear each other after a while."""

    def __init__(self, count: int, per_hour: int = 6, delay_s: float = 0.5) -> None:
        self.names = [f"site/line/cam{n}" for n in range(count)]
        self.rules = {name: track_rules(station=name, area="hall", alarms_per_hour=per_hour) for name in self.names}
        self.states = dict.fromkeys(self.names, TrackState())
        self.delay = timedelta(seconds=delay_s)
        self.posted: list[tuple[datetime, str, AreaWord]] = []
        self.alarms: list[tuple[datetime, AlarmMessage]] = []
        for name in self.names:
            self.take(name, AreaLink(at(-60), True))
            self.say(name, at(-60))

    def take(self, name: str, item: Item) -> None:
        self.states[name], drafts = track(self.states[name], item, self.rules[name])
        moment = item.frame.captured_at if hasattr(item, "frame") else at(0)
        self.alarms += [(moment, draft.body) for draft in drafts if isinstance(draft.body, AlarmMessage)]

    def say(self, name: str, now: datetime) -> None:
        said = own_report(self.states[name].area, now)
        word = AreaWord(now, name, said.alarms, said.summary, said.summary_at, said.held, said.wanted)
        self.posted += [(now + self.delay, other, word) for other in self.names if other != name]

    def see(self, name: str, number: int, seconds: float, label: str = "hole") -> None:
        due = [post for post in self.posted if post[0] <= at(seconds)]
        self.posted = [post for post in self.posted if post not in due]
        for _, other, word in due:
            self.take(other, word)
        self.take(name, seen(number, seconds, make_defect(label, Box(0, 0, 9, 9)), epoch=number))
        self.say(name, at(seconds))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(2, 8),
    st.lists(st.tuples(st.integers(0, 7), st.floats(0, 40)), min_size=1, max_size=60),
    st.sampled_from([0.0, 0.05, 1.0, 1.9]),
)
def test_an_area_has_six_an_hour_however_its_stations_are_hit(
    count: int, hits: list[tuple[int, float]], delay_s: float
) -> None:
    """All stations together raise five alarms and one summary in an hour, also when they are hit at one moment."""
    area = Area(count, delay_s=delay_s)
    for number, (which, seconds) in enumerate(sorted(hits, key=lambda hit: hit[1])):
        area.see(area.names[which % count], number, seconds)

    assert sum(alarm.kind == "defect" for _, alarm in area.alarms) <= FIVE_AN_HOUR
    assert len({alarm.defect_id for _, alarm in area.alarms if alarm.kind == "summary"}) <= 1


def test_a_quiet_neighbour_leaves_its_share() -> None:
    """Hit one by one, a station takes all five alarms of an area whose other station has nothing to say."""
    area = Area(2)
    for number in range(8):
        for name in area.names:
            area.say(name, at(60.0 * number))
        area.see(area.names[0], number, 60.0 * number + 30)

    assert sum(alarm.kind == "defect" for _, alarm in area.alarms) >= FIVE_AN_HOUR - 1


def test_a_station_without_its_broker_keeps_to_its_share() -> None:
    """Out of hearing it alarms no more than its share of the hour, and its criticals are named all the same."""
    area = Area(2)
    area.take(area.names[0], AreaLink(at(1), False))
    for number in range(9):
        area.see(area.names[0], number, 10.0 + 60 * number, "crack")
    alarms = [alarm for _, alarm in area.alarms]

    assert sum(alarm.kind == "defect" for alarm in alarms) == 1
    named = {one for alarm in alarms for one in (alarm.defect_ids or alarm.defect_id).split()}
    assert len(named) == 9
    assert alarm_figures(area.states[area.names[0]].area, at(600), area.rules[area.names[0]]).alone


def test_the_state_survives_a_restart() -> None:
    """What is held back and what was sent is in the stored state: a restart gives nobody a new hour."""
    rules: TrackRules = track_rules(alarms_per_hour=6)
    state, _ = track_all([seen(n, n, make_defect("crack"), epoch=n) for n in range(9)], rules)
    again: Mapping[str, Any] = {"one": track_all([seen(9, 9, make_defect("crack"), epoch=9)], rules, state)[1]}
    same = track_all([seen(9, 9, make_defect("crack"), epoch=9)], rules, from_text(to_text(state)))[1]

    assert again["one"] == same
    assert not [body for body in only(AlarmMessage, same) if body.kind == "defect"]


def test_many_critical_defects_are_all_named() -> None:
    """A burst of 300 criticals in one frame is named in bounded messages."""
    frame: Frame = make_frame(0)
    many = [make_defect("crack", Box(40 * n, 0, 20, 20)) for n in range(300)]
    _, bodies = track_all([inspected(frame, *many), Tick(at(1), final=True)], track_rules(alarms_per_hour=6))
    told = [body for body in only(AlarmMessage, bodies) if body.kind == "summary"]
    named = {one for body in only(AlarmMessage, bodies) for one in (body.defect_ids or body.defect_id).split()}

    assert len(named) == 300
    assert max(len(body.defect_ids) for body in told) < 5000
