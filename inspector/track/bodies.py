"""What is said of a defect, a frame, a gap: the bodies of the messages."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from inspector.box import Box
from inspector.clock import to_rfc3339
from inspector.drafts import UNSTORED
from inspector.errors import ConfigError
from inspector.frame import Frame, Gap
from inspector.inspection.merge import Defect
from inspector.inspection.one_frame import Inspection
from inspector.labels import UNKNOWN
from inspector.messages import (
    BoxPx,
    CoverageMessage,
    DefectMessage,
    Evidence,
    FrameMessage,
    FrameRef,
    RunnerUp,
    Why,
    moment_fields,
)
from inspector.track.rules import TrackRules
from inspector.track.state import TrackState

NO_EVIDENCE = Evidence(sha256=None, url=None)


def why_of(why: Why, defect: Defect, rules: TrackRules) -> Why:
    """Return `why` with the figures of `defect`, which need not be the finding that the rule was asked about."""
    threshold = rules.thresholds[defect.label]
    update: dict[str, Any] = {
        "threshold": threshold,
        "score": defect.score,
        "margin": round(defect.score - threshold, 4) + 0.0,
    }
    if why.rule == "threshold":
        update["key"] = f"decision.thresholds.{defect.label}"
    return why.model_copy(update=update)


def frames_of(gap: Gap) -> int:
    """Return how many frames a gap stands for."""
    return gap.frames or int(gap.identity is not None)


def common_fields(
    message_id: str, moment: datetime, simulated: bool, state: TrackState, rules: TrackRules
) -> dict[str, Any]:
    """Return the fields that every numbered message carries."""
    return {
        **UNSTORED,
        "id": message_id,
        **moment_fields(moment),
        "station": rules.station,
        "coil_id": state.coil_id,
        "bundle": rules.bundle,
        "config": rules.config,
        "simulated": simulated,
    }


def scale_fields(extent: Box, along: bool, rules: TrackRules) -> dict[str, Any]:
    """Return where a box lies on the strip and how large it is, in m and mm; None while the scale is unknown."""
    scale = rules.mm_per_px
    if scale is None:
        return {"position_m": None, "across_mm": None, "width_mm": None, "length_mm": None}
    return {
        "position_m": round(extent.y * scale / 1000, 4) if along else None,
        "across_mm": round(extent.x * scale, 2),
        "width_mm": round(extent.width * scale, 2),
        "length_mm": round(extent.height * scale, 2),
    }


def defect_body(
    defect_id: str, phase: Literal["opened", "updated", "closed"], revision: int, frame: Frame, defect: Defect,
    box: Box, extent: Box | None, tiles: int, frames: int, alarm: bool, why: Why, state: TrackState, rules: TrackRules,
) -> DefectMessage:  # fmt: skip
    """Return the message of one phase of a defect."""
    on_lines = extent is not None and frame.first_line is not None
    return DefectMessage(
        **common_fields(rules.ids.of(defect_id, phase, revision), frame.captured_at, frame.simulated, state, rules),
        defect_id=defect_id,
        phase=phase,
        frame=FrameRef(epoch=frame.epoch, frame_id=frame.frame_id, source_key=frame.source_key),
        box_px=BoxPx.of(box),
        line=extent.y if extent is not None and on_lines else None,
        lines=extent.height if extent is not None and on_lines else None,
        **scale_fields(extent if extent is not None and on_lines else box, on_lines, rules),
        scale_source=rules.scale_source if rules.mm_per_px is not None else None,
        label=defect.label,
        score=defect.score,
        runner_up=RunnerUp(label=defect.runner_up, score=defect.runner_up_score),
        severity=rules.severity[defect.label],
        alarm=alarm,
        why=why,
        tiles=tiles,
        frames=frames,
        evidence=NO_EVIDENCE,
    )


def frame_body(state: TrackState, inspection: Inspection, defect_ids: list[str], rules: TrackRules) -> FrameMessage:
    """Return the message of an inspected frame."""
    frame, published = inspection.frame, inspection.published
    decision = inspection.decision
    return FrameMessage(
        **common_fields(rules.ids.of("frame", frame.identity), frame.captured_at, frame.simulated, state, rules),
        frame=FrameRef(epoch=frame.epoch, frame_id=frame.frame_id, source_key=frame.source_key),
        verdict="fail" if published else "unknown" if decision == UNKNOWN else "pass",
        reason=None,
        detail=None,
        label=published[0].label if published else None,
        score=published[0].score if published else None,
        defects=len(published),
        defect_ids=" ".join(defect_ids),
        width_px=frame.width_px,
        height_px=frame.height_px,
        tiles=len(inspection.boxes),
        unknown_tiles=inspection.verdict_counts().get(UNKNOWN, 0),
    )


def missed_body(state: TrackState, gap: Gap, frame: Frame | None, rules: TrackRules) -> FrameMessage:
    """Return the message of a still that was not inspected."""
    if gap.identity is None:
        raise ConfigError(f"a gap without identity is no still: {gap}")
    return FrameMessage(
        **common_fields(
            rules.ids.of("frame", gap.identity), gap.since, frame is not None and frame.simulated, state, rules
        ),
        frame=FrameRef(epoch=gap.epoch, frame_id=gap.frame_id or 0, source_key=gap.source_key),
        verdict="not_inspected",
        reason=gap.cause.value,
        detail=gap.detail or None,
        label=None,
        score=None,
        defects=0,
        defect_ids="",
        width_px=frame.width_px if frame else None,
        height_px=frame.height_px if frame else None,
        tiles=0,
        unknown_tiles=0,
    )


def coverage_body(
    gap: Gap, coil_id: str | None, rules: TrackRules, lost: tuple[int, int] | None = None, cause: str | None = None
) -> CoverageMessage:
    """Return the message of a gap, or with `lost` (first and last `seq`) of lost messages."""
    word = cause or gap.cause.value
    since, until = to_rfc3339(gap.since), to_rfc3339(gap.until)
    message_id = rules.ids.of("coverage", word, gap.epoch, gap.frame_id, gap.source_key, since, until, lost)
    fields: dict[str, Any] = {"from": since}  # `from` cannot be an argument's name
    return CoverageMessage(
        **common_fields(message_id, gap.until, False, TrackState(coil_id=coil_id), rules),
        **fields,
        to=until,
        cause=word,
        frames=frames_of(gap),
        epoch=gap.epoch,
        source_key=gap.source_key,
        detail=gap.detail or None,
        first_seq=lost[0] if lost else None,
        last_seq=lost[1] if lost else None,
    )
