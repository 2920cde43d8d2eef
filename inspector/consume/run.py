"""`inspector consume`: from the words of the command line to a consumer that runs until it is told to end."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog
from pydantic import ValidationError

from inspector.clock import SystemClock
from inspector.consume.consumer import Account, Consumer
from inspector.consume.intake import Hole
from inspector.consume.kept import open_kept
from inspector.errors import ConfigError
from inspector.sinks.mqtt.options import MqttOptions, require_files

ANSWER_S = 10.0
"""How long a station may take to answer over HTTP."""

_log = structlog.get_logger("consume")


def consumer_options(broker: str, client_id: str, **given: Any) -> MqttOptions:
    """Return how to reach a broker, by the rules of the section `[mqtt]`.

    Raises:
        ConfigError: An option is wrong, or a file is not there; the text names it.
    """
    host, _, port = broker.rpartition(":")
    if not host or not port.isascii() or not port.isdigit():
        raise ConfigError(f"--broker: HOST:PORT is expected: {broker}")
    values = {"host": host.strip("[]"), "port": int(port), "root": "consumer", "client_id": client_id}
    try:
        options = MqttOptions.model_validate(values | {key: value for key, value in given.items() if value is not None})
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        key = "".join(f"--{part}: ".replace("_", "-") for part in first["loc"][:1])
        raise ConfigError(f"{key}{first['msg']}") from exc
    require_files(options)
    return options


def require_roots(roots: Sequence[str]) -> list[str]:
    """Return topic roots without the slashes around them.

    Raises:
        ConfigError: One is no root of a station.
    """
    found = [root.strip("/") for root in roots]
    for root in found:
        if not root or re.search(r"[#\x00]", root) or any("+" in level and level != "+" for level in root.split("/")):
            raise ConfigError(f"--root: the topic root of a station, or + for a level of it, is expected: {root!r}")
    return found


def session_name(roots: Sequence[str], output: Path) -> str:
    """Return the client id of a consumer that is given none: the same for the same roots and file."""
    text = "\n".join([*sorted(roots), str(output.absolute())])
    return f"consume-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def ask_by_http(url: str, token_file: Path, hole: Hole) -> None:
    """Ask a station for missing messages over its listener; what it answers is logged.

    Args:
        url: Of the station.
        token_file: Its bearer token, one line.
        hole: What is missing.
    """
    try:
        token = token_file.read_text(encoding="utf-8").strip()
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked by consume
            f"{url.rstrip('/')}/api/commands/resend",
            json.dumps({"from_seq": hole.first_seq}).encode(),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:  # noqa: S310
            _log.info("station_answered", reply=answer.read(4096).decode(errors="replace"))
    except urllib.error.HTTPError as exc:
        _log.warning("station_refused", status=exc.code, reply=exc.read(4096).decode(errors="replace"))
    except (OSError, ValueError) as exc:
        _log.warning("station_unavailable", url=url, reason=str(exc))


def consume(
    broker: str,
    roots: Sequence[str],
    output: Path,
    *,
    client_id: str | None = None,
    seconds: float | None = None,
    station: str | None = None,
    token_file: Path | None = None,
    protocol: str = "5",
    **given: Any,
) -> Account:
    """Consume until a signal comes or the time is over, and return what was done.

    Args:
        broker: HOST:PORT.
        roots: Topic roots.
        output: File; `.jsonl` is lines, anything else SQLite.
        client_id: Names the durable session; None: by roots and file.
        seconds: End after this time; None: on SIGTERM or SIGINT.
        station: Address of its HTTP listener, to ask for missing messages there; None: over the broker.
        token_file: Token for it.
        protocol: Version of MQTT.
        given: Further keys of the section `[mqtt]`.

    Raises:
        ConfigError: An option is wrong.
        SourceError: The file cannot be used.
    """
    names = require_roots(roots)
    options = consumer_options(broker, client_id or session_name(names, output), protocol=protocol, **given)
    ask = None
    if station is not None:
        if token_file is None or not station.startswith(("http://", "https://")):
            raise ConfigError(f"--station: http://HOST:PORT and --token-file are expected: {station}")
        url, token = station, token_file
        ask = lambda hole: ask_by_http(url, token, hole)  # noqa: E731
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    if seconds is not None:
        timer = threading.Timer(seconds, stopping.set)
        timer.daemon = True
        timer.start()
    kept = open_kept(output)
    try:
        return Consumer(options, names, kept, SystemClock(), ask).run(stopping)
    finally:
        kept.close()
