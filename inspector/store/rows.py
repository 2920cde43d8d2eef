"""Which rows a store holds, and how a whole one is told from a damaged one, table by table.

A row of the outbox carries a checksum over its number, topic and payload, a record one over its payload, a cursor one
over itself. Rows of a previous program have none; then the payload must at least be JSON.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from inspector.messages import MESSAGE_TYPES
from inspector.store.schema import COIL_COLUMNS, COLUMNS, COMMAND_COLUMNS, LEDGER_COLUMNS

Row = Sequence[Any]

RANKS = {"frame": 0, "minor": 1, "major": 2, "critical": 3, "coverage": 4}
"""Which waiting messages are given up first: frame messages, then by severity, reports of what is missing last."""

STORED_KINDS = frozenset({"defect", "frame", "alarm", "periodic", "coverage"})
"""Topics of the messages that are numbered and stored."""
SHIFT = 1 << 44
"""Numbers of messages that were saved from a broken store are lower by this: far from those that the new one gives."""
LIFE_VALUE = "_life"
"""End of the name of the value in which a sink keeps what its broker may have lost: whole numbers, by name."""
TRIED_VALUE = "_tried_again"
"""End of the name of the value in which a sink keeps when it last tried what was set aside."""
SINGLE_VALUES = frozenset(
    {"store_id", "seq", "epoch", "alive_ms", "track_state", "coil", "records_copied", "min_reader", "reported_coil"}
)
"""Names of the single values that a store keeps."""


def row_crc32(seq: int, topic: str | bytes, payload: bytes) -> int:
    """Return the checksum of a row of the outbox."""
    name = topic.encode() if isinstance(topic, str) else topic
    return zlib.crc32(payload, zlib.crc32(b"%d\0%b\0" % (seq, name)))


def cursor_crc32(sink: str, seq: int) -> int:
    """Return the checksum of a cursor."""
    return zlib.crc32(f"{sink}\0{seq}".encode())


def is_message(payload: Any) -> bool:
    """Say whether a payload can be a message at all."""
    try:
        return isinstance(payload, bytes) and isinstance(json.loads(payload), dict)
    except (ValueError, RecursionError):
        return False


def is_whole_outbox_row(row: Row) -> bool:
    """Say whether a row of the outbox is what was stored: seq, topic, payload, class, stored_ms, crc32."""
    seq, topic, payload, kind, stored_ms, crc32 = row[:6]
    if not (_all(int, seq, stored_ms) and topic in MESSAGE_TYPES and kind in ("frame", "event")):
        return False
    if not isinstance(payload, bytes):
        return False
    return is_message(payload) if crc32 is None else crc32 == row_crc32(seq, topic, payload)


def is_whole_record(row: Row) -> bool:
    """Say whether a record is what was stored; its columns are `schema.COLUMNS`."""
    key, seq, kind, captured_ms, _, _, _, _, _, _, payload, crc32 = row[:12]
    if not (_is_id(key) and _all(int, seq, captured_ms) and kind in STORED_KINDS):
        return False
    if payload is None:
        return bool(kind == "frame")
    if crc32 is None:
        return is_message(payload)
    return isinstance(payload, bytes) and zlib.crc32(payload) == crc32


def _is_whole_cursor(row: Row) -> bool:
    sink, seq, crc32 = row[:3]
    return isinstance(sink, str) and isinstance(seq, int) and crc32 == cursor_crc32(sink, seq)


def is_whole_value(row: Row) -> bool:
    """Say whether a single value, by its name, can be what was stored."""
    key, value = row[:2]
    if not isinstance(key, str):
        return False
    if key.endswith(LIFE_VALUE):
        return _is_life(value)
    if not (key in SINGLE_VALUES or key.startswith("obeyed_") or key.endswith(TRIED_VALUE)):
        return False
    if key in ("seq", "epoch", "alive_ms", "min_reader"):
        return isinstance(value, int) and 0 <= value < 1 << 53
    if not isinstance(value, str):
        return False
    if key == "store_id":
        return len(value) == 36
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        return key == "track_state"  # read, and refused, by the tracker
    if key == "coil":
        return _is_coil(parsed)
    return isinstance(parsed, dict if key == "track_state" or key.endswith(TRIED_VALUE) else list)


def _is_life(value: Any) -> bool:
    try:
        known = json.loads(value)
    except (ValueError, TypeError, RecursionError):
        return False
    return isinstance(known, dict) and all(isinstance(one, int) and abs(one) < 1 << 53 for one in known.values())


def _is_coil(parsed: Any) -> bool:
    if not isinstance(parsed, list) or len(parsed) != 2:
        return False
    coil_id, since_ms = parsed
    return (coil_id is None or isinstance(coil_id, str)) and isinstance(since_ms, int) and 0 <= since_ms < 1 << 53


def _is_id(value: Any) -> bool:
    return isinstance(value, bytes) and len(value) == 16


def _all(kind: type, *values: Any) -> bool:
    return all(isinstance(value, kind) for value in values)


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose rows can be saved.

    Attributes:
        name: Its name.
        columns: Its columns in their order.
        needed: How many of them a row of the first program has.
        rowid: Whether it has row numbers; the first column is the number then, if `numbered`.
        numbered: Whether the first column is the row's number.
        is_whole: Says whether a row is what was stored.
    """

    name: str
    columns: tuple[str, ...]
    needed: int
    is_whole: Callable[[Row], bool]
    rowid: bool = True
    numbered: bool = False


def _of_types(*kinds: type | None) -> Callable[[Row], bool]:
    """Return a check of types; None: any; a type or None: with `None` allowed in the table's last columns."""
    return lambda row: all(kind is None or isinstance(value, kind) for kind, value in zip(kinds, row, strict=False))


TABLES = (
    Table("meta", ("key", "value"), 2, is_whole_value, rowid=False),
    Table("outbox", ("seq", "topic", "payload", "class", "stored_ms", "crc32", "rank"), 5, is_whole_outbox_row,
        numbered=True,
   ),
    Table("cursors", ("sink", "seq", "crc32"), 3, _is_whole_cursor, rowid=False),
    Table(
        "ledger", ("source_key", "size_bytes", "mtime_ns", "outcome", "done_ms", *LEDGER_COLUMNS), 5,
        _of_types(str, int, int, str, int),
        rowid=False,
    ),
    Table("configurations", ("fingerprint", "kind", "first_ms", "text"), 4, _of_types(str, str, int, str), rowid=False),
    Table(
        "reviews", ("id", "defect_id", "reviewed_ms", "verdict", "label", "person", "note", "request_id"), 8,
        lambda row: _is_id(row[1]) and _all(int, row[0], row[2]) and isinstance(row[3], str), numbered=True,
    ),
    Table(
        "commands", ("id", "at_ms", "name", "subject", "payload", "until_ms", "ended_ms", *COMMAND_COLUMNS), 7,
        _of_types(int, int, str, str, str), numbered=True,
    ),
    Table(
        "coils", ("id", "coil_id", "began_ms", "ended_ms", "facts", *COIL_COLUMNS), 5,
        lambda row: _all(int, row[0], row[2]) and _all(str, row[1], row[4]), numbered=True,
    ),
    Table(
        "sections", ("id", "coil_id", "at_ms", "code", "at_m"), 5,
        lambda row: _all(int, row[0], row[2]) and _all(str, row[1], row[3]) and isinstance(row[4], float | int),
        numbered=True,
    ),
    Table(
        "set_aside",
        ("sink", "seq", "topic", "payload", "stored_ms", "at_ms", "tried_ms", "reason", "reported"), 9,
        lambda row: isinstance(row[0], str) and _all(int, row[1], *row[4:7], row[8]) and row[2] in MESSAGE_TYPES
        and is_message(row[3]) and isinstance(row[7], str),
    ),
    Table("records", COLUMNS, 11, is_whole_record),
)  # fmt: skip
"""The tables in the order in which they are saved: what delivery needs comes first, the largest last."""
