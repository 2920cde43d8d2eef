"""Delete what a station stored of a time: for privacy, not for room (retention looks after that by itself)."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from inspector.clock import SystemClock, to_timestamp_ms
from inspector.errors import ConfigError
from inspector.evidence import EvidenceFolder
from inspector.settings import load_settings, state_folder
from inspector.store import Store


def forget_period(config: Path, since: datetime, until: datetime) -> tuple[int, int]:
    """Delete records, delivered messages, candidates and pictures captured from `since` until before `until`.

    What still waits for the broker stays: delivery comes first, then forgetting.

    Returns:
        How many records and pictures went.

    Raises:
        ConfigError: An empty time, or a configuration that is refused.
        StoreError: The station runs: stop it first.
    """
    if until <= since:
        raise ConfigError(f"--to must lie after --from: {until.isoformat()} <= {since.isoformat()}")
    settings = load_settings(config).settings
    folder, clock, kept = state_folder(settings), SystemClock(), settings.store
    store = Store(folder, clock, kept.outbox_limit_bytes)
    try:
        records, defects = store.forget(to_timestamp_ms(since), to_timestamp_ms(until))
    finally:
        store.close()
    pictures = EvidenceFolder(
        folder / "evidence", clock, kept.evidence_limit_bytes, kept.evidence_max_age_days * 86400,
        kept.free_floor_bytes, kept.evidence_px,
    )  # fmt: skip
    return records, sum(pictures.delete(defect) for defect in defects)
