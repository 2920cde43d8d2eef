"""From bytes to frames: raw lines, PGM and Y4M headers, and lines cut into overlapping frames.

Each `play_*` yields frames as the bytes come in and None while they do not, and returns at the end of the stream.
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime

import numpy as np

from inspector.frame import Frame, Gap, Pixels
from inspector.settings.source import LinesOptions
from inspector.sources.base import SourceContext
from inspector.sources.channel import MAX_HEADER_BYTES, Broken, Channel, Incoming, Malformed

MAX_WIDTH_PX = 65_536

Items = Generator[Frame | Gap | None, None, None]
"""What a source hands out; None while there is nothing."""


class FrameCutter:
    """Fills a frame with lines; the last lines of a full one are the first of the next.

    Args:
        options: The section `[source]`.
        context: Time and epochs.
        channel: What is read: its identity and time are those of the frames, where it has any.

    Attributes:
        epoch: Of all its frames: one connection, one epoch.
        width_px: Of its lines; 0 before `begin`.

    Raises:
        SourceError: No epoch could be allocated.
    """

    def __init__(self, options: LinesOptions, context: SourceContext, channel: Channel) -> None:
        self._options = options
        self._context = context
        self._channel = channel
        self._next_frame_id = self._first_line = self._overlap_lines = self._filled_bytes = 0
        self._pixels: Pixels = np.empty((0, 0), np.uint8)
        self.epoch = context.next_epoch()
        self.width_px = 0

    def begin(self, width_px: int) -> None:
        """Set the width, once for all lines of an epoch."""
        if self.width_px == width_px:
            return
        wanted = self.width_px or self._options.width_px or width_px
        if width_px != wanted:
            raise Malformed(f"lines of {wanted} pixels are expected: {width_px}")
        if width_px * self._options.frame_lines > self._options.max_frame_px:
            raise Malformed(
                f"a frame has more than {self._options.max_frame_px} pixels: {self._options.frame_lines}x{width_px}"
            )
        self.width_px = width_px
        self._pixels = np.empty((self._options.frame_lines, width_px), np.uint8)

    @property
    def is_full(self) -> bool:
        """Whether `take` may be called."""
        return self._filled_bytes == self._pixels.size

    @property
    def spare_bytes(self) -> int:
        """Bytes of a line that is not whole."""
        return self._filled_bytes % self.width_px if self.width_px else 0

    def now(self) -> datetime:
        """Return when the lines that are read now were written: now, or the time of the file."""
        return self._channel.written_at or self._context.clock.now()

    def fill_from(self, incoming: Incoming, limit: int | None = None) -> Generator[None, None, int]:
        """Read until the frame is full, `limit` bytes came or the stream ended; returns how many bytes came."""
        taken = yield from incoming.read_into(self._pixels.data.cast("B")[self._filled_bytes :][:limit])
        self._filled_bytes += taken
        return taken

    def take(self) -> Frame:
        """Return the full frame and begin the next one with its last lines."""
        frame = self._to_frame(self._pixels, complete=True)
        overlap = self._options.overlap_lines
        self._pixels = np.empty_like(frame.pixels)
        if overlap:
            self._pixels[:overlap] = frame.pixels[-overlap:]
        self._first_line += frame.height_px - overlap
        self._overlap_lines = overlap
        self._filled_bytes = overlap * self.width_px
        return frame

    def take_rest(self) -> Frame | None:
        """Return the whole lines of an unfinished frame, if there is a new one among them."""
        lines = self._filled_bytes // self.width_px if self.width_px else 0
        return self._to_frame(self._pixels[:lines], complete=False) if lines > self._overlap_lines else None

    def _to_frame(self, pixels: Pixels, *, complete: bool) -> Frame:
        frame_id, self._next_frame_id = self._next_frame_id, self._next_frame_id + 1
        if self._channel.identity is not None:
            identity = f"{self._channel.identity}:{self._first_line}"
        else:
            identity = self._context.stream_identity(self.epoch, self._first_line)
        return Frame(
            pixels=pixels,
            epoch=self.epoch,
            frame_id=frame_id,
            captured_at=self.now(),
            captured_mono_s=self._context.clock.monotonic(),
            identity=identity,
            first_line=self._first_line,
            overlap_lines=self._overlap_lines,
            independent=bool(self._options.independent),
            complete=complete,
        )


def play_raw(incoming: Incoming, cutter: FrameCutter) -> Items:
    """Yield the frames of bare lines; the cutter knows their width."""
    while True:
        yield from cutter.fill_from(incoming)
        if not cutter.is_full:
            return
        yield cutter.take()


def play_pgm(incoming: Incoming, cutter: FrameCutter) -> Items:
    """Yield the frames of PGM pictures (P5, 8 bits) end to end: their lines are one stream.

    Raises:
        Malformed: The bytes are not such a picture, or its width differs from the previous one.
        Broken: The stream ended in a picture.
    """
    while (yield from incoming.skip_white()):
        width, height = yield from _read_pgm_header(incoming)
        cutter.begin(width)
        yield from _play_block(incoming, cutter, height)


def play_y4m(incoming: Incoming, cutter: FrameCutter) -> Items:
    """Yield the frames of a Y4M stream (8 bits, mono or 4:2:0): the lines of its luma are one stream.

    Raises:
        Malformed: The bytes are not such a stream.
        Broken: The stream ended in a picture.
    """
    line = yield from incoming.read_line()
    width, height, chroma_bytes = _parse_y4m_header(line)
    cutter.begin(width)
    while (yield from incoming.wait()):
        line = yield from incoming.read_line()
        if line.split(b" ")[0] != b"FRAME":
            raise Malformed(f"a Y4M frame begins with 'FRAME': {line[:20]!r}")
        yield from _play_block(incoming, cutter, height)
        if (yield from incoming.skip(chroma_bytes)) < chroma_bytes:
            raise Broken("the stream ended in the colour of a Y4M frame")


def _play_block(incoming: Incoming, cutter: FrameCutter, lines: int) -> Items:
    left = lines * cutter.width_px
    while left:
        left -= yield from cutter.fill_from(incoming, left)
        if cutter.is_full:
            yield cutter.take()
        elif left:
            whole = (lines * cutter.width_px - left) // cutter.width_px
            raise Broken(f"the stream ended in a picture after {whole} of {lines} lines")


def _read_pgm_header(incoming: Incoming) -> Generator[None, None, tuple[int, int]]:
    magic = bytearray()
    for _ in range(2):
        magic += yield from incoming.read_byte()
    if magic != b"P5":
        raise Malformed(f"a PGM picture begins with 'P5': {bytes(magic)!r}")
    width = yield from _read_pgm_number(incoming)
    height = yield from _read_pgm_number(incoming)
    maximum = yield from _read_pgm_number(incoming)
    if maximum != 255:
        raise Malformed(f"PGM with a maximum of 255 is expected: {maximum}")
    if not (0 < width <= MAX_WIDTH_PX and height):
        raise Malformed(f"PGM with 1 to {MAX_WIDTH_PX} pixels a line is expected: {width}x{height}")
    return width, height


def _read_pgm_number(incoming: Incoming) -> Generator[None, None, int]:
    digits = b""
    for _ in range(MAX_HEADER_BYTES):
        byte = yield from incoming.read_byte()
        if byte.isdigit() and len(digits) < 9:
            digits += byte
        elif byte.isspace() and digits:
            return int(digits)
        elif byte == b"#" and not digits:
            yield from incoming.read_line()
        elif not byte:
            raise Broken("the stream ended in a PGM header")
        elif not byte.isspace():
            break
    raise Malformed(f"a number is expected in a PGM header: {digits + byte!r}")


def _parse_y4m_header(line: bytes) -> tuple[int, int, int]:
    """Return width, height and how many bytes of colour follow each picture."""
    magic, *fields = line.split(b" ")
    if magic != b"YUV4MPEG2":
        raise Malformed(f"a Y4M stream begins with 'YUV4MPEG2': {line[:20]!r}")
    known = {field[:1]: field[1:] for field in fields if field}
    sizes = known.get(b"W", b""), known.get(b"H", b"")
    if not all(size.isdigit() and int(size) for size in sizes) or int(sizes[0]) > MAX_WIDTH_PX:
        raise Malformed(f"Y4M with 1 to {MAX_WIDTH_PX} pixels a line is expected: {line[:60]!r}")
    width, height = (int(size) for size in sizes)
    kind = known.get(b"C", b"420")
    if kind == b"mono":
        return width, height, 0
    if kind in (b"420", b"420jpeg", b"420mpeg2", b"420paldv"):
        return width, height, 2 * ((width + 1) // 2) * ((height + 1) // 2)
    raise Malformed(f"Y4M of 8 bits, mono or 4:2:0, is expected: C{kind.decode('ascii', 'replace')}")
