"""Where a station that runs as a unit has its configuration, its state and its secrets."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from inspector.settings.sections import Settings

STATION_FOLDER = Path("/etc/inspector")
"""Where the files of stations lie that run as units."""
STATION_STATE = Path("/var/lib/inspector")
"""Where systemd keeps their state, a folder each."""
STATION_RUN = Path("/run/inspector")
"""Where systemd keeps what a station needs while it runs, a folder each."""
DOOR = "commands.sock"
"""Name of the socket file through which a running station takes commands on its PC."""
CREDENTIAL_STORES = (Path("/etc/credstore"), Path("/run/credstore"))
"""Where systemd looks for the secrets that the unit's `LoadCredential=` names; for root only."""


def is_station_file(path: Path) -> bool:
    """Say whether `path` is the configuration of a station that runs as a unit."""
    return path.suffix == ".toml" and path.absolute().parent == STATION_FOLDER


def state_folder(settings: Settings, environ: Mapping[str, str] = os.environ, unit_file: Path | None = None) -> Path:
    """Return the folder of the store: `store.path`, else `$STATE_DIRECTORY`, else one per station.

    Args:
        settings: The configuration.
        environ: Environment.
        unit_file: For a command that works on what a unit has stored: where its configuration was read. A station's
            file in /etc/inspector then means the folder that systemd gives its unit.
    """
    if settings.store.path is not None:
        return settings.store.path
    if given := environ.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0])
    if unit_file is not None and is_station_file(unit_file):
        return STATION_STATE / unit_file.stem
    base = Path(environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return base / "inspector" / settings.station.text.replace("/", "-")


def door_file(settings: Settings, environ: Mapping[str, str] = os.environ, unit_file: Path | None = None) -> Path:
    """Return the socket file of a station: in `$RUNTIME_DIRECTORY`, else beside its store; arguments as above."""
    if given := environ.get("RUNTIME_DIRECTORY"):
        return Path(given.split(":")[0]) / DOOR
    if unit_file is not None and is_station_file(unit_file):
        return STATION_RUN / unit_file.stem / DOOR
    return state_folder(settings, environ, unit_file) / DOOR


def config_name(environ: Mapping[str, str] = os.environ) -> str:
    """Return how a person on this PC names the configuration of the running station."""
    given = environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    is_unit = Path(given).parent == STATION_RUN
    return str(STATION_FOLDER / f"{Path(given).name}.toml") if is_unit else "FILE"


def find_credential(name: str, path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the file of a systemd credential, or None where the station has no such secret."""
    if folder := environ.get("CREDENTIALS_DIRECTORY"):
        file = Path(folder) / name
        return file if file.is_file() else None
    if path is None or not is_station_file(path):
        return None
    for store in CREDENTIAL_STORES:
        with suppress(PermissionError):  # the stores are root's: they seem empty to other users
            if (file := store / f"inspector.{path.stem}.{name}").is_file():
                return file
    return None
