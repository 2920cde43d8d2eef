"""Bytes of a picture file to `Pixels`: JPEG, PNG, BMP and TIFF stills, 8 and 16 bit, grey and colour.

The first bytes decide the type, never the file name. Size and kind are read from the header, and the file is checked to
be whole, before anything is decoded: OpenCV turns some half-written files into a full picture with a grey or black
part. EXIF and TIFF orientation are ignored, so boxes are in the pixels that the file holds. Alpha is dropped, palettes
are applied, 16 bits become 8 by a fixed rule, never by the picture's own minimum and maximum.

What is not found: a whole file in which bytes differ. 295 of 300 one-byte flips of a JPEG decode to another picture
without an error; only PNG and deflated TIFF carry checksums.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from inspector.errors import PictureError
from inspector.frame import Cause, Pixels
from inspector.pictures.bmp import parse_bmp
from inspector.pictures.header import Header, Refusal, Samples, unreadable, unsupported
from inspector.pictures.jpeg import parse_jpeg
from inspector.pictures.png import parse_png
from inspector.pictures.tiff import parse_tiff

# What OpenCV would write to stderr is in the PictureError; libjpeg's own line on a damaged picture cannot be silenced.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

MAX_DECODED_BYTES = 80 << 20
"""Most bytes that a picture may need while it is decoded, in however few it is coded: pixels x channels x depth."""


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
            raise Refusal(Cause.TOO_LARGE, f"{kind.name} has more than {max_px} pixels: {size}")
        if (decoded := header.width_px * header.height_px * header.pixel_bytes) > MAX_DECODED_BYTES:
            size = f"{header.width_px}x{header.height_px} at {header.pixel_bytes} bytes = {decoded}"
            raise Refusal(Cause.TOO_LARGE, f"{kind.name} needs more than {MAX_DECODED_BYTES} bytes of memory: {size}")
        pixels = _decode_whole(header, kind.name)
    except Refusal as refusal:
        raise PictureError(f"{name}: {refusal}", refusal.cause) from refusal.__cause__
    return np.ascontiguousarray(_to_8_bit(pixels, full_scale))


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    magic: tuple[bytes, ...]
    parse: Callable[[bytes], Header]


def _recognise(data: bytes) -> _Kind:
    if not data:
        raise unreadable("empty: 0 bytes")
    for kind in _KINDS:
        if data.startswith(kind.magic):
            return kind
        if any(magic.startswith(data) for magic in kind.magic):
            raise unreadable(f"ends within the first bytes of a {kind.name}: {len(data)} bytes")
    if not any(data[:64]):
        raise unreadable("begins with zeros: never written")
    for magic, other in _FOREIGN:
        if data.startswith(magic):
            raise unsupported(f"not a JPEG, PNG, BMP or TIFF: {other}")
    raise unsupported(f"not a JPEG, PNG, BMP or TIFF: begins with {data[:8].hex(' ')}")


_FOREIGN = (
    (b"GIF8", "GIF"),
    (b"RIFF", "WebP or AVI"),
    (b"II+\0", "BigTIFF"),
    (b"MM\0+", "BigTIFF"),
    (b"\0\0\0\x0cjP", "JPEG 2000"),
    (b"%PDF", "PDF"),
)


def _decode_whole(header: Header, kind: str) -> Samples:
    try:
        pixels = cv2.imdecode(np.frombuffer(header.coded(), np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as exc:
        raise unreadable(f"damaged {kind}: {exc.err}") from exc
    if pixels is None:
        raise unreadable(f"damaged {kind}: it cannot be decoded")
    if pixels.shape[:2] != (header.height_px, header.width_px):
        raise unreadable(f"damaged {kind}: {header.width_px}x{header.height_px} was announced: {pixels.shape}")
    if header.finish:
        pixels = header.finish(pixels)
    if pixels.ndim == 3:
        pixels = pixels[:, :, 0] if header.grey else pixels[:, :, :3]
    if pixels.ndim == 3 and pixels.shape[2] < 3:
        raise unsupported(f"{kind} with {pixels.shape[2]} channels")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise unsupported(f"{kind} with samples of type {pixels.dtype}")
    return pixels


def _to_8_bit(pixels: Samples, full_scale: int | None) -> Pixels:
    return pixels if pixels.dtype == np.uint8 else _grey_of_16_bit(full_scale)[pixels]


@lru_cache(maxsize=4)
def _grey_of_16_bit(full_scale: int | None) -> Pixels:
    values = np.arange(1 << 16, dtype=np.uint32)
    if full_scale is None:
        return (values >> 8).astype(np.uint8)
    return np.minimum((values * 255 + full_scale // 2) // full_scale, 255).astype(np.uint8)


_KINDS = (
    _Kind("JPEG", (b"\xff\xd8\xff",), parse_jpeg),
    _Kind("PNG", (b"\x89PNG\r\n\x1a\n",), parse_png),
    _Kind("TIFF", (b"II*\0", b"MM\0*"), parse_tiff),
    _Kind("BMP", (b"BM",), parse_bmp),
)
