"""`inspector accept`: a state that was accepted is recognised, what left it is named; events are judged blind."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes import FakeClock, entry

from inspector.acceptance.review import Answer, draw_sample, evaluate
from inspector.acceptance.stability import Figure
from inspector.clock import SystemClock
from inspector.commands.acceptance import check_stability, judge_events, write_sample
from inspector.errors import ConfigError
from inspector.store.reviews import Review
from inspector.store.store import Store
from inspector.years.gather import Period

ALL = Period(0, 1 << 45)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "cam.toml"
    path.write_text(
        '[station]\nsite = "site"\nline = "line"\nname = "cam"\n[source]\nkind = "demo"\n'
        f'[store]\npath = "{tmp_path / "state"}"\n[model]\nworkers = 1\n'
    )
    return path


def write_frames(folder: Path, *, grey: float = 120, noise: float = 3, blur: float = 0) -> str:
    """Six pictures of a plain surface."""
    chance = np.random.default_rng(1)
    folder.mkdir()
    for number in range(6):
        pixels = chance.normal(grey, noise, (640, 1200)).clip(0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), cv2.GaussianBlur(pixels, (0, 0), blur) if blur else pixels)
    return str(folder)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A station whose state was recorded, with forty cracks and holes in the last eight hours."""
    folder = tmp_path_factory.mktemp("accepted")
    path = folder / "cam.toml"
    path.write_text(
        '[station]\nsite = "site"\nline = "line"\nname = "cam"\n[source]\nkind = "demo"\n'
        f'[store]\npath = "{folder / "state"}"\n[model]\nworkers = 1\n'
    )
    clock = FakeClock()
    store = Store(folder / "state", clock)
    store.commit([entry(number, "crack", "hole") for number in range(20)])
    store.close()
    clock.advance(60)
    check_stability(path, clock, [write_frames(folder / "good")], record=True)
    return path


def judged(config: Path, frames: str, clock: FakeClock) -> dict[str, Figure]:
    return {one.name: one for one in check_stability(config, clock, [frames], record=False)[0]}


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        pytest.param({}, set(), id="nothing"),
        pytest.param({"grey": 130}, {"brightness"}, id="a brighter lamp"),
        pytest.param({"noise": 6}, {"sharpness", "noise"}, id="more gain"),
        pytest.param({"blur": 1.5}, {"sharpness", "noise"}, id="out of focus"),
    ],
)
def test_what_left_the_accepted_state_is_named(
    recorded: Path, tmp_path: Path, changes: dict[str, float], left: set[str]
) -> None:
    """By its figure; what did not move is within its bounds, and the findings are those of the shift."""
    clock = FakeClock()
    clock.advance(60)
    figures = judged(recorded, write_frames(tmp_path / "now", **changes), clock)

    assert left <= {name for name, one in figures.items() if one.good is False} <= left | {"tile_scores"}
    assert (figures["defect_rate"].good, figures["sizes"].good) == (True, True)


def test_a_rate_that_rose_is_named(recorded: Path, tmp_path: Path) -> None:
    """Eight hours later there is nothing: fewer is another state, too; sizes are not judged."""
    clock = FakeClock()
    clock.advance(9 * 3600)
    figures = judged(recorded, write_frames(tmp_path / "now"), clock)

    assert (figures["defect_rate"].good, figures["defect_rate"].now, figures["sizes"].good) == (False, 0, None)


def test_the_command_fails_with_the_figure(recorded: Path, tmp_path: Path) -> None:
    """Exit 1 and its name; as JSON for a timer."""
    command = [sys.executable, "-m", "inspector", "accept", "--stability", "--config", str(recorded), "--json"]
    frames = write_frames(tmp_path / "dark", grey=60)
    done = subprocess.run([*command, "--frames", frames], capture_output=True, text=True, check=False)
    figures = json.loads(done.stdout)["figures"]

    assert (done.returncode, figures["brightness"]["good"]) == (1, False)
    assert "left the bounds of the accepted state: brightness" in done.stderr


def test_what_cannot_be_compared_is_refused(config: Path, tmp_path: Path) -> None:
    """No state yet; one that is damaged; one of another bundle; too few frames: each with what to do."""
    frames = write_frames(tmp_path / "frames")
    with pytest.raises(ConfigError, match="no state was recorded yet"):
        check_stability(config, SystemClock(), [frames], record=False)
    Store(tmp_path / "state", SystemClock()).close()
    check_stability(config, SystemClock(), [frames], record=True)
    path = tmp_path / "state" / "accepted" / "stability.json"
    state = json.loads(path.read_text())
    path.write_text(json.dumps(state | {"bundle": "other@1+0"}))
    with pytest.raises(ConfigError, match=r"recorded with other@1\+0, and neu-fast"):
        check_stability(config, SystemClock(), [frames], record=False)
    path.write_text("{")
    with pytest.raises(ConfigError, match="is damaged, record it anew"):
        check_stability(config, SystemClock(), [frames], record=False)
    with pytest.raises(ConfigError, match="1 frames came, 5 are needed"):
        check_stability(config, SystemClock(), [f"{frames}/0.png"], record=True)


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> Iterator[Store]:
    """Sixty cracks and twenty holes."""
    store = Store(tmp_path / "state", clock)
    store.commit([entry(number, "crack") for number in range(60)])
    store.commit([entry(number, "hole") for number in range(60, 80)])
    yield store
    store.close()


def test_a_sample_is_blind_and_can_be_drawn_again(store: Store, config: Path, tmp_path: Path) -> None:
    """As many of each class, in random order, a tenth twice; no class stands beside a code; the seed decides."""
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        count = write_sample(config, ALL, 20, seed, tmp_path / name)
    key = json.loads((tmp_path / "one/key.json").read_text())
    codes = {name: (tmp_path / name / "key.json").read_text() for name in ("one", "same", "other")}
    body = (tmp_path / "one/sheet.html").read_text().partition("</p>")[2]

    assert (count, len(key["items"]), Counter(one["label"] for one in key["items"] if not one["again"])) == (
        20, 22, {"crack": 10, "hole": 10},
    )  # fmt: skip
    assert codes["one"] == codes["same"] != codes["other"]
    assert key["population"] == {"crack": 60, "hole": 20}
    assert body.count("<figure>") == 22
    assert not {"crack", "hole"} & {word for word in ("crack", "hole") if word in body}


def test_two_inspectors(store: Store, config: Path, tmp_path: Path) -> None:
    """Confusion with bounds, agreement of both, and of each with itself; what one is not sure of does not count."""
    write_sample(config, ALL, 40, 1, tmp_path / "sample")
    items = json.loads((tmp_path / "sample/key.json").read_text())["items"]
    wrong = [one["code"] for one in items if one["label"] == "crack" and not one["again"]][:5]
    for person, said in (("anna", "clean"), ("bert", "hole")):
        with (tmp_path / f"{person}.csv").open("w", newline="") as file:
            rows = [(one["code"], said if one["code"] in wrong else one["label"]) for one in items]
            csv.writer(file, delimiter=";").writerows([("code", "label"), *rows[:-1], (rows[-1][0], "?")])
    people = [tmp_path / "anna.csv", tmp_path / "bert.csv"]
    _, result = judge_events(config, ALL, tmp_path / "sample/key.json", people)
    cracks = result["classes"][0]

    assert (result["persons"], result["not_blind"], cracks["label"]) == (["anna", "bert"], 0, "crack")
    assert (cracks["confusion"]["clean"], cracks["confusion"]["hole"], cracks["false_calls"]) == (5, 5, 5)
    assert cracks["low"] < cracks["share"] < cracks["high"]
    assert result["agreement"][0]["same"] == result["agreement"][0]["events"] - 5
    assert 0.5 < result["agreement"][0]["kappa"] < 1
    assert {one["one"] for one in result["repeats"]} <= {"anna", "bert"}
    assert result["overall"]["low"] < 0.9 < result["overall"]["high"]
    (tmp_path / "anna.csv").write_text("code,label\n999,crack\n")
    with pytest.raises(ConfigError, match="no such code in the sample: '999'"):
        judge_events(config, ALL, tmp_path / "sample/key.json", people)
    (tmp_path / "anna.csv").write_text("001,crack\n")
    with pytest.raises(ConfigError, match="line 1: not the columns"):
        judge_events(config, ALL, tmp_path / "sample/key.json", people)


def test_what_was_verified_counts_and_is_not_blind(store: Store, config: Path, tmp_path: Path) -> None:
    """From the store: confirmed, a false call, another class; unsure says nothing; a second look is a repeat."""
    rows = store.reader.recent_defects(100, label="crack")[:5]
    said = ("confirmed", "confirmed", "false_call", "reclassified", "unsure")
    for row, verdict in zip(rows, said, strict=True):
        label = "hole" if verdict == "reclassified" else None
        store.reviews.add(Review(row["defect_id"], 1, verdict, label, "anna"))
    store.reviews.add(Review(rows[0]["defect_id"], 2, "false_call", None, "anna"))
    page = tmp_path / "review.html"
    command = [sys.executable, "-m", "inspector", "accept", "--review", "--config", str(config), "--html", str(page)]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    result = json.loads(done.stdout)

    assert (done.returncode, result["events"], result["not_blind"], result["blind"]) == (0, 4, 4, 0)
    assert result["classes"][0]["confusion"] == {"crack": 2, "clean": 1, "hole": 1}
    assert [(one["events"], one["same"]) for one in result["repeats"]] == [(1, 0)]
    assert "50.0 % of all events are right" in page.read_text()


def test_nobody_said_anything(store: Store, config: Path) -> None:
    with pytest.raises(ConfigError, match="nobody has verified an event"):
        judge_events(config, ALL, None, [])


def test_rare_classes_do_not_hide() -> None:
    """A class with a single event is in the sample; the share over all weighs each class by its number."""
    events = {f"c{number}": "crack" for number in range(99)} | {"h": "hole"}
    items = draw_sample(events, 10, 3)
    answers = [Answer(one.defect_id, "anna", "crack", blind=True, again=one.again) for one in items]
    result = evaluate(events, answers, Counter(events.values()))

    assert "h" in {one.defect_id for one in items}
    assert result["overall"]["share"] == pytest.approx(0.99)
