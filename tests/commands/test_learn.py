"""`inspector learn` and `forget-label`, with the shipped network: from pictures to a label in force, and back."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from inspector.cli import app
from inspector.drawn.tiles import draw_tile
from inspector.errors import ConfigError, LessonError
from inspector.frame import Pixels
from inspector.inspection.picture import classify_pixels
from inspector.settings.loading import load_settings
from inspector.station.wiring import open_bundle


def ringed(seed: int) -> Pixels:
    """Return clean strip with rings on it, as drops leave them: nothing that the network knows."""
    tile, random = draw_tile("clean", 700 + seed).copy(), np.random.default_rng(seed)
    for _ in range(9):
        middle = tuple(int(value) for value in random.integers(20, 180, 2))
        cv2.circle(tile, middle, int(random.integers(10, 26)), int(random.integers(20, 60)), 4, cv2.LINE_AA)
    return tile


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "station.toml"
    path.write_text(
        '[station]\nsite = "s"\nline = "l"\nname = "n"\n[source]\nkind = "folder"\npath = "/frames"\n'
        f'[model]\nworkers = 1\n[store]\npath = "{tmp_path / "state"}"\n'
    )
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "drops"
    folder.mkdir()
    for seed in range(12):
        cv2.imwrite(str(folder / f"{seed}.png"), ringed(seed))
    return folder


def run(*words: str | Path) -> tuple[int, str]:
    """Return exit code and output; our own errors are raised, as `main` gets them."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def decided(config: Path, picture: Pixels) -> tuple[str, list[str]]:
    """Return what a station with this configuration calls the picture, and its labels."""
    model = open_bundle(load_settings(config).settings)
    try:
        return classify_pixels(picture, "one", model.pool, model.rules)["label"], list(model.labels)
    finally:
        model.pool.close()


def test_a_label_from_a_dozen_pictures(config: Path, pictures: Path) -> None:
    """It is in force from the next start or reload: a new picture has the label, clean strip stays clean."""
    before = decided(config, ringed(50))
    code, output = run("learn", "drops", pictures, "--config", config)
    named = [decided(config, ringed(seed))[0] for seed in (50, 51, 52)]
    code_of_classify, row = run("classify", "--json", "--config", config, pictures / "0.png")
    clean, labels = decided(config, draw_tile("clean", 790))

    assert code == 0
    assert "12 pictures, severity minor" in output
    assert "found again, each judged by the others: " in output
    assert before[0] != "drops"
    assert named.count("drops") >= 2
    assert (code_of_classify, json.loads(row)["label"]) == (0, "drops")
    assert clean == "clean"
    assert labels[-1] == "drops"


def test_the_configuration_may_name_it_and_then_it_stays(config: Path, pictures: Path) -> None:
    """Severity and threshold are set as those of any label; a label that is named so is not forgotten by mistake."""
    without = config.read_text()
    run("learn", "drops", pictures, "--config", config)
    config.write_text(without + '[decision.severity]\ndrops = "critical"\n')
    model = open_bundle(load_settings(config).settings)
    model.pool.close()
    with pytest.raises(LessonError, match=r"decision\.severity names it; remove it there first: drops"):
        run("forget-label", "drops", "--config", config)
    config.write_text(without)
    code, output = run("forget-label", "drops", "--config", config)

    assert model.rules.decision.severity["drops"] == "critical"
    assert (code, output.split(".")[0]) == (0, "drops is forgotten")
    assert "drops" not in decided(config, ringed(50))[1]


def test_a_label_that_nobody_taught_is_refused_in_the_configuration(config: Path) -> None:
    """As before: a word with a mistake in it does not pass for a label."""
    config.write_text(config.read_text() + '[decision.severity]\ndrops = "critical"\n')
    with pytest.raises(ConfigError, match=r"decision\.severity: no label of bundle neu-fast .*: drops"):
        open_bundle(load_settings(config).settings)


def test_a_damaged_label_does_not_keep_the_station_down(config: Path, pictures: Path, tmp_path: Path) -> None:
    """It inspects on without that label, even where the configuration names it."""
    run("learn", "drops", pictures, "--config", config)
    config.write_text(config.read_text() + '[decision.severity]\ndrops = "critical"\n')
    arrays = next((tmp_path / "state" / "labels").glob("*.npz"))
    arrays.write_bytes(arrays.read_bytes()[:-50])

    assert "drops" not in decided(config, ringed(50))[1]


@pytest.mark.parametrize(
    ("label", "spoil", "why"),
    [
        ("scratches", None, "the bundle has this label already: scratches"),
        ("Drops!", None, "a label of a-z"),
        ("drops", "few", "5 to 50 different pictures of drops are expected: 4"),
        ("drops", "broken", r"3\.png"),
        ("drops", "many", "at most 50 pictures are expected"),
    ],
)
def test_what_is_refused_is_named(
    label: str, spoil: str | None, why: str, config: Path, pictures: Path, tmp_path: Path
) -> None:
    """Exit 1 with the reason, and nothing is left behind."""
    if spoil == "few":
        for number in range(4, 12):
            (pictures / f"{number}.png").unlink()
    if spoil == "broken":
        (pictures / "3.png").write_bytes(b"no picture")
    if spoil == "many":
        for number in range(12, 60):
            (pictures / f"{number}.png").write_bytes((pictures / "0.png").read_bytes())
    with pytest.raises(LessonError, match=why) as refused:
        run("learn", label, pictures, "--config", config)

    assert refused.value.exit_code == 1
    assert not list((tmp_path / "state").rglob("*.json"))


def test_an_example_of_two_labels_is_refused(config: Path, pictures: Path) -> None:
    """The second one names the picture and the label that has it."""
    run("learn", "drops", pictures, "--config", config)
    with pytest.raises(LessonError, match=r"\.png: an example of drops already, and now of stains"):
        run("learn", "stains", pictures, "--config", config)


def test_a_configuration_that_cannot_be_read_is_78(tmp_path: Path, pictures: Path) -> None:
    """As for every command."""
    path = tmp_path / "wrong.toml"
    path.write_text("[station\n")
    with pytest.raises(ConfigError) as refused:
        run("learn", "drops", pictures, "--config", path)

    assert refused.value.exit_code == 78
