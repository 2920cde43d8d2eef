"""Contact sheets of a data set, a label each, for a person to look at before training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from inspector.frame import Pixels
from training.data.dataset import DataSet, load_pixels
from training.data.manifest import Manifest
from training.files import write_picture

THUMBNAIL_PX = 96


def draw_sheet(tiles: Sequence[Pixels], captions: Sequence[str], columns: int = 10) -> Pixels:
    """Return a contact sheet of thumbnails with a line of text under each."""
    side, line = THUMBNAIL_PX, 14
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * (side + line), columns * side), 255, np.uint8)
    for index, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        y, x = index // columns * (side + line), index % columns * side
        sheet[y : y + side, x : x + side] = cv2.resize(tile, (side, side), interpolation=cv2.INTER_AREA)
        cv2.putText(sheet, caption[:16], (x + 2, y + side + 10), cv2.FONT_HERSHEY_SIMPLEX, 0.3, 0, 1, cv2.LINE_AA)
    return sheet


def write_sheets(folder: Path, data_set: DataSet, manifest: Manifest, per_label: int = 50, seed: int = 0) -> list[Path]:
    """Write one sheet a label with its boxes drawn, and return the paths."""
    rng = np.random.default_rng(seed)
    written = []
    for label in manifest.labels:
        mine = [picture for picture in manifest.pictures if picture.label == label]
        chosen = [mine[int(i)] for i in sorted(rng.permutation(len(mine))[:per_label])]
        tiles = []
        for picture, pixels in zip(chosen, load_pixels(data_set, chosen), strict=True):
            drawn = pixels.copy()
            for box in picture.boxes:
                cv2.rectangle(drawn, (box.x, box.y), (box.right - 1, box.bottom - 1), 255, 1)
            tiles.append(drawn)
        path = folder / f"sheet-{label}.png"
        write_picture(path, draw_sheet(tiles, [picture.name for picture in chosen]))
        written.append(path)
    return written
