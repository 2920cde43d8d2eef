"""One picture as one row: what `POST /api/classify` answers, and `inspector classify` prints, or as a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import cv2

from inspector.errors import ConfigError, PictureError
from inspector.frame import Pixels
from inspector.heat import draw_heat
from inspector.inspection.one_frame import Inspection, InspectRules
from inspector.inspection.picture import Row, heat_of_picture, inspect_pixels, picture_row
from inspector.model.bundle import find_bundle, load_bundle
from inspector.model.pool import WorkerPool, open_model
from inspector.pictures.decode import decode_picture
from inspector.pictures.files import read_picture_file
from inspector.pictures.limits import MAX_FILE_BYTES, MAX_FRAME_PX
from inspector.settings.loading import load_settings
from inspector.settings.sections import Decision, Tiling
from inspector.station.wiring import inspect_rules, open_bundle, reference_folder, worker_count

_BOX_BGR = (0, 128, 255)


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """What decides on pictures.

    Attributes:
        pool: The network; who opened it closes it.
        rules: How pictures are cut and judged.
        max_px: Larger pictures are refused.
        full_scale: Of 16-bit pictures: the value that is white.
        trouble: Why the station's reference cannot be used, or None.
        heat: Folder for pictures of the distance from the reference, or None.
        drawn: Names of those that were written.
    """

    pool: WorkerPool
    rules: InspectRules
    max_px: int = MAX_FRAME_PX
    full_scale: int | None = None
    trouble: str | None = None
    heat: Path | None = None
    drawn: set[str] = field(default_factory=set)


def open_judge(model: str, config: Path | None, heat: Path | None = None) -> Judge:
    """Return what decides as a station does, or as a bundle alone.

    Args:
        model: The bundle; not used where a station is named.
        config: The station's configuration, or None.
        heat: Where pictures of the distance are written; made if it is not there.

    Raises:
        RefusedError: Configuration or bundle is refused, or there is no reference that `heat` could show.
        OSError: The folder cannot be made.
    """
    if config is None:
        if heat is not None:
            raise ConfigError("--heat shows the distance from a station's reference: name the station with --config")
        bundle = load_bundle(find_bundle(model))
        rules = inspect_rules(Tiling(), Decision(), bundle)
        return Judge(open_model(bundle, worker_count(0))[0], rules)
    settings = load_settings(config).settings
    station = open_bundle(settings, unit_file=config)
    if heat is not None:
        if station.taught.reference is None:
            station.pool.close()
            why = station.taught.trouble or f"none is accepted: {reference_folder(settings, config)}"
            raise ConfigError(f"--heat shows the distance from the station's reference: {why}")
        heat.mkdir(parents=True, exist_ok=True)
    source = settings.source
    return Judge(station.pool, station.rules, source.max_frame_px, source.full_scale, station.taught.trouble, heat)


def classify_file(name: str, judge: Judge, max_bytes: int = MAX_FILE_BYTES) -> Row:
    """Return the row of a file, or `path`, `error` and `reason` of one that is refused.

    Raises:
        OSError: The picture of the distance cannot be written.
    """
    try:
        data = read_picture_file(Path(name), max_bytes)
        pixels = decode_picture(data, name=name, max_px=judge.max_px, full_scale=judge.full_scale)
        inspection = inspect_pixels(pixels, name, judge.pool, judge.rules)
        row = picture_row(inspection, name, judge.rules.decision)
    except PictureError as exc:
        return {"path": name, "error": str(exc), "reason": exc.reason}
    if judge.heat is not None:
        stem = Path(name).stem
        free = next(each for each in _names(stem) if each not in judge.drawn)
        judge.drawn.add(free)
        _write_heat(judge.heat / free, pixels, inspection, judge.rules)
    return row


def _names(stem: str) -> Iterator[str]:
    """Yield names for the picture of the distance: `STEM.png`, and with a number where others have the same stem."""
    yield f"{stem}.png"
    yield from (f"{stem}-{number}.png" for number in count(2))


def _write_heat(path: Path, pixels: Pixels, inspection: Inspection, rules: InspectRules) -> None:
    heat = heat_of_picture(inspection, rules.decision)
    if heat is None:
        return
    drawn = draw_heat(pixels, heat)
    for defect in inspection.published:
        box = defect.box
        cv2.rectangle(drawn, (box.x, box.y), (box.right - 1, box.bottom - 1), _BOX_BGR, 2)
    path.write_bytes(cv2.imencode(".png", drawn)[1].tobytes())


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
