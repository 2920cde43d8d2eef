"""Reports of coils that are kept: a page and its JSON each, for years, bounded by age and bytes.

A page holds its own pictures, so a report is whole when rows and evidence are gone. The JSON is written last: a report
without one was interrupted, and is written again. What a person keeps is never deleted; that has a quota.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from pydantic import ValidationError

from inspector.reports.report import CoilReport

FOLDER = "reports"
"""Name of the folder in the store's."""
_YEAR_DAYS = 365.25
_TORN_S = 3600.0
_KEPT, _JSON, _PAGE = ".keep", ".json", ".html"
_STAMP = re.compile(r"(\d{8}T\d{6}Z)-.+-\d+")

_log = structlog.get_logger("store")


@dataclass(frozen=True, slots=True)
class KeptReport:
    """A report as it was written."""

    report: CoilReport
    page: str


def report_name(coil_id: str, began_at: datetime, run: int) -> str:
    """Return the name of a report's files: when the coil began, its name as far as a file can have it, and the run."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", coil_id).strip("._") or "coil"
    return f"{began_at:%Y%m%dT%H%M%SZ}-{plain}-{run}"


class KeptReports:
    """The reports in a folder; a station and a command may use it at the same time.

    Args:
        folder: Where they are; made when needed.
        keep_years: Older ones are deleted.
        limit_bytes: Of all that nobody keeps; the oldest go first.
        keep_coils: How many people may keep.
    """

    def __init__(self, folder: Path, keep_years: float, limit_bytes: int, keep_coils: int) -> None:
        self._folder = folder
        self._keep_years = keep_years
        self._limit_bytes = limit_bytes
        self._keep_coils = keep_coils

    def write(self, name: str, report: CoilReport, page: str) -> int:
        """Write a report, durably, in place of one of this name; returns its bytes.

        Raises:
            OSError: The disk refuses; nothing of this name is whole then.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file(name, _JSON).unlink(missing_ok=True)
        size = self._write(name, _PAGE, page.encode(errors="replace"))
        size += self._write(name, _JSON, report.model_dump_json(by_alias=True, indent=1).encode(errors="replace"))
        return size

    def _write(self, name: str, suffix: str, data: bytes) -> int:
        partial = self._file(name, f"{suffix}.{os.getpid()}.partial")
        try:
            with partial.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._file(name, suffix))
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        return len(data)

    def read(self, name: str) -> KeptReport | None:
        """Return a report, or None where it is not kept (any more), or cannot be read."""
        try:
            report = CoilReport.model_validate_json(self._file(name, _JSON).read_bytes())
            return KeptReport(report, self._file(name, _PAGE).read_text("utf-8", errors="replace"))
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as exc:
            _log.warning("report_not_read", name=name, reason=str(exc).splitlines()[0])
            return None

    def page_file(self, name: str) -> Path:
        """Return where the page of a report lies."""
        return self._file(name, _PAGE)

    def names(self) -> list[str]:
        """Return the names of all whole reports, the oldest coil first."""
        return sorted(path.stem for path in self._folder.glob(f"*{_JSON}") if _STAMP.fullmatch(path.stem))

    def named(self, coil_id: str) -> list[str]:
        """Return the names of the reports that may be of a coil, the newest first."""
        plain = report_name(coil_id, datetime(1970, 1, 1), 0).split("-", 1)[1].rpartition("-")[0]
        return [name for name in reversed(self.names()) if name.split("-", 1)[1].rpartition("-")[0] == plain]

    def newest(self, coil_id: str, run: int | None = None) -> KeptReport | None:
        """Return the newest report of a coil by its name, whether or not its rows are still there; or of that run."""
        for name in self.named(coil_id):
            one = self.read(name)
            if one is not None and one.report.coil_id == coil_id and run in (None, one.report.run):
                return one
        return None

    # --- Keeping --------------------------------------------------------------------------------------------------

    def keep(self, name: str) -> bool:
        """Keep a report for good; returns False where as many are kept as may be.

        Raises:
            OSError: The disk refuses.
        """
        kept = self.kept()
        if name not in kept and len(kept) >= self._keep_coils:
            return False
        self._file(name, _KEPT).touch()
        return True

    def let_go(self, name: str) -> None:
        """Keep a report no longer than any other."""
        self._file(name, _KEPT).unlink(missing_ok=True)

    def kept(self) -> set[str]:
        """Return the names of the reports that people keep."""
        return {path.stem for path in self._folder.glob(f"*{_KEPT}")}

    def delete(self, name: str) -> None:
        """Delete a report, whoever keeps it."""
        for suffix in (_JSON, _PAGE, _KEPT):
            self._file(name, suffix).unlink(missing_ok=True)

    def forget(self, since: datetime, until: datetime, dry_run: bool = False) -> int:
        """Delete the reports of coils that ran in [since, until) for any part of it; returns how many."""
        gone = 0
        for name in self.names():
            one = self.read(name)
            if one is None:
                continue
            began, ended = one.report.started_at, one.report.ended_at or one.report.made_at
            if datetime.fromisoformat(began) < until and datetime.fromisoformat(ended) >= since:
                gone += 1
                if not dry_run:
                    self.delete(name)
        return gone

    def tidy(self, now: datetime) -> int:
        """Delete what is too old or too much, and what was left half written; returns how many reports were deleted."""
        for torn in self._folder.glob("*.partial"):  # of a process that died while it wrote
            if now.timestamp() - torn.stat().st_mtime > _TORN_S:
                torn.unlink(missing_ok=True)
        kept, sizes = self.kept(), dict[str, int]()
        whole = self.names()
        for name in whole:
            sizes[name] = sum(self._size(name, suffix) for suffix in (_JSON, _PAGE))
        total = sum(size for name, size in sizes.items() if name not in kept)
        oldest = f"{now - timedelta(days=self._keep_years * _YEAR_DAYS):%Y%m%dT%H%M%SZ}"
        gone = 0
        for name in whole:
            if name in kept or (name[: len(oldest)] >= oldest and total <= self._limit_bytes):
                continue
            total -= sizes[name]
            self.delete(name)
            gone += 1
        return gone

    def _size(self, name: str, suffix: str) -> int:
        try:
            return self._file(name, suffix).stat().st_size
        except FileNotFoundError:
            return 0

    def _file(self, name: str, suffix: str) -> Path:
        return self._folder / f"{name}{suffix}"
