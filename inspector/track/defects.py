"""What neighbouring frames show of the same defect is one defect; each still has its own defects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from inspector.box import Box
from inspector.drafts import Draft, EvidencePicture
from inspector.frame import Frame
from inspector.heat import Heat
from inspector.inspection.merge import MARGIN, OVERLAP_MERGES_SHARE, Defect
from inspector.inspection.one_frame import Inspection
from inspector.labels import UNCLASSIFIED
from inspector.messages import RunnerUp
from inspector.track.alarms import judge_alarm, may_publish
from inspector.track.bodies import Sighting, defect_body, frame_body, why_of
from inspector.track.keep_open import kept_open
from inspector.track.places import scale_fields
from inspector.track.rolls import mark_of, note_grown, note_mark
from inspector.track.rules import TrackRules
from inspector.track.severity import counted, grade
from inspector.track.state import OpenDefect, TrackState

STREAM_MISSES = 2
"""Frames of a plain camera in which an open defect may be missed before it is closed; 0 on a line stream."""
JUDGED_AGAIN = ("n_of_m", "severity", "shelved", "weld", "head", "tail")
"""Rules by which a defect raised no alarm, and may yet as it grows."""
OVERLAP_CONTINUES_SHARE = 0.5
"""Two boxes that share this much of the smaller one are one defect, whatever their labels."""


def track_still(state: TrackState, inspection: Inspection, rules: TrackRules) -> tuple[TrackState, list[Draft]]:
    """Return the messages of a still: each of its defects stands alone."""
    frame, drafts, defect_ids = inspection.frame, list[Draft](), list[str]()
    for ordinal, defect in enumerate(inspection.published):
        state, published = may_publish(state, defect, frame.captured_at, rules)
        if not published:
            continue
        defect_id = rules.ids.of("defect", frame.identity, ordinal)
        state, alarm, why, alarm_drafts = judge_alarm(state, defect, defect_id, frame, rules)
        sighting = Sighting(defect_id, "closed", 0, frame, defect, defect.box, None, defect.tiles, 1, alarm, why)
        body = defect_body(sighting, state, rules)
        drafts += [Draft(body, _picture(inspection, defect, rules)), *alarm_drafts]
        defect_ids.append(defect_id)
    if rules.frame_messages is not False:
        drafts.append(Draft(frame_body(state, inspection, defect_ids, rules)))
    return state, drafts


def track_stream(state: TrackState, inspection: Inspection, rules: TrackRules) -> tuple[TrackState, list[Draft]]:
    """Return the messages of a frame of a stream: what continues an open defect, what is new, what has ended."""
    frame, drafts, defect_ids = inspection.frame, list[Draft](), list[str]()
    shift = frame.first_line or 0
    waiting, seen = [known for known in state.open if known.last.frame.epoch == frame.epoch], list[OpenDefect]()
    drafts += closed_drafts([known for known in state.open if known not in waiting], rules)  # lines restart at 0
    for ordinal, defect in enumerate(inspection.published):
        extent, shown = defect.tiles_box.moved(dy=shift), defect.box.moved(dy=shift)
        known = _continued((*waiting, *seen), defect, extent, shown, frame)
        if known is None:
            defect_id = rules.ids.of("defect", frame.identity, ordinal)
            state, published = may_publish(state, defect, frame.captured_at, rules)
            spot = scale_fields(shown, state.along, rules)
            periodic_id, told = None, list[Draft]()
            if published:
                state = counted(state, defect.label, spot["position_m"], rules)
                severity, mark = (
                    grade(state, defect, defect.box, rules).severity,
                    mark_of(defect.label, defect_id, spot),
                )
                state, periodic_id, told = note_mark(state, mark, severity, frame.simulated, frame.captured_at, rules)
            judged, alarm, why, more = judge_alarm(state, defect, defect_id, frame, rules, periodic_id=periodic_id)
            state = judged if published else state
            place = shown if frame.first_line is not None else None
            sighting = Sighting(defect_id, "opened", 0, frame, defect, defect.box, place, defect.tiles, 1, alarm, why,
                                periodic_id)  # fmt: skip
            body = defect_body(sighting, state, rules)
            drafts += [Draft(body, _picture(inspection, defect, rules)), *told, *more] if published else []
            seen.append(OpenDefect(defect_id, extent, shown, defect, body, defect.tiles, 1, along=state.along,
                                   edges=state.edges, silent=not published, votes=_votes_of(defect), rivals=(defect,),
                                   periodic_id=periodic_id))  # fmt: skip
        else:
            again = known in seen
            (seen if again else waiting).remove(known)
            state, grown, more = _continue(state, known, defect, extent, shown, frame, again, rules)
            drafts += more
            seen.append(grown)
        defect_ids += [] if seen[-1].silent else [seen[-1].defect_id]
    limit = 0 if frame.first_line is not None else STREAM_MISSES
    for other in waiting:
        if (kept := kept_open(other, inspection, rules)) is not None:
            seen.append(kept)
        elif other.misses >= limit:
            drafts += closed_drafts([other], rules)
        else:
            seen.append(replace(other, misses=other.misses + 1))
    if rules.frame_messages:
        drafts.append(Draft(frame_body(state, inspection, defect_ids, rules)))
    return replace(state, open=tuple(seen)), drafts


def _picture(inspection: Inspection, defect: Defect, rules: TrackRules) -> EvidencePicture:
    """Return what shows a new defect; of an unclassified one also how far each place around it is."""
    heat = None
    if not defect.is_named and inspection.heat is not None:
        near = [n for n, box in enumerate(inspection.boxes) if box.shared_px(defect.tiles_box)]
        boxes = tuple(inspection.boxes[n] for n in near)
        heat = Heat(boxes, inspection.heat[near], rules.unclassified_threshold)
    return EvidencePicture(inspection.frame.pixels, defect.box, defect.tiles_box, heat)


def _continued(
    open_defects: Sequence[OpenDefect], defect: Defect, extent: Box, shown: Box, frame: Frame
) -> OpenDefect | None:
    """Return the open defect that this finding continues: of several the one whose place it shares most."""
    fitting = [known for known in open_defects if _continues(known, defect, extent, shown, frame)]
    return max(
        fitting, key=lambda known: (known.shown.shared_px(shown), known.best.label == defect.label), default=None
    )


def _continues(known: OpenDefect, defect: Defect, extent: Box, shown: Box, frame: Frame) -> bool:
    """Say whether both lie on one place: as pieces of one frame do, where the frame's edge is the edge that cuts."""
    if known.silent and defect.is_named:
        return False  # what has a name is published, whatever was held back in its place
    if known.best.label == defect.label and known.extent.touches(extent):
        return True
    if shown == extent and known.shown == known.extent:  # whole tiles
        smaller = min(known.extent.area_px, extent.area_px)
        return known.extent.shared_px(extent) >= OVERLAP_CONTINUES_SHARE * smaller
    if known.shown.shared_px(shown) >= OVERLAP_MERGES_SHARE * min(known.shown.area_px, shown.area_px):
        return True
    if frame.first_line is None:
        return False
    cut = shown.y == frame.first_line or known.shown.bottom == frame.first_line + frame.overlap_lines
    return cut and known.shown.touches(shown, min(defect.tiles_box.width, defect.tiles_box.height) // MARGIN)


def _votes_of(defect: Defect) -> tuple[tuple[str, float], ...]:
    if not defect.is_named:
        return ()
    return defect.votes or ((defect.label, defect.score * defect.box.area_px),)


def _voted(known: OpenDefect, defect: Defect) -> tuple[tuple[tuple[str, float], ...], tuple[Defect, ...], Defect]:
    """Return all votes and rivals with this finding's, and the finding that now stands for the defect.

    Of the labels it was given, the one with the most votes has it, on a tie the one it has; a name before none.
    """
    votes, rivals = dict(known.votes), {rival.label: rival for rival in known.rivals or (known.best,)}
    for label, vote in _votes_of(defect):
        votes[label] = votes.get(label, 0.0) + vote
    before = rivals.get(defect.label)
    if before is None or defect.surety > before.surety:
        rivals[defect.label] = defect
    best = max(
        rivals.values(),
        key=lambda rival: (rival.is_named, votes.get(rival.label, 0.0), rival.label == known.best.label),
    )
    return tuple(sorted(votes.items())), tuple(rivals.values()), best


def _continue(
    state: TrackState, known: OpenDefect, defect: Defect, extent: Box, shown: Box, frame: Frame, again: bool,
    rules: TrackRules,
) -> tuple[TrackState, OpenDefect, list[Draft]]:  # fmt: skip
    votes, rivals, best = _voted(known, defect)
    whole = again or frame.first_line is not None
    grown = replace(
        known,
        extent=known.extent.union(extent) if whole else extent,
        shown=known.shown.union(shown) if whole else shown,
        best=best,
        votes=votes,
        rivals=rivals,
        tiles=known.tiles + defect.tiles,
        frames=known.frames + (not again),
        misses=0,
    )
    if known.silent:
        return state, grown, []
    if frame.first_line is not None and grown.shown != known.shown:
        spot = scale_fields(grown.shown, known.along, rules)
        state = note_grown(state, mark_of(grown.best.label, known.defect_id, spot))
    last, drafts, alarm, why = known.last, list[Draft](), known.last.alarm, known.last.why
    renamed = grown.best.label != last.label
    severity = grade(state, grown.best, grown.shown, rules).severity
    critical = severity == "critical" != last.severity
    named = renamed and last.label == UNCLASSIFIED
    if named or (not alarm and (renamed or critical or why.rule in JUDGED_AGAIN)):
        again = why.rule == "shelved" and not critical
        state, alarm, why, drafts = judge_alarm(
            state, grown.best, known.defect_id, frame, rules, grown.shown, again=again, periodic_id=known.periodic_id
        )
    told, changed = last.lines or last.box_px.height, renamed or severity != last.severity or alarm != last.alarm
    if changed or grown.shown.height >= 2 * told or grown.best.score >= last.score + 0.1:
        revision = known.revision + 1
        place = grown.shown if frame.first_line is not None else None
        box = defect.box if place is None else replace(defect.box, x=place.x, width=place.width)
        why = why_of(why, grown.best, rules)
        sighting = Sighting(known.defect_id, "updated", revision, frame, grown.best, box, place, grown.tiles,
                            grown.frames, alarm, why, known.periodic_id)  # fmt: skip
        body = defect_body(sighting, state, rules)
        grown = replace(grown, last=body, revision=revision)
        drafts = [Draft(body), *drafts]
    elif why != last.why:
        grown = replace(grown, last=last.model_copy(update={"why": why}))
    return state, grown, drafts


def closed_drafts(known: Sequence[OpenDefect], rules: TrackRules) -> list[Draft]:
    """Return the last message of each of these defects that was published."""
    return [_closed_draft(each, rules) for each in known if not each.silent]


def _closed_draft(known: OpenDefect, rules: TrackRules) -> Draft:
    last, revision = known.last, known.revision + 1
    update: dict[str, Any] = {
        "id": rules.ids.of(known.defect_id, "closed", revision),
        "phase": "closed",
        "tiles": known.tiles,
        "frames": known.frames,
        "label": known.best.label,
        "score": known.best.score,
        "runner_up": RunnerUp(label=known.best.runner_up, score=known.best.runner_up_score),
        "severity": last.severity
        if last.label == known.best.label
        else rules.severity.get(known.best.label, last.severity),
        "distance": known.best.distance,
        "why": why_of(last.why, known.best, rules),
    }
    if last.line is not None:
        update |= {
            "box_px": last.box_px.model_copy(update={"x": known.shown.x, "width": known.shown.width}),
            "line": known.shown.y,
            "lines": known.shown.height,
            **scale_fields(known.shown, known.along, rules, known.edges),
        }
    return Draft(last.model_copy(update=update))
