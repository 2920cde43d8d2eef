"""Line-scan streams: raw grey lines, or PGM or Y4M pictures end to end, cut into overlapping frames.

Read from a FIFO, a file, a TCP or Unix socket or standard input: whatever `ffmpeg`, GStreamer or a grabber's own tool
writes. Nothing is dropped: while the inspection is busy nothing is read, and the writer waits.

A frame ends where its last line ends. When the stream ends in the middle, the whole lines that came are a last, shorter
frame, and what was left of a broken line is a gap. When the source is closed in the middle, whole lines are not lost
either. The next connection starts a new epoch at line 0 of its own, so no remainder ever shears the picture.

What cannot be seen: a FIFO does not tell one writer from the next if the second opens it before the end of the first
was read. Where a writer of raw lines may die in mid-line and be back within milliseconds, use a socket, or PGM.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import stat
import sys
import threading
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import numpy as np

from inspector.clock import Clock
from inspector.errors import ConfigError, SourceError
from inspector.frame import Cause, Frame, Gap, Pixels
from inspector.settings.sections import Source
from inspector.sources.base import READ_TIMEOUT_S, EndOfSource, Policy, SourceContext

MAX_HEADER_BYTES = 1024
MAX_WIDTH_PX = 65_536
PIPE_BYTES = 1 << 20
"""Asked of the kernel for a FIFO: fewer, larger reads."""
KEEPALIVE_S = (10, 5, 3)
"""TCP: idle before the first probe, pause between probes, probes; a peer without power is noticed in 25 s."""

Item = Frame | Gap | None
Items = Generator[Item, None, None]


class LinesSource:
    """Cuts a stream of lines into frames of `frame_lines`, of which the first `overlap_lines` repeat the frame before.

    Args:
        values: The section `[source]`.
        context: Time and epochs.

    Raises:
        ConfigError: The address is none, or a frame would have more pixels than allowed.
    """

    policy = Policy.LOSSLESS

    def __init__(self, values: Source, context: SourceContext) -> None:
        _check_address(values.path)
        if (values.width_px or 0) * values.frame_lines > values.max_frame_px:
            raise ConfigError(
                f"source.frame_lines x source.width_px exceeds source.max_frame_px ({values.max_frame_px}):"
                f" {values.frame_lines}x{values.width_px}"
            )
        self.description = "lines from standard input" if values.path == "-" else f"lines from {values.path}"
        self._values = values
        self._context = context
        self._busy = threading.Lock()  # held by `read`; whoever holds it may close the channel
        self._closed = threading.Event()
        self._incoming: _Incoming | None = None
        self._items: Items | None = None
        self._ended = False

    def read(self) -> Frame | Gap | None:
        """Return the next frame or gap; see `FrameSource`."""
        with self._busy:
            try:
                return None if self._closed.is_set() else self._read()
            finally:
                if self._closed.is_set():
                    self._release()

    def done(self, item: Frame | Gap) -> None:
        """A line exists only once; see `FrameSource`."""

    def close(self) -> None:
        """Close the stream now, or when `read` returns within `READ_TIMEOUT_S`; see `FrameSource`."""
        self._closed.set()
        if self._busy.acquire(blocking=False):
            try:
                self._release()
            finally:
                self._busy.release()

    def _release(self) -> None:
        self._items = None
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            incoming.channel.close()

    def _read(self) -> Frame | Gap | None:
        if self._ended:
            raise EndOfSource
        if self._incoming is None:
            self._incoming = _Incoming(_open_channel(self._values), self._context.clock, self._closed)
        if self._items is None:
            self._items = self._play(self._incoming)
        try:
            return next(self._items)
        except EndOfSource:
            self._ended = True
            self._release()
            raise
        except SourceError:
            self._items = None  # no epoch could be had; what was read waits for the next try
            raise
        except _Malformed as exc:
            self._release()  # a writer to a FIFO is told, too: what follows makes no sense
            raise SourceError(f"{self.description}: {exc}") from exc
        except OSError as exc:
            self._release()
            raise SourceError(f"{self.description}: {exc.strerror or exc}") from exc
        except _WriterGone as exc:
            self._items = None  # a FIFO stays open, or the next writer would meet a closed one
            if not self._incoming.channel.is_fifo:
                self._release()
            raise SourceError(f"{self.description}: {exc}") from exc

    def _play(self, incoming: _Incoming) -> Items:
        """Yield the frames of one writer, None while it is silent, and raise at its end."""
        channel = incoming.channel
        if not (yield from incoming.wait()):
            raise self._end(incoming, "nobody writes to it" if channel.is_fifo else "the stream ended")
        strip = _Strip(self._values, self._context, channel)
        malformed: _Malformed | None = None
        broken = ""
        try:
            match self._values.format:
                case "mono8":
                    strip.begin(self._values.width_px or 0)
                    yield from self._play_raw(incoming, strip)
                case "pgm":
                    yield from self._play_pgm(incoming, strip)
                case "y4m":
                    yield from self._play_y4m(incoming, strip)
        except _Broken as exc:
            broken = str(exc)
        except _Malformed as exc:
            malformed = exc
        if (rest := strip.take_rest()) is not None:
            yield rest
        if broken or strip.spare_bytes:
            now = strip.now()
            text = f"{self.description}: {broken or f'the stream ended in a line after {strip.spare_bytes} bytes'}"
            yield Gap(Cause.PARTIAL, now, now, strip.epoch, detail=text)
        raise malformed or self._end(incoming, "the stream ended")

    @staticmethod
    def _end(incoming: _Incoming, words: str) -> Exception:
        if incoming.failure is not None:
            return incoming.failure
        return _WriterGone(words) if incoming.channel.reconnects else EndOfSource()

    def _play_raw(self, incoming: _Incoming, strip: _Strip) -> Items:
        while True:
            yield from strip.fill_from(incoming)
            if not strip.is_full:
                return
            yield strip.take()

    def _play_pgm(self, incoming: _Incoming, strip: _Strip) -> Items:
        while (yield from incoming.skip_white()):
            width, height = yield from _read_pgm_header(incoming)
            strip.begin(width)
            yield from self._play_block(incoming, strip, height)

    def _play_y4m(self, incoming: _Incoming, strip: _Strip) -> Items:
        line = yield from incoming.read_line()
        width, height, chroma_bytes = _parse_y4m_header(line)
        strip.begin(width)
        while (yield from incoming.wait()):
            line = yield from incoming.read_line()
            if line.split(b" ")[0] != b"FRAME":
                raise _Malformed(f"a Y4M frame begins with 'FRAME': {line[:20]!r}")
            yield from self._play_block(incoming, strip, height)
            if (yield from incoming.skip(chroma_bytes)) < chroma_bytes:
                raise _Broken("the stream ended in the colour of a Y4M frame")

    def _play_block(self, incoming: _Incoming, strip: _Strip, lines: int) -> Items:
        left = lines * strip.width_px
        while left:
            left -= yield from strip.fill_from(incoming, left)
            if strip.is_full:
                yield strip.take()
            elif left:
                whole = (lines * strip.width_px - left) // strip.width_px
                raise _Broken(f"the stream ended in a picture after {whole} of {lines} lines")


class _Malformed(Exception):  # noqa: N818 - becomes a SourceError with the stream's name
    """What came is not in the format that was announced."""


class _Broken(Exception):  # noqa: N818
    """The stream ended where it should not have."""


class _WriterGone(Exception):  # noqa: N818
    """The stream ended; another writer may come."""


# --- Frames -----------------------------------------------------------------------------------------------------------


class _Strip:
    """The frame that is being filled."""

    def __init__(self, values: Source, context: SourceContext, channel: _Channel) -> None:
        self._values = values
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
        wanted = self.width_px or self._values.width_px or width_px
        if width_px != wanted:
            raise _Malformed(f"lines of {wanted} pixels are expected: {width_px}")
        if width_px * self._values.frame_lines > self._values.max_frame_px:
            raise _Malformed(
                f"a frame has more than {self._values.max_frame_px} pixels: {self._values.frame_lines}x{width_px}"
            )
        self.width_px = width_px
        self._pixels = np.empty((self._values.frame_lines, width_px), np.uint8)

    @property
    def is_full(self) -> bool:
        return self._filled_bytes == self._pixels.size

    @property
    def spare_bytes(self) -> int:
        """Bytes of a line that is not whole."""
        return self._filled_bytes % self.width_px if self.width_px else 0

    def now(self) -> datetime:
        return self._channel.written_at or self._context.clock.now()

    def fill_from(self, incoming: _Incoming, limit: int | None = None) -> Generator[Item, None, int]:
        """Read until the frame is full, `limit` bytes came or the stream ended; returns how many bytes came."""
        taken = yield from incoming.read_into(self._pixels.data.cast("B")[self._filled_bytes :][:limit])
        self._filled_bytes += taken
        return taken

    def take(self) -> Frame:
        """Return the full frame and begin the next one with its last lines."""
        frame = self._to_frame(self._pixels, complete=True)
        overlap = self._values.overlap_lines
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
            independent=bool(self._values.independent),
            complete=complete,
        )


# --- Headers ----------------------------------------------------------------------------------------------------------


def _read_pgm_header(incoming: _Incoming) -> Generator[Item, None, tuple[int, int]]:
    magic = bytearray()
    for _ in range(2):
        magic += yield from incoming.read_byte()
    if magic != b"P5":
        raise _Malformed(f"a PGM picture begins with 'P5': {bytes(magic)!r}")
    width = yield from _read_pgm_number(incoming)
    height = yield from _read_pgm_number(incoming)
    maximum = yield from _read_pgm_number(incoming)
    if maximum != 255:
        raise _Malformed(f"PGM with a maximum of 255 is expected: {maximum}")
    if not (0 < width <= MAX_WIDTH_PX and height):
        raise _Malformed(f"PGM with 1 to {MAX_WIDTH_PX} pixels a line is expected: {width}x{height}")
    return width, height


def _read_pgm_number(incoming: _Incoming) -> Generator[Item, None, int]:
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
            raise _Broken("the stream ended in a PGM header")
        elif not byte.isspace():
            break
    raise _Malformed(f"a number is expected in a PGM header: {digits + byte!r}")


def _parse_y4m_header(line: bytes) -> tuple[int, int, int]:
    """Return width, height and how many bytes of colour follow each picture."""
    magic, *fields = line.split(b" ")
    if magic != b"YUV4MPEG2":
        raise _Malformed(f"a Y4M stream begins with 'YUV4MPEG2': {line[:20]!r}")
    known = {field[:1]: field[1:] for field in fields if field}
    sizes = known.get(b"W", b""), known.get(b"H", b"")
    if not all(size.isdigit() and int(size) for size in sizes) or int(sizes[0]) > MAX_WIDTH_PX:
        raise _Malformed(f"Y4M with 1 to {MAX_WIDTH_PX} pixels a line is expected: {line[:60]!r}")
    width, height = (int(size) for size in sizes)
    kind = known.get(b"C", b"420")
    if kind == b"mono":
        return width, height, 0
    if kind in (b"420", b"420jpeg", b"420mpeg2", b"420paldv"):
        return width, height, 2 * ((width + 1) // 2) * ((height + 1) // 2)
    raise _Malformed(f"Y4M of 8 bits, mono or 4:2:0, is expected: C{kind.decode('ascii', 'replace')}")


# --- Bytes ------------------------------------------------------------------------------------------------------------


class _Owner(Protocol):
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Channel:
    """An open stream.

    Attributes:
        fd: Its descriptor.
        is_fifo: It outlives its writers.
        reconnects: After its end another writer may come.
        identity: Of what is read, where it can be read again: a file.
        written_at: When that was written.
        owner: Closes the descriptor; None leaves it open.
    """

    fd: int
    is_fifo: bool = False
    reconnects: bool = True
    identity: str | None = None
    written_at: datetime | None = None
    owner: _Owner | None = None

    def read_into(self, view: memoryview) -> int | None:
        """Read what is there, at least a byte; 0 at the end, None when nothing came in `READ_TIMEOUT_S`."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        if not poll.poll(READ_TIMEOUT_S * 1000) and not self.is_fifo:
            return None
        try:
            return os.readv(self.fd, [view])
        except BlockingIOError:  # a FIFO with a silent writer; without any it gives 0
            return None

    def close(self) -> None:
        """Let the writer know that nobody reads."""
        if self.owner is not None:
            self.owner.close()


class _Incoming:
    """Takes bytes from a channel; each method is to be used with `yield from`.

    They yield None while nothing comes, and once in `READ_TIMEOUT_S` while bytes trickle in: a slow line is not stuck.
    """

    def __init__(self, channel: _Channel, clock: Clock, closed: threading.Event) -> None:
        self.channel = channel
        self._clock = clock
        self._closed = closed
        self._spoke_s = clock.monotonic()
        self.failure: OSError | None = None  # why the stream ended, if it was no plain end
        self._ahead = bytearray()  # read while looking for the end of a header

    def read_into(self, view: memoryview) -> Generator[Item, None, int]:
        """Fill `view`; returns less than its length at the end of the stream only."""
        at = min(len(view), len(self._ahead))
        view[:at] = self._ahead[:at]
        del self._ahead[:at]
        while at < len(view):
            count = yield from self._receive(view[at:])
            if not count:
                break
            at += count
            if self._clock.monotonic() - self._spoke_s >= READ_TIMEOUT_S and not self._is_over():
                self._spoke_s = self._clock.monotonic()
                yield None
        return at

    def _is_over(self) -> bool:
        return self._closed.is_set() and self.channel.identity is None

    def _receive(self, view: memoryview) -> Generator[Item, None, int]:
        try:
            # Once closed a stream ends here, as nobody sends again what came of it; the frame of a file is made full.
            while not self._is_over():
                if (count := self.channel.read_into(view)) is not None:
                    return count
                if not self._is_over():
                    yield None
        except OSError as exc:
            self.failure = exc
        return 0

    def wait(self) -> Generator[Item, None, bool]:
        """Wait for a byte; False at the end of the stream."""
        if not self._ahead:
            chunk = bytearray(MAX_HEADER_BYTES)
            count = yield from self._receive(memoryview(chunk))
            self._ahead += chunk[:count]
        return bool(self._ahead)

    def read_byte(self) -> Generator[Item, None, bytes]:
        """Return one byte, or none at the end of the stream."""
        if not (yield from self.wait()):
            return b""
        byte = bytes(self._ahead[:1])
        del self._ahead[:1]
        return byte

    def read_line(self) -> Generator[Item, None, bytes]:
        """Return a header line without its end."""
        line = bytearray()
        while (byte := (yield from self.read_byte())) != b"\n":
            if not byte:
                raise _Broken("the stream ended in a header")
            line += byte
            if len(line) > MAX_HEADER_BYTES:
                raise _Malformed(f"a header line has at most {MAX_HEADER_BYTES} bytes: {bytes(line[:20])!r}")
        return bytes(line)

    def skip_white(self) -> Generator[Item, None, bool]:
        """Skip white space; False at the end of the stream."""
        while (yield from self.wait()):
            if not self._ahead[:1].isspace():
                return True
            del self._ahead[:1]
        return False

    def skip(self, count: int) -> Generator[Item, None, int]:
        """Skip bytes; returns how many there were."""
        return (yield from self.read_into(memoryview(bytearray(count))))


def _check_address(path: str) -> None:
    if "://" not in path:
        return
    url = urlsplit(path)
    try:
        good = (url.scheme == "tcp" and url.hostname and url.port) or (url.scheme == "unix" and (url.netloc + url.path))
    except ValueError:
        good = False
    if not good:
        raise ConfigError(f"source.path: a path, tcp://HOST:PORT, unix://PATH or '-' is wanted: {path}")


def _open_channel(values: Source) -> _Channel:
    path = values.path
    try:
        if path == "-":
            return _Channel(sys.stdin.fileno(), reconnects=False)
        if path.startswith("tcp://"):
            url = urlsplit(path)
            return _from_socket(socket.create_connection((url.hostname, url.port), values.open_timeout_s))
        if path.startswith("unix://"):
            client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                client.settimeout(values.open_timeout_s)
                client.connect(path.removeprefix("unix://"))
            except BaseException:
                client.close()
                raise
            return _from_socket(client)
        return _open_path(Path(path))
    except (OSError, ValueError) as exc:
        why = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
        raise SourceError(f"lines cannot be read from {path}: {why}") from exc


def _from_socket(client: socket.socket) -> _Channel:
    client.settimeout(None)
    if client.family != socket.AF_UNIX:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        for option, value in zip(options, KEEPALIVE_S, strict=True):
            client.setsockopt(socket.IPPROTO_TCP, option, value)
    return _Channel(client.fileno(), owner=client)


def _open_path(path: Path) -> _Channel:
    kind = path.stat().st_mode  # before opening: to open a device can be an action
    if stat.S_ISSOCK(kind):
        raise SourceError(f"lines cannot be read from {path}: it is a socket: write unix://{path}")
    if not (stat.S_ISFIFO(kind) or stat.S_ISREG(kind)):
        raise SourceError(f"lines cannot be read from {path}: neither a FIFO nor a file")
    file = open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0)  # noqa: SIM115, PTH123
    fd, found = file.fileno(), os.fstat(file.fileno())
    if stat.S_ISFIFO(found.st_mode):
        with contextlib.suppress(OSError):
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        return _Channel(fd, is_fifo=True, owner=file)
    return _Channel(
        fd,
        owner=file,
        reconnects=False,
        identity=f"{path.name}:{found.st_size}:{found.st_mtime_ns}",
        written_at=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=found.st_mtime_ns // 1000),
    )
