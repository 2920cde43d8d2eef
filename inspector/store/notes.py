"""What a station notes for its next start: the epoch, its last sign of life, and what it ran with."""

from __future__ import annotations

import json
from datetime import datetime

from inspector.clock import Clock, to_timestamp_ms
from inspector.store.database import Database

OBEYED = 16
"""How many digests of commands of one name are remembered."""
TRACK_STATE = "track_state"
"""Name of the single value that is written with each commit."""
PROOFS = "proofs"
REFERENCE_PROOF = "reference_proof"


def obeyed_value(database: Database, name: str, digest: str) -> tuple[str, str]:
    """Return the key and the value by which a command is remembered, so that a retained one counts once."""
    known = json.loads(database.meta(f"obeyed_{name}") or "[]")
    return f"obeyed_{name}", json.dumps([*known, digest][-OBEYED:] if digest not in known[-1:] else known)


class StationNotes:
    """Small facts that outlive the process.

    Args:
        database: Holds them.
        clock: Time.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def next_epoch(self) -> int:
        """Allocate the next epoch, durably."""
        with self._database.guard:
            epoch = int(self._database.set_meta("epoch", int(self._database.meta("epoch") or 0) + 1))
            self._database.note_numbers(epoch=epoch)
            return epoch

    def heartbeat(self, moment: datetime | None = None) -> None:
        """Note that the source was watched at `moment` (unset: now), so that the next start knows the blind time."""
        self._database.set_meta("alive_ms", to_timestamp_ms(moment or self._clock.now()))

    def last_alive_ms(self) -> int | None:
        """Return when a process last noted that it was alive, ms since 1970, or None on a new store."""
        value = self._database.meta("alive_ms")
        return None if value is None else int(value)

    def was_obeyed(self, name: str, digest: str) -> bool:
        """Say whether one of the last commands of this name had this digest."""
        return digest in json.loads(self._database.meta(f"obeyed_{name}") or "[]")

    def track_state(self) -> str | None:
        """Return the text of the state that was stored with the last commit, or None on a new store."""
        value = self._database.meta(TRACK_STATE)
        return None if value is None else str(value)

    def proofs(self) -> str | None:
        """Return the text of the probes that a process noted last, or None."""
        value = self._database.meta(PROOFS)
        return None if value is None else str(value)

    def keep_proofs(self, text: str) -> None:
        """Keep the probes for the next start.

        Raises:
            StoreBusyError: The disk is full or broken; nothing has changed.
        """
        self._database.set_meta(PROOFS, text)

    def reference_proof(self) -> str | None:
        """Return the text of what was seen under the site's reference, or None on a store without."""
        value = self._database.meta(REFERENCE_PROOF)
        return None if value is None else str(value)

    def keep_reference_proof(self, text: str) -> None:
        """Keep the text of what was seen under the site's reference.

        Raises:
            StoreBusyError: The disk is full or broken.
        """
        self._database.set_meta(REFERENCE_PROOF, text)

    def remember(self, kind: str, fingerprint: str, text: str) -> None:
        """Keep a configuration or bundle card by its fingerprint: what messages name must be readable years later."""
        with self._database.transaction() as db:
            row = (fingerprint, kind, to_timestamp_ms(self._clock.now()), text)
            db.execute(
                "INSERT OR IGNORE INTO configurations (fingerprint, kind, first_ms, text) VALUES (?, ?, ?, ?)", row
            )
