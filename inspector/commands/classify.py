"""One picture as one row: what `POST /api/classify` answers, and `inspector classify` prints, or as a table."""

from __future__ import annotations

from pathlib import Path

from inspector.errors import PictureError
from inspector.inspection.one_frame import InspectRules
from inspector.inspection.picture import Row, classify_pixels
from inspector.inspection.predictions import Classify
from inspector.model.bundle import find_bundle, load_bundle
from inspector.model.pool import WorkerPool, open_model
from inspector.pictures.decode import decode_picture
from inspector.pictures.files import read_picture_file
from inspector.pictures.limits import MAX_FILE_BYTES, MAX_FRAME_PX
from inspector.settings.loading import load_settings
from inspector.settings.sections import Decision, Tiling
from inspector.station.wiring import inspect_rules, open_bundle, worker_count


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


def open_rules(model: str, config: Path | None) -> tuple[WorkerPool, InspectRules]:
    """Return workers and rules: of a bundle alone, or those by which a station decides, its reference and labels too.

    Args:
        model: Bundle; not looked at with a configuration.
        config: TOML file of the station, or None.

    Raises:
        RefusedError: Configuration or bundle cannot be used.
    """
    if config is not None:
        opened = open_bundle(load_settings(config).settings, unit_file=config)
        return opened.pool, opened.rules
    bundle = load_bundle(find_bundle(model))
    return open_model(bundle, worker_count(0))[0], inspect_rules(Tiling(), Decision(), bundle)


TABLE_HEAD = f"{'label':<20} {'score':>6}  {'leading':<20} {'box: x y width height':<22} picture"


def table_line(row: Row) -> str:
    """Return a row for people: what was decided, how surely, where; or why it was not. Names cannot move the cursor."""
    name = _visible(row["path"])
    if "error" in row:
        return f"{'(not inspected)':<20} {'':>6}  {_visible(row['reason']):<20} {'':<22} {name}"
    box = row["box_px"]
    place = "" if box is None else f"{box['x']} {box['y']} {box['width']} {box['height']}"
    leading = "" if row["top"] == row["label"] else row["top"]
    return f"{_visible(row['label']):<20} {row['score']:>6.4f}  {_visible(leading):<20} {place:<22} {name}"


def _visible(text: str) -> str:
    """Return a text with what is not printable escaped: a file's name may hold anything."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
