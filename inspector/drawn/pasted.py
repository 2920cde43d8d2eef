"""The demo's strip, with drawn defects or with pictures from a folder."""

from __future__ import annotations

from pathlib import Path

from inspector.drawn.spec import DEFAULT_MM_PER_PX, MAX_DEFECT_TILES, StripSpec
from inspector.drawn.strip import Strip
from inspector.errors import ConfigError, PictureError
from inspector.frame import Pixels
from inspector.inspection.preprocess import resize_tile, to_grey
from inspector.labels import CLEAN
from inspector.pictures.decode import decode_picture
from inspector.pictures.files import read_picture_file
from inspector.pictures.limits import MAX_FILE_BYTES, MAX_FRAME_PX


def open_strip(seed: int, mm_per_px: float | None, images: Path | None) -> Strip:
    """Return the demo's strip.

    Args:
        seed: What is drawn.
        mm_per_px: Scale; None takes the default.
        images: Folder with pictures in one folder per label, pasted instead of drawn defects.

    Raises:
        ConfigError: No label folder with a picture in `images`, or one that cannot be decoded.
    """
    scale = DEFAULT_MM_PER_PX if mm_per_px is None else mm_per_px
    spec = StripSpec(seed, mm_per_px=scale, defects_per_m=1.5 / scale)  # the same number a frame at every scale
    return Strip(spec, None if images is None else read_tiles(images))


def read_tiles(folder: Path) -> dict[str, list[Pixels]]:
    """Return the pictures below `folder` by the name of their folder, at most 1.2 tiles a side.

    `clean` is left out: the strip's own surface is clean.

    Raises:
        ConfigError: There is no picture, or one cannot be decoded.
    """
    tiles: dict[str, list[Pixels]] = {}
    for path in sorted(folder.glob("*/*")):
        if path.suffix.lower() in {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"} and path.parent.name != CLEAN:
            try:
                pixels = to_grey(
                    decode_picture(read_picture_file(path, MAX_FILE_BYTES), name=str(path), max_px=MAX_FRAME_PX)
                )
            except PictureError as exc:
                raise ConfigError(f"source.images: {exc}") from exc
            if max(pixels.shape) > MAX_DEFECT_TILES * 200:
                pixels = resize_tile(pixels, 200)
            tiles.setdefault(path.parent.name, []).append(pixels)
    if not tiles:
        raise ConfigError(f"source.images: no pictures in {folder}/<label>/")
    return tiles
