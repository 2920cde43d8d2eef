"""Marks of rolls on their way through `track`: each new defect is a mark, and what returns is one `periodic` event.

Marks need a place in metres. A defect that belongs to a finding raises no alarm of its own, unless it is more severe
than what the finding has been alarmed for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from inspector.drafts import Draft
from inspector.labels import SEVERITIES, Severity
from inspector.messages import PeriodicMessage
from inspector.strip.periodic import Finding, Mark, Roll, moved_mark, suspect_of, take_mark
from inspector.track.bodies import common_fields, word_fields
from inspector.track.rules import TrackRules
from inspector.track.state import Told, TrackState

TOLD_AGAIN = 2
"""A finding is told again when it has so many times the marks: some twenty messages for a million of them."""


def rolls_of(state: TrackState, rules: TrackRules) -> tuple[Roll, ...]:
    """Return the rolls in the mill: what the plant said last of a place, else what is configured."""
    said = {(roll.stand, roll.position): roll for roll in (*rules.rolls, *state.operators.rolls)}
    return tuple(roll for roll in said.values() if roll.pitch_mm > 0)


def mark_of(label: str, defect_id: str, place: Mapping[str, Any]) -> Mark | None:
    """Return where a defect lies, or None while that is not known; `place`: fields of a defect message."""
    sides = [place[key] for key in ("position_m", "length_mm", "across_mm", "width_mm")]
    if None in sides:
        return None
    return Mark(label, 1000 * sides[0] + sides[1] / 2, sides[2] + sides[3] / 2, defect_id)


def note_mark(
    state: TrackState, mark: Mark | None, severity: Severity, simulated: bool, at: datetime, rules: TrackRules
) -> tuple[TrackState, str | None, list[Draft]]:
    """Return the next state, the `periodic_id` of the finding that a new defect belongs to, and what is told of it."""
    if mark is None or rules.periodic is None:
        return state, None, []
    periodic, finding = take_mark(state.periodic, mark, rules.periodic, rolls_of(state, rules))
    state = replace(state, periodic=periodic)
    if finding is None:
        return state, None, []
    periodic_id, drafts = rules.ids.of(finding.finding_id, "periodic"), list[Draft]()
    told = state.told.get(periodic_id) or Told(severity, simulated)
    if SEVERITIES.index(severity) > SEVERITIES.index(told.severity):
        told = replace(told, severity=severity)
    if finding.count >= TOLD_AGAIN * told.count:
        body = _body(periodic_id, finding, told, "updated" if told.revision else "opened", at, state, rules)
        drafts, told = [Draft(body)], replace(told, count=finding.count, revision=told.revision + 1)
    return replace(state, told={**state.told, periodic_id: told}), periodic_id, drafts


def note_grown(state: TrackState, mark: Mark | None) -> TrackState:
    """Return the state after a later frame has shown more of a defect."""
    periodic = state.periodic if mark is None else moved_mark(state.periodic, mark)
    return state if periodic is state.periodic else replace(state, periodic=periodic)


def is_covered(state: TrackState, periodic_id: str | None, severity: Severity) -> bool:
    """Say whether the alarm of a finding stands for a defect of it."""
    told = state.told.get(periodic_id or "")
    alarmed = None if told is None else told.alarmed
    return alarmed is not None and SEVERITIES.index(severity) <= SEVERITIES.index(alarmed)


def note_alarmed(state: TrackState, periodic_id: str | None, severity: Severity) -> TrackState:
    """Return the state after a finding was the subject of an alarm, or of one that a limit held back."""
    told = state.told.get(periodic_id or "")
    if told is None or periodic_id is None:
        return state
    return replace(state, told={**state.told, periodic_id: replace(told, alarmed=severity)})


def periodic_text(state: TrackState, periodic_id: str | None, rules: TrackRules) -> str:
    """Return what an alarm says of the finding that a defect belongs to; empty without one."""
    for finding in state.periodic.findings:
        if rules.ids.of(finding.finding_id, "periodic") == periodic_id:
            suspect = suspect_of(finding.pitch_mm, rolls_of(state, rules))
            times = "" if suspect is None or suspect.harmonic == "1" else f" (its pitch times {suspect.harmonic})"
            roll = "no known roll" if suspect is None else f"roll {suspect.name}{times}"
            return f", returns every {finding.pitch_mm:.0f} mm ({finding.count} so far, {roll})"
    return ""


def close_periodic(
    state: TrackState, at: datetime, rules: TrackRules, final: bool = False
) -> tuple[TrackState, list[Draft]]:
    """Tell the last of each finding: at the end of a coil, or of a run (`final`), after which the coil may go on."""
    drafts, told_now = list[Draft](), dict[str, Told]()
    for finding in state.periodic.findings:
        periodic_id = rules.ids.of(finding.finding_id, "periodic")
        told = state.told.get(periodic_id)
        if told is None:
            continue
        if not final or told.count != finding.count:
            body = _body(periodic_id, finding, told, "updated" if final else "closed", at, state, rules)
            drafts.append(Draft(body))
            told = replace(told, count=finding.count, revision=told.revision + 1)
        told_now[periodic_id] = told
    return replace(state, told=told_now) if drafts else state, drafts


def at_head(state: TrackState, passed_m: float | None) -> TrackState:
    """Return the state where another coil begins; `passed_m`: length of the one that ends, None: not known."""
    return replace(state, periodic=state.periodic.at_head(None if passed_m is None else 1000 * passed_m), told={})


def _body(
    periodic_id: str, finding: Finding, told: Told, phase: Literal["opened", "updated", "closed"], at: datetime,
    state: TrackState, rules: TrackRules,
) -> PeriodicMessage:  # fmt: skip
    suspect = suspect_of(finding.pitch_mm, rolls_of(state, rules))
    return PeriodicMessage(
        **common_fields(rules.ids.of(periodic_id, phase, told.revision), at, told.simulated, state, rules),
        **word_fields(finding.label, rules),
        periodic_id=periodic_id,
        phase=phase,
        label=finding.label,
        severity=told.severity,
        pitch_mm=round(finding.pitch_mm, 2),
        across_mm=round(finding.across_mm, 2),
        phase_mm=round(finding.phase_mm, 2) % round(finding.pitch_mm, 2),
        count=finding.count,
        first_m=round(finding.first_mm / 1000, 4),
        last_m=round(finding.last_mm / 1000, 4),
        roll=None if suspect is None else suspect.name,
        harmonic=None if suspect is None else suspect.harmonic,
        defect_ids=" ".join(finding.members),
    )
