"""Delete what a station stored during a period: for privacy, not for room (retention takes care of that by itself)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inspector.clock import SystemClock, to_rfc3339, to_timestamp_ms
from inspector.errors import ConfigError, StoreError
from inspector.settings.loading import load_settings
from inspector.settings.places import state_folder
from inspector.settings.sections import Settings
from inspector.station.coil_report import forget_in_reports, open_kept
from inspector.store.database import DATABASE
from inspector.store.evidence import EvidenceFolder
from inspector.store.forget import forget
from inspector.store.forget_person import forget_person
from inspector.store.store import Store
from inspector.teach.files import FOLDER as REFERENCES


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was deleted.

    Attributes:
        folder: The store.
        since, until: The period that was understood; `until` is not in it.
        records, pictures, reports: How many were deleted.
        aside: Stores that were set aside and may still hold the period: delete them by hand.
    """

    folder: Path
    since: datetime
    until: datetime
    records: int
    pictures: int
    reports: int = 0
    aside: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, str | int | list[str]]:
        """Return JSON values."""
        return {
            "store": str(self.folder), "from": to_rfc3339(self.since), "to": to_rfc3339(self.until),
            "records": self.records, "pictures": self.pictures, "reports": self.reports, "aside": list(self.aside),
        }  # fmt: skip


def parse_time(option: str, text: str) -> datetime:
    """Return an ISO 8601 time in UTC: `2026-03-01`, `2026-03-01T06:00`, `2026-03-01T07:00+01:00`.

    A time without an offset is UTC.

    Raises:
        ConfigError: Not such a time; names the option.
    """
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise ConfigError(f"{option}: a date or time as 2026-03-01 or 2026-03-01T06:00Z is wanted: {text!r}") from exc


def forget_period(config: Path, since: datetime, until: datetime, dry_run: bool = False) -> Forgotten:
    """Delete records, delivered messages, candidates and pictures captured from `since` until before `until`.

    With `dry_run` nothing is deleted; the result says what would be.

    What still waits for the broker stays: delivery comes first, then forgetting.

    Raises:
        ConfigError: An empty period, or a configuration that is refused.
        StoreError: There is no store, or the station runs: stop it first.
    """
    if until <= since:
        raise ConfigError(f"--to must lie after --from: {until.isoformat()} <= {since.isoformat()}")
    settings = load_settings(config).settings
    folder, clock, kept = _folder_of(settings, config), SystemClock(), settings.store
    store = Store(folder, clock, kept.outbox_limit_bytes)
    try:
        store.outbox.enable(settings.sinks)
        records, defects = forget(
            store.database, to_timestamp_ms(since), to_timestamp_ms(until), store.outbox.delivered_seq(), dry_run
        )
    finally:
        store.close()
    pictures = EvidenceFolder(
        folder / "evidence", clock, kept.evidence_limit_bytes, kept.evidence_max_age_days * 86400,
        kept.free_floor_bytes, kept.evidence_px,
    )  # fmt: skip
    found = sum(pictures.read(defect) is not None if dry_run else pictures.delete(defect) for defect in defects)
    aside = tuple(sorted(path.name for path in folder.glob(f"{DATABASE}.aside-*")))
    reports = open_kept(folder, kept).forget(since, until, dry_run)
    return Forgotten(folder, since, until, records, found, reports, aside)


def forget_name(config: Path, person: str, dry_run: bool = False) -> dict[str, Any]:
    """Remove a person's name from what a stopped station keeps; returns where it stood, and where it still stands.

    Raises:
        ConfigError: The configuration is refused.
        StoreError: There is no store, or the station runs: stop it first.
    """
    settings = load_settings(config).settings
    folder = _folder_of(settings, config)
    store = Store(folder, SystemClock(), settings.store.outbox_limit_bytes)
    try:
        store.outbox.enable(settings.sinks)
        found = forget_person(store.database, person, store.outbox.delivered_seq(), dry_run)
    finally:
        store.close()
    reports = forget_in_reports(settings, open_kept(folder, settings.store), person, dry_run)
    others = [*folder.glob(f"{DATABASE}.aside-*"), *(folder / REFERENCES).rglob("*")]
    others += (settings.jsonl.path or folder / "jsonl").rglob("*")
    name = person.encode()
    still = sorted(str(path) for path in others if path.is_file() and name in path.read_bytes())
    return {"store": str(folder), "person": person, **asdict(found), "reports": reports, "still_in": still}


def _folder_of(settings: Settings, config: Path) -> Path:
    folder = state_folder(settings, unit_file=config)
    if not (folder / DATABASE).is_file():
        raise StoreError(f"nothing was ever stored in {folder}: $STATE_DIRECTORY or store.path says where the store is")
    return folder
