"""`inspector.pictures.decode`: what is taken, what is refused, and that no damaged file becomes half a picture."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import closing
from math import isqrt
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from inspector.errors import PictureError
from inspector.frame import Cause
from inspector.pictures.decode import decode_picture
from inspector.pictures.files import read_picture_file

Samples = npt.NDArray[Any]

RNG = np.random.default_rng(7)
GREY = np.asarray(cv2.GaussianBlur(RNG.integers(0, 256, (48, 56), np.uint8), (5, 5), 0), np.uint8)
COLOUR = np.dstack([GREY, GREY[::-1], GREY[:, ::-1]])  # BGR
GREY_16 = GREY.astype(np.uint16) * 251 + 77
COLOUR_16 = COLOUR.astype(np.uint16) * 251 + 77
ALPHA = RNG.integers(0, 256, (48, 56), np.uint8)
PALETTE = RNG.integers(0, 256, (256, 3), np.uint8)  # RGB
BIG = cv2.GaussianBlur(RNG.integers(0, 256, (300, 400), np.uint8), (5, 5), 0)
ORIENTED = b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"
"""EXIF that asks for a quarter turn."""


def decode(data: bytes, max_px: int = 1 << 20, full_scale: int | None = None) -> Samples:
    return decode_picture(data, name="a.bin", max_px=max_px, full_scale=full_scale)


def encode(kind: str, pixels: Samples, *options: int) -> bytes:
    return cv2.imencode(kind, pixels, options)[1].tobytes()


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(rows: Samples, depth: int, colour: int, before: bytes = b"", width: int | None = None) -> bytes:
    raw = rows.astype(">u2") if rows.dtype == np.uint16 else rows
    header = struct.pack(">IIBBBBB", width or rows.shape[1], rows.shape[0], depth, colour, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in raw))
    chunks = png_chunk(b"IHDR", header) + before + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def bmp(
    rows: Samples, bits: int, width: int, palette: bytes = b"", compression: int = 0, masks: bytes = b"", down: int = 1
) -> bytes:
    """Rows must be padded to 4 bytes; `down=-1` stores the top row first."""
    data = rows[::down].tobytes() if down < 0 else rows[::-1].tobytes()
    height = len(rows) if down > 0 else -len(rows)
    if down < 0:
        data = rows.tobytes()
    offset = 54 + len(masks) + len(palette)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, 0, 0, 0, len(palette) // 4, 0)
    return b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + info + masks + palette + data


def tiff(
    samples: Samples,
    photometric: int,
    more: dict[int, tuple[int, list[int]]] | None = None,
    order: Literal["<", ">"] = "<",
    compression: int = 1,
    strips: int = 1,
    next_directory: int = 0,
    directory_first: bool = True,
) -> bytes:
    """Samples in RGB(A) order; strips are compressed here, so the writer is not the library under test."""
    height, width = samples.shape[:2]
    channels = samples.shape[2] if samples.ndim == 3 else 1
    raw = samples.astype(samples.dtype.newbyteorder(order))
    parts = [pack_tiff(part.tobytes(), compression) for part in np.split(raw, strips)]
    tags: dict[int, tuple[int, list[int]]] = {
        256: (3, [width]),
        257: (3, [height]),
        258: (3, [samples.itemsize * 8] * channels),
        259: (3, [compression]),
        262: (3, [photometric]),
        273: (4, list(np.cumsum([0] + [len(part) for part in parts[:-1]]))),
        277: (3, [channels]),
        278: (3, [height // strips]),
        279: (4, [len(part) for part in parts]),
    } | (more or {})
    letters = {3: "H", 4: "I"}
    pixels = b"".join(parts)
    directory_size = 6 + 12 * len(tags)
    extra_size = sum(size for form, values in tags.values() if (size := len(values) * (2 if form == 3 else 4)) > 4)
    start = 8 if directory_first else 8 + len(pixels) + len(pixels) % 2
    pixels_at = 8 + directory_size + extra_size if directory_first else 8
    tags[273] = (4, [pixels_at + offset for offset in tags[273][1]])
    entries, extra = b"", b""
    for tag, (form, values) in sorted(tags.items()):
        body = struct.pack(f"{order}{len(values)}{letters[form]}", *values)
        if len(body) > 4:
            extra, body = extra + body, struct.pack(order + "I", start + directory_size + len(extra))
        entries += struct.pack(order + "HHI", tag, form, len(values)) + body.ljust(4, b"\0")
    directory = struct.pack(order + "H", len(tags)) + entries + struct.pack(order + "I", next_directory) + extra
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", start)
    return head + directory + pixels if directory_first else head + pixels + b"\0" * (len(pixels) % 2) + directory


def tiled_tiff(samples: Samples, side: int) -> bytes:
    """Tiles of `side` pixels a side, the last ones padded."""
    height, width = samples.shape
    full = np.pad(samples, ((0, -height % side), (0, -width % side)))
    across, down = full.shape[1] // side, full.shape[0] // side
    tiles = full.reshape(down, side, across, side).swapaxes(1, 2).reshape(-1, side)
    count, size = across * down, side * side * samples.itemsize
    layout = {322: (3, [side]), 323: (3, [side]), 325: (4, [size] * count)}
    unknown = [0x7E57_0000 + number for number in range(count)]  # where the tiles begin is known afterwards
    data = tiff(tiles, 1, layout | {256: (3, [width]), 257: (3, [height]), 324: (4, unknown)})
    known = range(len(data) - tiles.nbytes, len(data), size)
    return data.replace(struct.pack(f"<{count}I", *unknown), struct.pack(f"<{count}I", *known))


def pack_tiff(raw: bytes, compression: int) -> bytes:
    if compression == 8:
        return zlib.compress(raw)
    if compression == 32773:  # literal runs only
        return b"".join(bytes([len(raw[i : i + 128]) - 1]) + raw[i : i + 128] for i in range(0, len(raw), 128))
    return raw


def padded(rows: Samples, to: int = 4) -> Samples:
    flat = rows.reshape(len(rows), -1).view(np.uint8)
    return np.pad(flat, ((0, 0), (0, -flat.shape[1] % to)))


def rgb(pixels: Samples) -> Samples:
    return pixels[..., ::-1]


GREY_RAMP = b"".join(bytes([i, i, i, 0]) for i in range(256))
INVERSE_RAMP = b"".join(bytes([255 - i, 255 - i, 255 - i, 0]) for i in range(256))
COLOUR_PALETTE = b"".join(bytes([*colour[::-1], 0]) for colour in PALETTE.tolist())
NIBBLES = GREY >> 4
PACKED_NIBBLES = (NIBBLES[:, ::2] << 4) | NIBBLES[:, 1::2]
BITS = np.packbits(GREY > 128, axis=1)
TIFF_PALETTE = {320: (3, (PALETTE.T.astype(int) * 257).ravel().tolist())}

TAKEN: dict[str, tuple[bytes, Samples]] = {
    "PNG grey": (encode(".png", GREY), GREY),
    "PNG colour": (encode(".png", COLOUR), COLOUR),
    "PNG 16-bit grey": (encode(".png", GREY_16), GREY_16 >> 8),
    "PNG 16-bit colour": (encode(".png", COLOUR_16), COLOUR_16 >> 8),
    "PNG colour with alpha": (encode(".png", np.dstack([COLOUR, ALPHA])), COLOUR),
    "PNG grey with alpha": (png(np.dstack([GREY, ALPHA]), 8, 4), GREY),
    "PNG 16-bit grey with alpha": (png(np.dstack([GREY_16, GREY_16]), 16, 4), GREY_16 >> 8),
    "PNG palette": (png(GREY, 8, 3, png_chunk(b"PLTE", PALETTE.tobytes())), rgb(PALETTE[GREY])),
    "PNG palette with alpha": (
        png(GREY, 8, 3, png_chunk(b"PLTE", PALETTE.tobytes()) + png_chunk(b"tRNS", bytes(range(256)))),
        rgb(PALETTE[GREY]),
    ),
    "PNG 4-bit grey": (png(PACKED_NIBBLES, 4, 0, width=56), NIBBLES * 17),
    "PNG 1-bit grey": (png(BITS, 1, 0, width=56), (GREY > 128) * np.uint8(255)),
    "PNG with EXIF orientation": (png(GREY, 8, 0, png_chunk(b"eXIf", ORIENTED)), GREY),
    "PNG with gamma": (png(GREY, 8, 0, png_chunk(b"gAMA", struct.pack(">I", 100_000))), GREY),
    "BMP grey palette": (bmp(padded(GREY), 8, 56, GREY_RAMP), GREY),
    "BMP grey, odd width": (bmp(padded(GREY[:, :53].copy()), 8, 53, GREY_RAMP), GREY[:, :53]),
    "BMP top row first": (bmp(padded(GREY), 8, 56, GREY_RAMP, down=-1), GREY),
    "BMP colour palette": (bmp(padded(GREY), 8, 56, COLOUR_PALETTE), rgb(PALETTE[GREY])),
    "BMP inverse grey palette": (bmp(padded(GREY), 8, 56, INVERSE_RAMP), 255 - GREY),
    "BMP 24-bit": (bmp(padded(COLOUR), 24, 56), COLOUR),
    "BMP 32-bit": (bmp(padded(np.dstack([COLOUR, ALPHA])), 32, 56), COLOUR),
    "BMP 1-bit": (bmp(padded(BITS), 1, 56, bytes([0, 0, 0, 0, 255, 255, 255, 0])), (GREY > 128) * np.uint8(255)),
    "TIFF grey": (tiff(GREY, 1), GREY),
    "TIFF grey, big-endian": (tiff(GREY, 1, order=">"), GREY),
    "TIFF grey, strips": (tiff(GREY, 1, strips=4), GREY),
    "TIFF grey, directory last": (tiff(GREY, 1, directory_first=False), GREY),
    "TIFF white is zero": (tiff(GREY, 0), 255 - GREY),
    "TIFF 16-bit grey": (tiff(GREY_16, 1), GREY_16 >> 8),
    "TIFF 16-bit grey, big-endian": (tiff(GREY_16, 1, order=">"), GREY_16 >> 8),
    "TIFF 16-bit white is zero": (tiff(GREY_16, 0), (65535 - GREY_16) >> 8),
    "TIFF colour": (tiff(rgb(COLOUR), 2), COLOUR),
    "TIFF 16-bit colour": (tiff(rgb(COLOUR_16), 2), COLOUR_16 >> 8),
    "TIFF colour with alpha": (tiff(np.dstack([rgb(COLOUR), ALPHA]), 2, {338: (3, [2])}), COLOUR),
    "TIFF palette": (tiff(GREY, 3, TIFF_PALETTE), rgb(PALETTE[GREY])),
    "TIFF tiles": (tiled_tiff(GREY, 32), GREY),
    "TIFF 16-bit tiles": (tiled_tiff(GREY_16, 32), GREY_16 >> 8),
    "TIFF deflated": (tiff(GREY, 1, compression=8, strips=3), GREY),
    "TIFF PackBits": (tiff(GREY, 1, compression=32773, strips=3), GREY),
    "TIFF LZW by OpenCV": (encode(".tif", GREY), GREY),
    "TIFF LZW colour by OpenCV": (encode(".tif", COLOUR), COLOUR),
    "TIFF LZW 16-bit by OpenCV": (encode(".tif", GREY_16), GREY_16 >> 8),
} | {f"TIFF orientation {turn}": (tiff(GREY, 1, {274: (3, [turn])}), GREY) for turn in range(1, 9)}


@pytest.mark.parametrize("case", TAKEN)
def test_takes_the_pixels_that_the_file_holds(case: str) -> None:
    """Nothing is turned, blended or stretched."""
    data, expected = TAKEN[case]

    actual = decode(data)

    assert actual.dtype == np.uint8
    assert actual.flags.c_contiguous
    np.testing.assert_array_equal(actual, expected)


JPEG_OPTIONS: dict[str, tuple[int, ...]] = {
    "plain": (),
    "progressive": (cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "optimised": (cv2.IMWRITE_JPEG_OPTIMIZE, 1),
    "restarts": (cv2.IMWRITE_JPEG_RST_INTERVAL, 3),
    "no chroma loss": (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
}


@pytest.mark.parametrize("option", JPEG_OPTIONS)
@pytest.mark.parametrize("pixels", [GREY, COLOUR, GREY[:1, :1], GREY[:, :17]], ids=["grey", "colour", "dot", "narrow"])
def test_decodes_jpeg_as_opencv_does(option: str, pixels: Samples) -> None:
    """The strict reading changes no pixel of a whole JPEG."""
    data = encode(".jpg", pixels, *JPEG_OPTIONS[option])

    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(decode(data), expected)


def test_decodes_jpeg_without_its_tables() -> None:
    """Some motion JPEG leaves the standard Huffman tables out."""
    data = encode(".jpg", GREY)
    at = data.index(b"\xff\xc4")
    while data[at : at + 2] == b"\xff\xc4":
        data = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4]) :]

    assert b"\xff\xc4" not in data
    np.testing.assert_array_equal(decode(data), decode(encode(".jpg", GREY)))


def test_ignores_exif_orientation_of_jpeg() -> None:
    """A box is in the pixels that the file holds."""
    data = encode(".jpg", GREY)
    exif = b"Exif\0\0" + ORIENTED
    turned = data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]

    np.testing.assert_array_equal(decode(turned), decode(data))


@pytest.mark.parametrize(
    ("full_scale", "value", "expected"),
    [
        (None, 255, 0),
        (None, 256, 1),
        (None, 65535, 255),
        (4095, 0, 0),
        (4095, 2048, 128),
        (4095, 4095, 255),
        (4095, 60000, 255),
        (1023, 512, 128),
        (65535, 65535, 255),
    ],
)
def test_16_bit_becomes_8_bit_by_a_fixed_rule(full_scale: int | None, value: int, expected: int) -> None:
    """The upper 8 bits, or a share of full scale, clipped; never the picture's own range."""
    data = encode(".png", np.full((4, 4), value, np.uint16))

    assert (decode(data, full_scale=full_scale) == expected).all()


def with_jpeg_marker(marker: int, body: bytes) -> bytes:
    data = encode(".jpg", GREY)
    return data[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body + data[2:]


def as_jpeg_frame(frame_type: int) -> bytes:
    return encode(".jpg", GREY).replace(b"\xff\xc0", bytes([0xFF, frame_type]), 1)


def cmyk_jpeg() -> bytes:
    data = encode(".jpg", COLOUR)
    at = data.index(b"\xff\xc0")
    body = data[at + 4 : at + 9] + b"\x04" + data[at + 10 : at + 19] + b"\x04\x11\x01"
    return data[:at] + b"\xff\xc0" + struct.pack(">H", len(body) + 2) + body + data[at + 19 :]


RLE_THAT_ENDS_EARLY = bmp(np.frombuffer(b"\x38\x01\0\0\0\1", np.uint8)[None], 8, 56, GREY_RAMP, compression=1)
APNG = png(GREY, 8, 0, png_chunk(b"acTL", struct.pack(">II", 2, 0)))

REFUSED: dict[str, tuple[bytes, str, str]] = {
    "nothing": (b"", "unreadable", "0 bytes"),
    "zeros": (bytes(4096), "unreadable", "never written"),
    "two bytes": (b"\xff\xd8", "unreadable", "ends within"),
    "text": (b"<html>gone</html>", "unsupported", "begins with 3c"),
    "GIF": (b"GIF89a" + bytes(50), "unsupported", "GIF"),
    "WebP": (encode(".webp", COLOUR), "unsupported", "WebP"),
    "BigTIFF": (b"II+\0\x08\0\0\0" + bytes(50), "unsupported", "BigTIFF"),
    "animated PNG": (APNG, "unsupported", "animated"),
    "packed 12-bit TIFF": (tiff(GREY, 1, {258: (3, [12])}), "unsupported", r"\[12\] bits"),
    "packed 10-bit TIFF": (tiff(GREY, 1, {258: (3, [10])}), "unsupported", r"\[10\] bits"),
    "multi-page TIFF": (tiff(GREY, 1, next_directory=8), "unsupported", "several pages"),
    "MPO": (with_jpeg_marker(0xE2, b"MPF\0rest"), "unsupported", "MPO"),
    "two JPEG in one": (encode(".jpg", GREY) * 2, "unsupported", "several"),
    "CMYK JPEG": (cmyk_jpeg(), "unsupported", "CMYK"),
    "arithmetic JPEG": (as_jpeg_frame(0xC9), "unsupported", "frame type 9"),
    "lossless JPEG": (as_jpeg_frame(0xC3), "unsupported", "frame type 3"),
    "CMYK TIFF": (tiff(np.dstack([COLOUR, ALPHA]), 5), "unsupported", "kind 5"),
    "float TIFF": (tiff(GREY.astype(np.float32), 1, {339: (3, [3])}), "unsupported", "unsigned"),
    "signed TIFF": (tiff(GREY, 1, {339: (3, [2])}), "unsupported", "unsigned"),
    "planar TIFF": (tiff(rgb(COLOUR), 2, {284: (3, [2])}), "unsupported", "planes"),
    "fax TIFF": (tiff(GREY, 1, {259: (3, [4])}), "unsupported", "compression 4"),
    "run-length BMP": (RLE_THAT_ENDS_EARLY, "unsupported", "compression 1"),
    "BMP without its palette": (bmp(padded(GREY), 8, 56), "unreadable", "within its header"),
    "PNG with a flipped bit": (
        encode(".png", GREY)[:200] + b"\0" + encode(".png", GREY)[201:],
        "unreadable",
        "checksum",
    ),
    "PNG without pixels": (png(GREY[:1], 8, 0)[:33] + png_chunk(b"IEND", b""), "unreadable", "cannot be decoded"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_with_a_reason(case: str) -> None:
    """The text begins with the file's name and says what is wrong; the reason is a word of `Cause`."""
    data, reason, words = REFUSED[case]

    with pytest.raises(PictureError, match=rf"^a\.bin: .*{words}") as caught:
        decode(data)

    assert caught.value.reason == reason


@pytest.mark.parametrize("kind", [".jpg", ".png", ".bmp", ".tif"])
def test_size_is_checked_before_decoding(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture of 400x300 with a limit of 119,999 pixels never reaches the decoder."""
    data = encode(kind, BIG)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))

    with pytest.raises(PictureError, match=r"more than 119999 pixels: 400x300 = 120000") as caught:
        decode(data, max_px=119_999)

    assert caught.value.reason == "too_large"


def test_refuses_a_bomb_by_its_header() -> None:
    """A PNG that announces 60000x60000 pixels is refused although it is small."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(b"\0")) + png_chunk(b"IEND", b"")

    with pytest.raises(PictureError) as caught:
        decode(data)

    assert caught.value.reason == "too_large"


@pytest.mark.parametrize(
    "layout",
    [
        pytest.param({278: (3, [1])}, id="a strip a row"),
        pytest.param({322: (3, [1]), 323: (3, [1]), 324: (4, [8]), 325: (4, [1])}, id="a tile a pixel"),
    ],
)
def test_a_tiff_that_announces_millions_of_parts_costs_nothing(layout: dict[int, tuple[int, list[int]]]) -> None:
    """A file of a few hundred bytes is refused by its number of parts, within a few kilobytes of memory."""
    data = tiff(GREY[:1, :8], 1, {256: (3, [1]), 257: (4, [3_000_000])} | layout)
    tracemalloc.start()
    try:
        with pytest.raises(PictureError, match="not all written"):
            decode(data, max_px=3_000_000)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak_bytes < 100_000


WHOLE: dict[str, bytes] = {
    "JPEG": encode(".jpg", BIG),
    "progressive JPEG": encode(".jpg", BIG, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "JPEG with restarts": encode(".jpg", BIG, cv2.IMWRITE_JPEG_RST_INTERVAL, 5),
    "PNG": encode(".png", BIG),
    "BMP": encode(".bmp", BIG),
    "TIFF LZW": encode(".tif", BIG),
    "TIFF raw": tiff(BIG, 1, strips=10),
    "TIFF deflated": tiff(BIG, 1, strips=10, compression=8),
    "TIFF PackBits, directory last": tiff(BIG, 1, strips=10, compression=32773, directory_first=False),
}


@pytest.mark.parametrize("case", WHOLE)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_never_half_a_picture(case: str, share: float) -> None:
    """Cut anywhere, each kind is refused as unreadable."""
    data = WHOLE[case]

    with pytest.raises(PictureError) as caught:
        decode(data[: int(len(data) * share)])

    assert caught.value.reason == "unreadable"


@pytest.mark.parametrize("case", [case for case in WHOLE if case not in ("BMP", "TIFF raw")])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.97])
def test_a_preallocated_file_that_was_not_filled_is_refused(case: str, share: float) -> None:
    """Right length, but zeros from some point on; without compression that is a black part and cannot be told."""
    data = WHOLE[case]
    kept = int(len(data) * share)

    with pytest.raises(PictureError) as caught:
        decode(data[:kept] + bytes(len(data) - kept))

    assert caught.value.reason == "unreadable"


@pytest.mark.parametrize("case", ["JPEG", "JPEG with restarts"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.97])
def test_a_cut_jpeg_with_an_end_marker_is_refused(case: str, share: float) -> None:
    """A writer that was cut off and then closed its picture gives no picture with a grey part."""
    data = WHOLE[case]

    with pytest.raises(PictureError) as caught:
        decode(data[: int(len(data) * share)] + b"\xff\xd9")

    assert caught.value.reason == "unreadable"


@pytest.mark.parametrize("case", WHOLE)
@given(at=st.integers(0, 1 << 30), flip=st.integers(1, 255))
def test_a_flipped_byte_gives_a_picture_or_a_picture_error(case: str, at: int, flip: int) -> None:
    """Nothing but `PictureError` ever leaves. That most flips of a JPEG are not noticed is known."""
    data = bytearray(WHOLE[case])
    data[at % len(data)] ^= flip

    with contextlib.suppress(PictureError):
        decode(bytes(data))


@given(st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"BM"]), st.binary(max_size=400))
def test_noise_after_the_magic_bytes_gives_a_picture_error(magic: bytes, noise: bytes) -> None:
    """No header, however broken, raises anything else."""
    with pytest.raises(PictureError):
        decode(magic + noise)


@pytest.mark.data
def test_neu_pictures_decode_as_opencv_reads_them() -> None:
    """Real pictures give the pixels that training saw."""
    folder = os.environ.get("INSPECTOR_TEST_DATA")
    if not folder:
        pytest.skip("INSPECTOR_TEST_DATA is not set")
    paths = sorted(Path(folder, "neu-det").rglob("*.jpg"))[::40]

    assert paths
    for path in paths:
        expected = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(decode(read_picture_file(path, 1 << 20)), expected)


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


NOT_FILES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "FIFO": (make_fifo, "unsupported", "a FIFO"),
    "socket": (make_socket, "unsupported", "a socket"),
    "directory": (Path.mkdir, "unsupported", "a directory"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "unsupported", "a device"),
    "loop of links": (lambda path: path.symlink_to(path), "unreadable", "levels of symbolic links"),
    "dangling link": (lambda path: path.symlink_to("nowhere"), "unreadable", "No such file"),
    "missing": (lambda path: None, "unreadable", "No such file"),
    "too large": (lambda path: path.write_bytes(bytes(1025)), "too_large", "1025"),
}


@pytest.mark.timeout(5)
@pytest.mark.parametrize("case", NOT_FILES)
def test_reads_regular_files_only(case: str, tmp_path: Path) -> None:
    """Nothing is waited for, and no device is opened."""
    make, reason, words = NOT_FILES[case]
    path = tmp_path / "a.jpg"
    make(path)

    with pytest.raises(PictureError, match=rf"a\.jpg: .*{words}") as caught:
        read_picture_file(path, 1024)

    assert caught.value.reason == reason


def test_reads_a_file_of_just_the_limit_through_a_link(tmp_path: Path) -> None:
    """Links to regular files are followed; the limit itself is allowed."""
    (tmp_path / "a.jpg").write_bytes(bytes(1024))
    (tmp_path / "b.jpg").symlink_to("a.jpg")

    assert read_picture_file(tmp_path / "b.jpg", 1024) == bytes(1024)


def test_a_file_of_the_kernels_own_is_not_read(tmp_path: Path) -> None:
    """What has no bytes by its size is empty: to read on in /proc can wait, or be an action."""
    (tmp_path / "a.jpg").symlink_to("/proc/self/status")

    assert read_picture_file(tmp_path / "a.jpg", 1024) == b""


def test_a_file_that_would_have_to_be_waited_for_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some regular files give nothing for now, as /proc/kmsg without news: a picture like that ends nothing."""
    (tmp_path / "a.jpg").write_bytes(b"1")
    monkeypatch.setattr(os, "fdopen", lambda descriptor, _: closing(Waiting(descriptor)))
    with pytest.raises(PictureError, match=r"a\.jpg: cannot be read without waiting"):
        read_picture_file(tmp_path / "a.jpg", 1024)


class Waiting:
    """An open file that has nothing for now."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, _: int) -> None:
        return None

    def close(self) -> None:
        os.close(self._descriptor)


def lzw_tiff(rows: int = 200, strips: int = 1) -> tuple[bytes, int, int]:
    """A grey LZW TIFF by OpenCV's own libtiff; where its first strip lies, and how long it is."""
    pixels = cv2.GaussianBlur(np.random.default_rng(3).integers(0, 256, (rows, 300), np.uint8), (7, 7), 2)
    data = encode(".tif", pixels, cv2.IMWRITE_TIFF_COMPRESSION, 5, cv2.IMWRITE_TIFF_ROWSPERSTRIP, rows // strips)
    with Image.open(io.BytesIO(data)) as picture:
        tags = picture.tag_v2  # type: ignore[attr-defined]
        return data, int(tags[273][0]), int(tags[279][0])


def test_no_row_of_an_lzw_tiff_is_ever_made_up() -> None:
    """One flipped bit in a strip gives a whole picture of other grey values or a refusal, never rows of black."""
    data, start, length = lzw_tiff()
    rng = np.random.default_rng(11)
    refused = 0
    for _ in range(150):
        damaged = bytearray(data)
        damaged[start + int(rng.integers(length))] ^= 1 << int(rng.integers(8))
        try:
            pixels = decode(bytes(damaged))
        except PictureError as exc:
            refused += exc.reason == Cause.UNREADABLE
        else:
            assert pixels.any(axis=1).all()

    assert 5 < refused < 100


def test_an_lzw_strip_without_its_end_code_is_whole() -> None:
    """A strip is whole when it yields its bytes: writers that pad it, or leave out the end code, are read."""
    data, start, length = lzw_tiff()
    whole = decode(data)
    cut = bytearray(data)
    tail = int.from_bytes(cut[start + length - 4 : start + length])
    tail -= 257 * (tail & -tail)  # the end code, wherever its lowest bit lies
    cut[start + length - 4 : start + length] = tail.to_bytes(4)

    np.testing.assert_array_equal(decode(bytes(cut)), whole)


@pytest.mark.parametrize(
    ("change", "taken"),
    [
        pytest.param(lambda part: part, True, id="as it is"),
        pytest.param(lambda part: part[:-4], True, id="without its checksum"),
        pytest.param(lambda part: part[:-4] + b"\0\0\0\0", False, id="with a wrong checksum"),
        pytest.param(lambda part: part[: len(part) // 2], False, id="half"),
        pytest.param(lambda part: zlib.compress(zlib.decompress(part) + bytes(56 * 3)), True, id="filled up"),
    ],
)
def test_a_deflated_strip_is_judged_by_what_it_yields(change: Callable[[bytes], bytes], taken: bool) -> None:
    """A missing checksum and a filled last strip are no damage; missing pixels and a wrong checksum are."""
    part = change(zlib.compress(GREY.tobytes()))
    data = tiff(GREY, 1, compression=8)
    good = zlib.compress(GREY.tobytes())
    assert good in data
    at = data.index(good)
    moved = bytearray(data) + part
    entry = data.index(struct.pack("<HHI", 273, 4, 1))
    moved[entry + 8 : entry + 12] = struct.pack("<I", len(data))
    count = data.index(struct.pack("<HHI", 279, 4, 1))
    moved[count + 8 : count + 12] = struct.pack("<I", len(part))
    assert at
    if taken:
        np.testing.assert_array_equal(decode(bytes(moved)), GREY)
    else:
        with pytest.raises(PictureError):
            decode(bytes(moved))


@pytest.mark.parametrize(
    ("kind", "depth", "colour", "allowed_px"),
    [("PNG RGBA 16", 16, 6, 16 << 20), ("PNG RGB 16", 16, 2, 22 << 20), ("PNG grey 16", 16, 0, 64 << 20)],
)
def test_a_small_file_that_needs_much_memory_is_refused_by_its_header(
    kind: str, depth: int, colour: int, allowed_px: int
) -> None:
    """Pixels, channels and depth are counted before anything is decoded, whatever the limit of pixels says."""
    side = isqrt(allowed_px) + 50
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, depth, colour, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")

    with pytest.raises(PictureError, match=f"{kind[:3]} needs more than 83886080 bytes of memory") as caught:
        decode(data, max_px=10**9)

    assert caught.value.reason == Cause.TOO_LARGE


def test_jpeg_ls_is_named() -> None:
    """Its coded bytes look like markers, so it would be called a truncated JPEG."""
    frame = bytes.fromhex("fff7 000b 08 0010 0010 01 01 11 00")
    scan = bytes.fromhex("ffda 0008 01 01 00 00 00 00")
    data = b"\xff\xd8" + frame + scan + b"\xff\x01\xff\x7f" * 9 + b"\xff\xd9"

    with pytest.raises(PictureError, match="JPEG-LS") as caught:
        decode_picture(data, name="a.jpg", max_px=1000)

    assert caught.value.reason == Cause.UNSUPPORTED
