"""`inspector.score`: what was published against what was there."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from inspector.box import Box
from inspector.cli import app
from inspector.score.detectability import fit_curve
from inspector.score.matching import assign, found_by_chance, match
from inspector.score.reading import ScoreError, read_messages, read_truth
from inspector.score.report import Given, score, wilson

STATION = "mill/line/cam1"


def defect(number: int, label: str, box: Box, seq: int = 0, phase: str = "closed", **more: Any) -> dict[str, Any]:
    return {
        "schema": "inspector/defect/2", "id": f"m{number}-{phase}-{seq}", "defect_id": f"d{number}", "store_id": "s",
        "seq": seq or number, "station": STATION, "captured_at": f"2026-01-01T00:00:{number:02d}.000Z", "phase": phase,
        "label": label, "severity": "major", "alarm": False, "line": box.y, "lines": box.height,
        "box_px": {"x": box.x, "y": 3, "width": box.width, "height": box.height}, "position_m": box.y / 2000,
        "frame": {"epoch": 1, "frame_id": 0, "source_key": None},
    } | more  # fmt: skip


def alarm(number: int, seq: int) -> dict[str, Any]:
    return {
        "schema": "inspector/alarm/2", "id": f"a{number}", "defect_id": f"d{number}", "store_id": "s", "seq": seq,
        "station": STATION, "captured_at": "2026-01-01T01:00:00.000Z", "kind": "defect",
    }  # fmt: skip


def write_truth(folder: Path, rows: list[tuple[str, Box]], strip: dict[str, Any] | None = None) -> Path:
    path = folder / "truth.jsonl"
    text = [
        json.dumps({"label": label, "x": b.x, "y": b.y, "width": b.width, "height": b.height, "position_m": b.y / 2000})
        for label, b in rows
    ]
    path.write_text("".join(f"{line}\n" for line in text))
    if strip is not None:
        (folder / "truth.jsonl.strip.json").write_text(json.dumps(strip))
    return path


def scored(folder: Path, truth: Path, bodies: list[dict[str, Any]], **given_too: Any) -> dict[str, Any]:
    (folder / "messages.jsonl").write_text("".join(json.dumps(body) + "\n" for body in bodies))
    known = read_truth(truth)
    return score(known, read_messages(str(folder / "messages.jsonl"), known), Given(**given_too))


def test_each_figure_is_what_it_says(tmp_path: Path) -> None:
    """Found, missed, twice, wrongly named, of nothing, and merged: each counts where it belongs, once."""
    truth = write_truth(
        tmp_path,
        [
            ("scratches", Box(100, 1000, 40, 200)), ("inclusion", Box(300, 3000, 60, 100)),
            ("patches", Box(300, 5000, 100, 100)), ("crazing", Box(100, 7000, 100, 100)),
            ("crazing", Box(300, 7000, 100, 100)),
        ],
        {"lines": 20_000, "mm_per_px": 0.5, "seconds": 1800.0},
    )  # fmt: skip
    report = scored(tmp_path, truth, [
        defect(1, "scratches", Box(100, 1000, 40, 200), 1),
        defect(2, "crazing", Box(300, 1100, 10, 10), 2),  # of nothing
        defect(3, "inclusion", Box(310, 3010, 60, 100), 3, alarm=True),
        defect(4, "patches", Box(290, 2950, 40, 60), 4),  # a second one, of another class
        defect(5, "crazing", Box(100, 7000, 300, 100), 5),  # over two
        alarm(3, 6), alarm(2, 7),
    ])  # fmt: skip

    assert [report[key]["k"] for key in ("recall", "precision", "one_event", "right_class", "alarmed")] == [
        3,
        3,
        2,
        3,
        1,
    ]
    assert [report[key]["n"] for key in ("recall", "precision", "one_event", "right_class", "alarmed")] == [
        5,
        5,
        3,
        3,
        5,
    ]
    assert (report["second_events"], report["wrong_seconds"], report["merged"]) == (1, 1, 1)
    assert (report["false_calls"], report["false_alarms"]) == (1, 1)
    assert report["box_holds_90"]["k"] == 2
    assert report["iou_mean"] == pytest.approx((1 + (50 * 90) / (2 * 6000 - 4500) + 1 / 3) / 3, abs=1e-3)
    assert report["position_error_m"] == {"mean": 0.0017, "p95": 0.0045, "max": 0.005}
    assert (report["metres"], report["hours"]) == (10.0, 0.5)
    assert (report["alarms_per_km"], report["false_calls_per_km"], report["alarms_per_operator_hour"]) == (200, 100, 4)
    assert [(row["from"], row["k"], row["n"]) for row in report["by_size_px"]] == [(64, 2, 4), (128, 1, 1)]
    assert [(row["from"], row["k"], row["n"]) for row in report["by_size_mm"]] == [(32, 2, 4), (64, 1, 1)]


def test_the_last_message_of_a_defect_counts_once(tmp_path: Path) -> None:
    """Phases are one event, whose box and class are the last ones; repeats under one id count once."""
    truth = write_truth(tmp_path, [("scratches", Box(0, 100, 50, 300))])
    opened = defect(1, "inclusion", Box(0, 100, 50, 100), 1, "opened")
    closed = defect(1, "scratches", Box(0, 100, 50, 300), 2)
    report = scored(tmp_path, truth, [opened, opened, closed, closed])

    assert (report["events"], report["right_class"]["k"], report["iou_mean"], report["open"]) == (1, 1, 1.0, 0)
    assert scored(tmp_path, truth, [opened])["open"] == 1


def test_the_matching_finds_as_many_pairs_as_there_can_be() -> None:
    """Taking the greatest overlap first would leave one defect without its event."""
    truths = [Box(0, 0, 10, 100), Box(0, 100, 10, 100)]
    events = [Box(0, 20, 10, 160), Box(0, 10, 10, 60)]

    assert match(truths, events).event_of == (1, 0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 9), min_size=4, max_size=4), min_size=1, max_size=5))
def test_the_assignment_is_the_best_of_all(rows: list[list[int]]) -> None:
    """No other way to give each row a column of its own has a greater sum."""
    gain = np.array(rows, float)
    tall = max(gain.shape)
    padded = np.zeros((tall, tall))
    padded[: gain.shape[0], : gain.shape[1]] = gain
    best = max(sum(padded[i, p] for i, p in enumerate(order)) for order in itertools.permutations(range(tall)))
    found = assign(gain)
    used = [column for column in found if column is not None]

    assert len(used) == len(set(used)) == min(gain.shape)
    assert best == sum(gain[row, column] for row, column in enumerate(found) if column is not None)


def test_who_alarms_everywhere_finds_everything_by_chance() -> None:
    """Events all over the strip are matched under every shift; one small event is under hardly any."""
    truths = [Box(0, y, 50, 50) for y in range(500, 90_000, 3000)]
    everywhere = [Box(0, y, 400, 400) for y in range(0, 100_000, 400)]

    assert found_by_chance(truths, everywhere, 100_000).min() == 1.0
    assert found_by_chance(truths, [Box(0, 500, 50, 50)], 100_000).mean() < 0.05


def test_a90_is_the_size_found_nine_times_in_ten() -> None:
    """Of defects drawn from a known curve a90 comes out near it, and the bound lies above; all found: no curve."""
    rng = np.random.default_rng(3)
    sizes = np.exp(rng.uniform(math.log(4), math.log(128), 800))
    truth_a90, slope = 24.0, 3.0
    odds = math.log(9) + slope * (np.log(sizes) - math.log(truth_a90))
    curve = fit_curve(sizes, rng.random(800) < 1 / (1 + np.exp(-odds)))
    apart = fit_curve(sizes, sizes > 20)

    assert curve is not None
    assert curve.a90 is not None
    assert curve.a90_95 is not None
    assert curve.a90 == pytest.approx(truth_a90, rel=0.15)
    assert curve.a90 < curve.a90_95 < 1.4 * curve.a90
    assert curve.at(curve.a90) == pytest.approx(0.9)
    assert apart is not None
    assert apart.a90 == pytest.approx(20, rel=0.1)
    assert fit_curve(sizes, np.ones(800)) is None


def test_the_interval_is_wilsons() -> None:
    """9 of 10 is 59.6 to 98.2 %, as in the tables."""
    assert [wilson(9, 10)[key] for key in ("share", "low", "high")] == [0.9, 0.5958, 0.9821]


OTHER_RUN = {"epoch": 2, "frame_id": 0, "source_key": None}
BODY = defect(1, "scratches", Box(0, 100, 50, 300), 1)
FORMS: dict[str, Callable[[str], str]] = {
    "payload": lambda text: text,
    "mosquitto_sub -v": lambda text: f"inspector/mill/line/cam1/defect {text}",
    "mosquitto_sub -F %j": lambda text: json.dumps({"tst": 1, "topic": "x/defect", "qos": 1, "payload": text}),
    "mosquitto_sub -F %J": lambda text: json.dumps({"topic": "x/defect", "payload": json.loads(text)}),
    "jsonl": lambda text: json.dumps({"payload": json.loads(text), "topic": "x/defect"}),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_messages_is_read(tmp_path: Path, form: str) -> None:
    """What the sink and `mosquitto_sub` write is read, with states and bare words among it."""
    about = '{"schema": "inspector/about/2", "station": "other/line/cam"}'
    lines = [FORMS[form](json.dumps(BODY)), "inspector/x/status online", "online", FORMS[form](about), ""]
    (tmp_path / "messages.jsonl").write_text("\n".join(lines))
    known = read_truth(write_truth(tmp_path, [("scratches", Box(0, 100, 50, 300))]))

    assert [event.label for event in read_messages(str(tmp_path / "messages.jsonl"), known).events] == ["scratches"]


def test_stills_are_placed_by_their_names(tmp_path: Path) -> None:
    """A still's box counts from the line in its name; a defect that two stills show is not an event too many."""
    truth = write_truth(tmp_path, [("scratches", Box(0, 380, 50, 60))], {"lines": 4000, "mm_per_px": 0.5})
    frames = [
        defect(n, "scratches", Box(0, 0, 50, 20), n, line=None, lines=None, position_m=None,
               box_px={"x": 0, "y": y, "width": 50, "height": height},
               frame={"epoch": 1, "frame_id": n, "source_key": f"strip-{n:08d}-line-{n * 400:010d}.png"})
        for n, y, height in ((0, 380, 20), (1, 0, 40))
    ]  # fmt: skip
    report = scored(tmp_path, truth, frames)

    assert [report[key]["k"] for key in ("recall", "precision", "one_event")] == [1, 1, 1]
    assert (report["precision"]["n"], report["second_events"], report["false_calls"]) == (1, 0, 0)


def test_what_a_fault_hides_is_neither_right_nor_false(tmp_path: Path) -> None:
    """An event on a defect that the faults' file names as hidden is left out; one beside it is a false call."""
    truth = write_truth(tmp_path, [("patches", Box(0, 9000, 50, 50))], {"lines": 20_000, "mm_per_px": 0.5})
    hides = [{"label": "crazing", "x": 0, "y": 1000, "width": 90, "height": 90, "position_m": 0.5}]
    (tmp_path / "truth.jsonl.faults.jsonl").write_text(json.dumps({"kind": "torn", "line": 1000, "hides": hides}))
    report = scored(tmp_path, truth, [
        defect(1, "crazing", Box(0, 1040, 90, 50), 1), defect(2, "crazing", Box(0, 2040, 90, 50), 2),
    ])  # fmt: skip

    assert (report["events"], report["false_calls"], report["recall"]["k"]) == (1, 1, 0)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["hello", "world"], "none of its 2 lines is a message"),
        ([json.dumps(BODY)[:-30]], "line 1 is cut"),
        ([json.dumps(BODY), json.dumps(BODY | {"id": "x", "station": "mill/line/cam2"})], "several stations"),
        ([json.dumps(BODY), json.dumps(BODY | {"id": "x", "defect_id": "y", "frame": OTHER_RUN})],
         "counted anew"),
        ([json.dumps(BODY | {"line": 50_000})], "of another strip"),
        ([json.dumps({key: value for key, value in BODY.items() if key != "box_px"})], "lacks"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_named(tmp_path: Path, lines: list[str], said: str) -> None:
    """Foreign, cut, mixed and other strips' messages are refused, with the file and the reason."""
    (tmp_path / "messages.jsonl").write_text("\n".join(lines) + "\n")
    known = read_truth(write_truth(tmp_path, [("scratches", Box(0, 100, 50, 300))], {"lines": 4000, "mm_per_px": 0.5}))
    with pytest.raises(ScoreError, match=said):
        read_messages(str(tmp_path / "messages.jsonl"), known)


def test_a_clean_strip_without_a_message_is_a_score(tmp_path: Path) -> None:
    """Nothing there and nothing published: no false call in so many metres."""
    truth = write_truth(tmp_path, [], {"lines": 20_000, "mm_per_px": 0.5})
    report = scored(tmp_path, truth, [])

    assert (report["false_calls"], report["metres"], report["recall"]["share"], report["a90"]) == (0, 10.0, None, None)


def test_a_row_that_is_none_is_named(tmp_path: Path) -> None:
    """A truth with a line that is no row is refused by its number."""
    (tmp_path / "truth.jsonl").write_text('{"label": "x"}\n')
    with pytest.raises(ScoreError, match="line 1"):
        read_truth(tmp_path / "truth.jsonl")


def test_the_command_prints_a_table_json_and_a_plot(tmp_path: Path) -> None:
    """A table for people, JSON for programs, and a plot as SVG and as PNG; a wrong suffix is exit 2."""
    rows = [("patches", Box(0, 1000 * n, 4 + n, 4 + n)) for n in range(40)]
    truth = write_truth(tmp_path, rows)
    bodies = [defect(n, "patches", box, n + 1) for n, (_, box) in enumerate(rows) if box.width > 20 or n % 3 == 0]
    (tmp_path / "messages.jsonl").write_text("".join(json.dumps(body) + "\n" for body in bodies))
    words = ["score", str(tmp_path / "messages.jsonl"), "--truth", str(truth)]
    table = CliRunner().invoke(app, words)
    svg = CliRunner().invoke(app, [*words, "--json", "--plot", str(tmp_path / "found.svg")])
    png = CliRunner().invoke(app, [*words, "--plot", str(tmp_path / "found.png")])
    wrong = CliRunner().invoke(app, [*words, "--plot", "found.txt"], env={"COLUMNS": "200", "NO_COLOR": "1"})

    assert "40 defects were there" in table.output
    assert "a90, found nine times in ten" in table.output
    assert json.loads(svg.output)["schema"] == "inspector/score/1"
    assert ElementTree.fromstring((tmp_path / "found.svg").read_text()).tag.endswith("svg")  # noqa: S314
    assert png.exit_code == 0
    with Image.open(tmp_path / "found.png") as picture:
        assert picture.size == (1520, 920)
    assert wrong.exit_code == 2
    assert "--plot" in wrong.output
