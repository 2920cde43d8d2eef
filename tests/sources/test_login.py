"""The login of a camera: sent when it is asked for, and never shown."""

from __future__ import annotations

import base64
import hashlib
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from http_camera import HttpCamera, part, stream
from rigs import jpeg, make_camera, number_of, only_frames, read_items

from inspector.errors import SourceError
from inspector.sources.base import FrameSource

Open = Callable[[FrameSource], FrameSource]


def demand_basic(connection: socket.socket, request: str) -> None:
    if "Authorization: Basic " + base64.b64encode("line:pä:ss".encode()).decode() not in request:
        connection.sendall(b'HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm="cam"\r\nContent-Length: 0\r\n\r\n')
    else:
        stream(part(jpeg(5)))(connection, request)


def demand_digest(connection: socket.socket, request: str) -> None:
    answer = dict(re.findall(r'(\w+)="?([^",\r]+)"?', request.partition("Authorization: Digest ")[2]))

    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    ha1, ha2 = md5(f"{answer.get('username')}:cam:pä:ss"), md5("GET:/cam.mjpg")
    fields = (answer.get(key, "") for key in ("nonce", "nc", "cnonce", "qop"))
    if answer.get("response") != md5(":".join([ha1, *fields, ha2])):
        connection.sendall(
            b'HTTP/1.1 401 No\r\nWWW-Authenticate: Digest realm="cam", nonce="n1", qop="auth", algorithm=MD5\r\n'
            b"Content-Length: 0\r\n\r\n"
        )
    else:
        stream(part(jpeg(5)))(connection, request)


@pytest.mark.parametrize("demand", [demand_basic, demand_digest])
@pytest.mark.parametrize("password", ["pä:ss", "wrong-secret"])
def test_the_login_is_sent_and_never_shown(
    demand: Callable[[socket.socket, str], None], password: str, tmp_path: Path, opened: Open
) -> None:
    """Basic and digest; the password is in no message and no description."""
    (tmp_path / "login").write_text(f"line:{password}\n", encoding="utf-8")
    with HttpCamera(demand) as camera:
        source = make_camera(camera.url, credentials_file=tmp_path / "login")
        opened(source)

        if password.startswith("wrong"):
            with pytest.raises(SourceError, match="HTTP 401") as caught:
                source.read()
            assert password not in str(caught.value)
        else:
            assert number_of(only_frames(read_items(source, 1))[0]) == 5
        assert password not in source.description
        assert all(password not in request for request in camera.requests)


@pytest.mark.parametrize("user", ["linë", "łódź"])
def test_a_login_may_have_any_letters(user: str, tmp_path: Path, opened: Open) -> None:
    """A digest login goes out as the UTF-8 that its digest is made of."""
    (tmp_path / "login").write_text(f"{user}:pä:ss\n", encoding="utf-8")
    with HttpCamera(demand_digest) as camera:
        source = make_camera(camera.url, credentials_file=tmp_path / "login")
        opened(source)

        assert number_of(only_frames(read_items(source, 1))[0]) == 5
        assert f'username="{user}"' in camera.requests[1]


CREDENTIALS: dict[str, tuple[bytes | None, str]] = {
    "missing": (None, "cannot be read"),
    "no colon": (b"secret", "must hold user:password"),
    "not text": (b"\xff\xfe:\x80", "cannot be read"),
}


@pytest.mark.parametrize("case", CREDENTIALS)
def test_a_bad_credentials_file_is_named(case: str, tmp_path: Path, opened: Open) -> None:
    content, words = CREDENTIALS[case]
    if content is not None:
        (tmp_path / "login").write_bytes(content)
    source = make_camera("http://127.0.0.1:9/x", credentials_file=tmp_path / "login")
    opened(source)

    with pytest.raises(SourceError, match=rf"{words}: .*login") as caught:
        source.read()

    assert "secret" not in str(caught.value)
