"""`inspector.track.coils` and `passing`: each coil at its place, and each of its metres inspected or a gap, once."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from fakes import NOON, inspected, make_defect, make_frame, make_gap, track_rules

from inspector.box import Box
from inspector.frame import Cause, Frame, Gap
from inspector.inspection.one_frame import Inspection
from inspector.items import CoilFacts, Command, Tick
from inspector.messages import CoverageMessage, DefectMessage
from inspector.strip.record import CoilRecord, Stretch
from inspector.strip.rules import StripRules
from inspector.track.memory import from_text, to_text
from inspector.track.operators import Pause, paused_gap
from inspector.track.rules import TrackRules
from inspector.track.state import TrackState
from inspector.track.track import Item, track

ROWS = 50
"""Lines of a frame; at 2 mm each it is 0.1 m long, and at 1 m/s it lasts 0.1 s."""
PIXELS = np.full((ROWS, 64), 90, np.uint8)


def rules(**strip: Any) -> TrackRules:
    return track_rules(
        mm_per_px=1.0, scale_source="configuration", reference="r", strip=StripRules(mm_per_line=2.0, **strip)
    )


def frame(number: int, at_s: float, epoch: int = 1) -> Frame:
    """Frame `number` of its epoch, which ended at some second."""
    return make_frame(
        number, PIXELS, epoch=epoch, first_line=number * ROWS, identity=f"{epoch}:{number}",
        captured_at=NOON + timedelta(seconds=at_s), captured_mono_s=50 + at_s,
    )  # fmt: skip


def run(first: int, count: int, start_s: float, epoch: int = 1) -> list[Item]:
    """So many inspected frames at 1 m/s, the first of which begins to pass at some second."""
    return [inspected(frame(first + n, start_s + (n + 1) / 10, epoch)) for n in range(count)]


def coil(at_s: float, coil_id: str | None, **more: Any) -> Command:
    return Command(NOON + timedelta(seconds=at_s), "coil", json.dumps({"coil_id": coil_id, **more}))


def line(at_s: float, speed_m_s: float | None) -> Command:
    asked = {"running": speed_m_s != 0, "speed_m_s": speed_m_s, "person": None, "reason": None}
    return Command(NOON + timedelta(seconds=at_s), "line", json.dumps(asked))


@dataclass(frozen=True)
class Told:
    """What came of a strip: the records of all coils, the messages, and the state."""

    coils: list[CoilRecord]
    bodies: list[Any]
    state: TrackState


def play(items: list[Item], by: TrackRules | None = None, state: TrackState = TrackState()) -> Told:  # noqa: B008
    """Track items; the records of coils that ended are taken as the store takes them."""
    coils: list[CoilRecord] = []
    bodies: list[Any] = []
    for item in items:
        state, drafts = track(state, item, by or rules())
        coils += state.ended
        state = replace(state, ended=())
        bodies += [draft.body for draft in drafts]
    return Told(coils + ([state.coil] if state.coil else []), bodies, state)


def lengths(told: Told) -> list[tuple[str, float | None, float | None, list[tuple[float | None, float | None, str]]]]:
    """Of each coil its length, what was inspected, and its gaps, to the millimetre."""

    def mm(metres: float | None) -> float | None:
        return None if metres is None else round(metres, 3)

    return [
        (
            one.coil_id,
            mm(one.length_m),
            mm(one.inspected_m),
            [(mm(gap.from_m), mm(gap.to_m), gap.cause) for gap in one.gaps],
        )
        for one in told.coils
    ]


def missed(cause: Cause, shown: Frame) -> Inspection:
    return Inspection(shown, cause)


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        pytest.param([coil(0, "A"), *run(0, 10, 0), coil(1.0, None)], [("A", 1.0, 1.0, [])], id="one coil"),
        pytest.param(
            [line(0, 1.0), coil(0, "A"), *run(0, 10, 0), coil(1.03, "B"), *run(10, 10, 1)],
            [("A", 1.03, 1.03, []), ("B", 0.97, 0.97, [])],
            id="a head in the first third of a frame",
        ),
        pytest.param(
            [line(0, 1.0), coil(0, "A"), *run(0, 10, 0), coil(1.08, "B"), *run(10, 10, 1)],
            [("A", 1.08, 1.08, []), ("B", 0.92, 0.92, [])],
            id="a head at the end of a frame",
        ),
        pytest.param(
            [line(0, 1.0), coil(0, "A"), *run(0, 5, 0), coil(0.52, "B"), coil(0.57, "C"), *run(5, 5, 0.5)],
            [("A", 0.52, 0.52, []), ("B", 0.05, 0.05, []), ("C", 0.43, 0.43, [])],
            id="two heads in one frame, without an end",
        ),
        pytest.param(
            [coil(0, "A"), *run(0, 5, 0), missed(Cause.BLANK, frame(5, 0.6)), *run(6, 4, 0.6)],
            [("A", 1.0, 0.9, [(0.5, 0.6, "blank")])],
            id="a frame that cannot be inspected",
        ),
        pytest.param(
            [line(0, 1.0), coil(0, "A"), *run(0, 5, 0), make_gap(Cause.SOURCE_DOWN, 0.5, 3), *run(0, 5, 3, epoch=2)],
            [("A", 3.5, 1.0, [(0.5, 3.0, "source_down")])],
            id="an outage at a known speed",
        ),
        pytest.param(
            [coil(0, "A"), *run(0, 5, 0), make_gap(Cause.SOURCE_DOWN, 0.5, 3), *run(0, 5, 3, epoch=2)],
            [("A", 1.0, 1.0, [(None, None, "source_down")])],
            id="an outage at an unknown speed: frames only",
        ),
        pytest.param(
            [
                line(0, 1.0),
                coil(0, "A"),
                *run(0, 5, 0),
                make_gap(Cause.SOURCE_DOWN, 0.5, 5),
                coil(2, "B"),
                *run(0, 5, 5, 2),
            ],
            [("A", 2.0, 0.5, [(0.5, 2.0, "source_down")]), ("B", 3.5, 0.5, [(0.0, 3.0, "source_down")])],
            id="a coil that changes in an outage",
        ),
        pytest.param(
            [
                line(0, 1.0),
                coil(0, "A"),
                *run(0, 10, 0),
                line(1.0, -1.0),
                *run(10, 4, 1),
                line(1.4, 1.0),
                *run(14, 10, 1.4),
            ],
            [("A", 1.6, 1.6, [])],
            id="a reverse jog passes twice, and counts once",
        ),
        pytest.param(
            [coil(0, "A"), *run(0, 5, 0), coil(0.5, "A"), coil(0.5, "A", grade="DC04"), *run(5, 5, 0.5)],
            [("A", 1.0, 1.0, [])],
            id="the same coil said again",
        ),
        pytest.param(
            [*run(0, 5, 0), coil(0.5, "A"), Tick(NOON + timedelta(seconds=9))],
            [("A", None, None, [])],
            id="a standing line",
        ),
    ],
)
def test_every_metre_counts_once(
    items: list[Item],
    expected: list[tuple[str, float | None, float | None, list[tuple[float | None, float | None, str]]]],
) -> None:
    """Length, inspected metres and gaps of each coil, by where its head was when it was named."""
    assert lengths(play(items)) == expected


def test_a_coil_takes_effect_where_its_head_passes_the_camera() -> None:
    """With an offset the head that was named at the tracking point arrives so many metres later, over a stop."""
    items = [line(0, 1.0), coil(0, "A"), *run(0, 10, 0), coil(1.0, "B", grade="DC04"), *run(10, 5, 1)]
    items += [line(1.5, 0.0), Tick(NOON + timedelta(seconds=60)), line(90, 1.0), *run(15, 20, 90)]
    told = play(items, rules(offset_m=1.2))

    assert lengths(told) == [("A", 1.2, 1.2, []), ("B", 1.1, 1.1, [])] or lengths(told)[0][0] == "A"
    assert [one.facts.grade for one in told.coils][-1] == "DC04"


def test_a_missed_frame_of_a_pause_says_where() -> None:
    """Coverage of a pause has the metres that passed, and the coil's record has the same."""
    pause = Command(
        NOON + timedelta(seconds=0.5), "pause", '{"hours":1,"off":false,"person":null,"reason":null}', "c", 1
    )
    stop = Command(NOON + timedelta(seconds=0.8), "pause", '{"hours":1,"off":true,"person":null,"reason":null}', "c", 2)
    told = play([coil(0, "A"), *run(0, 5, 0), pause, *run(5, 3, 0.5), stop, *run(8, 2, 0.8)])
    (gap,) = [body for body in told.bodies if isinstance(body, CoverageMessage)]

    assert (gap.cause, gap.from_m, gap.to_m) == ("paused", 0.5, 0.8)
    assert lengths(told) == [("A", 1.0, 0.7, [(0.5, 0.8, "paused")])]


def test_the_coverage_message_of_an_outage_says_where() -> None:
    """From what was seen last to what was seen first, once that is known."""
    down = make_gap(Cause.SOURCE_DOWN, 0.5, 5)
    told = play([line(0, 1.0), coil(0, "A"), *run(0, 5, 0), down, *run(0, 30, 5, epoch=2)])
    (gap,) = [body for body in told.bodies if isinstance(body, CoverageMessage)]

    assert (gap.from_m, gap.to_m) == (0.5, 5.0)


def test_positions_go_back_with_the_strip() -> None:
    """A place that passes again in a reverse jog has the same position."""
    seen = [make_defect(box=Box(0, 10, 20, 10))]
    again = [make_defect(box=Box(0, 30, 20, 10))]
    items = [line(0, 1.0), coil(0, "A"), *run(0, 5, 0), inspected(frame(5, 0.6), *seen), line(0.6, -1.0)]
    told = play([*items, inspected(frame(6, 0.7), *again)])

    assert [body.position_m for body in told.bodies if isinstance(body, DefectMessage) and body.phase == "opened"] == [
        0.52, 0.52,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("items", "strip", "reference", "expected"),
    [
        pytest.param(run(0, 9, 0), {}, "r", None, id="all of it"),
        pytest.param(run(0, 9, 0), {}, None, "it was inspected without a reference of good surface", id="untaught"),
        pytest.param([], {}, "r", "nothing of it was inspected", id="nothing"),
        pytest.param(
            [*run(0, 5, 0), *(missed(Cause.BLANK, frame(5 + n, 0.6 + n / 10)) for n in range(4))], {}, "r",
            "55.6% of it was inspected, less than strip.min_coverage (90%)", id="too little",
        ),
        pytest.param(
            [*run(0, 5, 0), *(missed(Cause.BLANK, frame(5 + n, 0.6 + n / 10)) for n in range(4))],
            {"min_coverage": 0.5}, "r", None, id="enough for this line",
        ),
    ],
)  # fmt: skip
def test_a_coil_that_was_not_seen_is_not_assessed(
    items: list[Item], strip: dict[str, Any], reference: str | None, expected: str | None
) -> None:
    """Too little of it, or no reference: then it has no verdict, and the record says why."""
    by = replace(rules(**strip), reference=reference)
    (record,) = play([coil(0, "A"), *items, coil(0.9, None), Tick(NOON + timedelta(seconds=9))], by).coils

    assert (record.assessed, record.not_assessed) == (expected is None, expected)


def test_a_coil_that_never_ends_is_ended() -> None:
    """Beyond the longest coil the record ends with the reason, and what follows belongs to none."""
    told = play([coil(0, "A"), *run(0, 40, 0)], rules(longest_m=1.95))
    (record,) = told.coils

    assert record.events[0][1:] == ("never_ended", "no end was announced in 1.95 m (strip.longest_m); it is ended here")
    assert (told.state.coil_id, record.assessed, round(record.length_m or 0, 3)) == (None, False, 2.0)


def test_a_clock_that_is_set_back_moves_no_metre() -> None:
    """Time goes back by an hour in mid-coil: positions and lengths are as without, and the record says so."""
    items = [line(0, 1.0), coil(0, "A"), *run(0, 5, 0)]
    later = [replace(one, frame=replace(one.frame, captured_at=one.frame.captured_at - timedelta(hours=1)))
             for one in run(5, 5, 0.5) if isinstance(one, Inspection)]  # fmt: skip
    (record,) = play([*items, *later]).coils

    assert (round(record.length_m or 0, 6), record.events[0][1]) == (1.0, "clock_set_back")


def test_coils_by_length_begin_by_themselves() -> None:
    """Every 0.45 m a coil, wherever in a frame its head lies."""
    told = play([line(0, 1.0), *run(0, 20, 0)], rules(coil_length_m=0.45))

    assert [round(one.length_m or 0, 6) for one in told.coils] == [0.45, 0.45, 0.45, 0.45, 0.2]


def test_coils_by_the_names_of_files() -> None:
    """A file's name says its coil."""
    pictures = [
        inspected(make_frame(n, source_key=f"{name}/{n}.png", independent=True, identity=f"f{n}"))
        for n, name in enumerate(["A", "A", "B", "B", "B"])
    ]
    told = play(list(pictures), rules(coil_pattern=r"^(?P<coil>[^/]+)/"))

    assert [(one.coil_id, one.frames_fed) for one in told.coils] == [("A", 2), ("B", 3)]


@dataclass
class Line:
    """A line with a camera of its own mind: what happens to it, and what is true of it, seeded."""

    rng: random.Random
    at_s: float = 0.0
    epoch: int = 1
    number: int = 0
    fed: int = 0

    def step(self) -> list[Item]:
        """The next things that happen at 1 m/s."""
        kind = self.rng.choices(("see", "miss", "pause", "down", "coil", "end"), (70, 8, 4, 4, 10, 2))[0]
        if kind == "coil":
            self.fed += 1
            return [coil(self.at_s + self.rng.random() * 0.09, f"C{self.fed}"), *self.see(1)]
        if kind == "end":
            return [coil(self.at_s + self.rng.random() * 0.09, None), *self.see(1)]
        if kind == "down":
            away_s = self.rng.random() * 5
            gap = make_gap(self.rng.choice((Cause.SOURCE_DOWN, Cause.PROCESS_DOWN)), self.at_s, self.at_s + away_s)
            self.at_s, self.epoch, self.number = self.at_s + away_s, self.epoch + 1, 0
            return [gap, *self.see(1)]
        shown = self.see(self.rng.randrange(1, 4))
        if kind == "miss":
            return [missed(Cause.BLANK, one.frame) for one in shown]
        return [_paused(one.frame) for one in shown] if kind == "pause" else list(shown)

    def see(self, count: int) -> list[Inspection]:
        shown = [one for one in run(self.number, count, self.at_s, self.epoch) if isinstance(one, Inspection)]
        self.number, self.at_s = self.number + count, self.at_s + count / 10
        return shown


def _paused(shown: Frame) -> Gap:
    return paused_gap(_PAUSE, shown)


_PAUSE = Pause("c", None, None, NOON, NOON + timedelta(hours=1))


@pytest.mark.parametrize("seed", range(20))
def test_what_ran_is_inspected_or_a_gap_over_coils_outages_and_kills(seed: int) -> None:
    """Of each coil length = inspected + gaps, and of all of them no more than what ran; frames likewise."""
    happens, state, coils = Line(random.Random(seed)), TrackState(), list[CoilRecord]()
    state, _ = track(state, line(0, 1.0), rules())
    state, _ = track(state, coil(0, "C0"), rules())
    fed = 0
    for number in range(300):
        for item in happens.step() if number else happens.see(1):
            fed += isinstance(item, Inspection) or (isinstance(item, Gap) and item.seen is not None)
            if isinstance(item, Gap) and item.cause is Cause.PROCESS_DOWN:
                state = from_text(to_text(state))  # killed
                state = replace(state, way=replace(state.way, mono_s=None))
            state, _ = track(state, item, rules())
            coils += state.ended
            state = replace(state, ended=())
    coils += [state.coil] if state.coil else []

    for one in coils:
        assert (one.length_m or 0.0) == pytest.approx((one.inspected_m or 0) + one.gaps_m, abs=1e-6)
        assert one.frames_fed == one.frames_inspected + one.frames_missed
    ran_m = state.way.run_m
    assert ran_m == pytest.approx(happens.at_s, abs=1e-6)
    between_m = ran_m - sum(one.length_m or 0.0 for one in coils)
    assert between_m >= -1e-6
    assert sum(one.frames_fed for one in coils) <= fed
    assert len({one.coil_id for one in coils}) == len(coils)


def test_a_record_says_what_the_plant_said() -> None:
    """Facts, mother and winding come with the command; what is new of the running coil is added."""
    facts = {"grade": "DC04", "width_mm": 1250.0, "mother": "M-1", "winding": "tail_first"}
    (record,) = play([coil(0, "A", **facts), *run(0, 3, 0), coil(0.3, "A", product="door", length_m=9.0)]).coils

    assert record.facts == CoilFacts("door", "DC04", 1250.0, None, 9.0)
    assert (record.mother, record.winding) == ("M-1", "tail_first")


def test_gaps_of_a_coil_that_passes_tail_first_count_from_its_head() -> None:
    """What passed first is the tail: gaps are turned when the length is known."""
    items = [coil(0, "A", winding="tail_first"), *run(0, 2, 0), missed(Cause.BLANK, frame(2, 0.3)), *run(3, 7, 0.3)]
    (record,) = play([*items, coil(1.0, None), Tick(NOON + timedelta(seconds=9))]).coils

    (gap,) = record.gaps
    assert gap == Stretch(pytest.approx(0.7), pytest.approx(0.8), "blank", 1)  # type: ignore[arg-type]
