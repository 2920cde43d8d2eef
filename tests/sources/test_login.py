"""The login of a camera: sent when it is asked for, and never shown."""

from __future__ import annotations

import base64
import hashlib
import re
import socket
from collections.abc import Callable
from email.message import Message
from pathlib import Path

import pytest
from http_camera import HttpCamera, part, stream
from rigs import jpeg, make_camera, number_of, only_frames, read_items

from inspector.errors import SourceError
from inspector.sources.base import FrameSource
from inspector.sources.login import answer_challenge

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


def headers_of(*values: str) -> Message:
    headers = Message()
    for value in values:
        headers.add_header("WWW-Authenticate", value)
    return headers


DIGEST = 'Digest realm="cam", nonce="n1", qop="auth"'

OFFERS = {
    "basic": (['Basic realm="cam"'], "Basic"),
    "no algorithm": ([DIGEST], "MD5"),
    "session": ([f"{DIGEST}, algorithm=MD5-sess"], "MD5-sess"),
    "sha-256": ([f"{DIGEST}, algorithm=SHA-256"], "SHA-256"),
    "sha-256 session": ([f'{DIGEST}, algorithm="SHA-256-sess"'], "SHA-256-sess"),
    "sha-512-256": ([f"{DIGEST}, algorithm=SHA-512-256"], "SHA-512-256"),
    "two schemes, two realms, one header": ([f'Basic realm="a, Digest b", {DIGEST.replace("cam", "c")}'], "MD5"),
    "digest before basic": ([f'{DIGEST}, algorithm=MD5-sess, Basic realm="other"'], "MD5-sess"),
    "the strongest of several": ([f"{DIGEST}, algorithm=MD5", f"{DIGEST}, algorithm=SHA-256"], "SHA-256"),
    "the known one of several": ([f"{DIGEST}, algorithm=SHA-3, Bearer, {DIGEST}, algorithm=md5"], "md5"),
    "both, of which only basic is known": ([f"{DIGEST}, algorithm=SHA-3", 'Basic realm="cam"'], "Basic"),
    "several answers": ([DIGEST.replace('"auth"', '"auth-int,auth"')], "MD5"),
    "no quality": (['Digest realm="cam", nonce="n1"'], "MD5"),
    "spaces": (['Digest realm = "cam" , nonce = "n1" , qop = "auth"'], "MD5"),
}


@pytest.mark.parametrize("case", OFFERS)
def test_the_strongest_login_that_is_offered_is_sent(case: str) -> None:
    """Any list of challenges is read, and the answer is as RFC 7616 computes it, here a second time."""
    offered, expected = OFFERS[case]

    answer = answer_challenge("GET", "/cam.mjpg", headers_of(*offered), ("line", "secret"))

    scheme, _, rest = answer.partition(" ")
    if expected == "Basic":
        assert answer == "Basic " + base64.b64encode(b"line:secret").decode()
        return
    fields = {key: quoted or bare for key, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|([^,]+))', rest)}
    name = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}[expected.upper().removesuffix("-SESS")]

    def digest(text: str) -> str:
        return hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest()

    first = digest(f"line:{fields['realm']}:secret")
    if expected.endswith("-sess"):
        first = digest(f"{first}:n1:{fields['cnonce']}")
    middle = f"n1:{fields['nc']}:{fields['cnonce']}:auth" if "qop" in fields else "n1"
    assert scheme == "Digest"
    assert fields.get("algorithm", "MD5") == expected
    assert fields["response"] == digest(f"{first}:{middle}:{digest('GET:/cam.mjpg')}")


@pytest.mark.parametrize(
    ("offered", "named"),
    [
        pytest.param([f"{DIGEST}, algorithm=SHA-3"], r"Digest \(SHA-3\)", id="an unknown algorithm"),
        pytest.param(['Bearer realm="cam"', "Negotiate YWJj=="], "Bearer, Negotiate", id="other schemes"),
        pytest.param([DIGEST.replace('"auth"', '"auth-int"')], "Digest", id="another quality"),
        pytest.param(['Bearer realm="Basic, Basic"'], "Bearer$", id="basic in a text only"),
        pytest.param([], "nothing", id="nothing"),
    ],
)
def test_a_password_is_never_sent_in_a_way_that_was_not_offered(
    offered: list[str], named: str, tmp_path: Path, opened: Open
) -> None:
    """Previously it went out as Basic, in clear; now the error names what the camera offers."""

    def demand(connection: socket.socket, request: str) -> None:
        lines = "".join(f"WWW-Authenticate: {value}\r\n" for value in offered)
        connection.sendall(f"HTTP/1.1 401 No\r\n{lines}Content-Length: 0\r\n\r\n".encode())

    (tmp_path / "login").write_text("line:secret", encoding="utf-8")
    with HttpCamera(demand) as camera:
        source = make_camera(camera.url, credentials_file=tmp_path / "login")
        opened(source)

        with pytest.raises(SourceError, match=named):
            source.read()
        assert len(camera.requests) == 1


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
