"""`training.own`: from a bundle back to a float network, and on to the next model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from small_run import SMALL, Trained

from inspector.drawn.spec import KINDS
from inspector.drawn.tiles import draw_tile
from inspector.model.interpreter import Int8Network
from training import own
from training.__main__ import quantize
from training.bundle.bundle import bundle_run
from training.data.dataset import DataSet
from training.data.learned import LEARNED_BEFORE, picture_id, read_before, read_learned, write_learned
from training.data.manifest import Manifest
from training.data.prepare import build_manifest
from training.errors import RecipeError
from training.int8 import signoff
from training.network import course
from training.network import train as training_run
from training.network.course import Course
from training.network.predict import predict_tiles
from training.own import Start, compare, fine_tune, open_start
from training.recipe import load_recipe
from training.tiles.tile_set import TileSet


def test_a_bundle_gives_back_its_float_network() -> None:
    """The float network read from the shipped int8 file scores generated tiles as that file does."""
    start = open_start(Path("neu-fast"))
    tiles = [draw_tile(label, seed, 200) for label in start.labels for seed in range(4)]
    floats = predict_tiles(start.network, tiles, start.recipe)
    ints = Int8Network(start.int8)(tiles)["logits"]

    assert np.corrcoef(floats.ravel(), ints.ravel())[0, 1] > 0.98


def test_own_pictures_make_the_next_model(trained: Trained, tmp_path: Path) -> None:
    """A folder with a new label fine-tunes a bundle and is compared with it on the same held-out tiles."""
    for label, drawn in (("dent", "patches"), ("scratches", "scratches"), ("clean", "clean")):
        (tmp_path / "own" / label).mkdir(parents=True)
        for number in range(6):
            pixels = draw_tile(drawn, 500 + number, 200)
            cv2.imwrite(str(tmp_path / "own" / label / f"{label}_{number}.png"), pixels)
    data_set = DataSet(tmp_path / "own")
    tiles = {"generated_defects": 12, "clean_textures": 4, "cut": 4}  # of six labels, of which one is ours
    stages, rounding = [{"epochs": 2, "learning_rate": 0.001, "schedule": "constant"}], {"epochs": 1}
    recipe = SMALL.changed(name="own", tiles=tiles, stages=stages, rounding=rounding, batch=8)
    told = fine_tune(recipe, trained.bundle, data_set, build_manifest(data_set), tmp_path / "run")
    row = json.loads((tmp_path / "run" / "comparison.json").read_text())
    labels = json.loads((tmp_path / "run" / "run.json").read_text())["labels"]

    assert labels == ["dent", "scratches", "clean"]
    assert (tmp_path / "run" / "best.weights.h5").is_file()
    assert row["in_service"]["n"] == row["new"]["n"] == 2  # one picture each of clean and of scratches is held out
    assert (row["new_labels"], row["of_new_labels"]["n"]) == (["dent"], 1)
    assert row["lost_labels"] == sorted(set(KINDS) - {"scratches"})
    assert any(verdict in told for verdict in ("too few pictures to tell: ", "is better"))
    assert "newly named: dent" in told
    assert "NO LONGER NAMED, for want of pictures of them: crazing, inclusion" in told

    card = bundle_run(tmp_path / "run", tmp_path / "bundle", build_manifest(data_set), "1.0.0", None, gate=False)
    learned = read_learned(tmp_path / "bundle")
    assert len(learned) == len(read_learned(trained.bundle)) + len(build_manifest(data_set).pictures) - 3
    assert learned == read_learned(tmp_path / "run") > read_learned(trained.bundle) == read_learned(trained.run)
    assert "user's own pictures" in card.description
    assert "ask to be cited" in card.description
    roles = {row["name"]: row["role"] for row in card.data["sets"] if row["name"] != "generated strip of this product"}
    assert roles == {
        "the user's own pictures": "training",
        "NEU-DET": f"through {trained.bundle.name}, from which it was fine-tuned: training split",
    }


LABELS = ("a", "b")


@pytest.mark.parametrize(
    ("known", "n", "left_out", "told"),
    [
        pytest.param(set(), 20, 0, "the new model is better", id="all are news"),
        pytest.param({f"g{i}" for i in range(16)}, 4, 16, "too few pictures to tell: 2 more", id="four are news"),
        pytest.param({f"g{i}" for i in range(20)}, 0, 20, "no held-out picture is new", id="none is"),
    ],
)
def test_learned_pictures_do_not_vote(
    known: set[str], n: int, left_out: int, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new network names every picture, the one in service none: only news count."""
    tiles = [np.zeros((200, 200), np.uint8)] * 20
    held = TileSet.of(tiles, ["a"] * 20, "picture", [f"g{i}" for i in range(20)])
    answers = {b"old": np.tile([0.0, 1.0], (20, 1)), b"new": np.tile([1.0, 0.0], (20, 1))}

    def answer(raw: bytes) -> Any:
        return lambda pixels, roles: dict.fromkeys(roles, answers[raw])

    monkeypatch.setattr(own, "Int8Network", answer)
    network = answer(b"new")
    start = Start(load_recipe("six-way"), LABELS, None, b"old", [], (), frozenset({"some"}))
    row = compare(start, network, Course(LABELS, held.pick([]), held, frozenset()), frozenset(known))

    assert (row["new"]["k"], row["new"]["n"], row["in_service"]["k"], row["left_out"]) == (n, n, 0, left_out)
    assert told in row["verdict"]
    assert ("learned from their surfaces" in row["verdict"]) == bool(left_out)
    assert "is not listed" not in row["verdict"]


@pytest.mark.parametrize(
    ("gained", "lost", "groups", "wanted"),
    [
        pytest.param(3, 0, 3, 3, id="three of three: three more of six decide"),
        pytest.param(4, 0, 8, 3, id="half of eight: three more"),
        pytest.param(0, 0, 8, 12, id="none of eight: as many as make no difference a finding"),
        pytest.param(2, 2, 8, 12, id="even"),
        pytest.param(1, 0, 19, 1, id="one less than enough"),
    ],
)
def test_how_many_more_would_settle_it(gained: int, lost: int, groups: int, wanted: int) -> None:
    """Further surfaces at the same shares, until one is better for sure or no difference is one."""
    assert own._groups_wanted(gained, lost, groups) == wanted


class SeenError(Exception):
    """Enough was seen."""


@pytest.fixture
def grown(tmp_path: Path) -> tuple[DataSet, Manifest]:
    """Twelve drawn surfaces a label."""
    for label in ("scratches", "crazing"):
        (tmp_path / "own" / label).mkdir(parents=True)
        for number in range(12):
            tile = draw_tile(label, 700 + number, 200)
            cv2.imwrite(str(tmp_path / "own" / label / f"{label}_{number}.png"), tile)
    data_set = DataSet(tmp_path / "own")
    return data_set, build_manifest(data_set)


def test_the_next_round_holds_out_what_is_new(
    grown: tuple[DataSet, Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fine-tuning from a model that knows ten surfaces a label holds out the others, and quantize does the same."""
    data_set, manifest = grown
    start = open_start(Path("neu-fast"))
    learned = frozenset(picture_id(p) for p in manifest.pictures if int(p.name.split("_")[1]) < 10)
    monkeypatch.setattr(own, "open_start", lambda source: replace(start, learned=learned))
    monkeypatch.setattr(signoff, "sign_off", lambda *args: SimpleNamespace(model=start.int8))
    monkeypatch.setattr(signoff, "save", lambda *args: None)
    seen: dict[str, Any] = {}

    def trained(recipe: Any, course: Course, run: Path, *args: Any) -> None:
        seen["course"], seen["before"] = course, read_before(run)

    def compared(start: Start, new: Any, course: Course, known: frozenset[str]) -> dict[str, Any]:
        seen["known"] = known
        return {"verdict": "said"}

    monkeypatch.setattr(own, "train", trained)
    monkeypatch.setattr(own, "compare", compared)
    recipe = load_recipe("neu-fast-refine").changed(tiles={})
    held = {p.group for p in manifest.pictures if picture_id(p) not in learned}
    assert own.fine_tune(recipe, Path("start"), data_set, manifest, tmp_path / "run") == "said"
    assert {
        g
        for g, o in zip(seen["course"].validation.groups, seen["course"].validation.origins, strict=True)
        if o == "picture"
    } <= held
    assert seen["known"] == {p.group for p in manifest.pictures} - held
    assert seen["before"] == learned

    def course_of(*args: Any) -> None:
        assert args[-1] == learned
        raise SeenError

    monkeypatch.setattr(training_run, "load_run", lambda run: (recipe, (), None))
    monkeypatch.setattr(training_run, "refuse_other_data", lambda *args: None)
    monkeypatch.setattr(course, "course_of", course_of)
    with pytest.raises(SeenError):
        quantize(tmp_path / "run", tmp_path / "own", tmp_path / "manifest.json")


def test_a_folder_of_another_start_keeps_its_list(
    grown: tuple[DataSet, Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused before anything in it is written."""
    data_set, manifest = grown
    start = open_start(Path("neu-fast"))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text('{"recipe": {}}')
    write_learned(tmp_path / "run" / LEARNED_BEFORE, ["aa"])
    monkeypatch.setattr(own, "open_start", lambda source: start)
    with pytest.raises(RecipeError, match="run of another configuration"):
        own.fine_tune(load_recipe("neu-fast-refine").changed(tiles={}), Path("s"), data_set, manifest, tmp_path / "run")

    assert read_before(tmp_path / "run") == {"aa"}
    assert not (tmp_path / "run" / "init.weights.h5").exists()
