"""Picture files that are no good pictures: mutated ones, crafted ones of odd shape, and bombs."""

from __future__ import annotations

import functools
import io
import random
import struct
import zlib
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image

from inspector.drawn.tiles import draw_tile

BOMB_PX = 9999
"""Side of a bomb: within the limit of pixels."""


@functools.cache
def whole_files() -> tuple[bytes, ...]:
    """Return good files of every type, depth and compression that are mutated."""
    grey = draw_tile("scratches", 3)
    colour = cv2.merge([grey, cv2.flip(grey, 0), cv2.flip(grey, 1)])
    wide = grey.astype(np.uint16) * 251
    files = [cv2.imencode(kind, pixels)[1] for kind in (".jpg", ".png", ".bmp", ".tif") for pixels in (grey, colour)]
    files += [cv2.imencode(kind, wide)[1] for kind in (".png", ".tif")]
    files.append(cv2.imencode(".jpg", colour, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1])
    encoded = [file.tobytes() for file in files]
    for kind, options in (
        ("TIFF", {"compression": "tiff_lzw"}), ("TIFF", {"compression": "tiff_adobe_deflate"}),
        ("TIFF", {"compression": "packbits"}), ("TIFF", {}), ("JPEG", {"quality": 60, "optimize": True}),
    ):  # fmt: skip
        buffer = io.BytesIO()
        Image.fromarray(grey).save(buffer, kind, **options)
        encoded.append(buffer.getvalue())
    return tuple(encoded)


def mutated(lots: random.Random) -> bytes:
    """Return a good file with one to twenty places changed, cut out, doubled or moved."""
    data = bytearray(lots.choice(whole_files()))
    for _ in range(lots.choice((1, 1, 2, 5, 20))):
        at = lots.randrange(len(data)) if lots.random() < 0.5 else lots.randrange(min(len(data), 200))
        length = lots.choice((1, 2, 4, 64, 1024))
        match lots.randrange(7):
            case 0:
                data[at] ^= 1 << lots.randrange(8)
            case 1:
                data[at : at + length] = lots.randbytes(length)
            case 2:
                data[at : at + 4] = lots.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\1\0\0"))
            case 3:
                del data[at : at + length]
            case 4:
                data[at:at] = data[at : at + length]
            case 5:
                other = lots.choice(whole_files())
                data[at : at + length] = other[at : at + length]
            case _:
                del data[max(at, 20) :]
        if not data:
            data.append(0)
    return bytes(data)


def crafted(lots: random.Random) -> tuple[str, bytes]:
    """Return the suffix and the bytes of a file that is built, with right checksums, to be odd."""
    build: Callable[[random.Random], bytes]
    suffix, build = lots.choice(((".tif", _tiff), (".png", _png), (".jpg", _jpeg), (".bmp", _bmp)))
    return suffix, build(lots)


def _size(lots: random.Random) -> int:
    return lots.choice((0, 1, 2, 7, 64, 200, 65535, 65536, 1 << 20, (1 << 31) - 1, (1 << 32) - 1))


def _tiff(lots: random.Random) -> bytes:
    order = lots.choice("<>")
    width, height = (lots.choice((1, 8, 64, 200)), lots.choice((1, 8, 64, 200)))
    bits, channels = lots.choice((1, 2, 4, 8, 10, 12, 16, 32, 64)), lots.choice((0, 1, 2, 3, 4, 5, 1000))
    raw = lots.randbytes(min(4096, width * height))
    compression = lots.choice((1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34712, 34892, 50000, 0))
    body = zlib.compress(raw) if compression in (8, 32946) else raw
    tags = {
        256: (4, [lots.choice((width, width, width, _size(lots)))]),
        257: (4, [lots.choice((height, height, _size(lots)))]),
        258: (3, [bits] * max(1, min(channels, 8))), 259: (3, [compression]),
        262: (3, [lots.choice((0, 1, 2, 3, 4, 5, 6, 8, 32803, 9))]), 273: (4, [8]), 277: (3, [channels]),
        278: (4, [lots.choice((height, 1, _size(lots)))]), 279: (4, [lots.choice((len(body), _size(lots)))]),
        284: (3, [lots.choice((1, 2, 3))]), 317: (3, [lots.choice((1, 2, 3, 9))]),
        339: (3, [lots.choice((1, 2, 3, 6))]),
    }  # fmt: skip
    for _ in range(lots.randrange(4)):
        tags.pop(lots.choice(list(tags)), None)
    if lots.random() < 0.2:
        tags |= {322: (4, [_size(lots)]), 323: (4, [_size(lots)]), 324: (4, [8]), 325: (4, [len(body)])}
    if lots.random() < 0.2:
        tags[273] = (4, [8, 9, _size(lots), 0xFFFFFFFF][: lots.randrange(1, 5)])
    letters = {3: "H", 4: "I"}
    start = 8 + len(body)
    entries, extra = b"", b""
    for tag, (form, values) in sorted(tags.items()):
        packed = struct.pack(
            f"{order}{len(values)}{letters[form]}", *(min(v, 65535) if form == 3 else v for v in values)
        )
        if len(packed) > 4:
            at = start + 6 + 12 * len(tags) + len(extra)
            extra, packed = extra + packed, struct.pack(order + "I", at)
        count = len(values) if lots.random() < 0.95 else _size(lots)
        entries += struct.pack(order + "HHI", tag, lots.choice((form, form, form, form, 12)), count) + packed.ljust(
            4, b"\0"
        )
    following = lots.choice((0, 0, 0, start, 4, 0xFFFFFFFF))  # a directory that follows itself, or lies outside
    directory = struct.pack(order + "H", len(tags)) + entries + struct.pack(order + "I", following) + extra
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", start) + body + directory


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _png(lots: random.Random) -> bytes:
    width, height = (lots.choice((1, 8, 64, 64, _size(lots))) for _ in range(2))
    depth, colour = lots.choice((1, 2, 4, 8, 16, 3)), lots.choice((0, 2, 3, 4, 6, 1))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, lots.choice((0, 0, 0, 1)), lots.choice((0, 0, 1)),
                         lots.choice((0, 0, 1, 2)))  # fmt: skip
    pixels = bytes(lots.choice((0, 4096, 20000, 1 << 22)))
    data = zlib.compress(pixels if lots.random() < 0.5 else lots.randbytes(len(pixels) // 64))
    parts = [_chunk(b"IDAT", data[: len(data) // 2]), _chunk(b"IDAT", data[len(data) // 2 :])]
    if colour == 3 or lots.random() < 0.2:
        parts.insert(0, _chunk(b"PLTE", lots.randbytes(3 * lots.choice((0, 1, 16, 256, 300)))))
    for _ in range(lots.randrange(3)):
        name = lots.choice((b"tRNS", b"zTXt", b"iCCP", b"gAMA", b"acTL", b"fdAT", b"eXIf", b"sBIT", b"IEND", b"IHDR"))
        body = lots.randbytes(lots.randrange(40)) if lots.random() < 0.7 else b"a\0\0" + zlib.compress(bytes(1 << 24))
        parts.insert(lots.randrange(len(parts) + 1), _chunk(name, body))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + b"".join(parts) + _chunk(b"IEND", b"")


def _segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def _jpeg(lots: random.Random) -> bytes:
    """Change the frame header, or repeat scans, of a good file."""
    sides = [cv2.IMWRITE_JPEG_PROGRESSIVE, lots.randrange(2), cv2.IMWRITE_JPEG_RST_INTERVAL, lots.choice((0, 1, 7))]
    data = cv2.imencode(".jpg", draw_tile("patches", lots.randrange(4), 64), sides)[1].tobytes()
    at = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    scan = data.find(b"\xff\xda")
    frame, sos = bytearray(data[at:scan]), data[scan:-2]
    match lots.randrange(7):
        case 0:
            frame[5:9] = struct.pack(">HH", *(min(_size(lots), 65535) for _ in range(2)))
        case 1:
            frame[1] = lots.choice((0xC1, 0xC3, 0xC5, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD))
        case 2:
            frame[4] = lots.choice((2, 12, 16, 255))
        case 3:
            frame[9] = lots.choice((0, 2, 3, 4, 255))
        case 4:
            frame[11] = lots.randrange(256)
        case 5:
            sos = sos * lots.choice((2, 50, 400))
        case _:
            markers = lots.choices((0xE0, 0xE1, 0xED, 0xFE, 0xDB, 0xC4, 0xDD), k=lots.choice((1, 20)))
            noise = b"".join(_segment(marker, lots.randbytes(lots.randrange(200))) for marker in markers)
            return data[:2] + noise + data[2:]
    return data[:at] + bytes(frame) + sos + data[-2:]


def _bmp(lots: random.Random) -> bytes:
    width, height = lots.choice((1, 8, 64, -64, 200)), lots.choice((1, 8, 64, -64, 200))
    if lots.random() < 0.3:
        width, height = (_size(lots) & 0x7FFFFFFF for _ in range(2))
    bits, compression = lots.choice((1, 4, 8, 16, 24, 32, 0, 2)), lots.choice((0, 0, 1, 2, 3, 4, 5, 6))
    head = lots.choice((12, 40, 40, 40, 52, 108, 124, 4, 200))
    palette = lots.randbytes(4 * lots.choice((0, 2, 16, 256)))
    data = lots.randbytes(lots.choice((0, 100, 5000, 40000)))
    offset = lots.choice((14 + head + len(palette), 14 + head + len(palette), _size(lots)))
    colours = lots.choice((0, len(palette) // 4, 257, 0xFFFFFFFF))
    info = struct.pack("<IiiHHIIiiII", head, width, height, 1, bits, compression, 0, 0, 0, colours, 0)
    return (
        b"BM"
        + struct.pack("<IHHI", 14 + head + len(palette) + len(data), 0, 0, offset)
        + info.ljust(head, b"\0")
        + palette
        + data
    )


def _png_bomb(depth: int, colour: int, side: int) -> bytes:
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = bytes(1 + (side * channels * depth + 7) // 8)
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(row * 100) for _ in range(side // 100))
    data += packer.compress(row * (side % 100)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, depth, colour, 0, 0, 0)
    palette = _chunk(b"PLTE", bytes(range(6))) if colour == 3 else b""
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + palette + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _tiff_bomb(bits: int, channels: int, side: int) -> bytes:
    packer = zlib.compressobj(1)
    row = bytes(side * channels * bits // 8 + 1)
    data = b"".join(packer.compress(row * 100) for _ in range(side // 100 + 1)) + packer.flush()
    tags = [
        (256, 4, side), (257, 4, side), (258, 3, bits), (259, 3, 8), (262, 3, 1 if channels == 1 else 2), (273, 4, 8),
        (277, 3, channels), (278, 4, side), (279, 4, len(data)),
    ]  # fmt: skip
    more = struct.pack(f"<{channels}H", *[bits] * channels)
    start = 8 + len(data)
    packed = {258: start + 6 + 12 * len(tags)} if channels > 2 else {}
    entries = b"".join(
        struct.pack("<HHII", tag, form, channels if tag == 258 else 1, packed.get(tag, value))
        for tag, form, value in tags
    )
    return b"II*\0" + struct.pack("<I", start) + data + struct.pack("<H", len(tags)) + entries + bytes(4) + more


def _flat(kind: str, side: int) -> bytes:
    return cv2.imencode(kind, np.full((side, side), 128, np.uint8))[1].tobytes()


PNG_DEPTHS = (
    (1, 0),
    (2, 0),
    (4, 0),
    (8, 0),
    (16, 0),
    (1, 3),
    (8, 3),
    (8, 4),
    (8, 2),
    (8, 6),
    (16, 4),
    (16, 2),
    (16, 6),
)
TIFF_DEPTHS = tuple((bits, channels) for bits in (1, 8, 16, 32, 64) for channels in (1, 3, 4))
BOMBS: tuple[tuple[str, Callable[[int], bytes]], ...] = (
    *((".png", functools.partial(_png_bomb, depth, colour)) for depth, colour in reversed(PNG_DEPTHS)),
    *((".tif", functools.partial(_tiff_bomb, bits, channels)) for bits, channels in reversed(TIFF_DEPTHS)),
    (".jpg", functools.partial(_flat, ".jpg")),
)
"""Makers of bombs, by suffix: few bytes for a square of a side, in every depth of PNG and TIFF, and a JPEG."""
