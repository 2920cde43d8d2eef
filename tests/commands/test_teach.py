"""`inspector teach`: a folder of good frames becomes a candidate, a person lets it count, and it can be undone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from inspector.cli import app
from inspector.drawn.tiles import draw_tile
from inspector.errors import LessonError, SiteReferenceError
from inspector.model.bundle import find_bundle, load_bundle
from inspector.teach import files, judge, teaching
from inspector.teach.card import read_card, write_card
from inspector.teach.durable import held_lock
from inspector.teach.files import load_reference

BUNDLE = load_bundle(find_bundle("neu-fast"))
TILES = 60


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good frames of six coils, drawn."""
    folder = tmp_path_factory.mktemp("good")
    for number in range(TILES):
        coil = folder / f"coil{number % 6}"
        coil.mkdir(exist_ok=True)
        cv2.imwrite(str(coil / f"{number}.png"), draw_tile("clean", 900 + number))
    return folder


@pytest.fixture
def station(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration of a station of stills, whose teach-ins judge a few defects only."""
    monkeypatch.setattr(judge, "SHOWN", 24)
    config = tmp_path / "station.toml"
    config.write_text(
        '[station]\nsite = "a"\nline = "b"\nname = "c"\n[source]\nkind = "folder"\n'
        f'path = "{tmp_path / "in"}"\n[store]\npath = "{tmp_path / "state"}"\n[mqtt]\nenabled = false\n'
    )
    return config


def teach(station: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """Return exit code and values of the command."""
    done = CliRunner().invoke(app, ["teach", "--config", str(station), *options, "--json"])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, json.loads(done.stdout) if done.stdout else {}


def in_force(station: Path) -> str | None:
    reference = load_reference(station.parent / "state" / "reference", BUNDLE)
    return None if reference is None else reference.short


def test_a_candidate_counts_when_it_is_accepted(station: Path, good: Path) -> None:
    """Without --accept nothing counts; --accept alone takes the last candidate; --undo takes it back."""
    code, values = teach(station, "--frames", str(good), "--coils-by", "folder")
    assert (code, values["state"], values["tiles"], values["coils"]) == (0, "candidate", TILES, 6)
    assert in_force(station) is None

    code, accepted = teach(station, "--accept")
    assert (code, accepted["state"]) == (0, "accepted")
    assert accepted["reference"] == values["reference"] == in_force(station)
    assert accepted["accepted"]["by"]

    assert teach(station, "--undo") == (0, {"state": "untaught"})
    assert in_force(station) is None


def test_taught_and_accepted_at_once(station: Path, good: Path) -> None:
    """With both, what was taught counts at once; few tiles and unknown coils are said."""
    code, values = teach(station, "--frames", str(good), "--coils-by", "none", "--accept")

    assert (code, values["state"], values["coils"]) == (0, "accepted", None)
    assert in_force(station) == values["reference"]
    assert [warning.split(":")[0] for warning in values["warnings"]] == [
        "60 tiles are few, 300 and more are advised", "the coils are unknown",
    ]  # fmt: skip


def test_what_falls_silent_and_what_is_still_found(station: Path, good: Path) -> None:
    """Before and after are told on coils that were not taught, and the drawn steel's defects are found on."""
    _, values = teach(station, "--frames", str(good), "--coils-by", "folder")
    judgement = values["judgement"]

    assert (judgement["tiles"], judgement["shown"], judgement["refused"]) == (TILES, 24, None)
    assert judgement["alarms_after"] <= judgement["alarms_before"]
    assert judgement["found_after"] + judgement["unclassified_shown"] >= 0.85 * judgement["found_before"]


def test_a_person_strikes_out_what_is_a_defect(station: Path, good: Path, tmp_path: Path) -> None:
    """Tiles that are struck out by their numbers on the sheet are gone from the next candidate."""
    shutil.copytree(good, tmp_path / "frames")
    cv2.imwrite(str(tmp_path / "frames" / "coil0" / "bad.png"), draw_tile("scratches", 3))
    _, first = teach(station, "--frames", str(tmp_path / "frames"), "--coils-by", "folder")
    sheet = cv2.imread(first["sheet"], cv2.IMREAD_GRAYSCALE)
    code, second = teach(station, "--strike", "1,2")

    assert sheet is not None
    assert sheet.shape[0] > 800
    assert (code, first["tiles"], second["tiles"]) == (0, TILES + 1, TILES - 1)
    with pytest.raises(LessonError, match=r"--strike takes numbers of .*strangest\.png, 1 to 24: 25"):
        teach(station, "--strike", "25")


def test_one_that_loses_defects_is_refused(
    station: Path, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lesson of which a tenth is defects hides them: exit 1 with the reason; --accept overrides, and that is kept."""
    shutil.copytree(good, tmp_path / "frames")
    for number in range(7):
        kind = ("scratches", "inclusion", "patches", "crazing", "pitted_surface", "rolled-in_scale")[number % 6]
        cv2.imwrite(str(tmp_path / "frames" / f"coil{number % 6}" / f"bad{number}.png"), draw_tile(kind, number))
    code, values = teach(station, "--frames", str(tmp_path / "frames"), "--coils-by", "folder")
    assert code == 1
    assert "it loses" in values["refused"]
    assert in_force(station) is None

    code, accepted = teach(station, "--accept")
    assert (code, accepted["accepted"]["override"]) == (0, values["refused"])
    assert in_force(station) == values["reference"]


def test_a_refit_keeps_the_station_taught(station: Path, good: Path) -> None:
    """For the same bundle and runtime the refit gives the same reference, and it counts."""
    teach(station, "--frames", str(good), "--coils-by", "folder", "--accept")
    before = in_force(station)
    code, values = teach(station, "--refit")

    assert (code, values["state"], values["reference"]) == (0, "accepted", before)
    assert values["judgement_of_present"]["tiles"] == values["judgement"]["tiles"]


def test_another_bundle_is_taught_from_the_kept_pixels(station: Path, good: Path) -> None:
    """After an upgrade the accepted reference is for another bundle and refused; the refit teaches the new one."""
    teach(station, "--frames", str(good), "--coils-by", "folder", "--accept")
    path = station.parent / "state" / "reference" / "accepted" / "reference.json"
    card = read_card(path.read_bytes())
    path.write_bytes(write_card(card.model_copy(update={"bundle": "older@1", "bundle_sha256": "0" * 64})))
    with pytest.raises(SiteReferenceError, match="another bundle"):
        in_force(station)

    code, values = teach(station, "--refit")
    assert (code, values["state"]) == (0, "accepted")
    assert in_force(station) == values["reference"]


def test_a_refit_that_finds_less_does_not_count(station: Path, good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the new one is worse than what was judged of the present one, the present one counts on: exit 1."""
    teach(station, "--frames", str(good), "--coils-by", "folder", "--accept")
    before = in_force(station)
    monkeypatch.setattr(teaching, "is_worse", lambda *_: True)
    code, values = teach(station, "--refit")

    assert (code, values["state"]) == (1, "candidate")
    assert in_force(station) == before


def test_two_teach_ins_at_once_are_refused(station: Path, good: Path) -> None:
    """The second of two is refused with the name of the lock; the first goes on."""
    with (
        held_lock(station.parent / "state" / "reference" / "teach.lock", wait=False),
        pytest.raises(LessonError, match=r"another teach-in is running: .*teach\.lock"),
    ):
        teach(station, "--frames", str(good))


def test_a_full_disk_is_named(station: Path, good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the candidate cannot be written, the file is named and the reference in force counts on."""
    teach(station, "--frames", str(good), "--coils-by", "folder", "--accept")
    before = in_force(station)

    def refuse(place: Path, _: object) -> None:
        raise OSError(28, "No space left on device", str(place / "tiles.npz"))

    monkeypatch.setattr(files, "write_folder", refuse)
    with pytest.raises(OSError, match=r"No space left on device: .*candidate/tiles\.npz"):
        teach(station, "--frames", str(good), "--coils-by", "none")
    assert in_force(station) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(["--accept"], "no candidate to accept", id="accept"),
        pytest.param(["--undo"], "nothing to undo", id="undo"),
        pytest.param(["--refit"], "no accepted reference to refit", id="refit"),
        pytest.param(["--strike", "1"], "no candidate to strike", id="strike"),
        pytest.param(["--frames", "/nowhere/frames"], "no such folder: /nowhere/frames", id="frames"),
    ],
)
def test_what_is_missing_is_named(station: Path, options: list[str], said: str) -> None:
    """Exit 1 with what is missing."""
    with pytest.raises(LessonError, match=said) as caught:
        teach(station, *options)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    "options",
    [[], ["--minutes", "5", "--frames", "x"], ["--undo", "--refit"], ["--undo", "--accept"], ["--strike", "one"]],
)
def test_options_that_do_not_belong_together_are_refused(station: Path, options: list[str]) -> None:
    """Wrong use of the command line is exit 2."""
    assert CliRunner().invoke(app, ["teach", "--config", str(station), *options]).exit_code == 2


def test_every_tile_is_listed(station: Path, good: Path) -> None:
    """Beside the sheet lies a list of all tiles, the strangest first."""
    _, values = teach(station, "--frames", str(good), "--coils-by", "folder")
    rows = (Path(values["folder"]) / "tiles.csv").read_text().splitlines()
    distances = np.array([float(row.split(",")[-1]) for row in rows[1:]])

    assert rows[0] == "rank,tile,coil,frame,distance"
    assert len(distances) == TILES
    assert (np.diff(distances) <= 0).all()
