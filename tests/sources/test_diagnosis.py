"""Why a camera sends nothing is said in words."""

from __future__ import annotations

import base64
import hashlib
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from http_camera import HttpCamera
from rigs import make_camera

from inspector.errors import SourceError
from inspector.sources.base import FrameSource

Open = Callable[[FrameSource], FrameSource]


@pytest.mark.parametrize("url", ["http://a..b/x", "rtsp://a..b/x", f"http://{'a' * 70}.b/x"])
def test_a_host_name_that_cannot_be_is_named(url: str, opened: Open) -> None:
    """A slip in the address is a camera that is down, not the end of the process."""
    source = make_camera(url)
    opened(source)

    with pytest.raises(SourceError, match=rf"camera cannot be opened: {re.escape(url)}: .*label"):
        source.read()


BASIC, DIGEST = 'Basic realm="cam"', 'Digest realm="cam", nonce="n1"'


LOGINS: dict[str, tuple[str | None, str, str]] = {
    "none, basic": (None, BASIC, "it asks for a login (source.credentials_file)"),
    "wrong, basic": ("line:other-secret", BASIC, "the login was refused"),
    "wrong, digest": ("line:other-secret", DIGEST, "the login was refused"),
    "right, basic": ("line:pä:ss", BASIC, "RTSP/1.0 503 Service Unavailable"),
    "right, digest": ("line:pä:ss", DIGEST, "RTSP/1.0 503 Service Unavailable"),
}


@pytest.mark.parametrize("case", LOGINS)
def test_a_camera_in_trouble_is_not_taken_for_a_wrong_login(case: str, tmp_path: Path, opened: Open) -> None:
    """A camera that asks for a login is asked once more with it: only a 401 to that is a refused login."""
    login, challenge, words = LOGINS[case]
    if login is not None:
        (tmp_path / "login").write_text(f"{login}\n", encoding="utf-8")

    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    def serve(connection: socket.socket, request: str) -> None:
        right = (
            base64.b64encode("line:pä:ss".encode()).decode(),
            md5(f"{md5('line:cam:pä:ss')}:n1:{md5(f'DESCRIBE:{url}')}"),
        )
        while request:
            if request.startswith("DESCRIBE") and not any(proof in request for proof in right):
                answer = f"401 Unauthorized\r\nWWW-Authenticate: {challenge}"
            else:
                answer = "503 Service Unavailable"
            connection.sendall(f"RTSP/1.0 {answer}\r\nCSeq: 1\r\n\r\n".encode())
            request = connection.recv(4096).decode()

    with HttpCamera(serve) as camera:
        url = camera.url.replace("http", "rtsp")
        source = make_camera(url, credentials_file=tmp_path / "login" if login else None)
        opened(source)

        with pytest.raises(SourceError, match=re.escape(f"{url}: {words}")) as caught:
            source.read()
        assert "secret" not in str(caught.value)
