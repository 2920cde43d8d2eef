"""The line benchmark: what a tiled line would have made of real defects on real clean steel.

Strips (see `strips`) go through the daemon's own `inspect_frame` — its tiling, its network, its decision, its merging —
and are judged against the boxes, a tally a question (see `tallies`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from inspector.frame import Frame, Pixels
from inspector.inspection.one_frame import InspectRules, inspect_frame
from inspector.inspection.predictions import Classify
from training.judge.events import Seconds
from training.judge.gallery import Gallery
from training.judge.strips import STRIP_PX
from training.judge.tallies import Boxes, CleanTiles, DefectTiles, Found, KeptMaps, Lenience, Pointing, Published, Tally
from training.tiles.composed import FEATHER_PX, ComposedStrip

PROTOCOL = (
    f"{{strips}} strips of {STRIP_PX} px, defects and ground of test groups, tiled and decided by"
    " the daemon's inspect_frame; recall and right_label over defects whose longer side is at least a quarter"
    " of a tile; a defect counts as found when the tiles of a published one touch its box; precision_per_label:"
    f" of the published defects of a label, those within {FEATHER_PX} px of a defect of that label;"
    " tiles_in_doubt, of which a defect shows too little, or two labels too much, count neither as clean nor as"
    " defect tiles: k of n alarm; found_by_chance: the same defects against what was published on the next"
    " strip, rightly_named of all of them; one_to_one: the same where each published defect may stand for one"
    " of them only, and each of them for one published (as many pairs as can be: linear_sum_assignment);"
    " right_at_iou: of the same, those whose box and that of a published one of their label have at least that"
    " IoU;"
    " localisation: box_touches, covered_mean and box_iou_mean over found defects and the boxes published for"
    " them; cam_pointing over tiles led by the label of the defect they show, where its boxes cover less than"
    " half; events: of the drawn defects of all sizes, how many have exactly one published defect whose box covers most"
    " of them, and the errors: merged, second_events, wrong_seconds (see training.judge.events)"
)
"""What the figures are over; the number of strips is put in."""


def run_benchmark(
    strips: Sequence[ComposedStrip],
    classify: Classify,
    rules: InspectRules,
    gallery: Gallery,
    marked_groups: Collection[str] = (),
    marked_pictures: Collection[str] = (),
) -> dict[str, Any]:
    """Inspect every strip and return the figures of the line; missed defects and false alarms go to `gallery`.

    Args:
        strips: With and without defects.
        classify: Scores tiles.
        rules: The daemon's.
        gallery: Gets pictures.
        marked_groups: See `CleanTiles`.
        marked_pictures: See `CleanTiles`.
    """
    maps, tile_px = KeptMaps(classify), rules.tiling.tile_px
    clean = CleanTiles(tile_px, gallery, marked_groups, marked_pictures)
    whole: list[Tally] = [Found(tile_px, gallery), Lenience(tile_px), Published(), clean, DefectTiles(), Seconds()]
    places: list[Tally] = [Boxes(tile_px), Pointing(maps, rules.decision.labels)]
    for number, strip in enumerate(strips):
        inspection = inspect_frame(as_frame(strip.pixels, number), maps, rules)
        for tally in (*whole, *places):
            tally.add(strip, inspection)
    rows: dict[str, Any] = {"protocol": PROTOCOL.format(strips=len(strips)), "localisation": {}}
    for tally in whole:
        rows |= tally.rows()
    for tally in places:
        rows["localisation"] |= tally.rows()
    return rows


def as_frame(pixels: Pixels, number: int = 0) -> Frame:
    """Return pixels as a frame of no camera, for the daemon's pure functions."""
    return Frame(pixels, 1, number, datetime(2000, 1, 1, tzinfo=UTC), 0.0, f"line-{number}", independent=True)
