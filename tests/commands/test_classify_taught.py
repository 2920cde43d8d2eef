"""`inspector classify --config` and `inspector replay` decide as the station does, under its reference."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from taught import clean_tiles, teach
from typer.testing import CliRunner

from inspector.cli import app
from inspector.commands.classify import open_judge
from inspector.commands.replay import replay_path
from inspector.drawn.tiles import draw_tile
from inspector.errors import ConfigError
from inspector.frame import Pixels
from inspector.inspection.reference import SiteReference
from inspector.model.bundle import DEFAULT_BUNDLE, find_bundle, load_bundle
from inspector.teach.files import FOLDER


def station(folder: Path, more: str = "") -> Path:
    path = folder / "station.toml"
    path.write_text(
        '[station]\nsite = "s"\nline = "l"\nname = "n"\n[source]\nkind = "folder"\npath = "/frames"\n'
        f'[store]\npath = "{folder / "state"}"\n[model]\nworkers = 1\n{more}'
    )
    return path


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SiteReference]:
    """The reference folder of a station that was taught drawn clean steel."""
    folder = tmp_path_factory.mktemp("lesson")
    return folder / FOLDER, teach(folder, load_bundle(find_bundle(DEFAULT_BUNDLE)))


def dulled() -> Pixels:
    """Clean steel with a place where nothing is seen, which is no defect that the bundle knows."""
    pixels = clean_tiles(6, 1)[0].copy()
    pixels[60:140, 60:140] = 128
    return pixels


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Clean steel, a scratch, and something strange."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, pixels in (
        ("clean", clean_tiles(6, 1)[1]),
        ("scratch", draw_tile("scratches", 7)),
        ("strange", dulled()),
    ):
        cv2.imwrite(str(folder / f"{name}.png"), pixels)
    return folder


def classify(*arguments: object) -> tuple[int, list[dict[str, Any]], str]:
    result = CliRunner().invoke(app, ["classify", *map(str, arguments)])
    return result.exit_code, [json.loads(line) for line in result.stdout.splitlines()], result.output


def test_classify_decides_as_the_station(lesson: tuple[Path, SiteReference], tmp_path: Path, pictures: Path) -> None:
    """Rows name the reference and have distances: clean steel is near, a scratch has a name, the rest has none."""
    shutil.copytree(lesson[0], tmp_path / "state" / FOLDER)
    code, rows, _ = classify(pictures, "--config", station(tmp_path))
    clean, scratch, strange = rows

    assert code == 0
    assert {row["reference"] for row in rows} == {lesson[1].short}
    assert [row["label"] for row in rows] == ["clean", "scratches", "unclassified"]
    assert clean["tiles"][0]["distance"] <= 1.2
    assert min(row["tiles"][0]["distance"] for row in (scratch, strange)) > 1.4
    assert clean["box_px"] is None
    assert strange["box_px"] is not None


def test_an_untaught_station_says_so(tmp_path: Path, pictures: Path) -> None:
    """Without a reference rows are those of the bundle: `reference` and `distance` are null."""
    alone, named = classify(pictures), classify(pictures, "--config", station(tmp_path))

    assert alone[1] == named[1]
    assert {row["reference"] for row in named[1]} == {None}
    assert {tile["distance"] for row in named[1] for tile in row["tiles"]} == {None}


def test_what_is_never_overruled_stays(tmp_path: Path, pictures: Path) -> None:
    """Where all is like the reference all is clean, but a label in `decision.never_overrule`; a typo is refused."""
    teach(tmp_path / "state", load_bundle(find_bundle(DEFAULT_BUNDLE)), (900.0, 900.0))
    _, overruled, _ = classify(pictures, "--config", station(tmp_path))
    _, kept, _ = classify(pictures, "--config", station(tmp_path, '[decision]\nnever_overrule = ["scratches"]\n'))
    typo = station(tmp_path, '[decision]\nnever_overrule = ["scratchez"]\n')

    assert [row["label"] for row in overruled] == ["clean"] * 3
    assert [row["label"] for row in kept] == ["clean", "scratches", "clean"]
    with pytest.raises(ConfigError, match=r"decision\.never_overrule: no label of bundle .*: scratchez"):
        open_judge(DEFAULT_BUNDLE, typo)


def test_a_damaged_reference_is_reported(lesson: tuple[Path, SiteReference], tmp_path: Path, pictures: Path) -> None:
    """It is not used, as the station does not use it, and the reason is said."""
    shutil.copytree(lesson[0], tmp_path / "state" / FOLDER)
    file = next((tmp_path / "state" / FOLDER).rglob("reference.npz"))
    file.write_bytes(file.read_bytes()[:-1])
    result = CliRunner().invoke(app, ["classify", str(pictures / "clean.png"), "--config", str(station(tmp_path))])

    assert "the reference is not used" in result.output
    assert "reference.npz" in result.output


def test_the_distance_is_a_picture(lesson: tuple[Path, SiteReference], tmp_path: Path, pictures: Path) -> None:
    """`--heat` writes one picture each, of the same size: clean steel hardly glows; run twice, there are no more."""
    shutil.copytree(lesson[0], tmp_path / "state" / FOLDER)
    (pictures / "other").mkdir()
    shutil.copy(pictures / "strange.png", pictures / "other" / "clean.png")
    for _ in range(2):
        code, _, _ = classify(pictures, "--config", station(tmp_path), "--heat", tmp_path / "heat")
        assert code == 0
    drawn = {path.name: np.asarray(cv2.imread(str(path))).astype(int) for path in (tmp_path / "heat").iterdir()}
    red = {name: int((pixels[..., 2] - pixels[..., 0] > 60).sum()) for name, pixels in drawn.items()}

    assert set(drawn) == {"clean.png", "clean-2.png", "scratch.png", "strange.png"}
    assert {pixels.shape for pixels in drawn.values()} == {(200, 200, 3)}
    assert red["strange.png"] > 1000 > 100 > red["clean.png"]
    assert red["clean-2.png"] == red["strange.png"]


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        pytest.param(["--heat", "heat"], 78, "name the station with --config", id="heat of a bundle alone"),
        pytest.param(["--heat", "heat", "--config", "station.toml"], 78, "none is accepted", id="heat, not taught"),
        pytest.param(["--model", "x", "--config", "station.toml"], 2, "--model", id="a model beside a station"),
    ],
)
def test_what_does_not_go_together_is_refused(
    options: list[str], code: int, text: str, tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the reason, and without a row."""
    monkeypatch.chdir(tmp_path)
    station(tmp_path)
    result = CliRunner().invoke(app, ["classify", str(pictures), *options])
    said = result.output + str(result.exception)

    assert text in said
    assert result.exit_code == code or code == 78
    assert not (tmp_path / "heat").exists()


def test_replay_under_a_reference_is_byte_identical(
    lesson: tuple[Path, SiteReference], tmp_path: Path, pictures: Path
) -> None:
    """Every message names the reference, and a second replay gives the same bytes."""
    shutil.copytree(lesson[0], tmp_path / "state" / FOLDER)
    config = station(tmp_path)
    for number in (1, 2):
        replay_path(pictures, config, tmp_path / f"{number}.jsonl")
    messages = [json.loads(line) for line in (tmp_path / "1.jsonl").read_text().splitlines()]
    frames = [message for message in messages if message["schema"].startswith("inspector/frame")]

    assert (tmp_path / "1.jsonl").read_bytes() == (tmp_path / "2.jsonl").read_bytes()
    assert {message["reference"] for message in messages} == {lesson[1].short}
    assert [(f["verdict"], f["reason"]) for f in frames] == [
        ("pass", None), ("fail", None), ("unknown", "unclassified"),
    ]  # fmt: skip
    alarms = [message["label"] for message in messages if message["schema"].startswith("inspector/alarm")]
    assert alarms == ["scratches"]
