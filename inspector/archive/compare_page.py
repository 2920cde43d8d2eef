"""The page of a comparison: one file, with the pictures of the largest disagreements in it."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from inspector.archive.compare import Comparison, Disagreement
from inspector.archive.files import Place
from inspector.errors import InspectorError
from inspector.frame import Pixels
from inspector.pictures.decode import decode_picture
from inspector.pictures.limits import MAX_FILE_BYTES, MAX_FRAME_PX

SHOWN_PX = 480
"""Longer side of a picture on the page."""
BLUE, RED = (168, 95, 31), (28, 50, 181)
"""BGR of A's and of B's boxes."""


def write_page(result: Comparison, path: Path) -> None:
    """Write the page.

    Raises:
        OSError: It cannot be written.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    shown = [(one, picture_of(one)) for one in result.disagreements]
    path.write_text(environment.get_template("comparison.html").render(result=result, shown=shown), encoding="utf-8")


def picture_of(one: Disagreement) -> str | None:
    """Return a picture with both runs' boxes as the address of an image; None: it cannot be read any more."""
    try:
        data = Place(one.path).read(most_bytes=MAX_FILE_BYTES)
        pixels = decode_picture(data, name=one.source_key, max_px=MAX_FRAME_PX)
    except (OSError, InspectorError):
        return None
    return as_address(draw_boxes(pixels, one))


def draw_boxes(pixels: Pixels, one: Disagreement) -> Pixels:
    """Return the picture in colour, no larger than the page needs, with boxes."""
    scale = min(1.0, SHOWN_PX / max(pixels.shape[:2]))
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else pixels
    picture = cv2.cvtColor(small, cv2.COLOR_GRAY2BGR) if small.ndim == 2 else small.copy()
    for boxes, colour in ((one.boxes_before, BLUE), (one.boxes_after, RED)):
        for x, y, width, height, _ in boxes:
            ends = [(round(across * scale), round(down * scale)) for across, down in ((x, y), (x + width, y + height))]
            cv2.rectangle(picture, ends[0], ends[1], colour, 2 if colour == BLUE else 1)
    return picture  # type: ignore[return-value]  # OpenCV's own type of array


def as_address(picture: Pixels) -> str:
    """Return a picture as a `data:` address."""
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()
