"""`training.tiles.seen`: boxes for pictures that nobody has annotated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pieces import BOX, picture

from inspector.drawn.tiles import draw_tile
from training.tiles.composed import find_grounds
from training.tiles.seen import seen_marks, with_seen_boxes

STEEL = draw_tile("clean", 5, 200)


def test_a_mark_is_boxed_and_the_surface_beside_it_is_not() -> None:
    """A dark mark on steel has one box, tight but for its rim; the steel around it can be taken for clean."""
    pixels = STEEL.copy()
    pixels[60:100, 80:90] = 20
    (boxed,) = with_seen_boxes([picture("scratches")], [pixels], ("scratches",))
    (box,) = boxed.boxes

    assert box.label == "scratches"
    assert 68 <= box.x <= 80 < 90 <= box.right <= 102
    assert 48 <= box.y <= 60 < 100 <= box.bottom <= 112
    assert len(find_grounds([boxed], [pixels])) == 1


def test_grain_is_no_mark() -> None:
    """On steel without a mark hardly anything stands out."""
    assert seen_marks(STEEL).mean() < 0.02


def test_a_texture_is_one_box_and_annotated_boxes_stay() -> None:
    """What has no plain surface beside it is boxed whole; a box that a person drew is kept."""
    texture, drawn = with_seen_boxes([picture("crazing"), picture("inclusion", (BOX,))], [STEEL, STEEL], ("inclusion",))

    assert [(box.x, box.y, box.right, box.bottom) for box in texture.boxes] == [(0, 0, 200, 200)]
    assert drawn.boxes == (BOX,)


def test_small_pictures_are_looked_at_as_well() -> None:
    """A picture smaller than the filter that stands for its surface is no error."""
    small = np.ascontiguousarray(STEEL[:40, :40])
    (boxed,) = with_seen_boxes([replace(picture("scratches"), width=40, height=40)], [small], ("scratches",))

    assert boxed.boxes == ()
