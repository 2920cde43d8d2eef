"""Ways to abuse an HTTP listener. Each is a function of a `Target`, takes seconds, and cares for no answer."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.faults.spoilt import BOMB_PX, BOMBS

HOLD_S = 5.0
IDLE = 500


@dataclass(frozen=True)
class Target:
    """A listener; `tls` is how to speak to it, None: plainly."""

    port: int
    tls: ssl.SSLContext | None

    def connect(self, handshake: bool = True) -> socket.socket:
        """Return a connection; without `handshake` TLS is left to the caller."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        if self.tls is None or not handshake:
            return plain
        return self.tls.wrap_socket(plain, server_hostname="localhost")

    def say(self, data: bytes, wait_s: float = 3.0) -> bytes:
        """Send this on a connection of its own, and return what is answered first."""
        with contextlib.suppress(OSError), self.connect() as connection:
            connection.sendall(data)
            connection.settimeout(wait_s)
            return connection.recv(65536)
        return b""


def _get(path: str, *headers: str, method: str = "GET", host: str = "localhost") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *headers, "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")


def _post(path: str, body: bytes, *headers: str) -> bytes:
    return _get(path, f"Content-Length: {len(body)}", *headers, method="POST") + body


@contextlib.contextmanager
def _many(target: Target, number: int, handshake: bool = True) -> Iterator[list[socket.socket]]:
    held: list[socket.socket] = []
    try:
        for _ in range(number):
            with contextlib.suppress(OSError):
                held.append(target.connect(handshake))
        yield held
    finally:
        for connection in held:
            connection.close()


def _wait(seconds: float = HOLD_S) -> None:
    threading.Event().wait(seconds)


def _trickle(target: Target, head: bytes, number: int = 20) -> None:
    with _many(target, number) as held:
        until_s = time.monotonic() + HOLD_S
        while time.monotonic() < until_s:
            for connection in held:
                with contextlib.suppress(OSError):
                    connection.sendall(head[:1])
            head = head[1:] + b"x"
            _wait(0.2)


def idle_connections(target: Target) -> None:
    with _many(target, IDLE):
        _wait()


def idle_without_handshake(target: Target) -> None:
    with _many(target, IDLE, handshake=False):
        _wait()


def idle_after_a_request(target: Target) -> None:
    with _many(target, IDLE) as held:
        for connection in held:
            with contextlib.suppress(OSError):
                connection.sendall(_get("/healthz"))
        _wait()


def slow_headers(target: Target) -> None:
    _trickle(target, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")


def slow_uploads(target: Target) -> None:
    with _many(target, 20) as held:
        for connection in held:
            with contextlib.suppress(OSError):
                connection.sendall(_get("/api/classify", "Content-Length: 1000000", method="POST") + b"\xff\xd8")
        _wait()


def slow_readers(target: Target) -> None:
    with _many(target, 40) as held:
        for connection in held:
            with contextlib.suppress(OSError):
                connection.sendall(_get("/") * 50)
        _wait()


def pipelined(target: Target) -> None:
    target.say(_get("/healthz") * 2000)


def expect_and_nothing(target: Target) -> None:
    with _many(target, 30) as held:
        for connection in held:
            with contextlib.suppress(OSError):
                connection.sendall(_get("/api/classify", "Content-Length: 10", "Expect: 100-continue", method="POST"))
        _wait()


def endless_body(target: Target) -> None:
    with contextlib.suppress(OSError), target.connect() as connection:
        connection.sendall(_get("/api/classify", "Transfer-Encoding: chunked", method="POST"))
        until_s = time.monotonic() + HOLD_S
        while time.monotonic() < until_s:
            connection.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")


def bombs(target: Target) -> None:
    threads = [
        threading.Thread(target=target.say, args=(_post("/api/classify", BOMBS[0][1](BOMB_PX), *headers), 20.0))
        for headers in ((), ("Content-Type: text/plain", "Origin: http://evil.example", "Sec-Fetch-Site: cross-site"))
        * 2
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def churn(target: Target) -> None:
    for _ in range(500):
        with contextlib.suppress(OSError):
            target.connect(handshake=False).close()


def resets(target: Target) -> None:
    for _ in range(300):
        with contextlib.suppress(OSError), target.connect(handshake=False) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(b"GET / HT")


def half_closed(target: Target) -> None:
    with _many(target, 60, handshake=False) as held:
        for connection in held:
            with contextlib.suppress(OSError):
                connection.sendall(b"GET /metrics HTTP/1.1\r\n")
                connection.shutdown(socket.SHUT_WR)
        _wait(2.0)


def noise(target: Target) -> None:
    lots = random.Random(1)
    for _ in range(100):
        with contextlib.suppress(OSError), target.connect(handshake=False) as connection:
            connection.sendall(lots.randbytes(lots.choice((1, 100, 5000))))


def flood(target: Target) -> None:
    for _ in range(300):
        target.say(_get("/", "Connection: close"))


def _each(*requests: bytes) -> Callable[[Target], None]:
    def abuse(target: Target) -> None:
        for request in requests:
            target.say(request)

    return abuse


_PATHS = (
    "/../../etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/evidence/../../etc/passwd",
    "//etc/passwd",
    "/evidence/%00",
    "/\x01\x7f",
    "/" + "a/" * 4000,
    "/evidence/" + "%ff" * 300,
    "http://evil.example/",
    "*",
    "/healthz;x",
    "/..;/metrics",
)
_SMUGGLED = (
    _get("/", "Content-Length: 4", "Transfer-Encoding: chunked", method="POST") + b"0\r\n\r\n" + _get("/metrics")
)

_LENGTHS = ("-1", "1e9", "9" * 400, "0x10", "1, 2")

KINDS: dict[str, Callable[[Target], None]] = {
    f"{IDLE} idle connections": idle_connections,
    f"{IDLE} connections that say nothing at all": idle_without_handshake,
    f"{IDLE} connections idle after a request": idle_after_a_request,
    "headers a byte at a time": slow_headers,
    "20 uploads that stop": slow_uploads,
    "40 readers that do not read": slow_readers,
    "2,000 requests in one go": pipelined,
    "30 uploads that wait to be asked": expect_and_nothing,
    "an upload without end": endless_body,
    "four bombs, two from a foreign page": bombs,
    "500 connections opened and closed": churn,
    "300 resets": resets,
    "60 half-closed connections": half_closed,
    "noise": noise,
    "300 requests one after the other": flood,
    "a header of 1 MB": _each(_get("/", "X: " + "a" * (1 << 20))),
    "10,000 headers": _each(_get("/", *["X: a"] * 10000)),
    "a path of 1 MB": _each(_get("/" + "a" * (1 << 20))),
    "a query of 1 MB, and 5,000 queries": _each(_get("/?a=" + "b" * (1 << 20)), _get("/?" + "a=1&" * 5000)),
    "paths outside": _each(*map(_get, _PATHS)),
    "methods": _each(
        *(_get("/", method=method) for method in ("TRACE", "CONNECT", "DELETE", "PUT", "X" * 5000, "get", "\xff"))
    ),
    "foreign hosts": _each(
        *(_get("/", host=host) for host in ("evil.example", "", "localhost:99999", "[::1", "a" * 9000))
    ),
    "lengths": _each(*(_get("/api/classify", f"Content-Length: {n}", method="POST") for n in _LENGTHS)),
    "two lengths": _each(_get("/api/classify", "Content-Length: 1", "Content-Length: 2", method="POST") + b"ab"),
    "a smuggled request": _each(_SMUGGLED),
    "chunks": _each(
        *(
            _get("/api/classify", "Transfer-Encoding: chunked", method="POST") + chunk
            for chunk in (b"ffffffffffffffff\r\n", b"-1\r\n", b"zz\r\n", b"1;" + b"a" * 100000 + b"\r\n")
        )
    ),
    "other versions": _each(b"GET /\r\n", b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "an upgrade": _each(
        _get("/", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: a", "Sec-WebSocket-Version: 13")
    ),
    "TLS where none is spoken": _each(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)),
    "a body in 5,000 parts": _each(
        _post("/api/classify", b"--a\r\n\r\n" * 5000, "Content-Type: multipart/form-data; boundary=a")
    ),
    "a command of 100,000 brackets": _each(
        _post("/api/commands/coil", b"[" * 100000, "Content-Type: application/json")
    ),
    "a command of 2 MB": _each(_post("/api/commands/coil", json.dumps({"coil_id": "a" * (2 << 20)}).encode())),
    "ranges and conditions": _each(
        _get("/", "Range: bytes=" + "0-1," * 2000), _get("/", 'If-None-Match: "' + "a" * 60000 + '"')
    ),
    "tokens": _each(
        *(_get("/", f"Authorization: {kind}") for kind in ("Bearer x", "Basic ====", "Basic " + "a" * 60000, "\xff"))
    ),
}
"""Each kind of abuse by its name."""
