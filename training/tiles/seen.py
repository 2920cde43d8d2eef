"""Boxes for pictures that nobody has annotated: by a rule over pixels, what stands out from the surface around it.

Such a box says where a mark is, not where its maker would draw it. It is used to learn from alone: to cut marks out, to
know which surface beside them is plain, and to teach the map where to look. Nothing is measured against it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import cv2
import numpy as np

from inspector.frame import Pixels
from training.data.dataset import LabelledBox, Picture

FINE_PX, BROAD_PX, AROUND_PX = 1.0, 3.0, 16.0
"""Widths of the Gaussians: two sizes of marks, and the surface that they are compared with."""
STANDS_OUT = 5.0
"""In robust deviations of the picture's own grain."""
RIM_PX = 6
LEAST_PX = 6
"""Fewer marked pixels in one place are grain."""


def seen_marks(pixels: Pixels) -> Pixels:
    """Return (H, W) uint8: 1 where a mark stands out, with a rim around it."""
    floats = pixels.astype(np.float32)
    around = cv2.medianBlur(cv2.GaussianBlur(pixels, (0, 0), 2.0), 61).astype(np.float32)
    marked = np.zeros(pixels.shape, np.uint8)
    for width in (FINE_PX, BROAD_PX):
        grain = cv2.GaussianBlur(floats, (0, 0), width) - around
        middle = float(np.median(grain))
        spread = 1.4826 * float(np.median(np.abs(grain - middle))) + 0.3
        marked |= (np.abs(grain - middle) > STANDS_OUT * spread).astype(np.uint8)
    count, places, sizes, _ = cv2.connectedComponentsWithStats(marked, connectivity=8)
    for number in range(1, count):
        if sizes[number, cv2.CC_STAT_AREA] < LEAST_PX:
            marked[places == number] = 0
    return np.asarray(cv2.dilate(marked, np.ones((2 * RIM_PX + 1, 2 * RIM_PX + 1), np.uint8)), np.uint8)


def with_seen_boxes(pictures: Sequence[Picture], pixels: Sequence[Pixels], local: Collection[str]) -> list[Picture]:
    """Return the pictures, those without boxes with seen ones.

    Args:
        pictures: Of any labels.
        pixels: Theirs, grey.
        local: Labels of marks with plain surface beside them; a picture of another label is one box, whole.
    """
    boxed = []
    for picture, its_pixels in zip(pictures, pixels, strict=True):
        boxes = picture.boxes
        if not boxes and picture.label in local:
            count, _, found, _ = cv2.connectedComponentsWithStats(seen_marks(its_pixels), connectivity=8)
            boxes = tuple(
                LabelledBox(picture.label, int(x), int(y), int(x + width), int(y + height))
                for x, y, width, height, _ in found[1:count]
            )
        elif not boxes:
            boxes = (LabelledBox(picture.label, 0, 0, picture.width, picture.height),)
        boxed.append(replace(picture, boxes=boxes))
    return boxed
