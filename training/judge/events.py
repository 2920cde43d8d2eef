"""The event benchmark: how many events one defect gives, and how well the published box lies on it.

Long strips (see `runs`) go the stream's way, frame by frame as a line source cuts them, through the daemon's own
`inspect_frame` and `track`; judged is what is published when a defect is closed. An event belongs to the defect that
its box covers most of. A second event, one of another label beside the first, and a defect that has none because the
event of another lies on it are all errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np

from inspector.box import Box
from inspector.frame import Frame
from inspector.ids import Ids
from inspector.inspection.one_frame import Inspection, InspectRules, inspect_frame
from inspector.inspection.predictions import Classify
from inspector.inspection.tiling import TilingRules
from inspector.items import Tick
from inspector.messages import DefectMessage
from inspector.model.bundle import find_bundle, load_bundle
from inspector.model.pool import open_model
from inspector.model.rules import decision_rules
from inspector.track.rules import TrackRules
from inspector.track.state import TrackState
from inspector.track.track import track
from training.data.dataset import DataSet
from training.data.manifest import Manifest
from training.judge.intervals import share
from training.judge.maps import box_iou
from training.judge.runs import APART_PX, KINDS, SEEDS, WIDTH_PX, Run, Truth, compose_runs, pictures_of
from training.tiles.composed import ComposedStrip

FRAME_LINES, OVERLAP_LINES = 400, 100
"""As a line source cuts by default."""
OVERLAPS_PX = (0, 25, 50, 100)
RECORD_FLOOR = 0.2
HELD = 0.9
"""A box holds its defect from this share of the defect's area on."""
PROTOCOL = (
    "strips of {width} px in frames of {lines} lines that share {overlap}, the daemon's inspect_frame and track as for"
    " a line stream, judged by what is published on closing; an event belongs to the defect its box covers most of;"
    " exactly_one: of all defects, and of the found ones; second_events: events beyond one a defect; wrong_seconds:"
    " defects whose events carry two labels or more; merged: without an event of their own, under another's;"
    " far_merges: events on two defects at least {apart} px apart; right_label: of the found, that of the event that"
    " covers most; box_holds: of the found, whose box holds at least {held:.0%} of the defect; boxes not over pasted"
    " pictures, whose defect fills only a part of its truth"
)


@dataclass(frozen=True, slots=True)
class Event:
    """One published defect as it was closed: its label and place in absolute lines, and how often it was renamed."""

    label: str
    box: Box
    renamed: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """One defect and the events on it, the one that covers most of it first."""

    kind: str
    truth: Truth
    events: tuple[Event, ...]
    merged: bool

    @property
    def found(self) -> bool:
        """Whether it has an event of its own."""
        return bool(self.events)

    @property
    def right(self) -> bool:
        """Whether that event has its label."""
        return self.found and self.events[0].label == self.truth.label

    @property
    def held(self) -> float:
        """Share of it that the event's box covers."""
        return self.events[0].box.shared_px(self.truth.box) / self.truth.box.area_px

    @property
    def iou(self) -> float:
        """Of its box and the event's."""
        return box_iou(self.events[0].box, self.truth.box)


def stream_rules(rules: InspectRules) -> TrackRules:
    """Return the rules of a tracker that only observes."""
    decision = rules.decision
    return TrackRules(Ids("events"), "a/b/c", "benchmark", "0", decision.thresholds, decision.severity, "observe")


def publish(run: Run, classify: Classify, rules: InspectRules) -> list[Event]:
    """Return what a line station would have published of a strip, once everything is closed."""
    state, bodies, moment, tracking = TrackState(), list[Any](), datetime(2000, 1, 1, tzinfo=UTC), stream_rules(rules)
    step = FRAME_LINES - OVERLAP_LINES
    for number, first in enumerate(range(0, max(1, len(run.pixels) - OVERLAP_LINES), step)):
        frame = Frame(
            run.pixels[first : first + FRAME_LINES], 1, number, moment, float(number), f"1/{number}",
            first_line=first, overlap_lines=OVERLAP_LINES if first else 0,
        )  # fmt: skip
        state, drafts = track(state, inspect_frame(frame, classify, rules), tracking)
        bodies += [draft.body for draft in drafts]
    state, drafts = track(state, Tick(moment, final=True), tracking)
    return events_of([*bodies, *(draft.body for draft in drafts)])


def events_of(bodies: Iterable[object]) -> list[Event]:
    """Return the closed defects of these messages."""
    labels: dict[str, list[str]] = {}
    closed: list[Event] = []
    for body in bodies:
        if isinstance(body, DefectMessage):
            labels.setdefault(body.defect_id, []).append(body.label)
            if body.phase == "closed":
                heard = labels[body.defect_id]
                renamed = sum(one != other for one, other in pairwise(heard))
                box = Box(body.box_px.x, body.line or 0, body.box_px.width, body.lines or body.box_px.height)
                closed.append(Event(body.label, box, renamed))
    return closed


def match(run: Run, events: Sequence[Event]) -> tuple[list[Outcome], int, int]:
    """Return what became of each defect, how many events lie on none, and on how many distant ones one event lies."""
    owned: dict[int, list[Event]] = {number: [] for number in range(len(run.truths))}
    false = far = 0
    under: set[int] = set()
    for event in events:
        shared = [event.box.shared_px(truth.box) for truth in run.truths]
        on = [number for number, area in enumerate(shared) if area]
        if not on:
            false += 1
            continue
        owned[max(on, key=lambda number: shared[number] / run.truths[number].box.area_px)].append(event)
        under.update(number for number in on if 2 * shared[number] >= run.truths[number].box.area_px)
        far += any(not run.truths[a].box.touches(run.truths[b].box, APART_PX - 1) for a in on for b in on if a < b)
    outcomes = []
    for number, truth in enumerate(run.truths):
        theirs = sorted(owned[number], key=lambda event: -event.box.shared_px(truth.box))
        outcomes.append(Outcome(run.kind, truth, tuple(theirs), not theirs and number in under))
    return outcomes, false, far


def figures(outcomes: Sequence[Outcome], false: int = 0, far: int = 0) -> dict[str, Any]:
    """Return the figures over defects."""
    found = [each for each in outcomes if each.found]
    boxed = [each for each in found if each.kind != "pasted"]
    one = sum(len(each.events) == 1 for each in outcomes)
    return {
        "defects": len(outcomes),
        "exactly_one": share(one, len(outcomes)),
        "exactly_one_of_found": share(one, len(found)),
        "missed": len(outcomes) - len(found),
        "merged": sum(each.merged for each in outcomes),
        "second_events": sum(len(each.events) - 1 for each in found),
        "wrong_seconds": sum(len({event.label for event in each.events}) > 1 for each in found),
        "right_label": share(sum(each.right for each in found), len(found)),
        "renamed": sum(event.renamed > 0 for each in found for event in each.events),
        "false_events": false,
        "far_merges": far,
        "box_holds": share(sum(each.held >= HELD for each in boxed), len(boxed)),
        "box_covers_mean": round(float(np.mean([each.held for each in boxed])), 4) if boxed else 0.0,
        "box_iou_mean": round(float(np.mean([each.iou for each in boxed])), 4) if boxed else 0.0,
    }


class Seconds:
    """How many events each defect of a composed strip gives, seen as one frame; see `training.judge.tallies.Tally`."""

    def __init__(self) -> None:
        self._outcomes: list[Outcome] = []

    def add(self, strip: ComposedStrip, inspection: Inspection) -> None:
        """Count one strip."""
        run = Run("composed", strip.pixels, tuple(Truth(placed.label, placed.box) for placed in strip.placed))
        events = [Event(defect.label, defect.box, 0) for defect in inspection.published]
        self._outcomes += match(run, events)[0]

    def rows(self) -> dict[str, Any]:
        """Return the share with exactly one event, and the errors, over defects of all sizes."""
        names = ("exactly_one", "exactly_one_of_found", "merged", "second_events", "wrong_seconds")
        found = figures(self._outcomes)
        return {"events": {name: found[name] for name in names}}


def measure_events(
    bundle_name: str, data_set: DataSet, manifest: Manifest, side: str, say: Callable[[str], None]
) -> dict[str, Any]:
    """Return the figures of a bundle at the shipped overlap and at `OVERLAPS_PX`.

    Args:
        bundle_name: A shipped one's, or a folder.
        data_set: Files of a data set.
        manifest: Of it.
        side: `test` or `validation`, see `pictures_of`.
        say: Called with each result.
    """
    bundle = load_bundle(find_bundle(bundle_name))
    pictures, pixels = pictures_of(side, manifest, data_set, bundle)
    runs = [run for seed in SEEDS[side] for run in compose_runs(pictures, pixels, seed)]
    rows: dict[str, Any] = {
        "protocol": PROTOCOL.format(
            width=WIDTH_PX, lines=FRAME_LINES, overlap=OVERLAP_LINES, apart=APART_PX, held=HELD
        ),
        "command": f"python -m training events --data DATA/neu-det --bundle {bundle.card.name}"
        + (" --validation" if side == "validation" else ""),
        "bundle": bundle.short,
        "seeds": list(SEEDS[side]),
        "overlap_px": {},
    }
    pool = open_model(bundle, 2)[0]
    try:
        for overlap_px in (None, *OVERLAPS_PX):
            decision = decision_rules(bundle, {}, {}, RECORD_FLOOR)
            rules = InspectRules(TilingRules(bundle.card.tile_px, overlap_px), decision)
            name = "default" if overlap_px is None else str(overlap_px)
            rows["overlap_px"][name] = run_events(runs, pool, rules)
            say(f"overlap {name}: {rows['overlap_px'][name]['all']}")
    finally:
        pool.close()
    return rows


def run_events(runs: Iterable[Run], classify: Classify, rules: InspectRules) -> dict[str, Any]:
    """Return the figures over all strips, of each kind, and of defects that lie in pairs."""
    outcomes, false, far = list[Outcome](), 0, 0
    for run in runs:
        here, its_false, its_far = match(run, publish(run, classify, rules))
        outcomes, false, far = outcomes + here, false + its_false, far + its_far
    rows = {"all": figures(outcomes, false, far)}
    rows |= {kind: figures([each for each in outcomes if each.kind == kind]) for kind in KINDS}
    rows["in_pairs"] = figures([each for each in outcomes if each.truth.paired])
    return rows
