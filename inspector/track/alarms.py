"""Which defects need a person: severity, N of M, and the limit that holds repeated alarms back.

What is unclassified needs none unless `events.alarm_unclassified` says so, and only so many an hour are published: a
surface that changed would otherwise bury what has a name.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

from inspector.drafts import Draft
from inspector.frame import Frame
from inspector.inspection.merge import Defect
from inspector.labels import SEVERITIES
from inspector.messages import AlarmMessage, Why
from inspector.track.bodies import common_fields, shelf_of, threshold_key, why_figures
from inspector.track.rules import TrackRules
from inspector.track.state import LimitState, TrackState, UnclassifiedState

UNCLASSIFIED_WINDOW = timedelta(hours=1)
"""In which `events.unclassified_limit` unclassified defects may be published."""


def judge_alarm(
    state: TrackState, defect: Defect, defect_id: str, frame: Frame, rules: TrackRules
) -> tuple[TrackState, bool, Why, list[Draft]]:
    """Return the next state, whether the defect is an alarm, why, and the messages that result."""
    label, severity, now = defect.label, rules.severity_of(defect.label), frame.captured_at
    hits = sum(label in labels for labels in state.recent)

    def why(rule: Literal["threshold", "severity", "mode", "n_of_m", "shelved", "limit"], key: str) -> Why:
        return Why(rule=rule, key=key, **why_figures(defect, rules), hits=hits, window=rules.alarm_window)

    if rules.mode == "observe":
        return state, False, why("mode", "decision.mode"), []
    if not defect.is_named and not rules.alarm_unclassified:
        return state, False, why("severity", "events.alarm_unclassified"), []
    if SEVERITIES.index(severity) < SEVERITIES.index(rules.alarm_min_severity):
        return state, False, why("severity", "events.alarm_min_severity"), []
    if hits < rules.alarm_hits:
        return state, False, why("n_of_m", "events.alarm_hits"), []
    if shelf_of(state, defect, now, rules) is not None:
        return state, False, why("shelved", "cmd/shelve"), []
    reason = why("threshold", threshold_key(defect))
    alarm = AlarmMessage(
        **common_fields(rules.ids.of(defect_id, "alarm", *(() if defect.is_named else (label,))), now,
                        frame.simulated, state, rules),
        kind="defect", defect_id=defect_id, label=label, score=defect.score, severity=severity, suppressed=0,
        why=reason,
        distance=defect.distance,
        text=f"{label} {defect.surety:.2f} ({severity}) at {rules.station}, x {defect.box.x} y {defect.box.y} px",
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


def may_publish(state: TrackState, defect: Defect, now: datetime, rules: TrackRules) -> tuple[TrackState, bool]:
    """Return the next state, and whether a new defect is published; if it is not, that is counted."""
    if defect.is_named:
        return state, True
    hour = state.unclassified or UnclassifiedState(now, 0)
    if abs(now - hour.since) >= UNCLASSIFIED_WINDOW:
        hour = replace(hour, since=now, published=0)
    publish = hour.published < rules.unclassified_limit
    hour = replace(hour, published=hour.published + publish, held_back=hour.held_back + (not publish))
    return replace(state, unclassified=hour), publish
