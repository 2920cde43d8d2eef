"""TIFF: one page whose strips or tiles all decode to their rows."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterable
from functools import partial
from itertools import repeat
from operator import add

import numpy as np
from PIL import Image, UnidentifiedImageError

from inspector.pictures.header import Header, Samples, unreadable, unsupported

Image.MAX_IMAGE_PIXELS = None  # the size was checked before
_LZW = 5
_TIFF_TYPE_BYTES = {1: 1, 3: 2, 4: 4}
_TIFF_STRIPS = (273, 278, 279, 317)
"""Strip offsets, rows per strip, strip byte counts, predictor."""
_TIFF_TILES = (317, 322, 323, 324, 325)
"""Predictor, tile width, height, offsets, byte counts."""


def parse_tiff(data: bytes) -> Header:
    """Return the header of a TIFF, after checking every strip or tile.

    Raises:
        Refusal: It is damaged, or of a kind that is not supported.
    """
    tags = _TiffTags(data)
    width, height = tags.number(256), tags.number(257)
    if not (width and height):
        raise unreadable(f"damaged TIFF: {width}x{height} pixels")
    bits, samples, photometric = set(tags.numbers(258, 1)), tags.number(277, 1), tags.number(262, -1)
    compression = tags.number(259, 1)
    if compression not in _TIFF_IS_WHOLE:
        raise unsupported(f"TIFF with compression {compression}")
    if set(tags.numbers(339, 1)) != {1} or bits not in ({8}, {16}):
        raise unsupported(f"TIFF that has no unsigned samples of 8 or 16 bits: {sorted(bits)} bits")
    if tags.number(284, 1) != 1 and samples > 1:
        raise unsupported("TIFF with planes one after the other")
    if tags.number(266, 1) != 1:
        raise unsupported("TIFF with its bits in reverse order")
    if (photometric, samples) not in ((0, 1), (1, 1), (2, 3), (2, 4), (3, 1)) or (photometric == 3 and bits != {8}):
        raise unsupported(f"TIFF that is neither grey, RGB nor palette: kind {photometric}, {samples} samples")
    palette = np.array(tags.numbers(320), np.uint32) if photometric == 3 else None
    if palette is not None and palette.size != 768:
        raise unreadable(f"damaged TIFF: a palette of 768 values is needed: {palette.size}")
    check = partial(_check_tiff_data, data, tags, width, height, samples * max(bits) // 8, compression)

    def finish(pixels: Samples) -> Samples:
        if palette is not None:
            colours: Samples = (palette.reshape(3, 256)[::-1].T >> 8).astype(np.uint8)
            return colours[pixels]
        return ~pixels if photometric == 0 else pixels

    def coded() -> bytes:
        # OpenCV would turn the picture by its orientation tag, multiply it with its alpha, and invert white-is-zero at
        # 8 bits only. Under a bare directory it does none of that.
        check()
        bare = tags.with_directory(
            {256: width, 257: height, 259: compression, 262: 1 if samples == 1 else 2, 277: samples, 284: 1},
            {258: [max(bits)] * samples} | ({338: [0]} if samples == 4 else {}),
            _TIFF_TILES if tags.has(324) else _TIFF_STRIPS,
        )
        if compression == _LZW:
            _demand_whole_lzw(bare)
        return bare

    pixel_bytes = (3 if palette is not None else samples) * max(bits) // 8
    return Header(width, height, pixel_bytes, coded, finish=finish)


def _check_tiff_data(data: bytes, tags: _TiffTags, width: int, height: int, pixel_bytes: int, compression: int) -> None:
    """Demand that every strip or tile is there whole: libtiff shows the missing part of 8-bit pictures as black."""
    sizes: Iterable[int]  # of the parts, raw; made one by one, as a header of a few bytes may announce millions
    if tags.has(324):
        across, down = tags.number(322), tags.number(323)
        if not (across and down):
            raise unreadable(f"damaged TIFF: tiles of {across}x{down}")
        parts = -(-width // across) * -(-height // down)
        offsets, counts, sizes = tags.numbers(324), tags.numbers(325), repeat(across * down * pixel_bytes, parts)
    else:
        rows = min(tags.number(278, height) or height, height)
        parts, row_bytes = -(-height // rows), width * pixel_bytes
        offsets, counts = tags.numbers(273), tags.numbers(279)
        sizes = (min(rows, height - top) * row_bytes for top in range(0, height, rows))
    if not len(offsets) == len(counts) == parts or 0 in offsets or 0 in counts:
        raise unreadable("truncated TIFF: its pixels were not all written")
    if (end := max(map(add, offsets, counts))) > len(data):
        raise unreadable(f"truncated TIFF: {end} bytes are needed: {len(data)}")
    is_whole = _TIFF_IS_WHOLE[compression]
    for offset, count, raw_size in zip(offsets, counts, sizes, strict=True):
        if not is_whole(data[offset : offset + count], raw_size):
            raise unreadable(f"truncated TIFF: its pixels end early in the part at byte {offset}")


def _is_whole_raw(part: bytes, raw_size: int) -> bool:
    return len(part) >= raw_size


def _may_be_whole_lzw(part: bytes, _raw_size: int) -> bool:
    return bool(part)  # what it yields is counted by `_demand_whole_lzw`, all parts at once


def _is_whole_deflate(part: bytes, raw_size: int) -> bool:
    # By what it yields: some writers leave out the checksum, others fill the last strip beyond the picture. A wrong
    # checksum, or bytes that follow where the checksum should be, are no such picture.
    stream = zlib.decompressobj()
    try:
        found = len(stream.decompress(part, raw_size + 1))
        if found <= raw_size:
            return found == raw_size and (stream.eof or not stream.unconsumed_tail)
        while not stream.eof and (more := len(stream.decompress(stream.unconsumed_tail, 1 << 16))):
            found += more
        return stream.eof
    except zlib.error:
        return False


def _demand_whole_lzw(coded: bytes) -> None:
    """Demand that every part yields its bytes: OpenCV shows the rows that libtiff could not decode as black.

    Pillow decodes it a second time for that, because it passes libtiff's errors on. It knows no 16-bit colour, which
    OpenCV itself is strict about.
    """
    try:
        with Image.open(io.BytesIO(coded), formats=["TIFF"]) as picture:
            picture.load()
    except UnidentifiedImageError:
        return
    except (OSError, ValueError, SyntaxError) as exc:
        raise unreadable(f"truncated TIFF: its pixels end early: {exc}") from exc


def _is_whole_packbits(part: bytes, raw_size: int) -> bool:
    at = found = 0
    while at < len(part) and found < raw_size:
        head = part[at]
        if head < 128:
            at += head + 2
            found += head + 1
        else:
            at += 2 if head > 128 else 1
            found += 257 - head if head > 128 else 0
    return found >= raw_size and at <= len(part)


_TIFF_IS_WHOLE: dict[int, Callable[[bytes, int], bool]] = {
    1: _is_whole_raw,
    _LZW: _may_be_whole_lzw,
    8: _is_whole_deflate,
    32946: _is_whole_deflate,
    32773: _is_whole_packbits,
}
"""By compression."""


class _TiffTags:
    """The one directory of a TIFF; numbers only, as that is all a picture needs."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._order = "<" if data.startswith(b"II") else ">"
        if len(data) < 8:
            raise unreadable(f"truncated TIFF: {len(data)} bytes")
        start = self._unpack("I", 4)[0]
        entries = self._unpack("H", start)[0] if start else 0
        if not entries:
            raise unreadable("truncated TIFF: it has no directory")
        self._entries: dict[int, bytes] = {}
        for number in range(entries):
            at = start + 2 + 12 * number
            self._entries[self._unpack("H", at)[0]] = data[at : at + 12]
        if self._unpack("I", start + 2 + 12 * entries)[0]:
            raise unsupported("TIFF with several pages")

    def _unpack(self, form: str, at: int) -> tuple[int, ...]:
        try:
            return struct.unpack_from(self._order + form, self._data, at)
        except struct.error as exc:
            raise unreadable("truncated TIFF: it ends within its directory") from exc

    def has(self, tag: int) -> bool:
        return tag in self._entries

    def number(self, tag: int, default: int = 0) -> int:
        return self.numbers(tag, default)[0]

    def numbers(self, tag: int, default: int = 0) -> tuple[int, ...]:
        if tag not in self._entries:
            return (default,)
        _, form, count = struct.unpack(self._order + "HHI", self._entries[tag][:8])
        if form not in _TIFF_TYPE_BYTES or not count:
            raise unreadable(f"damaged TIFF: tag {tag} of type {form}")
        letters = f"{count}{ {1: 'B', 3: 'H', 4: 'I'}[form] }"
        if count * _TIFF_TYPE_BYTES[form] <= 4:
            return struct.unpack_from(self._order + letters, self._entries[tag], 8)
        if count > len(self._data):
            raise unreadable(f"damaged TIFF: tag {tag} with {count} values")
        return self._unpack(letters, struct.unpack(self._order + "I", self._entries[tag][8:])[0])

    def with_directory(self, single: dict[int, int], several: dict[int, list[int]], copied: tuple[int, ...]) -> bytes:
        """Return the file under another directory, put at its end: new numbers, and copies of some entries."""
        data = self._data
        extra = b""
        end = len(data) + len(data) % 2
        entries = {tag: self._entries[tag] for tag in copied if tag in self._entries}
        for tag, value in single.items():
            entries[tag] = struct.pack(self._order + "HHII", tag, 4, 1, value)
        for tag, values in several.items():
            body = struct.pack(f"{self._order}{len(values)}H", *values)
            if len(body) > 4:
                where, body = end + len(extra), body + b"\0" * (len(body) % 2)
                extra += body
                body = struct.pack(self._order + "I", where)
            entries[tag] = struct.pack(self._order + "HHI", tag, 3, len(values)) + body.ljust(4, b"\0")
        directory = struct.pack(self._order + "H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries))
        start = struct.pack(self._order + "I", end + len(extra))
        pad = b"\0" * (end - len(data))
        return b"".join((data[:4], start, memoryview(data)[8:], pad, extra, directory, b"\0\0\0\0"))
