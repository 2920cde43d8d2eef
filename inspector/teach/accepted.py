"""Whether the site was taught for the bundle that runs: the accepted reference, or why there is none to use."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from inspector.errors import SiteReferenceError
from inspector.inspection.reference import SiteReference
from inspector.model.bundle import Bundle
from inspector.teach.card import CARD, REFIT_AT_START, ReferenceCard
from inspector.teach.files import ACCEPTED, load_reference, read_stored


@dataclass(frozen=True, slots=True, eq=False)
class Accepted:
    """What is known about the accepted reference.

    Attributes:
        reference: In force, or None.
        card: Of that reference.
        trouble: Why an accepted one cannot be used, naming its file; None where nothing is wrong.
        foreign: It is whole, but for another bundle: a refit from its tiles makes it usable.
    """

    reference: SiteReference | None = None
    card: ReferenceCard | None = None
    trouble: str | None = None
    foreign: bool = False

    @property
    def short(self) -> str | None:
        """The hash that messages carry, or None."""
        return None if self.reference is None else self.reference.short

    @property
    def name(self) -> str | None:
        """What tells this acceptance from another, of the same reference, too; None: nothing is in force."""
        return None if self.reference is None else f"{self.reference.short}@{self.accepted_s:.0f}"

    @property
    def by_person(self) -> str | None:
        """As `name`, but None, too, for a reference that the station fitted anew by itself for another bundle."""
        if self.card is None or self.card.accepted is None or self.card.accepted.by == REFIT_AT_START:
            return None
        return self.name

    @property
    def accepted_s(self) -> float:
        """When a person accepted it, Unix seconds; 0: nothing is in force."""
        if self.card is None or self.card.accepted is None:
            return 0.0
        return datetime.fromisoformat(self.card.accepted.at).timestamp()


UNTAUGHT = Accepted()
"""Nobody has accepted a reference."""


def read_accepted(folder: Path, bundle: Bundle) -> Accepted:
    """Return what is known about the accepted reference; one that cannot be used is a trouble, never an error.

    Args:
        folder: `reference/` in the folder of the store.
        bundle: The one that runs.
    """
    try:
        reference = load_reference(folder, bundle)
        stored = None if reference is None else read_stored(folder)
    except SiteReferenceError as exc:
        return Accepted(trouble=str(exc), foreign=exc.kind == "bundle")
    if reference is None or stored is None or stored.reference.sha256 != reference.sha256:
        return UNTAUGHT
    return Accepted(reference, stored.card)


def state_of(folder: Path) -> tuple[int, ...]:
    """Return what changes whenever another reference is accepted, or files of the accepted one are exchanged."""
    state: list[int] = []
    for path in (folder / ACCEPTED, folder / ACCEPTED / CARD):
        try:
            found = path.stat()
        except OSError:
            state.append(0)
        else:
            state += (found.st_ino, found.st_mtime_ns, found.st_size)
    return tuple(state)
