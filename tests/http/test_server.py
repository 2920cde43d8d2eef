"""The server that carries the application: its port, its limits, TLS, and how it ends."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from bench import TOKEN, Bench, picture, serving

from inspector.errors import ConfigError
from inspector.frame import Pixels
from inspector.http import server as server_module
from inspector.http.upload import MAX_UPLOADS


def test_a_port_is_found_and_given_back(bench: Bench) -> None:
    """Port 0 takes a free one and says which; no server name is told; after `stop` the port is free for the next."""
    with serving(bench) as server:
        answer = httpx.get(f"{server.url}healthz", headers={"Host": "localhost:1"})
        port = server.port
    assert server.failure is None
    assert answer.status_code == 200
    assert "server" not in answer.headers
    with serving(bench, port=port) as again:
        assert httpx.get(f"{again.url}metrics").status_code == 200


def test_a_request_of_http_1_0_needs_no_host(bench: Bench) -> None:
    """A simple monitor that speaks HTTP/1.0 and names no host is answered; a browser always names one."""
    with serving(bench) as server, socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        answer = connection.recv(12)
    assert answer == b"HTTP/1.1 200"


def test_a_port_in_use_is_named(bench: Bench) -> None:
    """A second listener on one port is refused with address, port and reason."""
    with serving(bench) as server, pytest.raises(ConfigError) as caught, serving(bench, port=server.port):
        pass

    assert str(caught.value) == (
        f"http.address, http.port: 127.0.0.1 port {server.port} cannot be bound: Address already in use"
    )


@pytest.mark.parametrize(
    "address", [pytest.param("192.0.2.1", id="not ours"), pytest.param("no-such-host.invalid", id="no such name")]
)
def test_a_foreign_address_is_named(bench: Bench, address: str) -> None:
    """An address that this machine does not have is refused with its name."""
    with pytest.raises(ConfigError, match=f"{address} port 0 cannot be bound: "), serving(bench, address=address):
        pass


def test_a_crash_is_noticed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the thread ends by itself, `failure` says so; `stop` alone is no failure."""
    ended = threading.Event()

    async def burst(_: Any, __: int) -> bool:
        raise MemoryError

    with serving(bench) as server:
        assert server.failure is None
        thread = server._thread
        monkeypatch.setattr(server_module._Server, "on_tick", burst)
        assert thread is not None
        thread.join(10)
        ended.set()
    assert isinstance(server.failure, MemoryError)


def test_a_slow_picture_holds_up_nobody(bench: Bench) -> None:
    """Pictures are classified one at a time, off the event loop: health answers meanwhile, more than two are 503."""
    entered, release, inside, most = threading.Semaphore(0), threading.Event(), list[str](), list[int]()

    def slow(_: Pixels, name: str) -> dict[str, Any]:
        inside.append(name)
        most.append(len(inside))
        entered.release()
        assert release.wait(30)
        inside.remove(name)
        return {"path": name}

    bench.classify = slow
    with serving(bench) as server, ThreadPoolExecutor(8) as pool:

        def send(_: int) -> int:
            answer = httpx.post(f"{server.url}api/classify", content=picture(), timeout=30)
            if answer.status_code == 503:
                assert answer.json()["reason"] == "busy"
                refused.release()
            return answer.status_code

        refused = threading.Semaphore(0)
        answers = [pool.submit(send, number) for number in range(MAX_UPLOADS + 2)]
        assert entered.acquire(timeout=30)
        assert refused.acquire(timeout=30)
        assert refused.acquire(timeout=30)
        assert httpx.get(f"{server.url}healthz").status_code == 200
        release.set()
        assert sorted(answer.result() for answer in answers) == [200] * MAX_UPLOADS + [503] * 2
    assert set(most) == {1}


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="silent"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nX-Sl", id="in its headers"),
        pytest.param(
            b"POST /api/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\nabc", id="in its body"
        ),
    ],
)
def test_a_connection_that_stalls_is_cut(bench: Bench, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    """A connection that never completes its request does not stay."""
    monkeypatch.setattr(server_module, "EXCHANGE_S", 0.05)
    monkeypatch.setattr(server_module, "HEAD_S", 0.05)
    with serving(bench) as server, socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(sent)
        with suppress(ConnectionResetError):
            assert connection.recv(1) == b""


def test_huge_headers_are_refused(bench: Bench) -> None:
    """Headers beyond 16 KiB are not collected."""
    with serving(bench) as server, socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 20_000)
        answer = connection.recv(12)
    assert answer == b"HTTP/1.1 400"


def test_tls_with_a_token(bench: Bench, certificate: tuple[Path, Path]) -> None:
    """With certificate and token, the listener speaks TLS 1.2 or newer only, and asks for the token."""
    cert, key = certificate
    trusting = ssl.create_default_context(cafile=str(cert))
    with serving(bench, cert_file=cert, key_file=key, token=TOKEN) as server:
        assert server.url == f"https://127.0.0.1:{server.port}/"
        bare = httpx.get(server.url, verify=trusting)
        right = httpx.get(server.url, verify=trusting, auth=("", TOKEN))
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{server.port}/healthz")
    assert (bare.status_code, right.status_code) == (401, 200)


@pytest.mark.parametrize(
    ("cert", "key", "complaint"),
    [
        pytest.param("missing", "key", "http.cert_file: .*missing: cannot be read", id="no certificate"),
        pytest.param("cert", "missing", "http.key_file: .*missing: cannot be read", id="no key"),
        pytest.param("junk", "key", "do not hold a certificate with its key", id="junk"),
        pytest.param("cert", "junk", "do not hold a certificate with its key", id="junk as key"),
        pytest.param("cert", "other", "do not hold a certificate with its key", id="another's key"),
        pytest.param("cert", "locked", "do not hold a certificate with its key", id="key with a pass phrase"),
    ],
)
def test_a_bad_certificate_is_named(
    bench: Bench, certificate: tuple[Path, Path], tmp_path: Path, cert: str, key: str, complaint: str
) -> None:
    """A certificate that cannot be used stops the start with key and file, and asks nobody for a pass phrase."""
    files = {"cert": certificate[0], "key": certificate[1], **{name: tmp_path / name for name in
             ("missing", "junk", "other", "locked")}}  # fmt: skip
    files["junk"].write_text("-----BEGIN NOTHING-----\n")
    for command in (
        f"ecparam -name prime256v1 -genkey -noout -out {files['other']}",
        f"ec -in {files['key']} -aes256 -passout pass:secret -out {files['locked']}",
    ):
        subprocess.run(["openssl", *command.split()], check=True, capture_output=True)

    with (
        pytest.raises(ConfigError, match=complaint),
        serving(bench, cert_file=files[cert], key_file=files[key], token=TOKEN),
    ):
        pass


SERVE = """
import logging, sys
from pathlib import Path
from bench import Bench
from fakes import FakeClock
from inspector.http.server import HttpServer
from inspector.store.store import Store

def fail(_, __):
    raise ZeroDivisionError

logging.basicConfig(level=logging.DEBUG, stream=sys.stdout, format="root logger: %(name)s")
clock = FakeClock()
bench = Bench(Store(Path(sys.argv[1]), clock), None, clock, classify=fail)
server = HttpServer(bench.app(), bench.options)
server.start()
print(server.url, flush=True)
sys.stdin.read()
server.stop(10)
bench.store.close()
"""
"""A listener in a process of its own, where no thread of another test writes; it ends when its input does."""


def test_the_server_library_is_quiet(tmp_path: Path) -> None:
    """Requests leave no line anywhere, and a fault is one event of the station's own log, not of the root logger."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, tmp_path / "store"], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        url = next(line for line in process.stdout if line.startswith("http")).strip()
        assert httpx.get(url).status_code == 200
        assert httpx.post(f"{url}api/classify", content=picture()).status_code == 500
        said = process.communicate(timeout=60)[0].splitlines()

    slow = "still_running"  # of a busy machine
    ours = [line for line in said if line != "root logger: asyncio" and slow not in line]
    assert process.returncode == 0
    assert "error" in ours[0]
    assert "Exception in ASGI application" in ours[0]
    assert sum("[error" in line for line in ours) == 1
    assert not [line for line in ours if "GET" in line or line.startswith("root logger")]
