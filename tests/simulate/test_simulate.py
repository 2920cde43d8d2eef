"""`inspector.simulate`: a strip is what was asked for, and its truth is what is there."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fakes import FakeClock
from typer.testing import CliRunner

from inspector.cli import app
from inspector.drawn.tiles import draw_tile
from inspector.frame import Pixels
from inspector.simulate.order import GAP_PX, Order, OrderError
from inspector.simulate.pictures import read_grey
from inspector.simulate.run import Job, Passed, beside, simulate
from inspector.simulate.speed import Speed, read_profile
from inspector.simulate.strip import Piece, Row, SimulatedStrip

ORDER = Order(7, 3.0, 800, 0.5, 1.0)


def whole(order: Order, profile: list[Speed] | None = None) -> tuple[Pixels, list[Row]]:
    """The lines of a strip, and its truth."""
    pieces = list(SimulatedStrip(order, profile).pieces())
    return np.concatenate([piece.pixels for piece in pieces]), [row for piece in pieces for row in piece.rows]


def run_job(folder: Path, order: Order, kind: str, name: str, profile: list[Speed] | None = None) -> Passed:
    job = Job(order, profile, kind, str(folder / name), folder / "truth.jsonl")
    return simulate(job, FakeClock(), lambda _: None, lambda *_: None)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_seed_alone_decides() -> None:
    """The same seed gives the same bytes and the same truth, another seed others."""
    first, again, other = (whole(order) for order in (ORDER, ORDER, replace(ORDER, seed=8)))

    assert first[0].tobytes() == again[0].tobytes()
    assert first[1] == again[1]
    assert first[0].tobytes() != other[0].tobytes()


@pytest.mark.parametrize("changes", [{}, {"size_px": (8, 64), "contrast": 0.4}, {"roll_mark_mm": 200.0}], ids=str)
def test_defects_are_where_the_truth_says_and_nowhere_else(changes: dict[str, Any]) -> None:
    """Each row's box differs from the clean strip of that seed; with the boxes left out, both are the same."""
    order = replace(ORDER, width_px=1200, **changes)
    pixels, rows = whole(order)
    clean = whole(replace(order, defects_per_m=0, roll_mark_mm=None))[0]
    changed = pixels != clean
    assert len(rows) >= 3
    for row in rows:
        box = np.s_[row.y : row.y + row.height, row.x : row.x + row.width]
        assert changed[box].any(axis=1).mean() > 0.7
        grown = np.s_[max(0, row.y - 12) : row.y + row.height + 12, max(0, row.x - 12) : row.x + row.width + 12]
        changed[grown] = False

    assert not changed.any()


def test_as_many_as_were_asked_for_two_tiles_apart() -> None:
    """Ten metres with two defects each have twenty, every class, each at least two tiles from any other."""
    order = replace(ORDER, metres=10.0, width_px=1600, defects_per_m=2.0)
    rows = whole(order)[1]
    gaps = [
        max(abs(a.x + a.width / 2 - b.x - b.width / 2) - (a.width + b.width) / 2,
            abs(a.y + a.height / 2 - b.y - b.height / 2) - (a.height + b.height) / 2)
        for n, a in enumerate(rows) for b in rows[:n]
    ]  # fmt: skip

    assert len(rows) == 20
    assert len({row.label for row in rows}) == 6
    assert min(gaps) >= GAP_PX - 1
    assert all(row.x >= 0 and row.x + row.width <= 1600 and row.y + row.height <= order.lines for row in rows)
    assert all(math.isclose(row.position_m, row.y * 0.0005) for row in rows)


def test_sizes_and_contrast_are_those_asked_for() -> None:
    """Longer sides lie between MIN (less what fades) and MAX, and twice the contrast is twice the change."""
    order = replace(ORDER, metres=12.0, size_px=(16, 64), contrast=0.2)
    weak, rows = whole(order)
    strong = whole(replace(order, contrast=0.4))[0]
    clean = whole(replace(order, defects_per_m=0))[0].astype(int)
    sizes = [max(row.width, row.height) for row in rows]
    row = max(rows, key=lambda each: each.width * each.height)
    box = np.s_[row.y : row.y + row.height, row.x : row.x + row.width]
    ratio = np.abs(strong[box].astype(int) - clean[box]).sum() / np.abs(weak[box].astype(int) - clean[box]).sum()

    assert min(sizes) >= 8
    assert max(sizes) <= 64
    assert 1.8 < ratio < 2.2


def test_a_damaged_roll_prints_its_mark_at_its_pitch() -> None:
    """The mark is the same each time, at one place across, and does not drift over the strip."""
    order = Order(3, 40.0, 400, 0.5, 0.0, roll_mark_mm=301.7)
    rows = whole(order)[1]
    places = [row.y - number * 301.7 / 0.5 for number, row in enumerate(rows)]

    assert len(rows) == pytest.approx(40_000 / 301.7, abs=1)
    assert len({(row.x, row.width, row.height, row.label) for row in rows}) == 1
    assert max(places) - min(places) <= 1.0


@pytest.fixture
def neu_like(tmp_path: Path) -> Path:
    """A folder as NEU's: a boxed picture of each of two labels."""
    for label in ("inclusion", "scratches"):
        (tmp_path / "set" / "images" / label).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "set" / "images" / label / f"{label}_1.png"), draw_tile(label, 5))
        (notes := tmp_path / "set" / "annotations").mkdir(exist_ok=True)
        (notes / f"{label}_1.xml").write_text(
            f"<annotation><object><name>{label}</name><bndbox><xmin>20</xmin><ymin>40</ymin><xmax>90</xmax>"
            "<ymax>180</ymax></bndbox></object></annotation>"
        )
    return tmp_path / "set"


def test_real_defects_are_pasted_by_their_boxes(neu_like: Path) -> None:
    """Of boxed pictures the boxes are the defects, and a size that is asked for is that of the box."""
    as_it_is = whole(replace(ORDER, metres=6.0, images=neu_like))[1]
    scaled = whole(replace(ORDER, metres=6.0, images=neu_like, size_px=(28, 28)))[1]

    assert {row.label for row in as_it_is} == {"inclusion", "scratches"}
    assert {(row.width, row.height) for row in as_it_is} == {(70, 140)}
    assert all(abs(max(row.width, row.height) - 28) <= 1 for row in scaled)


@pytest.fixture
def clean_folder(tmp_path: Path) -> Path:
    """Two pictures of clean surface, unevenly lit."""
    (folder := tmp_path / "clean").mkdir()
    light = np.linspace(0.8, 1.2, 200)[None, :]
    for seed in (1, 2):
        cv2.imwrite(str(folder / f"{seed}.png"), np.clip(draw_tile("clean", seed) * light, 0, 255).astype(np.uint8))
    return folder


def test_quilted_ground_is_evenly_lit_and_goes_on(clean_folder: Path) -> None:
    """Quilted strip has no patches of light, repeats by the seed alone, and has the texture of its pictures."""
    order = Order(1, 2.0, 400, 0.5, 0.0, ground=clean_folder)
    pixels = whole(order)[0]
    source = read_grey(clean_folder / "1.png", "--ground")
    blocks = pixels[:, :400].reshape(40, 100, 4, 100).mean(axis=(1, 3))
    grain = [np.abs(np.diff(each.astype(int), axis=1)).mean() for each in (pixels, source)]

    assert pixels.shape == (4000, 400)
    assert float(np.ptp(blocks)) < 10
    assert grain[0] == pytest.approx(grain[1], rel=0.3)
    assert whole(order)[0].tobytes() == pixels.tobytes()


def test_beside_the_strip_it_is_dark() -> None:
    """With edges the outermost columns are background on every line, and no defect lies in them."""
    pixels, rows = whole(replace(ORDER, edges=True))
    margin = replace(ORDER, edges=True).margin_px

    assert pixels[:, : margin // 4].max() < 60
    assert pixels[:, -margin // 4 :].max() < 60
    assert pixels[:, margin + 4 : -margin - 4].min() > 20
    assert all(row.x >= margin and row.x + row.width <= 800 - margin for row in rows)


def test_faults_are_done_and_told(tmp_path: Path) -> None:
    """Each kind is done where its row says; what it hides is no row of the truth, and dropped lines move the rest."""
    order = Order(2, 20.0, 600, 0.5, 1.6, faults=True)
    pixels, rows = whole(order)
    run_job(tmp_path, order, "raw", "strip.raw")
    faults = {row["kind"]: row for row in rows_of(tmp_path / "truth.jsonl.faults.jsonl")}
    parts = {kind: pixels[row["line"] : row["line"] + row["lines"]] for kind, row in faults.items()}
    dropped = faults["dropped"]
    off = {round(row.position_m / 0.0005) - row.y for row in rows if row.y > dropped["line"]}
    hidden = [row["y"] for fault in faults.values() for row in fault["hides"]]

    assert set(faults) == {"dropped", "torn", "black", "white", "frozen"}
    assert parts["black"].max() == 0
    assert parts["white"].min() == 255
    assert (parts["frozen"] == pixels[faults["frozen"]["line"] - 1]).all()
    assert off == {dropped["lines"]}
    assert hidden
    assert not set(hidden) & {row.y for row in rows}
    assert len(pixels) == order.lines - dropped["lines"]


def test_a_reverse_jog_shows_the_surface_again(tmp_path: Path) -> None:
    """Backwards the lines come in reverse, a stop gives none, and each showing of a defect is a row."""
    (profile := tmp_path / "speed.csv").write_text("seconds,m_s\n0,1\n1.5,0\n2,-1 # jog\n3,2\n")
    order = Order(5, 3.0, 600, 0.5, 1.6)
    forward, once = whole(order)
    pixels, rows = whole(order, read_profile(profile))
    run_job(tmp_path, order, "raw", "strip.raw", read_profile(profile))

    np.testing.assert_array_equal(pixels[:3000], forward[:3000])
    np.testing.assert_array_equal(pixels[3000:5000], forward[1000:3000][::-1])
    np.testing.assert_array_equal(pixels[5000:], forward[1000:])
    assert len(rows) > len(once)
    assert {row.ordinal for row in rows} == {row.ordinal for row in once}
    for row in rows:
        np.testing.assert_allclose(row.position_m, next(o.position_m for o in once if o.ordinal == row.ordinal))
    assert [(row["line"], row["payload"]) for row in rows_of(beside(tmp_path / "truth.jsonl", "line.jsonl"))] == [
        (0, {"running": True, "speed_m_s": 1.0}),
        (3000, {"running": False, "speed_m_s": 0.0}),
        (3000, {"running": True, "speed_m_s": -1.0}),
        (5000, {"running": True, "speed_m_s": 2.0}),
    ]


def test_ten_kilometres_begin_at_once() -> None:
    """A strip is drawn as it is read: the first lines of 10 km are there without the rest."""
    pieces: Iterator[Piece] = SimulatedStrip(replace(ORDER, metres=10_000.0)).pieces()

    assert len(next(pieces).pixels) < 3000


@pytest.mark.parametrize("kind", ["folder", "video"])
def test_stills_and_video_show_the_same_lines(tmp_path: Path, kind: str) -> None:
    """Frames one below the other, in the order of their names, are the raw lines."""
    order = replace(ORDER, metres=1.1)
    pixels = whole(order)[0]
    run_job(tmp_path, order, kind, "out" if kind == "folder" else "out.avi")
    if kind == "folder":
        read = [read_grey(path, "--output") for path in sorted((tmp_path / "out").iterdir())]
        assert sorted((tmp_path / "out").iterdir())[1].name == "strip-00000001-line-0000000400.png"
    else:
        video, read = cv2.VideoCapture(str(tmp_path / "out.avi")), []
        while (frame := video.read())[0]:
            read.append(np.asarray(frame[1][:, :, 0], np.uint8))

    np.testing.assert_array_equal(np.concatenate(read)[: len(pixels)], pixels)


def test_an_interrupted_strip_holds_together(tmp_path: Path) -> None:
    """After Ctrl-C the lines are whole, the truth has what passed, and the file beside it says how far it came."""
    job = Job(replace(ORDER, metres=30.0), None, "raw", str(tmp_path / "strip.raw"), tmp_path / "truth.jsonl")

    def stop_later(passed: Passed, _lines: int) -> None:
        if passed.lines > 8000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(job, FakeClock(), lambda _: None, stop_later)
    strip = json.loads((tmp_path / "truth.jsonl.strip.json").read_text())
    rows = rows_of(tmp_path / "truth.jsonl")

    assert (tmp_path / "strip.raw").stat().st_size == strip["lines"] * 800
    assert 8000 < strip["lines"] < 12_000
    assert strip["complete"] is False
    assert rows
    assert all(list(row) == ["label", "x", "y", "width", "height", "position_m"] for row in rows)
    assert all(row["y"] + row["height"] <= strip["lines"] for row in rows)


GOOD = {
    "--seed": "1", "--metres": "1", "--width-px": "400", "--mm-per-px": "0.5", "--defects-per-m": "0",
    "--format": "raw", "--output": "strip.raw", "--truth": "truth.jsonl",
}  # fmt: skip


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--seed", "-1", "0 or more"),
        ("--metres", "0", "more than 0"),
        ("--metres", "nan", "more than 0"),
        ("--metres", "0.0001", "less than one line"),
        ("--width-px", "20", "64 to 65536"),
        ("--mm-per-px", "0", "more than 0"),
        ("--defects-per-m", "50", "would touch"),
        ("--defects-per-m", "-1", "0 or more"),
        ("--size-px", "8", "MIN,MAX"),
        ("--size-px", "64,8", "MIN,MAX"),
        ("--contrast", "0", "more than 0"),
        ("--roll-mark", "5", "would touch"),
        ("--images", "/nowhere", "not a folder"),
        ("--ground", "/nowhere", "not a folder"),
        ("--speed-profile", "/nowhere", "cannot be read"),
        ("--format", "tiff", "raw"),
        ("--output", "/nowhere/strip.raw", "cannot be written"),
        ("--output", ".", "folder"),
        ("--truth", "/nowhere/truth.jsonl", "cannot be written"),
    ],
)
def test_what_cannot_be_made_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, value: str, said: str
) -> None:
    """A wrong argument is exit 2, and the message names the option and what is expected."""
    monkeypatch.chdir(tmp_path)
    words = [word for pair in (GOOD | {option: value}).items() for word in pair]
    done = CliRunner().invoke(app, ["simulate", *words], env={"COLUMNS": "200", "NO_COLOR": "1"})

    assert done.exit_code == 2
    assert option in done.output
    assert said in done.output


@pytest.mark.parametrize(
    ("text", "said"),
    [("0 1\n0 2\n", "must rise"), ("1 1\n", "second 0"), ("0 fast\n1 1\n", "line 1"), ("", "second 0"),
     ("0 1\n1 0\n", "stops before its end"), ("0 -1\n9 1\n", "over its head"), ("0 99\n", "m/s up to")],
)  # fmt: skip
def test_a_profile_that_cannot_be_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """Rows that are none, that do not rise, or by which the strip never ends are named."""
    (path := tmp_path / "speed.txt").write_text(text)
    with pytest.raises(OrderError, match=said):
        SimulatedStrip(Order(1, 5.0, 400, 0.5), read_profile(path))
