"""A finer map points into the boxes, and no decision knows of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from inspector.box import Box
from inspector.drawn.spec import KINDS
from inspector.drawn.tiles import draw_tile
from inspector.inspection.decision import DecisionRules
from inspector.inspection.one_frame import judge_tiles
from inspector.inspection.predictions import Predictions
from inspector.model.interpreter import Int8Network
from training.int8 import signoff
from training.int8.locate import fit_fine_head
from training.int8.quantize import convert
from training.int8.rounding import calibrate
from training.int8.signoff import look_as_served
from training.int8.unknown import fit_feature_head, halves
from training.judge.maps import grown_map, hottest_place, off_by_px
from training.network.course import Course
from training.network.feed import stacked_input
from training.network.network import build_network, float_input
from training.own import network_from_int8, open_start
from training.tiles.tile_set import OUTLIER, TileSet

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
    head = fit_feature_head(halves(start.network, tiles, recipe), 249)
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


def test_fine_tuning_begins_from_a_file_with_a_finer_map(tmp_path: Path) -> None:
    """The weights read back are the same with it and without, also where its kernel looks like the backbone's."""
    start = open_start(Path("neu-fast"))
    tiles = [draw_tile(label, 3, 200) for label in KINDS]
    ranges = calibrate(start.network, float_input(stacked_input(tiles, start.recipe.input_px), start.recipe))
    head = fit_feature_head(halves(start.network, tiles, start.recipe), 200)
    wide = tuple(f"label-{number}" for number in range(56))  # as many as block_13_project has channels
    network = build_network(start.recipe, wide, None)
    for layer in network.layers:
        if layer.name != "logits" and layer.get_weights():
            layer.set_weights(start.network.get_layer(layer.name).get_weights())
    kernel = np.random.default_rng(1).normal(0, 0.1, (192, 56)).astype(np.float32)
    plain, finer = (
        network_from_int8(
            start.recipe, wide, convert(network, ranges, head, start.recipe, tiles, tmp_path / name, each)
        )
        for name, each in (("plain", None), ("finer", kernel))
    )

    for one, other in zip(plain.get_weights(), finer.get_weights(), strict=True):
        assert np.array_equal(one, other)


def test_boxes_too_small_to_point_at_are_none(capsys: pytest.CaptureFixture[str]) -> None:
    """A box of two pixels marks no cell: nothing is fitted, and the file keeps the map of before."""
    start = open_start(Path("neu-fast"))
    tiny = TileSet.of([draw_tile("clean", 1, 200)], ["inclusion"], "cut", ["g"], [(Box(50, 50, 2, 2),)])

    assert fit_fine_head(start.network, tiny, start.labels, start.recipe) is None
    assert "finer map" not in capsys.readouterr().out


def test_thresholds_are_chosen_on_what_the_daemon_decides_by() -> None:
    """Under the temperature that comes out, `judge_tiles` gives the very logits that it was chosen on."""
    start = open_start(Path("neu-fast"))
    network = Int8Network(start.int8)
    names = [name for name in (*KINDS, "clean") for _ in range(6)]
    pixels = [draw_tile(name, 700 + number, 200) for number, name in enumerate(names)]
    faint = [np.asarray(128 + (tile.astype(float) - 128) * 0.35, np.uint8) for tile in pixels]
    held = TileSet.of(pixels + faint, names * 2, "generated", [""] * 2 * len(names))
    once = network(held.pixels)["logits"]
    looked, temperature = look_as_served(held, once, start.labels, 1.0, network)
    rules = DecisionRules(start.labels, temperature, dict.fromkeys(KINDS, 0.5), {}, 0.2, looks=4)
    served, _ = judge_tiles(held.pixels, lambda tiles: Predictions(network(tiles)["logits"]), rules)

    assert np.array_equal(looked, served.logits)
    assert not np.array_equal(looked, once)


@pytest.mark.parametrize(
    ("boxed", "expected"), [(KINDS, True), (KINDS[:-1], False), ((*KINDS, "clean"), True), ((), False)]
)
def test_boxes_are_read_from_maps_where_every_label_had_some(boxed: Sequence[str], expected: bool) -> None:
    """One label without a box, and nobody knows where its map peaks; `clean` needs none."""
    names = [*KINDS, "clean", OUTLIER]
    boxes = [(Box(50, 50, 60, 60),) if name in boxed else () for name in names]
    tiles = TileSet.of([draw_tile("clean", 1, 200)] * len(names), names, "picture", [""] * len(names), boxes)

    assert signoff.every_label_is_boxed(Course((*KINDS, "clean"), tiles, tiles, frozenset())) is expected


def test_without_boxes_there_is_no_finer_map() -> None:
    """Pictures of one's own that nobody has boxed give the map of before."""
    start = open_start(Path("neu-fast"))
    bare = TileSet.of([draw_tile("scratches", 1, 200)], ["scratches"], "picture", ["g"])

    assert fit_fine_head(start.network, bare, start.labels, start.recipe) is None
