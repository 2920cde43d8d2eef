"""JPEG: one sequential or progressive still, whole to its last marker."""

from __future__ import annotations

import struct

from inspector.pictures.header import Header, unreadable, unsupported

MAX_JPEG_SCANS = 200
"""More progressive scans than any encoder writes: each costs a pass over the whole picture."""


_JPEG_NO_MARKER = frozenset((0x00, 0xFF, *range(0xD0, 0xD8)))
"""After 0xFF: a byte of pixels that is 0xFF itself, fill, restarts within a scan."""
_JPEG_PADDING = b"\xff\x00" * 8
"""Coded bytes of ones, which no code word is: enough for libjpeg to look ahead, too few to draw anything."""


def parse_jpeg(data: bytes) -> Header:
    """Return the header of a JPEG, after following its markers to the end.

    Raises:
        Refusal: It is damaged, or of a kind that is not supported.
    """
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
        if marker == 0xF7:
            raise unsupported("JPEG-LS")
        if marker == 0xD8:
            raise unreadable("damaged JPEG: a picture begins inside the picture")
        if at + 2 > len(data) or (length := int.from_bytes(data[at : at + 2])) < 2 or at + length > len(data):
            raise unreadable("truncated JPEG: it ends within its header")
        body = data[at + 2 : at + length]
        at += length
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if components:
                raise unsupported("JPEG with several frames")
            width, height, components = _parse_jpeg_frame(marker, body)
            sequential = marker != 0xC2
        elif marker == 0xE2 and body.startswith(b"MPF\0"):
            raise unsupported("JPEG with several pictures (MPO)")
        elif marker == 0xDA:
            scans += 1
            first_scan_components = first_scan_components or (body[0] if body else 0)
            if scans > MAX_JPEG_SCANS:
                raise unsupported(f"JPEG with more than {MAX_JPEG_SCANS} scans")
    if not (components and scans):
        raise unreadable("damaged JPEG: it holds no picture")
    if data[at : at + 3] == b"\xff\xd8\xff":
        raise unsupported("several JPEG in one file")
    whole = slice(0, at)
    if sequential and first_scan_components == components:
        # Without its end marker libjpeg waits for more data where it would have filled the rest with grey: a picture
        # that was cut short and got its end marker later is refused.
        return Header(width, height, components, lambda: data[: at - 2] + _JPEG_PADDING)
    return Header(width, height, components, lambda: data[whole])


def _next_jpeg_marker(data: bytes, at: int) -> tuple[int, int]:
    while at := data.find(b"\xff", at) + 1:
        if at < len(data) and data[at] not in _JPEG_NO_MARKER:
            return data[at], at + 1
    raise unreadable("truncated JPEG: it has no end marker")


def _parse_jpeg_frame(marker: int, body: bytes) -> tuple[int, int, int]:
    if marker not in (0xC0, 0xC1, 0xC2):
        raise unsupported(f"JPEG that is neither baseline nor progressive: frame type {marker - 0xC0}")
    if len(body) < 6:
        raise unreadable("damaged JPEG: short frame header")
    depth, height, width, components = struct.unpack_from(">BHHB", body)
    if depth != 8:
        raise unsupported(f"JPEG with samples of {depth} bits")
    if components not in (1, 3):
        raise unsupported(f"JPEG that is neither grey nor colour (CMYK?): {components} components")
    if not (width and height):
        raise unreadable(f"damaged JPEG: {width}x{height} pixels")
    return width, height, components
