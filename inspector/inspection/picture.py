"""One picture as one row: what `inspector classify` prints and `POST /api/classify` answers.

A view of `inspect_frame`: nothing is decided here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from inspector.box import Box
from inspector.errors import PictureError
from inspector.frame import Frame, Pixels
from inspector.heat import Heat
from inspector.inspection.decision import SCORE_DECIMALS, DecisionRules, to_scores
from inspector.inspection.one_frame import Inspection, InspectRules, inspect_frame
from inspector.inspection.predictions import Classify
from inspector.labels import CLEAN, UNCLASSIFIED

Row = dict[str, Any]

_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)


def classify_pixels(pixels: Pixels, name: str, classify: Classify, rules: InspectRules) -> Row:
    """Return the row of a picture: decision, arg-max, scores by label, box and tiles.

    Args:
        pixels: (H, W) or (H, W, 3) uint8.
        name: What to call it.
        classify: The network.
        rules: How it is cut and judged.

    Raises:
        PictureError: It shows nothing (blank, over- or under-exposed), or has no tile to inspect.
    """
    return picture_row(inspect_pixels(pixels, name, classify, rules), name, rules.decision)


def inspect_pixels(pixels: Pixels, name: str, classify: Classify, rules: InspectRules) -> Inspection:
    """Return what is found in a picture; arguments as of `classify_pixels`."""
    frame = Frame(pixels, epoch=0, frame_id=0, captured_at=_NO_TIME, captured_mono_s=0.0, identity=name,
                  independent=True)  # fmt: skip
    return inspect_frame(frame, classify, rules)


def heat_of_picture(inspection: Inspection, rules: DecisionRules) -> Heat | None:
    """Return how far all places of a picture are from the site's reference, or None where there is none."""
    if rules.reference is None or inspection.cause is not None:
        return None
    distances = rules.reference.distance_map(inspection.maps)
    return Heat(inspection.boxes, distances, rules.reference.unclassified_threshold)


def picture_row(inspection: Inspection, name: str, rules: DecisionRules) -> Row:
    """Return an inspection as a row.

    `label` is the most severe defect, else `unclassified`, `unknown` or `clean`; `top`, `score` and `scores` are those
    of the tile that decided. `box_px` is the defect's box, None without one. `reference` names the site's reference,
    and a tile's `distance` is from it; both None where there is none.

    Raises:
        PictureError: It was not inspected.
    """
    if inspection.cause is not None:
        why = inspection.detail or f"nothing to inspect, the picture is {inspection.cause.value}"
        raise PictureError(f"{name}: {why}", inspection.cause)
    label, verdicts = inspection.decision, inspection.verdicts
    members = [number for number, verdict in enumerate(verdicts) if verdict.label == label]
    sign = -1 if label == CLEAN else 1  # of clean tiles the least clean one decides
    weights = [verdict.distance or 0.0 if label == UNCLASSIFIED else sign * verdict.score for verdict in verdicts]
    deciding = max(members, key=lambda number: (weights[number], -number))
    scores = to_scores(inspection.logits[[deciding]], rules.temperature).round(SCORE_DECIMALS)[0]
    box = inspection.published[0].box if inspection.published else None
    return {
        "path": name,
        "label": label,
        "top": verdicts[deciding].top,
        "score": verdicts[deciding].score,
        "scores": dict(zip(rules.labels, scores.tolist(), strict=True)),
        "box_px": _box(box) if box is not None else None,
        "reference": rules.reference.short if rules.reference is not None else None,
        "tiles": [
            {
                "box_px": _box(tile),
                "label": verdict.label,
                "top": verdict.top,
                "score": verdict.score,
                "distance": verdict.distance if rules.reference is not None else None,
            }
            for tile, verdict in zip(inspection.boxes, verdicts, strict=True)
        ],
    }


def _box(box: Box) -> dict[str, int]:
    return {"x": box.x, "y": box.y, "width": box.width, "height": box.height}
