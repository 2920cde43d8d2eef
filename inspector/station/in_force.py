"""The rules that decide now: exchanged as a whole between two frames when the site's reference changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

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


class Chooses(Protocol):
    """Knows the recipe of each place among the frames."""

    def rules(self, base: Rules, placed_mono_s: float) -> Rules:
        """Return the rules for this place."""
        ...


class RulesInForce:
    """Read by any thread; one writes.

    Attributes:
        now: A frame is judged by what stood here when it was taken from the queue, to its end; where there are recipes,
            with the changes of its own.
    """

    def __init__(self, rules: Rules, recipes: Chooses | None = None) -> None:
        self.now = rules
        self._recipes = recipes

    def at(self, placed_mono_s: float) -> Rules:
        """Return the rules for what has this place among the frames: those of the recipe of its coil."""
        return self.now if self._recipes is None else self._recipes.rules(self.now, placed_mono_s)
