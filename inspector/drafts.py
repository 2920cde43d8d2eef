"""Messages that the store has not numbered yet, and what goes with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from inspector.box import Box
from inspector.frame import Pixels
from inspector.heat import Heat
from inspector.messages import Body, DefectMessage, Evidence, topic_of

UNSTORED = {"store_id": "", "seq": 0}
"""Stand-ins in a draft for what the store assigns."""


@dataclass(frozen=True, slots=True, eq=False)
class EvidencePicture:
    """What an evidence picture is made of.

    Attributes:
        pixels: The frame's.
        box: To mark.
        around: To show with some surroundings; the box lies in it.
        heat: To show beside it, or None.
    """

    pixels: Pixels
    box: Box
    around: Box
    heat: Heat | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A message that the store has not numbered yet.

    Attributes:
        body: Everything but `store_id`, `seq` and the evidence.
        picture: What to keep as evidence with it, or None.
    """

    body: Body
    picture: EvidencePicture | None = None

    @property
    def topic(self) -> str:
        """Topic below the root."""
        return topic_of(self.body)


def numbered(draft: Draft, store_id: str, seq: int, evidence: Evidence | None = None) -> Body:
    """Return the message with what only the store knows."""
    update: dict[str, Any] = {"store_id": store_id, "seq": seq}
    if evidence is not None and isinstance(draft.body, DefectMessage):
        update["evidence"] = evidence
    return draft.body.model_copy(update=update)
