"""The tiles that a running teach-in keeps, in one file of fixed places, so that a killed station continues with them.

A place is written at once, head and pixels under one checksum: one that was cut off by a kill or a power cut is passed
over. The file has its full size from the start, so a disk that cannot hold it is known before the teach-in begins.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inspector.frame import Pixels
from inspector.teach.durable import give_away
from inspector.teach.reservoir import Kept

_HEAD = struct.Struct("<4sIIIdIH258s")
"""Mark, checksum of all that follows, frame, place across, key, length of a tile, length of the coil's name, name."""
_MARK = b"tile"
_CHECKED_FROM = 8
MAX_COIL_BYTES = 258


@dataclass(frozen=True, slots=True)
class KeptTile:
    """A tile that is kept, and the frame that it is from."""

    kept: Kept
    frame: int


class TileFile:
    """A file of `capacity` tiles of one size.

    Args:
        path: Made with its full size if it is not there.
        shape: Height and width of a tile.
        capacity: Places.

    Raises:
        OSError: The disk is full, or cannot be written.
    """

    def __init__(self, path: Path, shape: tuple[int, int], capacity: int) -> None:
        self._shape = shape
        self._path = path
        self._place_bytes = _HEAD.size + shape[0] * shape[1]
        self._capacity = capacity
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            give_away(path)
            os.posix_fallocate(self._fd, 0, capacity * self._place_bytes)
        except OSError as exc:
            os.close(self._fd)
            with contextlib.suppress(OSError):
                path.unlink()
            raise OSError(exc.errno, exc.strerror, str(path)) from exc

    def write(self, tile: KeptTile, pixels: Pixels) -> None:
        """Write a tile in its place.

        Raises:
            OSError: The disk refuses.
            ValueError: The tile is of another size.
        """
        if pixels.shape != self._shape:
            raise ValueError(f"a tile of {self._shape} is expected: {pixels.shape}")
        name = tile.kept.coil.encode(errors="surrogatepass")[:MAX_COIL_BYTES]
        data = pixels.tobytes()
        head = _HEAD.pack(_MARK, 0, tile.frame, tile.kept.place, tile.kept.key, len(data), len(name), name)
        checksum = zlib.crc32(data, zlib.crc32(head[_CHECKED_FROM:]))
        record = head[:4] + checksum.to_bytes(4, "little") + head[_CHECKED_FROM:] + data
        written = os.pwrite(self._fd, record, tile.kept.slot * self._place_bytes)
        if written != len(record):
            raise OSError(28, "no space left for a whole tile", str(self._path))

    def read(self) -> Iterator[tuple[KeptTile, Pixels]]:
        """Yield the tiles that are whole, by their places, and their pixels."""
        for slot in range(self._capacity):
            record = os.pread(self._fd, self._place_bytes, slot * self._place_bytes)
            if len(record) != self._place_bytes or record[:4] != _MARK:
                continue
            _, checksum, frame, place, key, size, length, name = _HEAD.unpack_from(record)
            if size != self._place_bytes - _HEAD.size or zlib.crc32(record[_CHECKED_FROM:]) != checksum:
                continue
            coil = name[:length].decode(errors="surrogatepass")
            pixels = np.frombuffer(record, np.uint8, offset=_HEAD.size).reshape(self._shape)
            yield KeptTile(Kept(slot, coil, place, key), frame), pixels

    def sync(self) -> None:
        """Make what was written durable."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the file; it stays."""
        os.close(self._fd)
