"""Drawn against found."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from inspector.box import Box
from inspector.drawn.spec import DrawnDefect
from inspector.messages import AlarmMessage, Body, DefectMessage

SHOWN_ALARMS = 12
MIN_FOUND = 0.95
MIN_RIGHT = 0.90


@dataclass(slots=True)
class DemoTally:
    """What the station published, by defect.

    Attributes:
        boxes: Every box (absolute lines) that a message of the defect named, with its label at that time.
        alarmed: Defects with an alarm.
        alarms: The last alarms' texts, newest first.
    """

    boxes: dict[str, list[tuple[str, Box]]] = field(default_factory=dict)
    alarmed: set[str] = field(default_factory=set)
    alarms: list[AlarmMessage] = field(default_factory=list)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def take(self, bodies: Sequence[Body]) -> None:
        """Note committed messages; runs on the committer's thread."""
        with self.guard:
            for body in bodies:
                if isinstance(body, DefectMessage) and body.line is not None and body.lines is not None:
                    box = Box(body.box_px.x, body.line, body.box_px.width, body.lines)
                    self.boxes.setdefault(body.defect_id, []).append((body.label, box))
                elif isinstance(body, AlarmMessage) and body.kind == "defect":
                    self.alarmed.add(body.defect_id)
                    self.alarms = [body, *self.alarms[: SHOWN_ALARMS - 1]]


@dataclass(frozen=True, slots=True)
class Score:
    """Drawn against found, over the strip that is fully inspected."""

    drawn: int
    found: int
    right_label: int
    false_alarms: int

    @property
    def passed(self) -> bool:
        """Whether enough was found and rightly named, and no alarm was false."""
        return (
            self.found >= MIN_FOUND * self.drawn
            and self.right_label >= MIN_RIGHT * self.drawn
            and not self.false_alarms
        )


def score(ledger: DemoTally, drawn: Sequence[DrawnDefect], all_near: Sequence[DrawnDefect]) -> Score:
    """Compare.

    Args:
        ledger: What was published.
        drawn: Defects that lie wholly in inspected strip: each must have been found.
        all_near: These, and those that were seen only in part: an alarm on one of them is not false.
    """
    with ledger.guard:
        told = {name: list(boxes) for name, boxes in ledger.boxes.items()}
        alarmed = set(ledger.alarmed)
    found = right = 0
    for defect in drawn:
        labels = {label for boxes in told.values() for label, box in boxes if box.shared_px(defect.box)}
        found += bool(labels)
        right += defect.label in labels
    false_alarms = sum(
        not any(box.shared_px(defect.box) for _, box in told.get(name, []) for defect in all_near) for name in alarmed
    )
    return Score(len(drawn), found, right, false_alarms)
