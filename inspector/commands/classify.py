"""One picture as one row: what `inspector classify` prints and `POST /api/classify` answers."""

from __future__ import annotations

from pathlib import Path

from inspector.errors import PictureError
from inspector.inspection.one_frame import InspectRules
from inspector.inspection.picture import Row, classify_pixels
from inspector.inspection.predictions import Classify
from inspector.pictures.decode import decode_picture
from inspector.pictures.files import read_picture_file
from inspector.pictures.limits import MAX_FILE_BYTES, MAX_FRAME_PX


def classify_file(
    name: str,
    classify: Classify,
    rules: InspectRules,
    *,
    max_bytes: int = MAX_FILE_BYTES,
    max_px: int = MAX_FRAME_PX,
    full_scale: int | None = None,
) -> Row:
    """Return the row of a file, or `path`, `error` and `reason` of one that is refused."""
    try:
        data = read_picture_file(Path(name), max_bytes)
        return classify_pixels(
            decode_picture(data, name=name, max_px=max_px, full_scale=full_scale), name, classify, rules
        )
    except PictureError as exc:
        return {"path": name, "error": str(exc), "reason": exc.reason}
