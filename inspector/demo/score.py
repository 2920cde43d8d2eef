"""Drawn against found, counted as the messages come: a look costs the same after an hour as after a second."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inspector.box import Box
from inspector.drawn.spec import DrawnDefect
from inspector.drawn.strip import Strip
from inspector.messages import AlarmMessage, Body, DefectMessage
from inspector.score.matching import find_touching

SHOWN_ALARMS = 12
MIN_FOUND = 0.95
MIN_RIGHT = 0.90


@dataclass(frozen=True, slots=True)
class Score:
    """Drawn against found, over the strip that is fully inspected; seconds are as `inspector score` counts them."""

    drawn: int
    found: int
    right_label: int
    false_alarms: int
    second_events: int = 0
    wrong_seconds: int = 0

    @property
    def passed(self) -> bool:
        """Whether enough was found and rightly named, and no alarm was false."""
        return (
            self.found >= MIN_FOUND * self.drawn
            and self.right_label >= MIN_RIGHT * self.drawn
            and not self.false_alarms
        )


class DemoTally:
    """Compares what the station publishes with what was drawn there.

    An alarm is false if no box of its defect lies on anything drawn, wherever on the strip: how far the inspection has
    come does not matter. A drawn defect counts once it lies wholly in inspected strip.

    Args:
        strip: What was drawn.
        overlap_lines: Lines that two frames share: a defect in the last ones is seen again by the next frame.
    """

    def __init__(self, strip: Strip, overlap_lines: int) -> None:
        self._strip = strip
        self._overlap_lines = overlap_lines
        self._guard = threading.Lock()
        self._counted: set[int] = set()  # drawn defects by ordinal
        self._said: dict[int, dict[str, str]] = {}  # of each: the label by the id of every defect that lies on it
        self._right: set[int] = set()
        self._second_events = self._wrong_seconds = 0
        self._on_something: set[str] = set()  # defect ids
        self._unproven: set[str] = set()  # of these there was an alarm, but no box yet that lies on anything drawn
        self._counted_to = 0
        self._alarms: tuple[AlarmMessage, ...] = ()

    @property
    def alarms(self) -> tuple[AlarmMessage, ...]:
        """The last alarms, newest first."""
        return self._alarms

    def take(self, bodies: Sequence[Body]) -> None:
        """Note committed messages; runs on the committer's thread."""
        with self._guard:
            for body in bodies:
                if isinstance(body, DefectMessage) and body.line is not None and body.lines is not None:
                    self._take_box(body, Box(body.box_px.x, body.line, body.box_px.width, body.lines))
                elif isinstance(body, AlarmMessage) and body.kind == "defect":
                    if body.defect_id not in self._on_something:
                        self._unproven.add(body.defect_id)
                    self._alarms = (body, *self._alarms[: SHOWN_ALARMS - 1])

    def _take_box(self, body: DefectMessage, box: Box) -> None:
        near = self._strip.defects(box.y, box.height)
        for drawn, touched in zip(near, find_touching([each.box for each in near], [box]), strict=True):
            if touched:
                self._on_something.add(body.defect_id)
                self._unproven.discard(body.defect_id)
                self._note_seconds(drawn, body)
                if drawn.label == body.label:
                    self._right.add(drawn.ordinal)

    def _note_seconds(self, drawn: DrawnDefect, body: DefectMessage) -> None:
        said = self._said.setdefault(drawn.ordinal, {})
        before = _seconds(drawn.label, said)
        said[body.defect_id] = body.label
        after = _seconds(drawn.label, said)
        self._second_events += after[0] - before[0]
        self._wrong_seconds += after[1] - before[1]

    def score(self, inspected_lines: int) -> Score:
        """Return the score of the strip up to a line.

        Args:
            inspected_lines: Up to here all is inspected and its messages were taken; fewer than before change nothing.
        """
        with self._guard:
            upto = inspected_lines - self._overlap_lines
            for drawn in self._strip.defects(self._counted_to, upto - self._counted_to):
                if drawn.box.bottom <= upto:
                    self._counted.add(drawn.ordinal)
            self._counted_to = max(self._counted_to, upto)
            found = self._counted & self._said.keys()
            return Score(
                len(self._counted), len(found), len(self._counted & self._right), len(self._unproven),
                self._second_events, self._wrong_seconds,
            )  # fmt: skip


def _seconds(label: str, said: Mapping[str, str]) -> tuple[int, int]:
    """Return how many defects lie on one besides its own, and how many of these are of another class."""
    others = sum(each != label for each in said.values())
    return max(0, len(said) - 1), others - (others == len(said) > 0)
