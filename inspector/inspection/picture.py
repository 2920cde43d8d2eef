"""One picture as one row: what `inspector classify` prints and `POST /api/classify` answers."""

from __future__ import annotations

from typing import Any

from inspector.box import Box
from inspector.errors import ConfigError, PictureError
from inspector.frame import Cause, Pixels
from inspector.inspection.decision import SCORE_DECIMALS, to_scores
from inspector.inspection.merge import merge_tiles
from inspector.inspection.one_frame import InspectRules, judge_tiles
from inspector.inspection.predictions import Classify
from inspector.inspection.preprocess import to_grey
from inspector.inspection.quality import judge_quality
from inspector.inspection.tiling import cut_tiles, plan_tiles
from inspector.labels import CLEAN, UNKNOWN

Row = dict[str, Any]


def classify_pixels(pixels: Pixels, name: str, classify: Classify, rules: InspectRules) -> Row:
    """Return the row of a picture: decision, arg-max, scores by label, box and tiles.

    `label` is the most severe defect, else `unknown`, else `clean`; `top`, `score` and `scores` are those of the tile
    that decided. `box_px` is the defect's box, None without one.

    Raises:
        PictureError: Nothing can be seen in it (blank, over- or under-exposed), or no tile of it is to be looked at.
    """
    grey = to_grey(pixels)
    if (cause := judge_quality(grey, rules.quality)) is not None:
        raise PictureError(f"{name}: nothing to inspect, the picture is {cause.value}", cause.value)
    height, width = grey.shape
    try:
        boxes = plan_tiles(height, width, rules.tiling)
    except ConfigError as exc:  # of this picture's size
        raise PictureError(f"{name}: {exc}", Cause.UNSUPPORTED) from exc
    predictions, verdicts = judge_tiles(list(cut_tiles(grey, boxes)), classify, rules.decision)
    scores = to_scores(predictions.logits, rules.decision.temperature).round(SCORE_DECIMALS)
    merged = merge_tiles(boxes, verdicts, rules.decision, predictions.cam)
    defects = [defect for defect in merged if not defect.candidate]
    if defects:
        label, box = defects[0].label, defects[0].box
        members = [n for n, verdict in enumerate(verdicts) if verdict.label == label]
        deciding = max(members, key=lambda n: (verdicts[n].score, -n))
    else:
        box = None
        label = UNKNOWN if any(verdict.label == UNKNOWN for verdict in verdicts) else CLEAN
        members = [n for n, verdict in enumerate(verdicts) if verdict.label == label]
        deciding = max(members, key=lambda n: (verdicts[n].score if label == UNKNOWN else -verdicts[n].score, -n))
    return {
        "path": name,
        "label": label,
        "top": verdicts[deciding].top,
        "score": verdicts[deciding].score,
        "scores": dict(zip(rules.decision.labels, scores[deciding].tolist(), strict=True)),
        "box_px": _box(box) if box is not None else None,
        "tiles": [
            {"box_px": _box(tile), "label": verdict.label, "top": verdict.top, "score": verdict.score}
            for tile, verdict in zip(boxes, verdicts, strict=True)
        ],
    }


def _box(box: Box) -> dict[str, int]:
    return {"x": box.x, "y": box.y, "width": box.width, "height": box.height}
