"""Writes the report of each coil that has ended, on a thread of its own and in a process beside it.

Which one was written last is in the store, and which have ended, too: so a coil whose end was committed has its report,
however the process died meanwhile. What the disk refuses is tried again; nothing here holds up a commit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import structlog

from inspector.clock import Clock, to_timestamp_ms
from inspector.command_table import KeepCommand
from inspector.errors import CommandError, StoreBusyError
from inspector.reports.report import CoilReport
from inspector.settings.sections import Settings
from inspector.station.coil_report import name_of, open_kept
from inspector.store.coils import CoilRun
from inspector.store.store import Store

LOOK_S = 1.0
"""How often the store is asked which coils have ended."""
RETRY_S = 30.0
TIDY_S = 600.0
LONGEST_S = 600.0
"""A child that takes longer hangs."""
REPORTED = "reported_coil"
"""Name in `meta` for the number of the last run that has its report, and when it began."""

_log = structlog.get_logger("daemon")


@dataclass(frozen=True, slots=True)
class LastReport:
    """The report that the topic `coil` names.

    Attributes:
        reference: Where it is read.
        report: What it says.
    """

    reference: str
    report: CoilReport


def reference_of(settings: Settings, coil_id: str, run: int) -> str:
    """Return the address of a report: with `http.public_url` a whole one, else from the station's listener on."""
    return f"{settings.http.public_url or ''}/api/coils/{quote(coil_id, safe='')}/report?run={run}"


class ReportWriter:
    """Writes and tidies reports.

    Args:
        settings: Of the station.
        store: Says which coils have ended.
        clock: Time.
        written: Called after each report.
        make: Writes the report of a run, or raises `OSError`; None: in a process of its own.

    Attributes:
        last: The newest report, or None.
        failure: The error that ended the thread.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        clock: Clock,
        written: Callable[[], None],
        make: Callable[[CoilRun], None] | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._written = written
        self._make = make or self._in_child
        self._kept = open_kept(store.folder, settings.store)
        self._ended = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._refused: str | None = None
        self._tidied_mono_s: float | None = None
        self._thread = threading.Thread(target=self._run, name="reports", daemon=True)
        self.last = self._newest()
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Begin to write, if the configuration asks for it."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End; a report that is being written is written at the next start."""
        self._ended.set()
        if (child := self._child) is not None:
            child.kill()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            while not self._ended.wait(RETRY_S if self._refused else LOOK_S):
                self.write_next()
        except BaseException as exc:  # noqa: BLE001 - the thread's outermost function: the daemon reads it
            self.failure = exc
            _log.exception("reports_died")

    def write_next(self) -> bool:
        """Write the report of the next coil that has ended, if there is one; returns whether one was written."""
        try:
            if (run := self._next()) is None or not self._settings.report.write:
                self._tidy()
                return False
            self._make(run)
            if self._ended.is_set():  # its process was ended with us, and may not have come to its end
                return False
            found = self._of(run)
            if found is not None:
                verdict = {"surface_class": found.report.surface_class, "disposition": found.report.disposition}
                self._store.coils.note(to_timestamp_ms(run.record.began_at), verdict)
            self._store.database.set_meta(REPORTED, json.dumps([run.id, to_timestamp_ms(run.record.began_at)]))
        except (StoreBusyError, OSError) as exc:
            if self._refused is None and not self._ended.is_set():
                _log.warning("report_not_written", reason=str(exc))
            self._refused = str(exc)
            return False
        self._refused = None
        self.last = found or self.last
        _log.info("report_written", coil_id=run.record.coil_id, run=run.id)
        self._written()
        return True

    def _next(self) -> CoilRun | None:
        """Return the first run without a report whose end is committed; of a previous program's runs there is none."""
        rows = self._store.reader.select(
            "SELECT id FROM coils WHERE id > ? AND record ->> 'ended_at' IS NOT NULL ORDER BY id LIMIT 1",
            (self._reported(),),
        )
        if not rows:
            return None
        runs = self._store.reader.coil_runs(limit=1, before_id=rows[0][0] + 1)
        return runs[0] if runs else None

    def _reported(self) -> int:
        """Return the number of the last run that has its report; a number whose run moved away may be given again."""
        number, began_ms = json.loads(self._store.database.meta(REPORTED) or "[0, 0]")
        rows = self._store.reader.select("SELECT began_ms FROM coils WHERE id = ?", (number,))
        return int(number) if rows and rows[0][0] == began_ms else max(0, int(number) - 1)

    def _newest(self) -> LastReport | None:
        runs = self._store.reader.coil_runs(limit=1, before_id=self._reported() + 1)
        return self._of(runs[0]) if runs else None

    def _of(self, run: CoilRun) -> LastReport | None:
        kept = self._kept.read(name_of(run))
        if kept is None:
            return None
        return LastReport(reference_of(self._settings, run.record.coil_id, run.id), kept.report)

    def _tidy(self) -> None:
        now = self._clock.monotonic()
        if self._tidied_mono_s is None or now - self._tidied_mono_s >= TIDY_S:
            self._tidied_mono_s = now
            if gone := self._kept.tidy(self._clock.now()):
                _log.info("reports_deleted", count=gone)

    def _in_child(self, run: CoilRun) -> None:
        order: dict[str, Any] = {
            "settings": self._settings.model_dump(mode="json"), "folder": str(self._store.folder.absolute()),
            "records": self._store.database.records_name, "run": run.id,
        }  # fmt: skip
        environ = {key: value for key, value in os.environ.items() if not key.startswith("INSPECTOR_")}
        environ |= {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        with subprocess.Popen(
            [sys.executable, "-m", "inspector.station.report_child"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ,
        ) as self._child:  # fmt: skip
            try:
                answer, _ = self._child.communicate(json.dumps(order).encode() + b"\n", LONGEST_S)
            except subprocess.TimeoutExpired as exc:
                self._child.kill()
                raise OSError(f"its process did not end within {LONGEST_S:g} s") from exc
            finally:
                code = self._child.poll()
        self._child = None
        require_written(answer, code)

    # --- Keeping --------------------------------------------------------------------------------------------------

    def keep(self, asked: KeepCommand) -> str:
        """Keep the report of a coil's last run for good, or no longer; returns a sentence about it.

        Raises:
            CommandError: It has none, or as many are kept as may be.
        """
        runs = self._store.reader.coil_runs(asked.coil_id, limit=1)
        name = name_of(runs[0]) if runs else next(iter(self._kept.named(asked.coil_id)), None)
        if name is None or self._kept.read(name) is None:
            raise CommandError(f"no report of this coil is kept (yet): {asked.coil_id}", "unknown_coil")
        try:
            if asked.off:
                self._kept.let_go(name)
            elif not self._kept.keep(name):
                quota = self._settings.store.report_keep_coils
                raise CommandError(
                    f"{quota} coils are kept (store.report_keep_coils): end one first: off=true", "too_many"
                )
        except OSError as exc:
            raise StoreBusyError(str(exc)) from exc
        return f"kept no longer than others: {asked.coil_id}" if asked.off else f"kept for good: {asked.coil_id}"


def require_written(answer: bytes, code: int | None) -> None:
    """Check what the child says.

    Raises:
        OSError: It could not write the report; says why.
    """
    try:
        said = json.loads(answer.splitlines()[-1])
    except (ValueError, LookupError):
        why = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        raise OSError(f"the process that writes it has ended without an answer ({why})") from None
    if (error := said.get("error")) is not None:
        raise OSError(error)
