"""`inspector.inspection.preprocess`: the bytes that the network sees."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
import pytest

from inspector.inspection.preprocess import resize_tile, to_grey, to_input

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
