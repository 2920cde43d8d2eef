"""The durable memory of one station: its parts on one database, and the transaction that they share.

Messages, their place in the outbox and the done-mark of their file are one transaction, so a process that dies at any
moment has either done a frame or not begun it. Only the store allocates `seq` (and `notes` the epoch). Stored payloads
never change. Callers use the parts directly.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inspector.clock import Clock, to_timestamp_ms
from inspector.drafts import numbered
from inspector.errors import StoreBusyError, StoreDamagedError, WorkerError
from inspector.faults import crash_point
from inspector.messages import Body
from inspector.messages import encode as encode_message
from inspector.store.candidates import Candidates
from inspector.store.coils import Coils
from inspector.store.database import DATABASE, Database, put_meta
from inspector.store.entries import Entry
from inspector.store.ledger import FileLedger
from inspector.store.migration import RecordsMigration
from inspector.store.notes import TRACK_STATE, StationNotes
from inspector.store.outbox import StoredOutbox
from inspector.store.read_only import StoreReader
from inspector.store.records import Records
from inspector.store.reviews import Reviews
from inspector.store.sections import Sections
from inspector.store.stored_commands import StoredCommands
from inspector.store.topics import SubscribedTopics


class Store:
    """Opens, or creates, the store in `folder`; it and its parts are safe to use from several threads.

    A file that is broken or foreign is set aside, and what can be read of it is in the new one (`aside`).

    Args:
        folder: Holds `inspector.sqlite3`, its lock, and the list of files being worked on.
        clock: Time.
        outbox_limit_bytes: Undelivered payload bytes beyond which the oldest messages are lost.

    Attributes:
        aside: What was set aside when this store began, however long ago; None: nothing.
        reader: Reads what is stored without waiting for it to be written.
        records: Every message that was ever made.
        migration: Moves the records that a previous program has left.
        outbox: Messages to deliver.
        ledger: Finished files.
        candidates: Findings under their thresholds.
        notes: What the next start needs to know.
        coils: Coils that ran.
        commands: Accepted commands.
        reviews: What people said about defects.
        sections: Codes that are printed on the strip.
        topics: Topics that had subscribers.

    Raises:
        StoreError: Another process has it, or the folder cannot be one.
        WorkerError: The disk is full or broken.
    """

    def __init__(self, folder: Path, clock: Clock, outbox_limit_bytes: int = 768 << 20) -> None:
        self.folder = folder
        self._clock = clock
        self._closed = False
        try:
            try:
                self._open(outbox_limit_bytes)
            except StoreDamagedError:
                self._open(outbox_limit_bytes)  # found when it was used: it is noted, and set aside now
        except (StoreBusyError, OSError) as exc:  # no room, or a broken disk: waiting may fix it
            raise WorkerError(f"store.path: {folder} cannot be written: {exc}") from exc

    def _open(self, outbox_limit_bytes: int) -> None:
        self.database = database = Database(self.folder, self._clock)
        try:
            self.store_id, self.aside = database.store_id, database.aside
            self.records = Records(database)
            self.migration = RecordsMigration(database)
            self.outbox = StoredOutbox(database, self._clock, outbox_limit_bytes)
            self.candidates = Candidates(database)
            self.notes = StationNotes(database, self._clock)
            self.coils = Coils(database)
            self.commands = StoredCommands(database)
            self.reviews = Reviews(database)
            self.sections = Sections(database)
            self.topics = SubscribedTopics(database)
            self.reader = StoreReader(self.folder / DATABASE, database.records_name, database.note_damage)
            self.ledger = FileLedger(database, self._clock)
        except BaseException:
            database.close()
            raise

    @property
    def failure(self) -> StoreDamagedError | None:
        """How the file was found broken while it was open, or None; the next `Store` sets it aside."""
        return None if self.database.damage is None else StoreDamagedError(self.database.damage)

    def close(self, clean: bool = True) -> None:
        """Close; `clean` says that the process ends on purpose, so no file is to blame. Idempotent."""
        with self.database.guard:
            if self._closed:
                return
            self._closed = True
            self.ledger.close(clean)
            self.reader.close()
            self.database.close()

    def commit(self, entries: Sequence[Entry], state: str | None = None) -> list[Body]:
        """Store the entries, and the state after them, in one transaction and return their numbered messages.

        A message whose id is stored already is left out: it was sent under that id before.

        Raises:
            StoreBusyError: The disk is full or broken; no entry is stored.
        """
        with self.database.guard:
            bodies, size = self._insert(entries, state)
            if bodies:
                self.database.note_numbers(seq=bodies[-1].seq)
                self.outbox.note_stored(bodies[0].seq, len(bodies), size)
            self.ledger.strike_off([entry.done.source_key for entry in entries if entry.done])
        return bodies

    def _insert(self, entries: Sequence[Entry], state: str | None) -> tuple[list[Body], int]:
        bodies: list[Body] = []
        size = 0
        now_ms = to_timestamp_ms(self._clock.now())
        with self.database.transaction() as db:
            first = seq = int(self.database.meta("seq") or 0)
            for entry in entries:
                for draft in entry.drafts:
                    if self.records.has(draft.body.id):
                        continue
                    seq += 1
                    body = numbered(draft, self.store_id, seq, entry.evidence.get(draft.body.id))
                    payload = encode_message(body)
                    self.records.insert(db, body, payload)
                    self.outbox.insert(db, body, draft.topic, payload, now_ms)
                    bodies.append(body)
                    size += len(payload)
                if entry.done is not None:
                    self.ledger.finish(db, entry.done, now_ms)
                self.candidates.insert(db, entry.candidates)
                for command in entry.commands:
                    self.commands.take(db, command)
                for record in entry.coils:
                    self.coils.put(db, record)
                entry.also(db)
            if seq != first:
                put_meta(db, "seq", seq)
            if state is not None:
                put_meta(db, TRACK_STATE, state)
            crash_point("commit.inside")
        return bodies, size
