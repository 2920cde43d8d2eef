"""Runs the application on a thread with its own event loop: address, TLS, and limits of connections.

Nobody is turned away for want of room: a newcomer takes the place of the connection that has been idle longest, so that
idle, slow and stalled ones never keep a monitor from `/healthz` and `/metrics`. What is answered, and to whom, is
decided in `app` and `guard`.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import logging
import os
import socket
import ssl
import threading

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from inspector.errors import ConfigError
from inspector.http.options import HttpOptions

MAX_LOOPBACK, MAX_REMOTE, MAX_OF_ADDRESS = 128, 128, 48
"""Connections from this machine, from all others, and from one of those (an IPv6 network counts as one)."""
HEAD_S = 5.0
"""A connection is cut when it is still in its TLS handshake, or has no whole request head, after this time."""
EXCHANGE_S = 60.0
"""A connection is cut when its response is not complete this long after the head, whatever holds it up."""
BACKLOG = 256


_log = structlog.get_logger("http")


class HttpServer:
    """Runs an application on a thread with its own event loop; installs no signal handlers.

    Args:
        app: What to serve.
        options: Where, and with which certificate.

    Attributes:
        failure: The error that ended the thread, or None.
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
        """Address of the status page for a browser on this machine, or on the network of the address."""
        host = f"[{self._options.address}]" if ":" in self._options.address else self._options.address
        return f"{'https' if self._options.cert_file else 'http'}://{host}:{self._port}/"

    def stop(self, timeout_s: float) -> None:
        """Stop: running answers get up to a second, then connections are cut; returns within `timeout_s`."""
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
        except BaseException as exc:  # noqa: BLE001 - a thread's outermost function: `failure` has it
            self.failure = exc
            _log.error("server_died", exc_info=exc)
        finally:
            self._up.set()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, up: threading.Event) -> None:
        super().__init__(config)
        self._up = up

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self.config.ssl is not None:
            loop = asyncio.get_running_loop()
            limited = functools.partial(loop.create_server, ssl_handshake_timeout=HEAD_S)
            loop.create_server = limited  # type: ignore[method-assign] # uvicorn cannot pass it on
        await super().startup(sockets)
        self._up.set()


class _Connection(H11Protocol):
    """Cuts a connection that takes too long, be it over its head, its body, or reading the answer, and makes room."""

    _deadline: asyncio.TimerHandle | None = None
    _timed: object = None
    _since_s = 0.0
    _cut = False
    _network = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since_s = self.loop.time()
        self._network = _network_of(self.client[0] if self.client else "")
        self._arm(HEAD_S)
        self._make_room()

    def handle_events(self) -> None:
        super().handle_events()
        if self._is_busy and self.cycle is not self._timed:  # its head is whole
            self._timed = self.cycle
            self._arm(EXCHANGE_S)

    def on_response_complete(self) -> None:
        self._since_s = self.loop.time()
        super().on_response_complete()
        if not self._is_busy:  # else the next request was waiting already
            self._arm(HEAD_S)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    @property
    def _is_busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _arm(self, timeout_s: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(timeout_s, self.transport.abort)

    def _make_room(self) -> None:
        """Cut the connection that was idle longest, in place of refusing this one; those with a request come last."""
        others = [one for one in self.connections if isinstance(one, _Connection) and not one._cut]
        if self._network == _LOOPBACK:
            rivals, limit = [one for one in others if one._network == _LOOPBACK], MAX_LOOPBACK
        else:
            rivals, limit = [one for one in others if one._network == self._network], MAX_OF_ADDRESS
            if len(rivals) <= limit:
                rivals, limit = [one for one in others if one._network != _LOOPBACK], MAX_REMOTE
        if len(rivals) > limit:
            rivals.remove(self)
            oldest = min(rivals, key=lambda one: (one._is_busy, one._since_s))
            oldest._cut = True
            oldest.transport.abort()


_LOOPBACK = "loopback"


def _network_of(address: str) -> str:
    """Return what counts as one peer: this machine, an IPv4 address, or an IPv6 network."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip
    if ip.is_loopback:
        return _LOOPBACK
    return str(ip) if ip.version == 4 else ip.exploded[:19]


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
