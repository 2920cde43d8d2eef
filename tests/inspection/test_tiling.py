"""`inspector.inspection.tiling`: every pixel is covered, no tile leaves the frame, the last ones lie flush."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from strategies import tilings

from inspector.box import Box
from inspector.errors import ConfigError
from inspector.inspection.tiling import TilingRules, cut_tiles, plan_tiles, roi_mask


def corners(boxes: tuple[Box, ...]) -> list[tuple[int, int]]:
    return [(box.x, box.y) for box in boxes]


@pytest.mark.parametrize(
    ("height", "width", "rules", "expected"),
    [
        pytest.param(200, 200, TilingRules(200), [(0, 0)], id="one tile exactly"),
        pytest.param(224, 224, TilingRules(200), [(0, 0)], id="a little larger stays one"),
        pytest.param(250, 250, TilingRules(200), [(0, 0)], id="1.25 tiles is the limit"),
        pytest.param(251, 200, TilingRules(200), [(0, 0), (0, 51)], id="beyond the limit two, flush"),
        pytest.param(100, 150, TilingRules(200), [(0, 0)], id="smaller than a tile"),
        pytest.param(400, 400, TilingRules(200), [(0, 0), (200, 0), (0, 200), (200, 200)], id="exact grid"),
        pytest.param(200, 450, TilingRules(200), [(0, 0), (200, 0), (250, 0)], id="last column flush"),
        pytest.param(200, 500, TilingRules(200, 50), [(0, 0), (150, 0), (300, 0)], id="overlap that fits"),
        pytest.param(200, 510, TilingRules(200, 50), [(0, 0), (150, 0), (300, 0), (310, 0)], id="overlap, then flush"),
        pytest.param(200, 400, TilingRules(200, 100), [(0, 0), (100, 0), (200, 0)], id="the most overlap"),
        pytest.param(120, 450, TilingRules(200), [(0, 0), (200, 0), (250, 0)], id="a strip narrower than a tile"),
        pytest.param(
            400, 400, TilingRules(200, 0, ((0, 0), (10, 0), (10, 10))), [(0, 0)], id="region in the first tile"
        ),
        pytest.param(
            400, 400, TilingRules(200, 0, ((199, 5), (200, 5), (200, 9))), [(0, 0), (200, 0)], id="region across a seam"
        ),
        pytest.param(
            400, 400, TilingRules(200, 0, ((-90, -90), (900, -90), (900, 90), (-90, 90))), [(0, 0), (200, 0)],
            id="region that leaves the frame",
        ),
        pytest.param(
            200, 200, TilingRules(200, 0, ((0, 0), (1, 0), (1, 1))), [(0, 0)], id="region in a frame of one tile"
        ),
    ],
)  # fmt: skip
def test_places(height: int, width: int, rules: TilingRules, expected: list[tuple[int, int]]) -> None:
    """Tiles lie row by row from the top left, the last row and column flush with the edge."""
    assert expected == corners(plan_tiles(height, width, rules))


@given(tilings())
def test_covers_every_pixel_and_stays_inside(tiling: tuple[int, int, TilingRules]) -> None:
    """Every pixel lies in a tile, no tile leaves the frame or comes twice, and the last one ends at the last pixel."""
    height, width, rules = tiling
    boxes = plan_tiles(height, width, rules)
    covered = np.zeros((height, width), bool)
    for box in boxes:
        covered[box.y : box.bottom, box.x : box.right] = True

    assert covered.all()
    assert all(box.x >= 0 and box.y >= 0 and box.right <= width and box.bottom <= height for box in boxes)
    assert len(boxes) == len(set(boxes))
    assert (boxes[-1].right, boxes[-1].bottom) == (width, height)


@given(tilings())
def test_tiles_have_the_models_field_of_view(tiling: tuple[int, int, TilingRules]) -> None:
    """A tile is `tile_px` a side, or as long as the frame where that is shorter; only a single tile may be larger."""
    height, width, rules = tiling
    boxes = plan_tiles(height, width, rules)
    expected = {(min(rules.tile_px, width), min(rules.tile_px, height))}

    assert expected == {(box.width, box.height) for box in boxes} or boxes == (Box(0, 0, width, height),)
    assert max(boxes[0].width, boxes[0].height) <= 1.25 * rules.tile_px


@given(tilings(roi=True))
def test_region_of_interest_is_covered_and_nothing_else(tiling: tuple[int, int, TilingRules]) -> None:
    """Every pixel of the region lies in a tile, and every tile holds one: tiles outside are left out."""
    height, width, rules = tiling
    mask = roi_mask(height, width, rules.roi_xy)
    boxes = plan_tiles(height, width, rules)
    covered = np.zeros((height, width), bool)
    for box in boxes:
        covered[box.y : box.bottom, box.x : box.right] = True

    assert covered[mask].all()
    assert all(mask[box.y : box.bottom, box.x : box.right].any() for box in boxes)


@given(tilings())
def test_cut_tiles_shows_the_pixels_under_each_box(tiling: tuple[int, int, TilingRules]) -> None:
    """What is cut is a view of the frame at the box, not a copy, so cutting costs nothing."""
    height, width, rules = tiling
    pixels = np.arange(height * width, dtype=np.uint32).reshape(height, width).astype(np.uint8)
    boxes = plan_tiles(height, width, rules)
    tiles = list(cut_tiles(pixels, boxes))

    assert [(box.height, box.width) for box in boxes] == [tile.shape for tile in tiles]
    assert all(np.shares_memory(pixels, tile) for tile in tiles)
    assert all(tile[0, 0] == pixels[box.y, box.x] for tile, box in zip(tiles, boxes, strict=True))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        pytest.param(
            lambda: TilingRules(200, 101), r"tiling\.overlap_px .* 0\.\.100 .*, 200\): 101", id="overlap of half a tile"
        ),
        pytest.param(lambda: TilingRules(200, -1), r"tiling\.overlap_px .*: -1", id="negative overlap"),
        pytest.param(lambda: TilingRules(200, 0, ((0, 0), (5, 5))), r"tiling\.roi_xy .* 3 corners: 2", id="no polygon"),
        pytest.param(
            lambda: TilingRules(200, 0, ((0, 0), (1 << 40, 0), (1, 1))), r"tiling\.roi_xy must lie within 1000000 px",
            id="a corner on another planet",
        ),
        pytest.param(
            lambda: plan_tiles(400, 400, TilingRules(200, 0, ((500, 500), (600, 500), (600, 600)))),
            r"tiling\.roi_xy has no pixel in the frame of 400x400", id="region outside the frame",
        ),
    ],
)  # fmt: skip
def test_refusals_name_the_key(make: object, text: str) -> None:
    """Rules that cannot work are refused with the key and the value."""
    with pytest.raises(ConfigError, match=text):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("overlap_px", "still", "expected"),
    [
        pytest.param(None, False, [0, 175, 350, 400], id="a stream, unset: an eighth of a tile"),
        pytest.param(None, True, [0, 200, 400], id="a still, unset: none"),
        pytest.param(0, False, [0, 200, 400], id="a stream, set to none"),
        pytest.param(50, True, [0, 150, 300, 400], id="a still, set"),
    ],
)
def test_tiles_of_a_stream_overlap_unless_the_configuration_says(
    overlap_px: int | None, still: bool, expected: list[int]
) -> None:
    """What is set holds for both; unset, the tiles of a stream share an eighth of their side, those of a still none."""
    boxes = plan_tiles(200, 600, TilingRules(200, overlap_px), still)

    assert expected == [box.x for box in boxes]


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        pytest.param(Box(10, 0, 10, 10), True, id="edge to edge"),
        pytest.param(Box(0, 10, 10, 10), True, id="edge below"),
        pytest.param(Box(10, 9, 10, 10), True, id="one pixel of edge"),
        pytest.param(Box(10, 10, 10, 10), False, id="corner"),
        pytest.param(Box(11, 0, 10, 10), False, id="one pixel apart"),
        pytest.param(Box(5, 5, 2, 2), True, id="inside"),
        pytest.param(Box(9, 9, 10, 10), True, id="overlap"),
    ],
)
def test_touching(other: Box, expected: bool) -> None:
    """Boxes touch when they overlap or share a piece of edge, whichever is asked; a corner is not enough."""
    box = Box(0, 0, 10, 10)

    assert (expected, expected) == (box.touches(other), other.touches(box))
