"""Which calls a person has found to be defects: they are not held against the reference that made them."""

from __future__ import annotations

from inspector.ids import Ids
from inspector.store.records import Records
from inspector.store.reviews import Reviews

HELD_BACK = ("limit", "mode", "shelved")
"""Rules that keep a call from being an alarm, and do not make it less of a call."""


class VerifiedCalls:
    """Counts them anew when somebody has said something about a defect, or the reference is another one.

    Args:
        reviews: What people said.
        records: What was called.
        ids: Namer of the station.
    """

    def __init__(self, reviews: Reviews, records: Records, ids: Ids) -> None:
        self._reviews = reviews
        self._records = records
        self._ids = ids
        self._known: tuple[int, str] | None = None
        self._count = 0

    def __call__(self, reference: str) -> int:
        """Return how many calls under a reference are defects by the last word on each.

        Raises:
            StoreBusyError: The disk refuses.
        """
        known = self._reviews.newest(), reference
        if known != self._known:
            self._count = sum(self._is_call(defect_id, reference) for defect_id in self._reviews.defects())
            self._known = known
        return self._count

    def _is_call(self, defect_id: str, reference: str) -> bool:
        for phase in ("opened", "closed"):
            first = self._records.message(self._ids.of(defect_id, phase, 0))
            if first is not None and first.get("reference") == reference:
                held_back = not first["alarm"] and first["why"]["rule"] in HELD_BACK
                return held_back or self._records.has_alarm(defect_id, first["timestamp_ms"])
        return False
