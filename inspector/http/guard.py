"""Stands before the application: requires the token, or this machine's own name, and adds the security headers.

There are no users and no roles: one token opens everything.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import re
from urllib.parse import urlsplit

from fastapi import Response
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inspector.http.answers import JSONResponse
from inspector.http.page import STYLE
from inspector.reports.page import STYLE as COIL_STYLE

_READING = frozenset({"GET", "HEAD"})
_STYLES = " ".join(
    f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'" for style in (STYLE, COIL_STYLE)
)
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; img-src 'self' data:; style-src {_STYLES}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Guard:
    """Requires the token, or without one this machine's own name, and adds the security headers to every answer."""

    def __init__(self, app: ASGIApp, token: str | None, address: str) -> None:
        self._app = app
        self._token = None if token is None else token.encode()
        self._address = address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refusal, or let the application answer; either with the security headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Cache-Control", "no-store")
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
            await send(message)

        answer = self._refusal(scope) or self._app
        await answer(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        if scope["method"] not in _READING and _is_from_another_site(scope):
            return JSONResponse({"error": "requests of other sites' pages are not taken", "reason": "cross_site"}, 403)
        if self._token is None:
            host = b"".join(value for name, value in scope["headers"] if name == b"host").decode("latin-1")
            if not host or _means_us(host, self._address):  # HTTP/1.0 may go without; no browser does
                return None
            text = f"without http.token_file only localhost, 127.0.0.1, [::1] and http.address are answered: {host}"
            return JSONResponse({"error": text, "reason": "host"}, 421)
        if scope["path"] == "/healthz" or _carries(scope, self._token):
            return None
        refusal = JSONResponse({"error": "the token is missing or wrong", "reason": "token"}, 401)
        refusal.headers.append("WWW-Authenticate", 'Basic realm="inspector", charset="UTF-8"')
        refusal.headers.append("WWW-Authenticate", 'Bearer realm="inspector"')
        return refusal


def _is_from_another_site(scope: Scope) -> bool:
    """Whether a browser sends this for a foreign page; other programs send neither header."""
    headers: dict[bytes, str] = {name: value.decode("latin-1") for name, value in scope["headers"]}
    if headers.get(b"sec-fetch-site", "none") not in ("none", "same-origin"):
        return True
    if (origin := headers.get(b"origin")) is None:
        return False
    try:
        return urlsplit(origin).netloc.lower() != headers.get(b"host", "").lower()
    except ValueError:  # no address at all, as http://[
        return True


def _means_us(host: str, address: str) -> bool:
    """Whether a `Host` names loopback or `address`; with DNS rebinding a page sends its own name."""
    name = re.sub(r":\d*$", "", host.strip()).removeprefix("[").removesuffix("]").lower()
    try:
        return name in ("localhost", address.lower()) or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _carries(scope: Scope, token: bytes) -> bool:
    given = b""
    for name, value in scope["headers"]:
        if name == b"authorization":
            kind, _, rest = value.strip().partition(b" ")
            if kind.lower() == b"bearer":
                given = rest.strip()
            elif kind.lower() == b"basic":
                try:
                    given = base64.b64decode(rest.strip(), validate=True).partition(b":")[2]
                except binascii.Error:
                    given = b""
    return hmac.compare_digest(given, token)
