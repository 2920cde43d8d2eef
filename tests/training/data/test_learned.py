"""A folder that has grown: what the model in service has learned from does not judge the next one."""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from inspector.drawn.tiles import draw_tile
from training import own
from training.__main__ import quantize
from training.data.dataset import Picture, Store
from training.data.learned import (
    LEARNED,
    LEARNED_BEFORE,
    known_groups,
    picture_id,
    read_before,
    read_learned,
    write_learned,
)
from training.data.manifest import Manifest
from training.data.prepare import build_manifest
from training.errors import DataError, RecipeError
from training.judge.evaluate import refuse_learned
from training.network import course
from training.network import train as training_run
from training.network.course import Course, carve_validation
from training.own import Start, compare, open_start
from training.recipe import load_recipe
from training.tiles.tile_set import TileSet

LABELS = ("a", "b")


def pictures_of(label: str, count: int, views: int = 1) -> list[Picture]:
    """`count` surfaces of a label, `views` pictures each."""
    return [
        Picture(f"{label}/{n}-{v}.png", label, "", hashlib.sha256(f"{label}{n}{v}".encode()).hexdigest(), 200, 200, (),
                f"{label}{n}")
        for n in range(count) for v in range(views)
    ]  # fmt: skip


def test_new_pictures_are_held_out_first() -> None:
    """Of a folder of which most was learned from, the rest is judged; a label without any news still has its one."""
    pictures = pictures_of("a", 80) + pictures_of("b", 24)
    learned = frozenset(picture_id(p) for p in pictures if p.label == "b" or int(p.group[1:]) < 68)
    kept, held = carve_validation(pictures, known=known_groups(pictures, learned))
    groups = {label: {pictures[i].group for i in held if pictures[i].label == label} for label in LABELS}

    assert sorted(kept + held) == list(range(len(pictures)))
    assert len(groups["a"]) == 10
    assert all(int(group[1:]) >= 68 for group in groups["a"])
    assert len(groups["b"]) == 3


@pytest.mark.parametrize("views", [1, 4])
def test_a_single_new_surface_is_held_out(views: int) -> None:
    """However large it is, and wherever its name stands: known surfaces cannot be judged on."""
    old = pictures_of("a", 20) + pictures_of("b", 20)
    new = [replace(picture, group="a", path=f"a/new-{picture.path[2:]}") for picture in pictures_of("a", 1, views)]
    pictures = old + [replace(p, sha256=hashlib.sha256(p.path.encode()).hexdigest()) for p in new]
    _, held = carve_validation(pictures, known=known_groups(pictures, frozenset(picture_id(p) for p in old)))

    assert "a" in {pictures[i].group for i in held}


def test_another_view_of_a_learned_surface_is_no_news() -> None:
    """One view learned from makes its whole group known."""
    pictures = pictures_of("a", 3, views=2)

    assert known_groups(pictures, frozenset({picture_id(pictures[2])})) == {"a1"}


def test_lists_of_a_run_are_joined(tmp_path: Path) -> None:
    """What a run learned and what its start had learned are kept apart, and read together."""
    assert read_learned(tmp_path) == frozenset()
    write_learned(tmp_path / LEARNED, ["bb", "aa", "bb"])
    write_learned(tmp_path / LEARNED_BEFORE, ["cc"])

    assert (tmp_path / LEARNED).read_text() == "aa\nbb\n"
    assert read_learned(tmp_path) == {"aa", "bb", "cc"}
    assert read_before(tmp_path) == {"cc"}


@pytest.mark.parametrize(
    ("known", "n", "left_out", "told"),
    [
        pytest.param(set(), 20, 0, "the new model is better", id="all are news"),
        pytest.param({f"g{i}" for i in range(16)}, 4, 16, "no difference is shown", id="four are news"),
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
    monkeypatch.setattr(own, "Int8Network", lambda raw: lambda pixels: {"logits": answers[raw]})
    network: Any = own.Int8Network(b"new")
    start = Start(load_recipe("six-way"), LABELS, None, b"old", [], (), frozenset({"some"}))
    row = compare(start, network, Course(LABELS, held.pick([]), held, frozenset()), frozenset(known))

    assert (row["new"]["k"], row["new"]["n"], row["in_service"]["k"], row["left_out"]) == (n, n, 0, left_out)
    assert told in row["verdict"]
    assert ("learned from their surfaces" in row["verdict"]) == bool(left_out)
    assert "is not listed" not in row["verdict"]


class SeenError(Exception):
    """Enough was seen."""


@pytest.fixture
def grown(tmp_path: Path) -> tuple[Store, Manifest]:
    """Twelve drawn surfaces a label."""
    for label in ("scratches", "crazing"):
        (tmp_path / "own" / label).mkdir(parents=True)
        for number in range(12):
            tile = draw_tile(label, 700 + number, 200)
            cv2.imwrite(str(tmp_path / "own" / label / f"{label}_{number}.png"), tile)
    store = Store(tmp_path / "own")
    return store, build_manifest(store)


def test_the_next_round_holds_out_what_is_new(
    grown: tuple[Store, Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fine-tuning from a model that knows ten surfaces a label holds out the others, and quantize does the same."""
    store, manifest = grown
    start = open_start(Path("neu-fast"))
    learned = frozenset(picture_id(p) for p in manifest.pictures if int(p.name.split("_")[1]) < 10)
    monkeypatch.setattr(own, "open_start", lambda source: replace(start, learned=learned))
    monkeypatch.setattr(own.signoff, "sign_off", lambda *args: SimpleNamespace(model=start.int8))
    monkeypatch.setattr(own.signoff, "save", lambda *args: None)
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
    assert own.fine_tune(recipe, Path("start"), store, manifest, tmp_path / "run") == "said"
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
    grown: tuple[Store, Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused before anything in it is written."""
    store, manifest = grown
    start = open_start(Path("neu-fast"))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text('{"recipe": {}}')
    write_learned(tmp_path / "run" / LEARNED_BEFORE, ["aa"])
    monkeypatch.setattr(own, "open_start", lambda source: start)
    with pytest.raises(RecipeError, match="run of another configuration"):
        own.fine_tune(load_recipe("neu-fast-refine").changed(tiles={}), Path("s"), store, manifest, tmp_path / "run")

    assert read_before(tmp_path / "run") == {"aa"}
    assert not (tmp_path / "run" / "init.weights.h5").exists()


@pytest.mark.parametrize(("copied", "refused"), [(False, True), (True, False)])
def test_learned_test_pictures_are_refused_unless_they_are_copies(copied: bool, refused: bool) -> None:
    """A test picture that training saw spoils the figures; one that is a copy of a training picture is left out."""
    held = [replace(p, split="validation") for p in pictures_of("a", 3)]
    train = [replace(held[0], path="copy.png", split="train")] if copied else []
    manifest = Manifest((*held, *train), ())
    with pytest.raises(DataError, match="learned from 1 of 3") if refused else nullcontext():
        refuse_learned(held, manifest, frozenset({picture_id(held[0])}), "a bundle")
