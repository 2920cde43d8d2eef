"""Where lines come from: a FIFO, a file, a TCP or Unix socket or standard input, opened and read byte by byte.

What is not done: no byte is interpreted here (`framing` does that), and nothing is retried (`reader` does that).
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
from datetime import datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from inspector.clock import Clock
from inspector.errors import ConfigError, SourceError
from inspector.sources.base import READ_TIMEOUT_S
from inspector.sources.file_time import FileTimes

MAX_HEADER_BYTES = 1024
PIPE_BYTES = 1 << 20
"""Asked of the kernel for a FIFO: fewer, larger reads."""
KEEPALIVE_S = (10, 5, 3)
"""TCP: idle before the first probe, pause between probes, probes; a peer without power is noticed in 25 s."""


class Malformed(Exception):  # noqa: N818 - becomes a SourceError with the stream's name
    """What came is not in the format that was announced."""


class Broken(Exception):  # noqa: N818
    """The stream ended where it should not have."""


class _Owner(Protocol):
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Channel:
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
        """Close the reading end, so that the writer notices."""
        if self.owner is not None:
            self.owner.close()


class Incoming:
    """Takes bytes from a channel; each method that waits is used with `yield from`.

    They yield None while nothing comes, and once in `READ_TIMEOUT_S` while bytes trickle in: a slow line is not stuck.

    Args:
        channel: Where they come from.
        clock: Time.
        closed: Set when the source is closed: a stream then ends here, a file is read on.

    Attributes:
        channel: Where they come from.
        failure: Why the stream ended, if it did not end as it should.
    """

    def __init__(self, channel: Channel, clock: Clock, closed: threading.Event) -> None:
        self.channel = channel
        self.failure: OSError | None = None
        self._clock = clock
        self._closed = closed
        self._spoke_s = clock.monotonic()
        self._ahead = bytearray()  # read while looking for the end of a header

    def read_into(self, view: memoryview) -> Generator[None, None, int]:
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

    def _receive(self, view: memoryview) -> Generator[None, None, int]:
        try:
            # Once closed, a stream ends here, because what came of it will not come again; a file's frame is completed.
            while not self._is_over():
                if (count := self.channel.read_into(view)) is not None:
                    return count
                if not self._is_over():
                    yield None
        except OSError as exc:
            self.failure = exc
        return 0

    def wait(self) -> Generator[None, None, bool]:
        """Wait for a byte; False at the end of the stream."""
        if not self._ahead:
            chunk = bytearray(MAX_HEADER_BYTES)
            count = yield from self._receive(memoryview(chunk))
            self._ahead += chunk[:count]
        return bool(self._ahead)

    def read_byte(self) -> Generator[None, None, bytes]:
        """Return one byte, or none at the end of the stream."""
        if not (yield from self.wait()):
            return b""
        byte = bytes(self._ahead[:1])
        del self._ahead[:1]
        return byte

    def read_line(self) -> Generator[None, None, bytes]:
        """Return a header line without its end."""
        line = bytearray()
        while (byte := (yield from self.read_byte())) != b"\n":
            if not byte:
                raise Broken("the stream ended in a header")
            line += byte
            if len(line) > MAX_HEADER_BYTES:
                raise Malformed(f"a header line has at most {MAX_HEADER_BYTES} bytes: {bytes(line[:20])!r}")
        return bytes(line)

    def skip_white(self) -> Generator[None, None, bool]:
        """Skip white space; False at the end of the stream."""
        while (yield from self.wait()):
            if not self._ahead[:1].isspace():
                return True
            del self._ahead[:1]
        return False

    def skip(self, count: int) -> Generator[None, None, int]:
        """Skip bytes; returns how many there were."""
        return (yield from self.read_into(memoryview(bytearray(count))))


def check_address(path: str) -> None:
    """Refuse what `open_channel` could never open.

    Raises:
        ConfigError: A URL that is neither tcp://HOST:PORT nor unix://PATH.
    """
    if "://" not in path:
        return
    url = urlsplit(path)
    try:
        good = (url.scheme == "tcp" and url.hostname and url.port) or (url.scheme == "unix" and (url.netloc + url.path))
    except ValueError:
        good = False
    if not good:
        raise ConfigError(f"source.path: a path, tcp://HOST:PORT, unix://PATH or '-' is wanted: {path}")


def open_channel(path: str, timeout_s: float) -> Channel:
    """Open '-' (standard input), tcp://HOST:PORT, unix://PATH, a FIFO or a file.

    Args:
        path: Which of them.
        timeout_s: Longest wait for a socket.

    Raises:
        SourceError: It is not there, or is nothing that lines can be read from.
    """
    try:
        if path == "-":
            return Channel(sys.stdin.fileno(), reconnects=False)
        if path.startswith("tcp://"):
            url = urlsplit(path)
            return _from_socket(socket.create_connection((url.hostname, url.port), timeout_s))
        if path.startswith("unix://"):
            client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                client.settimeout(timeout_s)
                client.connect(path.removeprefix("unix://"))
            except BaseException:
                client.close()
                raise
            return _from_socket(client)
        return _open_path(Path(path))
    except (OSError, ValueError) as exc:
        why = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
        raise SourceError(f"lines cannot be read from {path}: {why}") from exc


def _from_socket(client: socket.socket) -> Channel:
    client.settimeout(None)
    if client.family != socket.AF_UNIX:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        for option, value in zip(options, KEEPALIVE_S, strict=True):
            client.setsockopt(socket.IPPROTO_TCP, option, value)
    return Channel(client.fileno(), owner=client)


def _open_path(path: Path) -> Channel:
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
        return Channel(fd, is_fifo=True, owner=file)
    return Channel(
        fd,
        owner=file,
        reconnects=False,
        identity=f"{path.name}:{found.st_size}:{found.st_mtime_ns}",
        written_at=FileTimes().moment(found.st_mtime_ns, path.name),
    )
