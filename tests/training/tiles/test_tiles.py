from __future__ import annotations

import numpy as np
import pytest

from inspector.box import Box
from inspector.drawn.tiles import draw_tile
from inspector.frame import Pixels
from training.data.dataset import LabelledBox, Picture
from training.judge.intervals import share
from training.recipe import Augment
from training.tiles.augment import augment, augment_marked, stretch, vary_clean
from training.tiles.composed import (
    Placed,
    compose_strip,
    composed_tiles,
    cut_picture_tiles,
    find_cutouts,
    label_of_window,
)
from training.tiles.corrupt import SUITE, corrupted
from training.tiles.generated import (
    EVALUATION_SEED,
    TRAIN_SEED,
    VALIDATION_SEED,
    generated_clean_tiles,
    generated_tiles,
)
from training.tiles.quilt import BLOCK_PX, find_ground, quilt
from training.tiles.surfaces import ground_surface
from training.tiles.tile_set import texture_tiles

WINDOW = Box(0, 0, 200, 200)


def picture(label: str = "inclusion", boxes: tuple[LabelledBox, ...] = ()) -> Picture:
    return Picture(f"{label}/{label}_1.jpg", label, "train", "", 200, 200, boxes, f"{label}_1")


BOX = LabelledBox("inclusion", 20, 20, 60, 90)


def composed_from() -> tuple[list[Picture], list[Pixels]]:
    """Return one picture with one inclusion on clean ground."""
    pixels = draw_tile("clean", 5, 200)
    pixels[20:90, 20:60] -= 14
    return [picture(boxes=(BOX,))], [pixels]


@pytest.mark.parametrize(
    ("case", "placed", "expected"),
    [
        ("nothing near", [], "clean"),
        ("far away", [Placed("scratches", Box(300, 0, 50, 50), "g")], "clean"),
        ("whole", [Placed("scratches", Box(50, 50, 50, 50), "g")], "scratches"),
        ("half of it", [Placed("scratches", Box(175, 50, 50, 50), "g")], "scratches"),
        ("a sliver", [Placed("scratches", Box(196, 50, 50, 50), "g")], None),
        ("its blended rim", [Placed("scratches", Box(203, 50, 50, 50), "g")], None),
        ("a tenth that fills much of the tile", [Placed("crazing", Box(140, -100, 600, 300), "g")], "crazing"),
        (
            "one large, one small",
            [Placed("crazing", Box(0, 0, 150, 150), "g"), Placed("scratches", Box(160, 160, 30, 30), "g")],
            "crazing",
        ),
        (
            "two alike",
            [Placed("crazing", Box(0, 0, 90, 90), "g"), Placed("scratches", Box(100, 100, 90, 90), "g")],
            None,
        ),
    ],
)
def test_what_a_window_shows(case: str, placed: list[Placed], expected: str | None) -> None:
    """A window has a defect's label, is clean, or is left out where a person would not be sure."""
    assert label_of_window(placed, WINDOW) == expected


def test_ground_touches_no_box_and_quilting_keeps_its_greys() -> None:
    """No block of ground holds a pixel of a box, and a quilted field holds only greys of the ground."""
    pixels = np.random.default_rng(0).integers(100, 120, (200, 200)).astype(np.uint8)
    pixels[20:90, 20:60] = 125
    ground = find_ground(picture(boxes=(BOX,)), pixels)

    assert ground is not None
    assert all(pixels[y : y + BLOCK_PX, x : x + BLOCK_PX].max() < 125 for y, x in ground.places)
    field = quilt(ground, 330, 450, np.random.default_rng(1))
    assert field.shape == (330, 450)
    assert 100 <= field.min() <= field.max() < 120
    assert np.array_equal(field, quilt(ground, 330, 450, np.random.default_rng(1)))


def test_a_picture_full_of_boxes_gives_no_ground() -> None:
    """Where boxes leave no room there is no clean steel."""
    full = LabelledBox("inclusion", 5, 5, 195, 195)

    assert find_ground(picture(boxes=(full,)), np.zeros((200, 200), np.uint8)) is None


def test_a_cutout_lands_where_it_says() -> None:
    """The placed box holds the defect's pixels, the rest of the strip stays as it was, foreign boxes are not cut."""
    pixels = np.full((200, 200), 110, np.uint8)
    pixels[20:90, 20:60] = 20
    foreign = LabelledBox("patches", 120, 120, 180, 180)
    cutouts = find_cutouts(picture(boxes=(BOX, foreign)), pixels)
    field = np.full((400, 400), 180, np.uint8)
    strip = compose_strip(field, "g", cutouts, 50, np.random.default_rng(3))

    assert [cutout.label for cutout in cutouts] == ["inclusion"]
    (placed,) = strip.placed
    box = placed.box
    assert (box.width, box.height) == (40, 70)
    assert strip.pixels[box.y + 15 : box.bottom - 15, box.x + 15 : box.right - 15].max() < 120
    outside = np.ones(field.shape, bool)
    outside[box.y - 8 : box.bottom + 8, box.x - 8 : box.right + 8] = False
    assert (strip.pixels[outside] == 180).all()


def test_composed_tiles_are_the_same_again_and_hold_both_kinds() -> None:
    """The same seed gives the same tiles; clean and cut ones come as many as asked."""
    pictures, pixels = composed_from()
    first, again = (composed_tiles(pictures, pixels, clean=6, cut=4, tile_px=200, seed=2) for _ in range(2))

    assert sorted(first.labels) == ["clean"] * 6 + ["inclusion"] * 4
    assert all(np.array_equal(a, b) for a, b in zip(first.pixels, again.pixels, strict=True))
    assert {tile.shape for tile in first.pixels} == {(200, 200)}


def test_generated_tiles_never_share_a_seed_between_sides() -> None:
    """Training, validation and evaluation draw different pictures, and generated clean tiles are clean steel."""
    sides = [generated_tiles(12, 200, seed) for seed in (TRAIN_SEED, VALIDATION_SEED, EVALUATION_SEED)]

    assert len({tile.tobytes() for side in sides for tile in side.pixels}) == 36
    clean = generated_clean_tiles(10, 200, TRAIN_SEED, per_strip=5)
    assert clean.labels == ["clean"] * 10
    assert max(float(tile.std()) for tile in clean.pixels) < 12


@pytest.mark.parametrize("name", sorted(SUITE))
@pytest.mark.parametrize("severity", [1, 2, 3])
def test_corruptions_are_seeded_and_keep_the_form(name: str, severity: int) -> None:
    """The same seed gives the same pixels, of the same shape, and something has changed."""
    tile = draw_tile("scratches", 1, 200)
    first, again = (corrupted(tile, name, severity, 4) for _ in range(2))

    assert np.array_equal(first, again)
    assert first.shape == tile.shape
    assert first.dtype == np.uint8
    assert not np.array_equal(first, tile)


def test_augmentation_is_seeded_and_leaves_its_input_alone() -> None:
    """One seed, one result; the tile that came in is unchanged."""
    tile = draw_tile("crazing", 1, 200)
    before = tile.copy()
    rows = [augment(tile, np.random.default_rng((1, i)), Augment()) for i in (0, 0, 1)]

    assert np.array_equal(rows[0], rows[1])
    assert not np.array_equal(rows[0], rows[2])
    assert np.array_equal(tile, before)
    assert all(row.flags.c_contiguous for row in rows)


@pytest.mark.parametrize("seed", range(6))
def test_the_mask_of_a_defect_moves_with_its_tile(seed: int) -> None:
    """Whatever turns, flips and shifts a tile, its mask lies on the same pixels."""
    tile = np.full((200, 200), 50, np.uint8)
    tile[30:70, 110:180] = 200
    moves = Augment(light=0, exposure=0, blur=0, noise=0, jpeg=0)
    changed, marked = augment_marked(tile, (tile == 200).astype(np.uint8) * 255, np.random.default_rng(seed), moves)

    assert marked is not None
    assert ((changed > 125) == (marked > 127)).mean() > 0.998
    assert np.array_equal(changed, augment(tile, np.random.default_rng(seed), moves))


def test_composed_tiles_know_where_their_defect_shows() -> None:
    """A cut tile's boxes lie inside it and show its own label; a clean one has none."""
    pictures, pixels = composed_from()
    tiles = composed_tiles(pictures, pixels, clean=4, cut=8, tile_px=200, seed=3)

    for label, boxes in zip(tiles.labels, tiles.boxes, strict=True):
        assert bool(boxes) == (label != "clean")
        assert all(0 <= b.x < b.right <= 200 and 0 <= b.y < b.bottom <= 200 for b in boxes)


def test_ground_surfaces_have_streaks_one_way() -> None:
    """A ground surface changes more across its streaks than along them."""
    for seed in range(8):
        tile = ground_surface(128, np.random.default_rng(seed)).astype(float)[40:, 40:]
        across, along = sorted((np.abs(np.diff(tile, axis=0)).mean(), np.abs(np.diff(tile, axis=1)).mean()))[::-1]
        assert across > 1.1 * along


def test_textures_are_tiles_of_every_brightness() -> None:
    """Artificial surfaces differ in level, from dark to bright."""
    means = [float(tile.mean()) for tile in texture_tiles(40, 64, 3).pixels]

    assert min(means) < 80 < 150 < max(means)


@pytest.mark.parametrize(("k", "n", "low", "high"), [(0, 0, 0, 1), (360, 360, 0.9894, 1), (0, 1000, 0, 0.0038)])
def test_a_share_carries_its_bound(k: int, n: int, low: float, high: float) -> None:
    """The 95 % Wilson interval stands beside every share."""
    row = share(k, n)

    assert (row["k"], row["n"]) == (k, n)
    assert row["low"] == pytest.approx(low, abs=1e-4)
    assert row["high"] == pytest.approx(high, abs=1e-4)


def test_a_clean_tile_is_mixed_and_stretched_without_an_edge() -> None:
    """Two even surfaces of one grey stay even, whatever is drawn; of two grains, something of both remains."""
    policy = Augment(clean_mix=1.0, clean_scale=2.0)
    even = np.full((64, 64), 90, np.uint8)
    for seed in range(8):
        assert np.ptp(vary_clean(even, even, np.random.default_rng(seed), policy)) == 0
    rows, columns = (np.indices((64, 64)) // 8 % 2 * 100 + 50).astype(np.uint8)
    mixed = vary_clean(rows, columns, np.random.default_rng(1), policy).astype(float)
    assert mixed.std(axis=0).mean() > 5
    assert mixed.std(axis=1).mean() > 5
    assert np.array_equal(vary_clean(rows, columns, np.random.default_rng(1), Augment()), rows)


def test_stretching_keeps_the_middle_and_the_grey_level() -> None:
    """A bar twice as wide after stretching across, as high as before; shrinking smooths before it samples."""
    tile = np.full((100, 100), 50, np.uint8)
    tile[40:60, 45:55] = 200
    wide = stretch(tile, 2.0, 1.0)

    assert np.count_nonzero(wide[50] > 125) == pytest.approx(20, abs=2)
    assert np.count_nonzero(wide[:, 50] > 125) == pytest.approx(20, abs=2)
    noise = np.random.default_rng(0).normal(128, 20, (100, 100)).astype(np.uint8)
    assert stretch(noise, 0.5, 0.5).std() < 0.8 * noise.std()


def test_cut_pictures_show_a_part_of_a_defect_and_its_place() -> None:
    """Two windows in three show a part of a picture with its box, one clean surface on another; seeded."""
    pictures, pixels = composed_from()
    first, again = (cut_picture_tiles(pictures, pixels, 8, 200, seed=4) for _ in range(2))

    assert first.labels.count("inclusion") >= 5
    assert first.labels.count("clean") == 8 - first.labels.count("inclusion") >= 2
    assert all(np.array_equal(a, b) for a, b in zip(first.pixels, again.pixels, strict=True))
    for tile, label, boxes in zip(first.pixels, first.labels, first.boxes, strict=True):
        assert tile.shape == (200, 200)
        assert bool(boxes) is (label == "inclusion")
        assert all(box.x >= 0 and box.y >= 0 and box.right <= 200 and box.bottom <= 200 for box in boxes)
    assert set(first.groups) <= {picture.group for picture in pictures} | {"artificial"}


def test_without_boxes_no_picture_is_cut() -> None:
    """A user's pictures say nowhere where their defect lies, so a part of one could show none."""
    pixels = np.zeros((200, 200), np.uint8)

    assert len(cut_picture_tiles([picture(boxes=())], [pixels], 8, 200, seed=4)) == 0
