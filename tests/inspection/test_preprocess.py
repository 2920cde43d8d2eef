"""`inspector.inspection.preprocess`: the bytes that the network sees."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
import pytest

from inspector.box import Box
from inspector.frame import Pixels
from inspector.inspection.preprocess import cut_inputs, resize_tile, shared_step_px, to_grey, to_input
from inspector.inspection.second_look import MIRRORS
from inspector.inspection.tiling import TilingRules, plan_tiles

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def test_equal_channels_give_exactly_that_channel() -> None:
    """A grey picture stored as colour is the grey picture, for every grey level."""
    assert np.array_equal(RAMP, to_grey(np.dstack([RAMP, RAMP, RAMP])))


def test_grey_is_not_copied() -> None:
    """Grey input comes back as it is."""
    assert to_grey(RAMP) is RAMP


@pytest.mark.parametrize(
    ("bgr", "expected"),
    [
        pytest.param((255, 0, 0), 29, id="blue"),
        pytest.param((0, 255, 0), 150, id="green"),
        pytest.param((0, 0, 255), 76, id="red"),
        pytest.param((0, 0, 0), 0, id="black"),
        pytest.param((255, 255, 255), 255, id="white"),
    ],
)
def test_luma(bgr: tuple[int, int, int], expected: int) -> None:
    """Colours become BT.601 luma in BGR order."""
    assert expected == to_grey(np.full((4, 4, 3), bgr, np.uint8))[0, 0]


@pytest.mark.parametrize(
    ("shape", "input_px", "method"),
    [
        pytest.param((200, 200), 128, cv2.INTER_LINEAR_EXACT, id="shrinks"),
        pytest.param((64, 64), 128, cv2.INTER_LINEAR_EXACT, id="grows"),
        pytest.param((64, 200), 128, cv2.INTER_LINEAR_EXACT, id="one side grows"),
        pytest.param((255, 400), 128, cv2.INTER_LINEAR_EXACT, id="one side to less than half"),
        pytest.param((256, 300), 128, cv2.INTER_AREA, id="to half and less"),
    ],
)
def test_resize_rule(shape: tuple[int, int], input_px: int, method: int) -> None:
    """Areas are averaged when a tile shrinks to half or less; anything else is bilinear, bit-exact."""
    tile = np.random.default_rng(3).integers(0, 256, shape).astype(np.uint8)
    expected = cv2.resize(tile, (input_px, input_px), interpolation=method)

    assert np.array_equal(expected, resize_tile(tile, input_px))


def test_right_size_goes_in_untouched() -> None:
    """A tile of the network's size keeps its bytes, contiguous even when it is a view of a frame."""
    frame = np.random.default_rng(4).integers(0, 256, (300, 300)).astype(np.uint8)
    tile = frame[10:138, 20:148]
    prepared = to_input(tile, 128)

    assert prepared.flags.c_contiguous
    assert np.array_equal(tile, prepared)


def test_a_view_gives_the_bytes_of_its_copy() -> None:
    """Tiles are views of the frame: what surrounds them, and how they lie in memory, changes no byte."""
    frame = np.random.default_rng(5).integers(0, 256, (500, 500, 3)).astype(np.uint8)
    view = frame[100:300, 150:350]

    assert to_input(view.copy(), 128).tobytes() == to_input(view, 128).tobytes()


def test_grey_first_then_cut_is_cut_first_then_grey() -> None:
    """The daemon makes a frame grey once, training a tile at a time: the same bytes."""
    frame = np.random.default_rng(6).integers(0, 256, (300, 300, 3)).astype(np.uint8)

    assert to_input(frame[50:250, 50:250], 128).tobytes() == to_input(to_grey(frame)[50:250, 50:250], 128).tobytes()


def test_bytes_are_the_same_on_every_machine() -> None:
    """The prepared bytes of a fixed ramp hold a fixed hash: another OpenCV that rounds otherwise is noticed."""
    ramp = (np.add.outer(np.arange(200), 3 * np.arange(200)) % 256).astype(np.uint8)
    expected = "07a723039cbbe976ccff980cc3a3ecad221122286d3db4b578fbeb0b5339aada"

    assert expected == hashlib.sha256(to_input(ramp, 128).tobytes()).hexdigest()


STEEL = np.asarray(cv2.GaussianBlur(np.random.default_rng(7).normal(128, 60, (431, 517, 3)), (0, 0), 0.8), np.uint8)
"""Stands for a photograph: colour, grain that neighbours share; its sides are no multiple of any step."""
NOISE = np.random.default_rng(8).integers(0, 256, (431, 517), np.uint8)
PAIRS = [
    (tile_px, input_px)
    for input_px in (32, 64, 96, 128, 160, 192, 224)
    for tile_px in range(input_px + 1, min(2 * input_px, 250))
    if shared_step_px(tile_px, input_px)
]


def test_the_default_tile_begins_at_every_25th_pixel() -> None:
    """200 px shown to 128 px may begin at multiples of 25 px, what grows or shrinks to half nowhere."""
    assert [shared_step_px(*pair) for pair in ((200, 128), (160, 128), (200, 224), (256, 128))] == [25, 5, None, None]


@pytest.mark.parametrize("pixels", [pytest.param(STEEL, id="colour"), pytest.param(NOISE, id="noise")])
def test_a_frame_resized_at_once_shows_the_same_tiles(pixels: Pixels) -> None:
    """For every pair of sizes that allows it, a tile at a multiple of the step is the tile resized by itself."""
    grey = to_grey(pixels)
    for tile_px, input_px in PAIRS:
        step = shared_step_px(tile_px, input_px)
        assert step is not None
        stride = step * max(1, tile_px * 9 // 10 // step)
        boxes = [
            Box(x, y, tile_px, tile_px)
            for y in range(0 if step > 90 else step, 431 - tile_px + 1, stride)
            for x in range(0 if step > 90 else step, 517 - tile_px + 1, stride)
        ]
        given = cut_inputs(grey, boxes, input_px)
        alone = [to_input(pixels[box.y : box.bottom, box.x : box.right], input_px) for box in boxes]

        assert all(np.array_equal(*pair) for pair in zip(given, alone, strict=True)), (tile_px, input_px)


@pytest.mark.parametrize("overlap_px", [0, 25, 50, 60, 100])
def test_tiles_elsewhere_are_resized_by_themselves(overlap_px: int) -> None:
    """The last row and column of any frame, and what an odd overlap moves off the step, come to the same bytes."""
    boxes = plan_tiles(*NOISE.shape, TilingRules(200, overlap_px))
    given = cut_inputs(NOISE, boxes, 128)

    assert all(
        np.array_equal(to_input(tile, 128), to_input(NOISE[box.y : box.bottom, box.x : box.right], 128))
        for tile, box in zip(given, boxes, strict=True)
    )
    assert {tile.shape for tile in given} == {(128, 128), (200, 200)}


def test_mirror_images_of_a_resized_tile_are_resized_mirror_images() -> None:
    """A second look may turn the small tile instead of the large one: the bytes are the same."""
    tile = NOISE[:200, :200]
    for turn in MIRRORS:
        assert np.array_equal(resize_tile(tile, 128)[turn], resize_tile(np.ascontiguousarray(tile[turn]), 128))


def test_a_frame_with_few_tiles_is_not_resized_whole() -> None:
    """Two tiles in opposite corners of a large frame come as they are: the frame between them is nobody's."""
    frame = np.zeros((2000, 2000), np.uint8)
    boxes = [Box(0, 0, 200, 200), Box(1800, 1800, 200, 200)]

    assert {(200, 200)} == {tile.shape for tile in cut_inputs(frame, boxes, 128)}


def test_a_frame_smaller_than_a_tile_is_its_own_tile() -> None:
    """Whatever its sides: it is resized by itself."""
    for height, width in ((100, 90), (240, 120), (128, 128)):
        frame = NOISE[:height, :width]
        (tile,) = cut_inputs(frame, [Box(0, 0, width, height)], 128)

        assert np.array_equal(to_input(frame, 128), to_input(tile, 128))
