"""How severe a defect is: by the first rule that fits it, else by its label."""

from __future__ import annotations

from dataclasses import dataclass, replace

from inspector.box import Box
from inspector.inspection.merge import Defect
from inspector.labels import Severity
from inspector.track.rules import SeverityRule, TrackRules
from inspector.track.state import TrackState

PER_M = 100.0
"""Along which `per_100m` counts."""
MAX_COUNTED = 1000


@dataclass(frozen=True, slots=True)
class Grade:
    """How severe, and by which key; None: by the label."""

    severity: Severity
    key: str | None = None


def grade(state: TrackState, defect: Defect, shown: Box, rules: TrackRules) -> Grade:
    """Return how severe a defect is.

    Args:
        state: Counts what was found before.
        defect: The finding that stands for it.
        shown: Where all of it shows, in pixels across and lines or pixels along.
        rules: With the scale and the rules of severity.
    """
    for number, rule in enumerate(rules.severity_rules):
        if _fits(rule, state, defect, shown, rules):
            return Grade(rule.severity, f"alarm.severity.{number}")
    return Grade(rules.severity_of(defect.label))


def _fits(rule: SeverityRule, state: TrackState, defect: Defect, shown: Box, rules: TrackRules) -> bool:
    scale, along = rules.mm_per_px, rules.mm_per_line or 0.0
    size_px = max(shown.width, shown.height)
    if rule.label not in (None, defect.label) or (rule.score is not None and defect.score < rule.score):
        return False
    if rule.size_px is not None and size_px < rule.size_px:
        return False
    if rule.size_mm is not None and (scale is None or max(shown.width * scale, shown.height * along) < rule.size_mm):
        return False
    if rule.from_mm is not None and (scale is None or shown.right * scale <= rule.from_mm):
        return False
    if rule.to_mm is not None and (scale is None or shown.x * scale >= rule.to_mm):
        return False
    return rule.per_100m is None or len(state.counted.get(defect.label, ())) >= rule.per_100m


def counted(state: TrackState, label: str, position_m: float | None, rules: TrackRules) -> TrackState:
    """Return the state after a new defect, for rules that count; without lines and scale nothing is counted."""
    if position_m is None or all(rule.per_100m is None for rule in rules.severity_rules):
        return state
    near = (*(at for at in state.counted.get(label, ()) if abs(position_m - at) < PER_M), position_m)
    return replace(state, counted={**state.counted, label: near[-MAX_COUNTED:]})
