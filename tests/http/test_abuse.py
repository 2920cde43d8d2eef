"""Whatever clients do, `/healthz` and `/metrics` answer within a second, and so does a picture to classify."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path

import httpx
import pytest
from bench import TOKEN, Bench, picture, serving
from pace import slowness

from inspector.http import server as server_module
from inspector.http.server import MAX_LOOPBACK, MAX_OF_ADDRESS, HttpServer, _network_of
from inspector.http.upload import MAX_ARRIVING

ANSWER_S = 1.0
IDLE = 500
HEAD = b"Host: localhost\r\n"
POST = b"POST /api/classify HTTP/1.1\r\n" + HEAD
GET = b"GET / HTTP/1.1\r\n" + HEAD

SENT: dict[str, bytes] = {
    "nothing": b"",
    "one byte": b"G",
    "an unfinished request line": b"GET /healthz",
    "unfinished headers": GET + b"X-Slow: ",
    "headers without end": GET + b"".join(b"X-%d: y\r\n" % number for number in range(900)),
    "one endless header": GET + b"X-Long: " + b"x" * 20_000,
    "a header without a name": GET + b": y\r\n\r\n",
    "a header with a NUL": GET + b"X: a\0b\r\n\r\n",
    "a folded header": GET + b"X: a\r\n  b\r\n\r\n",
    "an endless address": b"GET /" + b"a" * 30_000,
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    "binary noise": bytes(range(256)) * 8,
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/2 from the start": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n",
    "HTTP/9.9": b"GET / HTTP/9.9\r\n" + HEAD + b"\r\n",
    "an upgrade to WebSocket": GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "an upgrade to HTTP/2": GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
    "a tunnel": b"CONNECT example.org:443 HTTP/1.1\r\n" + HEAD + b"\r\n",
    "an unknown method": b"BREW / HTTP/1.1\r\n" + HEAD + b"\r\n",
    "a path with NUL": b"GET /%00 HTTP/1.1\r\n" + HEAD + b"\r\n",
    "a path upwards": b"GET /evidence/../../../etc/passwd HTTP/1.1\r\n" + HEAD + b"\r\n",
    "two hosts": GET + b"Host: evil.example\r\n\r\n",
    "two lengths": POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "a length and chunks": POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a negative length": POST + b"Content-Length: -1\r\n\r\n",
    "a length of 40 digits": POST + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n",
    "a body that never comes": POST + b"Content-Length: 900\r\n\r\n",
    "a body that stops": POST + b"Content-Length: 900\r\n\r\nabc",
    "a chunk that never comes": POST + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n",
    "a chunk of 2^70 bytes": POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 18 + b"\r\n",
    "an announced body": POST + b"Content-Length: 900\r\nExpect: 100-continue\r\n\r\n",
    "a form that stops": POST
    + b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 900\r\n\r\n--b\r\nContent-Disposition: ",
    "200 requests at once": (GET + b"\r\n") * 200,
    "an answer that nobody reads": (b"GET /metrics HTTP/1.1\r\n" + HEAD + b"\r\n") * 60,
    "a foreign page": POST + b"Origin: http://evil.example\r\nContent-Length: 3\r\n\r\nabc",
}


def answer_times(server: HttpServer, trusting: ssl.SSLContext | None = None) -> list[float]:
    """Seconds until health and metrics have answered, each over a new connection, as monitors open them.

    What other work on this machine adds is taken off.
    """
    spent = []
    for name in ("/healthz", "/metrics"):
        factor = slowness()
        started_s = time.monotonic()
        if trusting is None:
            client = HTTPConnection("127.0.0.1", server.port, timeout=20)
        else:
            client = HTTPSConnection("127.0.0.1", server.port, timeout=20, context=trusting)
        with closing(client):
            client.request("GET", name, headers={"Authorization": f"Bearer {TOKEN}"})
            answer = client.getresponse()
            answer.read()
        spent.append((time.monotonic() - started_s) / max(factor, slowness()))
        assert answer.status == 200
    return spent


def connect(server: HttpServer, open_: ExitStack) -> socket.socket:
    client = open_.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=20))
    client.setblocking(False)
    return client


@pytest.mark.parametrize("kind", SENT)
def test_health_and_metrics_answer_throughout(bench: Bench, kind: str) -> None:
    """Beside 70 connections that do this and stay; nothing of it is a fault of ours."""
    with serving(bench) as server, ExitStack() as open_:
        for _ in range(70):
            with suppress(ConnectionError, BlockingIOError):
                connect(server, open_).send(SENT[kind])
        spent = answer_times(server)
        assert server.failure is None

    assert max(spent) < ANSWER_S


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@pytest.mark.parametrize("end", [pytest.param(reset, id="reset"), pytest.param(socket.socket.close, id="closed")])
def test_connections_that_come_and_go(bench: Bench, end: Callable[[socket.socket], None]) -> None:
    with serving(bench) as server, ExitStack() as open_:
        for _ in range(IDLE):
            client = connect(server, open_)
            client.send(GET)
            end(client)
        spent = answer_times(server)

    assert max(spent) < ANSWER_S


@pytest.fixture
def secured(bench: Bench, certificate: tuple[Path, Path]) -> Iterator[tuple[HttpServer, ssl.SSLContext]]:
    with serving(bench, cert_file=certificate[0], key_file=certificate[1], token=TOKEN) as server:
        yield server, ssl.create_default_context(cafile=str(certificate[0]))


def test_500_idle_connections(bench: Bench) -> None:
    """Renewed as they are cut, for as long as it takes; the newest keep their places."""
    with serving(bench) as server, ExitStack() as open_:
        spent = []
        for number in range(IDLE):
            connect(server, open_)
            if number % 50 == 0:
                spent += answer_times(server)
        spent += answer_times(server)
        assert server._server is not None
        assert len(server._server.server_state.connections) <= MAX_LOOPBACK + 2

    assert max(spent) < ANSWER_S


@pytest.mark.parametrize("shaken", [False, True], ids=["before the handshake", "after it"])
def test_500_idle_connections_over_tls(
    secured: tuple[HttpServer, ssl.SSLContext], certificate: tuple[Path, Path], shaken: bool
) -> None:
    """From somebody without the token."""
    server, trusting = secured
    with ExitStack() as open_:
        for number in range(IDLE):
            client = open_.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=20))
            if shaken:
                open_.enter_context(trusting.wrap_socket(client, server_hostname="127.0.0.1"))
            elif number % 2:
                client.send(b"\x16\x03\x01")
        spent = answer_times(server, trusting)

    assert max(spent) < ANSWER_S


@pytest.mark.parametrize("sent", [b"", GET, GET + b"X-Slow: "], ids=["silent", "no end", "in its headers"])
def test_a_head_has_a_time_of_its_own(bench: Bench, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    """Also the second one of a connection; how long an answer may take is another matter."""
    monkeypatch.setattr(server_module, "HEAD_S", 0.05)
    with serving(bench) as server, socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        if sent:
            client.sendall(b"HEAD /healthz HTTP/1.1\r\n" + HEAD + b"\r\n")
            assert client.recv(99).startswith(b"HTTP/1.1 200")
        with suppress(ConnectionError):
            client.sendall(sent)
            while client.recv(9999):
                pass


def test_a_tls_handshake_has_that_time(
    bench: Bench, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "HEAD_S", 0.05)
    with (
        serving(bench, cert_file=certificate[0], key_file=certificate[1], token=TOKEN) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as client,
        suppress(ConnectionError),
    ):
        assert client.recv(1) == b""


def test_slow_uploads_do_not_keep_others_waiting(bench: Bench) -> None:
    """However many there are: a newcomer takes the place of the one that takes longest, which is told."""
    with serving(bench) as server, ExitStack() as open_:
        slow = [connect(server, open_) for _ in range(MAX_ARRIVING + 2)]
        for client in slow:
            client.send(POST + b"Content-Length: 900\r\n\r\nabc")
            httpx.get(f"{server.url}healthz")  # by its answer the listener has seen what was sent before
        started_s = time.monotonic()
        status = [httpx.post(f"{server.url}api/classify", content=picture(), timeout=20).status_code for _ in range(3)]
        spent_s = time.monotonic() - started_s
        slow[0].settimeout(20)
        told = slow[0].recv(99)

    assert status == [200] * 3
    assert told.startswith(b"HTTP/1.1 408")
    assert spent_s < 15 * slowness()  # three processes that decode; the uploads would have kept them for 30 s


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("127.0.0.1", "loopback"), ("127.8.9.1", "loopback"), ("::1", "loopback"), ("::ffff:127.0.0.1", "loopback"),
        ("192.0.2.7", "192.0.2.7"), ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:0db8:0001:0002"), ("2001:db8:1:2::9", "2001:0db8:0001:0002"),
        ("", ""), ("fe80::1%eth0", "fe80:0000:0000:0000"),
    ],
)  # fmt: skip
def test_what_counts_as_one_peer(address: str, network: str) -> None:
    assert _network_of(address) == network


def test_others_leave_this_machine_its_places(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """One address has a limit of its own, and all others together have one that loopback does not share."""
    monkeypatch.setattr(server_module, "_network_of", lambda _: "192.0.2.7")
    with serving(bench) as server, ExitStack() as open_:
        for _ in range(MAX_OF_ADDRESS + 20):
            connect(server, open_)
        answer_times(server)
        assert server._server is not None
        kept = len(server._server.server_state.connections)
        monkeypatch.setattr(server_module, "_network_of", lambda _: "loopback")
        for _ in range(MAX_OF_ADDRESS + 20):
            connect(server, open_)
        answer_times(server)
        both = len(server._server.server_state.connections)

    assert kept <= MAX_OF_ADDRESS + 2
    assert both >= 2 * MAX_OF_ADDRESS
