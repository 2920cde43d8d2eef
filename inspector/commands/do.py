"""Sends a command to a running station: `inspector do NAME key=value …`, through its socket file or over HTTP."""

from __future__ import annotations

import json
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inspector.command_table import COMMANDS
from inspector.errors import SourceError
from inspector.http.options import HttpOptions
from inspector.settings.loading import load_settings
from inspector.settings.places import door_file
from inspector.station.door import short_name
from inspector.station.wiring import http_options

ANSWER_S = 10.0
"""How long a station may take to answer."""


def read_pairs(name: str, pairs: Sequence[str]) -> dict[str, Any]:
    """Return `key=value` words as the payload of a command.

    A value stays text where the command expects text (a coil may be called 7731), except for the word `null`. Any other
    value is read as JSON if possible.

    Raises:
        ValueError: A word without `=`, or a key that stands twice.
    """
    payload: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise ValueError(f"key=value is expected: {pair}")
        if key in payload:
            raise ValueError(f"{key} stands twice: {pair}")
        payload[key] = text if key in _texts(name) and text != "null" else _from_json(text)
    return payload


def _texts(name: str) -> set[str]:
    """Return the keys of a command that hold text."""
    fields = COMMANDS[name].model.model_fields if name in COMMANDS else {}
    return {key for key, field in fields.items() if "str" in str(field.annotation)}


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def ask_station(config: Path, name: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Send a command to the station of a configuration and return its reply.

    It goes through the station's socket file on this PC, which needs no token and knows who asks; where there is none,
    over its HTTP listener.

    Raises:
        ConfigError: There is no socket file, and no listener, no token, or a port that only its log knows.
        SourceError: The station does not answer.
    """
    settings = load_settings(config).settings
    door = door_file(settings, unit_file=config)
    reply = _ask_door(door, name, payload)
    if reply is not None:
        return reply
    if not settings.http.enabled or settings.http.port == 0 or settings.http.token_file is None:
        raise SourceError(
            f"the station does not run: nothing listens at {door}; another PC is asked over HTTP, with http.token_file"
        )
    return _ask_listener(http_options(settings), name, payload)


def _ask_door(door: Path, name: str, payload: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the reply that came through a socket file; None: nobody listens there."""
    request = json.dumps({"command": name, "payload": payload}).encode() + b"\n"
    try:
        with short_name(door) as short, socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_S)
            connection.connect(short)
            connection.sendall(request)
            with connection.makefile("rb") as answer:
                return dict(json.loads(answer.read()))
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        return None
    except PermissionError as exc:
        raise SourceError(f"this user may not see {door}: {exc.strerror}") from exc
    except (OSError, ValueError) as exc:
        raise SourceError(f"the station does not answer at {door}: {exc}") from exc


def _ask_listener(options: HttpOptions, name: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 - http or https, as configured
        f"{_base(options)}/api/commands/{urllib.parse.quote(name, safe='')}",
        json.dumps(payload).encode(),
        {"Authorization": f"Bearer {options.token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_S, context=_trust(options)) as answer:  # noqa: S310
            reply = json.loads(answer.read())
    except urllib.error.HTTPError as exc:
        reply = json.loads(exc.read())
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "reason", exc)
        raise SourceError(f"the station does not answer at {_base(options)}: {reason}") from exc
    return dict(reply)


def _base(options: HttpOptions) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(options.address, options.address)  # noqa: S104 - not to bind
    scheme = "http" if options.cert_file is None else "https"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{options.port}"


def _trust(options: HttpOptions) -> ssl.SSLContext | None:
    """Trust the station's own certificate and no other, under whatever name it is asked."""
    if options.cert_file is None:
        return None
    context = ssl.create_default_context(cafile=str(options.cert_file))
    context.check_hostname = False
    return context
