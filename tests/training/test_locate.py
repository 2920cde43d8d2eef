"""A finer map points into the boxes, and no decision knows of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from inspector.strip import KINDS, draw_tile
from inspector.tiling import Box
from training.feed import stacked_input
from training.locate import fit_fine_head
from training.maps import grown_map, hottest_place, off_by_px
from training.network import float_input
from training.own import open_start
from training.quantize import Int8Network, convert
from training.rounding import calibrate
from training.tiles import TileSet
from training.unknown import fit_feature_head, pooled_map

SPOT_PX = 30


def spotted(count: int, seed: int) -> TileSet:
    """Return tiles of clean strip with one dark spot each, which is all that tells where the label shows."""
    rng = np.random.default_rng(seed)
    pixels, boxes = [], []
    for number in range(count):
        tile = draw_tile("clean", seed + number, 200)
        x, y = (int(value) for value in rng.integers(0, 200 - SPOT_PX, 2))
        tile[y : y + SPOT_PX, x : x + SPOT_PX] //= 3
        pixels.append(tile)
        boxes.append((Box(x, y, SPOT_PX, SPOT_PX),))
    return TileSet.of(pixels, ["inclusion"] * count, "cut", [""] * count, boxes)


def test_a_finer_map_points_better_and_leaves_the_logits_as_they_are(tmp_path: Path) -> None:
    """With the head the map has twice as many cells, points into more boxes, and every logit is the same to the bit."""
    start = open_start(Path("neu-fast"))
    recipe = start.recipe.changed(augment={"affine": 0, "exposure": 0, "blur": 0, "noise": 0, "jpeg": 0})
    tiles = [draw_tile(label, seed, 200) for label in (*KINDS, "clean") for seed in range(20, 26)]
    ranges = calibrate(start.network, float_input(stacked_input(tiles, recipe.input_px), recipe))
    head = fit_feature_head(pooled_map(start.network, tiles, recipe), 249)
    fine_head = fit_fine_head(start.network, spotted(256, 1000), start.labels, recipe)
    assert fine_head is not None
    plain, finer = (
        Int8Network(convert(start.network, ranges, head, recipe, tiles, tmp_path / name, kernel))
        for name, kernel in (("plain", None), ("finer", fine_head))
    )
    unseen = spotted(60, 5000)
    before, after = plain(unseen.pixels), finer(unseen.pixels)

    def inside(cams: np.ndarray) -> int:
        index = start.labels.index("inclusion")
        places = (hottest_place(grown_map(cam[:, :, index], 200, 200)) for cam in cams)
        return sum(off_by_px(place, boxes) == 0 for place, boxes in zip(places, unseen.boxes, strict=True))

    assert not finer.float_tensors
    assert before["cam"].shape[1:3] == (4, 4)
    assert after["cam"].shape[1:3] == (8, 8)
    assert np.array_equal(before["logits"], after["logits"])
    assert np.array_equal(before["features"], after["features"])
    assert np.abs(after["cam"].mean(axis=(1, 2)) - after["logits"]).max() < 0.05 * np.ptp(after["cam"])
    assert inside(after["cam"]) > inside(before["cam"]) + 10


def test_without_boxes_there_is_no_finer_map() -> None:
    """Pictures of one's own that nobody has boxed give the map of before."""
    start = open_start(Path("neu-fast"))
    bare = TileSet.of([draw_tile("scratches", 1, 200)], ["scratches"], "picture", ["g"])

    assert fit_fine_head(start.network, bare, start.labels, start.recipe) is None
