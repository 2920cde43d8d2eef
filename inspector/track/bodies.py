"""The bodies of the messages on a defect, a frame, a gap."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from inspector.box import Box
from inspector.clock import to_rfc3339
from inspector.drafts import UNSTORED
from inspector.errors import ConfigError
from inspector.frame import Cause, Frame, Gap
from inspector.inspection.merge import Defect
from inspector.inspection.one_frame import Inspection
from inspector.items import Lost
from inspector.labels import CLEAN, UNCLASSIFIED, UNKNOWN, Severity
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
from inspector.strip.position import legs_until
from inspector.track.operators import shelved_by
from inspector.track.places import across_mm, place_fields, scale_fields
from inspector.track.rules import TrackRules
from inspector.track.severity import grade
from inspector.track.state import TrackState

NO_EVIDENCE = Evidence(sha256=None, url=None)


def why_of(why: Why, defect: Defect, rules: TrackRules) -> Why:
    """Return `why` with the figures of `defect`, which may be another finding than the one that was judged."""
    update = why_figures(defect, rules, why.threshold)  # of a bundle before, for a defect open at its end
    if why.rule == "threshold":
        update["key"] = threshold_key(defect)
    return why.model_copy(update=update)


def why_figures(defect: Defect, rules: TrackRules, otherwise: float = 0.0) -> dict[str, Any]:
    """Return what was compared: scores, or of an unclassified defect distances; `otherwise` for a strange label."""
    if defect.is_named:
        threshold, score = rules.thresholds.get(defect.label, otherwise), defect.score
    else:
        threshold, score = round(rules.unclassified_threshold, 4), defect.distance or 0.0
    margin = round(score - threshold, 4) + 0.0
    return {
        "measure": "score" if defect.is_named else "distance",
        "threshold": threshold, "score": score, "margin": margin,
    }  # fmt: skip


def threshold_key(defect: Defect) -> str:
    """Return the key by which a defect would be no alarm."""
    return f"decision.thresholds.{defect.label}" if defect.is_named else "events.alarm_unclassified"


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
        "reference": rules.reference,
        "side": rules.strip.side,
        "recipe": rules.recipe,
        "recipe_hash": rules.recipe_hash,
    }


@dataclass(frozen=True, slots=True)
class Sighting:
    """A defect after a frame: what its message says.

    Attributes:
        defect_id: Its id.
        phase: What the message is about.
        revision: Number of previous messages.
        frame: The frame.
        defect: The finding that stands for it.
        box: Where it shows in the frame.
        extent: Where it shows in absolute lines, or None where there are none.
        tiles, frames: Findings so far.
        alarm: Whether it raised an alarm.
        why: The reason.
        periodic_id: Of the finding of marks that it belongs to, or None.
    """

    defect_id: str
    phase: Literal["opened", "updated", "closed"]
    revision: int
    frame: Frame
    defect: Defect
    box: Box
    extent: Box | None
    tiles: int
    frames: int
    alarm: bool
    why: Why
    periodic_id: str | None = None


def shelf_of(state: TrackState, defect: Defect, now: datetime, rules: TrackRules) -> str | None:
    """Return the id of the command that shelves a finding, or None."""
    return shelved_by(state.operators, defect.label, across_mm(defect.box, rules), now)


def word_fields(label: str | None, rules: TrackRules) -> dict[str, Any]:
    """Return what the plant calls a label."""
    words = rules.words.get(label or "")
    return {} if words is None else {
        "class_code": words.code, "class_name": words.name, "class_group": words.group
    }  # fmt: skip


def alarm_text(
    defect: Defect, severity: Severity, frame: Frame, state: TrackState, rules: TrackRules, periodic: str = ""
) -> str:
    """Return one line on which a person can act: what, how severe, where, at which station, and how to silence it.

    `periodic` says more of what it is the mark of.
    """
    place = place_fields(defect.box, frame.first_line or 0, state, rules)
    where = [] if place["position_m"] is None else [f"{place['position_m']:.2f} m"]
    if place["across_mm"] is None:
        where.append(f"x {defect.box.x} y {defect.box.y} px")
    else:
        where.append(f"{place['across_mm']:.0f} mm across")
    what = f"{rules.named(defect.label)} {defect.surety:.2f} ({severity})"
    silence = f"to silence: inspector do shelve label={defect.label} reason=WHY"
    return f"{what} at {rules.station}, {', '.join(where)}{periodic}; {silence}"


def defect_body(sighting: Sighting, state: TrackState, rules: TrackRules) -> DefectMessage:
    """Return the message of one phase of a defect."""
    frame, defect, extent = sighting.frame, sighting.defect, sighting.extent
    message_id = rules.ids.of(sighting.defect_id, sighting.phase, sighting.revision)
    return DefectMessage(
        **common_fields(message_id, frame.captured_at, frame.simulated, state, rules),
        defect_id=sighting.defect_id,
        phase=sighting.phase,
        frame=FrameRef(epoch=frame.epoch, frame_id=frame.frame_id, source_key=frame.source_key),
        box_px=BoxPx.of(sighting.box),
        line=None if extent is None else extent.y,
        lines=None if extent is None else extent.height,
        **scale_fields(sighting.box if extent is None else extent, state.along, rules, state.edges),
        position_source=None if state.along is None else rules.strip.position,
        scale_source=rules.scale_source if rules.mm_per_px is not None else None,
        label=defect.label,
        **word_fields(defect.label, rules),
        score=defect.score,
        runner_up=RunnerUp(label=defect.runner_up, score=defect.runner_up_score),
        severity=grade(state, defect, sighting.extent or sighting.box, rules).severity,
        distance=defect.distance,
        alarm=sighting.alarm,
        why=sighting.why,
        shelved_by=None if sighting.alarm else shelf_of(state, defect, frame.captured_at, rules),
        periodic_id=sighting.periodic_id,
        tiles=sighting.tiles,
        frames=sighting.frames,
        evidence=NO_EVIDENCE,
    )


def frame_body(state: TrackState, inspection: Inspection, defect_ids: list[str], rules: TrackRules) -> FrameMessage:
    """Return the message of an inspected frame; `defect_ids`: of what was published of it."""
    frame, decision = inspection.frame, inspection.decision
    worst = inspection.published[0] if defect_ids else None
    counts, taught = inspection.verdict_counts(), rules.reference is not None
    verdict: Literal["pass", "fail", "unknown"] = "fail"
    if decision in (CLEAN, UNKNOWN, UNCLASSIFIED):
        verdict = "pass" if decision == CLEAN else "unknown"
    return FrameMessage(
        **common_fields(rules.ids.of("frame", frame.identity), frame.captured_at, frame.simulated, state, rules),
        frame=FrameRef(epoch=frame.epoch, frame_id=frame.frame_id, source_key=frame.source_key),
        verdict=verdict,
        reason=UNCLASSIFIED if decision == UNCLASSIFIED else None,
        detail=None,
        label=worst.label if worst else None,
        score=worst.score if worst else None,
        distance=max((tile.distance or 0.0 for tile in inspection.verdicts), default=None) if taught else None,
        defects=len(defect_ids),
        defect_ids=" ".join(defect_ids),
        width_px=frame.width_px,
        height_px=frame.height_px,
        tiles=len(inspection.boxes),
        unknown_tiles=counts.get(UNKNOWN, 0),
        unclassified_tiles=counts.get(UNCLASSIFIED, 0) if taught else None,
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


def metres_of(gap: Gap, state: TrackState, rules: TrackRules) -> tuple[float | None, float | None]:
    """Return where a gap lies on the coil; of one that lasts, as far as the plant's speed says how much ran."""
    way = state.way
    if gap.from_m is not None or way.blind != gap.cause.value or not way.sure or way.at is None:
        return gap.from_m, gap.to_m
    from_m, legs = way.furthest_m - way.head_m, legs_until(way, gap.until)
    if not rules.strip.runs_on or any(leg.speed_m_s is None for leg in legs if leg.seconds > 0):
        return round(from_m, 4), None
    return round(from_m, 4), round(from_m + sum(leg.metres for leg in legs), 4)


def coverage_body(gap: Gap, state: TrackState, rules: TrackRules) -> CoverageMessage:
    """Return the message of a gap."""
    since, until, pause = to_rfc3339(gap.since), to_rfc3339(gap.until), state.operators.pause
    names = (gap.cause.value, gap.epoch, gap.frame_id, gap.source_key, since, until, None)
    fields: dict[str, Any] = {"from": since}  # `from` cannot be an argument's name
    from_m, to_m = metres_of(gap, state, rules)
    return CoverageMessage(
        **common_fields(rules.ids.of("coverage", *names), gap.until, False, state, rules),
        **fields,
        to=until,
        cause=gap.cause.value,
        frames=frames_of(gap),
        epoch=gap.epoch,
        source_key=gap.source_key,
        from_m=from_m,
        to_m=to_m,
        detail=gap.detail or None,
        person=pause.person if pause is not None and gap.cause is Cause.PAUSED else None,
        first_seq=None,
        last_seq=None,
    )


def lost_body(lost: Lost, state: TrackState, rules: TrackRules) -> CoverageMessage:
    """Return the message on lost or unheard messages."""
    moment = to_rfc3339(lost.at)
    names = (lost.cause, lost.sink, moment, lost.first_seq, lost.last_seq)
    fields: dict[str, Any] = {"from": moment}
    return CoverageMessage(
        **common_fields(rules.ids.of("coverage", *names), lost.at, False, state, rules),
        **fields,
        to=moment,
        cause=lost.cause,
        frames=0,
        epoch=0,
        source_key=None,
        detail=lost.reason,
        sink=lost.sink,
        lost=lost.count,
        first_seq=lost.first_seq,
        last_seq=lost.last_seq,
        lost_seqs=lost.seqs,
    )
