"""What a station has stored, by number: also while it runs, and where no database program is installed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from inspector.clock import to_rfc3339
from inspector.errors import ConfigError, StoreError
from inspector.settings.loading import load_settings
from inspector.settings.places import state_folder
from inspector.store.database import DATABASE
from inspector.store.read_only import StoredRow, StoreReader

NEWEST = 50
"""Shown without a range."""


def read_range(text: str | None) -> tuple[int, int] | None:
    """Return the first and last number of `100-200` or `100`; None: no range is given.

    Raises:
        ConfigError: No such range.
    """
    if text is None:
        return None
    first, _, last = text.partition("-")
    if not first.isdecimal() or not (last or first).isdecimal() or len(text) > 38:
        raise ConfigError(f"--seq: expected a number or a range as 100-200: {text!r}")
    return int(first), int(last or first)


def stored_rows(config: Path, numbers: tuple[int, int] | None) -> list[StoredRow]:
    """Return what is stored under these numbers, or the newest rows, in the order of their numbers.

    Args:
        config: The station's configuration.
        numbers: First and last `seq`; None: the newest `NEWEST`.

    Raises:
        StoreError: The station has stored nothing yet.
        StoreBusyError: The store cannot be read now.
    """
    file = state_folder(load_settings(config).settings, unit_file=config) / DATABASE
    if not file.is_file():
        raise StoreError(f"there is no store yet, or this user may not see it: {file}")
    reader = StoreReader(file, "records")
    try:
        return reader.rows(numbers, NEWEST)
    finally:
        reader.close()


def as_table(rows: Sequence[StoredRow]) -> Iterator[str]:
    """Yield a line for each row; of a frame the phase is its verdict, of a gap the label is its cause."""
    yield f"{'seq':>10}  {'kind':8}  {'captured, UTC':23}  {'label':20}  {'score':>5}  phase"
    for row in rows:
        captured = to_rfc3339(datetime.fromtimestamp(row.captured_ms / 1000, tz=UTC)).removesuffix("Z")
        score = "" if row.score is None else f"{row.score:.2f}"
        label, phase = row.label or "", row.phase or ""
        yield f"{row.seq:>10}  {row.kind:8}  {captured:23}  {label:20}  {score:>5}  {phase}".rstrip()
