"""Known defects on live tiles: where they lie, how plain they are, and what the camera does to them."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from inspector.drawn.laid import AS_BEFORE, CONTRAST, SIZES_PX, Passage, laid_labels, lay_defect
from inspector.drawn.sight import BLURS_PX, middle_of, passage_since, see
from inspector.drawn.spec import KINDS
from inspector.drawn.tiles import draw_tile
from inspector.frame import Pixels

TILE = draw_tile("clean", 41)
SURFACE = [draw_tile("clean", seed) for seed in range(900, 912)]


def change(tile: Pixels, *given: object, passage: Passage = AS_BEFORE) -> np.ndarray:
    label, size_px = given
    laid = lay_defect(tile, str(label), int(str(size_px)), np.random.default_rng(3), passage)
    return laid.astype(int) - tile


@pytest.mark.parametrize("size_px", SIZES_PX)
@pytest.mark.parametrize("label", KINDS)
def test_a_defect_is_as_large_and_as_plain_as_stated(label: str, size_px: int) -> None:
    """It lies in a square of its size and changes the light there by about the stated share, at its plainest places."""
    changed = np.abs(change(TILE, label, size_px))
    rows, columns = (np.flatnonzero(changed.max(axis=axis) > 1) for axis in (1, 0))
    plainest = np.sort(changed[changed > 3])[-max(3, changed[changed > 3].size // 20) :].mean() / TILE.mean()

    assert rows[-1] - rows[0] < size_px
    assert columns[-1] - columns[0] < size_px
    assert max(rows[-1] - rows[0], columns[-1] - columns[0]) > 0.3 * size_px
    assert 0.5 * CONTRAST < plainest < 1.5 * CONTRAST


def test_the_same_numbers_lay_the_same_defect() -> None:
    """A probe can be repeated: everything random comes from the generator that is given; the tile itself stays."""
    before = TILE.copy()

    assert np.array_equal(change(TILE, "patches", 64), change(TILE, "patches", 64))
    assert np.array_equal(before, TILE)


@pytest.mark.parametrize("shape", [(200, 200), (64, 64), (40, 200), (16, 16)])
def test_every_size_fits_every_tile(shape: tuple[int, int]) -> None:
    """A tile that is smaller than the defect shows one as large as itself, however blurred."""
    tile = np.full(shape, 120, np.uint8)
    for label in KINDS:
        laid = lay_defect(tile, label, 128, np.random.default_rng(1), Passage(1.0, 0.9))
        assert laid.shape == shape
        assert not np.array_equal(laid, tile)


def test_a_defect_is_as_dark_as_the_light_there() -> None:
    """Under half the light a defect makes half the difference: a lamp that ages takes it away as it does a real one."""
    bright, dim = (np.abs(change(np.full((200, 200), light, np.uint8), "inclusion", 64)).max() for light in (160, 40))

    assert 3.5 < bright / dim < 4.6


def test_a_defect_is_as_blurred_and_pale_as_the_surface() -> None:
    """Otherwise a sharp drawing on a blurred tile would be found more easily the worse the focus is."""
    sharp, blurred, pale = (
        np.abs(change(TILE, "scratches", 32, passage=passage)).max()
        for passage in (AS_BEFORE, Passage(blur_px=3.0), Passage(contrast=0.4))
    )

    assert blurred < 0.6 * sharp
    assert pale < 0.5 * sharp


def test_labels_that_can_be_laid() -> None:
    """Those of the bundle that the generator draws; a bundle with none of them is shown all."""
    assert laid_labels(("crack", "scratches", "patches", "clean")) == ("patches", "scratches")
    assert laid_labels(("crack", "clean")) == KINDS


def blurred(tile: Pixels, width: float) -> Pixels:
    return np.asarray(cv2.GaussianBlur(tile, (0, 0), width), np.uint8)


@pytest.mark.parametrize(
    ("name", "blur_px", "contrast"),
    [("as it was", 0, 1), ("blur 1", 1, 1), ("blur 3", 3, 1), ("half the light", 0, 1), ("haze", 0, 0.5)],
)
def test_what_has_become_of_the_picture(name: str, blur_px: float, contrast: float) -> None:
    """Focus and haze are read from the surface's own texture; less light alone is neither."""
    spoils: dict[str, Callable[[Pixels], Pixels]] = {
        "as it was": lambda tile: tile,
        "blur 1": lambda tile: blurred(tile, 1),
        "blur 3": lambda tile: blurred(tile, 3),
        "half the light": lambda tile: np.asarray(np.rint(tile / 2), np.uint8),
        "haze": lambda tile: np.asarray(np.rint(tile * 0.5 + tile.mean() / 2), np.uint8),
    }
    first = middle_of([see(tile, BLURS_PX) for tile in SURFACE])
    passage = passage_since(first, middle_of([see(spoils[name](tile)) for tile in SURFACE]))

    assert passage.blur_px == pytest.approx(blur_px, abs=0.25)
    assert passage.contrast == pytest.approx(contrast, abs=0.1)
