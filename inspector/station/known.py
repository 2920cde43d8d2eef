"""What a command of a person may name: checked before it is accepted, so that each mistake is answered by its name.

No label stands for a blindness, a failed self-test or a lost sensitivity, so none of these can be shelved.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

from inspector.command_table import COMMANDS, AckCommand, Asked, Origin, ShelveCommand, VerifyCommand
from inspector.errors import CommandError
from inspector.ids import Ids
from inspector.labels import UNCLASSIFIED
from inspector.settings.hints import nearest
from inspector.settings.sections import Settings
from inspector.station.pipeline import Pipeline
from inspector.store.records import Records
from inspector.track.operators import OperatorState

MAX_SHELVES = 64
"""In force at once: each finding is compared with all of them."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a station knows.

    Attributes:
        labels: Returns the labels that a defect may have.
        operators: Returns what is in force.
        strip_mm: Returns how wide the last frame was; None: no frame yet, or no scale.
        has_scale: Whether a place in mm means anything.
        persons: What is kept of a person.
    """

    labels: Callable[[], Collection[str]]
    operators: Callable[[], OperatorState] = OperatorState
    strip_mm: Callable[[], float | None] = lambda: None
    has_scale: bool = True
    persons: Literal["name", "role", "off"] = "name"

    def named(self, name: str, asked: Asked, origin: Origin) -> Asked:
        """Return a command with what is to be kept of who sent it."""
        person = origin.person or asked.person
        if self.persons == "off":
            person = None
        elif self.persons == "role":
            person = COMMANDS[name].role
        return asked if person == asked.person else asked.model_copy(update={"person": person})

    def require(self, asked: Asked, records: Records, ids: Ids) -> None:
        """Check that what a command names is there.

        Raises:
            CommandError: It is not; says what was meant, if something is written nearly like it.
        """
        if isinstance(asked, ShelveCommand):
            self._require_label(asked.label)
            self._require_place(asked)
        elif isinstance(asked, VerifyCommand):
            self._require_label(asked.label)
        if isinstance(asked, AckCommand | VerifyCommand) and asked.defect_id is not None:
            _require_defect(asked.defect_id, records, ids)

    def _require_label(self, label: str | None) -> None:
        labels = self.labels()
        if label is None or label in labels:
            return
        meant = nearest(label, labels)
        hint = f"; did you mean {meant}?" if meant else f" ({', '.join(sorted(labels))})"
        raise CommandError(f"label: no defect has this label{hint}: {label!r}", "unknown_label")

    def _require_place(self, asked: ShelveCommand) -> None:
        if asked.off:
            return
        if asked.from_mm is not None:
            width_mm = self.strip_mm()
            if not self.has_scale:
                raise CommandError("from_mm: a place needs a scale: set strip.mm_per_px", "no_scale")
            if width_mm is not None and asked.from_mm >= width_mm:
                raise CommandError(
                    f"from_mm lies outside the strip, which shows {width_mm:g} mm: {asked.from_mm:g}", "outside"
                )
        shelves = self.operators().shelves
        place = asked.label, asked.from_mm, asked.to_mm
        if len(shelves) >= MAX_SHELVES and all(shelf.place != place for shelf in shelves):
            raise CommandError(f"{MAX_SHELVES} shelves are in force, end one first: off=true", "too_many")


def known_of(settings: Settings, pipeline: Pipeline) -> Known:
    """Return what the station of a pipeline knows."""
    committer, rules = pipeline.committer, pipeline.rules
    scale = rules.now.track.mm_per_px

    def strip_mm() -> float | None:
        width_px = committer.tally.width_px
        return None if scale is None or width_px is None else width_px * scale

    return Known(
        labels=lambda: {*rules.now.track.severity, UNCLASSIFIED},
        operators=lambda: committer.operators,
        strip_mm=strip_mm,
        has_scale=scale is not None,
        persons=settings.privacy.persons,
    )


def _require_defect(defect_id: str, records: Records, ids: Ids) -> None:
    if not any(records.has(ids.of(defect_id, phase, 0)) for phase in ("opened", "closed")):
        raise CommandError(f"defect_id: this station keeps no such defect (any more): {defect_id}", "unknown_defect")
