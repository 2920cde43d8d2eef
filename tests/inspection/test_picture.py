"""`inspector.inspection.picture`: a picture's row is a view of the inspection that the daemon would publish."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from fakes import decision_rules, make_frame, site_reference

import inspector
from inspector.errors import PictureError
from inspector.frame import Cause, Pixels
from inspector.inspection.one_frame import Inspection, InspectRules, inspect_frame
from inspector.inspection.picture import classify_pixels, heat_of_picture, inspect_pixels, picture_row
from inspector.inspection.predictions import Predictions
from inspector.inspection.quality import QualityRules
from inspector.inspection.tiling import TilingRules

RULES = InspectRules(TilingRules(40, overlap_px=8), decision_rules())


def by_brightness(tiles: Sequence[Pixels]) -> Predictions:
    """Tiles are the more `crack` the darker, and the more `clean` the brighter."""
    means = np.array([tile.mean() / 255 for tile in tiles])
    return Predictions(np.stack([4 - 8 * means, np.zeros_like(means), np.zeros_like(means), 8 * means], axis=1))


@pytest.mark.parametrize("seed", range(12))
def test_a_row_says_what_the_daemon_would_publish(seed: int) -> None:
    """Label, box, tiles and scores of a row are those of the inspection of the same pixels as a frame."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (3, 3), dtype=np.uint8)
    pixels = np.kron(coarse, np.ones((30, 30), np.uint8))
    inspection = inspect_frame(make_frame(pixels=pixels), by_brightness, RULES)
    row = classify_pixels(pixels, "plate.png", by_brightness, RULES)

    assert row["label"] == inspection.decision
    assert [tile["label"] for tile in row["tiles"]] == [verdict.label for verdict in inspection.verdicts]
    assert row["box_px"] == (
        {name: getattr(inspection.published[0].box, name) for name in ("x", "y", "width", "height")}
        if inspection.published
        else None
    )
    assert row["score"] == row["scores"][row["top"]]
    assert row == picture_row(inspection, "plate.png", RULES.decision)
    assert row["reference"] is None
    assert {tile["distance"] for tile in row["tiles"]} == {None}


def by_place(tiles: Sequence[Pixels]) -> Predictions:
    """Every tile is surely clean; its map has the grey values of its quarters, less 100."""
    maps = np.array([tile[10::20, 10::20].astype(int) - 100 for tile in tiles]).astype(np.int8)[..., None]
    return Predictions(np.tile([0.0, 0.0, 0.0, 6.0], (len(tiles), 1)), maps={"map": maps})


@pytest.mark.parametrize(
    ("strange", "label", "score"),
    [
        pytest.param({}, "clean", 0.9926, id="all near"),
        pytest.param({(30, 50): 106, (70, 10): 120}, "unclassified", 0.9926, id="two strange tiles"),
    ],
)
def test_a_row_of_a_taught_station(strange: dict[tuple[int, int], int], label: str, score: float) -> None:
    """It names the reference, each tile has its distance, and the farthest tile decides if nothing has a name."""
    pixels = np.tile(np.array([[101, 103], [102, 100]], np.uint8), (40, 40))
    for place, value in strange.items():
        pixels[place] = value
    rules = InspectRules(TilingRules(40), decision_rules(reference=site_reference()), QualityRules(0.0, 1.0, 1.0))
    inspection = inspect_pixels(pixels, "plate.png", by_place, rules)
    row = picture_row(inspection, "plate.png", rules.decision)
    heat = heat_of_picture(inspection, rules.decision)

    assert (row["label"], row["score"], row["reference"]) == (label, score, "0123456789ab")
    assert [tile["distance"] for tile in row["tiles"]] == ([1.0, 6.0, 20.0, 1.0] if strange else [1.0] * 4)
    assert row["box_px"] == ({"x": 0, "y": 60, "width": 20, "height": 20} if strange else None)
    assert heat is not None
    assert (heat.boxes, heat.limit) == (inspection.boxes, 4.0)
    assert heat.distances.max(axis=(1, 2)).tolist() == [tile["distance"] for tile in row["tiles"]]


@pytest.mark.parametrize(
    ("cause", "detail", "expected"),
    [
        (Cause.BLANK, "", "plate.png: nothing to inspect, the picture is blank"),
        (Cause.UNSUPPORTED, "tiling.roi_xy has no pixel", "plate.png: tiling.roi_xy has no pixel"),
    ],
)
def test_what_was_not_inspected_has_no_row(cause: Cause, detail: str, expected: str) -> None:
    """An inspection with a cause is an error with the picture's name, the reason, and the cause as one word."""
    with pytest.raises(PictureError) as caught:
        picture_row(Inspection(make_frame(), cause, detail=detail), "plate.png", RULES.decision)

    assert (str(caught.value), caught.value.reason) == (expected, cause)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("judge_quality", {"one_frame.py", "lesson.py"}, id="judge_quality, of a lesson too"),
        pytest.param("hear_bundle", {"decision.py", "one_frame.py"}, id="hear_bundle"),
        pytest.param("find_near", {"decision.py", "one_frame.py"}, id="find_near"),
        pytest.param("merge_pieces", {"one_frame.py", "merge.py"}, id="merge_pieces, of tiles alone too"),
    ],
)
def test_there_is_one_way_from_a_picture_to_a_verdict(name: str, expected: set[str]) -> None:
    """What decides is called by `inspect_frame` and `judge_tiles` alone; a probe or a lesson's tile goes that way.

    The bench times each step by itself, and decides nothing.
    """
    callers = {
        path.name
        for path in sorted(Path(inspector.__file__).parent.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if path.parent.name != "bench"
        and isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == name
    }

    assert callers == expected
