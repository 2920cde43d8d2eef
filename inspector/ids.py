"""Names of things: the same frame, inspected again, gives the same ids."""

from __future__ import annotations

import uuid


class Ids:
    """Names things after what they are: the same frame, inspected again, gives the same ids (UUID version 5).

    Args:
        root: MQTT topic root, which keeps stations apart.
    """

    def __init__(self, root: str) -> None:
        self._namespace = uuid.uuid5(uuid.NAMESPACE_URL, f"inspector:{root}")

    def of(self, *parts: object) -> str:
        """Return the id that `parts` have at this station."""
        return str(uuid.uuid5(self._namespace, "\x1f".join(str(part) for part in parts)))


MAX_REVISION = 100
"""A defect has few messages: each says twice as much as the one before, or something else."""


def messages_of(defect_id: str, root: str) -> list[str]:
    """Return the ids that the messages of a defect can have: of its first phases and of later ones."""
    ids = Ids(root)
    later = [ids.of(defect_id, phase, n) for phase in ("updated", "closed") for n in range(MAX_REVISION)]
    return [ids.of(defect_id, "opened", 0), *later]
