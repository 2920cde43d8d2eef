"""Which defects need a person: severity, N of M, and the limit that holds repeated alarms back."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Literal

from inspector.drafts import Draft
from inspector.frame import Frame
from inspector.inspection.merge import Defect
from inspector.labels import SEVERITIES
from inspector.messages import AlarmMessage, Why
from inspector.track.bodies import common_fields
from inspector.track.rules import TrackRules
from inspector.track.state import LimitState, TrackState


def judge_alarm(
    state: TrackState, defect: Defect, defect_id: str, frame: Frame, rules: TrackRules
) -> tuple[TrackState, bool, Why, list[Draft]]:
    """Return the next state, whether the defect is an alarm, why, and the messages that result."""
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
        **common_fields(rules.ids.of(defect_id, "alarm"), now, frame.simulated, state, rules),
        kind="defect", defect_id=defect_id, label=label, score=defect.score, severity=severity, suppressed=0,
        why=reason,
        text=f"{label} {defect.score:.2f} ({severity}) at {rules.station}, x {defect.box.x} y {defect.box.y} px",
    )  # fmt: skip
    state, drafts = flush_limits(state, now, rules)
    limit = state.limits.get(label) or LimitState(now, 0)
    if limit.sent >= rules.alarm_limit:
        held = replace(limit, suppressed=limit.suppressed + 1, first=limit.first or alarm)
        return replace(state, limits={**state.limits, label: held}), False, why("limit", "events.alarm_limit"), drafts
    limits = {**state.limits, label: replace(limit, sent=limit.sent + 1)}
    return replace(state, limits=limits), True, reason, [*drafts, Draft(alarm)]


def flush_limits(
    state: TrackState, now: datetime, rules: TrackRules, tick: bool = False, final: bool = False
) -> tuple[TrackState, list[Draft]]:
    """Close the windows of the limiter that have passed, and report what each held back."""
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
