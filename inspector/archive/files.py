"""Where an archive lies: a local path, NFS, or an address of PyArrow's file systems as s3://BUCKET/KEY.

A file is whole or not there: local ones are written under another name and renamed, an object store does so by itself.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from inspector.archive.tables import SCHEMA, TABLES
from inspector.errors import SourceError
from inspector.pictures.files import PICTURE_SUFFIXES
from inspector.years.files import import_arrow, schema_of


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """A picture of an archive.

    Attributes:
        path: As it was given, with what lies below it.
        key: Below the path that was given, as a watched folder would name it.
        size_bytes: Its length.
        mtime_ns: When it was written.
    """

    path: str
    key: str
    size_bytes: int
    mtime_ns: int


class Place:
    """A folder or file on some file system.

    Args:
        address: A path, or the address of an object store.

    Raises:
        ConfigError: PyArrow is not installed.
        SourceError: No such file system.
    """

    def __init__(self, address: str) -> None:
        import_arrow()
        from pyarrow import fs

        self.address = address.rstrip("/") or "/"
        self.local = "://" not in address
        try:
            if self.local:
                self._files, self._root = fs.LocalFileSystem(), os.path.abspath(self.address)  # noqa: PTH100
            else:
                self._files, self._root = fs.FileSystem.from_uri(self.address)
        except (OSError, ValueError) as exc:
            raise SourceError(f"{address}: {exc}") from exc
        self._kinds = fs.FileType
        self._selector = fs.FileSelector

    def pictures(self) -> Iterator[ArchivedFile]:
        """Yield the pictures in and below it, or itself.

        Raises:
            SourceError: It is not there, or cannot be listed.
        """
        try:
            (found,) = self._files.get_file_info([self._root])
            if found.type == self._kinds.File:
                yield ArchivedFile(self.address, PurePosixPath(self._root).name, found.size, found.mtime_ns)
                return
            if found.type == self._kinds.NotFound:
                raise SourceError(f"nothing to inspect: no such file, folder or bucket: {self.address}")
            listed = self._files.get_file_info(self._selector(self._root, recursive=True))
        except OSError as exc:
            raise SourceError(f"{self.address}: cannot be read: {exc}") from exc
        for one in sorted(listed, key=lambda info: str(info.path)):
            if one.type == self._kinds.File and PurePosixPath(one.path).suffix.lower() in PICTURE_SUFFIXES:
                key = str(one.path)[len(self._root) :].lstrip("/")
                yield ArchivedFile(f"{self.address}/{key}", key, one.size, one.mtime_ns)

    def strips(self) -> Iterator[ArchivedFile]:
        """Yield itself, a video or a file of lines, which is inspected as a whole in its order.

        Raises:
            SourceError: It is not there, or not on this machine's file systems.
        """
        path = Path(self._root)
        if not self.local or not path.is_file():
            raise SourceError(f"nothing to inspect: a video or a file of lines must be a local file: {self.address}")
        found = path.stat()
        yield ArchivedFile(str(path), path.name, found.st_size, found.st_mtime_ns)

    def read(self, name: str = "", most_bytes: int | None = None) -> bytes:
        """Return the bytes of a file below it, or of itself.

        Raises:
            OSError: It cannot be read.
        """
        with self._files.open_input_stream(self._at(name)) as file:
            return bytes(file.read() if most_bytes is None else file.read(most_bytes))

    def write(self, name: str, data: bytes) -> None:
        """Write a file below it, whole or not at all.

        Raises:
            OSError: It cannot be written.
        """
        target = self._at(name)
        if self.local:
            path = Path(target)
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
            try:
                with partial.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
            return
        with self._files.open_output_stream(target) as stream:
            stream.write(data)

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in a folder below it; none where it is not there.

        Raises:
            OSError: It cannot be listed.
        """
        selector = self._selector(self._at(folder), recursive=False, allow_not_found=True)
        return [PurePosixPath(one.path).name for one in self._files.get_file_info(selector) if one.is_file]

    def holds(self, name: str) -> bool:
        """Whether this file is there."""
        return bool(self._files.get_file_info([self._at(name)])[0].is_file)

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}" if name else str(self._root)


def parquet_bytes(table: str, rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return rows as a Parquet file of the table's schema."""
    pa = import_arrow()
    sink = io.BytesIO()
    schema = schema_of(TABLES[table], SCHEMA)
    pa.parquet.write_table(pa.Table.from_pylist(list(rows), schema), sink, compression="zstd")
    return sink.getvalue()


def to_json(value: Mapping[str, Any]) -> bytes:
    """Return a small file of JSON."""
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()
