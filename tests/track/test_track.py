"""`inspector.track`: one event per real defect, every stretch that nobody saw, and a reason on each alarm."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

import pytest
from fakes import LABELS, NOON, STAMP, inspected, make_defect, make_frame, make_gap, still, track_all, track_rules
from hypothesis import given
from hypothesis import strategies as st

from inspector.box import Box
from inspector.frame import Cause, Gap
from inspector.inspection.merge import Defect
from inspector.inspection.one_frame import Inspection
from inspector.items import Tick
from inspector.messages import AlarmMessage, CoverageMessage, DefectMessage, FrameMessage
from inspector.track.state import TrackState
from inspector.track.track import Item, track


def strip(number: int, *defects: Defect, lines: int = 400, overlap: int = 100, **changes: Any) -> Inspection:
    """Frame `number` of a line stream: 400 lines, the first 100 of which the frame before showed already."""
    frame = make_frame(number, first_line=number * (lines - overlap), overlap_lines=overlap, **changes)
    return inspected(frame, *defects)


def camera(number: int, *defects: Defect, **changes: Any) -> Inspection:
    return inspected(make_frame(number, **changes), *defects)


def seconds(value: float) -> datetime:
    return NOON + timedelta(seconds=value)


def only(kind: type, bodies: list[Any]) -> list[Any]:
    return [body for body in bodies if isinstance(body, kind)]


def phases(bodies: list[Any]) -> list[tuple[str, str]]:
    """Phase and number of the defect, in order of first appearance."""
    numbers: dict[str, int] = {}
    return [
        (body.phase, f"d{numbers.setdefault(body.defect_id, len(numbers))}") for body in only(DefectMessage, bodies)
    ]


# --- Stills -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "verdict", "label"),
    [
        pytest.param((), "pass", None, id="clean"),
        pytest.param(("crack",), "fail", "crack", id="one defect"),
        pytest.param(("crack", "hole", "hole"), "fail", "crack", id="three defects"),
    ],
)
def test_a_still_gives_one_frame_message_and_one_closed_message_per_defect(
    labels: tuple[str, ...], verdict: str, label: str | None
) -> None:
    """Each defect of a still is one message, closed; the frame message comes last, once, with all their ids."""
    _, bodies = track_all([still(0, *labels)])
    defects, (frame,) = only(DefectMessage, bodies), only(FrameMessage, bodies)

    assert ["closed"] * len(labels) == [body.phase for body in defects]
    assert " ".join(body.defect_id for body in defects) == frame.defect_ids
    assert len(labels) == frame.defects == len(set(frame.defect_ids.split()))
    assert (verdict, label, None) == (frame.verdict, frame.label, frame.reason)
    assert frame is bodies[-1]


def test_stills_share_nothing() -> None:
    """The same defect at the same place in two stills is two defects."""
    _, bodies = track_all([still(0, "crack"), still(1, "crack")])

    assert phases(bodies) == [("closed", "d0"), ("closed", "d1")]


@pytest.mark.parametrize(
    "item",
    [
        pytest.param(
            inspected(make_frame(3, independent=True, source_key="3.jpg"), cause=Cause.BLANK), id="a blank picture"
        ),
        pytest.param(
            make_gap(Cause.BLANK, identity="frame-3", frame_id=3, source_key="3.jpg"), id="a file that cannot be read"
        ),
    ],
)
def test_a_still_that_was_not_inspected_says_so(item: Inspection | Gap) -> None:
    """A still that shows nothing, or cannot be read, gives exactly one frame message, with the cause."""
    _, bodies = track_all([item])
    (frame,) = bodies

    assert (
        frame.verdict, frame.reason, frame.frame.frame_id, frame.frame.source_key,
    ) == ("not_inspected", "blank", 3, "3.jpg")  # fmt: skip


@pytest.mark.parametrize(
    ("item", "cause"),
    [
        pytest.param(
            make_gap(Cause.UNREADABLE, 86400, identity="frame-0", frame_id=0, source_key="0.jpg", file_stamp=STAMP),
            "unreadable", id="a file that cannot be read",
        ),
        pytest.param(
            inspected(make_frame(independent=True, source_key="0.jpg", file_stamp=STAMP), cause=Cause.BLANK), "blank",
            id="a blank still",
        ),
        pytest.param(
            inspected(make_frame(source_key="0.jpg", file_stamp=STAMP), cause=Cause.BLANK), "blank",
            id="a blank picture of a moving strip",
        ),
    ],
)  # fmt: skip
def test_a_missed_file_is_coverage_at_once(item: Inspection | Gap, cause: str) -> None:
    """Without frame messages each missed file is a gap of its own that leaves with its done-mark, whatever its time."""
    state, bodies = track_all([item, item], track_rules(frame_messages=False))

    assert [(body.cause, body.frames, body.source_key) for body in bodies] == [(cause, 1, "0.jpg")] * 2
    assert state.gaps == ()


# --- Streams ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        pytest.param(
            [strip(0, make_defect(box=Box(0, 300, 90, 100))), strip(1, make_defect(box=Box(0, 0, 90, 100))), strip(2)],
            [("opened", "d0"), ("closed", "d0")], id="seen twice in the overlap",
        ),
        pytest.param(
            [strip(0, make_defect(box=Box(0, 200, 90, 100))), strip(1, make_defect(box=Box(0, 0, 90, 100))), strip(2)],
            [("opened", "d0"), ("updated", "d0"), ("closed", "d0")], id="across the seam, twice as long",
        ),
        pytest.param(
            [strip(n, make_defect(box=Box(0, 0, 100, 400))) for n in range(6)] + [strip(6)],
            [("opened", "d0"), ("updated", "d0"), ("closed", "d0")], id="a scratch of six frames",
        ),
        pytest.param(
            [strip(0, make_defect(box=Box(0, 300, 90, 100))), strip(1, make_defect(box=Box(300, 0, 90, 90))), strip(2)],
            [("opened", "d0"), ("opened", "d1"), ("closed", "d0"), ("closed", "d1")], id="side by side are two",
        ),
        pytest.param(
            [strip(0, make_defect(box=Box(0, 0, 90, 100))), strip(1, make_defect(box=Box(0, 300, 90, 100))), strip(2)],
            [("opened", "d0"), ("opened", "d1"), ("closed", "d0"), ("closed", "d1")], id="one after the other are two",
        ),
        pytest.param(
            [strip(0, make_defect(box=Box(0, 300, 100, 100))),
             strip(1, make_defect("rust", Box(0, 0, 100, 100))), strip(2)],
            [("opened", "d0"), ("closed", "d0")], id="the label of the same place may change",
        ),
        pytest.param(
            [strip(0, make_defect(box=Box(0, 250, 100, 100))),
             strip(1, make_defect("rust", Box(0, 50, 100, 100))), strip(2)],
            [("opened", "d0"), ("opened", "d1"), ("closed", "d0"), ("closed", "d1")],
            id="another label next to it is another",
        ),
        pytest.param(
            [strip(0, make_defect(box=Box(0, 200, 300, 200))),
             strip(1, make_defect(box=Box(0, 0, 100, 100)), make_defect(box=Box(200, 0, 100, 100))), strip(2)],
            [("opened", "d0"), ("closed", "d0")], id="two ends of a known one are still that one",
        ),
        pytest.param(
            [strip(0, make_defect(box=Box(0, 300, 100, 100))), make_gap(Cause.SOURCE_DOWN, 0.1, 5)],
            [("opened", "d0"), ("closed", "d0")], id="an outage closes",
        ),
        pytest.param(
            [strip(0, make_defect(box=Box(0, 300, 100, 100))), make_gap(Cause.PROCESS_DOWN, 0.1, 5)],
            [("opened", "d0"), ("closed", "d0")], id="so does the time of a dead process",
        ),
        pytest.param(
            [strip(0, make_defect(box=Box(0, 300, 100, 100))), make_gap(Cause.DROPPED, 0.1, 5)],
            [("opened", "d0")], id="a dropped frame does not",
        ),
        pytest.param(
            [camera(0, make_defect(score=0.8)), camera(1, make_defect(score=0.89))],
            [("opened", "d0")], id="a little surer is no news",
        ),
        pytest.param(
            [camera(0, make_defect(score=0.8)), camera(1, make_defect(score=0.91))],
            [("opened", "d0"), ("updated", "d0")], id="surer by a tenth is told",
        ),
        pytest.param(
            [strip(0, make_defect(box=Box(0, 300, 100, 100))), Tick(seconds(1), final=True)],
            [("opened", "d0"), ("closed", "d0")], id="the end closes",
        ),
        pytest.param(
            [strip(0, make_defect(box=Box(0, 300, 100, 100))), Tick(seconds(1)), strip(1)],
            [("opened", "d0"), ("closed", "d0")], id="time alone does not",
        ),
        pytest.param(
            [strip(0, make_defect(box=Box(0, 0, 100, 100))),
             strip(0, make_defect(box=Box(0, 0, 100, 100)), epoch=2, identity="another")],
            [("opened", "d0"), ("closed", "d0"), ("opened", "d1")], id="lines of another epoch are others",
        ),
        pytest.param(
            [camera(0, make_defect()), camera(1), camera(2), camera(3, make_defect()), camera(4), camera(5), camera(6)],
            [("opened", "d0"), ("closed", "d0")], id="a camera may miss it twice",
        ),
        pytest.param(
            [camera(0, make_defect()), camera(1), camera(2), camera(3), camera(4, make_defect())],
            [("opened", "d0"), ("closed", "d0"), ("opened", "d1")], id="not three times",
        ),
    ],
)  # fmt: skip
def test_one_event_per_real_defect(items: list[Any], expected: list[tuple[str, str]]) -> None:
    """What neighbouring frames show of one defect is one defect_id, from opened to closed."""
    _, bodies = track_all(items)

    assert expected == phases(bodies)
    assert only(FrameMessage, bodies) == []


def test_the_closed_message_tells_the_whole_defect() -> None:
    """Closed, a defect has all its lines and tiles, each frame once, and the class that most of it shows."""
    items = [
        strip(0, make_defect(box=Box(50, 200, 100, 200), score=0.85)),
        strip(1, make_defect("rust", box=Box(50, 0, 100, 200), score=0.97), make_defect(box=Box(100, 0, 100, 100))),
        strip(2),
    ]
    _, bodies = track_all(items, track_rules(mm_per_px=0.5, scale_source="card"))
    closed = only(DefectMessage, bodies)[-1]

    assert (closed.phase, closed.tiles, closed.frames) == ("closed", 3, 2)
    assert (
        closed.line, closed.lines, closed.position_m, closed.length_mm, closed.across_mm, closed.width_mm,
    ) == (200, 300, 0.1, 150.0, 25.0, 75.0)  # fmt: skip
    assert (closed.label, closed.score, closed.severity) == ("crack", 0.9, "critical")
    assert (
        closed.why.key, closed.why.threshold, closed.why.score, closed.why.margin,
    ) == ("decision.thresholds.crack", 0.8, 0.9, 0.1)  # fmt: skip


def piece(label: str, y: int, height: int, **changes: Any) -> Defect:
    """A defect that shows in a part of a column of tiles of 200 px."""
    return make_defect(label, Box(50, y, 60, height), tiles_box=Box(0, y // 200 * 200, 200, 200), **changes)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        pytest.param(("rust", 240, 60), ("crack", 0, 30), 1, id="a sliver at the top of the next frame"),
        pytest.param(("rust", 320, 80), ("crack", 100, 60), 1, id="cut by the end of the frame"),
        pytest.param(("rust", 310, 60), ("crack", 30, 60), 1, id="on one place"),
        pytest.param(("rust", 240, 50), ("crack", 40, 60), 2, id="apart, and not at an edge"),
        pytest.param(("rust", 220, 30), ("crack", 0, 60), 2, id="at the edge, and apart"),
    ],
)
def test_what_goes_on_in_the_next_frame_is_one_event(
    first: tuple[str, int, int], second: tuple[str, int, int], expected: int
) -> None:
    """What a frame's edge cuts goes on in the next one under whatever name; what lies apart is another defect."""
    _, bodies = track_all([strip(0, piece(*first)), strip(1, piece(*second)), strip(2)])

    assert expected == len({body.defect_id for body in only(DefectMessage, bodies)})


def test_all_pieces_decide_on_the_class() -> None:
    """A rim that comes first names a defect until most of it is seen; the last message has the class of most of it."""
    items = [strip(0, piece("rust", 370, 30, score=0.99)), strip(1, piece("crack", 70, 130, score=0.85)), strip(2)]
    _, bodies = track_all(items)
    told = only(DefectMessage, bodies)

    assert [(one.phase, one.label) for one in told] == [("opened", "rust"), ("updated", "crack"), ("closed", "crack")]
    assert (told[-1].severity, told[-1].score) == ("critical", 0.85)


def test_a_closed_box_is_as_wide_as_all_its_pieces() -> None:
    """On a line the last message's box reaches across from the first piece to the last."""
    items = [
        strip(0, make_defect(box=Box(50, 200, 100, 200))),
        strip(1, make_defect(box=Box(150, 0, 80, 120))),
        strip(2),
    ]
    _, bodies = track_all(items)
    closed = only(DefectMessage, bodies)[-1]

    assert (closed.box_px.x, closed.box_px.width, closed.line, closed.lines) == (50, 180, 200, 220)


def test_tiles_join_frames_and_boxes_are_told() -> None:
    """A thin scratch over the seam: its boxes do not touch, its tiles do, so it is one, as long as what shows of it."""
    tile = Box(0, 300, 100, 100)
    items = [
        strip(0, make_defect(box=Box(40, 320, 10, 50), tiles_box=tile)),
        strip(1, make_defect(box=Box(42, 130, 10, 20), tiles_box=Box(0, 100, 100, 100))),
        strip(2),
    ]
    _, bodies = track_all(items, track_rules(mm_per_px=0.5))
    opened, updated, closed = only(DefectMessage, bodies)

    assert (opened.box_px.x, opened.box_px.width, opened.line, opened.lines) == (40, 10, 320, 50)
    assert (updated.box_px.y, updated.line, updated.lines) == (130, 320, 130)
    assert (closed.phase, closed.line, closed.lines, closed.width_mm, closed.length_mm) == ("closed", 320, 130, 6, 65)


@pytest.mark.parametrize("item", [still(0), strip(0)])
def test_evidence_marks_the_box_and_shows_the_tiles(item: Inspection) -> None:
    """What surrounds a small defect is in its picture."""
    box, tile = Box(40, 20, 10, 5), Box(0, 0, 100, 100)
    _, drafts = track(TrackState(), inspected(item.frame, make_defect(box=box, tiles_box=tile)), track_rules())
    (picture,) = [draft.picture for draft in drafts if draft.picture is not None]

    assert (picture.box, picture.around) == (box, tile)


def test_every_message_shows_the_score_that_its_reason_names() -> None:
    """In every phase `why` speaks of the score and label that the message carries."""
    scores = (0.81, 0.95, 0.83, 0.99)
    items = [strip(n, make_defect(box=Box(0, 0, 100, 400), score=score)) for n, score in enumerate(scores)]
    _, bodies = track_all([*items, Tick(seconds(9), final=True)])

    assert len(only(DefectMessage, bodies)) > 2
    for body in only(DefectMessage, bodies):
        assert (body.score, round(body.score - 0.8, 4)) == (body.why.score, body.why.margin)


spans = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 1800), st.integers(20, 700)), min_size=1, max_size=4,
    unique_by=lambda span: span[0],
)  # fmt: skip


@given(spans)
def test_a_strip_of_defects_gives_each_once(defects: list[tuple[int, int, int]]) -> None:
    """Defects of any length anywhere on a strip, in columns of their own: each opened and closed once, whole."""
    items: list[Any] = []
    for number in range(9):
        first, found = number * 300, []
        for column, start, length in defects:
            top, bottom = max(start, first), min(start + length, first + 400)
            if bottom > top:
                found.append(make_defect(box=Box(column * 200, top - first, 100, bottom - top)))
        items.append(strip(number, *found))
    state, bodies = track_all([*items, Tick(seconds(99), final=True)])
    told = only(DefectMessage, bodies)
    closed = [body for body in told if body.phase == "closed"]

    assert state.open == ()
    assert Counter(body.defect_id for body in told if body.phase == "opened") == Counter(b.defect_id for b in closed)
    assert sorted((c * 200, start, length) for c, start, length in defects) == sorted(
        (body.box_px.x, body.line, body.lines) for body in closed
    )


def test_ids_are_the_same_in_every_run() -> None:
    """The same items give the same messages to the last byte, and every id is another."""
    items: list[Item] = [strip(n, make_defect(box=Box(0, 0, 100, 400), score=0.8 + n / 100)) for n in range(5)]
    items += [strip(5), make_gap(Cause.DROPPED, 3, frames=2), Tick(seconds(60), final=True)]
    one, two = (track_all([*items, still(9, "hole", "hole")])[1] for _ in range(2))

    assert one == two
    assert len(one) == len({body.id for body in one})


def test_frame_messages_on_a_stream_are_a_choice() -> None:
    """On a stream frames are told only when asked for, each with the defects that it shows."""
    items = [strip(0, make_defect(box=Box(0, 300, 100, 100))), strip(1, make_defect(box=Box(0, 0, 100, 100)))]
    _, bodies = track_all(items, track_rules(frame_messages=True))
    frames, defects = only(FrameMessage, bodies), only(DefectMessage, bodies)

    assert [("fail", defects[0].defect_id)] * 2 == [(frame.verdict, frame.defect_ids) for frame in frames]


# --- Gaps ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        pytest.param([make_gap(), Tick(seconds(1))], [], id="a gap may grow for a while"),
        pytest.param([make_gap(frames=1), Tick(seconds(3))], [("dropped", 0, 0, 1)], id="then it is told"),
        pytest.param(
            [make_gap(frames=1), make_gap(since_s=1, frames=2), make_gap(since_s=2.5, frames=4), Tick(seconds(5))],
            [("dropped", 0, 2.5, 7)], id="close ones are one",
        ),
        pytest.param(
            [make_gap(since_s=1, frames=1), make_gap(since_s=0.5, until_s=0.7, frames=2), Tick(seconds(5))],
            [("dropped", 0.5, 1, 3)], id="one that began before the one before it",
        ),
        pytest.param(
            [make_gap(frames=1), make_gap(since_s=2.1, frames=1), Tick(seconds(5))],
            [("dropped", 0, 0, 1), ("dropped", 2.1, 2.1, 1)], id="distant ones are two",
        ),
        pytest.param(
            [make_gap(frames=1), make_gap(Cause.UNREADABLE, 0.5, frames=1), make_gap(since_s=1, frames=1),
             Tick(seconds(5))],
            [("dropped", 0, 1, 2), ("unreadable", 0.5, 0.5, 1)], id="causes stay apart",
        ),
        pytest.param(
            [make_gap(frames=1), make_gap(since_s=1, frames=1, epoch=2), Tick(seconds(5))],
            [("dropped", 0, 0, 1), ("dropped", 1, 1, 1)], id="epochs stay apart",
        ),
        pytest.param(
            [make_gap(since_s=step, frames=1) for step in range(13)],
            [("dropped", 0, 10, 11)], id="a long overload is told while it lasts",
        ),
        pytest.param([make_gap(), Tick(seconds(0.1), final=True)], [("dropped", 0, 0, 0)], id="the end tells all"),
        pytest.param([make_gap(frames=1), camera(50)], [("dropped", 0, 0, 1)], id="a later frame tells it"),
        pytest.param(
            [make_gap(since_s=3600, frames=1), Tick(seconds(0))], [("dropped", 3600, 3600, 1)],
            id="a clock set back holds nothing",
        ),
        pytest.param(
            [make_gap(since_s=3600, frames=1), make_gap(frames=2), Tick(seconds(3))],
            [("dropped", 3600, 3600, 1), ("dropped", 0, 0, 2)], id="a clock set back joins nothing",
        ),
        pytest.param(
            [inspected(make_frame(n), cause=Cause.BLANK) for n in range(3)] + [Tick(seconds(9))],
            [("blank", 0, 0.2, 3)], id="blank frames of a stream are a gap",
        ),
    ],
)  # fmt: skip
def test_gaps_are_merged_and_told(items: list[Any], expected: list[tuple[str, float, float, int]]) -> None:
    """Gaps of one cause that lie close together are one message, and no missing frame is left out."""
    _, bodies = track_all(items)
    told = [
        (body.cause, body.from_, body.to, body.frames) for body in only(CoverageMessage, bodies)
    ]  # fmt: skip

    def text(value: float) -> str:
        return seconds(value).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    assert [(cause, text(since), text(until), frames) for cause, since, until, frames in expected] == told


gaps = st.lists(
    st.tuples(st.sampled_from([Cause.DROPPED, Cause.PARTIAL]), st.integers(0, 40), st.integers(1, 5)), max_size=30
)


@given(gaps)
def test_no_missing_frame_is_forgotten(drawn: list[tuple[Cause, int, int]]) -> None:
    """Whatever gaps come one after the other, the frames that coverage messages count are all that were missing."""
    items: list[Any] = [
        make_gap(cause, since, frames=frames) for cause, since, frames in sorted(drawn, key=itemgetter(1))
    ]
    _, bodies = track_all([*items, Tick(seconds(99), final=True)])
    missing, told = Counter[str](), Counter[str]()
    for cause, _, frames in drawn:
        missing[cause.value] += frames
    for body in bodies:
        told[body.cause] += body.frames

    assert missing == told
    assert len(bodies) == len({body.id for body in bodies})


# --- Alarms -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "label", "rule", "key", "alarms"),
    [
        pytest.param({}, "crack", "threshold", "decision.thresholds.crack", 1, id="alarm"),
        pytest.param({"mode": "observe"}, "crack", "mode", "decision.mode", 0, id="observe mode"),
        pytest.param(
            {"alarm_min_severity": "major"}, "rust", "severity", "events.alarm_min_severity", 0, id="too harmless"
        ),
        pytest.param(
            {"alarm_min_severity": "major"}, "hole", "threshold", "decision.thresholds.hole", 1, id="severe enough"
        ),
        pytest.param(
            {"alarm_hits": 2, "alarm_window": 3}, "crack", "n_of_m", "events.alarm_hits", 0, id="the first of two hits"
        ),
        pytest.param({"alarm_limit": 0}, "crack", "limit", "events.alarm_limit", 0, id="too many already"),
    ],
)
def test_why(rules: dict[str, Any], label: str, rule: str, key: str, alarms: int) -> None:
    """Every defect says whether it raised an alarm, by which rule, and which key would change that."""
    _, bodies = track_all([still(0, label)], track_rules(**rules))
    (defect,) = only(DefectMessage, bodies)

    assert (rule, key, bool(alarms)) == (defect.why.rule, defect.why.key, defect.alarm)
    assert (defect.why.threshold, defect.why.score, defect.why.margin) == (0.8, 0.9, 0.1)
    assert alarms == sum(body.kind == "defect" for body in only(AlarmMessage, bodies))


@pytest.mark.parametrize(
    ("frames", "alarms"),
    [
        pytest.param("ccc", [2], id="the third in a row"),
        pytest.param("c.c.c", [4], id="three of five"),
        pytest.param("c..c..c", [], id="too far apart"),
        pytest.param("crcrc", [4], id="labels count for themselves"),
        pytest.param("ccccc", [2, 3, 4], id="and every one after"),
    ],
)
def test_n_of_m_on_stills(frames: str, alarms: list[int]) -> None:
    """With 3 of 5, a label must be found in three of the last five frames before it asks for a person."""
    labels = {"c": ["crack"], "r": ["rust"], ".": []}
    items = [still(number, *labels[sign]) for number, sign in enumerate(frames)]
    state, raised = TrackState(), list[int]()
    for number, item in enumerate(items):
        state, drafts = track(state, item, track_rules(alarm_hits=3, alarm_window=5))
        raised += [number for draft in drafts if isinstance(draft.body, AlarmMessage)]

    assert alarms == raised


def test_n_of_m_on_a_stream_alarms_once_when_it_is_reached() -> None:
    """A defect that stays is judged again with each frame: one alarm, told with an update that says so."""
    items = [camera(n, make_defect()) for n in range(6)]
    _, bodies = track_all([*items, Tick(seconds(9), final=True)], track_rules(alarm_hits=3, alarm_window=5))

    assert [(body.phase, body.alarm) for body in only(DefectMessage, bodies)] == [
        ("opened", False),
        ("updated", True),
        ("closed", True),
    ]
    assert len(only(AlarmMessage, bodies)) == 1
    assert (bodies[0].why.rule, bodies[1].why.rule) == ("n_of_m", "threshold")
    assert (bodies[1].why.hits, bodies[1].why.window) == (3, 5)


def test_a_defect_that_grows_severe_enough_alarms() -> None:
    """A defect too harmless at first is judged again: when its best label is a severe one, it asks for a person."""
    items = [camera(0, make_defect("rust", score=0.85)), camera(1, make_defect(score=0.99)), camera(2, make_defect())]
    _, bodies = track_all([*items, Tick(seconds(9), final=True)], track_rules(alarm_min_severity="critical"))

    assert [(body.severity, body.alarm, body.why.rule) for body in only(DefectMessage, bodies)] == [
        ("minor", False, "severity"),
        ("critical", True, "threshold"),
        ("critical", True, "threshold"),
    ]
    assert [(body.label, body.severity) for body in only(AlarmMessage, bodies)] == [("crack", "critical")]


@pytest.mark.parametrize(
    ("rules", "first"),
    [
        pytest.param({"alarm_hits": 2, "alarm_window": 3}, make_defect(), id="after n of m"),
        pytest.param({"alarm_min_severity": "critical"}, make_defect("rust", score=0.85), id="after severity"),
    ],
)
def test_a_defect_that_is_held_back_counts_once(rules: dict[str, Any], first: Defect) -> None:
    """However many frames show it, a critical defect over the limit is named once and one suppressed alarm."""
    items: list[Item] = [
        camera(0, first),
        *[camera(n, make_defect()) for n in range(1, 30)],
        Tick(seconds(9), final=True),
    ]
    _, bodies = track_all(items, track_rules(**rules, alarm_limit=0))
    closed = only(DefectMessage, bodies)[-1]

    assert [(body.kind, body.suppressed) for body in only(AlarmMessage, bodies)] == [("summary", 1), ("suppressed", 1)]
    assert (closed.phase, closed.alarm, closed.why.rule, closed.why.key) == (
        "closed", False, "limit", "events.alarm_limit",
    )  # fmt: skip


def test_the_limiter_holds_back_and_says_how_many() -> None:
    """Beyond the limit alarms of a label are held back, defects are not; one message then tells how many."""
    rules = track_rules(alarm_limit=2, alarm_limit_s=10.0)
    state, bodies = track_all([still(n, "hole") for n in range(7)] + [still(7, "rust")], rules)
    _, later = track_all([still(200, "hole")], rules, state)
    suppressed, fresh = only(AlarmMessage, later)
    held = [body for body in only(DefectMessage, bodies) if not body.alarm]

    assert [body.label for body in only(AlarmMessage, bodies)] == ["hole", "hole", "rust"]
    assert len(only(DefectMessage, bodies)) == 8
    assert [body.why.rule for body in held] == ["limit"] * 5
    assert ("suppressed", 5, held[0].defect_id) == (suppressed.kind, suppressed.suppressed, suppressed.defect_id)
    assert "suppressed 5 more hole" in suppressed.text
    assert (fresh.kind, fresh.suppressed) == ("defect", 0)


@pytest.mark.parametrize(
    ("ticks", "told"),
    [
        pytest.param([Tick(seconds(0.5)), Tick(seconds(9))], 0, id="within the window"),
        pytest.param([Tick(seconds(0.5)), Tick(seconds(10.5))], 1, id="when it is over"),
        pytest.param([Tick(seconds(0.5), final=True)], 1, id="at the end at once"),
        pytest.param([Tick(seconds(86400 * 365))], 0, id="one tick years after the pictures says nothing of time"),
        pytest.param([Tick(seconds(86400 * 365)), Tick(seconds(86400 * 365 + 10))], 1, id="two of them do"),
    ],
)
def test_the_limiter_ends_with_time_alone(ticks: list[Tick], told: int) -> None:
    """What was held back is told when the window is over though nothing more comes, also for pictures of last year."""
    rules = track_rules(alarm_limit=1, alarm_limit_s=10.0)
    state, _ = track_all([still(0, "crack"), still(1, "crack")], rules)
    _, bodies = track_all(ticks, rules, state)

    assert ["suppressed"] * told == [body.kind for body in bodies]


@given(st.lists(st.tuples(st.sampled_from(LABELS[:3]), st.integers(0, 50)), max_size=40), st.integers(1, 4))
def test_no_alarm_is_lost_silently(drawn: list[tuple[str, int]], limit: int) -> None:
    """Alarms that left and alarms that were told as suppressed are all defects that asked for one."""
    rules = track_rules(alarm_limit=limit, alarm_limit_s=10.0)
    items = [still(10 * second + 600 * n, label) for n, (label, second) in enumerate(drawn)]
    _, bodies = track_all([*items, Tick(seconds(9999), final=True)], rules)
    alarms = only(AlarmMessage, bodies)

    assert len(drawn) == sum(body.suppressed or 1 for body in alarms)
    assert len(bodies) == len({body.id for body in bodies})


def test_state_is_not_written() -> None:
    """The same state and item give the same answer again: `track` keeps no memory of its own."""
    state, _ = track_all([strip(0, make_defect(box=Box(0, 300, 100, 100))), make_gap(Cause.DROPPED, 0.1)])
    item = strip(1, make_defect(box=Box(0, 0, 100, 100)), make_defect("rust", Box(300, 300, 50, 50)))
    one, two = (track(state, item, track_rules()) for _ in range(2))

    assert [draft.body for draft in one[1]] == [draft.body for draft in two[1]]
    assert one[0].sights == two[0].sights
