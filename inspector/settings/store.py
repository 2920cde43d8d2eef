"""`[store]`: what is kept, for how long, and how much of it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from inspector.settings.section import Section


class StoreOptions(Section):
    """The SQLite file with messages, outbox and ledger, and the evidence pictures."""

    path: Path | None = Field(
        default=None, description="Folder; unset: $STATE_DIRECTORY, else per station below the state folder."
    )
    outbox_limit_bytes: int = Field(
        default=768 << 20,
        ge=1 << 16,
        le=1 << 40,
        description="Undelivered messages kept: a day at 10 events a second; beyond it the least severe are lost.",
    )
    records_limit_bytes: int = Field(
        default=8 << 30,
        ge=1 << 20,
        le=1 << 44,
        description="Size of the file, without undelivered messages, beyond which the oldest records are deleted.",
    )
    records_max_age_days: float = Field(default=3650, gt=0, le=36500, description="Older records are deleted.")
    ledger_limit_files: int = Field(
        default=2_000_000, ge=1000, le=100_000_000, description="Finished files remembered; the oldest are forgotten."
    )
    floor_bytes: int = Field(
        default=128 << 20,
        ge=0,
        le=1 << 40,
        description="Below this free space the file does not grow: records, then undelivered messages, make room.",
    )
    log_limit_bytes: int = Field(
        default=256 << 20,
        ge=1 << 20,
        le=1 << 40,
        description="Size of SQLite's log beside the file from which on health is degraded: another process reads.",
    )
    archive_after_days: float | None = Field(
        default=None, ge=0, le=36500, description="Coils that ended longer ago are moved by `inspector archive`."
    )
    archive_path: Path | None = Field(default=None, description="Where they go; unset: archive/ in the store's folder.")
    evidence: Literal["on", "off"] = Field(default="on", description="off: no picture is ever written.")
    evidence_limit_bytes: int = Field(default=1 << 30, ge=0, description="Evidence pictures kept; the oldest go first.")
    evidence_max_age_days: float = Field(default=30, gt=0, description="Older evidence pictures are deleted.")
    free_floor_bytes: int = Field(default=512 << 20, ge=0, description="Below this free space no picture is written.")
    evidence_px: int = Field(default=640, ge=64, le=4096, description="Longest side of an evidence picture.")
    report_keep_years: float = Field(
        default=10, gt=0, le=100, description="Older reports of coils are deleted, with their pictures."
    )
    report_limit_bytes: int = Field(
        default=4 << 30, ge=1 << 20, le=1 << 44, description="Reports of coils kept; the oldest go first."
    )
    report_keep_coils: int = Field(
        default=100, ge=0, le=100_000, description="Coils that people may keep: their reports are never deleted."
    )
