"""The one HTTP listener: metrics, health, the status page, evidence, defects, and a picture to classify.

It reads and shows; nothing about the station can be changed through it. `make_app` is the application, `HttpServer`
runs it on a thread of its own. What leaves the event loop: reading the store, collecting metrics, and classifying, one
picture at a time.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import ipaddress
import json
import logging
import os
import re
import socket
import sqlite3
import ssl
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import structlog
import uvicorn
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.responses import JSONResponse as _StrictJSONResponse
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.datastructures import MutableHeaders, UploadFile
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from inspector.clock import Clock
from inspector.errors import ConfigError, PictureError, WorkerError
from inspector.frame import Cause, Pixels
from inspector.http.page import SHOWN_DEFECTS, STYLE, Pace, PageView, Readings, render_page
from inspector.pictures.decode import decode_picture
from inspector.store.evidence import EvidenceFolder
from inspector.store.store import Store
from inspector.telemetry.health import HealthBoard

Facts = Callable[[], Mapping[str, str | int | float | None]]
"""What runs here, for the status page: shown as it is, but `simulated` as a banner and `broker` beside the outbox."""
MakeRow = Callable[[Pixels, str], dict[str, Any]]
"""Classify a picture and return its row; the second argument is what to call it."""


MAX_CONNECTIONS = 64
EXCHANGE_S = 60.0
"""A connection is cut when its next response is not complete after this time, whatever holds it up."""
MAX_UPLOADS = 2
"""Pictures in memory at once: one in work, one on its way."""
MAX_DEFECTS = 1000
MAX_SAME_MOMENT = 10_000
"""Defects of one millisecond that are answered whole: copies of an archive may all have one time."""
MULTIPART_BYTES = 64 << 10
"""What a multipart body may have beside its picture."""
MIN_TOKEN_CHARACTERS = 16
PACE_S = 60.0
BACKLOG = 64


_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; img-src 'self'; style-src 'sha256-{_STYLE_HASH}'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_STATUS_OF_CAUSE: Mapping[str, int] = {Cause.TOO_LARGE: 413, Cause.UNSUPPORTED: 415}


_log = structlog.get_logger("http")


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """How the listener listens, and what it lets in.

    Attributes:
        address: Host name or address to bind.
        port: 0 takes any free one.
        cert_file: PEM certificate chain; None speaks plain HTTP.
        key_file: Its key.
        token: What every request but `/healthz` must carry, as bearer token or as password of HTTP Basic; None: open to
            whoever asks for this machine by name.
        max_upload_bytes: Largest picture that `/api/classify` reads.
        max_frame_px: Most pixels that it decodes.
        full_scale: As `decode_picture`.
        upload_timeout_s: Longest wait for a picture to arrive.
        refresh_s: After how long the status page asks to be loaded again.
    """

    address: str = "127.0.0.1"
    port: int = 9108
    cert_file: Path | None = None
    key_file: Path | None = None
    token: str | None = field(default=None, repr=False)
    max_upload_bytes: int = 16 << 20
    max_frame_px: int = 100_000_000
    full_scale: int | None = None
    upload_timeout_s: float = 30.0
    refresh_s: int = 5


def read_token(path: Path) -> str:
    """Return the token in a file: one line of at least 16 printable ASCII characters.

    Raises:
        ConfigError: Names key and file, and never the token.
    """
    try:
        token = path.read_text(encoding="ascii").strip()
    except UnicodeDecodeError as exc:
        raise ConfigError(f"http.token_file: {path}: ASCII text is wanted") from exc
    except OSError as exc:
        raise ConfigError(f"http.token_file: {path}: cannot be read: {exc.strerror}") from exc
    if not re.fullmatch(r"[!-~]+", token):
        raise ConfigError(f"http.token_file: {path}: one line without spaces is wanted")
    if len(token) < MIN_TOKEN_CHARACTERS:
        raise ConfigError(
            f"http.token_file: {path}: too short, {MIN_TOKEN_CHARACTERS} characters are wanted: {len(token)}"
        )
    return token


class JSONResponse(_StrictJSONResponse):
    """JSON in which a file name that is no UTF-8 shows as question marks."""

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(errors="replace")


# --- The application --------------------------------------------------------------------------------------------------


def make_app(
    options: HttpOptions,
    registry: CollectorRegistry,
    store: Store,
    evidence: EvidenceFolder | None,
    health: HealthBoard,
    facts: Facts,
    classify: MakeRow,
    clock: Clock,
) -> FastAPI:
    """Return the application; it owns none of what it is given."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    station = _Station(options, registry, store, evidence, health, facts, clock)
    classifier = _Classifier(options, classify)
    for path, endpoint in (
        ("/", station.page),
        ("/metrics", station.metrics),
        ("/healthz", station.healthz),
        ("/api/defects", station.defects),
        ("/evidence/{name}", station.picture),
    ):
        app.add_api_route(path, endpoint, methods=["GET", "HEAD"], response_model=None)
    app.add_api_route("/api/classify", classifier.answer, methods=["POST"], response_model=None)
    app.add_exception_handler(StarletteHTTPException, _answer_http_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid_query)
    app.add_exception_handler(sqlite3.Error, _answer_store_error)
    app.add_exception_handler(Exception, _answer_fault)
    app.add_middleware(_Guard, token=options.token, address=options.address)
    return app


class _Station:
    """What can be read. Plain functions: FastAPI runs them off the event loop, because store and disk may block."""

    def __init__(
        self,
        options: HttpOptions,
        registry: CollectorRegistry,
        store: Store,
        evidence: EvidenceFolder | None,
        health: HealthBoard,
        facts: Facts,
        clock: Clock,
    ) -> None:
        self._options = options
        self._registry = registry
        self._store = store
        self._evidence = evidence
        self._health = health
        self._facts = facts
        self._clock = clock
        self._pace = _PaceMeter()

    def metrics(self, request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return Response(encode(self._registry), headers={"Content-Type": content_type})

    def healthz(self) -> Response:
        message = self._health.message()
        status = 503 if message.state == "blind" else 200
        return JSONResponse(message.model_dump(mode="json", by_alias=True), status)

    def page(self, refresh: Annotated[int | None, Query(ge=0, le=3600)] = None) -> Response:
        try:
            defects: list[dict[str, Any]] | None = self._store.recent_defects(10 * SHOWN_DEFECTS)
        except sqlite3.Error as exc:
            _log.warning("store_unreadable", reason=str(exc))
            defects = None
        readings = Readings(self._registry.collect())
        pace = self._pace.note(
            self._clock.monotonic(),
            readings.total("inspector_frames_total", outcome="inspected"),
            readings.total("inspector_tiles_total"),
        )
        refresh_s = self._options.refresh_s if refresh is None else refresh
        health, now = self._health.message(), self._clock.now()
        text = render_page(PageView(health, now, defects, readings, self._facts(), pace, refresh_s))
        return HTMLResponse(text.encode(errors="replace"))

    def defects(
        self,
        limit: Annotated[int, Query(ge=1, le=MAX_DEFECTS)] = 100,
        before_ms: Annotated[int | None, Query(ge=0, lt=1 << 53)] = None,
    ) -> Response:
        """Return defect messages, newest first.

        The last moment is always whole, so that a reader who goes on with `before_ms` = its `timestamp_ms` misses
        nothing; the list may be longer than `limit` for it.
        """
        rows = self._store.recent_defects(limit, before_ms)
        if len(rows) == limit:
            last_ms = rows[-1]["timestamp_ms"]
            same = self._store.recent_defects(MAX_SAME_MOMENT, last_ms + 1, last_ms)
            rows = [row for row in rows if row["timestamp_ms"] != last_ms] + same
        return JSONResponse(rows)

    def picture(self, name: str, request: Request, v: str | None = None) -> Response:
        defect_id = name.removesuffix(".jpg")
        data = None
        if self._evidence is not None and name.endswith(".jpg") and _UUID.fullmatch(defect_id):
            data = self._evidence.read(defect_id)
        if data is None:
            raise HTTPException(404, "no such picture")
        digest = hashlib.sha256(data).hexdigest()
        lasting = "max-age=31536000, immutable" if v == digest else "no-cache"
        headers = {"ETag": f'"{digest}"', "Cache-Control": f"private, {lasting}"}
        if f'"{digest}"' in request.headers.get("If-None-Match", ""):
            return Response(status_code=304, headers=headers)
        return Response(data, media_type="image/jpeg", headers=headers)


class _PaceMeter:
    """Remembers what the counters stood at when somebody looked, for a minute."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._seen: deque[tuple[float, float, float]] = deque()

    def note(self, mono_s: float, frames: float, tiles: float) -> Pace | None:
        """Take the counters of now and return their growth, or None at the first look."""
        with self._guard:
            while len(self._seen) > 1 and mono_s - self._seen[1][0] >= PACE_S:
                self._seen.popleft()
            if not self._seen or mono_s - self._seen[-1][0] >= 1:
                self._seen.append((mono_s, frames, tiles))
            then_s, frames_then, tiles_then = self._seen[0]
        over_s = mono_s - then_s
        return Pace((frames - frames_then) / over_s, (tiles - tiles_then) / over_s, over_s) if over_s >= 1 else None


class _Refusal(Exception):  # noqa: N818 - an answer, not a fault
    def __init__(self, status: int, reason: str, message: str, name: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.name = name


class _Classifier:
    """`POST /api/classify`: a picture as the body, or as the first file of a multipart form."""

    def __init__(self, options: HttpOptions, classify: MakeRow) -> None:
        self._options = options
        self._classify = classify
        self._uploads = 0  # touched on the event loop only
        self._turn = threading.Lock()

    async def answer(self, request: Request) -> Response:
        if self._uploads >= MAX_UPLOADS:
            busy = {"error": "other pictures are being classified", "reason": "busy"}
            return JSONResponse(busy, 503, {"Retry-After": "1"})
        self._uploads += 1
        try:
            name, data = await self._read(request)
            return JSONResponse(await run_in_threadpool(self._work, name, data))
        except _Refusal as refusal:
            return JSONResponse({"path": refusal.name, "error": str(refusal), "reason": refusal.reason}, refusal.status)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        finally:
            self._uploads -= 1

    async def _read(self, request: Request) -> tuple[str, bytes]:
        form = request.headers.get("Content-Type", "").lower().startswith("multipart/form-data")
        limit = self._options.max_upload_bytes + (MULTIPART_BYTES if form else 0)
        body = _limited(request, limit, self._options.max_upload_bytes)
        try:
            async with asyncio.timeout(self._options.upload_timeout_s):
                if form:
                    name, data = await _read_form(request, body)
                else:
                    name, data = "picture", b"".join([chunk async for chunk in body])
        except TimeoutError as exc:
            raise _Refusal(408, "timeout", f"no whole picture after {self._options.upload_timeout_s:g} s") from exc
        if len(data) > self._options.max_upload_bytes:
            raise _too_large(self._options.max_upload_bytes)
        return name, data

    def _work(self, name: str, data: bytes) -> dict[str, Any]:
        options = self._options
        with self._turn:
            try:
                pixels = decode_picture(data, name=name, max_px=options.max_frame_px, full_scale=options.full_scale)
                return self._classify(pixels, name)
            except PictureError as exc:
                status = _STATUS_OF_CAUSE.get(exc.reason, 422)
                raise _Refusal(status, str(exc.reason), str(exc), name) from exc
            except ConfigError as exc:
                raise _Refusal(422, "configuration", str(exc), name) from exc
            except WorkerError as exc:
                raise _Refusal(503, "worker", str(exc), name) from exc


async def _limited(request: Request, limit: int, max_bytes: int) -> AsyncGenerator[bytes, None]:
    declared = request.headers.get("Content-Length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(max_bytes)
    seen = 0
    async for chunk in request.stream():
        seen += len(chunk)
        if seen > limit:
            raise _too_large(max_bytes)
        yield chunk


def _too_large(max_bytes: int) -> _Refusal:
    return _Refusal(413, Cause.TOO_LARGE.value, f"the picture has more bytes than http.max_upload_bytes: {max_bytes}")


class _InMemoryParser(MultiPartParser):
    spool_max_size = 1 << 62  # the body is limited already; nothing of it goes to the disk


async def _read_form(request: Request, body: AsyncGenerator[bytes, None]) -> tuple[str, bytes]:
    try:
        form = await _InMemoryParser(request.headers, body, max_files=1, max_fields=8).parse()
    except MultiPartException as exc:
        raise _Refusal(422, "form", f"the form cannot be read: {exc.message}") from exc
    upload = next((value for value in form.values() if isinstance(value, UploadFile)), None)
    if upload is None:
        raise _Refusal(422, "form", "the form has no file")
    try:
        return _clean_name(upload.filename), await upload.read()
    finally:
        await form.close()


def _clean_name(name: str | None) -> str:
    shown = "".join(character for character in name or "" if character.isprintable())
    return shown[:255] or "picture"


# --- Errors and the guard ---------------------------------------------------------------------------------------------


async def _answer_http_error(_: Request, exc: Exception) -> Response:
    assert isinstance(exc, StarletteHTTPException)  # noqa: S101 - the type it is registered for
    reason = {404: "not_found", 405: "method"}.get(exc.status_code, "http")
    return JSONResponse({"error": exc.detail, "reason": reason}, exc.status_code, exc.headers)


async def _answer_invalid_query(_: Request, exc: Exception) -> Response:
    assert isinstance(exc, RequestValidationError)  # noqa: S101 - the type it is registered for
    first = exc.errors()[0]
    text = f"{first['loc'][-1]}: {first['msg']}: {first['input']!r}"
    return JSONResponse({"error": text, "reason": "query"}, 422)


async def _answer_store_error(_: Request, exc: Exception) -> Response:
    _log.warning("store_unreadable", reason=str(exc))
    return JSONResponse({"error": "the store cannot be read at present", "reason": "store"}, 503)


async def _answer_fault(_: Request, exc: Exception) -> Response:
    headers = {**SECURITY_HEADERS, "Cache-Control": "no-store"}  # answered outside the guard
    return JSONResponse({"error": "a fault in inspector, see its log", "reason": "fault"}, 500, headers)


class _Guard:
    """Asks for the token, or else that this machine is meant, and puts the security headers on every answer."""

    def __init__(self, app: ASGIApp, token: str | None, address: str) -> None:
        self._app = app
        self._token = None if token is None else token.encode()
        self._address = address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
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


def _means_us(host: str, address: str) -> bool:
    """Whether a `Host` names loopback or `address`; a page whose name was turned to point here sends its own."""
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


# --- The server -------------------------------------------------------------------------------------------------------


class HttpServer:
    """Runs an application on a thread with its own event loop; installs no signal handlers.

    Args:
        app: What to serve.
        options: Where, and with which certificate.

    Attributes:
        failure: What ended the thread although nobody asked it to end, or None.
    """

    def __init__(self, app: ASGIApp, options: HttpOptions) -> None:
        self._app = app
        self._options = options
        self._socket: socket.socket | None = None
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._up = threading.Event()
        self._stopping = False
        self._port = 0
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Bind the port and serve; returns when connections are answered.

        Raises:
            ConfigError: The address, the port, or the certificate cannot be used; says which and why.
        """
        options = self._options
        context = _tls_context(options) if options.cert_file is not None else None
        self._socket = _bind(options.address, options.port)
        self._port = int(self._socket.getsockname()[1])
        _route_logs()
        config = uvicorn.Config(
            self._app,
            http=_Connection,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level=logging.ERROR,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MAX_CONNECTIONS,
            backlog=BACKLOG,
            timeout_graceful_shutdown=1,
            ssl_context_factory=None if context is None else lambda *_: context,
        )
        self._server = _Server(config, self._up)
        self._thread = threading.Thread(target=self._run, args=(self._server, self._socket), name="http", daemon=True)
        self._thread.start()
        self._up.wait(10)
        if not self._server.started:
            self.stop(1)
            raise ConfigError(f"http: no start at {options.address} port {self._port}: {self.failure!r}")

    @property
    def port(self) -> int:
        """The port it listens on, once started."""
        return self._port

    @property
    def url(self) -> str:
        """Where a browser on this machine, or on the network of the address, finds the status page."""
        host = f"[{self._options.address}]" if ":" in self._options.address else self._options.address
        return f"{'https' if self._options.cert_file else 'http'}://{host}:{self._port}/"

    def stop(self, timeout_s: float) -> None:
        """End it: running answers get up to a second, then connections are cut; returns after `timeout_s` at last."""
        self._stopping = True
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                self._server.force_exit = True
                _log.warning("still_running", after_s=timeout_s)
        if self._socket is not None:
            self._socket.close()

    def _run(self, server: _Server, bound: socket.socket) -> None:
        try:
            asyncio.run(server.serve([bound]))
            if not self._stopping:
                raise RuntimeError("the HTTP server has ended by itself")
        except BaseException as exc:  # noqa: BLE001 - a thread's outermost function: `failure` tells
            self.failure = exc
            _log.error("server_died", exc_info=exc)
        finally:
            self._up.set()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, up: threading.Event) -> None:
        super().__init__(config)
        self._up = up

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._up.set()


class _Connection(H11Protocol):
    """Cuts a connection that takes too long, be it over its headers, its body, or reading the answer."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def _arm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(EXCHANGE_S, self.transport.abort)


def _bind(address: str, port: int) -> socket.socket:
    try:
        family, _, _, _, where = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        both = family == socket.AF_INET6 and address == "::" and socket.has_dualstack_ipv6()
        return socket.create_server(where[:2], family=family, backlog=BACKLOG, dualstack_ipv6=both)
    except OSError as exc:
        reason = os.strerror(exc.errno) if exc.errno and exc.errno > 0 else exc.strerror or exc
        raise ConfigError(f"http.address, http.port: {address} port {port} cannot be bound: {reason}") from exc


def require_listener(options: HttpOptions, bind: bool = True) -> None:
    """Check that a listener could start: certificate with its key, and the port where `bind` says so.

    Raises:
        ConfigError: As `HttpServer.start` raises it.
    """
    if options.cert_file is not None:
        _tls_context(options)
    if bind:
        _bind(options.address, options.port).close()


def _tls_context(options: HttpOptions) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    for key, path in (("cert_file", options.cert_file), ("key_file", options.key_file)):
        try:
            if path is not None:
                path.read_bytes()
        except OSError as exc:
            raise ConfigError(f"http.{key}: {path}: cannot be read: {exc.strerror}") from exc
    try:
        # The empty password keeps OpenSSL from asking for one at a terminal.
        context.load_cert_chain(str(options.cert_file), options.key_file, password="")
    except (ssl.SSLError, OSError) as exc:
        reason = getattr(exc, "reason", None) or exc
        raise ConfigError(
            f"http.cert_file, http.key_file: {options.cert_file} and {options.key_file} do not hold a certificate "
            f"with its key: {reason}"
        ) from exc
    return context


class _ToStructlog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _log.log(record.levelno, "server", text=record.getMessage().strip(), exc_info=record.exc_info)


def _route_logs() -> None:
    logger = logging.getLogger("uvicorn")
    if not any(isinstance(handler, _ToStructlog) for handler in logger.handlers):
        logger.addHandler(_ToStructlog())
        logger.propagate = False
