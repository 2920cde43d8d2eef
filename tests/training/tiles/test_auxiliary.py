"""Pictures of other mills: which half is learned from, what they teach, and what is left untouched by them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from inspector.drawn.tiles import draw_tile
from training.bundle.provenance import learned_from, notice
from training.data.dataset import DataSet
from training.data.prepare import build_manifest
from training.errors import DataError, RecipeError
from training.network.course import course_of
from training.network.feed import training_batches
from training.recipe import Recipe
from training.tiles.auxiliary import NOTHING, held_half, learned_half, load_auxiliary
from training.tiles.foreign import foreign_sets
from training.tiles.tile_set import OUTLIER, TileSet

LABELS = ("inclusion", "scratches", "clean")
SHOWS = {"ash": "", "surface scratch": "scratches"}
RECIPE = Recipe.model_validate(
    {
        "name": "small", "width": 0.35, "input_px": 64, "batch": 4, "stages": [{"epochs": 1, "learning_rate": 0.001}],
        "auxiliary": {"source": "another mill", "licence": "Apache-2.0", "shows": SHOWS},
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures of ash and six of scratches, 128 px; the first two of ash show the same surface."""
    root = tmp_path_factory.mktemp("elsewhere")
    for folder, label in (("ash", "patches"), ("surface scratch", "scratches")):
        (root / folder).mkdir()
        for number in range(6):
            tile = draw_tile(label, 100 + max(1, number) if folder == "ash" else 200 + number, 200)
            cv2.imwrite(str(root / folder / f"{number}.png"), tile[:128, :128])
    return root


def test_a_surface_is_learned_from_or_measured_on_never_both(elsewhere: Path) -> None:
    manifest = build_manifest(DataSet(elsewhere))
    learned, held = learned_half(manifest), held_half(manifest)

    assert sorted(p.path for p in learned + held) == sorted(p.path for p in manifest.pictures)
    assert not {p.group for p in learned} & {p.group for p in held}
    assert {p.path for p in learned} >= {"ash/0.png", "ash/1.png"}
    for label in manifest.labels:
        assert sum(p.label == label for p in learned) == 4 - (label == "surface scratch")


def test_the_tiles_are_the_learned_half_at_the_size_of_the_recipe_s(elsewhere: Path) -> None:
    found = load_auxiliary(RECIPE, elsewhere, LABELS)
    manifest = build_manifest(DataSet(elsewhere))

    assert len(found.tiles) == len(learned_half(manifest))
    assert {tile.shape for tile in found.tiles.pixels} == {(200, 200)}
    assert set(found.tiles.labels) == {OUTLIER, "scratches"}
    assert found.provenance == {"auxiliary": manifest.sha256}


def test_of_what_was_learned_from_the_other_half_is_measured_and_all_of_the_rest(
    elsewhere: Path, tmp_path: Path
) -> None:
    (tmp_path / "x-sdd").mkdir()
    (tmp_path / "x-sdd" / "images").symlink_to(elsewhere)
    rows = {each.name: each for each in foreign_sets(tmp_path, 200, ("ash",))}
    manifest = build_manifest(DataSet(elsewhere))
    held = {picture.group for picture in held_half(manifest) if picture.label == "ash"}

    assert {name: each.kind for name, each in rows.items()} == {
        "x-sdd/ash": "strange", "x-sdd/surface scratch": "counterpart",
    }  # fmt: skip
    assert set(rows["x-sdd/ash"].groups) == held
    assert len(rows["x-sdd/surface scratch"].tiles) == 6


@pytest.mark.parametrize(
    ("row", "folders"),
    [
        pytest.param({"recipe": RECIPE.model_dump()}, ("ash", "surface scratch"), id="with auxiliary pictures"),
        pytest.param({"recipe": RECIPE.changed(auxiliary=None).model_dump()}, (), id="without"),
        pytest.param({"recipe": {"name": "older"}}, (), id="of before that setting"),
        pytest.param({"recipe": {}, "init_learned_from": ["ash"]}, ("ash",), id="a run, before its start"),
        pytest.param({"recipe": {}, "learned_from": ["ash"]}, ("ash",), id="a card, before its start"),
    ],
)
def test_a_card_and_a_run_say_what_they_learned_from(row: dict[str, Any], folders: tuple[str, ...]) -> None:
    """What a start learned from stays learned: `evaluate` measures the other half of it only."""
    assert learned_from(row) == folders


def test_a_bundle_s_description_names_the_pictures_from_elsewhere() -> None:
    """Whoever reads the card finds source and licence of all that the weights were learned from."""
    assert "another mill, Apache-2.0, was learned from too" in notice(RECIPE, [], own=False)
    assert notice(RECIPE, [], own=False).startswith(notice(RECIPE.changed(auxiliary=None), [], own=False))


def test_of_an_outlier_the_network_is_to_be_unsure_and_of_the_others_sure() -> None:
    tiles = TileSet.of(
        [draw_tile("clean", n, 200) for n in range(4)], [OUTLIER, "clean", "inclusion", OUTLIER], "x", "abcd"
    )
    _, wanted = next(iter(training_batches(tiles, LABELS, RECIPE, input_px=64, first_epoch=0, epochs=1)))
    rows = sorted(np.round(wanted["logits"].numpy(), 4).tolist())

    third = pytest.approx([1 / 3] * 3, abs=1e-4)
    assert rows == [[0, 0, 1], third, third, [1, 0, 0]]
    assert not wanted["cam"].numpy().any()


def test_auxiliary_tiles_are_learned_from_and_nothing_is_judged_on_them(elsewhere: Path, small_data: Path) -> None:
    data_set = DataSet(small_data)
    manifest = build_manifest(data_set)
    found = load_auxiliary(RECIPE, elsewhere, manifest.labels)
    course, without = course_of(RECIPE, data_set, manifest, found), course_of(RECIPE, data_set, manifest)

    assert course.labels == without.labels
    assert course.train.origins == without.train.origins + ["auxiliary"] * len(found.tiles)
    assert course.validation.groups == without.validation.groups


def test_a_recipe_without_such_pictures_looks_at_no_folder() -> None:
    assert load_auxiliary(RECIPE.changed(auxiliary=None), Path("nowhere"), LABELS) is NOTHING
    assert NOTHING.provenance == {}


def test_the_setting_joins_the_name_of_a_recipe_only_where_it_is_used() -> None:
    plain = RECIPE.changed(auxiliary=None)

    assert plain.digest != RECIPE.digest
    assert (
        Recipe.model_validate({k: v for k, v in plain.model_dump().items() if k != "auxiliary"}).digest == plain.digest
    )


@pytest.mark.parametrize(
    ("shows", "given", "named"),
    [
        pytest.param(SHOWS, False, "--auxiliary FOLDER is wanted", id="no folder given"),
        pytest.param({"ash": "", "red iron": ""}, True, "no folder 'red iron'", id="a folder that is not there"),
        pytest.param({"ash": "dust"}, True, "no label of the data: 'dust'", id="a label the network lacks"),
    ],
)
def test_what_does_not_fit_is_named(shows: dict[str, str], given: bool, named: str, elsewhere: Path) -> None:
    recipe = RECIPE.changed(auxiliary={"source": "another mill", "licence": "Apache-2.0", "shows": shows})
    with pytest.raises((RecipeError, DataError), match=named):
        load_auxiliary(recipe, elsewhere if given else None, LABELS)
