"""Line-scan streams: raw grey lines, or PGM or Y4M pictures end to end, cut into overlapping frames.

They are read from a FIFO, a file, a TCP or Unix socket or standard input, to which `ffmpeg`, GStreamer or a grabber's
own tool writes. Nothing is dropped: while the inspection is busy nothing is read, and the writer waits.

A frame ends where its last line ends. When the stream ends in the middle, the whole lines that came are a last, shorter
frame, and what was left of a broken line is a gap. When the source is closed in the middle, whole lines are not lost
either. The next connection starts a new epoch at line 0 of its own, so no remainder ever shears the picture.

What cannot be seen: a FIFO does not distinguish one writer from the next if the second opens it before the end of the
first was read. If a writer of raw lines may die in mid-line and return within milliseconds, use a socket, or PGM.
"""

from __future__ import annotations

import threading

from inspector.errors import ConfigError, SourceError
from inspector.frame import Cause, Frame, Gap
from inspector.settings.source import LinesOptions
from inspector.sources.base import EndOfSource, Policy, SourceContext
from inspector.sources.channel import Broken, Incoming, Malformed, check_address, open_channel
from inspector.sources.framing import FrameCutter, Items, play_pgm, play_raw, play_y4m


class LinesSource:
    """Cuts a stream of lines into frames of `frame_lines`; the first `overlap_lines` repeat the previous frame.

    Args:
        options: The section `[source]`.
        context: Time and epochs.

    Raises:
        ConfigError: Not an address, or a frame would have more pixels than allowed.
    """

    policy = Policy.LOSSLESS

    def __init__(self, options: LinesOptions, context: SourceContext) -> None:
        check_address(options.path)
        if (options.width_px or 0) * options.frame_lines > options.max_frame_px:
            raise ConfigError(
                f"source.frame_lines x source.width_px exceeds source.max_frame_px ({options.max_frame_px}):"
                f" {options.frame_lines}x{options.width_px}"
            )
        self.description = "lines from standard input" if options.path == "-" else f"lines from {options.path}"
        self._options = options
        self._context = context
        self._busy = threading.Lock()  # held by `read`; its holder may close the channel
        self._closed = threading.Event()
        self._incoming: Incoming | None = None
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
            self._incoming = Incoming(
                open_channel(self._options.path, self._options.open_timeout_s), self._context.clock, self._closed
            )
        if self._items is None:
            self._items = self._play(self._incoming)
        try:
            return next(self._items)
        except EndOfSource:
            self._ended = True
            self._release()
            raise
        except SourceError:
            self._items = None  # no epoch was allocated; what was read waits for the next try
            raise
        except Malformed as exc:
            self._release()  # the writer to a FIFO must notice too: what follows makes no sense
            raise SourceError(f"{self.description}: {exc}") from exc
        except OSError as exc:
            self._release()
            raise SourceError(f"{self.description}: {exc.strerror or exc}") from exc
        except _WriterGone as exc:
            self._items = None  # a FIFO stays open, or the next writer would meet a closed one
            if not self._incoming.channel.is_fifo:
                self._release()
            raise SourceError(f"{self.description}: {exc}") from exc

    def _play(self, incoming: Incoming) -> Items:
        """Yield the frames of one writer, None while it is silent, and raise at its end."""
        channel = incoming.channel
        if not (yield from incoming.wait()):
            raise self._end(incoming, "nobody writes to it" if channel.is_fifo else "the stream ended")
        cutter = FrameCutter(self._options, self._context, channel)
        malformed: Malformed | None = None
        broken = ""
        try:
            match self._options.format:
                case "mono8":
                    cutter.begin(self._options.width_px or 0)
                    yield from play_raw(incoming, cutter)
                case "pgm":
                    yield from play_pgm(incoming, cutter)
                case "y4m":
                    yield from play_y4m(incoming, cutter)
        except Broken as exc:
            broken = str(exc)
        except Malformed as exc:
            malformed = exc
        if (rest := cutter.take_rest()) is not None:
            yield rest
        if broken or cutter.spare_bytes:
            now = cutter.now()
            text = f"{self.description}: {broken or f'the stream ended in a line after {cutter.spare_bytes} bytes'}"
            yield Gap(Cause.PARTIAL, now, now, cutter.epoch, detail=text)
        raise malformed or self._end(incoming, "the stream ended")

    @staticmethod
    def _end(incoming: Incoming, words: str) -> Exception:
        if incoming.failure is not None:
            return incoming.failure
        return _WriterGone(words) if incoming.channel.reconnects else EndOfSource()


class _WriterGone(Exception):  # noqa: N818
    """The stream ended; another writer may come."""
