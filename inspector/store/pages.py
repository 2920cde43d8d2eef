"""Reads rows out of the pages of a broken SQLite file and its log, without SQLite and without its tree.

A page of rows describes itself, so a row can be read although the way to it is gone: header, schema, root, or the rest
of the file. What a row belongs to is decided by its shape. Format: https://www.sqlite.org/fileformat2.html
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAGE_BYTES = 4096
"""Size of the pages that SQLite makes; taken if the header does not say it."""
_MAX_ROW_BYTES = 16 << 20
_WAL_HEADER, _FRAME_HEADER = 32, 24
_TABLE_LEAF, _INDEX_LEAF, _INDEX_INNER = 0x0D, 0x0A, 0x02


@dataclass(frozen=True, slots=True)
class FoundRow:
    """A row that was found in a page.

    Attributes:
        rowid: Its number; None: of a table without numbers, or of an index.
        values: Its columns, text as str.
    """

    rowid: int | None
    values: tuple[Any, ...]


class PageFile:
    """The pages of a database: the newest state of each, then everything older.

    Args:
        path: The file; its log, `path`-wal, is read as well.
    """

    def __init__(self, path: Path) -> None:
        log = path.with_name(path.name + "-wal")
        self._main = path.open("rb") if path.is_file() else None
        self._log = log.open("rb") if log.is_file() else None
        self._size = self._page_size()
        self._pages = path.stat().st_size // self._size if self._main is not None else 0
        self._frames = 0
        self._newest: dict[int, int] = {}
        if self._log is not None:
            self._frames = max(0, log.stat().st_size - _WAL_HEADER) // (self._size + _FRAME_HEADER)
            for number in range(self._frames):
                self._newest[self._frame_page(number)] = number

    def close(self) -> None:
        """Close the files."""
        if self._main is not None:
            self._main.close()
        if self._log is not None:
            self._log.close()

    def rows(self) -> Iterator[FoundRow]:
        """Yield all rows that can be read, the newest state of each page first; rows may come several times."""
        for number in reversed(range(self._frames)):
            yield from self._rows_of(self._frame(number), 0)
        for number in range(1, self._pages + 1):
            yield from self._rows_of(self._read(number), 100 if number == 1 else 0)

    def _page_size(self) -> int:
        given = []
        if self._main is not None:
            size = int.from_bytes(self._main.read(18)[16:18], "big")
            given.append(65536 if size == 1 else size)
        if self._log is not None:
            given.append(int.from_bytes(self._log.read(12)[8:12], "big"))
        return next((size for size in given if 512 <= size <= 65536 and size & (size - 1) == 0), PAGE_BYTES)

    def _frame_page(self, number: int) -> int:
        assert self._log is not None  # noqa: S101 - there are frames only in a log
        self._log.seek(_WAL_HEADER + number * (self._size + _FRAME_HEADER))
        return int.from_bytes(self._log.read(4), "big")

    def _frame(self, number: int) -> bytes:
        assert self._log is not None  # noqa: S101 - there are frames only in a log
        self._log.seek(_WAL_HEADER + number * (self._size + _FRAME_HEADER) + _FRAME_HEADER)
        return self._log.read(self._size)

    def _read(self, page: int) -> bytes:
        if self._main is None:
            return b""
        self._main.seek((page - 1) * self._size)
        return self._main.read(self._size)

    def _newest_of(self, page: int) -> bytes:
        return self._frame(self._newest[page]) if page in self._newest else self._read(page)

    def _rows_of(self, page: bytes, start: int) -> Iterator[FoundRow]:
        if len(page) < self._size or page[start] not in (_TABLE_LEAF, _INDEX_LEAF, _INDEX_INNER):
            return
        kind = page[start]
        cells = int.from_bytes(page[start + 3 : start + 5], "big")
        first = start + (12 if kind == _INDEX_INNER else 8)
        for at in range(first, min(first + 2 * cells, self._size - 1), 2):
            try:
                row = self._row_at(page, int.from_bytes(page[at : at + 2], "big"), kind)
            except (IndexError, ValueError, struct.error, OverflowError):
                continue  # a damaged cell
            if row is not None:
                yield row

    def _row_at(self, page: bytes, at: int, kind: int) -> FoundRow | None:
        if kind == _INDEX_INNER:
            at += 4
        length, at = _varint(page, at)
        rowid = None
        if kind == _TABLE_LEAF:
            rowid, at = _varint(page, at)
            rowid = rowid - (1 << 64) if rowid >= 1 << 63 else rowid
        if not 2 <= length <= _MAX_ROW_BYTES:
            return None
        return FoundRow(rowid, _columns(self._payload(page, at, length, kind)))

    def _payload(self, page: bytes, at: int, length: int, kind: int) -> bytes:
        most = self._size - 35 if kind == _TABLE_LEAF else (self._size - 12) * 64 // 255 - 23
        if length <= most:
            return page[at : at + length]
        least = (self._size - 12) * 32 // 255 - 23
        here = least + (length - least) % (self._size - 4)
        here = here if here <= most else least
        parts, rest = [page[at : at + here]], length - here
        following = int.from_bytes(page[at + here : at + here + 4], "big")
        while rest > 0 and following:
            more = self._newest_of(following)
            if len(more) < self._size:
                raise ValueError("a row continues beyond the end of the file")
            parts.append(more[4 : 4 + min(rest, self._size - 4)])
            rest -= self._size - 4
            following = int.from_bytes(more[:4], "big")
        return b"".join(parts)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for number in range(9):
        byte = data[at + number]
        if number == 8:
            return (value << 8) | byte, at + 9
        value = (value << 7) | (byte & 0x7F)
        if byte < 0x80:
            return value, at + number + 1
    raise ValueError("no number")


def _columns(record: bytes) -> tuple[Any, ...]:
    head, at = _varint(record, 0)
    kinds = []
    while at < head:
        kind, at = _varint(record, at)
        kinds.append(kind)
    values = []
    for kind in kinds:
        value, at = _value(record, at, kind)
        values.append(value)
    return tuple(values)


_WHOLE_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


def _value(record: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind in _WHOLE_BYTES:
        end = at + _WHOLE_BYTES[kind]
        return int.from_bytes(_part(record, at, end), "big", signed=True), end
    if kind == 0:
        return None, at
    if kind == 7:
        return struct.unpack(">d", _part(record, at, at + 8))[0], at + 8
    if kind in (8, 9):
        return kind - 8, at
    if kind < 12:
        raise ValueError("a kind of value that files do not hold")
    end = at + (kind - 12) // 2
    data = _part(record, at, end)
    return (data if kind % 2 == 0 else data.decode()), end


def _part(record: bytes, at: int, end: int) -> bytes:
    if end > len(record):
        raise ValueError("a row that is cut off")
    return record[at:end]
