"""One HTTP request to a camera: its login, redirects as long as they stay on its host, and the picture in an answer."""

from __future__ import annotations

import http.client
import socket
import ssl
from urllib.parse import SplitResult, urljoin, urlsplit

from inspector.errors import PictureError
from inspector.frame import Pixels
from inspector.pictures.decode import decode_picture
from inspector.settings.source import CameraOptions
from inspector.sources.login import answer_challenge, read_login
from inspector.sources.urls import sent_url, shown_url

MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


def request(options: CameraOptions, url: SplitResult) -> tuple[socket.socket, http.client.HTTPResponse]:
    """Ask for `url`, and return the connection and the answer, whatever it is, with its body unread.

    Redirects on the same host are followed, never from https to http. Any other is the answer: it may lead to another
    camera, and the login is not for it.

    Args:
        options: Time-outs, and where the login is.
        url: As it is sent, without user and password.

    Raises:
        OSError, ValueError, http.client.HTTPException: No answer, or none in HTTP.
        UnknownLoginError: It asks for a login of another kind.
        SourceError: The file with the login cannot be used.
    """
    for _ in range(MAX_REDIRECTS):
        connection, response = _request_once(options, url)
        target = _target_of(response, url)
        if target is None or not _is_followed(url, target):
            break
        connection.close()
        response.close()
        url = target
    else:
        connection, response = _request_once(options, url)
    connection.settimeout(options.read_timeout_s)
    return connection, response


def decode_body(body: bytes, options: CameraOptions, name: str) -> Pixels | PictureError:
    """Return the picture that a camera sent, or why it cannot be used; `name` is what to call the camera."""
    try:
        return decode_picture(body, name=name, max_px=options.max_frame_px, full_scale=options.full_scale)
    except PictureError as exc:
        return exc


def redirection(response: http.client.HTTPResponse, url: SplitResult) -> str:
    """Return where a redirect leads, for people; empty if it is none."""
    if response.getheader("Location") is None:
        return ""
    target = _target_of(response, url)
    return ", to no address" if target is None else f", to {shown_url(target)}"[:300]


def _target_of(response: http.client.HTTPResponse, url: SplitResult) -> SplitResult | None:
    location = response.getheader("Location")
    if location is None or response.status not in _REDIRECTS:
        return None
    try:
        target = urlsplit(urljoin(url.geturl(), location))
        target.port  # noqa: B018 - a port that is none raises
    except ValueError:
        return None
    return sent_url(target._replace(netloc=target.netloc.rpartition("@")[2], fragment=""))


def _is_followed(url: SplitResult, target: SplitResult) -> bool:
    schemes = {"http": {"http", "https"}, "https": {"https"}}
    return target.scheme in schemes.get(url.scheme, set()) and target.hostname == url.hostname


def _request_once(options: CameraOptions, url: SplitResult) -> tuple[socket.socket, http.client.HTTPResponse]:
    user = read_login(options.credentials_file)
    connection, response = _get(options, url, {})
    if response.status == http.HTTPStatus.UNAUTHORIZED and user is not None:
        connection.close()
        response.close()
        answer = answer_challenge("GET", _path_of(url), response.headers, user)
        connection, response = _get(options, url, {"Authorization": answer.encode()})
    return connection, response


def _get(
    options: CameraOptions, url: SplitResult, headers: dict[str, bytes]
) -> tuple[socket.socket, http.client.HTTPResponse]:
    host, port, wait_s = url.hostname or "", url.port, options.open_timeout_s
    client = (
        http.client.HTTPSConnection(host, port, timeout=wait_s, context=ssl.create_default_context())
        if url.scheme == "https"
        else http.client.HTTPConnection(host, port, timeout=wait_s)
    )
    try:
        client.request(
            "GET", _path_of(url), headers={"Accept": b"multipart/x-mixed-replace, image/jpeg, */*"} | headers
        )
        connection: socket.socket = client.sock
        return connection, client.getresponse()
    except BaseException:
        client.close()
        raise


def _path_of(url: SplitResult) -> str:
    return (url.path or "/") + (f"?{url.query}" if url.query else "")
