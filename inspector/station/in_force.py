"""The rules that decide now: exchanged as a whole between two frames when the site's reference changes."""

from __future__ import annotations

from dataclasses import dataclass

from inspector.inspection.one_frame import InspectRules
from inspector.teach.accepted import UNTAUGHT, Accepted
from inspector.track.rules import TrackRules


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """What belongs together: a frame that was inspected by the one is tracked by the other.

    Attributes:
        inspect: Of the first pure function.
        track: Of the second one; it names the reference in messages.
        taught: What is known about the site's reference.
    """

    inspect: InspectRules
    track: TrackRules
    taught: Accepted = UNTAUGHT


class RulesInForce:
    """Read by any thread; one writes.

    Attributes:
        now: A frame is judged by what stood here when it was taken from the queue, to its end.
    """

    def __init__(self, rules: Rules) -> None:
        self.now = rules
