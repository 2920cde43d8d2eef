"""PNG: every chunk with its checksum, one picture, whole to its end."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from inspector.pictures.header import Header, unreadable, unsupported

_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 4, 6: 4}
"""By colour type; grey with alpha is decoded as four channels."""


def parse_png(data: bytes) -> Header:
    """Return the header of a PNG, after checking every chunk.

    Raises:
        Refusal: It is damaged, or of a kind that is not supported.
    """
    header: Header | None = None
    for name, body in _png_chunks(data):
        if name == b"IHDR" and len(body) == 13:
            width, height, depth, colour = struct.unpack_from(">IIBB", body)
            if not (width and height):
                raise unreadable(f"damaged PNG: {width}x{height} pixels")
            pixel_bytes = _CHANNELS.get(colour, 4) * (2 if depth == 16 else 1)
            header = Header(width, height, pixel_bytes, lambda: data, grey=colour in (0, 4))
        elif name == b"acTL":
            raise unsupported("animated PNG")
    if header is None:
        raise unreadable("damaged PNG: it holds no picture")
    return header


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    view = memoryview(data)
    at, name = 8, b""
    while name != b"IEND":
        if at + 12 > len(data):
            raise unreadable("truncated PNG: it has no end chunk")
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise unreadable(f"truncated PNG: it ends within a chunk {name!r}")
        if zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(view[end - 4 : end]):
            raise unreadable(f"damaged PNG: wrong checksum of a chunk {name!r}")
        yield name, bytes(view[at + 8 : min(end - 4, at + 8 + 13)])
        at = end
