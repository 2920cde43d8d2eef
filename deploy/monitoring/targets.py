"""Write Prometheus's target file from the stations' own TOML files: address, port, and who it is.

    targets.py /etc/inspector/cam1.toml /etc/inspector/cam2.toml > /etc/prometheus/targets/stations.new &&
      mv /etc/prometheus/targets/stations.new /etc/prometheus/targets/stations.json

Run it with the Python that has inspector installed, and as root where a station has secrets in /etc/credstore.

The labels come from here, not from the scrape, so that a station that is down still has a name. Two stations with one
port or one name are refused.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from inspector.errors import ConfigError, InspectorError
from inspector.settings.loading import load_settings
from inspector.settings.sections import Settings, is_loopback


def target(settings: Settings, host: str | None = None) -> dict[str, Any] | None:
    """Return the entry of one station, or None if it has no listener.

    Args:
        settings: Of the station.
        host: How Prometheus reaches its machine; None: as the listener is bound.

    Raises:
        ConfigError: The port changes at each start, or `host` cannot reach the listener.
    """
    http = settings.http
    if not http.enabled:
        return None
    if http.port == 0:
        raise ConfigError(f"{settings.station.text}: http.port = 0 has no address to scrape")
    if host is not None and is_loopback(http.address) and not is_loopback(host):
        raise ConfigError(f"{settings.station.text}: http.address is {http.address}: {host} does not reach it")
    labels = {
        "site": settings.station.site,
        "line": settings.station.line,
        "station": settings.station.text,
    }
    if http.cert_file is not None:
        labels["__scheme__"] = "https"
    return {"targets": [f"{host or http.address}:{http.port}"], "labels": labels}


def collect(stations: Iterable[Settings], host: str | None = None) -> list[dict[str, Any]]:
    """Return the content of the target file.

    Raises:
        ConfigError: Two stations share an address or a name.
    """
    entries = [entry for settings in stations if (entry := target(settings, host)) is not None]
    for what, values in (
        ("address", [entry["targets"][0] for entry in entries]),
        ("name", [entry["labels"]["station"] for entry in entries]),
    ):
        if repeated := sorted({value for value in values if values.count(value) > 1}):
            raise ConfigError(f"two stations have one {what}: {', '.join(repeated)}")
    return entries


def render(entries: list[dict[str, Any]]) -> str:
    """Return the file's text, one station a line."""
    return "[\n" + ",\n".join(f" {json.dumps(entry)}" for entry in entries) + "\n]\n"


def main() -> int:
    """Print the target file."""
    parser = argparse.ArgumentParser(description="Prometheus targets from station files.")
    parser.add_argument("files", nargs="+", type=Path, metavar="STATION.toml")
    parser.add_argument("--host", help="how Prometheus reaches this machine (listeners must not be on loopback)")
    options = parser.parse_args()
    try:
        print(render(collect((load_settings(path).settings for path in options.files), options.host)), end="")
    except InspectorError as exc:
        print(f"targets: {exc}", file=sys.stderr)
        return exc.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
