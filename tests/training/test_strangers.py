"""Photographed surfaces of every other kind: what is cut from them, what is left out, and what names them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspector.frame import Pixels
from inspector.strip import draw_tile
from training.auxiliary import NOTHING
from training.bundle import data_sets, notice
from training.dataset import Store
from training.errors import DataError, RecipeError
from training.prepare import build_manifest
from training.recipe import Recipe
from training.strangers import cut_square, load_elsewhere, load_strangers
from training.tiles import OUTLIER
from training.train import course_of

STRANGERS = {"source": "somebody's walls", "licence": "CC-BY-3.0", "without": ("_nm", "_gm")}
RECIPE = Recipe.model_validate(
    {
        "name": "small", "width": 0.35, "input_px": 64, "batch": 4, "stages": [{"epochs": 1, "learning_rate": 0.001}],
        "strangers": STRANGERS,
    }
)  # fmt: skip


def grain(height: int, width: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(60, 200, (height, width), dtype=np.uint8)


@pytest.fixture(scope="module")
def surfaces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two surfaces, a map of normals, a button and a plain one."""
    root = tmp_path_factory.mktemp("surfaces")
    (root / "walls").mkdir()
    for name, pixels in (
        ("brick.png", grain(512, 300)), ("plaster.png", draw_tile("clean", 1, 200)), ("brick_nm.png", grain(512, 512)),
        ("button.png", grain(100, 400)), ("plain.png", np.full((256, 256), 90, np.uint8)),
    ):  # fmt: skip
        cv2.imwrite(str(root / "walls" / name), pixels)
    return root


def test_one_square_of_each_surface_and_none_of_what_shows_no_surface(surfaces: Path) -> None:
    found = load_strangers(RECIPE, surfaces)

    assert found.tiles.groups == ["walls/brick.png", "walls/plaster.png"]
    assert found.tiles.labels == [OUTLIER] * 2
    assert {tile.shape for tile in found.tiles.pixels} == {(RECIPE.tile_px, RECIPE.tile_px)}


def test_a_folder_and_a_zip_under_any_name_give_the_same(surfaces: Path, tmp_path: Path) -> None:
    packed = tmp_path / "0textures.pk3"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(surfaces.rglob("*.png")):
            archive.write(path, path.relative_to(surfaces))
    folder, zipped = load_strangers(RECIPE, surfaces), load_strangers(RECIPE, packed)

    assert folder.provenance == zipped.provenance
    assert all(np.array_equal(a, b) for a, b in zip(folder.tiles.pixels, zipped.tiles.pixels, strict=True))


def test_a_recipe_s_seed_draws_the_squares_and_its_files_name_them(surfaces: Path) -> None:
    first, other = load_strangers(RECIPE, surfaces), load_strangers(RECIPE.changed(seed=2), surfaces)

    assert not np.array_equal(first.tiles.pixels[0], other.tiles.pixels[0])
    assert first.provenance == other.provenance
    everything = load_strangers(RECIPE.changed(strangers={**STRANGERS, "without": ()}), surfaces)
    assert len(everything.tiles) == 3
    assert everything.provenance != first.provenance


@pytest.mark.parametrize("shape", [(128, 128), (130, 900), (420, 420), (2000, 1000)])
def test_a_square_lies_within_its_picture_whatever_the_size(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        tile = cut_square(grain(*shape), 200, rng)
        assert tile is not None
        assert tile.shape == (200, 200)


@pytest.mark.parametrize("grey", [0, 255])
def test_what_is_black_or_white_for_the_most_shows_nothing(grey: int) -> None:
    pixels = grain(300, 300)
    pixels[:, :200] = grey

    assert cut_square(pixels, 200, np.random.default_rng(0)) is None


def test_strangers_are_learned_from_and_nothing_is_judged_on_them(surfaces: Path, small_data: Path) -> None:
    store = Store(small_data)
    manifest = build_manifest(store)
    found = load_elsewhere(RECIPE, None, surfaces, manifest.labels)
    course, without = course_of(RECIPE, store, manifest, found), course_of(RECIPE, store, manifest)

    assert course.train.origins == without.train.origins + ["stranger"] * 2
    assert course.validation.groups == without.validation.groups
    assert set(found.provenance) == {"strangers"}


def test_a_bundle_names_them_with_their_licence() -> None:
    rows = data_sets({"recipe": RECIPE.model_dump()})

    assert {"name": "somebody's walls", "role": "training, as what is no steel strip", "licence": "CC-BY-3.0"} in rows
    assert "What is no steel strip it learned from somebody's walls, CC-BY-3.0." in notice(RECIPE, [], own=False)
    assert RECIPE.elsewhere_options == " --strangers PATH"


def test_a_recipe_without_them_keeps_its_name_and_looks_at_no_folder() -> None:
    plain = RECIPE.changed(strangers=None)
    row = {name: value for name, value in plain.model_dump().items() if name != "strangers"}

    assert Recipe.model_validate(row).digest == plain.digest != RECIPE.digest
    assert load_strangers(plain, Path("nowhere")) is NOTHING


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"recipe small: .* --strangers PATH is wanted"):
        load_strangers(RECIPE, None)
    with pytest.raises(DataError, match=r"neither a folder nor a zip file: .*gone"):
        load_strangers(RECIPE, tmp_path / "gone")
    cv2.imwrite(str(tmp_path / "button.png"), grain(100, 100))
    with pytest.raises(DataError, match="no picture of a surface, of 128 px a side or more, for recipe small"):
        load_strangers(RECIPE, tmp_path)
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError, match=r"torn\.png"):
        load_strangers(RECIPE, tmp_path)
