"""Bytes of a picture file to `Pixels`: JPEG, PNG, BMP and TIFF stills, 8 and 16 bit, grey and colour.

The first bytes decide the type, never the file name. Size and kind are read from the header, and the file is checked to
be whole, before anything is decoded: OpenCV turns some half-written files into a full picture with a grey or black
part. EXIF and TIFF orientation are ignored, so boxes are in the pixels that the file holds. Alpha is dropped, palettes
are applied, 16 bits become 8 by a fixed rule, never by the picture's own minimum and maximum.

What is not found: a whole file in which bytes differ. 295 of 300 one-byte flips of a JPEG decode to another picture
without a word; only PNG and deflated TIFF carry checksums.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import repeat
from operator import add
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from inspector.errors import PictureError
from inspector.frame import Cause, Pixels

Samples = npt.NDArray[Any]

MAX_JPEG_SCANS = 200
"""More progressive scans than any encoder writes: each costs a pass over the whole picture."""

# What OpenCV would write to stderr is in the PictureError; libjpeg's own line on a damaged picture cannot be silenced.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def decode_picture(data: bytes, *, name: str, max_px: int, full_scale: int | None = None) -> Pixels:
    """Decode one still picture.

    Args:
        data: The whole file.
        name: What to call it in errors.
        max_px: Most pixels (width times height) that are decoded.
        full_scale: Value that is white in 16-bit pictures; None takes the upper 8 bits.

    Returns:
        (H, W) grey or (H, W, 3) BGR, uint8, the caller's own and contiguous.

    Raises:
        PictureError: `unsupported`, `too_large` or `unreadable`; the text begins with `name`.
    """
    try:
        kind = _recognise(data)
        header = kind.parse(data)
        if header.width_px * header.height_px > max_px:
            size = f"{header.width_px}x{header.height_px} = {header.width_px * header.height_px}"
            raise _Refusal(Cause.TOO_LARGE, f"{kind.name} has more than {max_px} pixels: {size}")
        pixels = _decode_whole(header, kind.name)
    except _Refusal as refusal:
        raise PictureError(f"{name}: {refusal}", refusal.cause) from refusal.__cause__
    return np.ascontiguousarray(_to_8_bit(pixels, full_scale))


def read_picture_file(path: Path, max_bytes: int, *, name: str | None = None) -> bytes:
    """Read a regular file whole, links followed, without ever waiting on a FIFO or touching a device.

    Args:
        path: The file.
        max_bytes: Larger files are refused.
        name: What to call it in errors; None takes the path.

    Raises:
        PictureError: `unreadable`, `unsupported` (not a regular file) or `too_large`; where the operating system
            refused, its `OSError` is the `__cause__`.
    """
    name = name or str(path)
    try:
        _demand_regular(name, path.stat())  # before opening: to open a device can be an action
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            _demand_regular(name, found)
            size = found.st_size
            data = file.read(max_bytes + 1) if size <= max_bytes else b""
    except OSError as exc:
        raise PictureError(f"{name}: cannot be read: {exc.strerror}", Cause.UNREADABLE) from exc
    size = max(size, len(data))
    if size > max_bytes:
        raise PictureError(f"{name}: larger than {max_bytes} bytes: {size}", Cause.TOO_LARGE)
    return data


def _demand_regular(name: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}.get(
            stat.S_IFMT(found.st_mode), "a device"
        )
        raise PictureError(f"{name}: not a regular file: {kind}", Cause.UNSUPPORTED)


class _Refusal(Exception):  # noqa: N818 - becomes a PictureError as soon as the file's name is known
    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


def _unreadable(message: str) -> _Refusal:
    return _Refusal(Cause.UNREADABLE, message)


def _unsupported(message: str) -> _Refusal:
    return _Refusal(Cause.UNSUPPORTED, message)


@dataclass(frozen=True, slots=True)
class _Header:
    """What a header promises.

    Attributes:
        coded: What OpenCV is given: the file, or the same pixels under a header that it reads faithfully.
        grey: The first channel says it all (grey with alpha).
        finish: What is left to do with the decoded array.
    """

    width_px: int
    height_px: int
    coded: Callable[[], bytes]
    grey: bool = False
    finish: Callable[[Samples], Samples] | None = None


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    magic: tuple[bytes, ...]
    parse: Callable[[bytes], _Header]


def _recognise(data: bytes) -> _Kind:
    if not data:
        raise _unreadable("empty: 0 bytes")
    for kind in _KINDS:
        if data.startswith(kind.magic):
            return kind
        if any(magic.startswith(data) for magic in kind.magic):
            raise _unreadable(f"ends within the first bytes of a {kind.name}: {len(data)} bytes")
    if not any(data[:64]):
        raise _unreadable("begins with zeros: never written")
    for magic, other in _FOREIGN:
        if data.startswith(magic):
            raise _unsupported(f"not a JPEG, PNG, BMP or TIFF: {other}")
    raise _unsupported(f"not a JPEG, PNG, BMP or TIFF: begins with {data[:8].hex(' ')}")


_FOREIGN = (
    (b"GIF8", "GIF"),
    (b"RIFF", "WebP or AVI"),
    (b"II+\0", "BigTIFF"),
    (b"MM\0+", "BigTIFF"),
    (b"\0\0\0\x0cjP", "JPEG 2000"),
    (b"%PDF", "PDF"),
)


def _decode_whole(header: _Header, kind: str) -> Samples:
    try:
        pixels = cv2.imdecode(np.frombuffer(header.coded(), np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as exc:
        raise _unreadable(f"damaged {kind}: {exc.err}") from exc
    if pixels is None:
        raise _unreadable(f"damaged {kind}: it cannot be decoded")
    if pixels.shape[:2] != (header.height_px, header.width_px):
        raise _unreadable(f"damaged {kind}: {header.width_px}x{header.height_px} was announced: {pixels.shape}")
    if header.finish:
        pixels = header.finish(pixels)
    if pixels.ndim == 3:
        pixels = pixels[:, :, 0] if header.grey else pixels[:, :, :3]
    if pixels.ndim == 3 and pixels.shape[2] < 3:
        raise _unsupported(f"{kind} with {pixels.shape[2]} channels")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise _unsupported(f"{kind} with samples of type {pixels.dtype}")
    return pixels


def _to_8_bit(pixels: Samples, full_scale: int | None) -> Pixels:
    return pixels if pixels.dtype == np.uint8 else _grey_of_16_bit(full_scale)[pixels]


@lru_cache(maxsize=4)
def _grey_of_16_bit(full_scale: int | None) -> Pixels:
    values = np.arange(1 << 16, dtype=np.uint32)
    if full_scale is None:
        return (values >> 8).astype(np.uint8)
    return np.minimum((values * 255 + full_scale // 2) // full_scale, 255).astype(np.uint8)


# JPEG ----------------------------------------------------------------------------------------------------------------

_JPEG_NO_MARKER = frozenset((0x00, 0xFF, *range(0xD0, 0xD8)))
"""After 0xFF: a byte of pixels that is 0xFF itself, fill, restarts within a scan."""
_JPEG_PADDING = b"\xff\x00" * 8
"""Coded bytes of ones, which no code word is: enough for libjpeg to look ahead, too few to draw anything."""


def _parse_jpeg(data: bytes) -> _Header:
    width = height = components = scans = 0
    sequential = False
    first_scan_components = 0
    at = 2
    while True:
        marker, at = _next_jpeg_marker(data, at)
        if marker == 0xD9:
            break
        if marker == 0x01:
            continue
        if marker == 0xD8:
            raise _unreadable("damaged JPEG: a picture begins inside the picture")
        if at + 2 > len(data) or (length := int.from_bytes(data[at : at + 2])) < 2 or at + length > len(data):
            raise _unreadable("truncated JPEG: it ends within its header")
        body = data[at + 2 : at + length]
        at += length
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if components:
                raise _unsupported("JPEG with several frames")
            width, height, components = _parse_jpeg_frame(marker, body)
            sequential = marker != 0xC2
        elif marker == 0xE2 and body.startswith(b"MPF\0"):
            raise _unsupported("JPEG with several pictures (MPO)")
        elif marker == 0xDA:
            scans += 1
            first_scan_components = first_scan_components or (body[0] if body else 0)
            if scans > MAX_JPEG_SCANS:
                raise _unsupported(f"JPEG with more than {MAX_JPEG_SCANS} scans")
    if not (components and scans):
        raise _unreadable("damaged JPEG: it holds no picture")
    if data[at : at + 3] == b"\xff\xd8\xff":
        raise _unsupported("several JPEG in one file")
    whole = slice(0, at)
    if sequential and first_scan_components == components:
        # Without its end marker libjpeg waits for more data where it would have filled the rest with grey: a picture
        # that was cut short and got its end marker later is refused.
        return _Header(width, height, lambda: data[: at - 2] + _JPEG_PADDING)
    return _Header(width, height, lambda: data[whole])


def _next_jpeg_marker(data: bytes, at: int) -> tuple[int, int]:
    while at := data.find(b"\xff", at) + 1:
        if at < len(data) and data[at] not in _JPEG_NO_MARKER:
            return data[at], at + 1
    raise _unreadable("truncated JPEG: it has no end marker")


def _parse_jpeg_frame(marker: int, body: bytes) -> tuple[int, int, int]:
    if marker not in (0xC0, 0xC1, 0xC2):
        raise _unsupported(f"JPEG that is neither baseline nor progressive: frame type {marker - 0xC0}")
    if len(body) < 6:
        raise _unreadable("damaged JPEG: short frame header")
    depth, height, width, components = struct.unpack_from(">BHHB", body)
    if depth != 8:
        raise _unsupported(f"JPEG with samples of {depth} bits")
    if components not in (1, 3):
        raise _unsupported(f"JPEG that is neither grey nor colour (CMYK?): {components} components")
    if not (width and height):
        raise _unreadable(f"damaged JPEG: {width}x{height} pixels")
    return width, height, components


# PNG -----------------------------------------------------------------------------------------------------------------


def _parse_png(data: bytes) -> _Header:
    header: _Header | None = None
    for name, body in _png_chunks(data):
        if name == b"IHDR" and len(body) == 13:
            width, height, _, colour = struct.unpack_from(">IIBB", body)
            if not (width and height):
                raise _unreadable(f"damaged PNG: {width}x{height} pixels")
            header = _Header(width, height, lambda: data, grey=colour in (0, 4))
        elif name == b"acTL":
            raise _unsupported("animated PNG")
    if header is None:
        raise _unreadable("damaged PNG: it holds no picture")
    return header


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    view = memoryview(data)
    at, name = 8, b""
    while name != b"IEND":
        if at + 12 > len(data):
            raise _unreadable("truncated PNG: it has no end chunk")
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise _unreadable(f"truncated PNG: it ends within a chunk {name!r}")
        if zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(view[end - 4 : end]):
            raise _unreadable(f"damaged PNG: wrong checksum of a chunk {name!r}")
        yield name, bytes(view[at + 8 : min(end - 4, at + 8 + 13)])
        at = end


# BMP -----------------------------------------------------------------------------------------------------------------


def _parse_bmp(data: bytes) -> _Header:
    if len(data) < 54:
        raise _unreadable(f"truncated BMP: {len(data)} bytes")
    offset, header_size, width, height, _, bits, compression = struct.unpack_from("<IIiiHHI", data, 10)
    colours = struct.unpack_from("<I", data, 46)[0]
    if header_size < 40:
        raise _unsupported(f"BMP with a header of {header_size} bytes")
    if width <= 0 or height == 0:
        raise _unreadable(f"damaged BMP: {width}x{height} pixels")
    if compression == 3:
        masks = struct.unpack_from("<III", data, 54) if len(data) >= 66 else ()
        if (bits, masks) not in (
            (32, (0xFF0000, 0xFF00, 0xFF)),
            (16, (0xF800, 0x7E0, 0x1F)),
            (16, (0x7C00, 0x3E0, 0x1F)),
        ):
            raise _unsupported(f"BMP with unusual bit fields: {bits} bits")
    elif compression:
        raise _unsupported(
            f"BMP with compression {compression}"
        )  # OpenCV fills up a run-length picture that ends early
    if bits not in (1, 4, 8, 16, 24, 32):
        raise _unsupported(f"BMP with {bits} bits a pixel")
    palette_size = 4 * (colours or 1 << bits) if bits <= 8 else 0
    rows = abs(height)
    end = offset + (width * bits + 31) // 32 * 4 * rows
    if offset < 14 + header_size + palette_size:
        raise _unreadable(f"damaged BMP: its pixels begin within its header: {offset}")
    if end > len(data):
        raise _unreadable(f"truncated BMP: {end} bytes are needed: {len(data)}")
    return _Header(width, rows, lambda: data)


# TIFF ----------------------------------------------------------------------------------------------------------------

_TIFF_TYPE_BYTES = {1: 1, 3: 2, 4: 4}
_TIFF_STRIPS = (273, 278, 279, 317)
"""Strip offsets, rows per strip, strip byte counts, predictor."""
_TIFF_TILES = (317, 322, 323, 324, 325)
"""Predictor, tile width, height, offsets, byte counts."""


def _parse_tiff(data: bytes) -> _Header:
    tags = _TiffTags(data)
    width, height = tags.number(256), tags.number(257)
    if not (width and height):
        raise _unreadable(f"damaged TIFF: {width}x{height} pixels")
    bits, samples, photometric = set(tags.numbers(258, 1)), tags.number(277, 1), tags.number(262, -1)
    compression = tags.number(259, 1)
    if compression not in _TIFF_IS_WHOLE:
        raise _unsupported(f"TIFF with compression {compression}")
    if set(tags.numbers(339, 1)) != {1} or bits not in ({8}, {16}):
        raise _unsupported(f"TIFF that has no unsigned samples of 8 or 16 bits: {sorted(bits)} bits")
    if tags.number(284, 1) != 1 and samples > 1:
        raise _unsupported("TIFF with planes one after the other")
    if tags.number(266, 1) != 1:
        raise _unsupported("TIFF with its bits in reverse order")
    if (photometric, samples) not in ((0, 1), (1, 1), (2, 3), (2, 4), (3, 1)) or (photometric == 3 and bits != {8}):
        raise _unsupported(f"TIFF that is neither grey, RGB nor palette: kind {photometric}, {samples} samples")
    palette = np.array(tags.numbers(320), np.uint32) if photometric == 3 else None
    if palette is not None and palette.size != 768:
        raise _unreadable(f"damaged TIFF: a palette of 768 values is needed: {palette.size}")
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
        return tags.with_directory(
            {256: width, 257: height, 259: compression, 262: 1 if samples == 1 else 2, 277: samples, 284: 1},
            {258: [max(bits)] * samples} | ({338: [0]} if samples == 4 else {}),
            _TIFF_TILES if tags.has(324) else _TIFF_STRIPS,
        )

    return _Header(width, height, coded, finish=finish)


def _check_tiff_data(data: bytes, tags: _TiffTags, width: int, height: int, pixel_bytes: int, compression: int) -> None:
    """Demand that every strip or tile is there whole: libtiff shows the missing part of 8-bit pictures as black."""
    sizes: Iterable[int]  # of the parts, raw; made one by one, as a header of a few bytes may announce millions
    if tags.has(324):
        across, down = tags.number(322), tags.number(323)
        if not (across and down):
            raise _unreadable(f"damaged TIFF: tiles of {across}x{down}")
        parts = -(-width // across) * -(-height // down)
        offsets, counts, sizes = tags.numbers(324), tags.numbers(325), repeat(across * down * pixel_bytes, parts)
    else:
        rows = min(tags.number(278, height) or height, height)
        parts, row_bytes = -(-height // rows), width * pixel_bytes
        offsets, counts = tags.numbers(273), tags.numbers(279)
        sizes = (min(rows, height - top) * row_bytes for top in range(0, height, rows))
    if not len(offsets) == len(counts) == parts or 0 in offsets or 0 in counts:
        raise _unreadable("truncated TIFF: its pixels were not all written")
    if (end := max(map(add, offsets, counts))) > len(data):
        raise _unreadable(f"truncated TIFF: {end} bytes are needed: {len(data)}")
    is_whole = _TIFF_IS_WHOLE[compression]
    for offset, count, raw_size in zip(offsets, counts, sizes, strict=True):
        if not is_whole(data[offset : offset + count], raw_size):
            raise _unreadable(f"truncated TIFF: its pixels end early in the part at byte {offset}")


def _is_whole_raw(part: bytes, raw_size: int) -> bool:
    return len(part) >= raw_size


def _is_whole_lzw(part: bytes, _raw_size: int) -> bool:
    # It ends with the code 257 in 9 to 12 bits, and zeros up to a whole byte or word.
    tail = int.from_bytes(part[-5:])
    lowest_bit = tail & -tail
    return 0 < lowest_bit < 1 << 16 and tail // lowest_bit & 0x1FF == 257


def _is_whole_deflate(part: bytes, raw_size: int) -> bool:
    stream = zlib.decompressobj()
    try:
        return len(stream.decompress(part, raw_size + 1)) == raw_size and stream.eof
    except zlib.error:
        return False


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
    5: _is_whole_lzw,
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
            raise _unreadable(f"truncated TIFF: {len(data)} bytes")
        start = self._unpack("I", 4)[0]
        entries = self._unpack("H", start)[0] if start else 0
        if not entries:
            raise _unreadable("truncated TIFF: it has no directory")
        self._entries: dict[int, bytes] = {}
        for number in range(entries):
            at = start + 2 + 12 * number
            self._entries[self._unpack("H", at)[0]] = data[at : at + 12]
        if self._unpack("I", start + 2 + 12 * entries)[0]:
            raise _unsupported("TIFF with several pages")

    def _unpack(self, form: str, at: int) -> tuple[int, ...]:
        try:
            return struct.unpack_from(self._order + form, self._data, at)
        except struct.error as exc:
            raise _unreadable("truncated TIFF: it ends within its directory") from exc

    def has(self, tag: int) -> bool:
        return tag in self._entries

    def number(self, tag: int, default: int = 0) -> int:
        return self.numbers(tag, default)[0]

    def numbers(self, tag: int, default: int = 0) -> tuple[int, ...]:
        if tag not in self._entries:
            return (default,)
        _, form, count = struct.unpack(self._order + "HHI", self._entries[tag][:8])
        if form not in _TIFF_TYPE_BYTES or not count:
            raise _unreadable(f"damaged TIFF: tag {tag} of type {form}")
        letters = f"{count}{ {1: 'B', 3: 'H', 4: 'I'}[form] }"
        if count * _TIFF_TYPE_BYTES[form] <= 4:
            return struct.unpack_from(self._order + letters, self._entries[tag], 8)
        if count > len(self._data):
            raise _unreadable(f"damaged TIFF: tag {tag} with {count} values")
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


_KINDS = (
    _Kind("JPEG", (b"\xff\xd8\xff",), _parse_jpeg),
    _Kind("PNG", (b"\x89PNG\r\n\x1a\n",), _parse_png),
    _Kind("TIFF", (b"II*\0", b"MM\0*"), _parse_tiff),
    _Kind("BMP", (b"BM",), _parse_bmp),
)
