"""The second pure function: inspections and gaps in order, messages out.

One owner calls `track` for one frame after the other. It joins what neighbouring frames show of the same defect,
decides which defects ask for a person, holds repeated alarms back, and merges gaps. For independent stills it joins
nothing. It reads no clock: time comes with the items, and with a `Tick` while none arrive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from inspector.box import Box
from inspector.clock import to_rfc3339
from inspector.errors import ConfigError
from inspector.frame import Cause, Frame, Gap
from inspector.inspection.merge import Defect
from inspector.inspection.one_frame import Inspection
from inspector.labels import SEVERITIES, UNKNOWN, Severity
from inspector.messages import (
    UNSTORED,
    AlarmMessage,
    BoxPx,
    CoverageMessage,
    DefectMessage,
    Draft,
    Evidence,
    FrameMessage,
    FrameRef,
    Ids,
    Picture,
    RunnerUp,
    Why,
    moment_fields,
)

GAP_JOIN = timedelta(seconds=2)
"""Gaps of one cause that lie this close together, and belong to no file, are one message ..."""
GAP_MAX = timedelta(seconds=10)
"""... until the stretch is this long, so that a long overload is told while it lasts."""
STREAM_MISSES = 2
"""Frames of a plain camera in which an open defect may be missed before it is closed; 0 on a line stream."""
SAME_PLACE_SHARE = 0.5
"""Two boxes that share this much of the smaller one are one defect, whatever their labels."""
NO_EVIDENCE = Evidence(sha256=None, url=None)


@dataclass(frozen=True, slots=True)
class TrackRules:
    """What `track` depends on.

    Attributes:
        ids: Namer of this station.
        station: site/line/name.
        bundle: `Bundle.short`.
        config: Fingerprint of the settings.
        thresholds: Score per defect label.
        severity: Per defect label.
        mode: `observe` raises no alarm.
        alarm_hits, alarm_window: N of M frames with the label make an alarm.
        alarm_min_severity: Defects below raise none.
        alarm_limit, alarm_limit_s: Alarms per label in that many seconds.
        frame_messages: Per frame; None: for stills only.
        mm_per_px: Scale, or None while nobody knows it.
        scale_source: Who knows it.
    """

    ids: Ids
    station: str
    bundle: str
    config: str
    thresholds: Mapping[str, float]
    severity: Mapping[str, Severity]
    mode: Literal["observe", "alarm"] = "alarm"
    alarm_hits: int = 1
    alarm_window: int = 1
    alarm_min_severity: Severity = "minor"
    alarm_limit: int = 6
    alarm_limit_s: float = 60.0
    frame_messages: bool | None = None
    mm_per_px: float | None = None
    scale_source: Literal["card", "configuration"] | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed without an item; `final` closes what is open, at the end of a run."""

    now: datetime
    final: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class OpenDefect:
    """A defect that the next frame may continue.

    Attributes:
        defect_id: Its id.
        extent: Of its tiles, in absolute lines on a line stream, else frame pixels: what continues it must touch this.
        shown: Where it shows, likewise: what is published.
        best: The finding with the highest score.
        last: The last message body, with the reason of the last judgement.
        tiles, frames: Findings so far.
        misses: Frames since it was last seen.
        revision: Messages so far.
    """

    defect_id: str
    extent: Box
    shown: Box
    best: Defect
    last: DefectMessage
    tiles: int
    frames: int
    misses: int = 0
    revision: int = 0


@dataclass(frozen=True, slots=True)
class LimitState:
    """Alarms of one label in the current window, and what was held back.

    Attributes:
        since: Of the first alarm, by the frames' time.
        sent, suppressed: How many left, and how many did not.
        first: The first that did not.
        ticked: First tick of the window. Ticks are compared with ticks: frames may be years old when they are read.
    """

    since: datetime
    sent: int
    suppressed: int = 0
    first: AlarmMessage | None = None
    ticked: datetime | None = None


@dataclass(frozen=True, slots=True)
class TrackState:
    """All memory between frames."""

    open: tuple[OpenDefect, ...] = ()
    recent: tuple[frozenset[str], ...] = ()
    limits: Mapping[str, LimitState] = field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()
    coil_id: str | None = None


def track(state: TrackState, item: Inspection | Gap | Tick, rules: TrackRules) -> tuple[TrackState, list[Draft]]:
    """Return the next state and the messages that `item` gives, in the order in which they must leave."""
    if isinstance(item, Tick):
        return _tick(state, item, rules)
    if isinstance(item, Gap):
        return _gap(state, item, rules)
    frame = item.frame
    if item.cause is not None:
        gap = Gap(item.cause, frame.captured_at, frame.captured_at, frame.epoch, 1, frame.frame_id,
                  frame.identity if frame.independent else None, frame.source_key, detail=item.detail)  # fmt: skip
        state, drafts = _gap(state, gap, rules, frame)
        return state, drafts
    state, drafts = _flush_gaps(state, frame.captured_at, rules)
    state = replace(state, recent=_remember(state.recent, item, rules.alarm_window))
    state, more = _stills(state, item, rules) if frame.independent else _stream(state, item, rules)
    drafts += more
    state, late = _flush_limits(state, frame.captured_at, rules)
    return state, drafts + late


def _remember(recent: tuple[frozenset[str], ...], inspection: Inspection, window: int) -> tuple[frozenset[str], ...]:
    return (*recent, frozenset(defect.label for defect in inspection.published))[-window:]


# --- Stills -------------------------------------------------------------------------------------------------------


def _stills(state: TrackState, inspection: Inspection, rules: TrackRules) -> tuple[TrackState, list[Draft]]:
    frame, drafts, defect_ids = inspection.frame, [], []
    for ordinal, defect in enumerate(inspection.published):
        defect_id = rules.ids.of("defect", frame.identity, ordinal)
        state, alarm, why, alarm_drafts = _judge_alarm(state, defect, defect_id, frame, rules)
        body = _defect_body(
            defect_id, "closed", 0, frame, defect, defect.box, None, defect.tiles, 1, alarm, why, state, rules
        )
        drafts += [Draft(body, Picture(frame.pixels, defect.box, defect.tiles_box)), *alarm_drafts]
        defect_ids.append(defect_id)
    if rules.frame_messages is not False:
        drafts.append(Draft(_frame_body(state, inspection, defect_ids, rules)))
    return state, drafts


# --- Streams ------------------------------------------------------------------------------------------------------


def _stream(state: TrackState, inspection: Inspection, rules: TrackRules) -> tuple[TrackState, list[Draft]]:
    frame, drafts, defect_ids = inspection.frame, list[Draft](), list[str]()
    shift = frame.first_line or 0
    waiting, seen = [known for known in state.open if known.last.frame.epoch == frame.epoch], list[OpenDefect]()
    drafts += [_closed(known, rules) for known in state.open if known not in waiting]  # lines are counted anew
    for ordinal, defect in enumerate(inspection.published):
        extent, shown = defect.tiles_box.moved(dy=shift), defect.box.moved(dy=shift)
        known = next((other for other in (*waiting, *seen) if _continues(other, defect, extent)), None)
        if known is None:
            defect_id = rules.ids.of("defect", frame.identity, ordinal)
            state, alarm, why, more = _judge_alarm(state, defect, defect_id, frame, rules)
            body = _defect_body(defect_id, "opened", 0, frame, defect, defect.box, shown, defect.tiles, 1, alarm, why,
                                state, rules)  # fmt: skip
            drafts += [Draft(body, Picture(frame.pixels, defect.box, defect.tiles_box)), *more]
            seen.append(OpenDefect(defect_id, extent, shown, defect, body, defect.tiles, 1))
        else:
            again = known in seen
            (seen if again else waiting).remove(known)
            state, grown, more = _continue(state, known, defect, extent, shown, frame, again, rules)
            drafts += more
            seen.append(grown)
        defect_ids.append(seen[-1].defect_id)
    limit = 0 if frame.first_line is not None else STREAM_MISSES
    for other in waiting:
        if other.misses >= limit:
            drafts.append(_closed(other, rules))
        else:
            seen.append(replace(other, misses=other.misses + 1))
    if rules.frame_messages:
        drafts.append(Draft(_frame_body(state, inspection, defect_ids, rules)))
    return replace(state, open=tuple(seen)), drafts


def _continues(known: OpenDefect, defect: Defect, extent: Box) -> bool:
    if known.best.label == defect.label and known.extent.touches(extent):
        return True
    smaller = min(known.extent.area_px, extent.area_px)
    return known.extent.shared_px(extent) >= SAME_PLACE_SHARE * smaller


def _continue(
    state: TrackState, known: OpenDefect, defect: Defect, extent: Box, shown: Box, frame: Frame, again: bool,
    rules: TrackRules,
) -> tuple[TrackState, OpenDefect, list[Draft]]:  # fmt: skip
    better = defect.score > known.best.score
    whole = again or frame.first_line is not None
    grown = replace(
        known,
        extent=known.extent.union(extent) if whole else extent,
        shown=known.shown.union(shown) if whole else shown,
        best=defect if better else known.best,
        tiles=known.tiles + defect.tiles,
        frames=known.frames + (not again),
        misses=0,
    )
    last, drafts, alarm, why = known.last, list[Draft](), known.last.alarm, known.last.why
    if not alarm and why.rule in ("n_of_m", "severity"):
        state, alarm, why, drafts = _judge_alarm(state, grown.best, known.defect_id, frame, rules)
    told = last.lines or last.box_px.height
    if alarm != last.alarm or grown.shown.height >= 2 * told or grown.best.score >= last.score + 0.1:
        revision = known.revision + 1
        body = _defect_body(known.defect_id, "updated", revision, frame, grown.best, defect.box,
                            grown.shown if frame.first_line is not None else None, grown.tiles, grown.frames, alarm,
                            _why_of(why, grown.best, rules), state, rules)  # fmt: skip
        grown = replace(grown, last=body, revision=revision)
        drafts = [Draft(body), *drafts]
    elif why != last.why:
        grown = replace(grown, last=last.model_copy(update={"why": why}))
    return state, grown, drafts


def _closed(known: OpenDefect, rules: TrackRules) -> Draft:
    last, revision = known.last, known.revision + 1
    update: dict[str, Any] = {
        "id": rules.ids.of(known.defect_id, "closed", revision),
        "phase": "closed",
        "tiles": known.tiles,
        "frames": known.frames,
        "label": known.best.label,
        "score": known.best.score,
        "runner_up": RunnerUp(label=known.best.runner_up, score=known.best.runner_up_score),
        "severity": rules.severity[known.best.label],
        "why": _why_of(last.why, known.best, rules),
    }
    if last.line is not None:
        update |= {"line": known.shown.y, "lines": known.shown.height, **_scale(known.shown, True, rules)}
    return Draft(last.model_copy(update=update))


def _why_of(why: Why, defect: Defect, rules: TrackRules) -> Why:
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


# --- Alarms -------------------------------------------------------------------------------------------------------


def _judge_alarm(
    state: TrackState, defect: Defect, defect_id: str, frame: Frame, rules: TrackRules
) -> tuple[TrackState, bool, Why, list[Draft]]:
    label, severity, now = defect.label, rules.severity[defect.label], frame.captured_at
    hits = sum(label in labels for labels in state.recent)

    def why(rule: Literal["threshold", "severity", "mode", "n_of_m", "limit"], key: str) -> Why:
        threshold = rules.thresholds[label]
        return Why(rule=rule, key=key, threshold=threshold, score=defect.score,
                   margin=round(defect.score - threshold, 4) + 0.0, hits=hits, window=rules.alarm_window)  # fmt: skip

    if rules.mode == "observe":
        return state, False, why("mode", "decision.mode"), []
    if SEVERITIES.index(severity) < SEVERITIES.index(rules.alarm_min_severity):
        return state, False, why("severity", "events.alarm_min_severity"), []
    if hits < rules.alarm_hits:
        return state, False, why("n_of_m", "events.alarm_hits"), []
    reason = why("threshold", f"decision.thresholds.{label}")
    alarm = AlarmMessage(
        **_common(rules.ids.of(defect_id, "alarm"), now, frame.simulated, state, rules),
        kind="defect", defect_id=defect_id, label=label, score=defect.score, severity=severity, suppressed=0,
        why=reason,
        text=f"{label} {defect.score:.2f} ({severity}) at {rules.station}, x {defect.box.x} y {defect.box.y} px",
    )  # fmt: skip
    state, drafts = _flush_limits(state, now, rules)
    limit = state.limits.get(label) or LimitState(now, 0)
    if limit.sent >= rules.alarm_limit:
        held = replace(limit, suppressed=limit.suppressed + 1, first=limit.first or alarm)
        return replace(state, limits={**state.limits, label: held}), False, why("limit", "events.alarm_limit"), drafts
    limits = {**state.limits, label: replace(limit, sent=limit.sent + 1)}
    return replace(state, limits=limits), True, reason, [*drafts, Draft(alarm)]


def _flush_limits(
    state: TrackState, now: datetime, rules: TrackRules, tick: bool = False, final: bool = False
) -> tuple[TrackState, list[Draft]]:
    drafts, limits = list[Draft](), dict[str, LimitState]()
    for label, limit in state.limits.items():
        if tick and limit.ticked is None:
            limit = replace(limit, ticked=now)
        since = (limit.ticked if tick else None) or limit.since
        if not final and abs((now - since).total_seconds()) < rules.alarm_limit_s:
            limits[label] = limit
        elif limit.first is not None:
            first = limit.first
            text = f"suppressed {limit.suppressed} more {label} at {rules.station}"
            drafts.append(
                Draft(
                    first.model_copy(
                        update={
                            "id": rules.ids.of(first.defect_id, "suppressed"),
                            "kind": "suppressed",
                            "suppressed": limit.suppressed,
                            "text": text,
                        }
                    )
                )
            )
    return (state if limits == state.limits else replace(state, limits=limits)), drafts


# --- Gaps and time ------------------------------------------------------------------------------------------------


def _gap(state: TrackState, gap: Gap, rules: TrackRules, frame: Frame | None = None) -> tuple[TrackState, list[Draft]]:
    drafts: list[Draft] = []
    if gap.identity is not None and rules.frame_messages is not False:
        return state, [Draft(_missed_body(state, gap, frame, rules))]
    if gap.source_key is not None:  # its file is done in this transaction
        return state, [Draft(coverage_body(gap, state.coil_id, rules))]
    if gap.cause in (Cause.SOURCE_DOWN, Cause.PROCESS_DOWN):
        drafts = [_closed(known, rules) for known in state.open]
        state = replace(state, open=())
    state, flushed = _flush_gaps(state, gap.since, rules)
    drafts += flushed
    for number, other in enumerate(state.gaps):
        if (other.cause, other.epoch) == (gap.cause, gap.epoch):
            joined = replace(other, since=min(other.since, gap.since), until=max(other.until, gap.until),
                             frames=_frames(other) + _frames(gap), detail=gap.detail or other.detail)  # fmt: skip
            return replace(state, gaps=(*state.gaps[:number], joined, *state.gaps[number + 1 :])), drafts
    return replace(state, gaps=(*state.gaps, gap)), drafts


def _frames(gap: Gap) -> int:
    return gap.frames or int(gap.identity is not None)


def _flush_gaps(
    state: TrackState, now: datetime, rules: TrackRules, final: bool = False
) -> tuple[TrackState, list[Draft]]:
    # A clock may be set back: then time differs the other way round.
    ripe = [gap for gap in state.gaps if final or abs(now - gap.until) > GAP_JOIN or abs(now - gap.since) > GAP_MAX]
    if not ripe:
        return state, []
    drafts = [Draft(coverage_body(gap, state.coil_id, rules)) for gap in ripe]
    return replace(state, gaps=tuple(gap for gap in state.gaps if gap not in ripe)), drafts


def _tick(state: TrackState, tick: Tick, rules: TrackRules) -> tuple[TrackState, list[Draft]]:
    state, drafts = _flush_gaps(state, tick.now, rules, tick.final)
    if tick.final:
        drafts = [_closed(known, rules) for known in state.open] + drafts
        state = replace(state, open=())
    state, more = _flush_limits(state, tick.now, rules, True, tick.final)
    return state, drafts + more


# --- Bodies -------------------------------------------------------------------------------------------------------


def _common(message_id: str, moment: datetime, simulated: bool, state: TrackState, rules: TrackRules) -> dict[str, Any]:
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


def _scale(extent: Box, along: bool, rules: TrackRules) -> dict[str, Any]:
    scale = rules.mm_per_px
    if scale is None:
        return {"position_m": None, "across_mm": None, "width_mm": None, "length_mm": None}
    return {
        "position_m": round(extent.y * scale / 1000, 4) if along else None,
        "across_mm": round(extent.x * scale, 2),
        "width_mm": round(extent.width * scale, 2),
        "length_mm": round(extent.height * scale, 2),
    }


def _defect_body(
    defect_id: str, phase: Literal["opened", "updated", "closed"], revision: int, frame: Frame, defect: Defect,
    box: Box, extent: Box | None, tiles: int, frames: int, alarm: bool, why: Why, state: TrackState, rules: TrackRules,
) -> DefectMessage:  # fmt: skip
    on_lines = extent is not None and frame.first_line is not None
    return DefectMessage(
        **_common(rules.ids.of(defect_id, phase, revision), frame.captured_at, frame.simulated, state, rules),
        defect_id=defect_id,
        phase=phase,
        frame=FrameRef(epoch=frame.epoch, frame_id=frame.frame_id, source_key=frame.source_key),
        box_px=BoxPx.of(box),
        line=extent.y if extent is not None and on_lines else None,
        lines=extent.height if extent is not None and on_lines else None,
        **_scale(extent if extent is not None and on_lines else box, on_lines, rules),
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


def _frame_body(state: TrackState, inspection: Inspection, defect_ids: list[str], rules: TrackRules) -> FrameMessage:
    frame, published = inspection.frame, inspection.published
    decision = inspection.decision
    return FrameMessage(
        **_common(rules.ids.of("frame", frame.identity), frame.captured_at, frame.simulated, state, rules),
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


def _missed_body(state: TrackState, gap: Gap, frame: Frame | None, rules: TrackRules) -> FrameMessage:
    if gap.identity is None:
        raise ConfigError(f"a gap without identity is no still: {gap}")
    return FrameMessage(
        **_common(rules.ids.of("frame", gap.identity), gap.since, frame is not None and frame.simulated, state, rules),
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
        **_common(message_id, gap.until, False, TrackState(coil_id=coil_id), rules),
        **fields,
        to=until,
        cause=word,
        frames=_frames(gap),
        epoch=gap.epoch,
        source_key=gap.source_key,
        detail=gap.detail or None,
        first_seq=lost[0] if lost else None,
        last_seq=lost[1] if lost else None,
    )
