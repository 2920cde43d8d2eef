"""`inspector.inspection.picture`: a picture's row is a view of the inspection that the daemon would publish."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from fakes import decision_rules, make_frame

import inspector
from inspector.errors import PictureError
from inspector.frame import Cause, Pixels
from inspector.inspection.one_frame import Inspection, InspectRules, inspect_frame
from inspector.inspection.picture import classify_pixels, picture_row
from inspector.inspection.predictions import Predictions
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


@pytest.mark.parametrize("name", ["judge_quality", "judge_tiles", "merge_tiles"])
def test_there_is_one_way_from_a_picture_to_a_verdict(name: str) -> None:
    """In the whole package, what decides is called at one place: in `inspect_frame`."""
    callers = [
        path.name
        for path in sorted(Path(inspector.__file__).parent.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
    ]

    assert callers == ["one_frame.py"]
