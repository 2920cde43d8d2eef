"""How to reach the broker, and what is reported about it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from inspector.errors import BrokerError, ConfigError
from inspector.settings.sections import Mqtt
from inspector.sinks.base import SinkStatus


class MqttOptions(Mqtt):
    """The section `[mqtt]`, with what depends on the station filled in; secrets are files.

    Attributes:
        root: Topic root.
        client_id: Of this station.
    """

    root: str
    client_id: str

    @property
    def address(self) -> str:
        """host:port, for messages."""
        return f"{self.host}:{self.port}"


@dataclass(slots=True)
class BrokerStatus(SinkStatus):
    """What health and `/` report about the broker.

    Attributes:
        protocol: The version of MQTT that it speaks.
    """

    protocol: str | None = None


def read_secret(path: Path | None, key: str) -> str | None:
    """Return the first line of a secret file, or None without a file.

    Raises:
        BrokerError: It cannot be read; the text names key and file, never what is in it.
    """
    if path is None:
        return None
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise BrokerError(f"{key}: cannot read {path}: {getattr(exc, 'strerror', 'not UTF-8')}") from exc
    return text.splitlines()[0] if text else ""


def tls_context(options: MqttOptions) -> ssl.SSLContext:
    """Return the TLS context of the broker connection: TLS 1.2 at least, certificate and host name checked.

    Raises:
        BrokerError: A certificate file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if options.cert_file:
            context.load_cert_chain(options.cert_file, options.key_file)
    except (OSError, ssl.SSLError) as exc:
        names = ", ".join(str(path) for path in (options.ca_file, options.cert_file, options.key_file) if path)
        raise BrokerError(f"mqtt: certificate files cannot be used ({names}): {exc}") from exc
    return context


def require_files(options: MqttOptions) -> None:
    """Check that the named files are there.

    Raises:
        ConfigError: One is not; the text names key and file.
    """
    for key in ("password_file", "ca_file", "cert_file", "key_file"):
        path: Path | None = getattr(options, key)
        if path is not None and not path.is_file():
            raise ConfigError(f"mqtt.{key}: no such file: {path}")
