"""A new configuration for a running daemon: checked completely while the present station keeps inspecting."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from inspector.clock import SystemClock
from inspector.errors import InspectorError, RefusedError
from inspector.http.server import require_listener
from inspector.settings.loading import Loaded, load_settings
from inspector.settings.places import state_folder
from inspector.settings.sections import Settings
from inspector.sinks.mqtt.options import require_files
from inspector.sources.base import NoLedger, SourceContext
from inspector.sources.opening import open_source
from inspector.station.refitting import open_taught
from inspector.station.signals import PendingSignals
from inspector.station.station import Station
from inspector.station.wiring import OpenModel, http_options, mqtt_options
from inspector.store.store import Store
from inspector.telemetry.notify import Notifier

_log = structlog.get_logger("daemon")


@contextmanager
def naming(config: Path) -> Iterator[None]:
    """Name the configuration's file in a refusal that knows only the key, or another file that the key names."""
    try:
        yield
    except RefusedError as exc:
        raise type(exc)(f"{config}: {exc}") from exc


def check_reload(
    config: Path, station: Station, notifier: Notifier, signals: PendingSignals
) -> tuple[Loaded, OpenModel] | None:
    """Return the new configuration and its proven bundle, or None if the previous ones must stay."""
    signals.begin_reload()
    notifier.reloading()
    try:
        loaded = load_settings(config)
        with naming(config):
            _require_parts(loaded.settings, station.settings)
            return loaded, open_taught(loaded.settings, SystemClock(), notifier.alive, quietly=True)
    except InspectorError as exc:
        _log.error("reload_refused", reason=str(exc), still="the previous configuration")
    except Exception:  # noqa: BLE001 - a mistake that nothing foresaw must not end a station that inspects
        _log.exception("reload_refused", reason="a fault in inspector", still="the previous configuration")
    station.metrics.reload_ok.set(0)
    notifier.ready("reload refused, still running as before")
    return None


def _require_parts(settings: Settings, running: Settings) -> None:
    """Refuse, while the present station still runs, what would fail in the next one.

    Raises:
        RefusedError: A named file cannot be used, another program has the new port or the new store, a source that
            cannot be read as configured.
        WorkerError: The new store cannot be written now.
    """
    require_files(mqtt_options(settings))
    clock = SystemClock()
    open_source(settings.source, SourceContext(clock, lambda: 1, "reload"), NoLedger()).close()  # opens no device
    folder = state_folder(settings)
    if os.path.realpath(folder) != os.path.realpath(state_folder(running)):  # `resolve` fails on links in a loop
        Store(folder, clock).close(clean=False)  # blames no file, and clears none
    if settings.http.enabled:
        # Its own port is free once the old station stops.
        same_port = running.http.enabled and settings.http.port == running.http.port
        require_listener(http_options(settings), bind=not same_port)
