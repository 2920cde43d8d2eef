"""Grounds that show marks nobody boxed: who is left out, and from which figures."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from training.data.dataset import DataSet, Picture, load_pixels
from training.data.learned import picture_id
from training.data.prepare import build_manifest
from training.data.reviewed import FOREIGN_REVIEW, REVIEW, find_marked_groups, find_unmarked_tiles, read_marked_pictures
from training.network.course import companions
from training.recipe import Recipe
from training.tiles.composed import find_grounds
from training.tiles.foreign import foreign_sets

ROW = {"name": "small", "width": 0.35, "input_px": 64, "stages": [{"epochs": 1, "learning_rate": 0.001}]}
FIRST = Picture("a.jpg", "inclusion", "validation", "0123456789abcdef" + 48 * "0", 200, 200, group="a")
SECOND = replace(FIRST, path="b.jpg", sha256="fedcba9876543210" + 48 * "0", group="b")


@pytest.mark.parametrize(
    ("first", "second", "groups"),
    [
        pytest.param("marked", "marked", {"a"}, id="both saw a mark"),
        pytest.param("marked", "unsure", set(), id="one was unsure"),
        pytest.param("clean", "clean", set(), id="neither did"),
    ],
)
def test_a_group_is_left_out_where_both_saw_a_mark(first: str, second: str, groups: set[str], tmp_path: Path) -> None:
    review = tmp_path / "review.csv"
    review.write_text(f"picture_id,picture,first,second\n{picture_id(FIRST)},a,{first},{second}\n")

    assert find_marked_groups([FIRST, SECOND], review) == groups
    assert read_marked_pictures(review) == ({picture_id(FIRST)} if groups else set())


def test_a_marked_picture_gives_no_ground_to_a_recipe_that_wants_reviewed_ones(
    small_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows, cut boxes and cut pictures alike; what the picture itself shows is learned as before."""
    data_set = DataSet(small_data)
    pictures = [p for p in build_manifest(data_set).split("train") if p.label == "inclusion"]
    pixels = load_pixels(data_set, pictures)
    grounds = [i for i, p in enumerate(pictures) if find_grounds([p], [pixels[i]])]
    assert len(grounds) > 1
    out = pictures[grounds[0]]
    assert len(find_grounds(pictures, pixels, {picture_id(out)})) == len(grounds) - 1

    monkeypatch.setattr(
        "training.network.course.read_marked_pictures", lambda: frozenset(picture_id(pictures[i]) for i in grounds)
    )
    recipe = Recipe.model_validate(ROW | {"tiles": {"clean_quilted": 2, "cut": 2, "cut_pictures": 3}})
    before, after = (
        companions(each, pictures, pixels, 1.0, 1, seed=7) for each in (recipe, recipe.changed(ground="reviewed"))
    )
    real = {p.group for p in pictures}
    assert {g for g, o in zip(before.groups, before.origins, strict=True) if o == "clean_quilted"} <= real
    assert set(after.origins) == {"picture", "cut_picture"}
    assert {g for g, label in zip(after.groups, after.labels, strict=True) if label == "clean"} <= {"artificial"}


def test_the_setting_joins_the_name_of_a_recipe_only_where_it_is_used() -> None:
    plain = Recipe.model_validate(ROW)
    row = {name: value for name, value in plain.model_dump().items() if name != "ground"}

    assert Recipe.model_validate(row).digest == plain.digest != plain.changed(ground="reviewed").digest


def test_the_committed_review_holds_each_ground_once_with_two_verdicts() -> None:
    with REVIEW.open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert len({row["picture_id"] for row in rows}) == len(rows) == 293
    assert {row[side] for row in rows for side in ("first", "second")} == {"clean", "unsure", "marked"}
    assert Counter((row["first"], row["second"]) for row in rows)["marked", "marked"] == 150
    assert all(bool(row["seen_by_first"]) == (row["first"] != "clean") for row in rows)


def test_tiles_that_were_judged_and_not_called_marked_twice_are_found(tmp_path: Path) -> None:
    """By file and number: a tile that nobody judged is not among them, nor one of another set."""
    review = tmp_path / "review.csv"
    rows = ["s,a.jpg,0,marked,marked", "s,a.jpg,1,marked,unsure", "s,b.jpg,1,clean,clean", "t,b.jpg,0,clean,clean"]
    review.write_text("\n".join(["set,file,tile,first,second", *rows]) + "\n")

    assert find_unmarked_tiles("s", ["a.jpg", "b.jpg", "a.jpg", "b.jpg", "b.jpg"], review) == [2, 3]


def test_the_committed_review_of_other_mills_holds_each_tile_once_with_two_verdicts() -> None:
    with FOREIGN_REVIEW.open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert len({(row["set"], row["file"], row["tile"]) for row in rows}) == len(rows) == 128 + 180
    assert {row[side] for row in rows for side in ("first", "second")} == {"clean", "unsure", "marked"}
    marked = Counter(row["set"] for row in rows if row["first"] == row["second"] == "marked")
    assert marked == {"severstal/no_defect": 74, "magnetic-tile/MT_Free": 117}


@pytest.mark.data
def test_the_review_of_other_mills_names_tiles_that_are_there(data_folder: Path) -> None:
    unmarked = {each.name: find_unmarked_tiles(each.name, each.groups) for each in foreign_sets(data_folder, 200)}

    assert {name: len(found) for name, found in unmarked.items() if found} == {
        "severstal/no_defect": 54,
        "magnetic-tile/MT_Free": 63,
    }
