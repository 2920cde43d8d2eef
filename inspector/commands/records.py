"""What a station has stored, by number: also while it runs, and where no database program is installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inspector.clock import to_rfc3339
from inspector.errors import ConfigError, StoreError
from inspector.settings.loading import load_settings
from inspector.settings.places import state_folder
from inspector.store.database import DATABASE
from inspector.store.read_only import StoredRow, StoreReader

NEWEST = 50
"""Shown without a range."""
LATEST_MS = 1 << 53
_IN_COLUMNS = {"command", "at", "until", "person", "request_id", "hours"}


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


def _open(config: Path) -> StoreReader:
    file = state_folder(load_settings(config).settings, unit_file=config) / DATABASE
    if not file.is_file():
        raise StoreError(f"there is no store yet, or this user may not see it: {file}")
    return StoreReader(file, "records")


def stored_actions(config: Path, coil_id: str | None) -> list[dict[str, Any]]:
    """Return what people did, the oldest first: while a coil ran, or the newest `NEWEST`.

    Args:
        config: The station's configuration.
        coil_id: The last coil of this name; None: any.

    Raises:
        ConfigError: There was no such coil.
        StoreError: The station has stored nothing yet.
        StoreBusyError: The store cannot be read now.
    """
    with closing(_open(config)) as reader:
        period = (0, None) if coil_id is None else reader.coil_period(coil_id)
        if period is None:
            raise ConfigError(f"--coil: no such coil is kept: {coil_id!r}")
        began_ms, ended_ms = period
        newest = NEWEST if coil_id is None else 100_000
        actions = reader.actions(began_ms, LATEST_MS if ended_ms is None else ended_ms, newest)
    return [
        {"command": one.name, "at": _moment(one.at_ms), "until": one.until_ms and _moment(one.until_ms), **one.asked}
        for one in actions
    ]


def actions_as_table(actions: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each thing that people did."""
    yield f"{'at, UTC':23}  {'command':8}  {'until, UTC':23}  {'person':12}  what"
    for one in actions:
        what = " ".join(f"{key}={one[key]}" for key in sorted(set(one) - _IN_COLUMNS) if one[key] not in (None, False))
        yield (f"{one['at'].removesuffix('Z'):23}  {one['command']:8}  {(one['until'] or '').removesuffix('Z'):23}"
               f"  {one['person'] or '':12}  {what}").rstrip()  # fmt: skip


def _moment(ms: int) -> str:
    return to_rfc3339(datetime.fromtimestamp(ms / 1000, tz=UTC))


def stored_rows(config: Path, numbers: tuple[int, int] | None) -> list[StoredRow]:
    """Return what is stored under these numbers, or the newest rows, in the order of their numbers.

    Args:
        config: The station's configuration.
        numbers: First and last `seq`; None: the newest `NEWEST`.

    Raises:
        StoreError: The station has stored nothing yet.
        StoreBusyError: The store cannot be read now.
    """
    with closing(_open(config)) as reader:
        return reader.rows(numbers, NEWEST)


def as_table(rows: Sequence[StoredRow]) -> Iterator[str]:
    """Yield a line for each row; of a frame the phase is its verdict, of a gap the label is its cause."""
    yield f"{'seq':>10}  {'kind':8}  {'captured, UTC':23}  {'label':20}  {'score':>5}  phase"
    for row in rows:
        captured = to_rfc3339(datetime.fromtimestamp(row.captured_ms / 1000, tz=UTC)).removesuffix("Z")
        score = "" if row.score is None else f"{row.score:.2f}"
        label, phase = row.label or "", row.phase or ""
        yield f"{row.seq:>10}  {row.kind:8}  {captured:23}  {label:20}  {score:>5}  {phase}".rstrip()
