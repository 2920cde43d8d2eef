"""BMP: uncompressed rows, all of them in the file."""

from __future__ import annotations

import struct

from inspector.pictures.header import Header, unreadable, unsupported


def parse_bmp(data: bytes) -> Header:
    """Return the header of a BMP.

    Raises:
        Refusal: It is damaged, or of a kind that is not supported.
    """
    if len(data) < 54:
        raise unreadable(f"truncated BMP: {len(data)} bytes")
    offset, header_size, width, height, _, bits, compression = struct.unpack_from("<IIiiHHI", data, 10)
    colours = struct.unpack_from("<I", data, 46)[0]
    if header_size < 40:
        raise unsupported(f"BMP with a header of {header_size} bytes")
    if width <= 0 or height == 0:
        raise unreadable(f"damaged BMP: {width}x{height} pixels")
    if compression == 3:
        masks = struct.unpack_from("<III", data, 54) if len(data) >= 66 else ()
        if (bits, masks) not in (
            (32, (0xFF0000, 0xFF00, 0xFF)),
            (16, (0xF800, 0x7E0, 0x1F)),
            (16, (0x7C00, 0x3E0, 0x1F)),
        ):
            raise unsupported(f"BMP with unusual bit fields: {bits} bits")
    elif compression:
        raise unsupported(f"BMP with compression {compression}")  # OpenCV fills up a run-length picture that ends early
    if bits not in (1, 4, 8, 16, 24, 32):
        raise unsupported(f"BMP with {bits} bits a pixel")
    palette_size = 4 * (colours or 1 << bits) if bits <= 8 else 0
    rows = abs(height)
    end = offset + (width * bits + 31) // 32 * 4 * rows
    if offset < 14 + header_size + palette_size:
        raise unreadable(f"damaged BMP: its pixels begin within its header: {offset}")
    if end > len(data):
        raise unreadable(f"truncated BMP: {end} bytes are needed: {len(data)}")
    return Header(width, rows, 4 if bits == 32 else 3, lambda: data)
