"""Which defects need a person: severity, N of M at one place, shelves, and the limits that hold alarms back.

`area` limits what one operator gets; the limit per label is the fuse of this station alone.

What is unclassified needs none unless `events.alarm_unclassified` says so, and only so many an hour are published: a
surface that changed would otherwise bury what has a name.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from inspector.box import Box
from inspector.drafts import Draft
from inspector.frame import Frame
from inspector.inspection.merge import Defect
from inspector.labels import SEVERITIES
from inspector.messages import AlarmMessage, Rule, Why
from inspector.track.area import hold_back, may_alarm, note_sent, note_wanted
from inspector.track.bodies import (
    alarm_text,
    common_fields,
    shelf_of,
    threshold_key,
    why_figures,
    word_fields,
)
from inspector.track.places import place_fields
from inspector.track.rolls import is_covered, note_alarmed, periodic_text
from inspector.track.rules import TrackRules
from inspector.track.severity import grade
from inspector.track.state import LimitState, Sight, TrackState, UnclassifiedState
from inspector.track.ungraded import KEYS, ungraded

UNCLASSIFIED_WINDOW = timedelta(hours=1)
"""In which `events.unclassified_limit` unclassified defects may be published."""


def judge_alarm(
    state: TrackState,
    defect: Defect,
    defect_id: str,
    frame: Frame,
    rules: TrackRules,
    shown: Box | None = None,
    again: bool = False,
    periodic_id: str | None = None,
) -> tuple[TrackState, bool, Why, list[Draft]]:
    """Return the next state, whether the defect is an alarm, why, and the messages that result.

    A critical defect is never silent: what a shelf or a limit holds back of these is named in the summary.

    Args:
        state: What was before.
        defect: The finding.
        defect_id: Its id.
        frame: That shows it.
        rules: Of the station.
        shown: Where all of it shows, if that is more than the finding.
        again: It was judged before, and is shelved: what is noted once is noted.
        periodic_id: Of the finding of marks that it belongs to, or None.
    """
    label, now = defect.label, frame.captured_at
    graded = grade(state, defect, shown or defect.box, rules)
    severity, place = graded.severity, place_of(defect.box, frame.independent)
    earlier = state.sights[:-1]  # this frame shows it
    hits = 1 + sum(any(_same_place(one, label, place, rules) for one in seen) for seen in earlier)

    def why(rule: Rule, key: str) -> Why:
        return Why(
            rule=rule, key=key, severity_key=graded.key, **why_figures(defect, rules), hits=hits,
            window=rules.alarm_window,
        )  # fmt: skip

    if (where := ungraded(defect.box, frame.first_line or 0, state, rules)) is not None:
        return state, False, why(where, KEYS[where]), []
    if rules.mode == "observe":
        return state, False, why("mode", "decision.mode"), []
    if not defect.is_named and not rules.alarm_unclassified:
        return state, False, why("severity", "events.alarm_unclassified"), []
    if SEVERITIES.index(severity) < SEVERITIES.index(rules.alarm_min_severity):
        return state, False, why("severity", "events.alarm_min_severity"), []
    if hits < rules.alarm_hits:
        return state, False, why("n_of_m", "events.alarm_hits"), []
    if is_covered(state, periodic_id, severity):
        return state, False, why("periodic", "strip.periodic"), []
    shelf = shelf_of(state, defect, now, rules)
    reason = why("threshold", threshold_key(defect))
    alarm = AlarmMessage(
        **common_fields(rules.ids.of(defect_id, "alarm", *(() if defect.is_named else (label,))), now,
                        frame.simulated, state, rules),
        kind="defect", defect_id=defect_id, label=label, score=defect.score, severity=severity, suppressed=0,
        why=reason,
        distance=defect.distance,
        **word_fields(label, rules),
        periodic_id=periodic_id,
        area=rules.area,
        url=None if rules.public_url is None else f"{rules.public_url}/defects/{defect_id}",
        **place_fields(defect.box, frame.first_line or 0, state, rules),
        text=alarm_text(defect, severity, frame, state, rules, periodic_text(state, periodic_id, rules)),
    )  # fmt: skip
    state, drafts = flush_limits(state, now, rules)
    state = state if again else replace(state, area=note_wanted(state.area, now))
    if shelf is not None:
        state, more = (state, []) if again else _named_if_critical(state, alarm, now, rules)
        return state, False, why("shelved", "cmd/shelve"), drafts + more
    state = note_alarmed(state, periodic_id, severity)
    if not may_alarm(state.area, now, rules):
        area, more = hold_back(state.area, alarm, now, rules)
        return replace(state, area=area), False, why("limit", "alarm.per_hour"), drafts + more
    limit = state.limits.get(label) or LimitState(now, 0)
    if limit.sent >= rules.alarm_limit:
        held = replace(limit, suppressed=limit.suppressed + 1, first=limit.first or alarm)
        state, more = _named_if_critical(replace(state, limits={**state.limits, label: held}), alarm, now, rules)
        return state, False, why("limit", "events.alarm_limit"), drafts + more
    limits = {**state.limits, label: replace(limit, sent=limit.sent + 1)}
    state = replace(state, limits=limits, area=note_sent(state.area, defect_id, now))
    return state, True, reason, [*drafts, Draft(alarm)]


def place_of(box: Box, still: bool) -> Box:
    """Return the place of a finding, for N of M: in a still all of its box, on a stream its columns."""
    return box if still else Box(box.x, 0, box.width, 1)


def _same_place(sight: Sight, label: str, place: Box, rules: TrackRules) -> bool:
    """Say whether a finding was of this label and at this place, give or take a tile's side."""
    other, px = sight.box, rules.place_px
    dx = max(other.x, place.x) - min(other.right, place.right)
    dy = max(other.y, place.y) - min(other.bottom, place.bottom)
    return sight.label == label and dx <= px and dy <= px


def _named_if_critical(
    state: TrackState, alarm: AlarmMessage, now: datetime, rules: TrackRules
) -> tuple[TrackState, list[Draft]]:
    if alarm.severity != "critical":
        return state, []
    area, drafts = hold_back(state.area, alarm, now, rules)
    return replace(state, area=area), drafts


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
