"""Messages in files, for people without a broker and for tests: one line each, `{"topic": …, "payload": {…}}`.

The payload is what MQTT publishes, byte for byte: the same ids, the same `seq`. A line is written and synced before the
cursor moves, so a process that dies at any moment leaves no hole; it may repeat lines, and readers drop them by `id`.
Half a line is cut off before the next one is written. States are not messages and not in the files: `status`, `about`,
`health`, `coil`.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import structlog

from inspector.clock import Clock
from inspector.errors import StoreBusyError
from inspector.faults import crash_point
from inspector.settings.sections import Jsonl
from inspector.sinks.base import LastWord, Outbox, SinkStatus
from inspector.sinks.line_files import LineFiles
from inspector.store.entries import OutboxRow

SINK = "jsonl"
BATCH_ROWS = 200
"""Messages that are synced together."""
PAUSE_S = 0.2
"""Between two batches, so that a busy line does not flush the disk for each message."""
IDLE_S = 0.5
RETRY_S = (1.0, 10.0)
"""First and longest pause between two tries while nothing can be written."""

_log = structlog.get_logger("jsonl")


class JsonlOptions(Jsonl):
    """The section `[jsonl]`, with the folder filled in."""

    path: Path


class JsonlSink:
    """Appends the outbox to files.

    Args:
        options: Where.
        outbox: The store.
        clock: Time.
    """

    name = SINK

    def __init__(self, options: JsonlOptions, outbox: Outbox, clock: Clock) -> None:
        self._folder = options.path
        self._files = LineFiles(options.path, options.rotate_bytes, options.keep_files)
        self._outbox = outbox
        self._clock = clock
        self._written_seq = self._stored_seq = 0
        self._store_refuses = False
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._stop_by_mono_s = 0.0
        self._thread = threading.Thread(target=self._run, name=SINK, daemon=True)
        self.status = SinkStatus()
        self.progress_mono_s = clock.monotonic()
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def wake(self) -> None:
        """There is something new in the outbox."""
        self._wake.set()

    def stop(self, timeout_s: float, status: LastWord = "stopped") -> None:
        """Write what waits, within `timeout_s` seconds, and end; a file has no last word."""
        self._stop_by_mono_s = self._clock.monotonic() + timeout_s
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s + IDLE_S)

    def _run(self) -> None:
        try:
            self._written_seq = self._stored_seq = self._outbox.cursor(SINK)
            retry_s = RETRY_S[0]
            while True:
                self.progress_mono_s = self._clock.monotonic()
                self._wake.clear()
                try:
                    found = self._deliver()
                except (OSError, StoreBusyError) as exc:
                    self._note_outage(exc)
                    if self._stopping.wait(retry_s):
                        break
                    retry_s = min(2 * retry_s, RETRY_S[1])
                    continue
                retry_s = RETRY_S[0]
                if self._stopping.is_set() and (not found or self._clock.monotonic() >= self._stop_by_mono_s):
                    break
                if not found:
                    self._wake.wait(IDLE_S)
                elif found < BATCH_ROWS:
                    self._stopping.wait(PAUSE_S)
        except BaseException as exc:  # noqa: BLE001 - the thread's outermost function: the station reads it
            self.failure = exc
            _log.exception("sink_failed", sink=SINK)
        finally:
            self._files.close()

    def _deliver(self) -> int:
        """Write the next messages, and return how many there were.

        Raises:
            OSError: They cannot be written now.
            StoreBusyError: They cannot be read now.
        """
        rows = self._outbox.pending(self._written_seq, BATCH_ROWS)
        found, lines = len(rows), to_lines(rows)
        self._files.open()  # also without a line: a folder that cannot be written is noticed before a message comes
        while lines:
            count = self._files.append(lines)
            self._written_seq, rows, lines = rows[count - 1].seq, rows[count:], lines[count:]
            self._store_cursor()
        self._store_cursor()
        if not self.status.connected:
            if self.status.reason is not None:
                _log.info("sink_back", sink=SINK, folder=str(self._folder))
            self.status.connected, self.status.reason = True, None
        return found

    def _store_cursor(self) -> None:
        if self._written_seq == self._stored_seq:
            return
        crash_point("lines.synced")
        try:
            self._outbox.acknowledge(SINK, self._written_seq)
        except StoreBusyError as exc:  # tried again in the next round; written twice after a restart, at worst
            if not self._store_refuses:
                _log.warning("cursor_not_stored", seq=self._written_seq, reason=str(exc))
            self._store_refuses = True
            return
        self._stored_seq, self._store_refuses = self._written_seq, False

    def _note_outage(self, exc: OSError | StoreBusyError) -> None:
        if isinstance(exc, OSError):
            reason = f"cannot write {exc.filename or self._folder}: {exc.strerror or exc}"
        else:
            reason = f"cannot read the store: {exc}"
        if reason != self.status.reason:
            _log.warning("sink_unavailable", sink=SINK, reason=reason)
        self.status.connected, self.status.reason = False, reason


def to_lines(rows: Sequence[OutboxRow]) -> list[bytes]:
    """Return one line for each message, its payload as it is stored."""
    return [b'{"topic": "%s", "payload": %s}\n' % (row.topic.encode(), row.payload) for row in rows]
